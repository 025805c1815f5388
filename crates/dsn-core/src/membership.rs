//! Closed networks: who is a member, and how a node shows that it acts for one. The founder's key signs a
//! [certificate] for a member's key; the member's key signs a [delegation] for each of its nodes;
//! a list of [revocations], signed by the founder, takes certificates back. All of it a newcomer gets as one
//! text, an [invitation]. Two nodes show each other all this before anything else is said
//! ([admission]).
//!
//! Not here: connections, files, clocks. Invariant: credentials count for one node, whose key whoever asks has seen at
//! work, so that those of another, overheard, are worth nothing.

pub mod admission;
pub mod certificate;
pub mod delegation;
pub mod invitation;
pub mod revocations;

use thiserror::Error;

use self::{
    certificate::{Certificate, CertificateError, VerifiedCertificate},
    delegation::{Delegation, DelegationBody, DelegationError},
    revocations::{Revocations, RevocationsError, VerifiedRevocations},
};
use crate::{
    identity::Identity,
    limits::{CLOSED_ID_CHARS, CLOSED_LABEL_MAX_BYTES, DELEGATION_SECS, MEMBER_SKEW_SECS},
    network_name::{NetworkName, NetworkNameError},
    node_id::NodeId,
};

/// The name of the closed network that a founder calls so: the founder's key is in it, so that two networks never share
/// one, whatever they are called.
///
/// # Errors
/// When the label could not be a network's name, or is longer than [`CLOSED_LABEL_MAX_BYTES`].
pub fn closed_network(founder: NodeId, label: &str) -> Result<NetworkName, NetworkNameError> {
    let error = || NetworkNameError { text: label.chars().take(CLOSED_LABEL_MAX_BYTES + 1).collect() };
    label.parse::<NetworkName>()?;
    if label.len() > CLOSED_LABEL_MAX_BYTES {
        return Err(error());
    }
    let mut hasher = blake3::Hasher::new_derive_key("dsn closed network v1");
    hasher.update(&founder.0).update(label.as_bytes());
    let id = data_encoding::BASE32_NOPAD.encode(&hasher.finalize().as_bytes()[..16]).to_ascii_lowercase();
    format!("{label}.{id}").parse()
}

/// What the founder of a closed network calls it; none for a name that is too short to be one of a closed network.
pub fn label_of(network: &NetworkName) -> Option<&str> {
    let (label, id) = network.as_str().rsplit_once('.')?;
    (id.len() == CLOSED_ID_CHARS && !label.is_empty()).then_some(label)
}

/// What a node shows of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The founder's word for the member.
    pub certificate: Certificate,
    /// The member's word for the node.
    pub delegation: Delegation,
}

/// Somebody who was let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// The member for whom the node acts.
    pub member: NodeId,
    /// What the founder calls it.
    pub label: String,
    /// Until when it is one, in Unix seconds; none: without end.
    pub until: Option<u64>,
    /// Bytes of pieces that each farmer keeps of it at most; none: as many as there is room for.
    pub quota: Option<u64>,
}

/// What each farmer keeps of a member with a quota. Its pieces are found by the owner of their leases, so that owner has to be
/// the member's own key: it has no other to begin anew with. Nor does it carry pieces for others, as farmers do when they
/// repair, since anybody's leases could be made up then: it lends nothing, and nothing is asked of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// The member, and the only owner for whom it may put.
    pub member: NodeId,
    /// Bytes of pieces at one farmer.
    pub bytes: u64,
}

/// Why a node is not let in. It is told; nothing in it says who is a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Error)]
pub enum Refused {
    /// It showed nothing that could be read.
    #[error("nothing was shown that makes this node a member")]
    NoCredentials,
    /// It is a member of something else.
    #[error("this node is a member of another network")]
    OtherNetwork,
    /// A signature is wrong, or what it showed is somebody else's.
    #[error("the membership shown is not this node's")]
    Forged,
    /// The membership, or the member's word for the node, has ended.
    #[error("the membership has ended")]
    Expired,
    /// What was signed lies in the future.
    #[error("the membership begins in the future: one of the two clocks is wrong")]
    Future,
    /// The founder has taken the membership back.
    #[error("the membership was revoked")]
    Revoked,
}

impl Admitted {
    /// What a farmer keeps of it, if that is bounded.
    pub fn allowance(&self) -> Option<Allowance> {
        self.quota.map(|bytes| Allowance { member: self.member, bytes })
    }

    /// Whether it is to go: nothing is said of its delegation, which counts when a connection begins.
    pub fn check(&self, revocations: Option<&VerifiedRevocations>, now: u64) -> Result<(), Refused> {
        if revocations.is_some_and(|list| list.body().contains(self.member)) {
            return Err(Refused::Revoked);
        }
        if self.until.is_some_and(|until| until.saturating_add(MEMBER_SKEW_SECS) <= now) {
            return Err(Refused::Expired);
        }
        Ok(())
    }
}

/// A member's own view of its network: what it shows, and whom it lets in.
#[derive(Clone, Debug)]
pub struct Membership {
    member: Identity,
    certificate: VerifiedCertificate,
    revocations: Option<VerifiedRevocations>,
}

impl Membership {
    /// The membership that a certificate for this key gives.
    ///
    /// # Errors
    /// [`CertificateError::Member`] when it is for another key.
    pub fn new(member: Identity, certificate: VerifiedCertificate) -> Result<Self, CertificateError> {
        if certificate.body().member == member.node_id() {
            Ok(Self { member, certificate, revocations: None })
        } else {
            Err(CertificateError::Member { found: certificate.body().member })
        }
    }

    /// The network.
    pub fn network(&self) -> &NetworkName {
        &self.certificate.body().network
    }

    /// Who founded it.
    pub fn founder(&self) -> NodeId {
        self.certificate.body().founder
    }

    /// The certificate.
    pub fn certificate(&self) -> &VerifiedCertificate {
        &self.certificate
    }

    /// The key that the certificate is for; written to the folder and nowhere else.
    pub fn key(&self) -> &Identity {
        &self.member
    }

    /// What each farmer keeps of this member, if that is bounded.
    pub fn allowance(&self) -> Option<Allowance> {
        self.certificate.body().admitted().allowance()
    }

    /// The latest list of revocations that it knows.
    pub fn revocations(&self) -> Option<&VerifiedRevocations> {
        self.revocations.as_ref()
    }

    /// The number of that list; 0 without one.
    pub fn seq(&self) -> u64 {
        self.revocations.as_ref().map_or(0, |list| list.body().seq)
    }

    /// Whether the membership still stands, as far as this node knows.
    pub fn standing(&self, now: u64) -> Result<(), Refused> {
        self.certificate.body().admitted().check(self.revocations.as_ref(), now)
    }

    /// Takes a list over when it is newer; tells whether it was.
    ///
    /// # Errors
    /// See [`RevocationsError`].
    pub fn learn(&mut self, list: Revocations) -> Result<bool, RevocationsError> {
        if list.body().seq <= self.seq() {
            return Ok(false);
        }
        self.revocations = Some(list.verify(self.network(), self.founder())?);
        Ok(true)
    }

    /// What a node that acts for this member shows; good for [`DELEGATION_SECS`].
    pub fn credentials(&self, node: NodeId, now: u64) -> Credentials {
        let (network, until) = (self.network().clone(), now.saturating_add(DELEGATION_SECS));
        let body = DelegationBody { network, member: self.member.node_id(), node, issued: now, until };
        let delegation = body.sign(&self.member).into_signed();
        Credentials { certificate: self.certificate.as_signed().clone(), delegation }
    }

    /// Whether a node that has shown this may come in. `node` is who it has proved to be, not who it says it is.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn admit(&self, node: NodeId, shown: Credentials, now: u64) -> Result<Admitted, Refused> {
        let certificate = shown.certificate.verify(self.network(), self.founder()).map_err(|error| match error {
            CertificateError::Network { .. } | CertificateError::Founder { .. } => Refused::OtherNetwork,
            _ => Refused::Forged,
        })?;
        let body = certificate.body();
        if body.issued > now.saturating_add(MEMBER_SKEW_SECS) {
            return Err(Refused::Future);
        }
        shown.delegation.verify(self.network(), body.member, node, now).map_err(|error| match error {
            DelegationError::Ended { .. } => Refused::Expired,
            DelegationError::Future { .. } => Refused::Future,
            _ => Refused::Forged,
        })?;
        let admitted = body.admitted();
        admitted.check(self.revocations.as_ref(), now)?;
        Ok(admitted)
    }
}

#[cfg(test)]
mod tests;
