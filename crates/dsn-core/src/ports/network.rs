//! The network: requests to nodes by id, and who there is. Our own protocol talks to nodes; Kademlia only finds them.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use thiserror::Error;

use crate::{
    announcement::{Announcement, News},
    hello::{Acquaintance, HelloError, Profile},
    membership::{Allowance, Refused},
    network_name::NetworkName,
    node_id::{NodeId, Position, closest},
    record::{RecordBody, Role},
    rpc::{RecordQuery, Refusal, Request, Response, StoreHeader},
};

/// Farmers that no look-up finds and that one server may name; a liar could name any number.
pub const REGISTERED_MAX: usize = 4096;

/// Sends requests to other nodes and finds them.
#[async_trait]
pub trait Network: Send + Sync + 'static {
    /// This node.
    fn local_id(&self) -> NodeId;

    /// Sends one request and waits for the answer; a request to oneself is served by one's own handler. Bounded in time
    /// by the adapter. Dropping the future gives the request up.
    async fn request(&self, to: NodeId, request: Request) -> Result<Response, NetworkError>;

    /// The network as last crawled; crawls first when that is too old. `fresh` crawls in any case.
    async fn snapshot(&self, fresh: bool) -> Result<Snapshot, NetworkError>;

    /// The servers closest to `key`, closest first, by an iterative look-up; a node that is a server counts itself.
    async fn look_up(&self, key: [u8; 32]) -> Result<Vec<NodeId>, NetworkError>;

    /// Tells where a node is by its own signed word: binary multiaddrs. Nothing for a network that finds all its nodes.
    async fn introduce(&self, _node: NodeId, _addresses: Vec<Bytes>) {}

    /// Tells what a node's answers were worth, so that the network can rank and shun it.
    fn report(&self, node: NodeId, evidence: PeerEvidence);

    /// Tells everybody, as far as that goes: nobody may hear it, and nothing may depend on its being heard.
    async fn announce(&self, _announcement: Announcement) {}

    /// Nodes the adapter knows now, for people to look at.
    async fn known_nodes(&self) -> Result<Vec<KnownNode>, NetworkError>;
}

/// The farmers that have registered with a server since no look-up finds them, in their own signed words; at most
/// [`REGISTERED_MAX`], fewer when the server stops answering.
pub async fn registered_with(network: &dyn Network, name: &NetworkName, server: NodeId) -> Vec<RecordBody> {
    let (mut farmers, mut last) = (Vec::new(), None);
    while farmers.len() < REGISTERED_MAX {
        let request = Request::Records(RecordQuery::After(last));
        let Ok(Response::Records(page)) = network.request(server, request).await else { break };
        let Some(node) = page.last().map(|record| record.body().node).filter(|node| Some(*node) > last) else {
            break; // the end, or a server that goes round in circles
        };
        last = Some(node);
        let signed = page.into_iter().filter_map(|record| {
            let node = record.body().node;
            record.verify(name, node).ok()
        });
        farmers.extend(signed.filter(|body| body.role == Role::Farmer));
    }
    farmers
}

/// The newest word of each farmer, of at most [`REGISTERED_MAX`].
pub fn newest_words(words: impl IntoIterator<Item = RecordBody>) -> BTreeMap<NodeId, RecordBody> {
    let mut newest: BTreeMap<NodeId, RecordBody> = BTreeMap::new();
    for body in words {
        let is_newer = newest.get(&body.node).is_none_or(|kept| kept.seq < body.seq);
        if is_newer && (newest.len() < REGISTERED_MAX || newest.contains_key(&body.node)) {
            newest.insert(body.node, body);
        }
    }
    newest
}

/// Serves requests of other nodes.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// Whether the bodies of a store request may be read at all. Called before anything is allocated for them, and
    /// before the sender is known.
    fn admit(&self, parts: &[StoreHeader]) -> Result<(), Refusal>;

    /// Serves one request. Dropping the future gives it up; what it has acknowledged stays true.
    async fn handle(&self, from: NodeId, request: Request) -> Response;

    /// Serves one request of a node whose member has a quota. Who keeps nothing for anybody needs no such difference.
    async fn handle_within(&self, from: NodeId, _allowance: Allowance, request: Request) -> Response {
        self.handle(from, request).await
    }

    /// Hears what somebody has announced; says whether that was news to it, and is to be handed on. Called from a task that
    /// must not wait.
    fn hear(&self, _news: &News) -> bool {
        true
    }

    /// What it says of itself to every node it meets: a client's word unless it is more. Called every few seconds, from a
    /// task that must not wait; the adapter adds what it does itself.
    fn profile(&self) -> Profile {
        Profile::client()
    }
}

/// Serves nothing: what a node that only asks answers with.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoService;

#[async_trait]
impl Handler for NoService {
    fn admit(&self, _parts: &[StoreHeader]) -> Result<(), Refusal> {
        Err(Refusal::NotServed)
    }

    async fn handle(&self, _from: NodeId, _request: Request) -> Response {
        Response::Refused(Refusal::NotServed)
    }
}

/// What a node's answer showed about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerEvidence {
    /// It answered with what was asked.
    Correct,
    /// It sent bytes that are not what it said they were.
    WrongBytes,
}

/// A picture of the network's servers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The servers found, this node among them when it is one.
    pub nodes: BTreeSet<NodeId>,
    /// Whether every server named by another has answered and there are few enough to know them all.
    pub complete: bool,
}

impl Snapshot {
    /// The `count` servers closest to a position, closest first.
    pub fn closest(&self, to: Position, count: usize) -> Vec<NodeId> {
        closest(self.nodes.iter().copied(), to, count)
    }
}

/// A node as the adapter knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownNode {
    /// The node.
    pub node: NodeId,
    /// Its addresses, as text.
    pub addresses: Vec<String>,
    /// Whether a connection stands.
    pub connected: bool,
    /// How it was found: `bootstrap`, `mdns`, `dht`, `inbound`, `record`, `remembered`, `rendezvous`.
    pub found_by: &'static str,
    /// Last measured round trip.
    pub round_trip: Option<Duration>,
    /// The program it says it runs.
    pub agent: Option<String>,
    /// What it last said of itself, once both sides found a version they speak.
    pub hello: Option<Acquaintance>,
}

/// Why a request got no answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NetworkError {
    /// No address worked.
    #[error("{node} cannot be reached: {reason}")]
    Unreachable {
        /// The node.
        node: NodeId,
        /// What the last attempt said.
        reason: String,
    },
    /// It did not answer in time.
    #[error("{node} did not answer within {} s", after.as_secs())]
    Timeout {
        /// The node.
        node: NodeId,
        /// How long was waited.
        after: Duration,
    },
    /// The connection ended before the answer.
    #[error("the connection to {node} was lost")]
    ConnectionLost {
        /// The node.
        node: NodeId,
    },
    /// The answer breaks a rule of the protocol.
    #[error("{node} sent an answer that breaks the protocol")]
    BadAnswer {
        /// The node.
        node: NodeId,
    },
    /// The firewall of this node lets nothing of this kind go there, or waits for its operator's word.
    #[error("the firewall of this node denies requests to {node}")]
    Denied {
        /// The node.
        node: NodeId,
    },
    /// The firewall of the other node lets nothing of this kind in.
    #[error("{node} refuses: its firewall denies the request")]
    Refused {
        /// The node.
        node: NodeId,
    },
    /// The other node has too much to do, or asks its operator.
    #[error("{node} is busy, or its operator has not let us in yet")]
    Busy {
        /// The node.
        node: NodeId,
        /// Milliseconds after which to ask again.
        delay_ms: u32,
    },
    /// No node of the network is known.
    #[error("no node of the network can be reached")]
    NoPeers,
    /// Nodes of the network are there, and do not let this one in.
    #[error("the network does not let this node in: {reason}")]
    NotAdmitted {
        /// What they say.
        reason: Refused,
    },
    /// All that was met was a node of another network, or of no version that this one speaks.
    #[error("{node} cannot be talked to: {reason}")]
    Incompatible {
        /// The node.
        node: NodeId,
        /// What stands between the two.
        reason: HelloError,
    },
    /// This node is shutting down.
    #[error("the network has stopped")]
    Stopped,
}
