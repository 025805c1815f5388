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

use crate::{address, identity::node_id};

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
    pub(crate) fn new(guard: Arc<dyn Guard>) -> Self {
        Self { guard, told: HashMap::new(), leaving: HashMap::new() }
    }

    /// A stranger knocks.
    pub(crate) fn knock(&self, remote: &Multiaddr) -> Result<(), ConnectionDenied> {
        let attempt = connect(None, remote, Direction::In);
        if self.guard.decide(&attempt) == Verdict::Deny { Err(ConnectionDenied::new(Firewalled)) } else { Ok(()) }
    }

    /// It has said who it is.
    pub(crate) fn enter(&mut self, peer: &PeerId, remote: &Multiaddr) -> Result<Entry, ConnectionDenied> {
        let Some(node) = node_id(peer) else { return Ok(Entry::Welcome) }; // the driver ends it
        let refusal = match self.guard.decide(&connect(Some(node), remote, Direction::In)) {
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
        self.guard.decide(&connect(peer, address, Direction::Out)) == Verdict::Allow
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

fn connect(peer: Option<NodeId>, address: &Multiaddr, direction: Direction) -> Attempt {
    Attempt { peer, ip: address::origin(address), direction, kind: Kind::Connect }
}

/// Whether it is our own firewall that let nobody be dialled.
pub(crate) fn is_firewalled(error: &DialError) -> bool {
    matches!(error, DialError::Denied { cause } if cause.downcast_ref::<Firewalled>().is_some())
}
