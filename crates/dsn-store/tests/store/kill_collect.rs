//! kill -9 while chunks are deleted: a child (this binary again) puts chunks, binds every other one and collects the rest
//! all the time; the parent kills it and looks for everything that was bound.

use std::path::Path;

use dsn_core::{
    cid::Cid,
    index_set::IndexSet,
    ports::{BoundChunks, CollectStep, PieceStore as _, PutBatch, Upkeep},
};
use dsn_store::SpaceCheck;

use crate::{
    child::{self, Child},
    fixtures::{ALICE, PUT_1, PUT_2, Random, batch, chunk, lease},
    rocks::open,
};

/// How many children to kill here instead.
const KILLS: &str = "DSN_STORE_COLLECT_KILLS";

const SEED: u64 = 0x6b63_6f6c;
const ROUNDS: u64 = 20;
/// Chunks a child puts at most, in 4 pieces of 62,528 bytes.
const CHUNKS_PER_ROUND: u64 = 60;
const CHUNK_BYTES: usize = 1_000_000;
const PIECES: u8 = 4;

/// Provisional leases of what is to be deleted have ended then.
const NOW: u64 = 2_000;

/// The child; without its variables, a test that has nothing to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_puts_and_deletes_until_it_is_killed() {
    let Some((folder, round)) = child::order() else { return };
    let store = open(&folder);
    let collector = store.clone();
    let collecting = tokio::spawn(async move {
        let mut after = None;
        loop {
            let step = CollectStep { now: NOW, trash_secs: 0, after, max_chunks: 16 };
            let collected = collector.collect(step).await.expect("collected");
            after = collected.next;
            if collected.deleted > 0 {
                child::say(&format!("deleted {}", collected.deleted));
            }
            tokio::task::yield_now().await;
        }
    });
    for seed in (0..CHUNKS_PER_ROUND).map(|number| round * 1_000 + number) {
        let chunk = chunk(seed, CHUNK_BYTES);
        let put = batch((0..PIECES).map(|index| (&chunk, index)));
        let is_kept = seed % 2 == 0;
        let (put_id, lease_until) = if is_kept { (PUT_1, u64::MAX) } else { (PUT_2, NOW - 1) };
        store.put(PutBatch { put_id, lease_until, ..put }).await.expect("put");
        if is_kept {
            let lease = lease(1, Cid(chunk.descriptor.id()), 1, Some(NOW + 1));
            // The rest may have been left by a child that was killed before it bound them.
            assert_ne!(store.bind(PUT_1, ALICE, vec![lease]).await, Ok(BoundChunks(0)));
            child::say(&format!("bound {seed}"));
        }
    }
    collecting.await.expect("until it is killed");
}

/// Runs a child and kills it after so many lines; gives what it bound, and how much it deleted.
fn run_and_kill(folder: &Path, round: u64, lines: usize) -> (Vec<u64>, u64) {
    let child = Child::start("kill_collect::child_puts_and_deletes_until_it_is_killed", folder, round);
    let said = child.kill_after(lines);
    let number = |line: &str, what| line.strip_prefix(what).and_then(|number| number.parse::<u64>().ok());
    let bound = said.iter().filter_map(|line| number(line, "bound ")).collect();
    (bound, said.iter().filter_map(|line| number(line, "deleted ")).sum())
}

#[tokio::test]
async fn nothing_leased_is_lost_when_a_deletion_is_killed() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut random = Random(SEED);
    let (mut bound, mut deleted, mut mark) = (Vec::new(), 0, open(folder.path()).mark());
    let rounds = child::rounds(KILLS, ROUNDS);
    for round in 0..rounds {
        let lines = usize::try_from(5 + random.next() % (CHUNKS_PER_ROUND / 2 - 5)).expect("small");
        let context = format!("seed {SEED:#x}, round {round}, killed after {lines} lines");
        let (new, gone) = run_and_kill(folder.path(), round, lines);
        bound.extend(new);
        deleted += gone;
        let store = open(folder.path());
        assert_eq!((store.mark().id, store.mark().opens, store.mark().losses), (mark.id, mark.opens + 2, 0));
        mark = store.mark();
        let space = store.space();
        assert_eq!(store.verify_space().await, Ok(SpaceCheck { counted: space, counter: space }), "{context}");
        for seed in &bound {
            let chunk = chunk(*seed, CHUNK_BYTES);
            let known = store.chunks(&[chunk.descriptor.id()]).await.expect("chunks").remove(0).expect(&context);
            assert_eq!(known.indices, IndexSet::below(PIECES.into()), "{context}");
            let bytes = store.piece(chunk.descriptor.id(), 3).await.expect(&context);
            assert_eq!(bytes.as_ref(), Some(chunk.pieces[3].bytes()), "{context}");
        }
        store.close().await.expect("closed");
    }
    assert!(bound.len() > 50 && deleted > 50, "{} bound, {deleted} deleted: nothing was tried", bound.len());
    let store = open(folder.path());
    for _ in 0..2 {
        let step = CollectStep { now: NOW + 1, trash_secs: 0, after: None, max_chunks: 10_000 };
        let mut after = None;
        loop {
            after = store.collect(CollectStep { after, ..step }).await.expect("collected").next;
            if after.is_none() {
                break;
            }
        }
    }
    // Uploads that were killed before they were bound wait for a commit, for good as these tests count time.
    let waiting = store.bind(PUT_1, ALICE, vec![lease(1, crate::fixtures::root(1), 1, Some(1))]).await.expect("bound");
    assert_eq!(store.space().pieces, u64::from(waiting.0) * u64::from(PIECES), "no other piece is left behind");
}
