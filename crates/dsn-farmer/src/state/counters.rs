//! What a farmer counts while it serves. Nobody waits for these numbers: they are exact when it is idle.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts since the start.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) received_bytes: AtomicU64,
    pub(crate) served_bytes: AtomicU64,
    pub(crate) damaged_pieces: AtomicU64,
    pub(crate) audits_passed: AtomicU64,
    pub(crate) audits_failed: AtomicU64,
    pub(crate) repairs: AtomicU64,
    pub(crate) repair_bytes: AtomicU64,
    pub(crate) scrubbed_pieces: AtomicU64,
    pub(crate) healed_pieces: AtomicU64,
}

impl Counters {
    pub(crate) fn add(counter: &AtomicU64, bytes: usize) {
        counter.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}
