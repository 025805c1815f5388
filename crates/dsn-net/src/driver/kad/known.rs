//! Finding nodes where the DHT is switched off: the network is the farmers that this node has met and that have said hello,
//! by whichever way it met them. What a look-up and a snapshot give comes from the book. Not here: meeting them, which is
//! the business of bootstrap addresses, mDNS, remembered nodes and rendezvous points.

use std::{collections::BTreeSet, time::Instant};

use dsn_core::{
    hello::Acquaintance,
    node_id::{NodeId, Position, closest},
    ports::Snapshot,
    record::Role,
};

use crate::{book::Entry, crawl::LOOK_UP_RESULTS, driver::Driver, identity::peer_id};

impl Driver {
    /// Farmers that are there, as far as this node knows: an idle connection ends, a dial that failed is remembered.
    fn acquaintances(&self, now: Instant) -> impl Iterator<Item = NodeId> + '_ {
        let is_there = move |entry: &Entry| entry.server && !entry.is_shunned(now) && entry.answers();
        self.book.iter().filter(move |(_, entry)| is_there(entry)).map(|(node, _)| *node)
    }

    pub(super) fn knows_farmers(&self) -> bool {
        self.acquaintances(Instant::now()).next().is_some()
    }

    /// All farmers known, this node among them when it is one. As complete as a picture without look-ups can be.
    pub(super) fn acquainted(&self) -> Snapshot {
        let me = self.serves().then_some(self.local);
        let nodes: BTreeSet<NodeId> = self.acquaintances(Instant::now()).chain(me).collect();
        Snapshot { nodes, complete: true }
    }

    /// Of these, the ones closest to a key.
    pub(super) fn acquainted_near(&self, key: &[u8; 32]) -> Vec<NodeId> {
        closest(self.acquainted().nodes, Position::of_key(key), LOOK_UP_RESULTS)
    }

    /// A node has said hello. Where there is a DHT, it is a server when it serves that.
    pub(in crate::driver) fn on_acquainted(&mut self, node: NodeId, known: &Acquaintance) {
        if self.dht || known.profile.role != Role::Farmer || self.has_quota(&node) {
            return;
        }
        let first = !self.knows_farmers();
        if let Some(entry) = self.book.get_mut(&node) {
            entry.server = true;
        }
        if first {
            self.meet_server(peer_id(&node), node, Vec::new());
        }
    }
}
