//! The way out of a full disk is deleting, and it must not hang: a store in a small file system is filled by its own pieces
//! and by another's file, from a seed, then nearly all of it is given up, each call within a deadline, until new pieces fit.

use std::{env, fs, future::Future, mem, ops::Range, time::Duration};

use dsn_core::{
    erasure::EncodedChunk,
    ports::{CollectStep, PieceStore as _, StoreError, Upkeep as _},
};
use dsn_store::{OpenReport, RocksOptions, RocksStore, SpaceCheck};
use tokio::time::{Instant, sleep, timeout};

use crate::{
    damage::files,
    disk::Disk,
    fixtures::{Random, batch, chunk},
};

const MIB: usize = 1024 * 1024;
const DISK_MIB: usize = 224;
const CHUNKS: u64 = 5;
/// The longest any one call may take. RocksDB's own compactions of this much take about a second.
const CALL_MAX: Duration = Duration::from_secs(20);
/// How long until a store is out.
const OUT_MAX: Duration = Duration::from_secs(40);

/// Other seeds than the usual.
const SEEDS: &str = "DSN_STORE_ESCAPES";

fn seeds() -> Range<u64> {
    let Ok(text) = env::var(SEEDS) else { return 0..6 };
    let (from, to) = text.split_once("..").expect("DSN_STORE_ESCAPES is FROM..TO");
    from.parse().expect("a number")..to.parse().expect("a number")
}

async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    timeout(CALL_MAX, work).await.unwrap_or_else(|_| panic!("{what} hangs"))
}

fn open(disk: &Disk) -> RocksStore {
    let mib = 1024 * 1024;
    let options = RocksOptions { write_buffer_bytes: 2 * MIB, ballast_bytes: 6 * mib, ..RocksOptions::default() };
    RocksStore::open(disk.store(), &options).expect("the store opens")
}

/// Puts pieces until the disk is full, after so many of which another's file takes what is left.
async fn fill(store: &RocksStore, disk: &Disk, chunks: &[EncodedChunk], pieces_before_junk: usize) {
    for (count, piece) in pieces(chunks).enumerate() {
        if count == pieces_before_junk {
            disk.fill();
        }
        match within("a put", store.put(batch([piece]))).await {
            Err(StoreError::DiskFull) => return,
            done => drop(done.expect("put")),
        }
    }
    panic!("the disk took everything");
}

fn pieces(chunks: &[EncodedChunk]) -> impl Iterator<Item = (&EncodedChunk, u8)> {
    chunks.iter().flat_map(|chunk| (0..48).map(move |index| (chunk, index)))
}

/// Does something that may be refused while the disk is full, until it is done.
async fn insist<T, F: Future<Output = Result<T, StoreError>>>(what: &str, mut call: impl FnMut() -> F) -> T {
    let deadline = Instant::now() + OUT_MAX;
    loop {
        match within(what, call()).await {
            Ok(done) => return done,
            Err(error) => assert!(Instant::now() < deadline, "{what}: {error}"),
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// A store that has lost a file goes on all the same, but RocksDB minds errors less from then on.
async fn damage(disk: &Disk, chunk: &EncodedChunk) {
    let store = open(disk);
    store.put(batch([(chunk, 47)])).await.expect("put");
    store.close().await.expect("closed");
    fs::remove_file(&files(&disk.store(), "sst")[0]).expect("removed");
}

async fn give_most_up(store: &RocksStore, chunks: &[EncodedChunk]) {
    for (chunk, index) in pieces(chunks).filter(|(_, index)| index % 8 != 0) {
        insist("giving up", || store.give_up(chunk.descriptor.id(), index)).await;
    }
}

async fn collect_all(store: &RocksStore, max_chunks: usize) {
    for now in [2_000, 2_001] {
        let mut after = None;
        loop {
            let step = CollectStep { now, trash_secs: 0, after, max_chunks };
            after = insist("collecting", || store.collect(step)).await.next;
            if after.is_none() {
                break;
            }
        }
    }
}

async fn check_usable(store: &RocksStore, seed: u64) {
    let more = chunk(seed * 10 + 9, 16 * MIB);
    for index in 0..12 {
        insist("putting again", || store.put(batch([(&more, index)]))).await;
    }
    for index in 0..12 {
        let read = within("a read", store.piece(more.descriptor.id(), index)).await;
        assert_eq!(read, Ok(Some(more.pieces[usize::from(index)].bytes().clone())));
    }
    let space = store.space();
    assert_eq!(within("counting", store.verify_space()).await, Ok(SpaceCheck { counted: space, counter: space }));
}

async fn escape(seed: u64) -> bool {
    let Some(disk) = Disk::in_memory(DISK_MIB) else { return false };
    let mut random = Random(seed);
    let chunks: Vec<_> = (0..CHUNKS).map(|number| chunk(seed * 10 + number, 16 * MIB)).collect();
    let way = random.next() % 3;
    if way == 0 {
        damage(&disk, &chunks[4]).await;
    }
    let store = open(&disk);
    // A store that hangs would hang the test for good when it is dropped.
    mem::forget(store.clone());
    assert_eq!(*store.report() == OpenReport::Damaged, way == 0);
    // Ballast is aboard after 96 pieces; the disk holds some 200 with the log.
    let pieces_before_junk = usize::try_from(110 + random.next() % 120).expect("small");
    fill(&store, &disk, &chunks, pieces_before_junk).await;
    if way == 2 {
        collect_all(&store, usize::try_from(1 + random.next() % 3).expect("small")).await;
    } else {
        give_most_up(&store, &chunks).await;
    }
    // What was in a lost table keeps compactions from freeing anything.
    if way != 0 {
        check_usable(&store, seed).await;
    }
    within("closing", store.close()).await.expect("closed");
    true
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn deleting_ones_way_out_of_a_full_disk_never_hangs() {
    for seed in seeds() {
        println!("replay: {SEEDS}={seed}..{}", seed + 1);
        if !escape(seed).await {
            return;
        }
    }
}
