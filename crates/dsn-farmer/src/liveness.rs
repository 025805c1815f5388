//! What this farmer has seen of the others, shared by those of its tasks that see and those that decide.

use std::sync::Mutex;

use dsn_core::liveness::Liveness;

/// The observations of one farmer.
#[derive(Debug)]
pub(crate) struct Presences(Mutex<Liveness>);

impl Presences {
    pub(crate) fn new(grace_secs: u64) -> Self {
        Self(Mutex::new(Liveness::new(grace_secs)))
    }

    /// Looks or notes; never across an await.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut Liveness) -> T) -> T {
        work(&mut self.0.lock().expect("no panic while locked"))
    }
}
