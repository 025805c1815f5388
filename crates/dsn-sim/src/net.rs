//! The network port on virtual time. Every message passes through the real framing, so what the wire format cannot carry
//! fails here too. Delays, losses and lies come from one generator, in the order in which messages are sent.

mod names;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use dsn_core::{
    hash::ChunkId,
    index_set::IndexSet,
    limits::{CUSTODIANS, SNAPSHOT_VALID_SECS},
    locator::Locator,
    name::{Name, NameRecords},
    node_id::{NodeId, Position},
    ports::{Handler, KnownNode, Network, NetworkError, PeerEvidence, Snapshot},
    rpc::{
        Audited, FarmerInfo, OfferAnswer, Refusal, Request, Response,
        frame::{Frame, RequestHead, ResponseHead, bodies_len, fetched_response, sliced_response, store_request},
        kind,
    },
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::time::{Instant, sleep};

use crate::{
    fault::{Fault, FaultCounts, Lie},
    trace::Trace,
};

/// How long a caller waits for an answer that never comes.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// How messages travel.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// Shortest way there.
    pub delay_min: Duration,
    /// Longest usual way there.
    pub delay_max: Duration,
    /// Messages in a thousand that vanish.
    pub loss_permille: u32,
    /// Messages in a thousand that take a hundred times as long.
    pub late_permille: u32,
}

impl Default for Link {
    fn default() -> Self {
        let (delay_min, delay_max) = (Duration::from_millis(1), Duration::from_millis(20));
        Self { delay_min, delay_max, loss_permille: 0, late_permille: 0 }
    }
}

struct Node {
    handler: Option<Arc<dyn Handler>>,
    /// Changes with every crash, so that answers of an earlier life are not delivered.
    life: u64,
    hung: bool,
    lie: Option<Lie>,
    /// How long it takes over a request, beside what it really does.
    slow: Duration,
    server: bool,
    /// Nodes talk only within their group.
    group: u8,
}

struct Inner {
    rng: ChaCha8Rng,
    link: Link,
    nodes: BTreeMap<NodeId, Node>,
    trace: Trace,
    faults: FaultCounts,
    seen_locators: BTreeSet<Vec<u8>>,
    first_locators: BTreeMap<ChunkId, Locator>,
    first_names: BTreeMap<Name, NameRecords>,
}

/// All nodes and the links between them.
pub struct SimNet {
    inner: Mutex<Inner>,
}

/// One node's view of the network.
pub(crate) struct SimPort {
    net: Arc<SimNet>,
    id: NodeId,
    snapshot: Mutex<Option<(Instant, Snapshot)>>,
}

/// What became of a message.
enum Delivery {
    To(Arc<dyn Handler>, u64, Option<Lie>, Duration),
    Refused,
    Lost,
}

impl SimNet {
    pub(crate) fn new(seed: u64, link: Link, start: Instant) -> Arc<Self> {
        let inner = Inner {
            rng: ChaCha8Rng::seed_from_u64(seed),
            link,
            nodes: BTreeMap::new(),
            trace: Trace::new(start),
            faults: FaultCounts::default(),
            seen_locators: BTreeSet::new(),
            first_locators: BTreeMap::new(),
            first_names: BTreeMap::new(),
        };
        Arc::new(Self { inner: Mutex::new(inner) })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a node; its port is how it sees the network.
    pub(crate) fn join(self: &Arc<Self>, id: NodeId, server: bool) -> Arc<SimPort> {
        let node = Node { handler: None, life: 0, hung: false, lie: None, slow: Duration::ZERO, server, group: 0 };
        self.inner().nodes.insert(id, node);
        Arc::new(SimPort { net: Arc::clone(self), id, snapshot: Mutex::default() })
    }

    pub(crate) fn start(&self, id: NodeId, handler: Arc<dyn Handler>) {
        self.change(id, |node| node.handler = Some(handler));
    }

    /// The node stops at once.
    pub(crate) fn stop(&self, id: NodeId) {
        self.change(id, |node| {
            node.handler = None;
            node.life += 1;
        });
    }

    pub(crate) fn hang(&self, id: NodeId) {
        self.change(id, |node| node.hung = true);
    }

    pub(crate) fn lie(&self, id: NodeId, lie: Option<Lie>) {
        self.change(id, |node| node.lie = lie);
    }

    /// Every request takes it so much longer from now on.
    pub(crate) fn slow(&self, id: NodeId, by: Duration) {
        self.change(id, |node| node.slow = by);
    }

    /// Only nodes of one group can talk from now on.
    pub(crate) fn set_group(&self, id: NodeId, group: u8) {
        self.change(id, |node| node.group = group);
    }

    fn change(&self, id: NodeId, work: impl FnOnce(&mut Node)) {
        if let Some(node) = self.inner().nodes.get_mut(&id) {
            work(node);
        }
    }

    pub(crate) fn is_up(&self, id: NodeId) -> bool {
        self.inner().nodes.get(&id).is_some_and(|node| node.handler.is_some() && !node.hung)
    }

    pub(crate) fn count(&self, fault: Fault) {
        self.inner().faults.count(fault);
    }

    pub(crate) fn record(&self, event: fmt::Arguments<'_>) {
        self.inner().trace.record(event);
    }

    pub(crate) fn faults(&self) -> FaultCounts {
        self.inner().faults.clone()
    }

    pub(crate) fn trace_hash(&self) -> (String, u64) {
        self.inner().trace.hash()
    }

    fn servers_seen_by(&self, id: NodeId) -> BTreeSet<NodeId> {
        let inner = self.inner();
        let group = inner.nodes.get(&id).map_or(0, |node| node.group);
        let up = |node: &&Node| node.server && node.handler.is_some() && node.group == group;
        inner.nodes.iter().filter(|(_, node)| up(node)).map(|(id, _)| *id).collect()
    }

    /// How long a message of `bytes` takes; none when it vanishes. 100 Mbit/s beside the delay.
    fn travel(&self, bytes: usize) -> Option<Duration> {
        let mut inner = self.inner();
        let link = inner.link;
        let delay = inner.rng.random_range(link.delay_min..=link.delay_max);
        let dice = inner.rng.random_range(0..1000);
        if dice < link.loss_permille {
            inner.faults.count(Fault::Loss);
            return None;
        }
        let late = dice < link.loss_permille + link.late_permille;
        if late {
            inner.faults.count(Fault::Delay);
        }
        let delay = if late { delay * 100 } else { delay };
        Some(delay + Duration::from_micros(bytes as u64 * 8 / 100))
    }

    fn deliver(&self, from: NodeId, to: NodeId) -> Delivery {
        let mut inner = self.inner();
        let group = inner.nodes.get(&from).map_or(0, |node| node.group);
        let (partition, hang) = match inner.nodes.get(&to) {
            None => return Delivery::Refused,
            Some(node) if node.group != group => (true, false),
            Some(node) if node.hung => (false, true),
            Some(node) => match &node.handler {
                Some(handler) => return Delivery::To(Arc::clone(handler), node.life, node.lie, node.slow),
                None => return Delivery::Refused,
            },
        };
        if partition {
            inner.faults.count(Fault::Partition);
        }
        if hang {
            inner.faults.count(Fault::Hang);
        }
        Delivery::Lost
    }

    fn life(&self, id: NodeId) -> Option<u64> {
        self.inner().nodes.get(&id).filter(|node| node.handler.is_some()).map(|node| node.life)
    }

    /// What a liar makes of its answer.
    fn twist(&self, lie: Option<Lie>, response: Response) -> Response {
        let mut inner = self.inner();
        match (lie, response) {
            (Some(Lie::WrongBytes), Response::Fetched(mut parts)) if !parts.is_empty() => {
                inner.faults.count(Fault::Lied(Lie::WrongBytes));
                for part in &mut parts {
                    let mut bytes = BytesMut::from(&part.bytes[..]);
                    let place = inner.rng.random_range(0..bytes.len());
                    bytes[place] ^= 1;
                    part.bytes = bytes.freeze();
                }
                Response::Fetched(parts)
            }
            (Some(Lie::Drops), Response::Fetched(parts)) if !parts.is_empty() => {
                inner.faults.count(Fault::Lied(Lie::Drops));
                Response::Fetched(Vec::new())
            }
            (lie, Response::Sliced(slices)) => Response::Sliced(inner.twist_slices(lie, slices)),
            (Some(Lie::WrongBytes), Response::Audited(mut audited)) if audited.slices.iter().any(Option::is_some) => {
                inner.faults.count(Fault::Lied(Lie::WrongBytes));
                for slice in audited.slices.iter_mut().flatten() {
                    let mut bytes = BytesMut::from(&slice[..]);
                    bytes[0] ^= 1;
                    *slice = bytes.freeze();
                }
                Response::Audited(audited)
            }
            (Some(Lie::Drops | Lie::ClaimsAll), Response::Audited(audited)) if !audited.slices.is_empty() => {
                inner.faults.count(Fault::Lied(lie.unwrap_or(Lie::Drops)));
                let slices = vec![None; audited.slices.len()];
                Response::Audited(Audited { slices, ..audited })
            }
            (Some(Lie::ClaimsAll), Response::Fetched(parts)) if !parts.is_empty() => Response::Fetched(Vec::new()),
            (Some(Lie::ClaimsAll), Response::Held(sets)) => Response::Held(vec![IndexSet::below(48); sets.len()]),
            (Some(Lie::ForgesIntents), Response::Intended(yields)) => {
                inner.faults.count(Fault::Lied(Lie::ForgesIntents));
                Response::Intended(vec![false; yields.len()])
            }
            (Some(Lie::Space), Response::Info(info)) => Response::Info(FarmerInfo { free_bytes: u64::MAX, ..info }),
            (Some(Lie::Space), Response::Offered(answers)) => {
                inner.faults.count(Fault::Lied(Lie::Space));
                Response::Offered(answers.iter().map(|_| OfferAnswer::Full).collect())
            }
            (lie, Response::Names(found)) => Response::Names(inner.twist_names(lie, found)),
            (Some(Lie::StaleLocators), Response::Located(entries)) if entries.iter().any(Option::is_some) => {
                inner.faults.count(Fault::Lied(Lie::StaleLocators));
                let first = &inner.first_locators;
                let stale = |locator: Locator| first.get(&locator.chunk()).cloned().unwrap_or(locator);
                Response::Located(entries.into_iter().map(|entry| entry.map(stale)).collect())
            }
            (Some(Lie::HidesLocators), Response::Located(entries)) if entries.iter().any(Option::is_some) => {
                inner.faults.count(Fault::Lied(Lie::HidesLocators));
                Response::Located(vec![None; entries.len()])
            }
            (Some(Lie::OtherLocator), Response::Located(entries)) if entries.iter().any(Option::is_some) => {
                inner.other_locator(entries)
            }
            (_, response) => {
                if let Response::Located(entries) = &response {
                    for locator in entries.iter().flatten() {
                        inner.first_locators.entry(locator.chunk()).or_insert_with(|| locator.clone());
                    }
                    let seen = entries.iter().flatten().map(|locator| locator.encode().to_vec());
                    inner.seen_locators.extend(seen);
                }
                response
            }
        }
    }
}

impl Inner {
    /// What a liar makes of slices.
    fn twist_slices(&mut self, lie: Option<Lie>, slices: Vec<Option<Bytes>>) -> Vec<Option<Bytes>> {
        let Some(shortest) = slices.iter().flatten().map(Bytes::len).min() else { return slices };
        match lie {
            Some(Lie::WrongBytes) => {
                self.faults.count(Fault::Lied(Lie::WrongBytes));
                let place = self.rng.random_range(0..shortest);
                let twist = |slice: Bytes| {
                    let mut bytes = BytesMut::from(&slice[..]);
                    bytes[place] ^= 1;
                    bytes.freeze()
                };
                slices.into_iter().map(|slice| slice.map(twist)).collect()
            }
            Some(lie @ (Lie::Drops | Lie::ClaimsAll)) => {
                self.faults.count(Fault::Lied(lie));
                vec![None; slices.len()]
            }
            _ => slices,
        }
    }

    /// The locators of chunks seen earlier, in place of those asked for.
    fn other_locator(&mut self, entries: Vec<Option<Locator>>) -> Response {
        let other = self.seen_locators.first().and_then(|bytes| Locator::decode(&Bytes::copy_from_slice(bytes)).ok());
        if other.is_some() {
            self.faults.count(Fault::Lied(Lie::OtherLocator));
        }
        Response::Located(entries.into_iter().map(|entry| other.clone().or(entry)).collect())
    }
}

/// The request as the other side reads it; none when it cannot be read or is not admitted.
fn through_the_wire(frame: &Frame, handler: &dyn Handler) -> Option<Result<Request, Refusal>> {
    match RequestHead::decode(&frame.header).ok()? {
        RequestHead::Complete(request) => Some(Ok(request)),
        RequestHead::Store(headers) => {
            if let Err(refusal) = handler.admit(&headers) {
                return Some(Err(refusal));
            }
            let bodies = Bytes::from(frame.bodies.concat());
            (bodies.len() == bodies_len(headers.iter().map(|h| h.len))).then(|| Ok(store_request(&headers, bodies)))
        }
    }
}

fn back_through_the_wire(frame: &Frame) -> Option<Response> {
    match ResponseHead::decode(&frame.header).ok()? {
        ResponseHead::Complete(response) => Some(response),
        ResponseHead::Fetched(headers) => Some(fetched_response(&headers, Bytes::from(frame.bodies.concat()))),
        ResponseHead::Sliced(lens) => Some(sliced_response(&lens, Bytes::from(frame.bodies.concat()))),
    }
}

/// A node in the trace: enough of its id to tell it from others, and cheap.
struct Short(NodeId);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0.0;
        write!(f, "{:08x}", u32::from_be_bytes([a, b, c, d]))
    }
}

impl SimPort {
    async fn exchange(&self, to: NodeId, request: &Request) -> Result<Response, NetworkError> {
        let lost = || async move {
            sleep(REQUEST_TIMEOUT).await;
            Err(NetworkError::Timeout { node: to, after: REQUEST_TIMEOUT })
        };
        let frame = Frame::from(request);
        let Some(there) = self.net.travel(frame.len()) else { return lost().await };
        sleep(there).await;
        let (handler, life, lie, slow) = match self.net.deliver(self.id, to) {
            Delivery::To(handler, life, lie, slow) => (handler, life, lie, slow),
            Delivery::Refused => {
                return Err(NetworkError::Unreachable { node: to, reason: "connection refused".into() });
            }
            Delivery::Lost => return lost().await,
        };
        if slow > Duration::ZERO {
            self.net.count(Fault::SlowDisk);
            sleep(slow).await;
        }
        if lie == Some(Lie::NoSlices) && matches!(request, Request::Slices(_)) {
            self.net.count(Fault::Lied(Lie::NoSlices));
            return Err(NetworkError::ConnectionLost { node: to });
        }
        let response = match through_the_wire(&frame, &*handler) {
            Some(Ok(request)) => handler.handle(self.id, request).await,
            Some(Err(refusal)) => Response::Refused(refusal),
            None => return Err(NetworkError::ConnectionLost { node: to }),
        };
        let frame = Frame::from(&self.net.twist(lie, response));
        let Some(back) = self.net.travel(frame.len()) else { return lost().await };
        sleep(back).await;
        if self.net.life(to) != Some(life) {
            return Err(NetworkError::ConnectionLost { node: to });
        }
        back_through_the_wire(&frame).ok_or(NetworkError::BadAnswer { node: to })
    }
}

#[async_trait]
impl Network for SimPort {
    fn local_id(&self) -> NodeId {
        self.id
    }

    async fn request(&self, to: NodeId, request: Request) -> Result<Response, NetworkError> {
        let what = kind(&request);
        let result = self.exchange(to, &request).await;
        let outcome = match &result {
            Ok(Response::Refused(_)) => "refused",
            Ok(_) => "ok",
            Err(_) => "failed",
        };
        self.net.record(format_args!("{} > {} {what} {outcome}", Short(self.id), Short(to)));
        result
    }

    async fn snapshot(&self, fresh: bool) -> Result<Snapshot, NetworkError> {
        let mut known = self.snapshot.lock().unwrap_or_else(PoisonError::into_inner);
        let valid = Duration::from_secs(SNAPSHOT_VALID_SECS);
        match &*known {
            Some((taken, snapshot)) if !fresh && taken.elapsed() < valid => Ok(snapshot.clone()),
            _ => {
                let nodes = self.net.servers_seen_by(self.id);
                if nodes.is_empty() {
                    return Err(NetworkError::NoPeers);
                }
                let snapshot = Snapshot { nodes, complete: true };
                *known = Some((Instant::now(), snapshot.clone()));
                Ok(snapshot)
            }
        }
    }

    async fn look_up(&self, key: [u8; 32]) -> Result<Vec<NodeId>, NetworkError> {
        sleep(Duration::from_millis(50)).await;
        let nodes = self.net.servers_seen_by(self.id);
        if nodes.is_empty() {
            return Err(NetworkError::NoPeers);
        }
        Ok(Snapshot { nodes, complete: true }.closest(Position::of_key(&key), CUSTODIANS))
    }

    fn report(&self, node: NodeId, evidence: PeerEvidence) {
        self.net.record(format_args!("{} reports {node} {evidence:?}", self.id));
    }

    async fn known_nodes(&self) -> Result<Vec<KnownNode>, NetworkError> {
        let known = |node| KnownNode {
            node,
            addresses: Vec::new(),
            connected: true,
            found_by: "simulated",
            round_trip: None,
            agent: None,
            hello: None,
        };
        Ok(self.net.servers_seen_by(self.id).into_iter().map(known).collect())
    }
}
