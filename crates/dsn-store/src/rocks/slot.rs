//! Where the open database is, shared by the readers and the writer. Readers use it at the same time; the writer alone
//! takes it away: to close it, or to open it anew when damage has stopped RocksDB. Not here: what to do with it.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use dsn_core::ports::StoreError;

use super::database::Database;

/// Holds the database while it is open.
pub(super) struct Slot {
    database: RwLock<Option<Database>>,
}

impl Slot {
    pub(super) fn new(database: Database) -> Self {
        Self { database: RwLock::new(Some(database)) }
    }

    /// Uses the database; it stays open meanwhile. Must not be nested.
    pub(super) fn with<T>(&self, work: impl FnOnce(&Database) -> Result<T, StoreError>) -> Result<T, StoreError> {
        work(self.read().as_ref().ok_or(StoreError::Closed)?)
    }

    /// Waits until nobody uses the database and closes it.
    pub(super) fn close(&self) {
        self.write().take();
    }

    /// Waits until nobody uses the database, closes it, and keeps what `open` gives instead.
    pub(super) fn replace<E>(&self, open: impl FnOnce() -> Result<Database, E>) -> Result<(), E> {
        let mut database = self.write();
        database.take();
        *database = Some(open()?);
        Ok(())
    }

    /// A panic while the lock is held leaves the slot full or empty, both valid.
    fn read(&self) -> RwLockReadGuard<'_, Option<Database>> {
        self.database.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Option<Database>> {
        self.database.write().unwrap_or_else(PoisonError::into_inner)
    }
}
