//! Rendezvous points among the nodes connected: this node registers there if it serves, and asks who else has.

use std::time::{Duration, Instant};

use libp2p::{PeerId, rendezvous};

use super::Driver;
use crate::{
    address,
    behaviour::MeetingEvent,
    book::FoundBy,
    identity::{node_id, peer_id},
};

/// Between two visits to a point. Registrations last two hours.
const VISIT_EVERY: Duration = Duration::from_secs(600);
/// While nobody else is known.
const VISIT_AGAIN: Duration = Duration::from_secs(10);

/// When the points are visited.
#[derive(Debug, Default)]
pub(super) struct Visits {
    pub(super) next: Option<Instant>,
    pub(super) enabled: bool,
}

impl Driver {
    /// A point has turned up: it is visited at once.
    pub(super) fn on_rendezvous_point(&mut self, point: PeerId) {
        if self.visits.enabled {
            self.visit(point);
        }
    }

    /// Visits the points when it is time to.
    pub(super) fn visit_points(&mut self, now: Instant) {
        if !self.visits.enabled || self.visits.next.is_some_and(|next| now < next) {
            return;
        }
        let points: Vec<PeerId> = (self.book.iter())
            .filter(|(_, entry)| entry.is_rendezvous && entry.is_connected())
            .map(|(node, _)| peer_id(node))
            .collect();
        let knows_others = self.book.iter().filter(|(_, entry)| entry.server).nth(points.len()).is_some();
        self.visits.next = Some(now + if knows_others { VISIT_EVERY } else { VISIT_AGAIN });
        points.into_iter().for_each(|point| self.visit(point));
    }

    fn visit(&mut self, point: PeerId) {
        let serves = self.serves();
        let meeting = &mut self.swarm.behaviour_mut().protocols.meeting;
        if serves {
            meeting.register(&self.network, point);
        }
        meeting.discover(&self.network, point);
    }

    pub(super) fn on_meeting_event(&mut self, event: MeetingEvent) {
        match event {
            MeetingEvent::Client(rendezvous::client::Event::Discovered { registrations, .. }) => {
                registrations.into_iter().for_each(|found| self.on_registered(&found.record));
            }
            MeetingEvent::Client(event) => tracing::debug!(?event, "rendezvous"),
            MeetingEvent::Point(event) => tracing::debug!(?event, "rendezvous point"),
        }
    }

    /// Somebody has registered with a point, by its own signed word.
    fn on_registered(&mut self, record: &libp2p::core::PeerRecord) {
        let Some(node) = node_id(&record.peer_id()).filter(|node| *node != self.local) else { return };
        let now = Instant::now();
        let entry = self.book.entry(node, FoundBy::Rendezvous, now);
        if entry.is_connected() || entry.why_down(now).is_some() {
            return;
        }
        let named = record.addresses().iter().map(|address| address::split(address).0);
        named.take(address::ADDRESSES_MAX_PER_NODE).for_each(|address| entry.learn(&address));
        self.dial(node);
    }
}
