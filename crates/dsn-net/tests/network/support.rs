//! Nodes for tests: a handler that records and answers, and farmers on loopback.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use dsn_core::{
    announcement::News,
    hash::ChunkId,
    hello::Profile,
    identity::Identity,
    index_set::IndexSet,
    membership::Allowance,
    name::Name,
    node_id::NodeId,
    ports::Handler,
    rpc::{FetchedPart, Refusal, Request, Response, StoreHeader, StorePart, Token, Want},
};
use dsn_net::{NetOptions, Node};

pub(crate) const TCP: &str = "/ip4/127.0.0.1/tcp/0";
pub(crate) const QUIC: &str = "/ip4/127.0.0.1/udp/0/quic-v1";
pub(crate) const TOKEN: Token = Token([5; 16]);

/// Keeps what it is sent by index; serves it, or bytes it makes up.
#[derive(Default)]
pub(crate) struct Shelf {
    pub(crate) pieces: Mutex<BTreeMap<u8, Bytes>>,
    pub(crate) refuses: Option<Refusal>,
    pub(crate) delay: Duration,
    /// What it says of itself; nothing but that it is a client when none.
    pub(crate) profile: Mutex<Option<Profile>>,
    /// Who has announced that it leaves.
    pub(crate) departed: Mutex<Vec<NodeId>>,
    /// Names of which new versions were announced, with their numbers.
    pub(crate) named: Mutex<Vec<(Name, u64)>>,
    /// What is kept of the members with a quota whom it has served, once for each request.
    pub(crate) allowances: Mutex<Vec<Allowance>>,
    pub(crate) admitted: AtomicUsize,
    pub(crate) handled: AtomicUsize,
    pub(crate) at_once: AtomicUsize,
    pub(crate) most_at_once: AtomicUsize,
}

#[async_trait]
impl Handler for Shelf {
    fn admit(&self, _parts: &[StoreHeader]) -> Result<(), Refusal> {
        self.admitted.fetch_add(1, Ordering::SeqCst);
        self.refuses.map_or(Ok(()), Err)
    }

    fn hear(&self, news: &News) -> bool {
        match news {
            News::Departure(departure) => self.departed.lock().unwrap().push(departure.body().node),
            News::Name(record) => self.named.lock().unwrap().push((record.body().name, record.body().sequence)),
        }
        true
    }

    fn profile(&self) -> Profile {
        self.profile.lock().unwrap().clone().unwrap_or_else(Profile::client)
    }

    async fn handle(&self, _from: NodeId, request: Request) -> Response {
        let now = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_at_once.fetch_max(now, Ordering::SeqCst);
        if !self.delay.is_zero() {
            tokio::time::sleep(self.delay).await;
        }
        self.handled.fetch_add(1, Ordering::SeqCst);
        self.at_once.fetch_sub(1, Ordering::SeqCst);
        self.answer(request)
    }

    async fn handle_within(&self, from: NodeId, allowance: Allowance, request: Request) -> Response {
        self.allowances.lock().unwrap().push(allowance);
        self.handle(from, request).await
    }
}

impl Shelf {
    fn answer(&self, request: Request) -> Response {
        match request {
            Request::Store(parts) => {
                self.pieces.lock().unwrap().extend(parts.into_iter().map(|part| (part.index, part.bytes)));
                Response::Stored(Vec::new())
            }
            Request::Fetch(wants) => Response::Fetched(wants.iter().filter_map(|want| self.part(want)).collect()),
            Request::Holds(ids) => Response::Held(ids.iter().map(|_| IndexSet::one(3)).collect()),
            Request::Locate(ids) => Response::Located(ids.iter().map(|_| None).collect()),
            _ => Response::Refused(Refusal::NotServed),
        }
    }

    fn part(&self, want: &Want) -> Option<FetchedPart> {
        let index = want.indices.iter().next()?;
        let bytes = self.pieces.lock().unwrap().get(&index)?.clone();
        Some(FetchedPart { chunk: want.chunk, index, bytes })
    }
}

pub(crate) fn identity(number: u8) -> Identity {
    Identity::from_seed([number; 32])
}

pub(crate) fn client(number: u8) -> NetOptions {
    NetOptions { mdns: false, ..NetOptions::new(identity(number), "test".parse().unwrap()) }
}

pub(crate) fn farmer(number: u8, listen: &[&str]) -> NetOptions {
    let listen = listen.iter().map(|address| (*address).to_owned()).collect();
    NetOptions { serve: true, listen, ..client(number) }
}

pub(crate) fn towards(node: &Node, options: NetOptions) -> NetOptions {
    NetOptions { bootstrap: node.listen_addrs(), ..options }
}

pub(crate) async fn start(options: NetOptions) -> Node {
    start_with(options, Shelf::default()).await.0
}

pub(crate) async fn start_with(options: NetOptions, shelf: Shelf) -> (Node, Arc<Shelf>) {
    let shelf = Arc::new(shelf);
    let node = Node::start(options, Arc::clone(&shelf) as Arc<dyn Handler>).await.unwrap();
    (node, shelf)
}

/// So many farmers that know each other, numbered from 100.
pub(crate) async fn farmers(count: u8) -> Vec<Node> {
    let mut nodes = vec![start(farmer(100, &[TCP])).await];
    for number in 1..count {
        nodes.push(start(towards(&nodes[0], farmer(100 + number, &[TCP]))).await);
    }
    nodes
}

pub(crate) fn piece(len: usize) -> Bytes {
    (0..len).map(|i| u8::try_from(i * 7 % 251).unwrap()).collect()
}

pub(crate) fn store(index: u8, bytes: Bytes) -> Request {
    Request::Store(vec![StorePart { token: TOKEN, index, bytes }])
}

pub(crate) fn fetch(index: u8) -> Request {
    Request::Fetch(vec![Want { chunk: ChunkId::from_slice(&[8; 32]).unwrap(), indices: IndexSet::one(index) }])
}

pub(crate) fn holds() -> Request {
    Request::Holds(vec![ChunkId::from_slice(&[8; 32]).unwrap()])
}

/// The bytes of a fetch's first part.
pub(crate) fn body(response: Response) -> Bytes {
    match response {
        Response::Fetched(mut parts) => parts.remove(0).bytes,
        other => panic!("not a fetch answer: {other:?}"),
    }
}
