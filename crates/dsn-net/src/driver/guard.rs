//! The firewall inside: requests in both directions, and connections that stand when the rules change. Not here: how
//! connections come to stand (`doorman`).

use std::time::Instant;

use dsn_core::{
    firewall::{Attempt, Direction, Kind, Verdict},
    node_id::NodeId,
    ports::NetworkError,
    rpc::Refusal,
};
use libp2p::{Multiaddr, swarm::ConnectionId};

use super::{Driver, rpc::Outgoing};
use crate::{address, book::Link, club::principal, doorman::Doorman, identity::peer_id};

impl Driver {
    fn doorman(&self) -> &Doorman {
        &self.swarm.behaviour().doorman
    }

    /// Why a node's request is not served; none when it is.
    pub(super) fn refusal(&self, from: NodeId, link: ConnectionId, kind: Kind) -> Option<Refusal> {
        if let Some(refusal) = self.doorman().farewell(link) {
            return Some(refusal);
        }
        let link = self.book.get(&from).and_then(|entry| entry.links.iter().find(|known| known.id == link));
        let refusal = match self.guard.decide(&self.attempt(from, link, Direction::In, kind)) {
            Verdict::Allow => return None,
            Verdict::Deny => Refusal::Denied,
            Verdict::Later { delay_ms } => Refusal::Busy { delay_ms },
        };
        tracing::debug!(%from, %kind, ?refusal, "the firewall holds a request back");
        Some(refusal)
    }

    /// Whether a request may go to a node that is connected.
    pub(super) fn may_send(&self, outgoing: &Outgoing) -> bool {
        let link = self.book.get(&outgoing.to).and_then(|entry| entry.links.first());
        self.guard.decide(&self.attempt(outgoing.to, link, Direction::Out, outgoing.kind)) == Verdict::Allow
    }

    /// What is done on a connection, if it stands.
    pub(super) fn attempt(&self, node: NodeId, link: Option<&Link>, direction: Direction, kind: Kind) -> Attempt {
        let ip = link.and_then(|link| address::origin(&link.remote));
        let principal = principal(self.shared.club.as_ref(), Some(&node));
        Attempt { peer: Some(node), principal, ip, direction, kind }
    }

    /// The addresses at which a node may be dialled; none when there are some and it may be at none of them.
    pub(super) fn permitted(&self, node: NodeId, addresses: Vec<Multiaddr>) -> Option<Vec<Multiaddr>> {
        let known = addresses.len();
        let mut addresses = addresses;
        addresses.retain(|address| self.doorman().may_dial(Some(node), address));
        (known == 0 || !addresses.is_empty()).then_some(addresses)
    }

    /// Nobody is to be connected to this node: whoever waits for that learns it.
    pub(super) fn deny_dial(&mut self, node: NodeId) {
        for outgoing in self.stop_dialling(node) {
            outgoing.fail(NetworkError::Denied { node });
        }
    }

    /// Other rules hold: what stands and may stand no more is closed.
    pub(super) fn enforce(&mut self) {
        let denied = |node: &NodeId, link: &Link| {
            let direction = if link.dialled { Direction::Out } else { Direction::In };
            self.doorman().denies(*node, &link.remote, direction)
        };
        let links = self.book.iter().flat_map(|(node, entry)| entry.links.iter().map(move |link| (*node, link)));
        let close: Vec<_> =
            links.filter(|(node, link)| denied(node, link)).map(|(node, link)| (node, link.id)).collect();
        for (node, id) in close {
            tracing::info!(%node, "the firewall ends a connection");
            self.swarm.close_connection(id);
            self.forget_server(peer_id(&node), node);
        }
    }

    /// Ends the connections of those who have been told.
    pub(super) fn show_out(&mut self, now: Instant) {
        for id in self.doorman().to_show_out(now) {
            self.swarm.close_connection(id);
        }
    }
}
