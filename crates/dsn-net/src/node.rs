//! The handle: what clients and farmers hold of the network. It keeps the limits (windows, time-outs) and leaves the rest
//! to the driver, the one task that owns the connections. Not here: any decision about peers. Invariant: every method
//! ends, in an answer or a typed error, whatever the driver and the other nodes do.

mod hidden;

use std::{
    collections::BTreeSet,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use async_trait::async_trait;
use bytes::Bytes;
use dsn_core::{
    announcement::Announcement,
    firewall::{Kind, Principal},
    membership::revocations::{Revocations, RevocationsError, VerifiedRevocations},
    network_name::NetworkName,
    node_id::NodeId,
    ports::{Handler, KnownNode, Network, NetworkError, PeerEvidence, Snapshot},
    rpc::{
        Refusal, Request, Response, StoreHeader, StorePart,
        frame::{Frame, bodies_len},
    },
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
    time::timeout,
};

use crate::{
    club::principal,
    driver::{self, Command, Shared, Stray},
    error::NetError,
    options::{NetOptions, Waits},
    reach::Reach,
    window::{Windows, answer_bodies_max, cost},
};

/// Commands that wait for the driver. It only queues work, so a full channel means thousands of callers.
const COMMANDS_MAX: usize = 256;

/// A running node of the network. Clones are the same node; it ends with [`Node::shutdown`] or with its last clone.
#[derive(Clone)]
pub struct Node {
    inner: Arc<Inner>,
}

struct Inner {
    local: NodeId,
    network: NetworkName,
    unknown: hidden::Unknown,
    /// Who has registered with servers of a small network, and until when that is believed.
    hidden: Mutex<Option<(Instant, BTreeSet<NodeId>)>>,
    waits: Waits,
    handler: Arc<dyn Handler>,
    windows: Windows,
    commands: mpsc::Sender<Command>,
    shared: Arc<Shared>,
    driver: Mutex<Option<JoinHandle<()>>>,
}

impl Node {
    /// Starts listening and looking for the network; returns when every listener has its real address. Dropping the
    /// future stops the node.
    ///
    /// # Errors
    /// See [`NetError`]; nothing is left running then.
    pub async fn start(options: NetOptions, handler: Arc<dyn Handler>) -> Result<Self, NetError> {
        let (commands, inbox) = mpsc::channel(COMMANDS_MAX);
        let (waits, outgoing, local) = (options.waits, options.room.outgoing, options.identity.node_id());
        let network = options.network.clone();
        let started = driver::start(options, Arc::clone(&handler), inbox).await?;
        tracing::info!(node = %local, "network started");
        Ok(Self {
            inner: Arc::new(Inner {
                local,
                network,
                unknown: hidden::Unknown::default(),
                hidden: Mutex::default(),
                waits,
                handler,
                windows: Windows::new(outgoing),
                commands,
                shared: started.shared,
                driver: Mutex::new(Some(started.driver)),
            }),
        })
    }

    /// The addresses listened on, with the node's id at their end.
    pub fn listen_addrs(&self) -> Vec<String> {
        self.inner.shared.listen_addrs()
    }

    /// How others reach this node, as it finds out. Told anew whenever that changes.
    pub fn reach(&self) -> watch::Receiver<Reach> {
        self.inner.shared.reach.subscribe()
    }

    /// Servers worth remembering for the next run, best first, with addresses that worked; for
    /// [`NetOptions::remembered`]. Safe to drop.
    ///
    /// # Errors
    /// [`NetworkError::Stopped`].
    pub async fn good_peers(&self) -> Result<Vec<(NodeId, Vec<String>)>, NetworkError> {
        self.ask(|reply| Command::GoodPeers { reply }).await
    }

    /// Where each connected node is, by address; one that is called through a relay is nowhere. Safe to drop.
    ///
    /// # Errors
    /// [`NetworkError::Stopped`].
    pub async fn origins(&self) -> Result<Vec<(NodeId, IpAddr)>, NetworkError> {
        self.ask(|reply| Command::Origins { reply }).await
    }

    /// For whom a node acts, as the firewall sees it.
    pub fn principal(&self, node: &NodeId) -> Principal {
        principal(self.inner.shared.club.as_ref(), Some(node))
    }

    /// The bootstrap addresses that lead to nodes of another network, or of no version that this one speaks.
    pub fn strays(&self) -> Vec<Stray> {
        self.inner.shared.strays.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The guard goes by other rules now: connections that it denies are closed. Requests need no such
    /// word, each is decided by itself. Safe to drop.
    ///
    /// # Errors
    /// [`NetworkError::Stopped`].
    pub async fn enforce(&self) -> Result<(), NetworkError> {
        self.ask(|reply| Command::Enforce { reply }).await
    }

    /// Ends the node: no request is answered or sent any more, every task has ended when this returns. Dropping the
    /// future lets the node end unobserved. May be called again, and on any clone.
    pub async fn shutdown(&self) {
        let _already_gone = self.inner.commands.send(Command::Shutdown).await;
        let driver = self.inner.driver.lock().unwrap_or_else(PoisonError::into_inner).take();
        match driver {
            Some(driver) => {
                if let Err(error) = driver.await {
                    tracing::error!(%error, "the network's driver failed");
                }
                tracing::info!(node = %self.inner.local, "network stopped");
            }
            None => self.inner.commands.closed().await,
        }
    }

    /// The list of revocations that has a higher number than this, as soon as there is one; never in an open network.
    /// Safe to drop.
    pub async fn revocations_after(&self, seq: u64) -> VerifiedRevocations {
        if let Some(club) = &self.inner.shared.club {
            let mut latest = club.watch();
            while latest.wait_for(|latest| *latest > seq).await.is_ok() {
                if let Some(list) = club.verified_after(seq) {
                    return list;
                }
            }
        }
        std::future::pending().await
    }

    /// The latest list of revocations that this node knows; none in an open network.
    pub fn revocations(&self) -> Option<VerifiedRevocations> {
        self.inner.shared.club.as_ref()?.verified_after(0)
    }

    /// Takes a list of revocations over when it is newer than the one known, acts by it, and hands it on; tells whether it
    /// was newer. In an open network it never is.
    ///
    /// # Errors
    /// When it is not one of this network's founder.
    pub fn learn_revocations(&self, list: Revocations) -> Result<bool, RevocationsError> {
        self.inner.shared.club.as_ref().map_or(Ok(false), |club| club.learn(list))
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, NetworkError> {
        let (reply, answer) = oneshot::channel();
        self.inner.commands.send(command(reply)).await.map_err(|_| NetworkError::Stopped)?;
        answer.await.map_err(|_| NetworkError::Stopped)
    }

    /// Sends a request where the node is known to be.
    async fn request_once(&self, to: NodeId, request: &Request) -> Result<Response, NetworkError> {
        let bulk = matches!(request, Request::Store(_) | Request::Fetch(_) | Request::Slices(_));
        let after = if bulk { self.inner.waits.bulk } else { self.inner.waits.control };
        let late = NetworkError::Timeout { node: to, after };
        if to == self.inner.local {
            return timeout(after, self.serve_myself(request.clone())).await.map_err(|_| late);
        }
        let (expected, kind) = (Expected::of(request), Kind::of(request));
        let frame = Frame::from(request);
        let lease = timeout(after, self.inner.windows.acquire(to, cost(request, &frame)));
        let lease = lease.await.map_err(|_| late.clone())?.map_err(|_| NetworkError::Stopped)?;
        let repeatable = !matches!(request, Request::Store(_));
        let meters = &self.inner.shared.meters;
        let booked = answer_bodies_max(request);
        if !meters.up.take(frame.bodies_len()).await || !meters.down.take(booked).await {
            return Err(late);
        }
        let sent = self.ask(|reply| Command::Request { to, kind, frame, lease, repeatable, bulk, reply });
        let answer = timeout(after, sent).await.map_err(|_| late).and_then(|answer| answer?);
        let came = match &answer {
            Ok(Response::Fetched(parts)) => bodies_len(parts.iter().map(|part| part.bytes.len())),
            Ok(Response::Sliced(slices)) => bodies_len(slices.iter().flatten().map(Bytes::len)),
            _ => 0,
        };
        meters.down.give_back(booked.saturating_sub(came));
        answer.and_then(
            |response| {
                if expected.fits(&response) { Ok(response) } else { Err(NetworkError::BadAnswer { node: to }) }
            },
        )
    }

    /// A request to oneself goes to one's own handler, through the same door as a stranger's.
    async fn serve_myself(&self, request: Request) -> Response {
        if let Request::Store(parts) = &request {
            let header = |part: &StorePart| StoreHeader { token: part.token, index: part.index, len: part.bytes.len() };
            let headers: Vec<_> = parts.iter().map(header).collect();
            if let Err(refusal) = self.inner.handler.admit(&headers) {
                return Response::Refused(refusal);
            }
        }
        self.inner.handler.handle(self.inner.local, request).await
    }
}

#[async_trait]
impl Network for Node {
    fn local_id(&self) -> NodeId {
        self.inner.local
    }

    async fn request(&self, to: NodeId, request: Request) -> Result<Response, NetworkError> {
        match self.request_once(to, &request).await {
            Err(NetworkError::Unreachable { .. }) if self.find_hidden(to).await => {
                self.request_once(to, &request).await
            }
            answer => answer,
        }
    }

    async fn introduce(&self, node: NodeId, addresses: Vec<Bytes>) {
        self.tell(node, &addresses).await;
    }

    async fn snapshot(&self, fresh: bool) -> Result<Snapshot, NetworkError> {
        let snapshot = self.ask(|reply| Command::Snapshot { fresh, reply }).await??;
        Ok(self.add_hidden(snapshot).await)
    }

    async fn look_up(&self, key: [u8; 32]) -> Result<Vec<NodeId>, NetworkError> {
        self.ask(|reply| Command::LookUp { key, reply }).await?
    }

    fn report(&self, node: NodeId, evidence: PeerEvidence) {
        if self.inner.commands.try_send(Command::Report { node, evidence }).is_err() {
            tracing::debug!(%node, ?evidence, "a report was lost: the driver is busy or gone");
        }
    }

    async fn announce(&self, announcement: Announcement) {
        let _stopped = self.inner.commands.send(Command::Announce(announcement)).await;
    }

    async fn known_nodes(&self) -> Result<Vec<KnownNode>, NetworkError> {
        self.ask(|reply| Command::KnownNodes { reply }).await
    }
}

/// Which kind of answer a request may have.
#[derive(Clone, Copy)]
enum Expected {
    Info,
    Located,
    Published,
    Offered,
    Stored,
    Fetched,
    Sliced,
    Held,
    Committed,
    Audited,
    Intended,
    Leased,
    Renewed,
    Compared,
    Greeted,
    Registered,
    Records,
    Names,
    NamesPublished,
    Hello,
}

impl Expected {
    fn of(request: &Request) -> Self {
        match request {
            Request::Info => Self::Info,
            Request::Locate(_) => Self::Located,
            Request::Publish(_) => Self::Published,
            Request::Offer(_) => Self::Offered,
            Request::Store(_) => Self::Stored,
            Request::Fetch(_) => Self::Fetched,
            Request::Slices(_) => Self::Sliced,
            Request::Holds(_) => Self::Held,
            Request::Commit(_) => Self::Committed,
            Request::Audit(_) => Self::Audited,
            Request::Intend(_) => Self::Intended,
            Request::Leases(_) => Self::Leased,
            Request::Renew(_) => Self::Renewed,
            Request::Compare(_) => Self::Compared,
            Request::Greet(_) => Self::Greeted,
            Request::Register(_) => Self::Registered,
            Request::Records(_) => Self::Records,
            Request::Names(_) => Self::Names,
            Request::PublishNames(_) => Self::NamesPublished,
            Request::Hello(_) => Self::Hello,
        }
    }

    fn fits(self, response: &Response) -> bool {
        match response {
            Response::Refused(Refusal::Malformed) => {
                tracing::debug!("a node called our request malformed");
                true
            }
            Response::Refused(_) => true,
            Response::Info(_) => matches!(self, Self::Info),
            Response::Located(_) => matches!(self, Self::Located),
            Response::Published(_) => matches!(self, Self::Published),
            Response::Offered(_) => matches!(self, Self::Offered),
            Response::Stored(_) => matches!(self, Self::Stored),
            Response::Fetched(_) => matches!(self, Self::Fetched),
            Response::Sliced(_) => matches!(self, Self::Sliced),
            Response::Held(_) => matches!(self, Self::Held),
            Response::Committed { .. } => matches!(self, Self::Committed),
            Response::Audited(_) => matches!(self, Self::Audited),
            Response::Intended(_) => matches!(self, Self::Intended),
            Response::Leased(_) => matches!(self, Self::Leased),
            Response::Renewed(_) => matches!(self, Self::Renewed),
            Response::Compared(_) => matches!(self, Self::Compared),
            Response::Greeted(_) => matches!(self, Self::Greeted),
            Response::Registered { .. } => matches!(self, Self::Registered),
            Response::Records(_) => matches!(self, Self::Records),
            Response::Names(_) => matches!(self, Self::Names),
            Response::NamesPublished(_) => matches!(self, Self::NamesPublished),
            Response::Hello(_) => matches!(self, Self::Hello),
        }
    }
}
