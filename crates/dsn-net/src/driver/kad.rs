//! Finding nodes: look-ups by Kademlia, and snapshots of the whole network made of look-ups. Not here: which keys a crawl
//! looks up (`crawl`), who is dialled for a request (`peers`), what is known without Kademlia (`known`). Invariant: every question is answered, at the latest when
//! its look-ups end or, with nobody there, when the time to wait for somebody is over.

mod introduction;
mod known;

use std::{
    collections::{BTreeSet, HashMap},
    time::{Duration, Instant},
};

use dsn_core::{
    limits::{CUSTODIANS, SNAPSHOT_VALID_SECS},
    node_id::{NodeId, Position, closest},
    ports::{NetworkError, Snapshot},
};
use libp2p::{
    Multiaddr, PeerId,
    kad::{
        Addresses, Behaviour as Kademlia, Event, GetClosestPeersError, GetClosestPeersOk, KBucketKey as Key,
        KBucketRef, PeerInfo, QueryId, QueryResult, store::MemoryStore,
    },
};
use tokio::sync::oneshot;

use self::introduction::Introduction;
use super::Driver;
use crate::{
    address,
    book::FoundBy,
    crawl::{Crawl, LOOK_UP_RESULTS, Region},
    identity::{node_id, peer_id},
};

/// Look-ups of a crawl that run at once: enough to hide round trips, few enough not to flood the network.
const CRAWL_PARALLELISM: usize = 4;
/// A picture known to have holes is believed this long only.
const INCOMPLETE_VALID: Duration = Duration::from_secs(10);
/// Questions that wait for the first servers; more come from a program that asks without waiting.
const UNSEEDED_MAX: usize = 1024;
/// Servers of one subnet in one bucket of the routing table.
const SUBNET_MAX_PER_BUCKET: usize = 2;
/// And in all of it.
const SUBNET_MAX: usize = 3;
/// Servers that a crawl did not come by and asks one by one.
const PROBES_MAX: usize = 64;

/// Look-ups in progress and what they are for.
#[derive(Default)]
pub(super) struct Finder {
    queries: HashMap<QueryId, Purpose>,
    crawl: Option<Crawling>,
    latest: Option<(Instant, Snapshot)>,
    unseeded: Vec<(Instant, Question)>,
    /// Somebody was left out of the routing table for its subnet's sake, and the operator was told.
    crowded: bool,
    introduction: Introduction,
}

enum Purpose {
    LookUp {
        key: [u8; 32],
        reply: LookUpReply,
    },
    /// For a request that waits for this node.
    Find(NodeId),
    Crawl(Region, [u8; 32]),
    Probe(NodeId),
    /// To introduce this node to its neighbours.
    Introduction,
}

/// What waits until a server is known.
enum Question {
    LookUp { key: [u8; 32], reply: LookUpReply },
    Snapshot { reply: SnapshotReply },
    Find(NodeId),
}

type LookUpReply = oneshot::Sender<Result<Vec<NodeId>, NetworkError>>;
type SnapshotReply = oneshot::Sender<Result<Snapshot, NetworkError>>;

/// A crawl and who waits for it.
struct Crawling {
    crawl: Crawl,
    running: usize,
    probed: bool,
    waiting: Vec<SnapshotReply>,
    started: Instant,
}

impl Driver {
    pub(super) fn is_looking_up(&self) -> bool {
        !self.finder.queries.is_empty()
    }

    pub(super) fn knows_servers(&mut self) -> bool {
        match self.kad() {
            Some(kad) => kad.kbuckets().next().is_some(),
            None => self.knows_farmers(),
        }
    }

    /// The DHT, where it is not switched off.
    pub(super) fn kad(&mut self) -> Option<&mut Kademlia<MemoryStore>> {
        self.swarm.behaviour_mut().protocols.kad.as_mut()
    }

    fn can_ask(&mut self) -> bool {
        self.knows_servers() && !self.is_greeting(Instant::now())
    }

    /// The servers closest to a key, by a look-up.
    pub(super) fn look_up(&mut self, key: [u8; 32], reply: LookUpReply) {
        if !self.can_ask() {
            return self.ask_later(Question::LookUp { key, reply });
        }
        let Some(kad) = self.kad() else { return drop(reply.send(Ok(self.acquainted_near(&key)))) };
        let query = kad.get_closest_peers(key.to_vec());
        self.finder.queries.insert(query, Purpose::LookUp { key, reply });
    }

    /// Looks for a node by its id: the look-up asks its neighbours where it is, and dials it there.
    pub(super) fn find(&mut self, node: NodeId) {
        if !self.can_ask() {
            return self.ask_later(Question::Find(node));
        }
        let Some(kad) = self.kad() else { return self.give_up(node) };
        let query = kad.get_closest_peers(peer_id(&node));
        self.finder.queries.insert(query, Purpose::Find(node));
    }

    /// The network as last crawled, or as crawled now; callers who come during a crawl share it.
    pub(super) fn snapshot(&mut self, fresh: bool, reply: SnapshotReply) {
        let now = Instant::now();
        if let Some(snapshot) = self.finder.latest(now).filter(|_| !fresh) {
            return drop(reply.send(Ok(snapshot.clone())));
        }
        if let Some(crawling) = &mut self.finder.crawl {
            return crawling.waiting.push(reply);
        }
        if !self.can_ask() {
            return self.ask_later(Question::Snapshot { reply });
        }
        if self.is_settling(now) && self.finder.unseeded.len() < UNSEEDED_MAX {
            return self.finder.unseeded.push((now + self.waits.seed, Question::Snapshot { reply }));
        }
        if !self.dht {
            return drop(reply.send(Ok(self.acquainted())));
        }
        let waiting = vec![reply];
        self.finder.crawl = Some(Crawling { crawl: Crawl::new(), running: 0, probed: false, waiting, started: now });
        self.go_on_crawling();
    }

    fn ask_later(&mut self, question: Question) {
        let now = Instant::now();
        if self.is_seeding(now) && self.finder.unseeded.len() < UNSEEDED_MAX {
            self.finder.unseeded.push((now + self.waits.seed, question));
            self.seed_soon(now);
        } else {
            self.answer_alone(question);
        }
    }

    /// Nobody is there: a server is its whole network, a client has none.
    fn answer_alone(&mut self, question: Question) {
        let me = self.serves().then_some(self.local).ok_or_else(|| self.nobody());
        let complete = self.dials.seeds.is_alone();
        match question {
            Question::LookUp { reply, .. } => drop(reply.send(me.map(|me| vec![me]))),
            Question::Snapshot { reply } => {
                drop(reply.send(me.map(|me| Snapshot { nodes: BTreeSet::from([me]), complete })));
            }
            Question::Find(node) => self.give_up(node),
        }
    }

    /// Why there is nobody.
    fn nobody(&self) -> NetworkError {
        self.dials.outside.clone().unwrap_or(NetworkError::NoPeers)
    }

    pub(super) fn give_up_unseeded(&mut self, now: Instant) {
        while let Some(late) = self.finder.unseeded.iter().position(|(deadline, _)| *deadline <= now) {
            let (_, question) = self.finder.unseeded.swap_remove(late);
            self.answer_alone(question);
        }
    }

    /// Nobody will turn up in time for the questions that wait.
    pub(super) fn give_up_questions(&mut self) {
        for (_, question) in std::mem::take(&mut self.finder.unseeded) {
            self.answer_alone(question);
        }
    }

    /// A server of our network says where it is.
    pub(super) fn meet_server(&mut self, peer: PeerId, node: NodeId, addresses: Vec<Multiaddr>) {
        let first = !self.knows_servers();
        if !self.diversifies(peer, &addresses) {
            if !std::mem::replace(&mut self.finder.crowded, true) {
                tracing::warn!(%node, "its subnet has its share of the routing table: left out, as others of that subnet will be");
            }
            return;
        }
        let stale = self.table_addresses(peer, |known| !addresses.contains(known));
        if let Some(kad) = self.kad() {
            for address in &addresses {
                kad.add_address(&peer, address.clone());
            }
            for address in stale.iter().filter(|_| !addresses.is_empty()) {
                kad.remove_address(&peer, address);
            }
        }
        if let Some((_, latest)) = &mut self.finder.latest {
            latest.nodes.insert(node);
        }
        if first && self.knows_servers() {
            self.on_first_server();
        }
    }

    /// Whether a server may enter the routing table, by what its subnet has there already. A LAN is one subnet and exempt.
    fn diversifies(&mut self, peer: PeerId, addresses: &[Multiaddr]) -> bool {
        let Some(subnet) = addresses.iter().find(|at| address::is_public(at)).and_then(address::subnet) else {
            return true;
        };
        let Some(kad) = self.kad() else { return true };
        let of_subnet = |bucket: &KBucketRef<'_, Key<PeerId>, Addresses>| {
            let others = bucket.iter().filter(|entry| *entry.node.key.preimage() != peer);
            others.filter(|entry| entry.node.value.iter().any(|at| address::subnet(at) == Some(subnet))).count()
        };
        let in_bucket = kad.kbucket(peer).map_or(0, |bucket| of_subnet(&bucket));
        let in_all: usize = kad.kbuckets().map(|bucket| of_subnet(&bucket)).sum();
        let known: usize = kad.kbuckets().map(|bucket| bucket.num_entries()).sum();
        has_room_for_subnet(known, in_bucket, in_all)
    }

    /// Addresses of a node in the routing table that `pick` picks.
    fn table_addresses(&mut self, peer: PeerId, pick: impl Fn(&Multiaddr) -> bool) -> Vec<Multiaddr> {
        let Some(bucket) = self.kad().and_then(|kad| kad.kbucket(peer)) else { return Vec::new() };
        let known = bucket.iter().filter(|entry| *entry.node.key.preimage() == peer);
        let addresses = known.flat_map(|entry| entry.node.value.iter().cloned().collect::<Vec<_>>());
        addresses.filter(|address| pick(&address::split(address).0)).collect()
    }

    fn on_first_server(&mut self) {
        tracing::info!("the network is there");
        self.dials.outside = None;
        if self.serves() {
            self.finder.introduction = Introduction::default();
            self.introduce();
        }
        self.ask_again();
    }

    /// Looks for this node's neighbours, which so come to know it.
    fn introduce(&mut self) {
        let local = peer_id(&self.local);
        let Some(query) = self.kad().map(|kad| kad.get_closest_peers(local)) else { return };
        self.finder.queries.insert(query, Purpose::Introduction);
    }

    /// Introduces this node once more where few neighbours have answered: those who had no time, or came at the same time,
    /// would not find it.
    pub(super) fn introduce_again(&mut self, now: Instant) {
        if self.finder.introduction.is_due(now) && self.knows_servers() {
            self.introduce();
        }
    }

    /// Once the bootstrap nodes have come or failed to, what waited for that is asked.
    pub(super) fn ask_when_settled(&mut self, now: Instant) {
        if !self.finder.unseeded.is_empty() && self.can_ask() && !self.is_settling(now) {
            self.ask_again();
        }
    }

    fn ask_again(&mut self) {
        for (_, question) in std::mem::take(&mut self.finder.unseeded) {
            match question {
                Question::LookUp { key, reply } => self.look_up(key, reply),
                Question::Snapshot { reply } => self.snapshot(false, reply),
                Question::Find(node) => self.find(node),
            }
        }
    }

    /// A node is no server, or is gone.
    pub(super) fn forget_server(&mut self, peer: PeerId, node: NodeId) {
        let known = self.kad().is_none_or(|kad| kad.remove_peer(&peer).is_some());
        if let Some((_, latest)) = &mut self.finder.latest {
            latest.nodes.remove(&node);
        }
        if known && !self.knows_servers() {
            tracing::warn!("no server of the network is known any more");
            self.seed_soon(Instant::now());
        }
    }

    /// Keeps the routing table true.
    pub(super) fn refresh_table(&mut self) {
        if self.kad().is_some_and(|kad| kad.bootstrap().is_err()) {
            tracing::debug!("no server to refresh the routing table from");
        }
    }

    pub(super) fn on_kad_event(&mut self, event: Event) {
        let Event::OutboundQueryProgressed { id, result: QueryResult::GetClosestPeers(result), .. } = event else {
            return;
        };
        let (peers, ended) = match result {
            Ok(GetClosestPeersOk { peers, .. }) => (peers, true),
            Err(GetClosestPeersError::Timeout { peers, .. }) => (peers, false),
        };
        let found = self.learn(peers);
        match self.finder.queries.remove(&id) {
            Some(Purpose::LookUp { key, reply }) => self.on_looked_up(key, found, reply),
            Some(Purpose::Find(node)) => self.on_find_ended(node),
            Some(Purpose::Crawl(region, key)) => self.on_crawled(region, key, &found, ended),
            Some(Purpose::Probe(node)) => self.on_probed(node, &found),
            Some(Purpose::Introduction) => {
                self.finder.introduction.ended(found.len() >= LOOK_UP_RESULTS, Instant::now());
            }
            None => {} // of the refresh
        }
    }

    /// All these have answered.
    fn learn(&mut self, peers: Vec<PeerInfo>) -> Vec<NodeId> {
        let now = Instant::now();
        let mut nodes = Vec::new();
        for PeerInfo { peer_id, addrs } in peers {
            let Some(node) = node_id(&peer_id).filter(|node| *node != self.local) else { continue };
            let entry = self.book.entry(node, FoundBy::Dht, now);
            if !entry.is_connected() {
                addrs.iter().for_each(|address| entry.learn(address)); // else it has said itself where it is
            }
            nodes.push(node);
        }
        nodes
    }

    fn on_looked_up(&mut self, key: [u8; 32], found: Vec<NodeId>, reply: LookUpReply) {
        let me = self.serves().then_some(self.local);
        let nodes = closest(found.into_iter().chain(me), Position::of_key(&key), LOOK_UP_RESULTS);
        let _nobody_waits = reply.send(if nodes.is_empty() { Err(self.nobody()) } else { Ok(nodes) });
    }

    fn on_crawled(&mut self, region: Region, key: [u8; 32], found: &[NodeId], ended: bool) {
        let Some(crawling) = &mut self.finder.crawl else { return };
        crawling.running -= 1;
        if ended {
            crawling.crawl.on_found(region, key, found);
        } else {
            crawling.crawl.on_failed(found);
        }
        self.go_on_crawling();
    }

    fn on_probed(&mut self, node: NodeId, found: &[NodeId]) {
        let connected = self.is_connected(&node);
        let Some(crawling) = &mut self.finder.crawl else { return };
        crawling.running -= 1;
        found.iter().for_each(|found| crawling.crawl.on_answered(*found));
        if connected && !crawling.crawl.has(&node) {
            crawling.crawl.on_silent();
        }
        self.go_on_crawling();
    }

    /// A server may stand that this node had no room to ask.
    pub(super) fn crawl_has_a_hole(&mut self) {
        if let Some(crawling) = &mut self.finder.crawl {
            crawling.crawl.on_silent();
        }
    }

    fn go_on_crawling(&mut self) {
        let (Some(crawling), Some(kad)) = (&mut self.finder.crawl, self.swarm.behaviour_mut().protocols.kad.as_mut())
        else {
            return;
        };
        while crawling.running < CRAWL_PARALLELISM
            && let Some((region, key)) = crawling.crawl.next()
        {
            let query = kad.get_closest_peers(key.to_vec());
            self.finder.queries.insert(query, Purpose::Crawl(region, key));
            crawling.running += 1;
        }
        if crawling.running == 0 && crawling.crawl.is_drained() {
            if crawling.probed { self.end_crawl() } else { self.probe_the_rest() }
        }
    }

    /// Servers that others named or that are connected, but that no look-up came by, are asked one by one.
    fn probe_the_rest(&mut self) {
        let Some(kad) = self.swarm.behaviour_mut().protocols.kad.as_mut() else { return };
        let named: BTreeSet<NodeId> = (kad.kbuckets())
            .flat_map(|bucket| bucket.iter().filter_map(|entry| node_id(entry.node.key.preimage())).collect::<Vec<_>>())
            .chain(self.book.iter().filter(|(_, entry)| entry.server && entry.is_connected()).map(|(node, _)| *node))
            .collect();
        let Some(crawling) = &mut self.finder.crawl else { return };
        crawling.probed = true;
        let rest: Vec<_> = named.into_iter().filter(|node| !crawling.crawl.has(node)).collect();
        if rest.len() > PROBES_MAX {
            crawling.crawl.on_silent();
        }
        for node in rest.into_iter().take(PROBES_MAX) {
            let query = kad.get_closest_peers(peer_id(&node));
            self.finder.queries.insert(query, Purpose::Probe(node));
            crawling.running += 1;
        }
        if crawling.running == 0 {
            self.end_crawl();
        }
    }

    fn end_crawl(&mut self) {
        let Some(crawling) = self.finder.crawl.take() else { return };
        let took = crawling.started.elapsed();
        let (mut nodes, complete) = crawling.crawl.finish();
        // It may have answered before it said which version it speaks.
        nodes.retain(|node| self.book.get(node).is_none_or(|entry| !entry.is_shunned(Instant::now())));
        nodes.extend(self.serves().then_some(self.local));
        tracing::debug!(nodes = nodes.len(), complete, ?took, "network crawled");
        let result = if nodes.is_empty() { Err(self.nobody()) } else { Ok(Snapshot { nodes, complete }) };
        if let Ok(snapshot) = &result {
            self.finder.latest = Some((Instant::now(), snapshot.clone()));
        }
        for reply in crawling.waiting {
            let _nobody_waits = reply.send(result.clone());
        }
    }
}

/// Whether a routing table of so many servers takes one more of a subnet that has so many in the bucket and in all: at most
/// [`SUBNET_MAX_PER_BUCKET`] and [`SUBNET_MAX`], so that nobody surrounds this node from one rack. A network so small that
/// all of it are custodians may be in one subnet, as that of a university.
fn has_room_for_subnet(known: usize, in_bucket: usize, in_all: usize) -> bool {
    known < CUSTODIANS || in_bucket < SUBNET_MAX_PER_BUCKET && in_all < SUBNET_MAX
}

impl Finder {
    fn latest(&self, now: Instant) -> Option<&Snapshot> {
        let (made, snapshot) = self.latest.as_ref()?;
        let valid = if snapshot.complete { Duration::from_secs(SNAPSHOT_VALID_SECS) } else { INCOMPLETE_VALID };
        (now < *made + valid).then_some(snapshot)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use dsn_core::{identity::Identity, ports::NoService};
    use tokio::sync::mpsc;

    use super::*;
    use crate::NetOptions;

    #[test]
    fn one_subnet_gets_two_places_in_a_bucket_and_three_in_all() {
        assert!(has_room_for_subnet(CUSTODIANS, 1, 2));
        assert!(!has_room_for_subnet(CUSTODIANS, 2, 2), "the bucket has two");
        assert!(!has_room_for_subnet(CUSTODIANS, 0, 3), "the table has three");
        assert!(has_room_for_subnet(CUSTODIANS - 1, 9, 19), "a small network may be one subnet");
    }

    #[tokio::test]
    async fn a_crowd_in_one_subnet_does_not_surround_a_node() {
        let options = NetOptions::new(Identity::from_seed([255; 32]), "main".parse().unwrap());
        let (_commands, inbox) = mpsc::channel(1);
        let mut driver = Driver::new(&options, Arc::new(NoService), inbox).unwrap();
        let mut meet = |seed: u8, address: String| {
            let node = Identity::from_seed([seed; 32]).node_id();
            driver.meet_server(peer_id(&node), node, vec![address.parse().unwrap()]);
        };
        (0..20).for_each(|seed| meet(seed, format!("/ip4/198.51.{seed}.1/tcp/1")));
        (20..120).for_each(|seed| meet(seed, format!("/ip4/203.0.113.{seed}/tcp/1")));
        (120..140).for_each(|seed| meet(seed, format!("/ip4/192.168.1.{seed}/tcp/1")));
        let in_table = |driver: &mut Driver, start: &str| -> usize {
            let is_there = |address: &Multiaddr| address.to_string().starts_with(start);
            let kad = driver.kad().expect("it is on");
            kad.kbuckets().map(|bucket| bucket.iter().filter(|entry| is_there(entry.node.value.first())).count()).sum()
        };
        assert_eq!(in_table(&mut driver, "/ip4/203.0.113."), SUBNET_MAX);
        assert!(in_table(&mut driver, "/ip4/192.168.") > SUBNET_MAX, "a LAN is exempt");
    }
}
