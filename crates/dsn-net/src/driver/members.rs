//! Closed networks, while connections stand: those of members who are none any more are closed, and new lists of
//! revocations go to everybody who is connected. Not here: who is let in to begin with (`admission`).

use std::time::Duration;

use dsn_core::{
    announcement::Announcement,
    membership::{Allowance, Refused, admission::Admission},
    node_id::NodeId,
    ports::NetworkError,
};
use libp2p::{
    PeerId, TransportError,
    request_response::{Event, Message},
    swarm::{ConnectionId, DialError},
};

use super::Driver;
use crate::{
    admission::AdmissionError,
    identity::{node_id, peer_id},
    lists,
};

/// A connection that a node of a closed network ends, because nothing was shown on it, ends within this time.
const TURNED_AWAY: Duration = Duration::from_secs(5);

impl Driver {
    /// What a farmer keeps of the member for whom a node acts: none without a bound, an error for who has not shown for whom.
    pub(super) fn allowance(&self, node: &NodeId) -> Result<Option<Allowance>, Refused> {
        self.shared.club.as_ref().map_or(Ok(None), |club| club.allowance(node))
    }

    /// Whether a node acts for a member with a quota. Such a one lends nothing: what it said of pieces and leases could be
    /// made up, so nothing is asked of it, and it is no server.
    pub(super) fn has_quota(&self, node: &NodeId) -> bool {
        matches!(self.allowance(node), Ok(Some(_)))
    }

    /// Sends away who has to go, and hands a new list on.
    pub(super) fn look_after_members(&mut self) {
        let Some(club) = self.shared.club.clone() else { return };
        for (node, why) in club.sort_out(|node| self.swarm.is_connected(&peer_id(node))) {
            if self.swarm.disconnect_peer_id(peer_id(&node)).is_ok() {
                tracing::info!(%node, %why, "a node was sent away");
            }
            self.forget_server(peer_id(&node), node);
        }
        let Some(list) = club.list_after(self.list_told) else { return };
        self.list_told = list.body().seq;
        self.announce(&Announcement::Revocations(list.clone()));
        let peers: Vec<PeerId> = self.swarm.connected_peers().copied().collect();
        for peer in peers {
            if let Some(lists) = self.swarm.behaviour_mut().protocols.lists.as_mut() {
                lists.send_request(&peer, lists::said(self.list_told, Some(list.clone())));
            }
        }
    }

    pub(super) fn on_lists_event(&mut self, event: Event<Admission, Admission>) {
        let (Event::Message { peer, message, .. }, Some(club)) = (event, self.shared.club.clone()) else { return };
        let (said, channel) = match message {
            Message::Request { request, channel, .. } => (request, Some(channel)),
            Message::Response { response, .. } => (response, None),
        };
        if let Some(Err(error)) = said.revocations.map(|list| club.learn(list)) {
            tracing::debug!(%peer, %error, "a list of revocations is not the founder's");
        }
        let answer = lists::said(*club.watch().borrow(), club.list_after(said.seq));
        if let (Some(channel), Some(lists)) = (channel, self.swarm.behaviour_mut().protocols.lists.as_mut()) {
            // The asker may be gone; it hears it from the next one.
            let _gone = lists.send_response(channel, answer);
        }
    }

    /// A connection is about to be forgotten. In an open network, one that this node made and that ends before the other
    /// side has said what it is, leads to a closed network: its nodes say nothing to strangers.
    pub(super) fn on_ended(&mut self, peer: &PeerId, id: ConnectionId) {
        let Some((node, entry)) = node_id(peer).and_then(|node| Some((node, self.book.get(&node)?))) else { return };
        let link = entry.links.iter().find(|link| link.id == id);
        let at_once = link.is_some_and(|link| link.dialled && link.since.elapsed() < TURNED_AWAY);
        if self.shared.club.is_some() || !at_once || entry.has_spoken() {
            return;
        }
        tracing::debug!(%node, "a node ended the connection without a word");
        self.turned_away(node, NetworkError::NotAdmitted { reason: Refused::NoCredentials });
    }
}

/// What the network says of this node, if that is why a dial failed.
pub(super) fn refusal_of(error: &DialError) -> Option<NetworkError> {
    let DialError::Transport(errors) = error else { return None };
    errors.iter().find_map(|(_, error)| match error {
        TransportError::Other(error) => match admission_error(error)? {
            AdmissionError::NotLetIn(reason) => Some(NetworkError::NotAdmitted { reason: *reason }),
            _ => None,
        },
        TransportError::MultiaddrNotSupported(_) => None,
    })
}

/// The error of an admission, which libp2p has wrapped.
pub(super) fn admission_error(error: &std::io::Error) -> Option<&AdmissionError> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref::<AdmissionError>() {
            return Some(found);
        }
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        cause = inner.map(|inner| inner as &(dyn std::error::Error + 'static)).or_else(|| error.source());
    }
    None
}
