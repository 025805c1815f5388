//! Where the open database is, shared by the readers and the writer. Readers use it at the same time; the writer alone
//! takes it away: to close it, or to open it anew when damage has stopped RocksDB. Not here: what to do with it.

use std::sync::{
    PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
    atomic::{AtomicBool, Ordering},
};

use dsn_core::ports::StoreError;

use super::database::Database;

/// Holds the database while it is open.
pub(super) struct Slot {
    database: RwLock<Option<Database>>,
    /// Whether the writer waits to take the database away.
    is_wanted: AtomicBool,
}

impl Slot {
    pub(super) fn new(database: Database) -> Self {
        Self { database: RwLock::new(Some(database)), is_wanted: AtomicBool::new(false) }
    }

    /// Uses the database; it stays open meanwhile. Must not be nested.
    pub(super) fn with<T>(&self, work: impl FnOnce(&Database) -> Result<T, StoreError>) -> Result<T, StoreError> {
        work(self.read().as_ref().ok_or(StoreError::Closed)?)
    }

    /// Whether somebody who uses the database for long must give it back now. True until they have.
    pub(super) fn is_wanted(&self) -> bool {
        self.is_wanted.load(Ordering::Relaxed)
    }

    /// Waits until nobody uses the database and closes it.
    pub(super) fn close(&self) {
        self.take_over().take();
    }

    /// Waits until nobody uses the database, closes it, and keeps what `open` gives instead.
    pub(super) fn replace<E>(&self, open: impl FnOnce() -> Result<Database, E>) -> Result<(), E> {
        let mut database = self.take_over();
        database.take();
        *database = Some(open()?);
        Ok(())
    }

    /// A panic while the lock is held leaves the slot full or empty, both valid.
    fn read(&self) -> RwLockReadGuard<'_, Option<Database>> {
        self.database.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for its users; those that would take long are told to stop, compactions too. The database is good for
    /// nothing but closing then.
    fn take_over(&self) -> RwLockWriteGuard<'_, Option<Database>> {
        self.is_wanted.store(true, Ordering::Relaxed);
        if let Some(database) = self.read().as_ref() {
            database.stop_compactions();
        }
        let database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        self.is_wanted.store(false, Ordering::Relaxed);
        database
    }
}
