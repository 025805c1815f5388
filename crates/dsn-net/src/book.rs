//! What this node knows about the others: addresses, connections, how they answer. Sans I/O: told what happened and when,
//! asked what to dial. Not here: dialling. Invariant: bounded whatever peers say: [`NODES_MAX`] nodes, eight addresses each.

use std::{
    collections::HashMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use dsn_core::{
    hello::Acquaintance,
    node_id::NodeId,
    ports::{KnownNode, PeerEvidence},
    record::Role,
};
use libp2p::{Multiaddr, swarm::ConnectionId};

use crate::address::{self, ADDRESSES_MAX_PER_NODE, Way};

/// Nodes remembered: twice the largest network that is known as a whole.
pub(crate) const NODES_MAX: usize = 4096;
/// Servers told to whoever wants to remember some: enough that one of them is there next time.
pub(crate) const GOOD_PEERS_MAX: usize = 64;
/// Scores lie between this and its negative: one wrong answer takes many right ones to make up for.
const SCORE_MAX: i32 = 100;
/// What one answer with wrong bytes costs.
const WRONG_BYTES_COST: i32 = 20;

/// How a node was found. The first way stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FoundBy {
    Bootstrap,
    Mdns,
    Dht,
    Inbound,
    Record,
    Remembered,
    Rendezvous,
}

/// One connection.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) id: ConnectionId,
    /// Whether this side dialled.
    pub(crate) dialled: bool,
    pub(crate) way: Way,
    pub(crate) since: Instant,
    pub(crate) remote: Multiaddr,
    /// Whether the node has said on it that it is of this network.
    pub(crate) identified: bool,
}

/// What is known of one node.
#[derive(Debug)]
pub(crate) struct Entry {
    addresses: Vec<Kept>,
    found_by: FoundBy,
    pub(crate) links: Vec<Link>,
    /// Whether it serves the DHT, once it has said so.
    pub(crate) server: bool,
    /// Whether it puts calls through to others.
    pub(crate) relays: bool,
    /// Whether it is a rendezvous point.
    pub(crate) is_rendezvous: bool,
    agent: Option<String>,
    /// What it last said of itself.
    hello: Option<Acquaintance>,
    /// Whether it is to be sent a hello.
    pub(crate) hello_due: bool,
    round_trip: Option<Duration>,
    missed_pings: u32,
    score: i32,
    down: Option<(Instant, String)>,
    /// Until when nothing is asked of it, and why, whatever address it is met at.
    shunned: Option<(Instant, String)>,
    /// How often in a row it could not be reached.
    failures: u32,
    seen: Instant,
}

#[derive(Debug)]
struct Kept {
    address: Multiaddr,
    failed: bool,
}

/// Everybody.
#[derive(Debug, Default)]
pub(crate) struct Book {
    entries: HashMap<NodeId, Entry>,
}

impl FoundBy {
    fn text(self) -> &'static str {
        match self {
            Self::Bootstrap => "bootstrap",
            Self::Mdns => "mdns",
            Self::Dht => "dht",
            Self::Inbound => "inbound",
            Self::Record => "record",
            Self::Remembered => "remembered",
            Self::Rendezvous => "rendezvous",
        }
    }
}

impl Book {
    /// The entry of a node, new or not. A full book first forgets the stranger not seen for longest.
    pub(crate) fn entry(&mut self, node: NodeId, found_by: FoundBy, now: Instant) -> &mut Entry {
        if self.entries.len() >= NODES_MAX && !self.entries.contains_key(&node) {
            let idle = self.entries.iter().filter(|(_, entry)| entry.links.is_empty());
            if let Some(oldest) = idle.min_by_key(|(_, entry)| entry.seen).map(|(node, _)| *node) {
                self.entries.remove(&oldest);
            }
        }
        self.entries.entry(node).or_insert_with(|| Entry::new(found_by, now))
    }

    pub(crate) fn get(&self, node: &NodeId) -> Option<&Entry> {
        self.entries.get(node)
    }

    pub(crate) fn get_mut(&mut self, node: &NodeId) -> Option<&mut Entry> {
        self.entries.get_mut(node)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&NodeId, &Entry)> {
        self.entries.iter()
    }

    /// Nodes for people to look at, in the order of their ids.
    pub(crate) fn known(&self) -> Vec<KnownNode> {
        let known = |(node, entry): (&NodeId, &Entry)| KnownNode {
            node: *node,
            addresses: entry.addresses.iter().map(|kept| kept.address.to_string()).collect(),
            connected: !entry.links.is_empty(),
            found_by: entry.found_by.text(),
            round_trip: entry.round_trip,
            agent: entry.agent.clone(),
            hello: entry.hello.clone(),
        };
        let mut nodes: Vec<_> = self.entries.iter().map(known).collect();
        nodes.sort_unstable_by_key(|known| known.node);
        nodes
    }

    /// Where the nodes that are connected are, as far as that is to be seen.
    pub(crate) fn origins(&self) -> Vec<(NodeId, IpAddr)> {
        let of = |(node, entry): (&NodeId, &Entry)| {
            let ips = entry.links.iter().filter_map(|link| address::origin(&link.remote));
            ips.map(|ip| (*node, ip)).collect::<Vec<_>>()
        };
        self.entries.iter().flat_map(of).collect()
    }

    /// Servers that have answered well, connected ones and the best first, with addresses that worked.
    pub(crate) fn good(&self) -> Vec<(NodeId, Vec<String>)> {
        let good = |entry: &Entry| entry.server && entry.score >= 0 && entry.addresses.iter().any(|kept| !kept.failed);
        let mut nodes: Vec<_> = self.entries.iter().filter(|(_, entry)| good(entry)).collect();
        nodes.sort_by_key(|(node, entry)| (entry.links.is_empty(), -entry.score, **node));
        nodes.truncate(GOOD_PEERS_MAX);
        let texts = |entry: &Entry| -> Vec<String> {
            entry.addresses.iter().filter(|kept| !kept.failed).map(|kept| kept.address.to_string()).collect()
        };
        nodes.into_iter().map(|(node, entry)| (*node, texts(entry))).collect()
    }
}

impl Entry {
    fn new(found_by: FoundBy, now: Instant) -> Self {
        Self {
            addresses: Vec::new(),
            found_by,
            links: Vec::new(),
            server: false,
            relays: false,
            is_rendezvous: false,
            agent: None,
            hello: None,
            hello_due: false,
            round_trip: None,
            missed_pings: 0,
            score: 0,
            down: None,
            shunned: None,
            failures: 0,
            seen: now,
        }
    }

    /// Whether it has said who it is.
    pub(crate) fn is_identified(&self) -> bool {
        self.agent.is_some()
    }

    pub(crate) fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    pub(crate) fn is_connected(&self) -> bool {
        !self.links.is_empty()
    }

    /// Adds an address; a new one, or a failed one named again, ends the time in which the node counts as down.
    pub(crate) fn learn(&mut self, address: &Multiaddr) {
        let (bare, _) = address::split(address);
        if !address::is_routable(&bare) {
            return;
        }
        if let Some(kept) = self.addresses.iter_mut().find(|kept| kept.address == bare) {
            kept.failed = false;
            return;
        }
        self.is_up();
        if self.addresses.len() >= ADDRESSES_MAX_PER_NODE {
            let worst = self.addresses.iter().position(|kept| kept.failed).unwrap_or(0);
            self.addresses.remove(worst);
        }
        self.addresses.push(Kept { address: bare, failed: false });
    }

    /// Replaces what was known by what the node itself says now, keeping the addresses of its connections.
    pub(crate) fn replace_addresses(&mut self, addresses: &[Multiaddr]) {
        let in_use: Vec<_> = self.links.iter().filter(|link| link.dialled).map(|link| link.remote.clone()).collect();
        self.addresses.clear();
        for address in in_use.iter().chain(addresses) {
            self.learn(address);
        }
    }

    /// Which addresses to dial: the best way of those that have not failed; else, as the last resort, those
    /// that have.
    pub(crate) fn to_dial(&self) -> Vec<Multiaddr> {
        let pick = |failed: bool| -> Vec<Multiaddr> {
            self.addresses.iter().filter(|kept| kept.failed == failed).map(|kept| kept.address.clone()).collect()
        };
        let fresh = pick(false);
        address::best_way(if fresh.is_empty() { pick(true) } else { fresh })
    }

    /// A public address of it that leads to it so and has not failed.
    pub(crate) fn outside_by(&self, way: Way) -> Option<Multiaddr> {
        let leads = |kept: &&Kept| !kept.failed && address::way(&kept.address) == Some(way);
        let mut outside = self.addresses.iter().filter(leads).filter(|kept| address::is_public(&kept.address));
        outside.next().map(|kept| kept.address.clone())
    }

    /// Whether an address is left that has not failed.
    pub(crate) fn has_fresh_address(&self) -> bool {
        self.addresses.iter().any(|kept| !kept.failed)
    }

    /// The address did not lead to the node.
    pub(crate) fn address_failed(&mut self, address: &Multiaddr) {
        let (bare, _) = address::split(address);
        if let Some(kept) = self.addresses.iter_mut().find(|kept| kept.address == bare) {
            kept.failed = true;
        }
    }

    /// A connection stands.
    pub(crate) fn connected(&mut self, link: Link, now: Instant) {
        if link.dialled {
            self.learn(&link.remote);
        }
        self.links.push(link);
        self.is_up();
        self.missed_pings = 0;
        self.seen = now;
    }

    /// A connection ended.
    pub(crate) fn disconnected(&mut self, id: ConnectionId, now: Instant) {
        self.links.retain(|link| link.id != id);
        self.seen = now;
        if self.links.is_empty() {
            self.hello_due = false;
            self.round_trip = None;
        }
    }

    /// It said who it is.
    pub(crate) fn identified(&mut self, agent: &str, server: bool) {
        self.agent = Some(agent.chars().filter(|c| !c.is_control()).take(64).collect());
        self.server = server;
    }

    /// The node could not be reached: it is left alone for so long, the second time twice, from the third four times.
    pub(crate) fn is_down(&mut self, now: Instant, wait: Duration, reason: String) {
        self.down = Some((now + wait * (1 << self.failures.min(2)), reason));
        self.failures = self.failures.saturating_add(1);
    }

    /// It may be dialled again.
    pub(crate) fn is_up(&mut self) {
        self.down = None;
        self.failures = 0;
    }

    /// Why it is not worth dialling now.
    pub(crate) fn why_down(&self, now: Instant) -> Option<&str> {
        let reasons = self.shunned.iter().chain(&self.down);
        reasons.into_iter().find(|(until, _)| now < *until).map(|(_, reason)| reason.as_str())
    }

    /// It cannot be talked to, wherever it is, before so long.
    pub(crate) fn shun(&mut self, until: Instant, reason: String) {
        (self.hello, self.hello_due) = (None, false);
        self.shunned = Some((until, reason));
    }

    /// Whether it cannot be talked to, wherever it is.
    pub(crate) fn is_shunned(&self, now: Instant) -> bool {
        self.shunned.as_ref().is_some_and(|(until, _)| now < *until)
    }

    /// Hellos were exchanged.
    pub(crate) fn met(&mut self, known: Acquaintance) {
        (self.hello, self.shunned) = (Some(known), None);
    }

    /// Whether it has said hello.
    pub(crate) fn has_greeted(&self) -> bool {
        self.hello.is_some()
    }

    /// Whether it has said that it is a farmer.
    pub(crate) fn is_farmer(&self) -> bool {
        self.hello.as_ref().is_some_and(|known| known.profile.role == Role::Farmer)
    }

    /// Whether it is connected, or was and nothing says that it could not be again.
    pub(crate) fn answers(&self) -> bool {
        self.is_connected() || (self.failures == 0 && self.has_fresh_address())
    }

    /// Whether it has said hello and is there to hear one.
    pub(crate) fn listens(&self) -> bool {
        self.hello.is_some() && self.is_connected()
    }

    /// A ping came back after so long, or did not (`None`); tells how many have not in a row.
    pub(crate) fn pinged(&mut self, round_trip: Option<Duration>) -> u32 {
        self.missed_pings = if round_trip.is_some() { 0 } else { self.missed_pings + 1 };
        self.round_trip = round_trip.or(self.round_trip);
        self.missed_pings
    }

    /// What an answer showed.
    pub(crate) fn judge(&mut self, evidence: PeerEvidence) {
        let change = match evidence {
            PeerEvidence::Correct => 1,
            PeerEvidence::WrongBytes => -WRONG_BYTES_COST,
        };
        self.score = (self.score + change).clamp(-SCORE_MAX, SCORE_MAX);
    }

    /// Whether it has ever said what it is.
    pub(crate) fn has_spoken(&self) -> bool {
        self.agent.is_some()
    }

    /// Whether all that leads to it is somebody else's line.
    pub(crate) fn is_relayed(&self) -> bool {
        !self.links.is_empty() && self.links.iter().all(|link| link.way == Way::Circuit)
    }

    /// The connection to close when two stand. A circuit goes once there is a direct one. Of the others both sides keep the
    /// one that the smaller id dialled, and of those dialled by one side, that side keeps the oldest of the best way. Only
    /// the dialler closes, so the sides never close one each.
    pub(crate) fn superfluous(&self, local: NodeId, node: NodeId) -> Option<ConnectionId> {
        if self.links.len() < 2 {
            return None;
        }
        let circuit = self.links.iter().find(|link| link.way == Way::Circuit);
        if let Some(circuit) = circuit.filter(|_| !self.is_relayed()) {
            return Some(circuit.id);
        }
        let smaller_dialled = |link: &Link| link.dialled == (local < node);
        let best = self.links.iter().min_by_key(|link| (!smaller_dialled(link), link.way, link.since))?;
        self.links.iter().find(|link| link.dialled && link.id != best.id).map(|link| link.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(id: usize, dialled: bool, since: Instant) -> Link {
        let remote = format!("/ip4/127.0.0.1/tcp/{}", id + 1).parse().unwrap();
        Link { id: ConnectionId::new_unchecked(id), dialled, way: Way::Tcp, since, remote, identified: false }
    }

    #[test]
    fn both_sides_agree_which_of_two_connections_stays() {
        let now = Instant::now();
        let (small, large) = (NodeId([1; 32]), NodeId([2; 32]));
        let (mut at_small, mut at_large) = (Entry::new(FoundBy::Dht, now), Entry::new(FoundBy::Inbound, now));
        at_small.links = vec![link(1, true, now), link(2, false, now)];
        at_large.links = vec![link(1, false, now), link(2, true, now)];
        assert_eq!(at_small.superfluous(small, large), None, "the smaller dialled the one that stays");
        assert_eq!(at_large.superfluous(large, small), Some(ConnectionId::new_unchecked(2)));
        at_small.links = vec![link(1, true, now), link(3, true, now + Duration::from_secs(1))];
        assert_eq!(at_small.superfluous(small, large), Some(ConnectionId::new_unchecked(3)), "the younger of its own");
        at_large.links = vec![link(1, false, now), link(3, false, now)];
        assert_eq!(at_large.superfluous(large, small), None, "not dialled by this side");
        let circuit = Link { way: Way::Circuit, ..link(4, false, now) };
        at_large.links = vec![circuit, link(5, false, now)];
        assert_eq!(at_large.superfluous(large, small), Some(ConnectionId::new_unchecked(4)), "whoever dialled it");
        at_large.links.pop();
        assert!(at_large.is_relayed() && at_large.superfluous(large, small).is_none());
    }

    #[test]
    fn failed_addresses_are_the_last_resort_and_news_ends_being_down() {
        let now = Instant::now();
        let mut entry = Entry::new(FoundBy::Dht, now);
        let (a, b) = ("/ip4/127.0.0.1/tcp/1".parse().unwrap(), "/ip4/127.0.0.1/tcp/2".parse().unwrap());
        entry.learn(&a);
        entry.is_down(now, Duration::from_secs(3), "refused".into());
        entry.learn(&a);
        assert_eq!(entry.why_down(now), Some("refused"), "nothing new was learnt");
        assert_eq!(entry.why_down(now + Duration::from_secs(3)), None);
        entry.is_down(now, Duration::from_secs(3), "refused again".into());
        assert_eq!(entry.why_down(now + Duration::from_secs(5)), Some("refused again"));
        entry.address_failed(&a);
        assert_eq!((entry.to_dial(), entry.has_fresh_address()), (vec![a.clone()], false));
        entry.learn(&b);
        assert_eq!((entry.to_dial(), entry.why_down(now)), (vec![b.clone()], None));
        entry.replace_addresses(std::slice::from_ref(&a));
        assert_eq!(entry.to_dial(), vec![a]);
    }

    #[test]
    fn the_book_is_bounded_and_keeps_whom_it_is_connected_to() {
        let start = Instant::now();
        let mut book = Book::default();
        let id = |i: usize| NodeId(std::array::from_fn(|byte| if byte < 8 { i.to_be_bytes()[byte] } else { 0 }));
        for i in 0..NODES_MAX + 100 {
            let now = start + Duration::from_millis(u64::try_from(i).unwrap());
            let entry = book.entry(id(i), FoundBy::Dht, now);
            if i == 0 {
                entry.connected(link(0, true, now), now);
            }
            for port in 1..100 {
                entry.learn(&format!("/ip4/8.8.8.8/tcp/{port}").parse().unwrap());
            }
            assert!(entry.addresses.len() <= ADDRESSES_MAX_PER_NODE);
        }
        assert_eq!(book.entries.len(), NODES_MAX);
        assert!(book.get(&id(0)).is_some() && book.get(&id(1)).is_none());
    }

    #[test]
    fn wrong_bytes_cost_more_than_an_answer_earns_and_such_a_server_is_not_remembered() {
        let mut book = Book::default();
        let now = Instant::now();
        let entry = book.entry(NodeId([1; 32]), FoundBy::Dht, now);
        entry.identified("dsn/0\n", true);
        entry.learn(&"/ip4/8.8.8.8/tcp/1".parse().unwrap());
        entry.judge(PeerEvidence::Correct);
        assert_eq!(book.good().len(), 1);
        assert_eq!(book.known()[0].agent.as_deref(), Some("dsn/0"));
        book.get_mut(&NodeId([1; 32])).unwrap().judge(PeerEvidence::WrongBytes);
        assert_eq!(book.good(), []);
    }
}
