//! What a root chunk decodes to: the file's bytes themselves, the list of its chunks (of one size, or uneven: see
//! `uneven`), the entries of a folder, or any of these sealed. The encoding is canonical and so is the choice of form but
//! for that of chunks, so that the same bytes cut alike give the same CID anywhere. A single file's name, times and mode
//! are in no manifest.

use bytes::Bytes;
use dsn_proto as proto;
use prost::Message;
use thiserror::Error;

use crate::{
    chunk::Layout,
    folder::{Folder, Secrecy},
    hash::ChunkId,
    limits::{CHUNK_MAX_BYTES, INLINE_MAX_BYTES, LIST_MAX_LEVEL, MANIFEST_MAX_BYTES},
    sealed::Sealed,
    uneven::UnevenList,
    wire::{WireError, check, check_version, decode_canonical},
};

/// Bytes of a chunk id.
const ID_BYTES: u64 = 32;

/// A root chunk's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Manifest {
    /// The file itself: exactly when it has at most [`INLINE_MAX_BYTES`].
    Inline(Bytes),
    /// Where the file's bytes are.
    List(ChunkList),
    /// The same of a file in chunks of uneven lengths.
    Uneven(UnevenList),
    /// A folder.
    Folder(Folder),
    /// What only a key opens.
    Sealed(Sealed),
}

/// Names chunks whose content, joined, is the file (level 0) or the ids of the level below (level 1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkList {
    level: u32,
    total_len: u64,
    ids: Bytes,
}

/// A manifest that cannot be what our own encoder made.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("malformed manifest: {0}")]
pub struct ManifestError(#[from] pub WireError);

/// A file too long even for the highest level.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{total_len} bytes are more than a manifest can name")]
pub struct TooLongError {
    /// Bytes of the file.
    pub total_len: u64,
}

impl ChunkList {
    /// Names the chunks of a file of `total_len` bytes; `ids` are the raw ids at `level`, 32 bytes each.
    ///
    /// # Panics
    /// When the number of ids does not fit the length.
    pub fn new(level: u32, total_len: u64, ids: Bytes) -> Self {
        let list = Self { level, total_len, ids };
        list.validate().expect("as many ids as the length asks for, at the level it asks for");
        list
    }

    /// 0: the chunks hold the file's bytes. 1: they hold the raw ids of level 0.
    pub fn level(&self) -> u32 {
        self.level
    }

    /// Bytes of the file.
    pub fn total_len(&self) -> u64 {
        self.total_len
    }

    /// Bytes that the named chunks hold together: the file, or the ids of the level below.
    pub fn content_len(&self) -> u64 {
        content_len(self.level, self.total_len)
    }

    /// The chunks, in order.
    pub fn ids(&self) -> impl ExactSizeIterator<Item = ChunkId> + '_ {
        ids(&self.ids)
    }

    fn validate(&self) -> Result<(), WireError> {
        check(self.total_len > INLINE_MAX_BYTES as u64, "total_len")?;
        check(level_for(self.total_len) == Ok(self.level), "level")?;
        let ids = Layout::even(self.content_len()).count().checked_mul(ID_BYTES);
        check(ids == Some(self.ids.len() as u64), "ids")
    }
}

/// The chunk ids in a level's raw bytes, in order; a rest shorter than an id is left out.
pub fn ids(raw: &[u8]) -> impl ExactSizeIterator<Item = ChunkId> + '_ {
    raw.as_chunks::<32>().0.iter().map(|id| ChunkId::from_slice(id).expect("32 bytes"))
}

fn content_len(level: u32, total_len: u64) -> u64 {
    (0..level).fold(total_len, |len, _| Layout::even(len).count() * ID_BYTES)
}

fn message_of_list(level: u32, total_len: u64, ids: Bytes) -> proto::Manifest {
    let chunk_size = u32::try_from(CHUNK_MAX_BYTES).expect("16 MiB");
    let list = proto::ChunkList { level, total_len, chunk_size, ids };
    proto::Manifest { version: 1, body: Some(proto::manifest::Body::List(list)) }
}

/// The level of the list that names a file's chunks: the lowest whose encoding fits a manifest.
///
/// # Errors
/// When none does.
pub fn level_for(total_len: u64) -> Result<u32, TooLongError> {
    let fits = |level: &u32| {
        let frame = message_of_list(*level, total_len, Bytes::new()).encoded_len() as u64;
        // The ids' field and the list's own length grow by at most 8 bytes with their content.
        let ids = Layout::even(content_len(*level, total_len)).count().saturating_mul(ID_BYTES);
        frame.saturating_add(8).saturating_add(ids) <= MANIFEST_MAX_BYTES as u64
    };
    (0..=LIST_MAX_LEVEL).find(fits).ok_or(TooLongError { total_len })
}

impl Manifest {
    /// The canonical encoding: what the root chunk holds.
    pub fn encode(&self) -> Bytes {
        let message = match self {
            Self::Inline(bytes) => {
                proto::Manifest { version: 1, body: Some(proto::manifest::Body::Inline(bytes.clone())) }
            }
            Self::List(list) => message_of_list(list.level, list.total_len, list.ids.clone()),
            Self::Uneven(list) => {
                proto::Manifest { version: 1, body: Some(proto::manifest::Body::Uneven(list.to_message())) }
            }
            Self::Folder(folder) => {
                proto::Manifest { version: 1, body: Some(proto::manifest::Body::Folder(folder.to_message())) }
            }
            Self::Sealed(sealed) => {
                proto::Manifest { version: 1, body: Some(proto::manifest::Body::Sealed(sealed.to_message())) }
            }
        };
        message.encode_to_vec().into()
    }

    /// Reads the canonical encoding.
    ///
    /// # Errors
    /// [`ManifestError`] when a byte is not as our encoder would have written it.
    pub fn decode(encoded: &Bytes) -> Result<Self, ManifestError> {
        let message: proto::Manifest = decode_canonical(encoded, MANIFEST_MAX_BYTES)?;
        check_version(message.version)?;
        match message.body.ok_or(WireError::Field { field: "body" })? {
            proto::manifest::Body::Inline(bytes) => {
                check(bytes.len() <= INLINE_MAX_BYTES, "inline")?;
                Ok(Self::Inline(bytes))
            }
            proto::manifest::Body::List(list) => {
                check(usize::try_from(list.chunk_size) == Ok(CHUNK_MAX_BYTES), "chunk_size")?;
                let list = ChunkList { level: list.level, total_len: list.total_len, ids: list.ids };
                list.validate()?;
                Ok(Self::List(list))
            }
            proto::manifest::Body::Uneven(list) => Ok(Self::Uneven(UnevenList::from_message(list)?)),
            proto::manifest::Body::Folder(folder) => {
                let manifest = Self::Folder(Folder::from_message(Secrecy::Public, folder)?);
                // What a leaf says can be said in several ways; one of them is ours.
                if manifest.encode() == *encoded { Ok(manifest) } else { Err(WireError::NotCanonical.into()) }
            }
            proto::manifest::Body::Sealed(sealed) => Ok(Self::Sealed(Sealed::from_message(sealed)?)),
        }
    }

    /// Bytes of the file, or of all files of the folder.
    pub fn total_len(&self) -> u64 {
        match self {
            Self::Inline(bytes) => bytes.len() as u64,
            Self::List(list) => list.total_len,
            Self::Uneven(list) => list.total_len(),
            Self::Folder(folder) => folder.total_len,
            Self::Sealed(sealed) => sealed.total_len,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing;

    fn list(total_len: u64) -> Manifest {
        let level = level_for(total_len).expect("fits");
        let ids = usize::try_from(Layout::even(content_len(level, total_len)).count() * ID_BYTES).expect("fits memory");
        Manifest::List(ChunkList::new(level, total_len, vec![7; ids].into()))
    }

    #[test]
    fn both_forms_round_trip_at_their_edges() {
        const TIB: u64 = 1 << 40;
        let long = [INLINE_MAX_BYTES as u64 + 1, 1 << 24, (1 << 24) + 1, 30 << 30, 40 << 30, 100 * TIB, 15_000 * TIB];
        let short = [0, 1, INLINE_MAX_BYTES].map(|len| Manifest::Inline(vec![9; len].into()));
        for manifest in short.into_iter().chain(long.map(list)) {
            let encoded = manifest.encode();
            assert!(encoded.len() <= MANIFEST_MAX_BYTES, "{} bytes", encoded.len());
            assert_eq!(Manifest::decode(&encoded), Ok(manifest));
        }
    }

    #[test]
    fn the_level_is_not_a_choice() {
        assert_eq!(level_for(30 << 30), Ok(0));
        assert_eq!(level_for(40 << 30), Ok(1));
        assert!(level_for(u64::MAX).is_err());
        let wrong = message_of_list(1, 1 << 30, vec![0; 32].into()).encode_to_vec();
        assert_eq!(Manifest::decode(&wrong.into()), Err(ManifestError(WireError::Field { field: "level" })));
        let deep = message_of_list(2, 1 << 40, vec![0; 32].into()).encode_to_vec();
        assert!(Manifest::decode(&deep.into()).is_err());
    }

    #[test]
    fn what_our_encoder_would_not_write_is_malformed() {
        let refused = |bytes: Vec<u8>| Manifest::decode(&bytes.into()).expect_err("malformed").to_string();
        let billion = message_of_list(0, 1_000_000_000 << 24, vec![0; 64].into()).encode_to_vec();
        assert!(refused(billion).starts_with("malformed manifest: "));
        let short = message_of_list(0, 60_000, vec![0; 32].into()).encode_to_vec();
        assert_eq!(refused(short), "malformed manifest: field total_len has an invalid value");
        let mut trailing = list(1 << 25).encode().to_vec();
        trailing.push(0);
        refused(trailing);
        let mut unknown = list(1 << 25).encode().to_vec();
        unknown.extend([0x78, 1]);
        assert!(refused(unknown).contains("canonical"));
        let inline = proto::manifest::Body::Inline(vec![0; INLINE_MAX_BYTES + 1].into());
        refused(proto::Manifest { version: 1, body: Some(inline) }.encode_to_vec());
        refused(vec![0; MANIFEST_MAX_BYTES + 1]);
        refused(vec![]);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic_and_decode_to_themselves(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let bytes = Bytes::from(bytes);
            if let Ok(manifest) = Manifest::decode(&bytes) {
                prop_assert_eq!(manifest.encode(), bytes);
            }
        }

        #[test]
        fn a_flipped_bit_gives_another_manifest_or_none(
            manifest in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..2000).prop_map(|bytes| Manifest::Inline(bytes.into())),
                (65_537u64..20 << 40).prop_map(list),
            ],
            bit: prop::sample::Index,
        ) {
            let flipped = testing::flipped(&manifest.encode(), bit);
            if let Ok(other) = Manifest::decode(&flipped) {
                prop_assert_ne!(&other, &manifest);
                prop_assert_eq!(other.encode(), flipped);
            }
        }
    }
}
