//! What the store costs: processor seconds per GiB, throughput and memory for pieces of 1 MiB, written (synced) and read
//! back by several callers at once, and the time of small puts in a row. A plain program and not a criterion bench,
//! because processor time of all threads and peak memory are the point. `DSN_BENCH_DIR` says where the store lies
//! (default `/dev/shm`), `DSN_BENCH_MIB` how much is written (default 1024), `DSN_BENCH_BUFFER_MIB` the write buffer.

use std::{
    env, fs,
    io::{self, Write},
    path::PathBuf,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use dsn_core::{
    descriptor::{Code, Descriptor},
    hash::{ChunkId, Hash},
    node_id::NodeId,
    piece::Piece,
    ports::{NewPiece, PieceStore, PutBatch},
    redundancy::Class,
    rpc::PutId,
};
use dsn_store::{RocksOptions, RocksStore};
use tokio::task::JoinSet;

const PIECES_PER_CHUNK: u8 = 16;
const CALLS_AT_ONCE: usize = 16;
const SMALL_PUTS: u32 = 200;

/// Processor time of all threads and memory of this process.
#[derive(Clone, Copy)]
struct Usage {
    at: Instant,
    cpu: Duration,
}

fn main() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build()?;
    runtime.block_on(run())
}

async fn run() -> io::Result<()> {
    let number = |name: &str, default| env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let chunks = number("DSN_BENCH_MIB", 1024) / u64::from(PIECES_PER_CHUNK);
    let folder = PathBuf::from(env::var("DSN_BENCH_DIR").unwrap_or("/dev/shm".into())).join("dsn-store-bench");
    let buffer_mib = usize::try_from(number("DSN_BENCH_BUFFER_MIB", 16)).expect("small");
    let options = RocksOptions { write_buffer_bytes: buffer_mib * 1024 * 1024, ..RocksOptions::default() };
    let _not_there = fs::remove_dir_all(&folder);

    let puts: Vec<_> = (0..chunks).flat_map(big_pieces).collect();
    let wanted: Vec<_> = puts.iter().map(|new| (new.piece.chunk(), new.piece.index())).collect();
    let store = RocksStore::open(&folder, &options).map_err(io::Error::other)?;
    fs::write("/proc/self/clear_refs", "5")?;
    let (resident, before) = (memory_mib("VmRSS"), usage());
    write_all(&store, puts).await;
    let peak = memory_mib("VmHWM");
    report("write 1 MiB pieces", chunks, before, usage())?;
    writeln!(io::stdout(), "memory: {resident} MiB before, {peak} MiB peak, {} MiB after", memory_mib("VmRSS"))?;
    store.close().await.map_err(io::Error::other)?;
    report("write and close", chunks, before, usage())?;

    let store = RocksStore::open(&folder, &options).map_err(io::Error::other)?;
    fs::write("/proc/self/clear_refs", "5")?;
    let (resident, before) = (memory_mib("VmRSS"), usage());
    read_all(&store, wanted).await;
    report("read 1 MiB pieces", chunks, before, usage())?;
    writeln!(io::stdout(), "memory: {resident} MiB before, {} MiB peak", memory_mib("VmHWM"))?;

    let small: Vec<_> = (0..SMALL_PUTS).map(small_piece).collect();
    let before = Instant::now();
    for new in small {
        store.put(batch(new)).await.map_err(io::Error::other)?;
    }
    writeln!(io::stdout(), "16 KiB put, one after the other: {:?} each", before.elapsed() / SMALL_PUTS)?;
    store.close().await.map_err(io::Error::other)?;
    fs::remove_dir_all(&folder)
}

async fn write_all(store: &RocksStore, puts: Vec<NewPiece>) {
    let mut calls = JoinSet::new();
    for new in puts {
        if calls.len() == CALLS_AT_ONCE {
            calls.join_next().await.expect("one runs").expect("no panic");
        }
        let store = store.clone();
        calls.spawn(async move { store.put(batch(new)).await.expect("put") });
    }
    calls.join_all().await;
}

async fn read_all(store: &RocksStore, wanted: Vec<(ChunkId, u8)>) {
    let mut calls = JoinSet::new();
    for (chunk, index) in wanted {
        if calls.len() == CALLS_AT_ONCE {
            calls.join_next().await.expect("one runs").expect("no panic");
        }
        let store = store.clone();
        calls.spawn(async move { store.piece(chunk, index).await.expect("read").expect("held").len() });
    }
    calls.join_all().await;
}

/// Pieces of one chunk; their bytes are the same in all chunks, so that making them costs no memory, and their hashes
/// stand in another order in each descriptor, so that the chunks differ.
fn big_pieces(number: u64) -> Vec<NewPiece> {
    static BODIES: std::sync::LazyLock<Vec<(Bytes, Hash)>> = std::sync::LazyLock::new(|| {
        let body = |fill| Bytes::from(vec![fill; 1024 * 1024]);
        (0..PIECES_PER_CHUNK).map(body).map(|body| (body.clone(), Hash::of(&body))).collect()
    });
    let mut hashes = [Hash([0; 32]); 48];
    BODIES.iter().zip(&mut hashes).for_each(|((_, hash), slot)| *slot = *hash);
    hashes[47].0[..8].copy_from_slice(&number.to_le_bytes());
    let descriptor = Descriptor::new(Code::Rs16Of48, 16 * 1024 * 1024, &hashes);
    let piece = |index: u8| {
        let bytes = BODIES[usize::from(index)].0.clone();
        let piece = Piece { index, bytes }.verify(&descriptor).expect("its own hash");
        NewPiece { descriptor: descriptor.clone(), piece }
    };
    (0..PIECES_PER_CHUNK).map(piece).collect()
}

fn small_piece(number: u32) -> NewPiece {
    let mut bytes = BytesMut::zeroed(16 * 1024);
    bytes[..4].copy_from_slice(&number.to_le_bytes());
    let chunk = dsn_core::erasure::encode(Code::Rep, bytes);
    NewPiece { descriptor: chunk.descriptor, piece: chunk.pieces[0].clone() }
}

fn batch(new: NewPiece) -> PutBatch {
    let (put_id, owner) = (PutId([1; 16]), NodeId([1; 32]));
    PutBatch { put_id, owner, class: Class::Normal, lease_until: 0, pieces: vec![new], chunks: Vec::new() }
}

/// From `/proc/self/stat`, in ticks of 10 ms.
fn usage() -> Usage {
    let text = fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields: Vec<_> = text.rsplit(')').next().expect("a name").split_whitespace().collect();
    let ticks: u64 = [11, 12].into_iter().map(|at: usize| fields[at].parse::<u64>().expect("ticks")).sum();
    Usage { at: Instant::now(), cpu: Duration::from_millis(ticks * 10) }
}

/// A line of `/proc/self/status` that is in kB.
fn memory_mib(name: &str) -> u64 {
    let text = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("kB") / 1024
}

fn report(what: &str, chunks: u64, before: Usage, after: Usage) -> io::Result<()> {
    let mib = u32::try_from(chunks * u64::from(PIECES_PER_CHUNK)).expect("small");
    let wall = (after.at - before.at).as_secs_f64();
    let cpu = (after.cpu - before.cpu).as_secs_f64() * 1024.0 / f64::from(mib);
    writeln!(io::stdout(), "{what}: {:.0} MiB/s, {cpu:.2} CPU s/GiB", f64::from(mib) / wall)
}
