//! What must hold in a month and at its end, beside that every file can be read.

use std::collections::{BTreeMap, BTreeSet};

use dsn_core::{
    hash::ChunkId,
    limits::CUSTODIANS,
    node_id::{NodeId, Places, Position},
};

use super::Month;
use crate::{
    checks::{overfull, unwritten_receipts},
    fault::Lie,
    violation::Violation,
};

/// Farmers and chunks that may be without a lease for hours: a commit was lost, and they ask again within a day.
const UNLEASED_MAX: usize = 8;

/// Hours after which a liar is found out: an audit every two hours comes round to it in eight days.
const FOUND_OUT_AFTER: u64 = 240;

/// From so many farmers on a cut does not leave a side that must repair at once.
const LARGE_FARMERS: usize = 100;

/// A liar with fewer chunks does not lie often enough to lose all trust.
const SHOWING_CHUNKS: usize = 4;

/// Hours after its last start within which a custodian has what it should keep.
const TAUGHT_AFTER: u64 = 24;

/// Bytes repaired for each byte lost, by the class with the least to spare: 16 / (24 - 20) + 1, and half as much again.
const REPAIR_FACTOR: u64 = 8;

/// Bytes of repair that need no loss: pieces that rotted, farmers that were slow.
const REPAIR_FREE_BYTES: u64 = 6_000_000;

impl Month {
    /// What is looked at every few hours.
    pub(super) fn check_now(&mut self) {
        let honest = self.honest();
        self.found_out.extend(honest.into_iter().flat_map(|node| self.world.distrusted_by(node)));
        self.violations.extend(overfull(&self.world));
        self.check_leases();
    }

    /// Every holder of a file has its owner's lease, or gets it within hours.
    fn check_leases(&mut self) {
        let wanted: BTreeSet<ChunkId> = self.ledger.iter().flat_map(|e| e.chunks.iter().map(|(c, _)| *c)).collect();
        let up = self.honest().into_iter().filter(|node| self.world.is_up(*node));
        let without = up.flat_map(|node| self.world.without_lease(node).into_iter().map(move |chunk| (node, chunk)));
        let without: BTreeSet<(NodeId, ChunkId)> = without.filter(|(_, chunk)| wanted.contains(chunk)).collect();
        let mut for_hours = without.intersection(&self.unleased).map(|(_, chunk)| *chunk);
        if let Some(chunk) = for_hours.next() {
            let pairs = 1 + for_hours.count();
            if pairs > UNLEASED_MAX {
                self.violations.push(Violation::NoLease { pairs, chunk });
            }
        }
        self.unleased = without;
    }

    /// Everything that is looked at once, at the end.
    pub(super) fn check_all(&mut self, given_up: &BTreeSet<ChunkId>) {
        let excused: BTreeSet<NodeId> = self.failed.union(&self.untold).copied().collect();
        self.violations.extend(unwritten_receipts(&self.world, &excused, given_up));
        self.check_custodians();
        self.check_liars();
        self.check_rot(given_up);
        let (moved_bytes, lost_bytes) = (self.repair_bytes_of_all(), self.lost_bytes);
        let is_large = self.options.farmers >= LARGE_FARMERS && !self.had_outage;
        if is_large && moved_bytes > REPAIR_FACTOR * lost_bytes + REPAIR_FREE_BYTES {
            self.violations.push(Violation::TooMuchRepair { moved_bytes, lost_bytes });
        }
    }

    fn repair_bytes_of_all(&self) -> u64 {
        let running = self.world.farmers().into_iter().filter_map(|farmer| self.world.status(farmer));
        self.repair_bytes + running.map(|status| status.repair_bytes).sum::<u64>()
    }

    /// Whoever has been a custodian for long enough keeps the locator.
    fn check_custodians(&mut self) {
        let farmers = self.world.farmers();
        let servers = Places::new(farmers.iter().copied().filter(|node| self.world.is_served(*node)));
        let kept: BTreeMap<NodeId, BTreeSet<ChunkId>> = farmers
            .iter()
            .map(|node| (*node, self.world.locators_of(*node).iter().map(|locator| locator.chunk()).collect()))
            .collect();
        for (chunk, _) in self.ledger.iter().flat_map(|entry| &entry.chunks) {
            let is_asked = |node: &NodeId| {
                let is_settled = self.started.get(node).is_none_or(|at| at + TAUGHT_AFTER < self.hour);
                is_settled && !self.failed.contains(node) && !self.untold.contains(node)
            };
            let custodians: Vec<NodeId> =
                servers.closest(Position::from(chunk), CUSTODIANS).into_iter().filter(is_asked).collect();
            let without = custodians.iter().filter(|node| !kept[*node].contains(chunk)).count();
            if without > 0 {
                let (chunk, custodians) = (*chunk, custodians.len());
                self.violations.push(Violation::NotKept { chunk, custodians, without });
            }
        }
    }

    /// A liar whose pieces count somewhere is found out by somebody.
    fn check_liars(&mut self) {
        let honest = self.honest();
        let signed: BTreeSet<NodeId> = honest
            .iter()
            .flat_map(|node| self.world.locators_of(*node))
            .flat_map(|locator| locator.receipts().iter().map(|r| r.body().farmer).collect::<Vec<_>>())
            .collect();
        for (farmer, (lie, since)) in &self.liars {
            let shows = matches!(lie, Lie::WrongBytes | Lie::Drops | Lie::ClaimsAll);
            let long = since + FOUND_OUT_AFTER <= self.hour && signed.contains(farmer);
            if shows && long && self.world.on_disk(*farmer).len() >= SHOWING_CHUNKS && !self.found_out.contains(farmer)
            {
                self.violations.push(Violation::Trusted { farmer: *farmer, lie: *lie });
            }
        }
    }

    /// Of the pieces that rotted and were given up, some are back.
    fn check_rot(&mut self, given_up: &BTreeSet<ChunkId>) {
        let (mut gone, mut back) = (0, 0);
        for (farmer, chunk, index) in &self.rotten {
            let is_excused = self.failed.contains(farmer) || self.broken.contains(farmer) || given_up.contains(chunk);
            if is_excused || !self.world.is_up(*farmer) {
                continue;
            }
            let has = |held: Vec<(ChunkId, dsn_core::index_set::IndexSet)>| {
                held.iter().any(|(of, set)| of == chunk && set.contains(*index))
            };
            gone += usize::from(!has(self.world.listed(*farmer)));
            back += usize::from(has(self.world.on_disk(*farmer)));
        }
        if gone >= 2 && back == 0 {
            self.violations.push(Violation::NotHealed { pieces: gone });
        }
    }
}
