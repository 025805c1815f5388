//! A stretch of a piece, and the proof that it is the piece's: 16 KiB groups with the hashes that join them to the piece's
//! hash in the descriptor (a BLAKE3 slice). Who reads a few bytes of a file needs no whole piece, and an audit no copy of
//! one; whoever answers needs no stored tree. Not here: which groups a reader wants, and what an audit concludes.
//!
//! Invariant: only [`verify`] makes a [`VerifiedSlice`], and its bytes are those of the piece the descriptor commits to.

use std::ops::Range;

use bao_tree::{
    BaoTree, BlockSize, ChunkNum, ChunkRanges,
    io::{
        BaoContentItem,
        outboard::PreOrderMemOutboard,
        sync::{DecodeResponseIter, encode_ranges_validated},
    },
};
use bytes::Bytes;
use thiserror::Error;

use crate::{
    descriptor::Descriptor,
    hash::ChunkId,
    limits::{AUDIT_GROUP_BYTES, BODIES_MAX_BYTES, PIECE_MAX_BYTES, SLICE_MAX_GROUPS},
};

/// Groups of 2^4 BLAKE3 chunks of 1 KiB.
const TREE_GROUPS: BlockSize = BlockSize::from_chunk_log(4);

/// BLAKE3's own chunks in a group.
const CHUNKS_PER_GROUP: u64 = 16;

/// Groups of the largest piece.
const PIECE_MAX_GROUPS: u32 = 64;

/// Bytes of the longest slice that may be asked for.
pub const SLICE_MAX_BYTES: usize = slice_max_bytes(SLICE_MAX_GROUPS);

const _: () = assert!(TREE_GROUPS.bytes() == AUDIT_GROUP_BYTES);
const _: () = assert!(PIECE_MAX_GROUPS as usize * AUDIT_GROUP_BYTES == PIECE_MAX_BYTES);
const _: () = assert!(SLICE_MAX_BYTES <= BODIES_MAX_BYTES, "one slice always fits a message");

/// Bytes of the longest slice of so many groups: the groups, and two hashes for each node of BLAKE3's tree above them. In a
/// tree of six levels a stretch of c groups is below at most c + 10 nodes: at each level at most two more than half of those
/// of the level below.
pub const fn slice_max_bytes(groups: u32) -> usize {
    groups as usize * (AUDIT_GROUP_BYTES + 64) + 10 * 64
}

/// Groups of a piece of `piece_len` bytes; at least one.
pub fn groups(piece_len: usize) -> u32 {
    u32::try_from(piece_len.div_ceil(AUDIT_GROUP_BYTES).max(1)).expect("a piece is at most 1 MiB")
}

/// Groups of a piece that follow each other: at least one, at most [`SLICE_MAX_GROUPS`], none beyond the largest piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupRange {
    first: u32,
    count: u32,
}

impl GroupRange {
    /// `count` groups from `first` on; none when there can be no such groups.
    pub fn new(first: u32, count: u32) -> Option<Self> {
        let is_within = first.checked_add(count).is_some_and(|end| end <= PIECE_MAX_GROUPS);
        ((1..=SLICE_MAX_GROUPS).contains(&count) && is_within).then_some(Self { first, count })
    }

    /// The first group.
    pub fn first(self) -> u32 {
        self.first
    }

    /// How many.
    pub fn count(self) -> u32 {
        self.count
    }

    /// Whether a piece of so many bytes has all of them.
    pub fn fits(self, piece_len: usize) -> bool {
        self.first + self.count <= groups(piece_len)
    }

    /// The bytes of a piece of `piece_len` bytes that are in them.
    pub fn bytes(self, piece_len: usize) -> Range<usize> {
        let at = |group: u32| (group as usize * AUDIT_GROUP_BYTES).min(piece_len);
        at(self.first)..at(self.first + self.count)
    }

    fn in_tree(self) -> ChunkRanges {
        let at = |group: u32| ChunkNum(u64::from(group) * CHUNKS_PER_GROUP);
        ChunkRanges::from(at(self.first)..at(self.first + self.count))
    }
}

/// Groups of a piece that somebody wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SliceWant {
    /// The chunk.
    pub chunk: ChunkId,
    /// The piece.
    pub index: u8,
    /// The groups.
    pub range: GroupRange,
}

/// Bytes of a piece that have been proved against the descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedSlice {
    chunk: ChunkId,
    index: u8,
    range: GroupRange,
    bytes: Bytes,
}

impl VerifiedSlice {
    /// The chunk.
    pub fn chunk(&self) -> ChunkId {
        self.chunk
    }

    /// The piece.
    pub fn index(&self) -> u8 {
        self.index
    }

    /// The groups.
    pub fn range(&self) -> GroupRange {
        self.range
    }

    /// The piece's bytes in these groups.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

/// Why bytes are no slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SliceError {
    /// The chunk has no such piece, or the piece no such groups.
    #[error("piece {index} has no {count} groups from group {first} on")]
    NoSuchGroups {
        /// The piece.
        index: u8,
        /// The first group.
        first: u32,
        /// How many.
        count: u32,
    },
    /// The bytes are not those of the piece.
    #[error("the slice is not of piece {index}")]
    WrongBytes {
        /// The piece.
        index: u8,
    },
}

/// The slice of some groups of a piece; none when the piece has not all of them or its bytes are not what they were.
/// Processor-bound: hashes the whole piece.
pub fn cut(piece: &Bytes, range: GroupRange) -> Option<Bytes> {
    if !range.fits(piece.len()) {
        return None;
    }
    let tree = PreOrderMemOutboard::create(piece, TREE_GROUPS);
    let mut slice = Vec::with_capacity(slice_max_bytes(range.count));
    encode_ranges_validated(&piece[..], &tree, &range.in_tree(), &mut slice).ok()?;
    Some(slice.into())
}

/// Checks a slice against the descriptor of its chunk. Processor-bound: hashes the slice.
///
/// # Errors
/// See [`SliceError`].
pub fn verify(
    descriptor: &Descriptor,
    index: u8,
    range: GroupRange,
    slice: &[u8],
) -> Result<VerifiedSlice, SliceError> {
    let none = SliceError::NoSuchGroups { index, first: range.first, count: range.count };
    let hash = descriptor.piece_hash(index).filter(|_| range.fits(descriptor.piece_len())).ok_or(none)?;
    let wrong = SliceError::WrongBytes { index };
    let len = u64::try_from(descriptor.piece_len()).expect("at most 1 MiB");
    let within = range.bytes(descriptor.piece_len());
    let mut bytes = Vec::with_capacity(within.len());
    let (mut rest, in_tree) = (slice, range.in_tree());
    for item in
        DecodeResponseIter::new(blake3::Hash::from_bytes(hash.0), BaoTree::new(len, TREE_GROUPS), &mut rest, &in_tree)
    {
        if let BaoContentItem::Leaf(leaf) = item.map_err(|_| wrong)? {
            bytes.extend_from_slice(&leaf.data);
        }
    }
    if !rest.is_empty() || bytes.len() != within.len() {
        return Err(wrong);
    }
    Ok(VerifiedSlice { chunk: descriptor.id(), index, range, bytes: bytes.into() })
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use proptest::prelude::*;

    use super::*;
    use crate::{
        descriptor::Code,
        erasure::{EncodedChunk, encode},
    };

    fn chunk(len: usize) -> EncodedChunk {
        let mut bytes = BytesMut::zeroed(len);
        blake3::Hasher::new().update(&len.to_le_bytes()).finalize_xof().fill(&mut bytes);
        encode(Code::Rs16Of48, bytes)
    }

    fn range(first: u32, count: u32) -> GroupRange {
        GroupRange::new(first, count).expect("such groups")
    }

    #[test]
    fn every_range_of_a_full_piece_is_proved_within_the_bound() {
        let chunk = chunk(16 << 20);
        let piece = chunk.pieces[20].bytes();
        for (first, count) in (0..64).flat_map(|first| [1, 2, 3, 5, 31, 32].map(|count| (first, count))) {
            let Some(range) = GroupRange::new(first, count) else { continue };
            let slice = cut(piece, range).expect("such groups");
            assert!(slice.len() <= slice_max_bytes(count), "{first} {count}: {} bytes", slice.len());
            let verified = verify(&chunk.descriptor, 20, range, &slice).expect("true");
            assert_eq!(verified.bytes()[..], piece[range.bytes(piece.len())], "{first} {count}");
        }
    }

    #[test]
    fn ranges_have_groups_and_not_too_many() {
        for (first, count) in [(0, 0), (0, 33), (33, 32), (64, 1), (u32::MAX, 1), (1, u32::MAX)] {
            assert_eq!(GroupRange::new(first, count), None, "{first} {count}");
        }
        assert!(GroupRange::new(32, 32).is_some() && GroupRange::new(63, 1).is_some());
    }

    #[test]
    fn the_slice_of_other_groups_or_of_another_piece_proves_nothing() {
        let chunk = chunk(3_000_000);
        let (descriptor, piece) = (&chunk.descriptor, chunk.pieces[3].bytes());
        let slice = cut(piece, range(1, 3)).expect("such groups");
        let wrong = |index| Err(SliceError::WrongBytes { index });
        for other in [range(2, 3), range(1, 2), range(1, 4), range(0, 3)] {
            assert_eq!(verify(descriptor, 3, other, &slice), wrong(3));
        }
        assert_eq!(verify(descriptor, 4, range(1, 3), &slice), wrong(4));
        assert_eq!(verify(descriptor, 3, range(1, 3), &[&slice[..], b"x"].concat()), wrong(3));
        assert_eq!(verify(descriptor, 3, range(1, 3), &piece[range(1, 3).bytes(piece.len())]), wrong(3), "no proof");
        let beyond = range(groups(piece.len()) - 1, 2);
        assert_eq!(cut(piece, beyond), None);
        let none = |index, range: GroupRange| {
            Err(SliceError::NoSuchGroups { index, first: range.first(), count: range.count() })
        };
        assert_eq!(verify(descriptor, 3, beyond, &slice), none(3, beyond));
        assert_eq!(verify(descriptor, 48, range(1, 3), &slice), none(48, range(1, 3)));
    }

    proptest! {
        #[test]
        fn ranges_of_pieces_of_all_lengths_are_proved_and_a_flipped_bit_or_a_cut_is_found(
            len in 1usize..4_000_000,
            first in 0u32..64,
            count in 1u32..=32,
            at in any::<prop::sample::Index>(),
        ) {
            let chunk = chunk(len);
            let piece = chunk.pieces[7].bytes();
            let first = first % groups(piece.len());
            let range = range(first, count.min(groups(piece.len()) - first));
            let slice = cut(piece, range).expect("such groups");
            let verified = verify(&chunk.descriptor, 7, range, &slice).expect("true");
            prop_assert_eq!(&verified.bytes()[..], &piece[range.bytes(piece.len())]);
            let mut flipped = slice.to_vec();
            flipped[at.index(slice.len())] ^= 1 << (len % 8);
            prop_assert!(verify(&chunk.descriptor, 7, range, &flipped).is_err());
            prop_assert!(verify(&chunk.descriptor, 7, range, &slice[..at.index(slice.len())]).is_err());
        }
    }
}
