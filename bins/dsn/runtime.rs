//! The real clock, randomness and processors behind the ports of `dsn-core`.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use dsn_core::ports::{Compute, ComputeJob, Environment};
use rand::TryRng;
use tokio::sync::Semaphore;

/// Fills `bytes` from the system's generator.
pub(crate) fn fill_random(bytes: &mut [u8]) {
    rand::rngs::SysRng.try_fill_bytes(bytes).expect("the system's generator works");
}

/// The system's clock; 0 where it stands before 1970.
pub(crate) fn unix_secs() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The system's clock and generator.
pub(crate) struct SystemEnvironment;

impl Environment for SystemEnvironment {
    fn unix_secs(&self) -> u64 {
        unix_secs()
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        fill_random(bytes);
    }
}

/// Blocking threads, as many at once as there are processors.
pub(crate) struct ThreadCompute {
    turns: Arc<Semaphore>,
}

impl ThreadCompute {
    pub(crate) fn new() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self { turns: Arc::new(Semaphore::new(processors)) }
    }
}

#[async_trait]
impl Compute for ThreadCompute {
    async fn run(&self, job: ComputeJob) {
        let turn = Arc::clone(&self.turns).acquire_owned().await.expect("the semaphore is never closed");
        let work = move || {
            job();
            drop(turn);
        };
        // A job that panics is seen by whoever waits for its result.
        let _panicked = tokio::task::spawn_blocking(work).await;
    }
}
