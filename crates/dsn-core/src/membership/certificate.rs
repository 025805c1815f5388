//! The founder's word that a key is a member of its network, until when, and what the founder calls it. A [`Certificate`]
//! is what came in; only [`Certificate::verify`] makes a [`VerifiedCertificate`].

use bytes::Bytes;
use dsn_proto as proto;
use prost::Message;
use thiserror::Error;

use super::{Admitted, closed_network, label_of};
use crate::{
    identity::{Domain, Identity, SignatureError},
    limits::{MEMBER_LABEL_MAX_BYTES, SIGNED_BODY_MAX_BYTES},
    network_name::NetworkName,
    node_id::NodeId,
    signed::{Body, Signed, Verified},
    wire::{WireError, check, check_version, decode_canonical},
};

/// What a certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateBody {
    /// The network.
    pub network: NetworkName,
    /// Who founded it.
    pub founder: NodeId,
    /// The member's key.
    pub member: NodeId,
    /// What the founder calls it; see [`is_label`].
    pub label: String,
    /// When it was signed, in Unix seconds.
    pub issued: u64,
    /// Until when it counts, in Unix seconds; none: without end.
    pub until: Option<u64>,
    /// Bytes of pieces that each farmer of the network keeps of it at most; none: as many as there is room for. A member with
    /// a quota puts files and lends nothing: see [`super::Allowance`].
    pub quota: Option<u64>,
}

/// A well-formed certificate whose signature nobody has checked yet.
pub type Certificate = Signed<CertificateBody>;

/// A certificate that the network's founder has signed.
pub type VerifiedCertificate = Verified<CertificateBody>;

/// Why a certificate does not count.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CertificateError {
    /// Forged.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// Of another network.
    #[error("the certificate is of network {found}")]
    Network {
        /// The network it names.
        found: NetworkName,
    },
    /// Of another founder, or its network is not the founder's.
    #[error("the certificate is of the founder {found}, whose network this is not")]
    Founder {
        /// The founder it names.
        found: NodeId,
    },
    /// For another key.
    #[error("the certificate is for the key {found}")]
    Member {
        /// The member it names.
        found: NodeId,
    },
}

/// Whether a text may be what a founder calls a member: 1 to [`MEMBER_LABEL_MAX_BYTES`] bytes, all of them visible.
pub fn is_label(text: &str) -> bool {
    let visible = |c: char| !c.is_control() && !c.is_whitespace() || c == ' ';
    (1..=MEMBER_LABEL_MAX_BYTES).contains(&text.len()) && text.chars().all(visible) && text.trim() == text
}

impl CertificateBody {
    /// Signs it; an end at zero, which would read as none, becomes the first second, and no byte becomes one.
    pub fn sign(self, founder: &Identity) -> VerifiedCertificate {
        let (until, quota) = (self.until.map(|until| until.max(1)), self.quota.map(|quota| quota.max(1)));
        let body = Self { until, quota, ..self };
        VerifiedCertificate::sign(body, founder)
    }

    /// Whom it lets in.
    pub fn admitted(&self) -> Admitted {
        Admitted { member: self.member, label: self.label.clone(), until: self.until, quota: self.quota }
    }
}

impl Body for CertificateBody {
    const DOMAIN: Domain = Domain::Member;
    const MAX_BYTES: usize = SIGNED_BODY_MAX_BYTES;

    fn signer(&self) -> NodeId {
        self.founder
    }

    fn to_bytes(&self) -> Vec<u8> {
        let message = proto::MemberBody {
            version: 1,
            network: self.network.as_str().into(),
            founder: Bytes::copy_from_slice(&self.founder.0),
            member: Bytes::copy_from_slice(&self.member.0),
            label: self.label.clone(),
            issued: self.issued,
            until: self.until.unwrap_or(0),
            quota: self.quota.unwrap_or(0),
        };
        message.encode_to_vec()
    }

    fn from_bytes(bytes: &Bytes) -> Result<Self, WireError> {
        let message: proto::MemberBody = decode_canonical(bytes, Self::MAX_BYTES)?;
        check_version(message.version)?;
        let field = |field| WireError::Field { field };
        check(is_label(&message.label), "label")?;
        Ok(Self {
            network: message.network.parse().map_err(|_| field("network"))?,
            founder: NodeId::from_slice(&message.founder).ok_or(field("founder"))?,
            member: NodeId::from_slice(&message.member).ok_or(field("member"))?,
            label: message.label,
            issued: message.issued,
            until: (message.until != 0).then_some(message.until),
            quota: (message.quota != 0).then_some(message.quota),
        })
    }
}

impl Certificate {
    /// Checks that the founder of this network has signed it; not the dates.
    ///
    /// # Errors
    /// See [`CertificateError`].
    pub fn verify(self, network: &NetworkName, founder: NodeId) -> Result<VerifiedCertificate, CertificateError> {
        if self.body().network != *network {
            return Err(CertificateError::Network { found: self.body().network.clone() });
        }
        if self.body().founder != founder {
            return Err(CertificateError::Founder { found: self.body().founder });
        }
        self.verify_as_invited()
    }

    /// Checks that whoever founded the network it names has signed it: the network's name says who that is.
    ///
    /// # Errors
    /// See [`CertificateError`].
    pub fn verify_as_invited(self) -> Result<VerifiedCertificate, CertificateError> {
        let body = self.body();
        let named = label_of(&body.network).and_then(|label| closed_network(body.founder, label).ok());
        if named.as_ref() != Some(&body.network) {
            return Err(CertificateError::Founder { found: body.founder });
        }
        Ok(self.check_signature()?)
    }
}
