//! How fast one processor codes: a chunk to its 48 pieces, and back from 16 that are all parity, which is the most work.

use bytes::BytesMut;
use dsn_cli::{Exit, Failure};
use dsn_core::{
    descriptor::Code,
    erasure::{EncodedChunk, decode, encode},
    limits::{CHUNK_MAX_BYTES, TOTAL_PIECES},
};

use super::phase::{Phase, Watch};
use crate::runtime::fill_random;

/// Chunks coded at most; more show nothing new.
const ROUNDS_MAX: u64 = 16;

/// As many chunks as the file has.
pub(super) async fn measure(bytes: u64) -> Result<Vec<Phase>, Failure> {
    let rounds = bytes.div_ceil(CHUNK_MAX_BYTES as u64).clamp(1, ROUNDS_MAX);
    let measured = tokio::task::spawn_blocking(move || measure_now(rounds)).await;
    measured.map_err(|error| Failure::of(Exit::Internal, &error))
}

fn measure_now(rounds: u64) -> Vec<Phase> {
    let mut chunk = BytesMut::zeroed(CHUNK_MAX_BYTES);
    fill_random(&mut chunk);
    let total = rounds * CHUNK_MAX_BYTES as u64;
    let watch = Watch::start("encode", &[]);
    let mut encoded: Option<EncodedChunk> = None;
    for _ in 0..rounds {
        encoded = Some(encode(Code::Rs16Of48, chunk.clone()));
    }
    let encode = watch.end(total);
    let EncodedChunk { descriptor, pieces } = encoded.expect("one round at least");
    let parity = &pieces[TOTAL_PIECES - Code::Rs16Of48.needed()..];
    let watch = Watch::start("decode", &[]);
    for _ in 0..rounds {
        decode(&descriptor, parity).expect("16 pieces of our own");
    }
    vec![encode, watch.end(total)]
}
