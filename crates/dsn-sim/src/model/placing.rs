//! Where the pieces of a chunk go in the model: [`placement::plan`] of `dsn-core`, asked with those farmers that a put or
//! a repair in a network of this size would ask.

use std::collections::BTreeMap;

use dsn_core::{
    index_set::IndexSet,
    limits::TOTAL_PIECES,
    node_id::NodeId,
    placement::{self, Candidate},
    redundancy::may_vanish,
};

use super::{
    chunks::{Phase, PieceRef},
    farmers::{Farmers, Slot},
    world::{CODE, Model},
};

/// Farmers asked for room for one chunk: those closest to it. Up to 2,000 farmers a real node knows them all and takes the
/// first of all in the chunk's order; since ids are random, the first of 256 random ones are as random, and 8 times faster.
const CANDIDATES: usize = 256;

impl Model {
    /// Puts every chunk; says how many farmers may vanish, whichever they are, before the weakest cannot be read.
    pub(super) fn put_all(&mut self) -> usize {
        let mut weakest = usize::MAX;
        for chunk in 0..self.chunks.count() {
            let candidates = self.candidates(chunk, |_, _| true);
            let plan = self.plan(chunk, &candidates, &BTreeMap::new());
            weakest = weakest.min(may_vanish(CODE, plan.values().copied()).unwrap_or(0));
            self.place(chunk, &plan);
        }
        weakest
    }

    /// Rebuilds what is missing of a chunk on farmers that answer; says how many bytes that moved, none when nothing could
    /// be done. A piece whose holder is only out for a while is placed again, and its old copy counts no more.
    pub(super) fn repair(&mut self, chunk: u32) -> u64 {
        let mut existing: BTreeMap<NodeId, IndexSet> = BTreeMap::new();
        for (slot, index) in self.chunks.holders(chunk).filter(|(slot, _)| self.answers(*slot)) {
            existing.entry(self.farmers.get(slot).id).or_default().insert(index);
        }
        if existing.values().map(|set| set.len()).sum::<usize>() < CODE.needed() {
            self.tally.failed += 1;
            return 0;
        }
        let candidates = self.candidates(chunk, Self::answers);
        let plan = self.plan(chunk, &candidates, &existing);
        let placed: usize = plan.values().map(|set| set.len()).sum();
        if placed == 0 {
            self.tally.failed += 1;
            return 0;
        }
        self.place(chunk, &plan);
        let moved = self.options.piece_bytes(CODE.needed() + placed);
        self.tally.repairs += 1;
        self.tally.repair_bytes += moved;
        moved
    }

    fn candidates(&self, chunk: u32, may: impl Fn(&Self, Slot) -> bool) -> Vec<Candidate> {
        let closest = self.farmers.closest(self.chunks.place(chunk), CANDIDATES).into_iter();
        closest.filter(|slot| may(self, *slot)).map(|slot| self.farmers.candidate(slot)).collect()
    }

    fn plan(
        &self,
        chunk: u32,
        candidates: &[Candidate],
        existing: &BTreeMap<NodeId, IndexSet>,
    ) -> BTreeMap<NodeId, IndexSet> {
        placement::plan(self.chunks.id(chunk), CODE, IndexSet::below(TOTAL_PIECES), self.target, candidates, existing)
    }

    fn place(&mut self, chunk: u32, plan: &BTreeMap<NodeId, IndexSet>) {
        debug_assert!(self.chunks.get(chunk).phase != Phase::Lost);
        for (node, set) in plan {
            let slot = Farmers::slot_of(node);
            for index in set.iter() {
                let piece = PieceRef::new(chunk, index);
                self.chunks.give(piece, slot);
                self.farmers.get_mut(slot).pieces.push(piece);
            }
        }
    }
}
