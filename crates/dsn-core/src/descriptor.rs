//! What a chunk is made of: its code, its lengths and the hash of every piece. The descriptor's own hash is the chunk's
//! id, so whoever has the id can tell a true descriptor, and whoever has that can tell a true piece. Not here: who holds
//! the pieces (that changes; see `locator`).

use bytes::Bytes;
use dsn_proto as proto;
use prost::Message;

use crate::{
    hash::{ChunkId, Hash},
    index_set::IndexSet,
    limits::{CHUNK_MAX_BYTES, DATA_PIECES, DESCRIPTOR_MAX_BYTES, MANIFEST_MAX_BYTES, PIECE_ALIGN_BYTES, TOTAL_PIECES},
    wire::{WireError, check, check_version, decode_canonical},
};

/// How a chunk becomes pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    /// 16 data and 32 parity pieces over GF(2^8), systematic; any 16 rebuild the chunk.
    Rs16Of48,
    /// Every copy is piece 0, the chunk itself. For root chunks only.
    Rep,
}

impl Code {
    /// Pieces the descriptor commits to: `n`.
    pub fn total(self) -> usize {
        match self {
            Self::Rs16Of48 => TOTAL_PIECES,
            Self::Rep => 1,
        }
    }

    /// Pieces that rebuild the chunk: `k`.
    pub fn needed(self) -> usize {
        match self {
            Self::Rs16Of48 => DATA_PIECES,
            Self::Rep => 1,
        }
    }

    /// Most plaintext bytes of one chunk.
    pub fn max_chunk_len(self) -> usize {
        match self {
            Self::Rs16Of48 => CHUNK_MAX_BYTES,
            Self::Rep => MANIFEST_MAX_BYTES,
        }
    }

    /// Bytes of each piece of a chunk of `chunk_len` bytes.
    pub fn piece_len(self, chunk_len: usize) -> usize {
        match self {
            Self::Rs16Of48 => chunk_len.div_ceil(DATA_PIECES).next_multiple_of(PIECE_ALIGN_BYTES),
            Self::Rep => chunk_len,
        }
    }

    fn number(self) -> u32 {
        match self {
            Self::Rs16Of48 => 1,
            Self::Rep => 2,
        }
    }

    fn from_number(found: u32) -> Result<Self, WireError> {
        match found {
            1 => Ok(Self::Rs16Of48),
            2 => Ok(Self::Rep),
            _ => Err(WireError::Unknown { what: "code", found }),
        }
    }
}

/// A valid chunk descriptor and its id. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    id: ChunkId,
    code: Code,
    chunk_len: usize,
    piece_hashes: Bytes,
    encoded: Bytes,
}

impl Descriptor {
    /// Describes a chunk of `chunk_len` bytes whose pieces have these hashes.
    ///
    /// # Panics
    /// When the number of hashes or the length does not fit the code.
    pub fn new(code: Code, chunk_len: usize, piece_hashes: &[Hash]) -> Self {
        assert_eq!(piece_hashes.len(), code.total(), "one hash a piece");
        assert!((1..=code.max_chunk_len()).contains(&chunk_len), "{chunk_len} bytes are no chunk");
        let piece_hashes: Bytes = piece_hashes.iter().flat_map(|h| h.0).collect();
        let number = |n: usize| u32::try_from(n).expect("a chunk is at most 16 MiB");
        let message = proto::Descriptor {
            version: 1,
            code: code.number(),
            chunk_len: number(chunk_len),
            piece_len: number(code.piece_len(chunk_len)),
            piece_hashes: piece_hashes.clone(),
        };
        let encoded = Bytes::from(message.encode_to_vec());
        Self { id: ChunkId(Hash::of(&encoded)), code, chunk_len, piece_hashes, encoded }
    }

    /// Reads the canonical encoding.
    ///
    /// # Errors
    /// When a byte of it is not as the format says.
    pub fn decode(encoded: &Bytes) -> Result<Self, WireError> {
        let message: proto::Descriptor = decode_canonical(encoded, DESCRIPTOR_MAX_BYTES)?;
        check_version(message.version)?;
        let code = Code::from_number(message.code)?;
        let chunk_len = usize::try_from(message.chunk_len).unwrap_or(usize::MAX);
        check((1..=code.max_chunk_len()).contains(&chunk_len), "chunk_len")?;
        check(usize::try_from(message.piece_len) == Ok(code.piece_len(chunk_len)), "piece_len")?;
        check(message.piece_hashes.len() == code.total() * 32, "piece_hashes")?;
        let id = ChunkId(Hash::of(encoded));
        Ok(Self { id, code, chunk_len, piece_hashes: message.piece_hashes, encoded: encoded.clone() })
    }

    /// The chunk's id.
    pub fn id(&self) -> ChunkId {
        self.id
    }

    /// The code.
    pub fn code(&self) -> Code {
        self.code
    }

    /// Plaintext bytes of the chunk.
    pub fn chunk_len(&self) -> usize {
        self.chunk_len
    }

    /// Bytes of each piece.
    pub fn piece_len(&self) -> usize {
        self.code.piece_len(self.chunk_len)
    }

    /// Every index a piece of this chunk can have.
    pub fn all_indices(&self) -> IndexSet {
        IndexSet::below(self.code.total())
    }

    /// The committed hash of a piece; none when there is no such index.
    pub fn piece_hash(&self, index: u8) -> Option<Hash> {
        let start = usize::from(index) * 32;
        self.piece_hashes.get(start..start + 32).and_then(Hash::from_slice)
    }

    /// The canonical encoding.
    pub fn encoded(&self) -> &Bytes {
        &self.encoded
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing;

    fn message() -> proto::Descriptor {
        let hashes = [Hash::of(b"piece"); TOTAL_PIECES];
        let valid = Descriptor::new(Code::Rs16Of48, 1_000_000, &hashes);
        proto::Descriptor::decode(valid.encoded().clone()).expect("our own encoding")
    }

    fn refused(change: impl FnOnce(&mut proto::Descriptor)) -> WireError {
        let mut changed = message();
        change(&mut changed);
        Descriptor::decode(&changed.encode_to_vec().into()).expect_err("a changed descriptor")
    }

    #[test]
    fn the_encoding_round_trips() {
        let encoded = Bytes::from(message().encode_to_vec());
        let descriptor = Descriptor::decode(&encoded).expect("valid");
        assert_eq!(descriptor.encoded(), &encoded);
        assert_eq!(descriptor.piece_len(), 62_528);
        assert_eq!(descriptor.piece_hash(47), Some(Hash::of(b"piece")));
        assert_eq!(descriptor.piece_hash(48), None);
    }

    #[test]
    fn lengths_and_codes_that_do_not_fit_are_refused() {
        assert_eq!(refused(|m| m.version = 2), WireError::Unknown { what: "version", found: 2 });
        assert_eq!(refused(|m| m.code = 3), WireError::Unknown { what: "code", found: 3 });
        assert_eq!(refused(|m| m.code = 0), WireError::Unknown { what: "code", found: 0 });
        for len in [0, 16 * 1024 * 1024 + 1, u32::MAX] {
            assert_eq!(refused(|m| m.chunk_len = len), WireError::Field { field: "chunk_len" });
        }
        for len in [0, 62_527, 62_592, u32::MAX] {
            assert_eq!(refused(|m| m.piece_len = len), WireError::Field { field: "piece_len" });
        }
        assert_eq!(
            refused(|m| m.piece_hashes = m.piece_hashes.slice(32..)),
            WireError::Field { field: "piece_hashes" }
        );
        let huge = Bytes::from(vec![0; DESCRIPTOR_MAX_BYTES + 1]);
        assert!(matches!(Descriptor::decode(&huge), Err(WireError::TooLong { .. })));
    }

    #[test]
    fn only_the_canonical_encoding_is_accepted() {
        let mut encoded = message().encode_to_vec();
        encoded.extend([0x78, 0x01]); // field 15, varint 1
        assert_eq!(Descriptor::decode(&encoded.into()), Err(WireError::NotCanonical));
    }

    proptest! {
        #[test]
        fn bytes_that_come_close_decode_to_themselves_or_not_at_all(
            bytes in testing::spoiled(testing::descriptor().prop_map(|d| d.encoded().clone())),
        ) {
            if let Ok(descriptor) = Descriptor::decode(&bytes) {
                let hashes: Vec<Hash> = (0u8..48).map_while(|index| descriptor.piece_hash(index)).collect();
                let again = Descriptor::new(descriptor.code(), descriptor.chunk_len(), &hashes);
                prop_assert_eq!(again.encoded(), &bytes);
            }
        }

        #[test]
        fn a_flipped_bit_gives_another_chunk_or_none(descriptor in testing::descriptor(), bit: prop::sample::Index) {
            let flipped = testing::flipped(descriptor.encoded(), bit);
            if let Ok(other) = Descriptor::decode(&flipped) {
                prop_assert_ne!(other.id(), descriptor.id());
                prop_assert_eq!(other.encoded(), &flipped);
            }
        }
    }
}
