//! A clock that follows virtual time and randomness that follows the seed.

use std::sync::{Mutex, PoisonError};

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
    rng: Mutex<ChaCha8Rng>,
}

impl SimEnvironment {
    pub(crate) fn new(start: Instant, seed: u64) -> Self {
        Self { start, rng: Mutex::new(ChaCha8Rng::seed_from_u64(seed)) }
    }
}

impl Environment for SimEnvironment {
    fn unix_secs(&self) -> u64 {
        EPOCH_SECS + self.start.elapsed().as_secs()
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        self.rng.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(bytes);
    }
}
