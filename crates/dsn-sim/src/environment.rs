//! A clock that follows virtual time and randomness that follows the seed.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicI64, Ordering},
};

use dsn_core::ports::Environment;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::time::Instant;

/// Unix seconds at which every simulation starts.
const EPOCH_SECS: u64 = 1_800_000_000;

/// One node's clock and randomness.
#[derive(Debug)]
pub(crate) struct SimEnvironment {
    start: Instant,
    skew_secs: AtomicI64,
    rng: Mutex<ChaCha8Rng>,
}

impl SimEnvironment {
    pub(crate) fn new(start: Instant, seed: u64) -> Self {
        Self { start, skew_secs: AtomicI64::new(0), rng: Mutex::new(ChaCha8Rng::seed_from_u64(seed)) }
    }
}

impl SimEnvironment {
    /// The clock is wrong by so much from now on.
    pub(crate) fn skew(&self, secs: i64) {
        self.skew_secs.store(secs, Ordering::Relaxed);
    }
}

impl Environment for SimEnvironment {
    fn unix_secs(&self) -> u64 {
        (EPOCH_SECS + self.start.elapsed().as_secs()).saturating_add_signed(self.skew_secs.load(Ordering::Relaxed))
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        self.rng.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(bytes);
    }
}
