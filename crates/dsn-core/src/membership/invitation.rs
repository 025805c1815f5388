//! What makes its reader a member, as one text: a member's key, its certificate, where the network is found. The key is
//! made by the founder, so that an invitation works before anybody has met: whoever has the text has the membership.
//!
//! The text is `dsn-invite:1:` and, in base32, the length of the message, the message, and the start of its hash. So what
//! was cut short and what was mistyped are told apart.

use std::{fmt, str::FromStr};

use bytes::Bytes;
use data_encoding::BASE32_NOPAD;
use dsn_proto as proto;
use prost::Message;
use thiserror::Error;

use super::{
    Membership,
    certificate::{Certificate, CertificateError, VerifiedCertificate},
};
use crate::{
    hash::Hash,
    identity::Identity,
    limits::{ADDRESS_MAX_BYTES, INVITATION_MAX_BYTES, RECORD_MAX_ADDRESSES},
    wire::{WireError, check, check_version, decode_canonical},
};

const PREFIX: &str = "dsn-invite:1:";
const FAMILY: &str = "dsn-invite:";
const LENGTH_BYTES: usize = 2;
const CHECKSUM_BYTES: usize = 4;
const TEXT_MAX_BYTES: usize = PREFIX.len() + (LENGTH_BYTES + INVITATION_MAX_BYTES + CHECKSUM_BYTES) * 8 / 5 + 1;

/// A membership to hand over, checked: the certificate is the founder's, and for this key. Its text is a secret.
#[derive(Clone, Debug)]
pub struct Invitation {
    pub(super) key: Identity,
    pub(super) certificate: VerifiedCertificate,
    pub(super) addresses: Vec<Bytes>,
}

/// Why a text is no invitation. None of them shows the text.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvitationError {
    /// Not an invitation at all.
    #[error("not an invitation: those start with {PREFIX}")]
    Garbage,
    /// Of a later version.
    #[error("an invitation of a version that this dsn does not know; it knows {PREFIX}")]
    Version,
    /// Characters that none has.
    #[error("an invitation with characters that none has: it was damaged on the way")]
    Characters,
    /// Not all of it, or more than that.
    #[error("an invitation of {found} bytes, {expected} were written: it was cut short or something was added")]
    Length {
        /// Bytes found.
        found: usize,
        /// Bytes that it says it has.
        expected: usize,
    },
    /// Mistyped.
    #[error("an invitation whose checksum is wrong: a character was changed on the way")]
    Checksum,
    /// Made by something else than dsn.
    #[error("a malformed invitation")]
    Malformed(#[source] WireError),
    /// Not signed by the network's founder, or not for the key in it.
    #[error("an invitation that is not its network's")]
    Certificate(#[source] CertificateError),
}

impl Invitation {
    /// The invitation to be the member whose key and certificate these are; at most [`RECORD_MAX_ADDRESSES`] addresses,
    /// each at most [`ADDRESS_MAX_BYTES`] bytes: what exceeds that is left out.
    ///
    /// # Errors
    /// [`CertificateError::Member`] when the certificate is for another key.
    pub fn new(
        key: Identity,
        certificate: VerifiedCertificate,
        addresses: impl IntoIterator<Item = Bytes>,
    ) -> Result<Self, CertificateError> {
        let membership = Membership::new(key, certificate)?;
        let fits = |address: &Bytes| (1..=ADDRESS_MAX_BYTES).contains(&address.len());
        let addresses = addresses.into_iter().filter(fits).take(RECORD_MAX_ADDRESSES).collect();
        Ok(Self { key: membership.member, certificate: membership.certificate, addresses })
    }

    /// Where the network is found, as binary addresses.
    pub fn addresses(&self) -> &[Bytes] {
        &self.addresses
    }

    /// What it makes of its reader.
    pub fn membership(&self) -> Membership {
        let (member, certificate) = (self.key.clone(), self.certificate.clone());
        Membership { member, certificate, revocations: None }
    }

    /// The text, to be shown to the one who is invited and nobody else.
    pub fn to_text(&self) -> String {
        let message = proto::Invitation {
            version: 1,
            seed: Bytes::copy_from_slice(&self.key.seed()),
            certificate: Some(self.certificate.as_signed().to_proto()),
            addresses: self.addresses.clone(),
        };
        let message = message.encode_to_vec();
        let length = u16::try_from(message.len()).expect("its parts are bounded, and together below 64 KiB");
        let bytes = [&length.to_be_bytes()[..], &message, checksum(&message).as_ref()].concat();
        format!("{PREFIX}{}", BASE32_NOPAD.encode(&bytes).to_ascii_lowercase())
    }

    fn from_message(message: &Bytes) -> Result<Self, InvitationError> {
        let malformed = InvitationError::Malformed;
        let message: proto::Invitation = decode_canonical(message, INVITATION_MAX_BYTES).map_err(malformed)?;
        check_version(message.version).map_err(malformed)?;
        let seed: Result<[u8; 32], _> = message.seed[..].try_into();
        let key = Identity::from_seed(seed.map_err(|_| malformed(WireError::Field { field: "seed" }))?);
        let fits = message.addresses.iter().all(|address| (1..=ADDRESS_MAX_BYTES).contains(&address.len()));
        check(fits && message.addresses.len() <= RECORD_MAX_ADDRESSES, "addresses").map_err(malformed)?;
        let signed = message.certificate.ok_or(malformed(WireError::Field { field: "certificate" }))?;
        let certificate = Certificate::from_proto(signed).map_err(malformed)?;
        let certificate = certificate.verify_as_invited().map_err(InvitationError::Certificate)?;
        Self::new(key, certificate, message.addresses).map_err(InvitationError::Certificate)
    }
}

impl FromStr for Invitation {
    type Err = InvitationError;

    fn from_str(text: &str) -> Result<Self, InvitationError> {
        let Some(body) = text.strip_prefix(PREFIX) else {
            let later = text.starts_with(FAMILY);
            return Err(if later { InvitationError::Version } else { InvitationError::Garbage });
        };
        let lower = !body.bytes().any(|byte| byte.is_ascii_uppercase());
        if text.len() > TEXT_MAX_BYTES || !lower {
            return Err(InvitationError::Characters);
        }
        // The last few characters of a text that was cut anywhere may be no whole byte.
        let whole = body.len() - if matches!(body.len() % 8, 1 | 3 | 6) { 1 } else { 0 };
        let known = |byte: &u8| matches!(byte, b'a'..=b'z' | b'2'..=b'7');
        if !body.as_bytes().iter().all(known) {
            return Err(InvitationError::Characters);
        }
        let mut lenient = data_encoding::Specification::new();
        lenient.symbols.push_str("abcdefghijklmnopqrstuvwxyz234567");
        lenient.check_trailing_bits = false;
        let lenient = lenient.encoding().expect("32 symbols are an encoding");
        let bytes = Bytes::from(lenient.decode(&body.as_bytes()[..whole]).map_err(|_| InvitationError::Characters)?);
        let length = bytes.get(..LENGTH_BYTES).map(|length| usize::from(u16::from_be_bytes([length[0], length[1]])));
        let expected = LENGTH_BYTES + length.unwrap_or_default() + CHECKSUM_BYTES;
        if bytes.len() != expected || whole != body.len() {
            return Err(InvitationError::Length { found: bytes.len(), expected });
        }
        let message = bytes.slice(LENGTH_BYTES..expected - CHECKSUM_BYTES);
        let is_ours = checksum(&message) == bytes[expected - CHECKSUM_BYTES..];
        if !is_ours || BASE32_NOPAD.encode(&bytes).to_ascii_lowercase() != body {
            return Err(InvitationError::Checksum);
        }
        Self::from_message(&message)
    }
}

fn checksum(message: &[u8]) -> [u8; CHECKSUM_BYTES] {
    *Hash::of(message).0.first_chunk().expect("a hash is longer")
}

/// Never the secret: whom it invites.
impl fmt::Display for Invitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body = self.certificate.body();
        write!(f, "invitation of {:?} to {}", body.label, body.network)
    }
}
