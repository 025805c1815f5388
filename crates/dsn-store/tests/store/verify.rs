//! The full count agrees with the counters when they are right and shows when they are not. After a crash: see `kill`.

use std::{fs, path::Path};

use dsn_core::ports::{PieceStore, StoreError};
use dsn_store::{RocksStore, SpaceCheck};
use rocksdb::{DB, Options};

use crate::{
    damage::files,
    fixtures::{batch, chunk, lease_only, locator, rep_chunk},
    rocks::open,
};

/// Piece length 62,528: in blob files.
const CHUNK_BYTES: usize = 1_000_000;

async fn check_equal(store: &RocksStore, context: &str) {
    let space = store.space();
    assert_eq!(store.verify_space().await, Ok(SpaceCheck { counted: space, counter: space }), "{context}");
}

/// Three pieces of a chunk, one so small that it lies in a table, and a locator; closed in order.
async fn make(folder: &Path) {
    let (a, b) = (chunk(1, CHUNK_BYTES), rep_chunk(2, 100));
    let store = open(folder);
    store.put(batch([(&a, 0), (&a, 1), (&a, 2), (&b, 0)])).await.expect("put");
    store.put_locators(vec![locator(&a, 1)]).await.expect("locator");
    store.close().await.expect("closed");
}

#[tokio::test]
async fn a_sound_store_is_what_it_counts() {
    let folder = tempfile::tempdir().expect("a folder");
    check_equal(&open(folder.path()), "empty").await;
    make(folder.path()).await;
    let store = open(folder.path());
    assert_eq!((store.space().pieces, store.space().locators), (4, 1));
    check_equal(&store, "reopened").await;
    let a = chunk(1, CHUNK_BYTES);
    store.put(batch([(&a, 0), (&a, 3)])).await.expect("put");
    store.put(lease_only([a.descriptor.id()])).await.expect("lease");
    check_equal(&store, "one piece again and one more").await;
    store.close().await.expect("closed");
    assert_eq!(store.verify_space().await, Err(StoreError::Closed));
}

#[tokio::test]
async fn counting_beside_puts_is_exact() {
    let folder = tempfile::tempdir().expect("a folder");
    let (a, store) = (chunk(1, CHUNK_BYTES), open(folder.path()));
    let mut puts = tokio::task::JoinSet::new();
    for index in 0..48 {
        let (putter, put) = (store.clone(), batch([(&a, index)]));
        puts.spawn(async move { putter.put(put).await.expect("put") });
    }
    let mut seen = Vec::new();
    while puts.join_next().await.is_some() {
        let SpaceCheck { counted, counter } = store.verify_space().await.expect("counted");
        assert_eq!(counted, counter, "after {} counts", seen.len());
        seen.push(counted.pieces);
    }
    check_equal(&store, "after the puts").await;
    assert!(seen.is_sorted() && seen.ends_with(&[48]), "{seen:?}");
}

#[tokio::test]
async fn a_damaged_piece_is_counted_until_it_is_given_up() {
    let folder = tempfile::tempdir().expect("a folder");
    make(folder.path()).await;
    let blob = &files(folder.path(), "blob")[0];
    let mut bytes = fs::read(blob).expect("readable");
    let half = bytes.len() / 2;
    bytes[half] ^= 1;
    fs::write(blob, bytes).expect("written");
    let store = open(folder.path());
    check_equal(&store, "nobody has looked").await;
    let id = chunk(1, CHUNK_BYTES).descriptor.id();
    assert_eq!(store.piece(id, 1).await, Err(StoreError::Corrupt { chunk: id, index: 1 }));
    assert_eq!(store.space().pieces, 3);
    check_equal(&store, "given up").await;
    store.put(batch([(&chunk(1, CHUNK_BYTES), 1)])).await.expect("put");
    assert_eq!(store.space().pieces, 4);
    check_equal(&store, "put again").await;
}

/// Changes the closed database behind the store's back and gives what the next full count says.
async fn planted(plant: impl FnOnce(&DB)) -> SpaceCheck {
    let folder = tempfile::tempdir().expect("a folder");
    make(folder.path()).await;
    let db = DB::open_cf(&Options::default(), folder.path().join("db"), ["default", "pieces", "meta"]).expect("opened");
    plant(&db);
    db.flush_cf(db.cf_handle("pieces").expect("there")).expect("flushed");
    drop(db);
    open(folder.path()).verify_space().await.expect("counted")
}

#[tokio::test]
async fn a_planted_difference_is_seen() {
    let id = chunk(1, CHUNK_BYTES).descriptor.id();
    let key = |index: u8| [&id.as_bytes()[..], &[index]].concat();
    let check = planted(|db| {
        db.delete_cf(db.cf_handle("pieces").expect("there"), key(1)).expect("deleted");
    });
    let SpaceCheck { counted, counter } = check.await;
    assert_eq!((counter.pieces - counted.pieces, counter.used_bytes - counted.used_bytes), (1, 62_528), "a lost piece");
    let check = planted(|db| {
        db.put_cf(db.cf_handle("pieces").expect("there"), key(40), [7; 5_000]).expect("put");
    });
    let SpaceCheck { counted, counter } = check.await;
    assert_eq!((counted.pieces - counter.pieces, counted.used_bytes - counter.used_bytes), (1, 5_000), "a stray piece");
    let check = planted(|db| {
        let name = [b"n", &id.as_bytes()[..]].concat();
        db.delete_cf(db.cf_handle("meta").expect("there"), name).expect("deleted");
    });
    let SpaceCheck { counted, counter } = check.await;
    assert_eq!((counted.locators, counter.locators), (0, 1), "a lost locator");
}
