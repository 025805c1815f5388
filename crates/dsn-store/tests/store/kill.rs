//! kill -9 at any instant: a child process (this binary again) puts pieces and prints each that was answered; the parent
//! kills it, opens what it left and looks for every one of them. Not here: power cuts, which only differ in what the
//! system had not yet written; the store asks for an fsync before it answers.

use std::{
    env,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
};

use dsn_core::{
    index_set::IndexSet,
    ports::{PieceStore, Space},
};
use tokio::task::JoinSet;

use crate::{
    fixtures::{Random, batch, chunk, lease_only, locator},
    rocks::open,
};

/// The store's folder, for the child.
const FOLDER: &str = "DSN_STORE_TEST_KILL_FOLDER";
/// The round, for the child.
const ROUND: &str = "DSN_STORE_TEST_KILL_ROUND";

const SEED: u64 = 0x6b69_6c6c;
const ROUNDS: u64 = 12;
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
    let (Ok(folder), Ok(round)) = (env::var(FOLDER), env::var(ROUND)) else { return };
    let store = open(Path::new(&folder));
    for seed in chunk_seeds(round.parse().expect("a number")) {
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
                let mut out = std::io::stdout().lock();
                writeln!(out, "answered {seed} {index} {seq}").expect("the parent reads");
                out.flush().expect("the parent reads");
            });
        }
        puts.join_all().await;
    }
    store.close().await.expect("closed");
}

/// Runs a child and kills it once it has printed `lines` answers; gives all it printed.
fn run_and_kill(folder: &Path, round: u64, lines: usize) -> Vec<Answered> {
    let mut child = Command::new(env::current_exe().expect("this binary"))
        .args(["--exact", "kill::child_puts_until_it_is_killed", "--nocapture"])
        .env(FOLDER, folder)
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a child");
    let mut output = BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok);
    let parse = |line: String| {
        let mut words = line.strip_prefix("answered ")?.split(' ');
        let mut number = || words.next()?.parse::<u64>().ok();
        Some(Answered { chunk_seed: number()?, index: u8::try_from(number()?).ok()?, seq: number()? })
    };
    let mut answered: Vec<_> = output.by_ref().filter_map(parse).take(lines).collect();
    child.kill().expect("killed");
    answered.extend(output.filter_map(parse));
    child.wait().expect("gone");
    answered
}

#[tokio::test]
async fn every_answered_piece_survives_kill_9() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut random = Random(SEED);
    let (mut total, mut highest_seq) = (0, 0);
    for round in 0..ROUNDS {
        let lines = usize::try_from(random.next() % (CHUNKS_PER_ROUND * 48)).expect("small");
        let context = format!("seed {SEED:#x}, round {round}, killed after {lines} answers");
        let answered = run_and_kill(folder.path(), round, lines);
        let store = open(folder.path());
        for seed in chunk_seeds(round) {
            let chunk = chunk(seed, CHUNK_BYTES);
            for piece in answered.iter().filter(|piece| piece.chunk_seed == seed) {
                let found = store.piece(chunk.descriptor.id(), piece.index).await.expect(&context);
                assert_eq!(found.as_ref(), Some(chunk.pieces[usize::from(piece.index)].bytes()), "{context}");
            }
        }
        check_counters(&store, round, &context).await;
        let seq = store.put(lease_only([chunk(round * 1_000, CHUNK_BYTES).descriptor.id()])).await.expect("put")[0].seq;
        highest_seq = answered.iter().map(|piece| piece.seq).fold(highest_seq, u64::max);
        assert!(seq > highest_seq, "{context}: receipt number {seq} after {highest_seq}");
        highest_seq = seq;
        total += answered.len();
        drop(store);
    }
    assert!(total > 500, "only {total} answers in all rounds: nothing was tried");
}

/// The counters are what the index adds up to, and each piece the index names is there.
async fn check_counters(store: &dsn_store::RocksStore, last_round: u64, context: &str) {
    let mut counted = Space::default();
    for seed in (0..=last_round).flat_map(chunk_seeds) {
        let chunk = chunk(seed, CHUNK_BYTES);
        let id = chunk.descriptor.id();
        let stored = store.chunks(&[id]).await.expect("chunks").remove(0);
        let held = stored.map_or(IndexSet::EMPTY, |stored| stored.indices);
        counted.pieces += u64::try_from(held.len()).expect("small");
        counted.locators += u64::from(store.locators(&[id]).await.expect("locators")[0].is_some());
        for index in held.iter().filter(|_| seed / 1_000 == last_round) {
            let bytes = store.piece(id, index).await.expect(context);
            assert_eq!(bytes.as_ref(), Some(chunk.pieces[usize::from(index)].bytes()), "{context}");
        }
    }
    counted.used_bytes = counted.pieces * 62_528;
    assert_eq!(store.space(), counted, "{context}");
    let check = store.verify_space().await.expect(context);
    assert_eq!((check.counted, check.counter), (counted, counted), "{context}");
}
