//! Nothing is deleted on doubt: leases and times that cannot be read, an index of which a part is missing, stores of before
//! chunks knew their files. And the mark, by which others see what a store has been through.

use std::{fs, path::Path};

use dsn_core::{
    erasure::EncodedChunk,
    hash::ChunkId,
    ports::{BoundChunks, CollectStep, Collected, PieceStore as _, PutBatch, StoreMark, Upkeep},
};
use dsn_store::{OpenReport, RocksStore, SpaceCheck};
use rocksdb::{ColumnFamily, DB, Options};

use crate::{
    damage::files,
    fixtures::{ALICE, PUT_1, PUT_2, batch, chunk, endless, lease, locator, root},
    rocks::open,
};

/// One round, which deletes at once what is in the trash; says how many chunks it put there, and how many it deleted.
async fn collect(store: &RocksStore, now: u64) -> (u64, u64) {
    let (mut after, mut done) = (None, (0, 0));
    loop {
        let step = CollectStep { now, trash_secs: 0, after, max_chunks: 100 };
        let Collected { next, trashed, deleted, .. } = store.collect(step).await.expect("collected");
        (after, done) = (next, (done.0 + trashed, done.1 + deleted));
        if after.is_none() {
            return done;
        }
    }
}

fn id(chunk: &EncodedChunk) -> ChunkId {
    chunk.descriptor.id()
}

/// Changes the closed database behind the store's back.
fn plant(folder: &Path, plant: impl FnOnce(&DB, &ColumnFamily)) {
    let db = DB::open_cf(&Options::default(), folder.join("db"), ["default", "pieces", "meta"]).expect("opened");
    plant(&db, db.cf_handle("meta").expect("there"));
}

/// All keys that start with this.
fn keys(db: &DB, meta: &ColumnFamily, tag: u8) -> Vec<Vec<u8>> {
    let from = rocksdb::IteratorMode::From(&[tag], rocksdb::Direction::Forward);
    let keys = db.iterator_cf(meta, from).map(|item| item.expect("readable").0.to_vec());
    keys.take_while(|key| key[0] == tag).collect()
}

/// Three chunks, closed: one bound to a lease that has ended, one of an upload that has ended, one in the trash.
async fn make(folder: &Path) -> [EncodedChunk; 3] {
    let chunks = [chunk(1, 10), chunk(2, 10), chunk(3, 10)];
    let store = open(folder);
    store.put(PutBatch { put_id: PUT_2, ..batch([(&chunks[2], 0)]) }).await.expect("put");
    assert_eq!(collect(&store, 1_000).await, (1, 0));
    store.put(batch([(&chunks[0], 0)])).await.expect("put");
    store.bind(PUT_1, ALICE, vec![lease(1, root(1), 1, Some(5))]).await.expect("bound");
    store.put(batch([(&chunks[1], 0)])).await.expect("put");
    store.close().await.expect("closed");
    chunks
}

/// After damage to all values of one kind, these of the three chunks are deleted by the first round, and by the second.
async fn check_damaged(tag: u8, first: u64, second: u64) {
    let folder = tempfile::tempdir().expect("a folder");
    make(folder.path()).await;
    plant(folder.path(), |db, meta| {
        let keys = keys(db, meta, tag);
        assert!(!keys.is_empty());
        keys.iter().for_each(|key| db.put_cf(meta, key, b"no value of ours").expect("put"));
    });
    let store = open(folder.path());
    let kind = char::from(tag);
    assert_eq!(collect(&store, 2_000).await.1, first, "`{kind}`, first round");
    assert_eq!(collect(&store, 2_000).await.1, second, "`{kind}`, second round");
    assert_eq!(collect(&store, 2_000).await, (0, 0), "`{kind}`, third round");
    store.close().await.expect("closed");
}

#[tokio::test]
async fn what_cannot_be_read_is_not_deleted() {
    check_damaged(b'g', 1, 2).await; // Nothing that matters: all three go.
    check_damaged(b'w', 1, 1).await; // A lease holds.
    check_damaged(b'p', 1, 1).await; // An upload holds.
    check_damaged(b't', 0, 3).await; // The time in the trash begins anew.
    check_damaged(b'c', 0, 0).await; // What is held of a chunk is not known.
    check_damaged(b'm', 1, 2).await; // The keys by chunk are made again: nothing is in doubt.
}

#[tokio::test]
async fn a_lease_that_cannot_be_read_can_be_given_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let [a, ..] = make(folder.path()).await;
    plant(folder.path(), |db, meta| {
        keys(db, meta, b'w').iter().for_each(|key| db.put_cf(meta, key, b"damaged").expect("put"));
    });
    let store = open(folder.path());
    assert_eq!(store.leases(&[id(&a)]).await, Ok(vec![vec![]]));
    assert_eq!(store.renew(vec![lease(1, root(1), 0, Some(6))]).await, Ok(vec![BoundChunks(1)]));
    assert_eq!(collect(&store, 2_000).await, (2, 1), "its owner has given it up");
}

#[tokio::test]
async fn a_store_of_before_holds_what_was_bound_and_lets_uploads_lapse() {
    let folder = tempfile::tempdir().expect("a folder");
    let [a, b, c] = make(folder.path()).await;
    plant(folder.path(), |db, meta| {
        for tag in [b'q', b'r', b'w', b't', b'm'] {
            keys(db, meta, tag).iter().for_each(|key| db.delete_cf(meta, key).expect("deleted"));
        }
        keys(db, meta, b'o').iter().for_each(|key| db.put_cf(meta, key, [0; 8]).expect("put"));
    });
    let store = open(folder.path());
    assert_eq!((store.mark().opens, store.mark().losses), (1, 0));
    assert_eq!(collect(&store, 999).await, (1, 0), "the one whose upload was over before");
    assert_eq!(collect(&store, 2_000).await, (1, 1), "the other one's is over now");
    assert_eq!(collect(&store, 2_000).await, (0, 1));
    let known = store.chunks(&[id(&a), id(&b), id(&c)]).await.expect("chunks");
    assert_eq!(known.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false, false]);
    assert_eq!(store.renew(vec![lease(1, root(1), 0, Some(6))]).await, Ok(vec![BoundChunks(1)]));
    assert_eq!(collect(&store, 2_000).await, (1, 0));
    assert_eq!(collect(&store, 2_000).await, (0, 1));
    let space = store.space();
    assert_eq!(store.verify_space().await, Ok(SpaceCheck { counted: space, counter: space }));
    assert_eq!(space.pieces, 0);
}

#[tokio::test]
async fn what_was_there_when_a_part_of_the_index_went_is_kept_for_good() {
    let folder = tempfile::tempdir().expect("a folder");
    make(folder.path()).await;
    plant(folder.path(), |db, meta| db.put_cf(meta, b"y", []).expect("put"));
    for _ in 0..2 {
        let (store, new) = (open(folder.path()), chunk(9, 10));
        store.put(batch([(&new, 0)])).await.expect("put");
        assert_eq!((collect(&store, 2_000).await, collect(&store, 2_000).await), ((1, 0), (0, 1)), "what is new goes");
        assert_eq!(store.chunks_after(None, 9).await.expect("page").len(), 3, "the rest stays");
        store.close().await.expect("closed");
    }
}

#[tokio::test]
async fn while_files_are_missing_nothing_is_deleted() {
    let folder = tempfile::tempdir().expect("a folder");
    make(folder.path()).await;
    let store = open(folder.path());
    let mark = store.mark();
    store.close().await.expect("closed");
    // The newest table is of the index: it has at least the counters.
    fs::remove_file(files(folder.path(), "sst").last().expect("some")).expect("removed");
    let store = open(folder.path());
    assert_eq!(store.report(), &OpenReport::Damaged);
    let now = store.mark();
    assert!(now.id != mark.id || now.losses > mark.losses, "others must see it: {now:?} after {mark:?}");
    let new = chunk(9, 10);
    store.put(batch([(&new, 0)])).await.expect("put");
    for _ in 0..3 {
        assert_eq!(collect(&store, 2_000).await, (0, 0));
    }
    assert!(store.piece(id(&new), 0).await.expect("read").is_some());
}

#[tokio::test]
async fn pages_pass_by_what_is_damaged() {
    let folder = tempfile::tempdir().expect("a folder");
    let chunks = make(folder.path()).await;
    let mut ids = chunks.each_ref().map(id);
    ids.sort_unstable();
    let store = open(folder.path());
    store.put_locators(chunks.iter().map(|chunk| locator(chunk, 1)).collect()).await.expect("locators");
    store.close().await.expect("closed");
    for (tag, pages) in [(b'l', (3, 2)), (b'd', (2, 2)), (b'c', (1, 2))] {
        let damaged = if tag == b'c' { ids[2] } else { ids[1] };
        let key = [&[tag][..], damaged.as_bytes()].concat();
        plant(folder.path(), |db, meta| db.put_cf(meta, key, b"damaged").expect("put"));
        let store = open(folder.path());
        let (found, located) = (store.chunks_after(None, 3).await, store.locators_after(None, 3).await);
        let counts = (found.expect("a page").len(), located.expect("a page").len());
        assert_eq!(counts, pages, "`{}`", char::from(tag));
        store.close().await.expect("closed");
    }
}

#[tokio::test]
async fn the_mark_tells_what_a_store_has_been_through() {
    let (folder, other) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let store = open(folder.path());
    let first = store.mark();
    assert_eq!((first.opens, first.losses), (1, 0));
    assert_ne!(open(other.path()).mark().id, first.id, "another store");
    let a = chunk(1, 1_000_000);
    store.put(batch([(&a, 0), (&a, 1)])).await.expect("put");
    store.bind(PUT_1, ALICE, endless(1)).await.expect("bound");
    assert!(store.give_up(id(&a), 0).await.expect("given up"));
    drop(store);
    let blob = &files(folder.path(), "blob")[0];
    let mut bytes = fs::read(blob).expect("readable");
    let end = bytes.len() - 1_000;
    bytes[end] ^= 1;
    fs::write(blob, bytes).expect("written");
    let store = open(folder.path());
    let life = |mark: StoreMark| (mark.id, mark.opens, mark.losses);
    assert_eq!(life(store.mark()), (first.id, 2, 1), "before anybody has looked");
    store.piece(id(&a), 1).await.expect_err("damaged");
    assert_eq!(store.mark().losses, 2);
    store.close().await.expect("closed");
    assert_eq!(life(open(folder.path()).mark()), (first.id, 3, 2));
    fs::write(&files(folder.path(), "CURRENT")[0], "").expect("written");
    let store = open(folder.path());
    assert!(matches!(store.report(), OpenReport::SetAside { .. }));
    assert!(store.mark().id != first.id && store.mark().opens == 1, "a new store in place of the old one");
}
