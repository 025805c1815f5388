//! The content identifier that `dsn put` prints: CIDv1, codec `protobuf` (0x50), multihash blake3-256 (0x1e), base32. It
//! names the root chunk's descriptor, so the hash in it is the root chunk's id. Other networks' CIDs are recognised, to
//! say what they are.

use std::{fmt, str::FromStr};

use thiserror::Error;

use crate::hash::ChunkId;

const CODEC_PROTOBUF: u64 = 0x50;
const HASH_BLAKE3: u64 = 0x1e;
const HASH_IDENTITY: u64 = 0x00;
const TEXT_MAX_BYTES: usize = 128;

/// The name of a file: its root chunk's id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cid(pub ChunkId);

/// Why a text is no CID of ours.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CidError {
    /// Not a CID at all.
    #[error("not a CID: {text:?}")]
    Garbage {
        /// What was given, cut short.
        text: String,
    },
    /// A CID in another base than base32.
    #[error("a CID in another base (it starts with {prefix:?}); dsn writes base32, which starts with 'b'")]
    Base {
        /// The multibase prefix found.
        prefix: char,
    },
    /// Base32, but too few or too many bytes.
    #[error("a CID with {found} characters; dsn's have {expected}")]
    Length {
        /// Characters found.
        found: usize,
        /// Characters of every CID of ours.
        expected: usize,
    },
    /// An old IPFS CID.
    #[error("an IPFS CID of version 0 (dag-pb, sha2-256); dsn reads blake3")]
    Version0,
    /// The identity multihash: data instead of a hash.
    #[error("a CID with an identity hash, which carries data instead of naming it; dsn reads blake3")]
    IdentityHash,
    /// Another hash function.
    #[error("an IPFS CID ({codec}, {hash}); dsn reads blake3")]
    Hash {
        /// Name of the codec.
        codec: String,
        /// Name of the hash function.
        hash: String,
    },
    /// A blake3 CID of something that is no file of ours.
    #[error("a CID of {codec} data; dsn's files have codec protobuf (0x50)")]
    Codec {
        /// Name of the codec.
        codec: String,
    },
}

/// Characters of the text form: 36 bytes in base32 and the prefix.
const TEXT_CHARS: usize = 1 + (36 * 8usize).div_ceil(5);

impl FromStr for Cid {
    type Err = CidError;

    fn from_str(text: &str) -> Result<Self, CidError> {
        let garbage = || CidError::Garbage { text: text.chars().take(TEXT_MAX_BYTES).collect() };
        if text.len() > TEXT_MAX_BYTES || text.is_empty() {
            return Err(garbage());
        }
        if text.starts_with("Qm") && text.len() == 46 {
            return Err(CidError::Version0);
        }
        let parsed = cid::Cid::try_from(text).map_err(|_| {
            let ours = text.starts_with("bafib4i") && text.len() != TEXT_CHARS;
            if ours { CidError::Length { found: text.len(), expected: TEXT_CHARS } } else { garbage() }
        })?;
        check_kind(&parsed)?;
        let prefix = text.chars().next().unwrap_or(' ');
        if prefix != 'b' {
            return Err(CidError::Base { prefix });
        }
        let length = CidError::Length { found: text.len(), expected: TEXT_CHARS };
        let id = ChunkId::from_slice(parsed.hash().digest()).filter(|_| text.len() == TEXT_CHARS).ok_or(length)?;
        let cid = Self(id);
        if cid.to_string() == text { Ok(cid) } else { Err(garbage()) }
    }
}

fn check_kind(cid: &cid::Cid) -> Result<(), CidError> {
    let codec = codec_name(cid.codec());
    match cid.hash().code() {
        HASH_BLAKE3 if cid.codec() == CODEC_PROTOBUF => Ok(()),
        HASH_BLAKE3 => Err(CidError::Codec { codec }),
        HASH_IDENTITY => Err(CidError::IdentityHash),
        other => Err(CidError::Hash { codec, hash: hash_name(other) }),
    }
}

fn codec_name(code: u64) -> String {
    match code {
        0x50 => "protobuf".into(),
        0x55 => "raw".into(),
        0x70 => "dag-pb".into(),
        0x71 => "dag-cbor".into(),
        other => format!("codec {other:#x}"),
    }
}

fn hash_name(code: u64) -> String {
    match code {
        0x12 => "sha2-256".into(),
        0x13 => "sha2-512".into(),
        0x1b => "keccak-256".into(),
        0xb220 => "blake2b-256".into(),
        other => format!("hash {other:#x}"),
    }
}

impl fmt::Display for Cid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = [0u8; 36];
        bytes[..4].copy_from_slice(&[0x01, 0x50, 0x1e, 0x20]);
        bytes[4..].copy_from_slice(self.0.as_bytes());
        write!(f, "b{}", data_encoding::BASE32_NOPAD.encode(&bytes).to_ascii_lowercase())
    }
}

impl fmt::Debug for Cid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::hash::Hash;

    fn check(text: &str, expected: &str) {
        let error = text.parse::<Cid>().expect_err(text);
        assert!(error.to_string().contains(expected), "{text}: {error}");
    }

    #[test]
    fn a_cid_survives_its_text_form() {
        let cid = Cid(ChunkId(Hash::of(b"root")));
        let text = cid.to_string();
        assert!(text.starts_with("bafib4i"), "{text}");
        assert_eq!(text.len(), TEXT_CHARS);
        assert_eq!(text.parse(), Ok(cid));
    }

    #[test]
    fn every_foreign_text_has_its_own_error() {
        let ours = Cid(ChunkId(Hash::of(b"root"))).to_string();
        check("hello", "not a CID");
        check("", "not a CID");
        check(&"b".repeat(1000), "not a CID");
        check(&ours[..ours.len() - 3], "characters");
        check(&format!("{ours}aa"), "characters");
        check(&ours.to_ascii_uppercase(), "another base");
        check("QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG", "version 0");
        check("bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi", "(dag-pb, sha2-256)");
        check("bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy", "(raw, sha2-256)");
        check("bafkqaaa", "identity hash");
        let z = cid::Cid::try_from(ours.as_str()).expect("ours");
        check(&z.to_string_of_base(cid::multibase::Base::Base58Btc).expect("base58"), "another base");
    }

    proptest! {
        #[test]
        fn any_text_is_its_own_cid_or_none(text in prop_oneof![".{0,140}", "bafib4i[a-z2-7]{52}", "[bzfQmk][a-zA-Z0-9]{0,80}"]) {
            if let Ok(cid) = text.parse::<Cid>() {
                prop_assert_eq!(cid.to_string(), text);
            }
        }
    }
}
