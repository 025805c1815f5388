//! How others reach this node: what it listens on, what others have confirmed, through whom it can be called. Sans I/O:
//! told what happened, asked what follows. Not here: the protocols that find out (`driver/nat`).
//! Invariant: a node is a server of the DHT only while others can dial it, as far as it knows.

use dsn_core::node_id::NodeId;
use libp2p::{Multiaddr, core::transport::ListenerId};

use crate::address;

/// Relays that a node which nobody can dial keeps a place at: one may vanish.
pub(crate) const RELAYS_WANTED: usize = 2;
/// Addresses kept of each kind; a gateway that gives each connection another port would fill the memory.
const KEPT_MAX: usize = 16;

/// How others reach a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reachability {
    /// Everybody met so far is on the same machine or LAN.
    Local,
    /// At a public address that was confirmed, or that the operator named, or that an interface has.
    Public,
    /// It is not known yet whether others can dial it.
    Unknown,
    /// Nobody can dial it, but relays put calls through.
    Relayed,
    /// Nobody can call it.
    Unreachable,
}

/// How others reach a node, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reach {
    /// Which way.
    pub reachability: Reachability,
    /// Addresses to tell others, with the node's id at their end.
    pub addresses: Vec<String>,
    /// Relays that put calls through to it.
    pub relays: Vec<NodeId>,
    /// Direct connections that began at a relay, in this run.
    pub punched: usize,
}

/// A place at a relay, asked for or granted.
#[derive(Clone, Debug)]
struct Circuit {
    listener: ListenerId,
    relay: NodeId,
    /// Through the relay's addresses outside this LAN.
    addresses: Vec<Multiaddr>,
}

/// What is known of it.
#[derive(Debug, Default)]
pub(crate) struct Evidence {
    claimed: Vec<Multiaddr>,
    listening: Vec<Multiaddr>,
    confirmed: Vec<Multiaddr>,
    refuted: Vec<Multiaddr>,
    circuits: Vec<Circuit>,
    /// Whether a node outside this LAN was ever met.
    outside: bool,
    punched: usize,
}

impl Evidence {
    pub(crate) fn claimed(&mut self, address: Multiaddr) {
        keep(&mut self.claimed, address);
    }

    pub(crate) fn listening(&mut self, address: Multiaddr) {
        keep(&mut self.listening, address);
    }

    pub(crate) fn not_listening(&mut self, addresses: &[Multiaddr]) {
        self.listening.retain(|address| !addresses.contains(address));
    }

    /// A node at this address is connected.
    pub(crate) fn met(&mut self, remote: &Multiaddr) {
        self.outside |= address::is_circuit(remote) || address::is_public(remote);
    }

    /// Somebody dialled the address and came through.
    pub(crate) fn confirmed(&mut self, address: &Multiaddr) {
        let (bare, _) = address::split(address);
        if address::is_public(&bare) && !address::is_circuit(&bare) {
            self.refuted.retain(|refuted| *refuted != bare);
            keep(&mut self.confirmed, bare);
        }
    }

    /// Nobody came through at the address.
    pub(crate) fn refuted(&mut self, address: &Multiaddr) {
        let (bare, _) = address::split(address);
        self.confirmed.retain(|confirmed| *confirmed != bare);
        keep(&mut self.refuted, bare);
    }

    /// The address is no longer good.
    pub(crate) fn expired(&mut self, address: &Multiaddr) {
        let (bare, _) = address::split(address);
        self.confirmed.retain(|confirmed| *confirmed != bare);
    }

    /// A place was asked for.
    pub(crate) fn asked(&mut self, listener: ListenerId, relay: NodeId) {
        self.circuits.push(Circuit { listener, relay, addresses: Vec::new() });
    }

    /// A place was granted; tells whether the listener is one at a relay.
    pub(crate) fn granted(&mut self, listener: ListenerId, address: &Multiaddr) -> bool {
        let circuit = self.circuits.iter_mut().find(|circuit| circuit.listener == listener);
        let Some(circuit) = circuit else { return false };
        let (bare, _) = address::split(address);
        if address::is_public(&bare) {
            keep(&mut circuit.addresses, bare);
        }
        true
    }

    /// A place is gone, or was not to be had; tells at whose.
    pub(crate) fn lost(&mut self, listener: ListenerId) -> Option<NodeId> {
        let at = self.circuits.iter().position(|circuit| circuit.listener == listener)?;
        Some(self.circuits.remove(at).relay)
    }

    pub(crate) fn punched(&mut self) {
        self.punched += 1;
    }

    /// Whether others can dial it, as far as it knows.
    pub(crate) fn is_dialable(&self) -> bool {
        matches!(self.reachability(), Reachability::Local | Reachability::Public)
    }

    /// Whether it has a public address, so that it can help others to be reached.
    pub(crate) fn is_public(&self) -> bool {
        self.reachability() == Reachability::Public
    }

    /// Whether it should ask for another place at a relay. `patience_over` when nobody has confirmed an address for long.
    pub(crate) fn wants_relay(&self, patience_over: bool) -> bool {
        let hidden = match self.reachability() {
            Reachability::Local | Reachability::Public => false,
            Reachability::Unknown => patience_over,
            Reachability::Relayed | Reachability::Unreachable => true,
        };
        hidden && self.circuits.len() < RELAYS_WANTED
    }

    pub(crate) fn uses_relay(&self, node: &NodeId) -> bool {
        self.circuits.iter().any(|circuit| circuit.relay == *node)
    }

    fn reachability(&self) -> Reachability {
        let own = self.listening.iter().any(|at| address::is_public(at) && !self.refuted.contains(at));
        if own || !self.claimed.is_empty() || !self.confirmed.is_empty() {
            Reachability::Public
        } else if !self.outside {
            Reachability::Local
        } else if self.circuits.iter().any(|circuit| !circuit.addresses.is_empty()) {
            Reachability::Relayed
        } else if self.refuted.is_empty() {
            Reachability::Unknown
        } else {
            Reachability::Unreachable
        }
    }

    /// For people and for the node's record.
    pub(crate) fn reach(&self, local: &NodeId) -> Reach {
        let circuits = self.circuits.iter().flat_map(|circuit| &circuit.addresses);
        // The most useful first: a record holds eight.
        let (outside, inside): (Vec<_>, Vec<_>) = self.listening.iter().partition(|at| address::is_public(at));
        let all = self.claimed.iter().chain(&self.confirmed).chain(outside).chain(circuits).chain(inside);
        let mut addresses: Vec<String> = Vec::new();
        for address in all.filter(|address| !self.refuted.contains(address)) {
            let text = address::with_id(address, local);
            if !addresses.contains(&text) {
                addresses.push(text);
            }
        }
        let granted = self.circuits.iter().filter(|circuit| !circuit.addresses.is_empty());
        Reach {
            reachability: self.reachability(),
            addresses,
            relays: granted.map(|circuit| circuit.relay).collect(),
            punched: self.punched,
        }
    }
}

fn keep(kept: &mut Vec<Multiaddr>, address: Multiaddr) {
    if !kept.contains(&address) {
        if kept.len() >= KEPT_MAX {
            kept.remove(0);
        }
        kept.push(address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Multiaddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_node_behind_a_gateway_serves_only_once_an_address_is_confirmed() {
        let mut evidence = Evidence::default();
        evidence.listening(at("/ip4/192.168.1.2/tcp/1"));
        evidence.met(&at("/ip4/192.168.1.3/tcp/1"));
        assert_eq!(evidence.reach(&NodeId([1; 32])).reachability, Reachability::Local);
        evidence.met(&at("/ip4/8.8.8.8/tcp/1"));
        assert_eq!(evidence.reach(&NodeId([1; 32])).reachability, Reachability::Unknown);
        assert!(!evidence.is_dialable() && !evidence.wants_relay(false) && evidence.wants_relay(true));
        evidence.confirmed(&at("/ip4/9.9.9.9/tcp/1"));
        assert!(evidence.is_dialable() && evidence.is_public());
        evidence.refuted(&at("/ip4/9.9.9.9/tcp/1"));
        assert_eq!(evidence.reach(&NodeId([1; 32])).reachability, Reachability::Unreachable);
        assert!(evidence.wants_relay(false));
    }

    #[test]
    fn a_place_at_a_relay_is_told_to_others_until_it_is_lost() {
        let (mut evidence, relay) = (Evidence::default(), NodeId([2; 32]));
        evidence.met(&at("/ip4/8.8.8.8/tcp/1"));
        evidence.refuted(&at("/ip4/9.9.9.9/tcp/1"));
        let listener = ListenerId::next();
        evidence.asked(listener, relay);
        assert!(evidence.uses_relay(&relay) && evidence.wants_relay(false));
        let circuit = at(&format!("/ip4/8.8.8.8/tcp/1/p2p/{relay}/p2p-circuit"));
        let inside = at(&format!("/ip4/127.0.0.1/tcp/1/p2p/{relay}/p2p-circuit"));
        assert!(evidence.granted(listener, &inside), "and not told");
        assert!(evidence.granted(listener, &circuit) && !evidence.granted(ListenerId::next(), &circuit));
        let reach = evidence.reach(&NodeId([1; 32]));
        assert_eq!((reach.reachability, &reach.relays[..]), (Reachability::Relayed, &[relay][..]));
        assert_eq!(reach.addresses, [format!("{circuit}/p2p/{}", NodeId([1; 32]))]);
        assert_eq!(evidence.lost(listener), Some(relay));
        assert_eq!(evidence.reach(&NodeId([1; 32])).reachability, Reachability::Unreachable);
    }

    #[test]
    fn an_interface_with_a_public_address_counts_until_others_fail_to_dial_it() {
        let mut evidence = Evidence::default();
        evidence.met(&at("/ip4/8.8.8.8/tcp/1"));
        evidence.listening(at("/ip4/9.9.9.9/tcp/1"));
        assert!(evidence.is_public());
        evidence.refuted(&at("/ip4/9.9.9.9/tcp/1"));
        assert!(!evidence.is_dialable());
        for port in 1..100 {
            evidence.refuted(&at(&format!("/ip4/9.9.9.9/tcp/{port}")));
        }
        assert!(evidence.refuted.len() <= KEPT_MAX);
    }
}
