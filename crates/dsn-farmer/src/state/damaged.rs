//! Pieces found damaged, by a read or by the scrubber, that wait to be healed.

use std::{collections::BTreeSet, sync::Mutex};

use dsn_core::hash::ChunkId;
use tokio::sync::Notify;

/// Pieces that wait to be healed. More are found again by the scrubber.
pub(crate) const DAMAGED_MAX: usize = 4096;

/// Pieces found damaged, which wait to be healed.
#[derive(Debug, Default)]
pub(crate) struct Damaged {
    waiting: Mutex<BTreeSet<(ChunkId, u8)>>,
    changed: Notify,
}

impl Damaged {
    /// A piece is no longer what it was.
    pub(crate) fn note(&self, chunk: ChunkId, index: u8) {
        let mut waiting = self.waiting.lock().expect("no panic while locked");
        if waiting.len() < DAMAGED_MAX && waiting.insert((chunk, index)) {
            self.changed.notify_one();
        }
    }

    /// Pieces that wait.
    pub(crate) fn len(&self) -> usize {
        self.waiting.lock().expect("no panic while locked").len()
    }

    /// One of them.
    pub(crate) fn take(&self) -> Option<(ChunkId, u8)> {
        self.waiting.lock().expect("no panic while locked").pop_first()
    }

    /// Waits until there is news.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }
}
