//! What all signed objects share: a body in canonical form, and the signature of the node it names over exactly these
//! bytes. A [`Signed`] is what came in; only checking it makes a [`Verified`], and only those are kept or counted. What
//! else has to be true of each kind is said where its body is.

use bytes::Bytes;
use dsn_proto as proto;
use prost::Message;

use crate::{
    identity::{Domain, Identity, SignatureError, SignedBody},
    node_id::NodeId,
    wire::{WireError, decode_canonical},
};

/// The body of a signed object.
pub trait Body: Sized {
    /// What a signature over it is for.
    const DOMAIN: Domain;

    /// Bytes of its canonical form at most.
    const MAX_BYTES: usize;

    /// Who has to sign it.
    fn signer(&self) -> NodeId;

    /// Its canonical form.
    fn to_bytes(&self) -> Vec<u8>;

    /// Reads the canonical form.
    ///
    /// # Errors
    /// For any other bytes, and for values that the format does not allow.
    fn from_bytes(bytes: &Bytes) -> Result<Self, WireError>;
}

/// A well-formed object whose signature nobody has checked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed<B> {
    body: B,
    signed: SignedBody,
}

/// An object that its signer has signed, checked also for all else that can be without asking anybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified<B>(Signed<B>);

impl<B: Body> Signed<B> {
    /// What it says, whether or not it is true.
    pub fn body(&self) -> &B {
        &self.body
    }

    /// The stored form.
    pub fn encode(&self) -> Bytes {
        self.to_proto().encode_to_vec().into()
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// When it is not the canonical encoding of such an object.
    pub fn decode(bytes: &Bytes) -> Result<Self, WireError> {
        Self::from_proto(decode_canonical(bytes, 2 * B::MAX_BYTES)?)
    }

    pub(crate) fn from_proto(signed: proto::Signed) -> Result<Self, WireError> {
        let signed = SignedBody::from_proto(signed, B::MAX_BYTES)?;
        Ok(Self { body: B::from_bytes(&signed.body)?, signed })
    }

    pub(crate) fn to_proto(&self) -> proto::Signed {
        self.signed.to_proto()
    }

    /// Checks the signature; all else has been.
    pub(crate) fn check_signature(self) -> Result<Verified<B>, SignatureError> {
        self.signed.verify(B::DOMAIN, self.body.signer())?;
        Ok(Verified(self))
    }

    /// One that this node verified before it kept it.
    pub(crate) fn verified_before(self) -> Verified<B> {
        Verified(self)
    }

    /// The bytes that were signed, and the signature.
    pub(crate) fn signed_body(&self) -> &SignedBody {
        &self.signed
    }
}

impl<B: Body> Verified<B> {
    /// Signs a body.
    pub(crate) fn sign(body: B, identity: &Identity) -> Self {
        let signed = identity.sign(B::DOMAIN, body.to_bytes().into());
        Self(Signed { body, signed })
    }

    /// What it says.
    pub fn body(&self) -> &B {
        &self.0.body
    }

    /// What it says.
    pub fn into_body(self) -> B {
        self.0.body
    }

    /// The object as it travels.
    pub fn as_signed(&self) -> &Signed<B> {
        &self.0
    }

    /// The object as it travels.
    pub fn into_signed(self) -> Signed<B> {
        self.0
    }
}
