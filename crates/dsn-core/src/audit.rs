//! Proof that a farmer has a piece: a slice of one group of it (see `slice`). Since the bytes themselves come back, nothing
//! can be made up. Not here: whom to audit when, and what follows from the answer.
//!
//! A slice proves that whoever answers can get at the piece now, not that no two farmers share one copy.

use bytes::Bytes;
use thiserror::Error;

use crate::{
    descriptor::Descriptor,
    hash::ChunkId,
    limits::AUDIT_GROUP_BYTES,
    slice::{self, GroupRange},
};

pub use crate::slice::groups;

/// Bytes of the longest slice of an audit: a group, and two hashes for each of at most six halvings of 1 MiB.
pub const SLICE_MAX_BYTES: usize = AUDIT_GROUP_BYTES + 6 * 64;

/// One group of one piece to be proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AuditItem {
    /// The chunk.
    pub chunk: ChunkId,
    /// The piece.
    pub index: u8,
    /// The group, counted from the piece's start.
    pub group: u32,
}

/// Why a slice proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AuditError {
    /// The chunk has no such piece, or the piece no such group.
    #[error("piece {index} has no group {group}")]
    NoSuchGroup {
        /// The piece.
        index: u8,
        /// The group.
        group: u32,
    },
    /// The bytes are not those of the piece.
    #[error("the slice is not of piece {index}")]
    WrongBytes {
        /// The piece.
        index: u8,
    },
}

/// The slice of a group of a piece; none when the piece has no such group or its bytes are not what they were.
pub fn slice(piece: &Bytes, group: u32) -> Option<Bytes> {
    slice::cut(piece, GroupRange::new(group, 1)?)
}

/// Checks a slice against the descriptor of the item's chunk.
///
/// # Errors
/// See [`AuditError`].
pub fn verify(descriptor: &Descriptor, item: AuditItem, slice: &[u8]) -> Result<(), AuditError> {
    let AuditItem { index, group, .. } = item;
    let no_such_group = AuditError::NoSuchGroup { index, group };
    let range = GroupRange::new(group, 1).ok_or(no_such_group)?;
    match slice::verify(descriptor, index, range, slice) {
        Ok(_) => Ok(()),
        Err(slice::SliceError::NoSuchGroups { .. }) => Err(no_such_group),
        Err(slice::SliceError::WrongBytes { index }) => Err(AuditError::WrongBytes { index }),
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use proptest::prelude::*;

    use super::*;
    use crate::{descriptor::Code, erasure::encode};

    fn piece(len: usize) -> (Descriptor, Bytes) {
        let chunk: BytesMut = (0..len).map(|i| u8::try_from(i % 251).expect("small")).collect();
        let encoded = encode(Code::Rs16Of48, chunk);
        (encoded.descriptor, encoded.pieces[3].bytes().clone())
    }

    fn item(descriptor: &Descriptor, group: u32) -> AuditItem {
        AuditItem { chunk: descriptor.id(), index: 3, group }
    }

    #[test]
    fn every_group_of_pieces_of_all_lengths_is_proved() {
        for len in [1, 64 * 16, 16 * 16_384, 16 * 16_384 + 1, 3_000_000, 16 << 20] {
            let (descriptor, piece) = piece(len);
            for group in 0..groups(piece.len()) {
                let slice = slice(&piece, group).expect("a group");
                assert!(slice.len() <= SLICE_MAX_BYTES, "{} bytes", slice.len());
                assert_eq!(verify(&descriptor, item(&descriptor, group), &slice), Ok(()), "{len} {group}");
            }
            let beyond = groups(piece.len());
            assert_eq!(super::slice(&piece, beyond), None);
            let error = AuditError::NoSuchGroup { index: 3, group: beyond };
            assert_eq!(verify(&descriptor, item(&descriptor, beyond), &[]), Err(error));
        }
    }

    #[test]
    fn the_slice_of_another_group_or_piece_proves_nothing() {
        let (descriptor, piece) = piece(1_000_000);
        let slice = slice(&piece, 1).expect("a group");
        let wrong = |index| Err(AuditError::WrongBytes { index });
        assert_eq!(verify(&descriptor, item(&descriptor, 2), &slice), wrong(3));
        assert_eq!(verify(&descriptor, AuditItem { index: 4, ..item(&descriptor, 1) }, &slice), wrong(4));
        assert_eq!(verify(&descriptor, item(&descriptor, 1), &[]), wrong(3));
        assert_eq!(verify(&descriptor, item(&descriptor, 1), &[&slice[..], b"x"].concat()), wrong(3));
    }

    proptest! {
        #[test]
        fn a_flipped_bit_or_a_cut_is_found(len in 1usize..600_000, group in 0u32..3, at in any::<prop::sample::Index>()) {
            let (descriptor, piece) = piece(len);
            let group = group % groups(piece.len());
            let slice = slice(&piece, group).expect("a group");
            let mut flipped = slice.to_vec();
            flipped[at.index(slice.len())] ^= 1 << (len % 8);
            prop_assert!(verify(&descriptor, item(&descriptor, group), &flipped).is_err());
            prop_assert!(verify(&descriptor, item(&descriptor, group), &slice[..at.index(slice.len())]).is_err());
        }

        #[test]
        fn arbitrary_bytes_prove_nothing(bytes in prop::collection::vec(any::<u8>(), 0..40_000), group in 0u32..5) {
            let (descriptor, _) = piece(1_000_000);
            prop_assert!(verify(&descriptor, item(&descriptor, group), &bytes).is_err());
        }
    }
}
