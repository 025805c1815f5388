//! Which piece to ask of whom, as a state machine without I/O: ask [`Fetch::next`] what to do, tell it what came back.
//! Data pieces first, since they need no computing; parity when a data piece is late, lost or wrong; good holders before
//! slow ones, slow before silent ones. Small pieces of one holder are asked for in one message. What comes may be a piece
//! or a slice of it: the same choice.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use dsn_core::{
    descriptor::Descriptor,
    index_set::IndexSet,
    limits::{BODIES_MAX_BYTES, DATA_PIECES},
    locator::VerifiedLocator,
    node_id::NodeId,
    piece::VerifiedPiece,
    ports::NetworkError,
};
use tokio::time::Instant;

use crate::scores::Rank;

/// What to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Ask this node for these pieces.
    Ask {
        /// The holder.
        node: NodeId,
        /// Its pieces; never empty.
        indices: IndexSet,
    },
    /// Wait for an answer, until then if a time is given.
    Wait(Option<Instant>),
    /// There are pieces enough.
    Done,
    /// Nobody is left to ask and no answer is due.
    Exhausted,
}

/// One chunk being fetched: whole pieces, or what else comes of each.
#[derive(Debug)]
pub(crate) struct Fetch<T = VerifiedPiece> {
    needed: usize,
    among: IndexSet,
    per_message: usize,
    holders: BTreeMap<NodeId, IndexSet>,
    got: BTreeMap<u8, T>,
    due: BTreeMap<(NodeId, u8), Instant>,
    failed: BTreeMap<(NodeId, u8), Miss>,
}

/// Why a piece did not come from a holder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Miss {
    /// It answered without the piece.
    Absent,
    /// It answered with other bytes.
    Wrong,
    /// It did not answer; it may the next time.
    Unanswered(NetworkError),
}

/// What a holder answered about pieces that did not come from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HolderAnswer {
    /// The holder.
    pub node: NodeId,
    /// Pieces that it is said to hold.
    pub pieces: IndexSet,
    /// Why they did not come.
    pub miss: Miss,
}

impl fmt::Display for HolderAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { node, pieces, miss } = self;
        match miss {
            Miss::Absent => write!(f, "{node} no longer has pieces {pieces}"),
            Miss::Wrong => write!(f, "{node} sent other bytes for pieces {pieces}"),
            Miss::Unanswered(error) => write!(f, "{error}; it is said to hold pieces {pieces}"),
        }
    }
}

/// One holder's piece that could be asked for; the smallest is the best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Choice {
    down: bool,
    slow: bool,
    parity: bool,
    in_flight: usize,
    index: u8,
    node: NodeId,
}

impl Fetch {
    /// Pieces that rebuild the chunk.
    pub(crate) fn new(descriptor: &Descriptor) -> Self {
        let per_message = (BODIES_MAX_BYTES / descriptor.piece_len()).max(1);
        Self::some_of(descriptor.all_indices(), descriptor.code().needed(), per_message)
    }
}

impl<T> Fetch<T> {
    /// Something of any `needed` of these pieces; a message takes that of `per_message`.
    pub(crate) fn some_of(among: IndexSet, needed: usize, per_message: usize) -> Self {
        Self {
            needed,
            among,
            per_message,
            holders: BTreeMap::new(),
            got: BTreeMap::new(),
            due: BTreeMap::new(),
            failed: BTreeMap::new(),
        }
    }

    /// Learns who holds what; says whether anything was new.
    pub(crate) fn learn(&mut self, locator: &VerifiedLocator) -> bool {
        let before = self.holders.clone();
        for (node, set) in locator.holders() {
            let held = self.holders.entry(node).or_default();
            *held = held.union(set.and(self.among));
        }
        self.holders != before
    }

    /// What to do at `now`, given how good each holder is and after how long an answer is late.
    pub(crate) fn next(&mut self, now: Instant, late_after: Duration, rank: impl Fn(NodeId) -> Rank) -> Step {
        if self.got.len() >= self.needed {
            return Step::Done;
        }
        let on_time: BTreeSet<u8> =
            self.due.iter().filter(|(_, since)| **since + late_after > now).map(|((_, index), _)| *index).collect();
        if self.got.len() + on_time.len() < self.needed {
            let missing = self.needed - self.got.len() - on_time.len();
            if let Some(choice) = self.choices(&on_time, rank).min() {
                return self.ask(choice, missing, &on_time, now);
            }
            if self.due.is_empty() {
                return Step::Exhausted;
            }
        }
        Step::Wait(self.due.values().map(|since| *since + late_after).filter(|late| *late > now).min())
    }

    /// Pieces not there and not on their way in time, at holders not asked for them yet.
    fn choices<'a>(
        &'a self,
        on_time: &'a BTreeSet<u8>,
        rank: impl Fn(NodeId) -> Rank,
    ) -> impl Iterator<Item = Choice> + 'a {
        let ranked: Vec<_> = self.holders.iter().map(|(node, set)| (*node, *set, rank(*node))).collect();
        ranked.into_iter().flat_map(move |(node, set, rank)| {
            let open = set.iter().filter(move |index| self.open(node, *index, on_time));
            open.map(move |index| {
                let parity = usize::from(index) >= DATA_PIECES;
                Choice { down: rank.down, slow: rank.slow, parity, in_flight: rank.in_flight, index, node }
            })
        })
    }

    fn open(&self, node: NodeId, index: u8, on_time: &BTreeSet<u8>) -> bool {
        let key = (node, index);
        !self.got.contains_key(&index)
            && !on_time.contains(&index)
            && !self.due.contains_key(&key)
            && !self.failed.contains_key(&key)
    }

    fn ask(&mut self, choice: Choice, missing: usize, on_time: &BTreeSet<u8>, now: Instant) -> Step {
        let node = choice.node;
        let same_kind = |index: &u8| (usize::from(*index) >= DATA_PIECES) == choice.parity;
        let held = self.holders.get(&node).copied().unwrap_or_default();
        let more = held.iter().filter(same_kind).filter(|i| *i != choice.index && self.open(node, *i, on_time));
        let most = self.per_message.min(missing);
        let indices: IndexSet = [choice.index].into_iter().chain(more).take(most).collect();
        indices.iter().for_each(|index| {
            self.due.insert((node, index), now);
        });
        Step::Ask { node, indices }
    }

    /// What was wanted of a piece came.
    pub(crate) fn came(&mut self, node: NodeId, index: u8, what: T) {
        self.due.remove(&(node, index));
        self.got.insert(index, what);
    }

    /// The request is over: those of its pieces that have not come will not come from this holder.
    pub(crate) fn settled(&mut self, node: NodeId, indices: IndexSet, miss: Miss) {
        for index in indices.iter() {
            if self.due.remove(&(node, index)).is_some() {
                self.failed.insert((node, index), miss.clone());
            }
        }
    }

    /// Those of the pieces of which nothing has come.
    pub(crate) fn missing(&self) -> IndexSet {
        self.among.minus(self.got.keys().copied().collect())
    }

    /// Gives holders that did not answer another chance; says whether there are any.
    pub(crate) fn retry_unanswered(&mut self) -> bool {
        let before = self.failed.len();
        self.failed.retain(|_, miss| !matches!(miss, Miss::Unanswered(_)));
        self.failed.len() < before
    }

    /// Different pieces there are; copies for `rep`.
    pub(crate) fn found(&self) -> usize {
        self.got.len()
    }

    /// What the holders answered from which something did not come, in a fixed order.
    pub(crate) fn answers(&self) -> Vec<HolderAnswer> {
        let mut answers: Vec<HolderAnswer> = Vec::new();
        for ((node, index), miss) in &self.failed {
            match answers.iter_mut().rfind(|answer| answer.node == *node && answer.miss == *miss) {
                Some(answer) => answer.pieces = answer.pieces.union(IndexSet::one(*index)),
                None => {
                    answers.push(HolderAnswer { node: *node, pieces: IndexSet::one(*index), miss: miss.clone() });
                }
            }
        }
        answers
    }

    /// What came of each piece, in their order.
    pub(crate) fn into_pieces(self) -> Vec<T> {
        self.got.into_values().collect()
    }
}

#[cfg(test)]
mod tests;
