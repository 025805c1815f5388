//! Sealing what only its owner is to read, chunk by chunk, before it is coded: frames of 16 KiB, each with its tag, in the
//! STREAM construction (Hoang, Reyhanitabar, Rogaway, Vizár 2015) with ChaCha20-Poly1305 (RFC 8439). A frame's nonce is
//! seven zero bytes, its number, and whether it is the last, so frames cannot be cut off, moved or swapped.
//!
//! A chunk's key follows from its owner's secret and its bytes, or is drawn: so no key seals two different chunks, and the
//! nonces may repeat from chunk to chunk. One owner's equal chunks are equal sealed; nobody else can tell what they are.
//! ChaCha20-Poly1305 does not commit to its key (one ciphertext can open under two), so manifests carry a commitment.

use std::fmt;

use bytes::{BufMut, BytesMut};
use chacha20poly1305::{
    ChaCha20Poly1305, KeyInit,
    aead::stream::{NewStream, StreamBE32, StreamPrimitive},
};
use thiserror::Error;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::limits::{SEAL_TAG_BYTES, SEALED_FRAME_BYTES};

/// Bytes of a sealed frame but the last.
pub const FRAME_BYTES: usize = SEALED_FRAME_BYTES + SEAL_TAG_BYTES;

const CHUNK_CONTEXT: &str = "dsn 2026 chunk key v1";
const FILE_CONTEXT: &str = "dsn 2026 file key v1";
const CUT_CONTEXT: &str = "dsn 2026 cut seed v1";
const COMMITMENT_CONTEXT: &str = "dsn 2026 key commitment v1";

/// What opens one chunk, or one file. Never printed; gone from memory when it is dropped.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Key([u8; 32]);

/// An owner's secret, from which keys follow. Never printed; gone from memory when it is dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Secret([u8; 32]);

/// Bytes that were not sealed with this key, or are not all of what was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the bytes were sealed with another key, or damaged")]
pub struct OpenError;

impl Key {
    /// Takes 32 bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Takes exactly 32 bytes.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// What a manifest says so that no other key opens it.
    pub fn commitment(&self) -> [u8; 32] {
        blake3::derive_key(COMMITMENT_CONTEXT, &self.0)
    }
}

impl Secret {
    /// Takes 32 random bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The key of a chunk with these bytes.
    pub fn chunk_key(&self, plaintext: &[u8]) -> Key {
        self.key(CHUNK_CONTEXT, plaintext)
    }

    /// The key of a file or folder whose body is this.
    pub fn file_key(&self, body: &[u8]) -> Key {
        self.key(FILE_CONTEXT, body)
    }

    /// By what this owner's sealed files are cut where their content says.
    pub fn cut_seed(&self) -> u64 {
        let seed = Key(blake3::derive_key(CUT_CONTEXT, &self.0));
        u64::from_le_bytes(*seed.0.first_chunk().expect("32 bytes"))
    }

    fn key(&self, context: &str, plaintext: &[u8]) -> Key {
        let mut material = [0; 64];
        material[..32].copy_from_slice(&self.0);
        material[32..].copy_from_slice(blake3::hash(plaintext).as_bytes());
        let key = Key(blake3::derive_key(context, &material));
        material.zeroize();
        key
    }
}

/// Never the key.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// Never the secret.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

fn frames(plaintext_len: usize) -> usize {
    plaintext_len.div_ceil(SEALED_FRAME_BYTES).max(1)
}

/// Bytes of a sealed chunk of so many bytes of plaintext.
pub fn sealed_len(plaintext_len: usize) -> usize {
    plaintext_len + frames(plaintext_len) * SEAL_TAG_BYTES
}

/// Bytes of plaintext in a sealed chunk of so many bytes; none when no chunk has so many.
pub fn opened_len(sealed_len: usize) -> Option<usize> {
    let len = sealed_len.checked_sub(sealed_len.div_ceil(FRAME_BYTES) * SEAL_TAG_BYTES)?;
    (self::sealed_len(len) == sealed_len).then_some(len)
}

fn stream(key: &Key) -> StreamBE32<ChaCha20Poly1305> {
    StreamBE32::from_aead(ChaCha20Poly1305::new((&key.0).into()), &[0; 7].into())
}

/// Seals a chunk.
///
/// # Panics
/// Never: a chunk has few frames.
pub fn seal(key: &Key, plaintext: &[u8]) -> BytesMut {
    let stream = stream(key);
    let last = frames(plaintext.len()) - 1;
    let mut sealed = BytesMut::with_capacity(sealed_len(plaintext.len()));
    let mut frame = Vec::with_capacity(FRAME_BYTES);
    for number in 0..=last {
        let start = number * SEALED_FRAME_BYTES;
        let end = plaintext.len().min(start + SEALED_FRAME_BYTES);
        frame.clear();
        frame.extend_from_slice(&plaintext[start..end]);
        let position = u32::try_from(number).expect("a chunk has few frames");
        stream.encrypt_in_place(position, number == last, b"", &mut frame).expect("a frame is short");
        sealed.put_slice(&frame);
    }
    frame.zeroize();
    sealed
}

/// Opens a chunk.
///
/// # Errors
/// When a bit of it is not as it was sealed, or a frame is missing or in another place.
pub fn open(key: &Key, sealed: &[u8]) -> Result<BytesMut, OpenError> {
    open_frames(key, sealed.len(), 0, sealed)
}

/// Opens frames that follow each other, from number `first` on, of a sealed chunk of `sealed_len` bytes.
///
/// # Errors
/// As [`open`].
pub fn open_frames(key: &Key, sealed_len: usize, first: usize, sealed: &[u8]) -> Result<BytesMut, OpenError> {
    let plaintext_len = opened_len(sealed_len).ok_or(OpenError)?;
    let stream = stream(key);
    let last = frames(plaintext_len) - 1;
    let mut opened = BytesMut::with_capacity(sealed.len());
    let mut frame = Vec::with_capacity(FRAME_BYTES);
    for (number, bytes) in (first..).zip(sealed.chunks(FRAME_BYTES)) {
        frame.clear();
        frame.extend_from_slice(bytes);
        let position = u32::try_from(number).map_err(|_| OpenError)?;
        stream.decrypt_in_place(position, number == last, b"", &mut frame).map_err(|_| OpenError)?;
        opened.put_slice(&frame);
    }
    frame.zeroize();
    if sealed.is_empty() { Err(OpenError) } else { Ok(opened) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::limits::{AUDIT_GROUP_BYTES, CHUNK_MAX_BYTES, SEALED_CHUNK_BYTES};

    fn key(byte: u8) -> Key {
        Key::new([byte; 32])
    }

    fn made(len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        blake3::Hasher::new().update(&len.to_le_bytes()).finalize_xof().fill(&mut bytes);
        bytes
    }

    #[test]
    fn lengths_are_those_of_the_design() {
        assert_eq!((SEALED_CHUNK_BYTES, sealed_len(SEALED_CHUNK_BYTES)), (16_760_832, CHUNK_MAX_BYTES));
        for len in [0, 1, 16_367, 16_368, 16_369, 32_736, 32_737] {
            let sealed = seal(&key(1), &made(len));
            assert_eq!(sealed.len(), sealed_len(len), "{len}");
            assert_eq!(opened_len(sealed.len()), Some(len));
            assert_eq!(open(&key(1), &sealed).map(|opened| opened.to_vec()), Ok(made(len)));
            assert_eq!(open(&key(2), &sealed), Err(OpenError));
        }
        assert_ne!(key(1).commitment(), key(2).commitment());
        assert_eq!(FRAME_BYTES, AUDIT_GROUP_BYTES);
        for none in [0, 15, FRAME_BYTES + 1, FRAME_BYTES + 15] {
            assert_eq!(opened_len(none), None, "{none}");
        }
    }

    #[test]
    fn frames_of_the_middle_open_alone_and_in_their_place_only() {
        let plaintext = made(4 * SEALED_FRAME_BYTES + 99);
        let sealed = seal(&key(3), &plaintext);
        let middle = &sealed[FRAME_BYTES..3 * FRAME_BYTES];
        let opened = open_frames(&key(3), sealed.len(), 1, middle).expect("its place");
        assert_eq!(opened, plaintext[SEALED_FRAME_BYTES..3 * SEALED_FRAME_BYTES]);
        assert_eq!(open_frames(&key(3), sealed.len(), 2, middle), Err(OpenError));
        assert_eq!(open_frames(&key(3), 3 * FRAME_BYTES, 1, middle), Err(OpenError), "the last of a shorter one");
    }

    #[test]
    fn keys_follow_from_the_secret_and_the_bytes_and_are_never_shown() {
        let (mine, yours) = (Secret::new([1; 32]), Secret::new([2; 32]));
        assert_eq!(mine.chunk_key(b"a"), mine.chunk_key(b"a"));
        assert_ne!(mine.chunk_key(b"a"), mine.chunk_key(b"b"));
        assert_ne!(mine.chunk_key(b"a"), yours.chunk_key(b"a"));
        assert_ne!(mine.chunk_key(b"a"), mine.file_key(b"a"));
        assert_ne!(mine.chunk_key(b"a").commitment(), *mine.chunk_key(b"a").as_bytes());
        assert_eq!(format!("{:?} {mine:?}", mine.chunk_key(b"a")), "Key(..) Secret(..)");
    }

    /// The expected bytes come from another implementation of ChaCha20-Poly1305 (Python's `cryptography`, over OpenSSL),
    /// with the nonces of the construction written out.
    #[test]
    fn the_construction_gives_the_bytes_of_another_implementation() {
        let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
        let key = Key::new(core::array::from_fn(|i| u8::try_from(i).expect("small")));
        assert_eq!(hex(&seal(&key, b"")), EMPTY);
        assert_eq!(hex(&seal(&key, b"dsn")), SHORT);
        let two = seal(&key, &vec![0x5a; SEALED_FRAME_BYTES + 1]);
        assert_eq!(hex(&two[SEALED_FRAME_BYTES..]), TAG_AND_LAST);
        assert_eq!(blake3::hash(&two).to_hex().as_str(), TWO_FRAMES);
    }

    const EMPTY: &str = "fa0e145e8775eb78c274755606de74fb";
    const SHORT: &str = "0d2f12b56147ebe00a83cdf66730b7a676d2ec";
    const TAG_AND_LAST: &str = "e08c5058cb2ead1a5f410c2e885461605bccb81247b46bc5eb4bddca007f4f2430";
    const TWO_FRAMES: &str = "f21e135a1354c15ff8098955e5feb8e8606948a3b4901881b629fcc5d141b401";

    proptest! {
        #[test]
        fn what_was_cut_moved_swapped_or_flipped_does_not_open(
            len in 1usize..200_000, at: prop::sample::Index, frames: (prop::sample::Index, prop::sample::Index),
        ) {
            let (plaintext, key) = (made(len), key(9));
            let sealed = seal(&key, &plaintext);
            prop_assert_eq!(open(&key, &sealed).expect("whole").to_vec(), plaintext);
            let mut flipped = sealed.to_vec();
            let bit = at.index(flipped.len() * 8);
            flipped[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(open(&key, &flipped).is_err());
            prop_assert!(open(&key, &sealed[..at.index(sealed.len())]).is_err(), "cut off");
            for end in (FRAME_BYTES..sealed.len()).step_by(FRAME_BYTES) {
                prop_assert!(open(&key, &sealed[..end]).is_err(), "cut off after a frame");
            }
            let mut longer = sealed.to_vec();
            longer.extend_from_slice(&sealed[..sealed.len().min(FRAME_BYTES)]);
            prop_assert!(open(&key, &longer).is_err(), "a frame twice");
            let mut parts: Vec<&[u8]> = sealed.chunks(FRAME_BYTES).collect();
            let (a, b) = (frames.0.index(parts.len()), frames.1.index(parts.len()));
            if parts[a] != parts[b] {
                parts.swap(a, b);
                prop_assert!(open(&key, &parts.concat()).is_err(), "frames swapped");
            }
        }

        #[test]
        fn a_frame_of_another_chunk_does_not_fit(len in 20_000usize..200_000) {
            let (one, other) = (Secret::new([1; 32]), made(len + 1));
            let plaintext = made(len);
            let (key, other_key) = (one.chunk_key(&plaintext), one.chunk_key(&other));
            let (mut sealed, other) = (seal(&key, &plaintext).to_vec(), seal(&other_key, &other));
            sealed[..FRAME_BYTES].copy_from_slice(&other[..FRAME_BYTES]);
            prop_assert!(open(&key, &sealed).is_err());
        }
    }
}
