//! kill -9 at any instant: a child process (this binary again) puts pieces and prints each that was answered; the parent
//! kills it, opens what it left and looks for every one of them. Not here: power cuts (`power`).

use std::path::Path;

use dsn_core::{
    erasure::EncodedChunk,
    hash::ChunkId,
    index_set::IndexSet,
    ports::{PieceStore, Space},
};
use tokio::task::JoinSet;

use crate::{
    child::{self, Child},
    fixtures::{Random, batch, chunk, lease_only, locator},
    rocks::open,
};

/// How many children to kill here instead.
const KILLS: &str = "DSN_STORE_KILLS";

const SEED: u64 = 0x6b69_6c6c;
const ROUNDS: u64 = 30;
/// Chunks a child puts, each in 48 pieces of 62,528 bytes: 30 MB, so that buffers become files while it runs.
const CHUNKS_PER_ROUND: u64 = 10;
const CHUNK_BYTES: usize = 1_000_000;
const PUTS_AT_ONCE: usize = 8;

/// A line of the child: this piece is on durable storage, and the answer had this receipt number.
struct Answered {
    chunk_seed: u64,
    index: u8,
    seq: u64,
}

fn chunk_seeds(round: u64) -> impl Iterator<Item = u64> {
    (0..CHUNKS_PER_ROUND).map(move |number| round * 1_000 + number)
}

/// The child; without its variables, a test that has nothing to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_puts_until_it_is_killed() {
    let Some((folder, round)) = child::order() else { return };
    let store = open(&folder);
    for seed in chunk_seeds(round) {
        let chunk = chunk(seed, CHUNK_BYTES);
        store.put_locators(vec![locator(&chunk, 1)]).await.expect("locator");
        let mut puts = JoinSet::new();
        for index in 0..48 {
            if puts.len() == PUTS_AT_ONCE {
                puts.join_next().await.expect("one is running").expect("no panic");
            }
            let (store, batch) = (store.clone(), batch([(&chunk, index)]));
            puts.spawn(async move {
                let seq = store.put(batch).await.expect("put")[0].seq;
                child::say(&format!("{seed} {index} {seq}"));
            });
        }
        puts.join_all().await;
    }
    store.close().await.expect("closed");
}

impl Answered {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let mut number = || words.next()?.parse::<u64>().ok();
        Some(Self { chunk_seed: number()?, index: u8::try_from(number()?).ok()?, seq: number()? })
    }
}

/// Runs a child and kills it once it has printed `lines` answers; gives all it printed.
fn run_and_kill(folder: &Path, round: u64, lines: usize) -> Vec<Answered> {
    let child = Child::start("kill::child_puts_until_it_is_killed", folder, round);
    child.kill_after(lines).iter().map(|line| Answered::parse(line).expect("three numbers")).collect()
}

#[tokio::test]
async fn every_answered_piece_survives_kill_9() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut random = Random(SEED);
    let (mut total, mut highest_seq) = (0, 0);
    let (rounds, mut ids) = (child::rounds(KILLS, ROUNDS), Vec::new());
    for round in 0..rounds {
        let lines = usize::try_from(random.next() % (CHUNKS_PER_ROUND * 48)).expect("small");
        let context = format!("seed {SEED:#x}, round {round}, killed after {lines} answers");
        let answered = run_and_kill(folder.path(), round, lines);
        let store = open(folder.path());
        let chunks: Vec<_> = chunk_seeds(round).map(|seed| (seed, chunk(seed, CHUNK_BYTES))).collect();
        ids.extend(chunks.iter().map(|(_, chunk)| chunk.descriptor.id()));
        for (seed, chunk) in &chunks {
            for piece in answered.iter().filter(|piece| piece.chunk_seed == *seed) {
                let found = store.piece(chunk.descriptor.id(), piece.index).await.expect(&context);
                assert_eq!(found.as_ref(), Some(chunk.pieces[usize::from(piece.index)].bytes()), "{context}");
            }
        }
        check_counters(&store, &ids, &chunks, &context).await;
        let seq = store.put(lease_only([chunks[0].1.descriptor.id()])).await.expect("put")[0].seq;
        highest_seq = answered.iter().map(|piece| piece.seq).fold(highest_seq, u64::max);
        assert!(seq > highest_seq, "{context}: receipt number {seq} after {highest_seq}");
        highest_seq = seq;
        total += answered.len();
        drop(store);
    }
    assert!(
        total > 40 * usize::try_from(rounds).expect("small"),
        "only {total} answers in all rounds: nothing was tried"
    );
}

/// The counters are what the index adds up to, and each piece the index names is there.
async fn check_counters(
    store: &dsn_store::RocksStore,
    ids: &[ChunkId],
    last_round: &[(u64, EncodedChunk)],
    context: &str,
) {
    let mut counted = Space::default();
    for id in ids.iter().copied() {
        let stored = store.chunks(&[id]).await.expect("chunks").remove(0);
        let held = stored.map_or(IndexSet::EMPTY, |stored| stored.indices);
        counted.pieces += u64::try_from(held.len()).expect("small");
        counted.locators += u64::from(store.locators(&[id]).await.expect("locators")[0].is_some());
        let recent = last_round.iter().find(|(_, chunk)| chunk.descriptor.id() == id);
        for (index, (_, chunk)) in held.iter().filter_map(|index| Some((index, recent?))) {
            let bytes = store.piece(id, index).await.expect(context);
            assert_eq!(bytes.as_ref(), Some(chunk.pieces[usize::from(index)].bytes()), "{context}");
        }
    }
    counted.used_bytes = counted.pieces * 62_528;
    assert_eq!(store.space(), counted, "{context}");
    let check = store.verify_space().await.expect(context);
    assert_eq!((check.counted, check.counter), (counted, counted), "{context}");
}
