//! When garbage is given back to the disk, and the thread that does it: one at a time, beside the writer, which never
//! waits for it except to close or to open the database anew; then it stops within moments. Not here: RocksDB's part
//! (`relocate`), and the counting of garbage (`group`).
//!
//! Each reclaim reads every piece first and has the damaged ones given up. One of them would make the compaction fail
//! that should move it, and RocksDB refuse every write after that.
//!
//! Invariant: garbage is counted as reclaimed only after it is gone, and what RocksDB then still knows of stays counted. A
//! kill at any time leaves the count as it was, and the next start begins again.

use std::{ops::ControlFlow, sync::Arc, thread};

use dsn_core::{hash::ChunkId, ports::StoreError};
use tokio::sync::{
    mpsc,
    oneshot::{self, error::TryRecvError},
};

use super::{
    database::{Database, PieceRead},
    layout::{ChunkEntry, Counters, ENTRY_TAG},
    relocate,
    slot::Slot,
    walk::walk,
    writer::Command,
};

/// Less is not worth a compaction of all tables, nor the reading of all pieces: a quarter of one blob file.
const GARBAGE_MIN_BYTES: u64 = 64 * 1024 * 1024;

/// One in four bytes: a reclaim moves at most three bytes for each it frees, and the disk holds at most a third more
/// than the pieces.
const GARBAGE_PART: u64 = 4;

/// Chunks read from the index at once: some 50 KiB.
const PAGE_CHUNKS: usize = 1024;

/// Damaged pieces after which they are given up before more is read: 64 KiB of names.
const DAMAGED_MAX: usize = 1024;

/// How a reclaim ended.
pub(super) enum Ended {
    /// The garbage counted at its start is gone.
    Reclaimed { bytes: u64 },
    /// These pieces were found damaged. The next one goes on after them.
    FoundDamage { pieces: Vec<(ChunkId, u8)> },
    /// It will be tried again once there is more garbage.
    Failed,
}

/// What the thread leaves.
enum Outcome {
    Done {
        /// What is still there, though it should not be.
        left_bytes: u64,
    },
    Damaged {
        pieces: Vec<(ChunkId, u8)>,
        /// The last chunk read.
        at: ChunkId,
    },
}

/// Starts and awaits the thread.
pub(super) struct Reclaim {
    slot: Arc<Slot>,
    /// Weak, so that the thread does not keep the writer from ending.
    commands: mpsc::WeakSender<Command>,
    running: Option<Running>,
    /// The chunk up to which pieces were read, when the last one found damage.
    read_to: Option<ChunkId>,
    /// No attempt before there is this much garbage.
    not_below_bytes: u64,
}

struct Running {
    thread: thread::JoinHandle<()>,
    outcome: oneshot::Receiver<Result<Outcome, StoreError>>,
    /// Garbage counted at its start.
    counted_bytes: u64,
}

impl Reclaim {
    pub(super) fn new(slot: Arc<Slot>, commands: mpsc::WeakSender<Command>) -> Self {
        Self { slot, commands, running: None, read_to: None, not_below_bytes: GARBAGE_MIN_BYTES }
    }

    /// Starts a reclaim unless one runs or there is too little garbage.
    pub(super) fn start_if_due(&mut self, counters: &Counters) {
        let is_enough = is_enough(counters) && counters.garbage_bytes >= self.not_below_bytes;
        if !is_enough || self.running.is_some() {
            return;
        }
        let (leave, outcome) = oneshot::channel();
        let (slot, commands, read_to) = (Arc::clone(&self.slot), self.commands.clone(), self.read_to.take());
        let work = move || {
            let _writer_is_gone = leave.send(reclaim(&slot, read_to));
            // A full queue wakes the writer as well.
            if let Some(commands) = commands.upgrade() {
                let _full_or_closed = commands.try_send(Command::ReclaimEnded);
            }
        };
        let counted_bytes = counters.garbage_bytes;
        tracing::info!(counted_bytes, "reclaiming space");
        match thread::Builder::new().name("dsn-store-reclaim".into()).spawn(work) {
            Ok(thread) => self.running = Some(Running { thread, outcome, counted_bytes }),
            Err(error) => {
                tracing::warn!(%error, "no thread to reclaim space");
                self.hold_off(counters);
            }
        }
    }

    /// The end of one that has ended.
    pub(super) fn take_ended(&mut self) -> Option<Ended> {
        let Running { outcome, counted_bytes, .. } = self.running.as_mut()?;
        let (outcome, bytes) = (outcome.try_recv(), *counted_bytes);
        if matches!(outcome, Err(TryRecvError::Empty)) {
            return None;
        }
        self.join();
        match outcome {
            Ok(Ok(Outcome::Done { left_bytes })) => {
                let bytes = bytes.saturating_sub(left_bytes);
                tracing::info!(bytes, left_bytes, "reclaimed space");
                self.not_below_bytes = left_bytes.saturating_add(GARBAGE_MIN_BYTES);
                Some(Ended::Reclaimed { bytes })
            }
            Ok(Ok(Outcome::Damaged { pieces, at })) => {
                self.read_to = Some(at);
                Some(Ended::FoundDamage { pieces })
            }
            // Only interrupted: the database was opened anew.
            Ok(Err(StoreError::Closed)) => None,
            Ok(Err(_)) | Err(_) => {
                if let Ok(Err(error)) = outcome {
                    tracing::warn!(%error, "space was not reclaimed");
                }
                self.not_below_bytes = bytes.saturating_add(GARBAGE_MIN_BYTES);
                Some(Ended::Failed)
            }
        }
    }

    /// Whether one has started whose end was not taken.
    pub(super) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Makes no attempt before there is more garbage than now.
    pub(super) fn hold_off(&mut self, counters: &Counters) {
        self.not_below_bytes = counters.garbage_bytes.saturating_add(GARBAGE_MIN_BYTES);
    }

    /// Waits for the thread, which stops when the slot is closed.
    pub(super) fn join(&mut self) {
        if self.running.take().is_some_and(|running| running.thread.join().is_err()) {
            tracing::error!("the thread that reclaims space had panicked");
        }
    }
}

fn is_enough(counters: &Counters) -> bool {
    let all_bytes = counters.space.used_bytes.saturating_add(counters.garbage_bytes);
    counters.garbage_bytes > all_bytes / GARBAGE_PART
}

/// One reclaim. Each part gives the database back when it is wanted, and then fails as closed.
fn reclaim(slot: &Slot, read_to: Option<ChunkId>) -> Result<Outcome, StoreError> {
    if let Some(damaged) = find_damage(slot, read_to)? {
        return Ok(damaged);
    }
    let part = |work: fn(&Database) -> Result<u64, StoreError>| {
        slot.with(|database| {
            let result = work(database);
            if slot.is_wanted() { Err(StoreError::Closed) } else { result }
        })
    };
    // Once around is enough, unless a compaction passed something by.
    let mut files_left = 2 * part(relocate::drop_old_keys)?;
    while files_left > 0 {
        match part(relocate::empty_oldest_files)? {
            0 => break,
            emptied => files_left = files_left.saturating_sub(emptied),
        }
    }
    part(relocate::garbage_bytes).map(|left_bytes| Outcome::Done { left_bytes })
}

/// Reads every piece of the chunks after this one; says which are damaged.
fn find_damage(slot: &Slot, mut read_to: Option<ChunkId>) -> Result<Option<Outcome>, StoreError> {
    let mut damaged = Vec::new();
    while damaged.len() < DAMAGED_MAX {
        let page = slot.with(|database| page_after(database, read_to))?;
        let Some((last, _)) = page.last() else { break };
        read_to = Some(*last);
        for (chunk, entry) in page {
            for index in entry.indices.iter() {
                let read =
                    slot.with(
                        |database| {
                            if slot.is_wanted() { Err(StoreError::Closed) } else { database.piece(chunk, index) }
                        },
                    );
                // Gone in the meantime is not damaged; the writer looks again in any case.
                if read? == PieceRead::Damaged {
                    damaged.push((chunk, index));
                }
            }
        }
    }
    Ok(read_to.filter(|_| !damaged.is_empty()).map(|at| Outcome::Damaged { pieces: damaged, at }))
}

/// The next entries of the index.
fn page_after(database: &Database, chunk: Option<ChunkId>) -> Result<Vec<(ChunkId, ChunkEntry)>, StoreError> {
    let mut page = Vec::new();
    walk(database, ENTRY_TAG, chunk, |chunk, value| {
        page.extend(ChunkEntry::decode(value).map(|entry| (chunk, entry)));
        if page.len() < PAGE_CHUNKS { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok(page)
}

#[cfg(test)]
mod tests {
    use dsn_core::ports::Space;

    use super::*;

    #[test]
    fn a_quarter_is_enough() {
        for (used_bytes, garbage_bytes, expected) in [(0, 0, false), (3, 1, false), (299, 100, true), (0, 1, true)] {
            let space = Space { used_bytes, ..Space::default() };
            let counters = Counters { space, garbage_bytes, ..Counters::default() };
            assert_eq!(is_enough(&counters), expected, "{used_bytes} used, {garbage_bytes} garbage");
        }
    }
}
