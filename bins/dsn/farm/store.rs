//! Opens and closes a farmer's store, and says what is wrong with it.

use std::path::Path;

use dsn_cli::{Exit, Failure, human_bytes, note};
use dsn_core::ports::PieceStore;
use dsn_store::{OpenError, OpenReport, RocksOptions, RocksStore};

/// Opens the store in `path` for a farmer that lends so many bytes.
pub(super) async fn open(path: &Path, reserved_bytes: u64) -> Result<RocksStore, Failure> {
    let path = path.to_path_buf();
    let open = tokio::task::spawn_blocking(move || RocksStore::open(path, &RocksOptions::default())).await;
    let store = open.map_err(|error| Failure::of(Exit::Internal, &error))?.map_err(|error| match &error {
        OpenError::Locked { .. } => Failure::of(Exit::AlreadyRunning, &error),
        OpenError::NewerFormat { .. } | OpenError::UnknownFormat { .. } => {
            Failure::of(Exit::Configuration, &error).hint("use the newer dsn that made it; nothing was touched")
        }
        OpenError::ReadOnly { .. } => {
            Failure::of(Exit::Disk, &error).hint("look for errors of the disk with `dmesg`, mend it and mount it anew")
        }
        OpenError::Io { .. } | OpenError::Database { .. } => Failure::of(Exit::Disk, &error),
    })?;
    match store.report() {
        OpenReport::Clean => {}
        OpenReport::Damaged => note("warning: the store has damaged files; what they held is lost, the rest is served"),
        OpenReport::SetAside { path } => {
            let path = path.display();
            note(&format!("warning: the store could not be read; it is set aside as {path}, an empty one is started"));
        }
    }
    let used = store.space().used_bytes;
    if used > reserved_bytes {
        let (used, lent) = (human_bytes(used), human_bytes(reserved_bytes));
        note(&format!("warning: {used} are used already and only {lent} lent: nothing new is taken"));
    }
    Ok(store)
}

/// Closes the store. Not left to the end of the process: RocksDB's threads must be gone before its globals are. A store
/// that damage keeps from moving its memory to files still has all that was acknowledged in its log.
pub(super) async fn close(store: &RocksStore) {
    if let Err(error) = store.close().await {
        note(&format!("warning: the store was not closed in order ({error}); the next start reads its log"));
    }
}
