//! The store on disk: the shared contract, and what only a disk can show: reopening, locks, formats, closing.

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
};

use dsn_core::{
    index_set::IndexSet,
    ports::{BoundChunks, CollectStep, PieceStore, StoreError, Upkeep as _},
};
use dsn_store::{OpenError, OpenReport, RocksOptions, RocksStore};

use crate::{
    fixtures::{ALICE, PUT_1, PUT_2, batch, chunk, endless, lease_only, locator, rep_chunk},
    suite,
};

pub(crate) fn open(path: &Path) -> RocksStore {
    RocksStore::open(path, &RocksOptions::default()).expect("the store opens")
}

#[tokio::test]
async fn keeps_the_contract() {
    let folder = tempfile::tempdir().expect("a folder");
    let stores = AtomicU32::new(0);
    suite::check(|| async { open(&folder.path().join(stores.fetch_add(1, Ordering::Relaxed).to_string())) }).await;
}

#[tokio::test]
async fn reopening_keeps_everything() {
    let folder = tempfile::tempdir().expect("a folder");
    let (a, b) = (chunk(1, 200_000), rep_chunk(2, 5_000));
    let ids = [a.descriptor.id(), b.descriptor.id()];
    let store = open(folder.path());
    assert_eq!(store.report(), &OpenReport::Clean);
    let first = store.put(batch([(&a, 0), (&a, 9), (&b, 0)])).await.expect("put");
    store.put_locators(vec![locator(&a, 7)]).await.expect("locators");
    store.bind(PUT_1, ALICE, endless(1)).await.expect("bind");
    let mut unbound = lease_only(ids);
    unbound.put_id = PUT_2;
    let second = store.put(unbound).await.expect("lease");
    let (chunks, space) = (store.chunks(&ids).await, store.space());
    store.close().await.expect("closed");

    let store = open(folder.path());
    assert_eq!(store.report(), &OpenReport::Clean);
    assert_eq!((store.chunks(&ids).await, store.space()), (chunks, space));
    assert_eq!(store.piece(ids[0], 9).await, Ok(Some(a.pieces[9].bytes().clone())));
    assert_eq!(store.piece(ids[1], 0).await, Ok(Some(b.pieces[0].bytes().clone())));
    assert_eq!(store.locators(&ids).await, Ok(vec![Some(locator(&a, 7)), None]));
    assert_eq!(store.leases(&ids).await, Ok(vec![vec![endless(1)[0].as_signed().clone()]; 2]));
    assert!(store.last_seq() >= second[0].seq, "receipts issued anew have no lower number");
    assert_eq!(store.bind(PUT_1, ALICE, endless(1)).await, Ok(BoundChunks(2)), "bound before");
    assert_eq!(store.bind(PUT_2, ALICE, endless(2)).await, Ok(BoundChunks(2)), "provisional before");
    let third = store.put(batch([(&a, 0)])).await.expect("put");
    assert!(first[0].seq < second[0].seq && second[0].seq < third[0].seq, "receipt numbers grow over restarts");
}

#[tokio::test]
async fn a_store_dropped_without_closing_keeps_everything() {
    let folder = tempfile::tempdir().expect("a folder");
    let a = chunk(1, 200_000);
    let store = open(folder.path());
    store.put(batch([(&a, 3)])).await.expect("put");
    drop(store);
    let store = open(folder.path());
    assert_eq!(store.piece(a.descriptor.id(), 3).await, Ok(Some(a.pieces[3].bytes().clone())));
    assert_eq!(store.space().pieces, 1);
}

#[tokio::test]
async fn a_closed_store_says_so_on_every_handle() {
    let folder = tempfile::tempdir().expect("a folder");
    let (a, store) = (chunk(1, 1_000), open(folder.path()));
    let id = a.descriptor.id();
    let other = store.clone();
    store.close().await.expect("closed");
    other.close().await.expect("closing twice is no error");
    assert_eq!(other.put(batch([(&a, 0)])).await, Err(StoreError::Closed));
    assert_eq!(other.piece(id, 0).await, Err(StoreError::Closed));
    assert_eq!(other.chunks(&[id]).await, Err(StoreError::Closed));
    assert_eq!(other.put_locators(vec![locator(&a, 1)]).await, Err(StoreError::Closed));
    assert_eq!(other.locators(&[id]).await, Err(StoreError::Closed));
    assert_eq!(other.bind(PUT_1, ALICE, endless(1)).await, Err(StoreError::Closed));
    assert_eq!(other.chunks_after(None, 1).await, Err(StoreError::Closed));
    assert_eq!(other.locators_after(None, 1).await, Err(StoreError::Closed));
    assert_eq!(other.drop_locators(vec![id]).await, Err(StoreError::Closed));
    assert_eq!(other.leases(&[id]).await, Err(StoreError::Closed));
    assert_eq!(other.renew(endless(1)).await, Err(StoreError::Closed));
    assert_eq!(other.give_up(id, 0).await, Err(StoreError::Closed));
    let step = CollectStep { now: 0, trash_secs: 0, after: None, max_chunks: 1 };
    assert_eq!(other.collect(step).await, Err(StoreError::Closed));
    open(folder.path());
}

#[tokio::test]
async fn closing_waits_for_what_is_under_way() {
    let folder = tempfile::tempdir().expect("a folder");
    let (a, store) = (chunk(1, 2_000_000), open(folder.path()));
    let mut calls = tokio::task::JoinSet::new();
    for index in 0..48 {
        let (store, put) = (store.clone(), batch([(&a, index)]));
        calls.spawn(async move { (index, store.put(put).await.is_ok()) });
    }
    tokio::task::yield_now().await;
    store.close().await.expect("closed");
    let answered: IndexSet = calls.join_all().await.into_iter().filter(|(_, ok)| *ok).map(|(index, _)| index).collect();
    let store = open(folder.path());
    let known = store.chunks(&[a.descriptor.id()]).await.expect("chunks").remove(0);
    let held = known.map_or(IndexSet::EMPTY, |stored| stored.indices);
    assert!(answered.is_subset(held), "{answered:?} were answered, {held:?} are held");
    let used_bytes = u64::try_from(held.len() * a.descriptor.piece_len()).expect("small");
    assert_eq!(store.space().used_bytes, used_bytes);
}

#[tokio::test]
async fn a_put_whose_future_is_dropped_takes_effect() {
    let folder = tempfile::tempdir().expect("a folder");
    let (a, store) = (chunk(1, 1_000), open(folder.path()));
    {
        let put = store.put(batch([(&a, 0)]));
        tokio::pin!(put);
        let sent = std::future::poll_fn(|context| std::task::Poll::Ready(put.as_mut().poll(context).is_pending()));
        sent.await;
    }
    store.close().await.expect("closed after what was sent");
    assert_eq!(open(folder.path()).space().pieces, 1);
}

#[test]
fn a_second_open_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let _first = open(folder.path());
    let error = RocksStore::open(folder.path(), &RocksOptions::default()).expect_err("locked");
    assert!(matches!(error, OpenError::Locked { .. }), "{error}");
}

#[test]
fn a_newer_format_is_refused_and_untouched() {
    let folder = tempfile::tempdir().expect("a folder");
    drop(open(folder.path()));
    for (text, expected) in [
        ("dsn-store 3\n", "has format 3, this binary knows <= 1"),
        ("dsn-store 0\n", "is no store of dsn"),
        ("dsn-store 1", "is no store of dsn"),
        ("", "is no store of dsn"),
    ] {
        fs::write(folder.path().join("FORMAT"), text).expect("written");
        let before = listing(folder.path());
        let error = RocksStore::open(folder.path(), &RocksOptions::default()).expect_err(text);
        assert!(error.to_string().contains(expected), "{text:?}: {error}");
        assert_eq!(listing(folder.path()), before);
    }
}

#[test]
fn a_path_that_is_no_folder_is_an_error() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let error = RocksStore::open(file.path(), &RocksOptions::default()).expect_err("a file");
    assert!(matches!(error, OpenError::Io { .. }), "{error}");
}

/// Every file below a folder with its length and time of change.
fn listing(folder: &Path) -> Vec<(std::path::PathBuf, u64, std::time::SystemTime)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("readable") {
        let path = entry.expect("an entry").path();
        let about = fs::metadata(&path).expect("metadata");
        files.push((path.clone(), about.len(), about.modified().expect("a time")));
        if about.is_dir() {
            files.extend(listing(&path));
        }
    }
    files.sort();
    files
}
