//! The placement of one chunk, as a state machine without I/O: ask [`Placement::next`] what to offer to whom, tell it what
//! came of it, and ask again until nothing is left to offer. Receipts seen in locators are claims; they count only once
//! the farmer has confirmed them.

use std::collections::{BTreeMap, BTreeSet};

use dsn_core::{
    descriptor::{Code, Descriptor},
    index_set::IndexSet,
    locator::VerifiedLocator,
    node_id::NodeId,
    placement::{Candidate, plan},
    receipt::VerifiedReceipt,
    redundancy::{Class, Target, may_vanish, target},
};

/// One chunk on its way to its farmers.
#[derive(Debug)]
pub(crate) struct Placement {
    class: Class,
    /// The pieces there are to give.
    given: IndexSet,
    claimed: BTreeMap<NodeId, IndexSet>,
    confirmed: VerifiedLocator,
    refused: BTreeSet<NodeId>,
    target: Target,
}

/// The farmers as the put sees them now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Farmers<'a> {
    /// Those that answer and have room.
    pub(crate) with_room: &'a [Candidate],
    /// Those that answer.
    pub(crate) answering: &'a [Candidate],
}

/// What a placement has reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reached {
    /// Different pieces (or copies) with receipts of farmers that answer.
    pub(crate) stored: usize,
    /// The numbers aimed at.
    pub(crate) target: Target,
    /// Farmers that may vanish; none when the chunk cannot even be read.
    pub(crate) may_vanish: Option<usize>,
}

impl Placement {
    /// Nothing placed yet of the pieces there are to give; these farmers claim to hold pieces already.
    pub(crate) fn new(
        descriptor: Descriptor,
        class: Class,
        given: IndexSet,
        claimed: BTreeMap<NodeId, IndexSet>,
    ) -> Self {
        let target = target(descriptor.code(), class, 1);
        Self { class, given, claimed, confirmed: VerifiedLocator::new(descriptor), refused: BTreeSet::new(), target }
    }

    fn descriptor(&self) -> &Descriptor {
        self.confirmed.descriptor()
    }

    fn confirmed_by(&self, farmers: Farmers<'_>) -> BTreeMap<NodeId, IndexSet> {
        let answering: BTreeSet<NodeId> = farmers.answering.iter().map(|c| c.node).collect();
        self.confirmed.holders().into_iter().filter(|(node, _)| answering.contains(node)).collect()
    }

    /// What to offer to whom now; empty when there is nothing left to try.
    pub(crate) fn next(&mut self, farmers: Farmers<'_>) -> BTreeMap<NodeId, IndexSet> {
        let candidates: Vec<Candidate> =
            farmers.with_room.iter().filter(|c| !self.refused.contains(&c.node)).cloned().collect();
        let confirmed = self.confirmed_by(farmers);
        let answering: BTreeSet<NodeId> = farmers.answering.iter().map(|c| c.node).collect();
        self.claimed.retain(|node, _| answering.contains(node) && !self.refused.contains(node));
        let claims: BTreeMap<NodeId, IndexSet> = self
            .claimed
            .iter()
            .map(|(node, set)| (*node, set.minus(confirmed.get(node).copied().unwrap_or_default())))
            .filter(|(_, set)| !set.is_empty())
            .collect();
        let mut holders = confirmed;
        claims.iter().for_each(|(node, set)| {
            let held = holders.entry(*node).or_default();
            *held = held.union(*set);
        });
        let count = candidates.iter().map(|c| c.node).chain(holders.keys().copied()).collect::<BTreeSet<_>>().len();
        self.target = target(self.descriptor().code(), self.class, count);
        let (chunk, code) = (self.descriptor().id(), self.descriptor().code());
        let mut offers = plan(chunk, code, self.given, self.target, &candidates, &holders);
        // A claim may turn out to be empty; only what there is can then be sent.
        for (node, set) in claims {
            let set = set.and(self.given);
            if set.is_empty() {
                continue;
            }
            let offer = offers.entry(node).or_default();
            *offer = offer.union(set);
        }
        offers
    }

    /// A farmer signed that it holds pieces.
    pub(crate) fn confirm(&mut self, receipt: VerifiedReceipt) {
        self.claimed.remove(&receipt.body().farmer);
        self.confirmed.insert(receipt);
    }

    /// A farmer will not take pieces of this chunk, or did not answer.
    pub(crate) fn refuse(&mut self, farmer: NodeId) {
        self.claimed.remove(&farmer);
        self.refused.insert(farmer);
    }

    pub(crate) fn reached(&self, farmers: Farmers<'_>) -> Reached {
        let held = self.confirmed_by(farmers);
        let code = self.descriptor().code();
        let stored = match code {
            Code::Rep => held.len(),
            Code::Rs16Of48 => held.values().fold(IndexSet::EMPTY, |sum, set| sum.union(*set)).len(),
        };
        Reached { stored, target: self.target, may_vanish: may_vanish(code, held.into_values()) }
    }

    /// The receipts confirmed so far.
    pub(crate) fn locator(&self) -> &VerifiedLocator {
        &self.confirmed
    }
}
