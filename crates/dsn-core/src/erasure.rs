//! Chunk to pieces and back: Reed-Solomon over GF(2^8), 16 data and 32 parity pieces, the systematic Vandermonde matrix of
//! `reed-solomon-erasure`. The only file that knows the library, so that a faster, bit-identical one can replace it.
//!
//! Pieces of 1 MiB spill from the cache, so both directions walk across all pieces in slices of 64 KiB, and the encoder
//! hashes each slice while it is still there. A decoded data piece is hashed again: an uploader who committed parity that
//! is no code word gets one clear error, never wrong bytes. A few bytes of a data piece cannot be hashed by themselves;
//! what [`decode_slice`] can say of them, and what not, stands there.

use std::sync::LazyLock;

use bytes::{Bytes, BytesMut};
use reed_solomon_erasure::galois_8::ReedSolomon;
use thiserror::Error;

use crate::{
    canary::{Bug, planted},
    descriptor::{Code, Descriptor},
    hash::{ChunkId, Hash},
    limits::{CODING_SLICE_BYTES, DATA_PIECES, TOTAL_PIECES},
    piece::VerifiedPiece,
    slice::VerifiedSlice,
};

const PARITY_PIECES: usize = TOTAL_PIECES - DATA_PIECES;

static CODER: LazyLock<ReedSolomon> =
    LazyLock::new(|| ReedSolomon::new(DATA_PIECES, PARITY_PIECES).expect("16 and 32 are valid for GF(2^8)"));

/// A chunk's descriptor and all its pieces, in index order.
#[derive(Clone, Debug)]
pub struct EncodedChunk {
    /// Describes the chunk.
    pub descriptor: Descriptor,
    /// Every piece the descriptor commits to.
    pub pieces: Vec<VerifiedPiece>,
}

/// A chunk's plaintext.
#[derive(Clone, Debug)]
pub struct DecodedChunk {
    /// The plaintext in order, in parts that need not be copied.
    pub parts: Vec<Bytes>,
    /// Data pieces that had to be computed from parity.
    pub computed: usize,
}

/// Why pieces do not give their chunk.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// Fewer pieces than the code needs.
    #[error("chunk {chunk}: {have} of {need} pieces")]
    NotEnough {
        /// The chunk.
        chunk: ChunkId,
        /// Different pieces given.
        have: usize,
        /// Pieces needed.
        need: usize,
    },
    /// The committed pieces are no code word: whoever made the chunk made it wrong.
    #[error("inconsistent encoding: chunk {chunk}, piece {index} is not what its other pieces give")]
    Inconsistent {
        /// The chunk.
        chunk: ChunkId,
        /// A data piece that does not fit.
        index: usize,
    },
    /// The bytes after the chunk's end are not zero.
    #[error("inconsistent encoding: chunk {chunk} has padding that is not zero")]
    Padding {
        /// The chunk.
        chunk: ChunkId,
    },
}

/// Cuts a chunk into its pieces and describes it. Processor-bound: about 30 ms for 16 MiB.
///
/// # Panics
/// When the chunk is empty or longer than the code allows.
pub fn encode(code: Code, chunk: BytesMut) -> EncodedChunk {
    let chunk_len = chunk.len();
    let (pieces, hashes) = match code {
        Code::Rep => {
            let bytes = chunk.freeze();
            let hash = Hash::of(&bytes);
            (vec![bytes], vec![hash])
        }
        Code::Rs16Of48 => encode_rs(chunk),
    };
    let descriptor = Descriptor::new(code, chunk_len, &hashes);
    let piece = |(index, bytes)| VerifiedPiece::from_coder(descriptor.id(), index, bytes);
    let pieces = (0u8..).zip(pieces).map(piece).collect();
    EncodedChunk { descriptor, pieces }
}

fn encode_rs(mut chunk: BytesMut) -> (Vec<Bytes>, Vec<Hash>) {
    let piece_len = Code::Rs16Of48.piece_len(chunk.len());
    chunk.resize(piece_len * DATA_PIECES, 0);
    let mut chunk = chunk.freeze();
    let data: Vec<Bytes> = (0..DATA_PIECES).map(|_| chunk.split_to(piece_len)).collect();
    let mut parity = vec![vec![0u8; piece_len]; PARITY_PIECES];
    let mut hashers = vec![blake3::Hasher::new(); TOTAL_PIECES];
    for start in (0..piece_len).step_by(CODING_SLICE_BYTES) {
        let range = start..(start + CODING_SLICE_BYTES).min(piece_len);
        let input: Vec<&[u8]> = data.iter().map(|piece| &piece[range.clone()]).collect();
        let mut output: Vec<&mut [u8]> = parity.iter_mut().map(|piece| &mut piece[range.clone()]).collect();
        CODER.encode_sep(&input, &mut output).expect("16 and 32 slices of one length");
        let slices = input.iter().copied().chain(output.iter().map(|slice| &**slice));
        hashers.iter_mut().zip(slices).for_each(|(hasher, slice)| {
            hasher.update(slice);
        });
    }
    let hashes = hashers.iter().map(|hasher| Hash(*hasher.finalize().as_bytes())).collect();
    (data.into_iter().chain(parity.into_iter().map(Bytes::from)).collect(), hashes)
}

/// Gives a chunk's plaintext from any pieces that suffice. Processor-bound when data pieces are missing.
///
/// # Errors
/// See [`DecodeError`].
///
/// # Panics
/// When a piece belongs to another chunk.
pub fn decode(descriptor: &Descriptor, pieces: &[VerifiedPiece]) -> Result<DecodedChunk, DecodeError> {
    assert!(pieces.iter().all(|piece| piece.chunk() == descriptor.id()), "pieces of one chunk");
    let mut slots: Vec<Option<Bytes>> = vec![None; descriptor.code().total()];
    pieces.iter().for_each(|piece| slots[usize::from(piece.index())] = Some(piece.bytes().clone()));
    let (chunk, need) = (descriptor.id(), descriptor.code().needed());
    let have = slots.iter().flatten().count();
    if have < need {
        return Err(DecodeError::NotEnough { chunk, have, need });
    }
    let missing: Vec<usize> = (0..need).filter(|index| slots[*index].is_none()).collect();
    if !missing.is_empty() {
        for (index, bytes) in missing.iter().copied().zip(reconstruct(&slots, &missing, descriptor.piece_len())) {
            let committed = u8::try_from(index).ok().and_then(|index| descriptor.piece_hash(index));
            if committed != Some(Hash::of(&bytes)) && !planted(Bug::ParityUnchecked) {
                return Err(DecodeError::Inconsistent { chunk, index });
            }
            slots[index] = Some(bytes);
        }
    }
    let parts = trim(slots.into_iter().take(need).flatten(), descriptor.chunk_len());
    let parts = parts.ok_or(DecodeError::Padding { chunk })?;
    Ok(DecodedChunk { parts, computed: missing.len() })
}

/// Computes a stretch of a data piece from proven slices of other pieces, at the same place: from the first 16, and every
/// further one must agree with them, at least one. Processor-bound.
///
/// Each slice given is what its piece holds. What comes out is what the lost piece holds if the committed pieces are a code
/// word, as our encoder makes them. If they are none, the further slices disagree, unless the uploader has aimed: parity
/// computed for another content of just this data piece agrees with all pieces but the lost one, and no number of slices
/// shows it; only the hash of the whole piece does ([`decode`]).
///
/// # Errors
/// [`DecodeError::NotEnough`] and [`DecodeError::Inconsistent`].
///
/// # Panics
/// When `index` is no data piece's, or the slices are not of one place in different other pieces of one `rs16/48` chunk.
pub fn decode_slice(index: u8, slices: &[VerifiedSlice]) -> Result<Bytes, DecodeError> {
    let first = slices.first().expect("at least one slice");
    let (chunk, lost, need) = (first.chunk(), usize::from(index), DATA_PIECES + 1);
    assert!(lost < DATA_PIECES && slices.iter().all(|slice| slice.index() != index), "slices of other pieces");
    assert!(slices.iter().all(|slice| (slice.chunk(), slice.range()) == (chunk, first.range())), "slices of one place");
    if slices.len() < need {
        return Err(DecodeError::NotEnough { chunk, have: slices.len(), need });
    }
    let (basis, witnesses) = slices.split_at(DATA_PIECES);
    let len = first.bytes().len();
    let mut decoded = BytesMut::with_capacity(len);
    let mut scratch = vec![0u8; TOTAL_PIECES * CODING_SLICE_BYTES];
    for start in (0..len).step_by(CODING_SLICE_BYTES) {
        let range = start..(start + CODING_SLICE_BYTES).min(len);
        let places = scratch.chunks_mut(CODING_SLICE_BYTES).map(|place| &mut place[..range.len()]);
        let mut shards: Vec<(&mut [u8], bool)> = places.map(|place| (place, false)).collect();
        for slice in basis {
            let (place, is_there) = &mut shards[usize::from(slice.index())];
            place.copy_from_slice(&slice.bytes()[range.clone()]);
            *is_there = true;
        }
        CODER.reconstruct(&mut shards).expect("16 slices of one length are enough");
        let agrees = |slice: &VerifiedSlice| *shards[usize::from(slice.index())].0 == slice.bytes()[range.clone()];
        if !witnesses.iter().all(agrees) && !planted(Bug::ParityUnchecked) {
            return Err(DecodeError::Inconsistent { chunk, index: lost });
        }
        decoded.extend_from_slice(shards[lost].0);
    }
    Ok(decoded.freeze())
}

/// Whether these bytes are the chunk: hashes its data pieces and computes nothing.
pub fn is_chunk(descriptor: &Descriptor, bytes: &[u8]) -> bool {
    if bytes.len() != descriptor.chunk_len() {
        return false;
    }
    let zeros = vec![0; descriptor.piece_len()];
    (0u8..).zip(0..descriptor.code().needed()).all(|(index, nth)| {
        let start = (nth * descriptor.piece_len()).min(bytes.len());
        let end = (start + descriptor.piece_len()).min(bytes.len());
        let hash = blake3::Hasher::new().update(&bytes[start..end]).update(&zeros[end - start..]).finalize();
        descriptor.piece_hash(index) == Some(Hash(*hash.as_bytes()))
    })
}

/// Cuts the padding off the pieces that reach beyond `len`; none when it is not zero.
fn trim(pieces: impl Iterator<Item = Bytes>, len: usize) -> Option<Vec<Bytes>> {
    let mut left = len;
    let mut parts = Vec::new();
    for mut piece in pieces {
        let padding = piece.split_off(left.min(piece.len()));
        if padding.iter().any(|byte| *byte != 0) {
            return None;
        }
        left -= piece.len();
        if !piece.is_empty() {
            parts.push(piece);
        }
    }
    Some(parts)
}

/// Computes the `missing` data pieces from the first 16 there are. The library wants mutable inputs, so each slice of 64
/// KiB is copied to a scratch buffer that stays in the cache.
fn reconstruct(slots: &[Option<Bytes>], missing: &[usize], piece_len: usize) -> Vec<Bytes> {
    let present: Vec<(usize, &Bytes)> =
        slots.iter().enumerate().filter_map(|(i, slot)| slot.as_ref().map(|b| (i, b))).take(DATA_PIECES).collect();
    let mut outputs: Vec<Vec<u8>> = missing.iter().map(|_| vec![0; piece_len]).collect();
    let mut scratch = vec![0u8; DATA_PIECES * CODING_SLICE_BYTES];
    for start in (0..piece_len).step_by(CODING_SLICE_BYTES) {
        let range = start..(start + CODING_SLICE_BYTES).min(piece_len);
        let mut shards: Vec<(&mut [u8], bool)> = (0..TOTAL_PIECES).map(|_| (&mut [][..], false)).collect();
        for ((index, piece), copy) in present.iter().zip(scratch.chunks_mut(CODING_SLICE_BYTES)) {
            let copy = &mut copy[..range.len()];
            copy.copy_from_slice(&piece[range.clone()]);
            shards[*index] = (copy, true);
        }
        for (index, output) in missing.iter().zip(&mut outputs) {
            shards[*index] = (&mut output[range.clone()], false);
        }
        CODER.reconstruct_data(&mut shards).expect("16 slices of one length are enough");
    }
    outputs.into_iter().map(Bytes::from).collect()
}

#[cfg(test)]
mod tests;
