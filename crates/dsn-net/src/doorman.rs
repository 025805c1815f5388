//! The firewall at the door: what becomes of a connection before anything is asked on it. By its address before the
//! handshake, by the peer after it. Not here: requests (`driver/guard.rs`), rules (the guard).
//!
//! A peer refused without a word tries again and cannot tell its user why. So one that is denied gets in once in a while,
//! for as long as it takes to refuse it one request; from then on its connections end with the handshake. Those refused by
//! address alone end before it. Invariant: what strangers make this remember is bounded.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use dsn_core::{
    firewall::{Attempt, Direction, Kind, Verdict},
    node_id::NodeId,
    ports::Guard,
    rpc::Refusal,
};
use libp2p::{
    Multiaddr, PeerId,
    swarm::{ConnectionDenied, ConnectionId, DialError},
};
use thiserror::Error;

use crate::{
    address,
    club::{Club, principal},
    identity::node_id,
};

/// A denied peer is let in again, to be told again, after this long.
const TOLD_FOR: Duration = Duration::from_secs(600);
/// Peers remembered as told. When there are more, they are refused without a word.
const TOLD_MAX: usize = 1024;
/// A denied peer that was let in has this long to ask.
const STAY: Duration = Duration::from_secs(2);

/// The firewall of this node has refused a connection.
#[derive(Debug, Error)]
#[error("the firewall denies it")]
pub(crate) struct Firewalled;

/// Stands at the door.
pub(crate) struct Doorman {
    guard: Arc<dyn Guard>,
    club: Option<Arc<Club>>,
    told: HashMap<NodeId, Instant>,
    /// Connections of those who are only here to be told: since when, and what.
    leaving: HashMap<ConnectionId, (Instant, Refusal)>,
}

/// How a connection is let in.
pub(crate) enum Entry {
    /// As any other.
    Welcome,
    /// To be told this.
    ToBeTold(Refusal),
}

impl Doorman {
    pub(crate) fn new(guard: Arc<dyn Guard>, club: Option<Arc<Club>>) -> Self {
        Self { guard, club, told: HashMap::new(), leaving: HashMap::new() }
    }

    /// A stranger knocks.
    pub(crate) fn knock(&self, remote: &Multiaddr) -> Result<(), ConnectionDenied> {
        if self.decide(None, remote, Direction::In) == Verdict::Deny {
            Err(ConnectionDenied::new(Firewalled))
        } else {
            Ok(())
        }
    }

    /// It has said who it is.
    pub(crate) fn enter(&mut self, peer: &PeerId, remote: &Multiaddr) -> Result<Entry, ConnectionDenied> {
        let Some(node) = node_id(peer) else { return Ok(Entry::Welcome) }; // the driver ends it
        let refusal = match self.decide(Some(node), remote, Direction::In) {
            Verdict::Allow => return Ok(Entry::Welcome),
            Verdict::Deny => Refusal::Denied,
            Verdict::Later { delay_ms } => Refusal::Busy { delay_ms },
        };
        let now = Instant::now();
        self.told.retain(|_, told| now < *told + TOLD_FOR);
        if self.told.contains_key(&node) || self.told.len() >= TOLD_MAX {
            return Err(ConnectionDenied::new(Firewalled));
        }
        self.told.insert(node, now);
        Ok(Entry::ToBeTold(refusal))
    }

    /// The connection stands.
    pub(crate) fn entered(&mut self, id: ConnectionId, entry: Entry) {
        if let Entry::ToBeTold(refusal) = entry {
            self.leaving.insert(id, (Instant::now(), refusal));
        }
    }

    /// It stands no longer.
    pub(crate) fn left(&mut self, id: ConnectionId) {
        self.leaving.remove(&id);
    }

    /// Whether this node may connect to a peer at an address.
    pub(crate) fn may_dial(&self, peer: Option<NodeId>, address: &Multiaddr) -> bool {
        self.decide(peer, address, Direction::Out) == Verdict::Allow
    }

    /// Whether what stands may stand no more.
    pub(crate) fn denies(&self, peer: NodeId, address: &Multiaddr, direction: Direction) -> bool {
        self.attempts(Some(peer), address, direction).any(|attempt| self.guard.denies(&attempt))
    }

    fn decide(&self, peer: Option<NodeId>, address: &Multiaddr, direction: Direction) -> Verdict {
        let mut verdicts = self.attempts(peer, address, direction).map(|attempt| self.guard.decide(&attempt));
        verdicts.find(|verdict| *verdict != Verdict::Allow).unwrap_or(Verdict::Allow)
    }

    /// What a connection is: one through a relay is two things.
    fn attempts(
        &self,
        peer: Option<NodeId>,
        address: &Multiaddr,
        direction: Direction,
    ) -> impl Iterator<Item = Attempt> + use<> {
        let kinds = [Some(Kind::Connect), address::is_circuit(address).then_some(Kind::Relay)];
        let (ip, principal) = (address::origin(address), principal(self.club.as_ref(), peer.as_ref()));
        kinds.into_iter().flatten().map(move |kind| Attempt { peer, principal, ip, direction, kind })
    }

    /// What everything on this connection is answered, when its peer is only here to be told.
    pub(crate) fn farewell(&self, id: ConnectionId) -> Option<Refusal> {
        self.leaving.get(&id).map(|(_, refusal)| *refusal)
    }

    /// Connections that have been here to be told for long enough.
    pub(crate) fn to_show_out(&self, now: Instant) -> Vec<ConnectionId> {
        self.leaving.iter().filter(|(_, (since, _))| now >= *since + STAY).map(|(id, _)| *id).collect()
    }
}

/// Whether this node gives a peer a place or a circuit as a relay.
pub(crate) fn may_relay_for(
    guard: &Arc<dyn Guard>,
    club: Option<Arc<Club>>,
) -> impl FnMut(PeerId, &Multiaddr, Instant) -> bool + Send + use<> {
    let guard = Arc::clone(guard);
    move |peer, address, _| {
        let (peer, ip) = (node_id(&peer), address::origin(address));
        let principal = principal(club.as_ref(), peer.as_ref());
        let attempt = Attempt { peer, principal, ip, direction: Direction::In, kind: Kind::Relay };
        guard.decide(&attempt) == Verdict::Allow
    }
}

/// Whether it is our own firewall that let nobody be dialled.
pub(crate) fn is_firewalled(error: &DialError) -> bool {
    matches!(error, DialError::Denied { cause } if cause.downcast_ref::<Firewalled>().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Denies one kind.
    #[derive(Debug)]
    struct No(Kind);

    impl Guard for No {
        fn decide(&self, attempt: &Attempt) -> Verdict {
            if self.denies(attempt) { Verdict::Deny } else { Verdict::Allow }
        }

        fn denies(&self, attempt: &Attempt) -> bool {
            attempt.kind == self.0
        }
    }

    fn direct() -> Multiaddr {
        "/ip4/192.0.2.1/tcp/1".parse().unwrap()
    }

    fn circuit() -> Multiaddr {
        format!("{}/p2p/{}/p2p-circuit", direct(), NodeId([1; 32])).parse().unwrap()
    }

    #[test]
    fn a_circuit_is_a_connection_and_a_relay_and_has_no_address() {
        let (peer, doorman) = (NodeId([2; 32]), Doorman::new(Arc::new(No(Kind::Relay)), None));
        assert!(doorman.may_dial(Some(peer), &direct()) && !doorman.may_dial(Some(peer), &circuit()));
        assert!(doorman.knock(&direct()).is_ok() && doorman.knock(&circuit()).is_err());
        assert!(!doorman.denies(peer, &direct(), Direction::In) && doorman.denies(peer, &circuit(), Direction::In));
        assert!(!Doorman::new(Arc::new(No(Kind::Connect)), None).may_dial(Some(peer), &circuit()));
        assert!(doorman.attempts(None, &circuit(), Direction::In).all(|attempt| attempt.ip.is_none()));
    }

    #[test]
    fn whoever_is_denied_it_gets_no_place_at_a_relay() {
        let peer = crate::identity::peer_id(&NodeId([2; 32]));
        let may = |kind| may_relay_for(&(Arc::new(No(kind)) as _), None)(peer, &direct(), Instant::now());
        assert!(may(Kind::Info) && !may(Kind::Relay));
    }

    #[test]
    fn so_many_denied_peers_are_told_and_no_more() {
        let mut doorman = Doorman::new(Arc::new(No(Kind::Connect)), None);
        let peer = |number: usize| {
            let mut seed = [7; 32];
            seed[..8].copy_from_slice(&number.to_le_bytes());
            crate::identity::peer_id(&dsn_core::identity::Identity::from_seed(seed).node_id())
        };
        for number in 0..TOLD_MAX {
            let entry = doorman.enter(&peer(number), &direct());
            assert!(matches!(entry, Ok(Entry::ToBeTold(Refusal::Denied))), "{number}");
            assert!(doorman.enter(&peer(number), &direct()).is_err(), "it was told");
        }
        assert!(doorman.enter(&peer(TOLD_MAX), &direct()).is_err());
        assert_eq!(doorman.told.len(), TOLD_MAX);
    }
}
