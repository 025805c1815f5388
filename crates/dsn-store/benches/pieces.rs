//! One piece of 1 MiB into the store, fsynced, and out of it again, with criterion's statistics. `DSN_BENCH_DIR` says
//! where the store lies (default `/dev/shm`). What many at once cost in processor time and memory: `store.rs`.

use std::{env, sync::atomic::AtomicU64, sync::atomic::Ordering};

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
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

const MIB: usize = 1 << 20;

/// A copy of 68 KiB would be a root chunk; a piece of a full chunk is 1 MiB, one of 48 that are all alike here.
fn piece(number: u64) -> NewPiece {
    let mut bytes = vec![0; MIB];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    let bytes = Bytes::from(bytes);
    let descriptor = Descriptor::new(Code::Rs16Of48, 16 * MIB, &[Hash::of(&bytes); 48]);
    let piece = Piece { index: 0, bytes }.verify(&descriptor).expect("its own hash");
    NewPiece { descriptor, piece }
}

fn batch(piece: NewPiece) -> PutBatch {
    let (put_id, owner) = (PutId([1; 16]), NodeId([2; 32]));
    PutBatch { put_id, owner, class: Class::Normal, lease_until: u64::MAX, pieces: vec![piece], chunks: Vec::new() }
}

fn pieces(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("a runtime");
    let folder = env::var("DSN_BENCH_DIR").unwrap_or("/dev/shm".into());
    let folder = tempfile::Builder::new().prefix("dsn-pieces").tempdir_in(folder).expect("a writable folder");
    let store = RocksStore::open(folder.path(), &RocksOptions::default()).expect("an empty folder");
    let next = AtomicU64::new(0);
    let chunk: ChunkId = piece(u64::MAX).piece.chunk();
    runtime.block_on(store.put(batch(piece(u64::MAX)))).expect("put");
    let mut group = criterion.benchmark_group("pieces");
    group.throughput(Throughput::Bytes(MIB as u64)).sample_size(20);
    group.bench_function("put", |bencher| {
        let fresh = || batch(piece(next.fetch_add(1, Ordering::Relaxed)));
        bencher.iter_batched(fresh, |batch| runtime.block_on(store.put(batch)).expect("put"), BatchSize::PerIteration);
    });
    group.bench_function("get", |bencher| {
        bencher.iter(|| runtime.block_on(store.piece(chunk, 0)).expect("read").expect("held"));
    });
    group.finish();
    runtime.block_on(store.close()).expect("closed");
}

criterion_group!(benches, pieces);
criterion_main!(benches);
