//! Connections: whom to dial, who is there, who is gone. A request to an unconnected node waits here until it is sent or
//! the node counts as unreachable: its known addresses are tried, then Kademlia is asked once where it is now.
//! Not here: the addresses themselves (`book`). Invariant: every waiting request ends by its dial's deadline.

mod seeds;

use std::{
    collections::HashMap,
    io::ErrorKind,
    time::{Duration, Instant},
};

use dsn_core::{node_id::NodeId, ports::NetworkError};
use libp2p::{
    Multiaddr, PeerId, TransportError,
    core::ConnectedPoint,
    identify, mdns, ping, relay,
    swarm::{ConnectionId, DialError, dial_opts::DialOpts},
};

use super::{Driver, members, rpc::Outgoing};
use crate::{
    address::{self, Way},
    admission::AdmissionError,
    behaviour::RENDEZVOUS,
    book::{Entry, FoundBy, Link},
    doorman::is_firewalled,
    error::NetError,
    identity::{node_id, peer_id},
    options::NetOptions,
};

/// Rounds of dialling for one request before Kademlia is asked: one a [`Way`].
const ROUNDS_MAX: u32 = 4;
/// A second connection to a node is closed when it has been there this long and nothing uses it.
const EXTRA_LINK_AGE: Duration = Duration::from_secs(2);
/// The other side has to say what it is within as long as so many attempts to dial may take.
const MUTE_DIALS: u32 = 5;
/// Pings in a row that did not come back before a connection counts as dead.
const MISSED_PINGS_MAX: u32 = 2;

/// Dialling in progress.
pub(super) struct Dials {
    pending: HashMap<NodeId, Dial>,
    pub(super) seeds: seeds::Seeds,
    connections_max: usize,
    /// Why this node is outside, as whom it met last has said.
    pub(super) outside: Option<NetworkError>,
}

/// The way to one node that requests wait for.
struct Dial {
    stage: Stage,
    waiting: Vec<Outgoing>,
    reason: String,
    rounds: u32,
    /// Whether a look-up came by an address of it.
    named: bool,
    deadline: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Known addresses are being tried.
    Known,
    /// Kademlia is looking for it, and dials it when it is named.
    LookingUp,
    /// A second look-up: in the first, the address of a neighbour that did not know better yet was tried, and a look-up
    /// tries a node once. Now the nearest neighbours are known and asked first.
    LookingAgain,
}

impl Dials {
    pub(super) fn new(options: &NetOptions) -> Result<Self, NetError> {
        let connections_max = usize::try_from(options.room.connections).unwrap_or(usize::MAX);
        Ok(Self { pending: HashMap::new(), seeds: seeds::Seeds::new(options)?, connections_max, outside: None })
    }
}

impl Driver {
    pub(super) fn is_connected(&self, node: &NodeId) -> bool {
        self.swarm.behaviour().protocols.rpc.is_connected(&peer_id(node))
    }

    /// Sends a request, after connecting if need be.
    pub(super) fn call(&mut self, outgoing: Outgoing) {
        let node = outgoing.to;
        if outgoing.reply.is_closed() {
            return;
        }
        let now = Instant::now();
        let is_connected = self.is_connected(&node);
        let why_down = self.book.get(&node).and_then(|entry| entry.why_down(now));
        if let Some(reason) = why_down.filter(|_| !self.dials.pending.contains_key(&node)) {
            return outgoing.fail(NetworkError::Unreachable { node, reason: reason.to_owned() });
        }
        if is_connected {
            if let Some(outgoing) = self.wait_for_punch(outgoing, now) {
                self.send(outgoing);
            }
            return;
        }
        if let Some(dial) = self.dials.pending.get_mut(&node) {
            return dial.waiting.push(outgoing); // bounded: the window lets 64 of them through
        }
        let dial = Dial {
            stage: Stage::Known,
            waiting: vec![outgoing],
            reason: "no address of it is known".into(),
            rounds: 0,
            named: false,
            deadline: now + 4 * self.waits.dial,
        };
        self.dials.pending.insert(node, dial);
        self.dial(node);
    }

    pub(super) fn dial(&mut self, node: NodeId) {
        let addresses = self.book.get(&node).map(|entry| entry.to_dial()).unwrap_or_default();
        let Some(addresses) = self.permitted(node, addresses) else { return self.deny_dial(node) };
        if addresses.is_empty() {
            return self.on_dial_failed(node, None);
        }
        if addresses.iter().all(address::is_circuit) && self.is_to_sound_first(node, Instant::now()) {
            return;
        }
        let opts = DialOpts::peer_id(peer_id(&node)).addresses(addresses).build();
        match self.swarm.dial(opts) {
            Ok(()) | Err(DialError::DialPeerConditionFalse(_)) => {} // under way, by whomever
            Err(error) => self.on_dial_failed(node, Some(reason(&error))),
        }
    }

    /// A round of dialling has failed; `None` when there was nothing to dial.
    fn on_dial_failed(&mut self, node: NodeId, reason: Option<String>) {
        let fresh = reason.is_some() && self.book.get(&node).is_some_and(|entry| entry.has_fresh_address());
        let Some(dial) = self.dials.pending.get_mut(&node) else { return };
        dial.rounds += 1;
        dial.reason = reason.unwrap_or_else(|| dial.reason.clone());
        match dial.stage {
            Stage::Known if fresh && dial.rounds < ROUNDS_MAX => self.dial(node),
            Stage::Known => {
                dial.stage = Stage::LookingUp;
                self.find(node);
            }
            Stage::LookingUp | Stage::LookingAgain => dial.named = true, // by the look-up, whose end decides
        }
    }

    /// A look-up of the node has ended. When it answered, it is connected now.
    pub(super) fn on_find_ended(&mut self, node: NodeId) {
        let connected = self.is_connected(&node);
        let Some(dial) = self.dials.pending.get_mut(&node) else { return };
        if connected {
            self.send_waiting(node);
        } else if dial.stage == Stage::LookingUp && dial.named {
            dial.stage = Stage::LookingAgain;
            self.find(node);
        } else {
            self.give_up(node);
        }
    }

    pub(super) fn give_up(&mut self, node: NodeId) {
        let Some(dial) = self.dials.pending.remove(&node) else { return };
        let now = Instant::now();
        tracing::debug!(%node, reason = dial.reason, "node cannot be reached");
        if let Some(entry) = self.book.get_mut(&node) {
            entry.is_down(now, self.waits.down, dial.reason.clone());
        }
        for outgoing in dial.waiting {
            outgoing.fail(NetworkError::Unreachable { node, reason: dial.reason.clone() });
        }
    }

    pub(super) fn give_up_late_dials(&mut self, now: Instant) {
        let late = self.dials.pending.iter().filter(|(_, dial)| dial.deadline <= now);
        for node in late.map(|(node, _)| *node).collect::<Vec<_>>() {
            self.give_up(node);
        }
    }

    fn send_waiting(&mut self, node: NodeId) {
        for outgoing in self.stop_dialling(node) {
            self.call(outgoing);
        }
    }

    /// Those who waited for a connection to the node.
    pub(super) fn stop_dialling(&mut self, node: NodeId) -> Vec<Outgoing> {
        self.dials.pending.remove(&node).map(|dial| dial.waiting).unwrap_or_default()
    }

    pub(super) fn on_connected(
        &mut self,
        peer: PeerId,
        id: ConnectionId,
        endpoint: &ConnectedPoint,
        failed: Vec<(Multiaddr, TransportError<std::io::Error>)>,
    ) {
        let Some(node) = node_id(&peer) else {
            let _not_ours = self.swarm.disconnect_peer_id(peer);
            return;
        };
        let remote = address::split(endpoint.get_remote_address()).0;
        let dialled = endpoint.is_dialer();
        let found_by = match (dialled, self.dials.seeds.on_connected(id, &remote, node)) {
            (_, true) => FoundBy::Bootstrap,
            (true, false) => FoundBy::Dht,
            (false, false) => FoundBy::Inbound,
        };
        let now = Instant::now();
        let entry = self.book.entry(node, found_by, now);
        for (address, _) in failed {
            entry.address_failed(&address);
        }
        let way = if endpoint.is_relayed() { Way::Circuit } else { address::way(&remote).unwrap_or(Way::Tcp) };
        self.nat.evidence.met(&remote);
        entry.connected(Link { id, dialled, way, since: now, remote, identified: false }, now);
        self.reach_changed();
        self.send_waiting(node);
        if way != Way::Circuit {
            self.send_unpunched(node);
        }
    }

    pub(super) fn on_disconnected(&mut self, peer: PeerId, id: ConnectionId) {
        self.on_ended(&peer, id);
        if let Some(entry) = node_id(&peer).and_then(|node| self.book.get_mut(&node)) {
            entry.disconnected(id, Instant::now());
        }
    }

    /// Dialling failed, whoever ordered it: a request, a seed or a look-up.
    pub(super) fn on_dial_error(&mut self, id: ConnectionId, peer: Option<PeerId>, error: &DialError) {
        let named = peer.and_then(|peer| Some((peer, node_id(&peer)?)));
        self.dials.outside = members::refusal_of(error).or(self.dials.outside.take());
        if let Some(entry) = named.and_then(|(_, node)| self.book.get_mut(&node)) {
            failed_addresses(error).for_each(|address| entry.address_failed(address));
        }
        self.on_seed_failed(id, named.map(|(_, node)| node), error);
        self.ask_when_settled(Instant::now());
        let Some((peer, node)) = named else { return };
        if self.is_connected(&node) {
            return self.punch_failed(node, 1);
        }
        if is_firewalled(error) {
            return self.deny_dial(node);
        }
        if matches!(error, DialError::Denied { .. }) {
            self.crawl_has_a_hole();
        }
        let hopeless = self.book.get(&node).is_none_or(|entry| !entry.has_fresh_address());
        if hopeless && failed_addresses(error).next().is_some() {
            self.forget_server(peer, node);
        }
        self.on_dial_failed(node, Some(reason(error)));
    }

    pub(super) fn on_identify_event(&mut self, event: identify::Event) {
        let identify::Event::Received { connection_id, peer_id, info } = event else { return };
        let Some(node) = node_id(&peer_id) else { return };
        if info.protocol_version != self.names.identify {
            return self.on_stranger(node, connection_id, &info);
        }
        if self.swarm.behaviour().doorman.farewell(connection_id).is_some() || self.hellos.is_refused(&node) {
            return; // it is only here to be told
        }
        let lends_nothing = self.has_quota(&node);
        let Some(entry) = self.book.get_mut(&node) else { return };
        let Some(link) = entry.links.iter_mut().find(|link| link.id == connection_id) else { return };
        let is_new = !std::mem::replace(&mut link.identified, true);
        let is_to_greet = is_new && link.dialled;
        let is_over_quic = is_to_greet && link.way == address::Way::Quic;
        let ours: Vec<_> = self.swarm.listeners().cloned().collect();
        let addresses = address::accept(&info.listen_addrs, &node, &link.remote, &ours);
        let does_serve = if self.dht { info.protocols.contains(&self.names.kad) } else { entry.is_farmer() };
        let server = does_serve && !lends_nothing;
        entry.identified(&info.agent_version, server);
        entry.relays = info.protocols.contains(&relay::HOP_PROTOCOL_NAME);
        let is_new_point = info.protocols.contains(&RENDEZVOUS) && !entry.is_rendezvous;
        entry.is_rendezvous |= is_new_point;
        if server || !self.dht {
            entry.replace_addresses(&addresses);
        }
        let dialable = entry.to_dial();
        if is_to_greet {
            self.say_hello(node); // before anything is asked of it
        }
        if server {
            self.meet_server(peer_id, node, dialable);
        } else if self.dht {
            self.forget_server(peer_id, node);
        }
        if is_new_point {
            self.on_rendezvous_point(peer_id);
        }
        if is_over_quic {
            self.sounded();
        }
        self.ask_when_settled(Instant::now());
    }

    pub(super) fn on_ping_event(&mut self, event: &ping::Event) {
        let round_trip = match &event.result {
            Ok(round_trip) => Some(*round_trip),
            Err(ping::Failure::Timeout) => None,
            Err(_) => return, // the connection's end is an event of its own
        };
        let Some(entry) = node_id(&event.peer).and_then(|node| self.book.get_mut(&node)) else { return };
        if entry.pinged(round_trip) >= MISSED_PINGS_MAX {
            tracing::debug!(peer = %event.peer, "a connection is dead");
            self.swarm.close_connection(event.connection);
        }
    }

    pub(super) fn on_mdns_event(&mut self, event: mdns::Event) {
        let mdns::Event::Discovered(found) = event else { return };
        let now = Instant::now();
        for (peer, address) in found {
            let Some(node) = node_id(&peer).filter(|node| *node != self.local) else { continue };
            let entry = self.book.entry(node, FoundBy::Mdns, now);
            if entry.why_down(now).is_some() {
                continue; // of another network, say: its announcements go on
            }
            entry.learn(&address);
            if !entry.is_connected() {
                self.dial(node);
            }
        }
    }

    /// Closes connections whose other side has not said what it is: it is asked once a connection, and a busy node may have
    /// missed that. Without an answer nothing can be asked of it, and nobody would dial it again.
    pub(super) fn close_mute_links(&mut self, now: Instant) {
        let patience = MUTE_DIALS * self.waits.dial;
        let links = self.book.iter().flat_map(|(_, entry)| &entry.links);
        let mute = links.filter(|link| !link.identified && now >= link.since + patience);
        for id in mute.map(|link| link.id).collect::<Vec<_>>() {
            tracing::debug!("a connection on which the other side has not said what it is");
            self.swarm.close_connection(id);
        }
    }

    /// Closes connections that are too many, once nothing uses them: one of two to a node, and the oldest when this node
    /// has nearly as many as it may.
    pub(super) fn close_extra_links(&mut self, now: Instant) {
        if self.is_looking_up() {
            return; // a look-up whose connection is closed under it waits for its time-out
        }
        let idle = |node: &NodeId, link: &Link| {
            let old = link.way == Way::Circuit || now >= link.since + EXTRA_LINK_AGE;
            old && !self.calls.in_flight_to(node) && !self.serving.in_flight_on(link.id)
        };
        let extra = |(node, entry): (&NodeId, &Entry)| {
            let id = entry.superfluous(self.local, *node)?;
            entry.links.iter().all(|link| idle(node, link)).then_some(id)
        };
        let mut close: Vec<_> = self.book.iter().filter_map(extra).collect();
        let links = || self.book.iter().flat_map(|(node, entry)| entry.links.iter().map(move |link| (node, link)));
        let (count, most) = (links().count(), self.dials.connections_max);
        if count > most / 4 * 3 {
            let mut oldest: Vec<_> = links().filter(|(node, link)| idle(node, link)).map(|(_, link)| link).collect();
            oldest.sort_by_key(|link| link.since);
            close.extend(oldest.iter().take(count - most / 2).map(|link| link.id));
        }
        for id in close {
            self.swarm.close_connection(id);
        }
    }
}

/// The addresses that an error says did not lead to the node.
fn failed_addresses(error: &DialError) -> impl Iterator<Item = &Multiaddr> {
    let (many, one) = match error {
        DialError::Transport(errors) => (&errors[..], None),
        DialError::WrongPeerId { address, .. } | DialError::LocalPeerId { address } => (&[][..], Some(address)),
        _ => (&[][..], None),
    };
    many.iter().map(|(address, _)| address).chain(one)
}

/// An error in a few words for people: what the last address tried said.
fn reason(error: &DialError) -> String {
    match error {
        DialError::Transport(errors) => match errors.last() {
            Some((address, TransportError::Other(error))) => {
                format!("{}: {}", address::split(address).0, innermost(error))
            }
            Some((address, TransportError::MultiaddrNotSupported(_))) => format!("{address} is not supported"),
            None => "no address worked".into(),
        },
        DialError::WrongPeerId { address, .. } => format!("another node answers at {}", address::split(address).0),
        DialError::LocalPeerId { address } => format!("{} is this node", address::split(address).0),
        DialError::NoAddresses => "no address of it is known".into(),
        DialError::Denied { .. } if is_firewalled(error) => "the firewall denies it".into(),
        DialError::Denied { .. } => "too many connections".into(),
        DialError::Aborted | DialError::DialPeerConditionFalse(_) => "dialling was given up".into(),
    }
}

/// Whether something answered at every address, and what answered is not the node: dialling again soon is no use. A
/// time-out is none, nor an unreachable network, which may be back the next moment. libp2p keeps the system's error in a
/// generic type, so only its text tells.
fn is_refusal(error: &DialError) -> bool {
    match error {
        DialError::Transport(errors) => errors.iter().all(|(_, error)| match error {
            TransportError::Other(error) => {
                let shown_the_door = members::admission_error(error).is_some_and(AdmissionError::is_final);
                shown_the_door
                    || error.kind() == ErrorKind::ConnectionRefused
                    || innermost(error).starts_with("Connection refused")
            }
            TransportError::MultiaddrNotSupported(_) => true,
        }),
        DialError::WrongPeerId { .. } | DialError::LocalPeerId { .. } => true,
        _ => is_firewalled(error),
    }
}

/// The cause below libp2p's wrappings, which repeat themselves. Its time-out has a generic type, so only its text tells.
fn innermost(error: &std::io::Error) -> String {
    if let Some(refused) = members::admission_error(error) {
        return refused.to_string();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let text = cause.to_string();
    if error.kind() == std::io::ErrorKind::TimedOut || text == "Timeout has been reached" {
        return "timed out".into();
    }
    text.chars().take(120).collect()
}
