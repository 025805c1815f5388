//! A node's key and what it signs. Every signature covers a domain text first, so that a signed receipt can never pass
//! for a signed record. The key itself comes from outside (a file, a seed): nothing here draws randomness.

use std::{fmt, sync::LazyLock};

use bytes::Bytes;
use dsn_proto as proto;
use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use quick_cache::sync::Cache;
use thiserror::Error;

use crate::{
    node_id::NodeId,
    wire::{WireError, check},
};

/// Signatures that are remembered as good: custodians are shown the same receipts day after day, and a look-up costs a
/// hundredth of a verification.
const VERIFIED_MAX: usize = 16_384;

/// Hashes over signer, signature and message of what was verified.
static VERIFIED: LazyLock<Cache<[u8; 32], ()>> = LazyLock::new(|| Cache::new(VERIFIED_MAX));

/// What a signature is for; its text is signed before the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Domain {
    /// A farmer's receipt.
    Receipt,
    /// A farmer record.
    Record,
    /// An owner's leave for a node to put on its behalf.
    Owner,
    /// An owner's word how long a file is to be kept.
    Lease,
    /// A farmer's word which run of it is speaking.
    Greeting,
    /// A founder's word that a key is a member.
    Member,
    /// A member's word that a node acts for it.
    Delegation,
    /// A founder's list of who is no member any more.
    Revocations,
    /// A farmer's word that it leaves, or stays after all.
    Departure,
    /// What a name stands for.
    Name,
}

impl Domain {
    fn text(self) -> &'static [u8] {
        match self {
            Self::Receipt => b"dsn receipt v1\0",
            Self::Record => b"dsn farmer record v1\0",
            Self::Owner => b"dsn owner v1\0",
            Self::Lease => b"dsn lease v1\0",
            Self::Greeting => b"dsn greeting v1\0",
            Self::Member => b"dsn member v1\0",
            Self::Delegation => b"dsn delegation v1\0",
            Self::Revocations => b"dsn revocations v1\0",
            Self::Departure => b"dsn departure v1\0",
            Self::Name => b"dsn name v1\0",
        }
    }

    fn message(self, body: &[u8]) -> Vec<u8> {
        [self.text(), body].concat()
    }
}

/// A node's Ed25519 key pair. Its secret half is never printed.
#[derive(Clone)]
pub struct Identity {
    key: SigningKey,
}

/// A canonical body and the signature over it, not yet compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedBody {
    /// The canonical encoding of what was signed.
    pub body: Bytes,
    /// The Ed25519 signature.
    pub signature: [u8; 64],
}

/// The signature is not that node's.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the signature is not that of {signer}")]
pub struct SignatureError {
    /// Who is said to have signed.
    pub signer: NodeId,
}

impl Identity {
    /// The key pair of a 32-byte secret seed.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self { key: SigningKey::from_bytes(&seed) }
    }

    /// The secret seed, to be written to the key file and nowhere else.
    pub fn seed(&self) -> [u8; 32] {
        self.key.to_bytes()
    }

    /// Who this is.
    pub fn node_id(&self) -> NodeId {
        NodeId(self.key.verifying_key().to_bytes())
    }

    /// Signs a canonical body.
    pub fn sign(&self, domain: Domain, body: Bytes) -> SignedBody {
        let signature = self.key.sign(&domain.message(&body)).to_bytes();
        SignedBody { body, signature }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.node_id())
    }
}

impl SignedBody {
    /// Whether `signer` signed this body for this purpose.
    ///
    /// # Errors
    /// [`SignatureError`] when not.
    pub fn verify(&self, domain: Domain, signer: NodeId) -> Result<(), SignatureError> {
        let message = domain.message(&self.body);
        let seen = blake3::Hasher::new().update(&signer.0).update(&self.signature).update(&message).finalize();
        if VERIFIED.get(seen.as_bytes()).is_some() {
            return Ok(());
        }
        let signature = ed25519_dalek::Signature::from_bytes(&self.signature);
        VerifyingKey::from_bytes(&signer.0)
            .and_then(|key| key.verify_strict(&message, &signature))
            .map_err(|_| SignatureError { signer })?;
        VERIFIED.insert(*seen.as_bytes(), ());
        Ok(())
    }

    pub(crate) fn from_proto(signed: proto::Signed, max_bytes: usize) -> Result<Self, WireError> {
        check(signed.body.len() <= max_bytes, "body")?;
        let signature = signed.signature[..].try_into().map_err(|_| WireError::Field { field: "signature" })?;
        Ok(Self { body: signed.body, signature })
    }

    pub(crate) fn to_proto(&self) -> proto::Signed {
        proto::Signed { body: self.body.clone(), signature: Bytes::copy_from_slice(&self.signature) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_holds_for_one_purpose_one_body_and_one_node() {
        let (alice, bob) = (Identity::from_seed([1; 32]), Identity::from_seed([2; 32]));
        let signed = alice.sign(Domain::Receipt, Bytes::from_static(b"body"));
        assert_eq!(signed.verify(Domain::Receipt, alice.node_id()), Ok(()));
        assert_eq!(signed.verify(Domain::Receipt, alice.node_id()), Ok(()), "and again, from memory");
        assert!(signed.verify(Domain::Record, alice.node_id()).is_err());
        assert!(signed.verify(Domain::Receipt, bob.node_id()).is_err());
        let other = SignedBody { body: Bytes::from_static(b"bodz"), ..signed };
        assert!(other.verify(Domain::Receipt, alice.node_id()).is_err());
    }

    #[test]
    fn debug_does_not_show_the_secret() {
        let text = format!("{:?}", Identity::from_seed([0xab; 32]));
        assert!(!text.contains("171") && !text.contains("abab"), "{text}");
    }
}
