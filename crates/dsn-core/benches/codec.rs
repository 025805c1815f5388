//! What coding costs: a full chunk to its 48 pieces with all hashes, back from parity alone, and checking one piece.
//! `cargo bench --profile dev -p dsn-core`; throughput is in bytes of the chunk.

use std::hint::black_box;

use bytes::BytesMut;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use dsn_core::{
    descriptor::Code,
    erasure::{decode, encode},
    limits::{CHUNK_MAX_BYTES, PIECE_MAX_BYTES},
    piece::Piece,
};

fn plaintext() -> BytesMut {
    let mut bytes = BytesMut::zeroed(CHUNK_MAX_BYTES);
    blake3::Hasher::new().update(b"codec bench").finalize_xof().fill(&mut bytes);
    bytes
}

fn codec(criterion: &mut Criterion) {
    let encoded = encode(Code::Rs16Of48, plaintext());
    let mut group = criterion.benchmark_group("codec");
    group.sample_size(20).throughput(Throughput::Bytes(CHUNK_MAX_BYTES as u64));
    group.bench_function("encode and hash 16+32", |bencher| {
        bencher.iter_batched(plaintext, |chunk| black_box(encode(Code::Rs16Of48, chunk)), BatchSize::LargeInput);
    });
    for missing in [0, 4, 16] {
        let pieces = &encoded.pieces[missing..missing + 16];
        group.bench_function(format!("decode, {missing} data pieces missing"), |bencher| {
            bencher.iter(|| black_box(decode(&encoded.descriptor, pieces).expect("16 pieces")));
        });
    }
    group.throughput(Throughput::Bytes(PIECE_MAX_BYTES as u64));
    group.bench_function("verify a piece", |bencher| {
        let bytes = encoded.pieces[0].bytes();
        bencher.iter(|| black_box(Piece { index: 0, bytes: bytes.clone() }.verify(&encoded.descriptor).expect("true")));
    });
    group.finish();
}

criterion_group!(benches, codec);
criterion_main!(benches);
