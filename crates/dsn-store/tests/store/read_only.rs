//! A file system that is read-only: one that the system makes so under an open store, as ext4 does on an error of the disk,
//! and one that was so before.

use std::time::{Duration, Instant};

use dsn_core::ports::{PieceStore as _, StoreError, Upkeep as _};
use dsn_store::{OpenError, OpenReport, RocksOptions, RocksStore, SpaceCheck};

use crate::{
    disk::{Disk, copy_image, make_image},
    fixtures::{batch, chunk},
    rocks::open,
};

const MIB: usize = 1024 * 1024;
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_store_serves_while_its_disk_is_read_only_and_goes_on_once_it_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let (image, mended) = (folder.path().join("image"), folder.path().join("mended"));
    let Some(disk) = make_image(&image, 128).and_then(|()| Disk::of_image(&image)) else { return };
    let (store, a) = (open(&disk.store()), chunk(1, 16 * MIB));
    let id = a.descriptor.id();
    for index in 0..20 {
        store.put(batch([(&a, index)])).await.expect("put");
    }
    assert_eq!(store.failure(), None);
    disk.fail();
    // This one may hear of the error itself.
    let first = store.put(batch([(&a, 40)])).await.expect_err("it is read-only");
    assert!(matches!(first, StoreError::ReadOnly | StoreError::Io { .. }), "{first}");
    for index in [20, 21, 22] {
        assert_eq!(store.put(batch([(&a, index)])).await, Err(StoreError::ReadOnly));
        assert_eq!(store.give_up(id, 0).await, Err(StoreError::ReadOnly));
        assert_eq!(store.failure(), Some(StoreError::ReadOnly));
        for held in 0..20_u8 {
            assert_eq!(store.piece(id, held).await, Ok(Some(a.pieces[usize::from(held)].bytes().clone())));
        }
    }
    copy_image(&image, &mended);
    disk.replace_by(&mended);
    let deadline = Instant::now() + PATIENCE;
    while let Err(error) = store.put(batch([(&a, 30)])).await {
        assert_eq!(error, StoreError::ReadOnly);
        assert!(Instant::now() < deadline, "nothing is written though the disk is mended");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!((store.failure(), store.space().pieces), (None, 21));
    for held in (0..20).chain([30]) {
        assert_eq!(store.piece(id, held).await, Ok(Some(a.pieces[usize::from(held)].bytes().clone())));
    }
    let space = store.space();
    assert_eq!(store.verify_space().await, Ok(SpaceCheck { counted: space, counter: space }));
    store.close().await.expect("closed");
}

#[tokio::test]
async fn a_store_on_a_read_only_disk_is_not_opened_and_the_error_says_why() {
    let Some(disk) = Disk::in_memory(64) else { return };
    let (store, a) = (open(&disk.store()), chunk(1, 1_000));
    store.put(batch([(&a, 0)])).await.expect("put");
    store.close().await.expect("closed");
    disk.remount("ro");
    for folder in [disk.store(), disk.path().join("new")] {
        let refused = RocksStore::open(&folder, &RocksOptions::default()).expect_err("it is read-only");
        assert!(matches!(refused, OpenError::ReadOnly { .. }), "{refused:?}");
    }
    disk.remount("rw");
    let store = open(&disk.store());
    assert_eq!(store.report(), &OpenReport::Clean);
    assert_eq!(store.piece(a.descriptor.id(), 0).await, Ok(Some(a.pieces[0].bytes().clone())));
    store.close().await.expect("closed");
}
