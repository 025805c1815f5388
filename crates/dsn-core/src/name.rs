//! Names: an Ed25519 public key that stands for whatever its owner says, in signed records with growing numbers. A
//! [`NameRecord`] is what came in; only [`NameRecord::verify`] makes a [`VerifiedName`], and only those are kept or
//! counted. What several records of one name come to is said in `known`. Who keeps them is not said here: the custodians
//! nearest to [`Name::place`].
//!
//! A name as text is `dsn:n1:` and 36 bytes in base32, of small letters: the key, and the first four bytes of
//! BLAKE3(`dsn name text v1`, a zero byte, the key), so that a slip of the pen is no other name.

mod known;

use std::{fmt, str::FromStr};

use bytes::Bytes;
use data_encoding::BASE32_NOPAD;
use dsn_proto as proto;
use prost::Message;
use thiserror::Error;

pub use self::known::{KnownName, NameRecords, Standing};
use crate::{
    cid::Cid,
    hash::{ChunkId, Hash},
    identity::{Domain, Identity, SignatureError},
    limits::{CLOCK_SKEW_SECS, NAME_KEPT_SECS, NAME_NEWS_SECS, NAME_TTL_MAX_SECS, SIGNED_BODY_MAX_BYTES},
    network_name::NetworkName,
    node_id::NodeId,
    signed::{Body, Signed, Verified},
    wire::{WireError, check, check_version, decode_canonical},
};

/// What the text form starts with.
const PREFIX: &str = "dsn:n1:";

/// Characters after it: 36 bytes in base32.
const TEXT_CHARS: usize = (36 * 8usize).div_ceil(5);

const CHECK_CONTEXT: &[u8] = b"dsn name text v1\0";

/// A name: whoever has its key says what it stands for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(pub NodeId);

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameBody {
    /// The network it counts in.
    pub network: NetworkName,
    /// The name.
    pub name: Name,
    /// From 1; the highest counts.
    pub sequence: u64,
    /// What the name stands for.
    pub root: Cid,
    /// When it was signed, in Unix seconds.
    pub issued: u64,
    /// Its end, in Unix seconds: after `issued`, by at most [`NAME_TTL_MAX_SECS`].
    pub until: u64,
}

/// A well-formed record whose signature nobody has checked yet.
pub type NameRecord = Signed<NameBody>;

/// A record that its name's key has signed, for the right network.
pub type VerifiedName = Verified<NameBody>;

/// Why a record does not count.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NameRecordError {
    /// Forged.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// Of another network.
    #[error("the record is of network {found}")]
    Network {
        /// The network it names.
        found: NetworkName,
    },
    /// Dated in the future.
    #[error("the record was issued at {issued}, after {now}")]
    Future {
        /// Unix seconds.
        issued: u64,
        /// Unix seconds of the reader's clock.
        now: u64,
    },
}

/// Why a text is no name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ParseNameError {
    /// It starts otherwise.
    #[error("not a name: names start with {PREFIX}")]
    Prefix,
    /// Of another version.
    #[error("a name of a later version; this dsn reads names that start with {PREFIX}")]
    Version,
    /// Too short or too long.
    #[error("a name with {found} characters after {PREFIX}, and there have to be {TEXT_CHARS}")]
    Length {
        /// Characters found.
        found: usize,
    },
    /// Not in base32.
    #[error("a name with a character that none has: after {PREFIX} come a-z and 2-7")]
    Alphabet,
    /// A slip of the pen.
    #[error("a name with a mistake in it: its checksum is wrong")]
    Checksum,
}

impl Name {
    /// Takes exactly 32 bytes.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        NodeId::from_slice(bytes).map(Self)
    }

    /// The 32 bytes of its key.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0.0
    }

    /// The name of this key.
    pub fn of(key: &Identity) -> Self {
        Self(key.node_id())
    }

    /// Whose custodians keep its records: the chunk id that is the hash of the key, although no chunk has it.
    pub fn place(&self) -> ChunkId {
        ChunkId(Hash::of(self.as_bytes()))
    }

    /// Whether a text is meant to be a name, right or wrong.
    pub fn is_meant_by(text: &str) -> bool {
        text.starts_with("dsn:n")
    }

    fn checksum(&self) -> [u8; 4] {
        let hash = blake3::Hasher::new().update(CHECK_CONTEXT).update(self.as_bytes()).finalize();
        *hash.as_bytes().first_chunk().expect("32 bytes")
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [&self.as_bytes()[..], &self.checksum()].concat();
        write!(f, "{PREFIX}{}", BASE32_NOPAD.encode(&bytes).to_ascii_lowercase())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Name {
    type Err = ParseNameError;

    fn from_str(text: &str) -> Result<Self, ParseNameError> {
        let Some(rest) = text.strip_prefix(PREFIX) else {
            return Err(if Self::is_meant_by(text) { ParseNameError::Version } else { ParseNameError::Prefix });
        };
        if rest.len() != TEXT_CHARS {
            return Err(ParseNameError::Length { found: rest.chars().count() });
        }
        if rest.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(ParseNameError::Alphabet);
        }
        let upper = rest.to_ascii_uppercase();
        let bytes = BASE32_NOPAD.decode(upper.as_bytes()).map_err(|_| ParseNameError::Alphabet)?;
        let name = bytes.get(..32).and_then(Self::from_slice).ok_or(ParseNameError::Alphabet)?;
        if name.to_string() == text { Ok(name) } else { Err(ParseNameError::Checksum) }
    }
}

impl NameBody {
    /// Signs it. An end that no record may have is moved to where one may.
    pub fn sign(self, key: &Identity) -> VerifiedName {
        let latest = self.issued.saturating_add(NAME_TTL_MAX_SECS);
        let until = self.until.clamp(self.issued.saturating_add(1), latest);
        VerifiedName::sign(Self { until, sequence: self.sequence.max(1), ..self }, key)
    }

    /// Whether it stands for anything at `now` (Unix seconds).
    pub fn holds_at(&self, now: u64) -> bool {
        self.until > now
    }

    /// Whether everybody is to be told at `now` (Unix seconds): it holds, and was signed lately.
    pub fn is_news_at(&self, now: u64) -> bool {
        self.holds_at(now) && self.issued.saturating_add(NAME_NEWS_SECS) >= now
    }

    /// Whether it need not be kept any more.
    pub fn is_forgotten_at(&self, now: u64) -> bool {
        self.until.saturating_add(NAME_KEPT_SECS) <= now
    }
}

impl Body for NameBody {
    const DOMAIN: Domain = Domain::Name;
    const MAX_BYTES: usize = SIGNED_BODY_MAX_BYTES;

    fn signer(&self) -> NodeId {
        self.name.0
    }

    fn to_bytes(&self) -> Vec<u8> {
        let message = proto::NameBody {
            version: 1,
            network: self.network.as_str().into(),
            name: Bytes::copy_from_slice(self.name.as_bytes()),
            sequence: self.sequence,
            root: Bytes::copy_from_slice(self.root.0.as_bytes()),
            issued: self.issued,
            until: self.until,
        };
        message.encode_to_vec()
    }

    fn from_bytes(bytes: &Bytes) -> Result<Self, WireError> {
        let message: proto::NameBody = decode_canonical(bytes, Self::MAX_BYTES)?;
        check_version(message.version)?;
        let field = |field| WireError::Field { field };
        check(message.sequence > 0, "sequence")?;
        let time = message.until.checked_sub(message.issued);
        check(time.is_some_and(|time| (1..=NAME_TTL_MAX_SECS).contains(&time)), "until")?;
        Ok(Self {
            network: message.network.parse().map_err(|_| field("network"))?,
            name: Name::from_slice(&message.name).ok_or(field("name"))?,
            sequence: message.sequence,
            root: Cid(ChunkId::from_slice(&message.root).ok_or(field("root"))?),
            issued: message.issued,
            until: message.until,
        })
    }
}

impl NameRecord {
    /// Checks the signature, the network and the date; not whether it has ended, since an ended one says all the same
    /// that older ones do not count.
    ///
    /// # Errors
    /// See [`NameRecordError`].
    pub fn verify(self, network: &NetworkName, now: u64) -> Result<VerifiedName, NameRecordError> {
        let NameBody { network: found, issued, .. } = self.body();
        if found != network {
            return Err(NameRecordError::Network { found: found.clone() });
        }
        if *issued > now.saturating_add(CLOCK_SKEW_SECS) {
            return Err(NameRecordError::Future { issued: *issued, now });
        }
        Ok(self.check_signature()?)
    }
}

#[cfg(test)]
mod tests;
