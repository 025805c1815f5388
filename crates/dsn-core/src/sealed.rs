//! The manifest of a sealed file or folder. In clear are lengths, the names of all chunks and a commitment to the key: with
//! them alone anybody can find, audit, repair and count it. Sealed are the keys of its chunks, and of a folder all names.

use bytes::Bytes;
use dsn_proto as proto;
use prost::Message;

use crate::{
    chunk::Layout,
    descriptor::Code,
    folder::{Folder, Secrecy},
    hash::ChunkId,
    limits::{INLINE_MAX_BYTES, MANIFEST_MAX_BYTES, SEAL_TAG_BYTES, SEALED_CHUNK_BYTES, SEALED_INLINE_MAX_BYTES},
    manifest::ids,
    seal::Key,
    uneven::{check_rows, row, rows},
    wire::{WireError, check, decode_bounded},
};

/// Bytes of a reference: a code and a chunk id.
pub const REF_BYTES: usize = 33;

const RS_16_OF_48: u8 = 0;
const REP: u8 = 1;

/// What the root chunk of something sealed decodes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Bytes of the file, or of all files of the folder.
    pub total_len: u64,
    /// To the key: see [`Key::commitment`].
    pub commitment: [u8; 32],
    /// Chunks that the references name.
    pub chunks: u64,
    /// The references: of a file its chunks in order, of a folder everything in it, sorted.
    pub refs: Part,
    /// Bytes of the sealed body.
    pub body_len: u64,
    /// The sealed body.
    pub body: Part,
}

/// Bytes of a manifest that may be too long for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Here.
    Here(Bytes),
    /// The raw ids of the chunks, 32 bytes each, whose content joined is it. Their code is `rs16/48`.
    Chunks(Bytes),
}

/// What a sealed body opens to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SealedBody {
    /// A file of at most [`INLINE_MAX_BYTES`].
    Inline(Bytes),
    /// The keys of a file's chunks.
    Keys(Vec<Key>),
    /// The keys and lengths of a file's chunks, when they are uneven.
    Uneven(Vec<(Key, u64)>),
    /// A folder.
    Folder(Folder),
}

/// Whether the references and the sealed body are to be in chunks, by their lengths.
pub fn in_chunks(refs_len: usize, body_len: usize) -> [bool; 2] {
    let is_short = refs_len + body_len <= SEALED_INLINE_MAX_BYTES;
    [refs_len, body_len].map(|len| !is_short && len > SEALED_INLINE_MAX_BYTES / 2)
}

/// A reference to a chunk.
pub fn reference(code: Code, chunk: ChunkId) -> [u8; REF_BYTES] {
    let mut bytes = [0; REF_BYTES];
    bytes[0] = match code {
        Code::Rs16Of48 => RS_16_OF_48,
        Code::Rep => REP,
    };
    bytes[1..].copy_from_slice(chunk.as_bytes());
    bytes
}

/// Reads references.
///
/// # Errors
/// When one has no code that is known, or the last is cut off.
pub fn references(raw: &[u8]) -> Result<Vec<(ChunkId, Code)>, WireError> {
    let (refs, rest) = raw.as_chunks::<REF_BYTES>();
    check(rest.is_empty(), "refs")?;
    let read = |bytes: &[u8; REF_BYTES]| {
        let code = match bytes[0] {
            RS_16_OF_48 => Code::Rs16Of48,
            REP => Code::Rep,
            _ => return Err(WireError::Field { field: "refs" }),
        };
        Ok((ChunkId::from_slice(&bytes[1..]).expect("32 bytes"), code))
    };
    refs.iter().map(read).collect()
}

impl Part {
    /// Bytes in clear, and names of chunks.
    fn split(&self) -> (Bytes, Bytes) {
        match self {
            Self::Here(bytes) => (bytes.clone(), Bytes::new()),
            Self::Chunks(ids) => (Bytes::new(), ids.clone()),
        }
    }

    fn of(here: Bytes, chunks: Bytes, len: u64, is_in_chunks: bool, field: &'static str) -> Result<Self, WireError> {
        if is_in_chunks {
            check(here.is_empty() && Some(chunks.len() as u64) == Layout::even(len).count().checked_mul(32), field)?;
            return Ok(Self::Chunks(chunks));
        }
        check(chunks.is_empty() && here.len() as u64 == len, field)?;
        Ok(Self::Here(here))
    }

    /// The chunks that it is in.
    pub fn chunks(&self) -> Vec<ChunkId> {
        match self {
            Self::Here(_) => Vec::new(),
            Self::Chunks(raw) => ids(raw).collect(),
        }
    }
}

impl Sealed {
    /// Bytes of all references.
    pub fn refs_len(&self) -> u64 {
        self.chunks * REF_BYTES as u64
    }

    pub(crate) fn to_message(&self) -> proto::Sealed {
        let ((refs, refs_in), (body, body_in)) = (self.refs.split(), self.body.split());
        proto::Sealed {
            total_len: self.total_len,
            commitment: Bytes::copy_from_slice(&self.commitment),
            chunks: self.chunks,
            refs,
            refs_in,
            body_len: self.body_len,
            body,
            body_in,
        }
    }

    pub(crate) fn from_message(message: proto::Sealed) -> Result<Self, WireError> {
        let commitment = message.commitment[..].try_into().map_err(|_| WireError::Field { field: "commitment" })?;
        let refs_len = message.chunks.checked_mul(REF_BYTES as u64).ok_or(WireError::Field { field: "chunks" })?;
        check(message.body_len >= SEAL_TAG_BYTES as u64, "body_len")?;
        let bounded = |len: u64| usize::try_from(len).unwrap_or(usize::MAX / 4).min(usize::MAX / 4);
        let [refs_out, body_out] = in_chunks(bounded(refs_len), bounded(message.body_len));
        let refs = Part::of(message.refs, message.refs_in, refs_len, refs_out, "refs")?;
        if let Part::Here(refs) = &refs {
            references(refs)?;
        }
        let body = Part::of(message.body, message.body_in, message.body_len, body_out, "body")?;
        let (total_len, chunks, body_len) = (message.total_len, message.chunks, message.body_len);
        Ok(Self { total_len, commitment, chunks, refs, body_len, body })
    }
}

impl SealedBody {
    /// The bytes that are sealed.
    pub fn encode(&self) -> Bytes {
        let content = match self {
            Self::Inline(bytes) => proto::sealed_body::Content::Inline(bytes.clone()),
            Self::Keys(keys) => {
                let raw: Vec<u8> = keys.iter().flat_map(|key| *key.as_bytes()).collect();
                proto::sealed_body::Content::Keys(raw.into())
            }
            Self::Uneven(chunks) => {
                let raw: Vec<u8> = chunks.iter().flat_map(|(key, len)| row(key.as_bytes(), *len)).collect();
                proto::sealed_body::Content::Uneven(raw.into())
            }
            Self::Folder(folder) => proto::sealed_body::Content::Folder(folder.to_message()),
        };
        proto::SealedBody { content: Some(content) }.encode_to_vec().into()
    }

    /// Reads what a sealed body has opened to; `manifest` is where it was.
    ///
    /// # Errors
    /// When a byte is not as our encoder would have written it, or it does not belong to this manifest.
    pub fn decode(manifest: &Sealed, opened: &Bytes) -> Result<Self, WireError> {
        let max = usize::try_from(manifest.body_len).unwrap_or(usize::MAX);
        let message: proto::SealedBody = decode_bounded(opened, max)?;
        let body = match message.content.ok_or(WireError::Field { field: "content" })? {
            proto::sealed_body::Content::Inline(bytes) => {
                check(bytes.len() <= INLINE_MAX_BYTES && bytes.len() as u64 == manifest.total_len, "inline")?;
                check(manifest.chunks == 0, "chunks")?;
                Self::Inline(bytes)
            }
            proto::sealed_body::Content::Keys(raw) => {
                let (keys, rest) = raw.as_chunks::<32>();
                let count = Layout::sealed(manifest.total_len).count();
                check(rest.is_empty() && keys.len() as u64 == count && manifest.chunks == count, "keys")?;
                check(manifest.total_len > INLINE_MAX_BYTES as u64, "total_len")?;
                Self::Keys(keys.iter().map(|key| Key::new(*key)).collect())
            }
            proto::sealed_body::Content::Uneven(raw) => {
                check_rows(&raw, manifest.chunks, manifest.total_len, SEALED_CHUNK_BYTES as u64)?;
                check(manifest.total_len > INLINE_MAX_BYTES as u64, "total_len")?;
                Self::Uneven(rows(&raw).map(|(key, len)| (Key::new(*key), len)).collect())
            }
            proto::sealed_body::Content::Folder(folder) => {
                let folder = Folder::from_message(Secrecy::Sealed, folder)?;
                check(folder.total_len == manifest.total_len, "total_len")?;
                Self::Folder(folder)
            }
        };
        if body.encode() == *opened { Ok(body) } else { Err(WireError::NotCanonical) }
    }
}

const _: () = assert!(SEALED_INLINE_MAX_BYTES + 2 * 1024 <= MANIFEST_MAX_BYTES, "the other fields fit too");
const _: () = assert!(INLINE_MAX_BYTES + 2 * SEAL_TAG_BYTES + 64 <= SEALED_INLINE_MAX_BYTES, "a short file stays here");

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::{
        manifest::Manifest,
        seal::{open, seal, sealed_len},
        testing,
    };

    fn sealed(body: &SealedBody, total_len: u64, refs: &[u8]) -> Sealed {
        let key = Key::new([7; 32]);
        let body = seal(&key, &body.encode()).freeze();
        let part = |bytes: Bytes, out: bool| {
            let ids = vec![5; usize::try_from(Layout::even(bytes.len() as u64).count()).expect("small") * 32];
            if out { Part::Chunks(ids.into()) } else { Part::Here(bytes) }
        };
        let [refs_out, body_out] = in_chunks(refs.len(), body.len());
        Sealed {
            total_len,
            commitment: key.commitment(),
            chunks: (refs.len() / REF_BYTES) as u64,
            refs: part(Bytes::copy_from_slice(refs), refs_out),
            body_len: body.len() as u64,
            body: part(body, body_out),
        }
    }

    fn file(chunks: usize) -> (Sealed, SealedBody) {
        let body = SealedBody::Keys(vec![Key::new([1; 32]); chunks]);
        let refs = reference(Code::Rs16Of48, ChunkId::from_slice(&[3; 32]).expect("32 bytes")).repeat(chunks);
        let total_len = (chunks * SEALED_CHUNK_BYTES) as u64;
        (sealed(&body, total_len, &refs), body)
    }

    #[test]
    fn manifests_of_any_length_fit_and_round_trip() {
        for chunks in [1, 2, 900, 1020, 1030, 5000, 100_000] {
            let (manifest, body) = file(chunks);
            let encoded = Manifest::Sealed(manifest.clone()).encode();
            assert!(encoded.len() <= MANIFEST_MAX_BYTES, "{chunks}: {} bytes", encoded.len());
            assert_eq!(Manifest::decode(&encoded), Ok(Manifest::Sealed(manifest.clone())));
            assert_eq!(SealedBody::decode(&manifest, &body.encode()), Ok(body));
        }
        for len in [0, 1, INLINE_MAX_BYTES] {
            let body = SealedBody::Inline(vec![9; len].into());
            let manifest = sealed(&body, len as u64, &[]);
            let encoded = Manifest::Sealed(manifest.clone()).encode();
            assert_eq!(Manifest::decode(&encoded), Ok(Manifest::Sealed(manifest.clone())));
            let Part::Here(here) = &manifest.body else { panic!("a short file is here") };
            let opened = open(&Key::new([7; 32]), here).expect("the key").freeze();
            assert_eq!(SealedBody::decode(&manifest, &opened), Ok(body));
        }
    }

    fn uneven(lens: &[u64]) -> (Sealed, SealedBody) {
        let body = SealedBody::Uneven(lens.iter().map(|len| (Key::new([1; 32]), *len)).collect());
        let refs = reference(Code::Rs16Of48, ChunkId::from_slice(&[3; 32]).expect("32 bytes")).repeat(lens.len());
        (sealed(&body, lens.iter().sum(), &refs), body)
    }

    #[test]
    fn lengths_of_uneven_chunks_are_read_as_they_were_sealed() {
        const MAX: u64 = SEALED_CHUNK_BYTES as u64;
        for lens in [vec![65_537], vec![MAX, 1, MAX], vec![1_000_000; 3_000]] {
            let (manifest, body) = uneven(&lens);
            assert_eq!(SealedBody::decode(&manifest, &body.encode()), Ok(body));
        }
        let roomy = Sealed { body_len: 1000, ..uneven(&[MAX, 1]).0 };
        for other in [vec![MAX + 1], vec![MAX + 1, 0], vec![MAX, 2], vec![MAX, 1, 0], vec![u64::MAX, MAX + 2]] {
            let body = SealedBody::Uneven(other.iter().map(|len| (Key::new([1; 32]), *len)).collect());
            let decoded = SealedBody::decode(&roomy, &body.encode());
            assert_eq!(decoded, Err(WireError::Field { field: "rows" }), "{other:?}");
        }
        let (manifest, body) = uneven(&[40_000, 20_000]);
        assert_eq!(SealedBody::decode(&manifest, &body.encode()), Err(WireError::Field { field: "total_len" }));
    }

    #[test]
    fn a_body_that_belongs_to_another_manifest_is_refused() {
        let (manifest, body) = file(3);
        let other = Sealed { total_len: manifest.total_len + 1, ..manifest.clone() };
        assert!(SealedBody::decode(&other, &body.encode()).is_err(), "one more chunk");
        let short = SealedBody::Inline(Bytes::from_static(b"short"));
        assert!(SealedBody::decode(&manifest, &short.encode()).is_err());
        let mut message = manifest.to_message();
        message.refs_in = Bytes::from_static(&[0; 32]);
        assert!(Sealed::from_message(message).is_err(), "twice");
        let message = proto::Sealed { chunks: u64::MAX, ..manifest.to_message() };
        assert!(Sealed::from_message(message).is_err());
        let message = proto::Sealed { body_len: u64::MAX, ..manifest.to_message() };
        assert!(Sealed::from_message(message).is_err());
        assert_eq!(sealed_len(0), 16);
    }

    proptest! {
        #[test]
        fn a_flipped_bit_gives_another_manifest_or_none(chunks in 1usize..40, bit: prop::sample::Index) {
            let manifest = Manifest::Sealed(file(chunks).0);
            let flipped = testing::flipped(&manifest.encode(), bit);
            if let Ok(other) = Manifest::decode(&flipped) {
                prop_assert_ne!(&other, &manifest);
                prop_assert_eq!(other.encode(), flipped);
            }
        }

        #[test]
        fn arbitrary_bodies_never_panic(bytes in vec(any::<u8>(), 0..300)) {
            let bytes = Bytes::from(bytes);
            if let Ok(body) = SealedBody::decode(&file(2).0, &bytes) {
                prop_assert_eq!(body.encode(), bytes);
            }
        }
    }
}
