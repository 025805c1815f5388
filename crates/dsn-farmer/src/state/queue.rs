//! The chunks that wait for repair by this farmer, the neediest of those that are due first.

use std::{collections::BTreeMap, sync::Mutex};

use dsn_core::{hash::ChunkId, repair::Health};
use tokio::sync::Notify;

/// Chunks that wait for repair. More than this are found again by the next patrol.
pub(crate) const QUEUE_MAX: usize = 4096;

/// A chunk that waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pending {
    pub(crate) health: Health,
    /// Of this node among the chunk's custodians.
    pub(crate) rank: usize,
    /// Unix seconds.
    pub(crate) due: u64,
    pub(crate) tries: u32,
}

/// The chunks that wait for repair.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    pending: Mutex<BTreeMap<ChunkId, Pending>>,
    changed: Notify,
}

impl Queue {
    fn with<T>(&self, work: impl FnOnce(&mut BTreeMap<ChunkId, Pending>) -> T) -> T {
        work(&mut self.pending.lock().expect("no panic while locked"))
    }

    /// A chunk stands badly, seen by the custodian of this rank; it is due `wait` seconds after `now` unless it was
    /// due before.
    pub(crate) fn note(&self, chunk: ChunkId, health: Health, rank: usize, due: u64) {
        let is_new = self.with(|pending| {
            let room = pending.len() < QUEUE_MAX;
            match pending.get_mut(&chunk) {
                Some(known) => {
                    let revived = known.health == Health::Unavailable && health != known.health;
                    let sooner = health < known.health || revived;
                    known.due = if sooner { known.due.min(due) } else { known.due };
                    (known.health, known.rank) = (health, rank);
                    sooner
                }
                None if room => {
                    pending.insert(chunk, Pending { health, rank, due, tries: 0 });
                    true
                }
                None => false,
            }
        });
        if is_new {
            self.changed.notify_one();
        }
    }

    /// A chunk stands well.
    pub(crate) fn clear(&self, chunk: ChunkId) {
        self.with(|pending| pending.remove(&chunk));
    }

    /// Chunks that wait.
    pub(crate) fn len(&self) -> usize {
        self.with(|pending| pending.len())
    }

    /// The one that is due first.
    pub(crate) fn next(&self) -> Option<(ChunkId, Pending)> {
        self.with(|pending| pending.iter().map(|(c, p)| (*c, *p)).min_by_key(|(c, p)| (p.due, p.health, *c)))
    }

    /// It was tried, and is due again then.
    pub(crate) fn put_off(&self, chunk: ChunkId, due: u64) {
        self.with(|pending| {
            if let Some(pending) = pending.get_mut(&chunk) {
                (pending.due, pending.tries) = (due, pending.tries.saturating_add(1));
            }
        });
    }

    /// Waits until there is news.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }
}
