//! How the store goes on after a failed write. RocksDB refuses every write after one that failed, whatever the reason; a
//! full disk may have room again, and what a compaction cannot read may be passed by. So the database is opened anew
//! before the next write, and for reading only while that does not work. Not here: what the caller of the failed write is
//! told.
//!
//! Invariant: at most one attempt a second, since each makes the readers wait and replays the log.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use dsn_core::ports::StoreError;
use rocksdb::{Error, ErrorKind};
use tokio::sync::watch;

use super::{
    RocksOptions,
    ballast::free_bytes,
    database::{is_damage, says_read_only, store_error},
    open::{reopen, reopen_read_only},
    slot::Slot,
    tuning::Strictness,
};

/// An attempt takes some 100 ms, so a disk that stays full costs the readers a tenth of their time at most.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Buffers that wait to become files: two, and what has just been written.
const BUFFERS: u64 = 3;

/// What is needed to open the database anew, and whether that is needed.
pub(super) struct Recovery {
    path: PathBuf,
    options: RocksOptions,
    strictness: Strictness,
    /// What the last write that really was one failed with. Others look on.
    failure: watch::Sender<Option<StoreError>>,
    last_attempt: Option<Instant>,
}

impl Recovery {
    /// For the store in `path`, open with these settings.
    pub(super) fn new(path: PathBuf, options: RocksOptions, strictness: Strictness) -> Self {
        Self { path, options, strictness, failure: watch::Sender::new(None), last_attempt: None }
    }

    /// Takes note of a write that failed and says what to answer: while the store is open for reading only, why it is.
    pub(super) fn note(&mut self, action: &'static str, error: &Error) -> StoreError {
        if is_damage(error) {
            self.strictness = Strictness::Lenient;
        }
        let known = self.failure.borrow().clone();
        let failure = match known {
            Some(failure) if error.kind() == ErrorKind::NotSupported => return failure,
            // RocksDB does not say why it takes no writes.
            _ if error.kind() == ErrorKind::Incomplete && !self.is_there_room() => StoreError::DiskFull,
            _ => store_error(action, error),
        };
        self.failure.send_replace(Some(failure.clone()));
        failure
    }

    /// Why the store takes no writes, as long as it takes none.
    pub(super) fn watch(&self) -> watch::Receiver<Option<StoreError>> {
        self.failure.subscribe()
    }

    /// Whether all buffers can become files. While one tries and fails, it seems so for moments.
    fn is_there_room(&self) -> bool {
        let buffer_bytes = u64::try_from(self.options.write_buffer_bytes).unwrap_or(u64::MAX);
        free_bytes(&self.path).is_none_or(|free| free / BUFFERS >= buffer_bytes)
    }

    /// Whether damage was met, so that a part of the index may be missing.
    pub(super) fn is_lenient(&self) -> bool {
        self.strictness == Strictness::Lenient
    }

    /// Whether to make an attempt now.
    pub(super) fn is_due(&self) -> bool {
        self.failure.borrow().is_some() && self.last_attempt.is_none_or(|last| last.elapsed() >= RETRY_AFTER)
    }

    /// Makes the next attempt due: something has changed.
    pub(super) fn hurry(&mut self) {
        self.last_attempt = None;
    }

    /// Opens the database anew; says whether it can be written again. Without any success the slot stays empty.
    pub(super) fn attempt(&mut self, slot: &Slot) -> bool {
        let Self { path, options, strictness, failure, .. } = self;
        let mut is_writable = true;
        let opened = slot.replace(|| {
            reopen(path, options, *strictness).or_else(|error| {
                tracing::warn!(%error, "the store cannot be written");
                is_writable = false;
                // The first write may have failed with another error, as the disk has.
                if says_read_only(error.as_ref()) {
                    failure.send_replace(Some(StoreError::ReadOnly));
                }
                reopen_read_only(path, options, *strictness)
            })
        });
        if let Err(error) = &opened {
            tracing::error!(%error, "the store cannot be read");
        }
        self.last_attempt = Some(Instant::now());
        let is_recovered = opened.is_ok() && is_writable;
        if is_recovered {
            tracing::info!(?strictness, "the store is opened anew after a failed write");
            self.failure.send_replace(None);
        }
        is_recovered
    }
}
