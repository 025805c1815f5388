//! How others reach this node, acted upon: whether it serves the DHT, whether it relays for others, at which relays it keeps
//! a place; and requests for pieces that wait until a relayed connection has become a direct one, or cannot.
//! Not here: the protocols (`behaviour/traversal`) and what their findings mean (`reach`).

mod sounding;

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use dsn_core::node_id::NodeId;
use libp2p::{Multiaddr, PeerId, core::transport::ListenerId, kad, multiaddr::Protocol, swarm::ConnectionId};

use super::{Driver, rpc::Outgoing};
use crate::{
    address::Way,
    behaviour::TraversalEvent,
    book::FoundBy,
    identity::{node_id, peer_id},
    reach::Evidence,
};

/// An address that nobody has confirmed after this long will not be confirmed, for all a node knows.
const CONFIRM_PATIENCE: Duration = Duration::from_secs(15);
/// A relay that refused is not asked again for this long.
const RELAY_REFUSED: Duration = Duration::from_secs(60);
/// Pieces wait this long for a direct connection.
const PUNCH_WAIT: Duration = Duration::from_secs(5);
/// Attempts that DCUtR makes, each a round trip and at worst a time-out.
const ATTEMPTS: u32 = 3;

/// Reachability, and what depends on it.
#[derive(Default)]
pub(super) struct Nat {
    pub(super) evidence: Evidence,
    refused: HashMap<NodeId, Instant>,
    /// Attempts to reach nodes directly that failed, by the relayed connection.
    failed: HashMap<NodeId, (ConnectionId, u32)>,
    waiting: HashMap<NodeId, Vec<Outgoing>>,
    sounding: sounding::Sounding,
    /// Since when it is unknown how others reach this node.
    unknown_since: Option<Instant>,
    serves: Option<bool>,
}

impl Driver {
    /// Whether others find this node in the DHT.
    pub(super) fn serves(&self) -> bool {
        self.serve && self.nat.evidence.is_dialable()
    }

    pub(super) fn on_traversal_event(&mut self, event: TraversalEvent) {
        match event {
            TraversalEvent::Probe(event) => self.on_probed_address(&event.tested_addr, event.result.is_ok()),
            TraversalEvent::Punch(event) => self.on_punched(event.remote_peer_id, event.result.is_ok()),
            TraversalEvent::Upnp(event) => tracing::debug!(?event, "gateway"),
            TraversalEvent::Circuits(event) => tracing::debug!(?event, "circuit"),
            TraversalEvent::Relay(event) => tracing::debug!(?event, "relaying"),
            TraversalEvent::Prober(event) => tracing::debug!(address = %event.tested_addr, "dialled back"),
        }
    }

    fn on_probed_address(&mut self, address: &Multiaddr, came_through: bool) {
        tracing::info!(%address, came_through, "others were asked to dial this node");
        if came_through {
            self.nat.evidence.confirmed(address);
        } else {
            self.nat.evidence.refuted(address);
            self.swarm.remove_external_address(address);
        }
        self.reach_changed();
    }

    pub(super) fn on_address_confirmed(&mut self, address: &Multiaddr) {
        self.nat.evidence.confirmed(address);
        self.reach_changed();
    }

    pub(super) fn on_address_expired(&mut self, address: &Multiaddr) {
        self.nat.evidence.expired(address);
        self.reach_changed();
    }

    /// A listener at a relay has its address; tells whether it is one.
    pub(super) fn on_circuit_granted(&mut self, listener: ListenerId, address: &Multiaddr) -> bool {
        let granted = self.nat.evidence.granted(listener, address);
        if granted {
            tracing::info!(%address, "a relay puts calls through");
            self.reach_changed();
        }
        granted
    }

    pub(super) fn on_listener_closed(&mut self, listener: ListenerId) {
        if let Some(relay) = self.nat.evidence.lost(listener) {
            tracing::info!(%relay, "a relay puts calls through no longer");
            self.nat.refused.insert(relay, Instant::now() + RELAY_REFUSED);
            self.reach_changed();
        }
    }

    /// Tells whoever watches, and the DHT.
    pub(super) fn reach_changed(&mut self) {
        let serves = self.serves();
        if self.nat.serves.replace(serves) != Some(serves) {
            tracing::info!(serves, "others can find this node");
            let mode = if serves { kad::Mode::Server } else { kad::Mode::Client };
            self.kad().into_iter().for_each(|kad| kad.set_mode(Some(mode)));
        }
        let is_public = self.nat.evidence.is_public();
        self.swarm.behaviour_mut().protocols.traversal.relay_for_others(is_public);
        let reach = self.nat.evidence.reach(&self.local);
        self.shared.reach.send_if_modified(|known| {
            let is_new = *known != reach;
            *known = reach;
            is_new
        });
    }

    /// Asks for places at relays while others cannot dial this node.
    pub(super) fn keep_relays(&mut self, now: Instant) {
        if !self.serve || self.nat.evidence.is_dialable() {
            self.nat.unknown_since = None;
            return;
        }
        let since = *self.nat.unknown_since.get_or_insert(now);
        if !self.nat.evidence.wants_relay(now >= since + CONFIRM_PATIENCE) {
            return;
        }
        self.nat.refused.retain(|_, until| *until > now);
        let usable = self.book.iter().filter(|(node, entry)| {
            entry.relays && !self.nat.refused.contains_key(node) && !self.nat.evidence.uses_relay(node)
        });
        let line = |(node, entry): (&NodeId, &crate::book::Entry)| {
            let link = entry.links.iter().find(|link| link.way != Way::Circuit && link.dialled)?;
            Some((entry.round_trip(), *node, link.remote.clone()))
        };
        let Some((_, relay, remote)) = usable.filter_map(line).min() else { return };
        let address = remote.with(Protocol::P2p(peer_id(&relay))).with(Protocol::P2pCircuit);
        match self.swarm.listen_on(address) {
            Ok(listener) => self.nat.evidence.asked(listener, relay),
            Err(error) => {
                tracing::debug!(%relay, %error, "a relay cannot be asked");
                self.nat.refused.insert(relay, now + RELAY_REFUSED);
            }
        }
    }

    /// A node said, signed, where it can be called.
    pub(super) fn on_introduced(&mut self, node: NodeId, addresses: &[Multiaddr]) {
        let entry = self.book.entry(node, FoundBy::Record, Instant::now());
        entry.replace_addresses(addresses);
        entry.is_up();
    }

    /// Pieces for a node that only a relay leads to wait for a direct connection; what does not wait is given back.
    pub(super) fn wait_for_punch(&mut self, outgoing: Outgoing, now: Instant) -> Option<Outgoing> {
        let node = outgoing.to;
        let circuit = self.book.get(&node).filter(|entry| entry.is_relayed()).and_then(|entry| entry.links.last());
        let Some(circuit) = circuit else { return Some(outgoing) };
        let gave_up = (self.nat.failed.get(&node)).is_some_and(|(id, count)| *id == circuit.id && *count >= ATTEMPTS);
        let hopeless = gave_up || now >= circuit.since + PUNCH_WAIT;
        if !outgoing.bulk || hopeless {
            return Some(outgoing);
        }
        self.nat.waiting.entry(node).or_default().push(outgoing); // bounded: the window lets 64 of them through
        None
    }

    fn on_punched(&mut self, peer: PeerId, came_through: bool) {
        let Some(node) = node_id(&peer) else { return };
        tracing::debug!(%node, came_through, "a hole was to be punched");
        if came_through {
            self.nat.evidence.punched();
            self.reach_changed();
            self.send_unpunched(node);
        } else {
            self.punch_failed(node, ATTEMPTS);
        }
    }

    /// So many more attempts to reach the node directly have failed; only one side of them hears that it was the last.
    pub(super) fn punch_failed(&mut self, node: NodeId, attempts: u32) {
        let Some(entry) = self.book.get(&node).filter(|entry| entry.is_relayed()) else { return };
        let Some(circuit) = entry.links.last().map(|link| link.id) else { return };
        let failed = self.nat.failed.entry(node).or_insert((circuit, 0));
        *failed = (circuit, if failed.0 == circuit { failed.1 + attempts } else { attempts });
        if failed.1 >= ATTEMPTS {
            self.send_unpunched(node);
        }
    }

    /// Sends what waited for a direct connection to the node, by whatever way there is.
    pub(super) fn send_unpunched(&mut self, node: NodeId) {
        for outgoing in self.nat.waiting.remove(&node).unwrap_or_default() {
            self.call(outgoing);
        }
    }

    /// Connections end and time passes: nothing waits for a hole that nobody punches any more.
    pub(super) fn give_up_punching(&mut self, now: Instant) {
        let is_over = |node: &NodeId| {
            let entry = self.book.get(node);
            entry.is_none_or(|entry| {
                !entry.is_relayed() || entry.links.iter().all(|link| now >= link.since + PUNCH_WAIT)
            })
        };
        let over: Vec<NodeId> = self.nat.waiting.keys().filter(|node| is_over(node)).copied().collect();
        over.into_iter().for_each(|node| self.send_unpunched(node));
        let book = &self.book;
        self.nat.failed.retain(|node, (circuit, _)| {
            book.get(node).is_some_and(|entry| entry.links.iter().any(|link| link.id == *circuit))
        });
    }
}
