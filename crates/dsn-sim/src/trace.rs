//! The hash of everything that happened, in order: two runs of one seed that differ anywhere differ here.

use std::fmt;

use tokio::time::Instant;

/// Collects events.
#[derive(Debug)]
pub(crate) struct Trace {
    start: Instant,
    hasher: blake3::Hasher,
    events: u64,
}

impl Trace {
    pub(crate) fn new(start: Instant) -> Self {
        Self { start, hasher: blake3::Hasher::new(), events: 0 }
    }

    pub(crate) fn record(&mut self, event: fmt::Arguments<'_>) {
        self.events += 1;
        let line = format!("{} {event}\n", self.start.elapsed().as_micros());
        self.hasher.update(line.as_bytes());
    }

    /// The hash so far, and the number of events in it.
    pub(crate) fn hash(&self) -> (String, u64) {
        (self.hasher.finalize().to_hex().to_string(), self.events)
    }
}
