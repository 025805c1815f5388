//! A disk that is really full: a file system in memory, as large as the test wants it. A disk that takes no more for
//! another reason: `full`.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use dsn_core::{
    erasure::EncodedChunk,
    ports::{PieceStore as _, StoreError},
};
use dsn_store::{RocksOptions, RocksStore, SpaceCheck};

use crate::{
    disk::Disk,
    fixtures::{batch, chunk},
};

const MIB: usize = 1024 * 1024;
const PATIENCE: Duration = Duration::from_secs(20);

fn ballast(disk: &Disk) -> PathBuf {
    disk.store().join("ballast")
}

fn open(folder: &Path, ballast_mib: u64) -> RocksStore {
    let options =
        RocksOptions { write_buffer_bytes: MIB, ballast_bytes: ballast_mib * 1024 * 1024, ..RocksOptions::default() };
    RocksStore::open(folder, &options).expect("the store opens")
}

async fn put(store: &RocksStore, chunk: &EncodedChunk, index: u8) -> Result<(), StoreError> {
    store.put(batch([(chunk, index)])).await.map(drop)
}

async fn check_read(store: &RocksStore, chunk: &EncodedChunk, index: u8) {
    let bytes = store.piece(chunk.descriptor.id(), index).await;
    assert_eq!(bytes, Ok(Some(chunk.pieces[usize::from(index)].bytes().clone())), "piece {index}");
}

/// Puts a piece as soon as the store takes it.
async fn put_when_possible(store: &RocksStore, chunk: &EncodedChunk, index: u8) {
    let deadline = Instant::now() + PATIENCE;
    while let Err(error) = put(store, chunk, index).await {
        assert!(Instant::now() < deadline, "{error}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_store_opens_on_a_full_disk_and_goes_on_when_there_is_room() {
    let Some(disk) = Disk::in_memory(96) else { return };
    let (store, a) = (open(&disk.store(), 1), chunk(1, 16 * MIB));
    for index in 0..18 {
        put(&store, &a, index).await.expect("put");
    }
    store.close().await.expect("closed");
    assert!(ballast(&disk).exists());
    let junk = disk.fill();
    let store = open(&disk.store(), 1);
    assert!(!ballast(&disk).exists(), "it took that to open");
    for index in 0..18 {
        check_read(&store, &a, index).await;
    }
    assert_eq!(put(&store, &a, 18).await, Err(StoreError::DiskFull));
    fs::remove_file(junk).expect("removed");
    put_when_possible(&store, &a, 19).await;
    check_read(&store, &a, 19).await;
    assert!(ballast(&disk).exists(), "aboard again");
    let space = store.space();
    assert_eq!(store.verify_space().await, Ok(SpaceCheck { counted: space, counter: space }));
    store.close().await.expect("closed");
}
