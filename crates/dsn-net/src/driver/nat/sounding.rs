//! Being seen over QUIC before it is needed: holes are punched at the addresses where others have seen the two nodes, and who
//! dials over TCP alone is seen at a TCP port alone. Many gateways answer a stranger's SYN with a reset, which ends a hole of
//! TCP before it is one; datagrams they drop, and so a hole of QUIC comes about. Both are tried at once where both were seen.
//!
//! So a node that listens for QUIC, and whom others cannot dial, connects to somebody outside over QUIC too: a farmer all
//! along, since it is called, a client before it first calls somebody through a relay. DCUtR takes the addresses that were
//! seen when the call begins, so calls wait for that, not for long. Not here: punching (DCUtR).

use std::time::{Duration, Instant};

use dsn_core::node_id::NodeId;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};

use super::Driver;
use crate::{
    address::{self, Way},
    book::Link,
    identity::peer_id,
};

/// Calls wait no longer than this: three round trips around the world.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between two such connections. Gateways forget a datagram's way after 30 to 180 seconds, and an unused connection lasts for
/// [`crate::Waits::idle`] with pings that renew it.
const EVERY: Duration = Duration::from_secs(30);

/// Being seen over QUIC.
#[derive(Default)]
pub(super) struct Sounding {
    /// When the next one may begin.
    next: Option<Instant>,
    /// Until when what has begun is waited for.
    until: Option<Instant>,
    /// Nodes to be called afterwards; each has requests that wait for it.
    held: Vec<NodeId>,
}

impl Driver {
    /// Whether a call through a relay has to wait; then it is made later.
    pub(in crate::driver) fn is_to_sound_first(&mut self, node: NodeId, now: Instant) -> bool {
        let waits = self.nat.sounding.until.is_some() || self.sound(now);
        if waits {
            self.nat.sounding.held.push(node);
        }
        waits
    }

    /// Connects to a node outside over QUIC, if that is of use and not yet so; tells whether it has begun.
    fn sound(&mut self, now: Instant) -> bool {
        let listens = self.swarm.listeners().any(|address| address::way(address) == Some(Way::Quic));
        let is_due = self.nat.sounding.next.is_none_or(|next| now >= next);
        if !listens || !is_due || self.nat.evidence.is_public() || self.is_seen_over_quic() {
            return false;
        }
        let connected = self.book.iter().filter(|(_, entry)| entry.is_connected());
        let mut outside = connected.filter_map(|(node, entry)| Some((*node, entry.outside_by(Way::Quic)?)));
        let Some((node, address)) = outside.next() else { return false };
        self.nat.sounding.next = Some(now + EVERY);
        let opts = DialOpts::peer_id(peer_id(&node)).condition(PeerCondition::Always).addresses(vec![address]).build();
        let has_begun = self.swarm.dial(opts).is_ok();
        self.nat.sounding.until = has_begun.then_some(now + PATIENCE);
        has_begun
    }

    fn is_seen_over_quic(&self) -> bool {
        let sees = |link: &Link| link.way == Way::Quic && link.dialled && address::is_public(&link.remote);
        self.book.iter().any(|(_, entry)| entry.links.iter().any(sees))
    }

    /// A node has said over QUIC where it sees this one: calls may be made.
    pub(in crate::driver) fn sounded(&mut self) {
        self.nat.sounding.until = None;
        for node in std::mem::take(&mut self.nat.sounding.held) {
            self.dial(node);
        }
    }

    /// Time passes: nobody waits for what has failed, and a farmer whom others cannot dial stays seen.
    pub(in crate::driver) fn keep_sounding(&mut self, now: Instant) {
        if self.nat.sounding.until.is_some_and(|until| now >= until) {
            self.sounded();
        }
        if self.serve && !self.nat.evidence.is_dialable() {
            self.sound(now);
        }
    }
}
