//! A file that its owner gives up: it goes, and not before its time; or the owner wants it again, and then it stays.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use dsn_client::{ClientOptions, Keep};
use dsn_core::{hash::ChunkId, node_id::NodeId};
use rand::RngExt;

use super::{Entry, Month};
use crate::violation::Violation;

/// Hour at which the owner gives the file up.
const RELEASED_AT: u64 = 48;

/// Hours after that at which the file is in the trash, and must still be there.
const IN_TRASH_AFTER: u64 = 72;

/// Hours after which it is deleted: a week in the trash, two days for words that came late, and some rest.
const DELETED_AFTER: u64 = 14 * 24;

/// Hours between two words of the owner: some farmers are away when it speaks.
const SAY_EVERY: u64 = 24;

/// Longer than any story.
const BEYOND_THE_STORY: Duration = Duration::from_secs(365 * 86_400);

/// What the owner does in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plan {
    GiveUp,
    KeepAgain,
    PutAgain,
    PutAgainLate,
}

/// A file that was given up, or is going to be.
pub(super) struct Released {
    entry: Entry,
    plan: Plan,
    said_at: Option<u64>,
    /// Who held what at the end.
    held: BTreeMap<NodeId, BTreeSet<ChunkId>>,
    is_checked: bool,
    /// Since when it is wanted again.
    again_at: Option<u64>,
}

impl Released {
    /// Its chunks.
    pub(super) fn chunks(&self) -> BTreeSet<ChunkId> {
        self.entry.chunks.iter().map(|(chunk, _)| *chunk).collect()
    }
}

impl Month {
    pub(super) async fn put_to_release(&mut self) {
        let plan = [Plan::GiveUp, Plan::KeepAgain, Plan::PutAgain, Plan::PutAgainLate][self.rng.random_range(0..4)];
        let Some(entry) = self.put_new(self.options.files).await else { return };
        let (said_at, held, is_checked) = (None, BTreeMap::new(), false);
        self.released = Some(Released { entry, plan, said_at, held, is_checked, again_at: None });
    }

    /// The owner goes on with the plan.
    pub(super) async fn release(&mut self) {
        let Some(mut released) = self.released.take() else { return };
        if released.said_at.is_none() && self.hour >= RELEASED_AT {
            released.held = self.holders_of(&released.chunks());
        }
        if self.hour >= RELEASED_AT + IN_TRASH_AFTER && !released.is_checked {
            released.is_checked = true;
            self.check_trash(&released);
        }
        let again_after = if released.plan == Plan::PutAgainLate { DELETED_AFTER } else { IN_TRASH_AFTER };
        let again = released.plan != Plan::GiveUp && self.hour >= RELEASED_AT + again_after;
        let is_due = released.said_at.is_none_or(|at| at + SAY_EVERY <= self.hour);
        if again && released.plan != Plan::KeepAgain {
            if released.again_at.is_none() {
                self.put_again(&mut released).await;
            }
        } else if self.hour >= RELEASED_AT && is_due {
            self.say(&mut released, again).await;
        }
        self.released = Some(released);
    }

    async fn say(&mut self, released: &mut Released, again: bool) {
        let keep = if again { Keep::For(BEYOND_THE_STORY) } else { Keep::NoLonger };
        let client = self.world.client(ClientOptions::default());
        let said = client.keep_file(released.entry.cid, keep).await;
        released.said_at = Some(self.hour);
        if again && said.is_ok() {
            released.again_at.get_or_insert(self.hour);
        }
    }

    async fn put_again(&mut self, released: &mut Released) {
        let (file, bytes, class) = (released.entry.file, released.entry.bytes.clone(), released.entry.class);
        if let Some(entry) = self.put_bytes(file, bytes, class).await {
            released.again_at = Some(self.hour);
            released.entry = entry;
        }
    }

    fn holders_of(&self, chunks: &BTreeSet<ChunkId>) -> BTreeMap<NodeId, BTreeSet<ChunkId>> {
        let held = |node: NodeId| {
            let listed = self.world.listed(node).into_iter().map(|(chunk, _)| chunk);
            (node, listed.filter(|chunk| chunks.contains(chunk)).collect())
        };
        self.honest().into_iter().map(held).collect()
    }

    /// What is in the trash is there yet.
    fn check_trash(&mut self, released: &Released) {
        let now = self.holders_of(&released.chunks());
        for (farmer, chunks) in &released.held {
            let Some(held) = now.get(farmer).filter(|_| !self.untold.contains(farmer)) else { continue };
            for chunk in chunks.difference(held) {
                self.violations.push(Violation::DeletedEarly { farmer: *farmer, chunk: *chunk });
            }
        }
    }

    /// In the end: a file that is wanted again is like any other, and one that is not is gone.
    pub(super) fn settle_release(&mut self) -> BTreeSet<ChunkId> {
        let Some(released) = self.released.take() else { return BTreeSet::new() };
        let chunks = released.chunks();
        if released.again_at.is_some() {
            self.ledger.push(released.entry);
        } else if released.plan == Plan::GiveUp && self.hour > RELEASED_AT + DELETED_AFTER {
            let late = self.hour - DELETED_AFTER;
            for (farmer, held) in self.holders_of(&chunks) {
                let was_there = self.started.get(&farmer).is_none_or(|at| *at < late);
                if was_there && self.world.is_up(farmer) && !self.untold.contains(&farmer) {
                    let left = held.into_iter().map(|chunk| Violation::NotDeleted { farmer, chunk });
                    self.violations.extend(left);
                }
            }
        }
        chunks
    }
}
