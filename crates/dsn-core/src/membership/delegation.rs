//! A member's word that a node acts for it, for a while. Nodes have keys of their own, a command a fresh one each time;
//! so a captured certificate is of no use to a node that the member has not named.

use bytes::Bytes;
use dsn_proto as proto;
use prost::Message;
use thiserror::Error;

use crate::{
    identity::{Domain, Identity, SignatureError},
    limits::{DELEGATION_SECS, MEMBER_SKEW_SECS, SIGNED_BODY_MAX_BYTES},
    network_name::NetworkName,
    node_id::NodeId,
    signed::{Body, Signed, Verified},
    wire::{WireError, check_version, decode_canonical},
};

/// What a delegation says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DelegationBody {
    /// The network.
    pub network: NetworkName,
    /// For whom the node acts.
    pub member: NodeId,
    /// The node.
    pub node: NodeId,
    /// When it was signed, in Unix seconds.
    pub issued: u64,
    /// Until when it counts, in Unix seconds.
    pub until: u64,
}

/// A well-formed delegation whose signature nobody has checked yet.
pub type Delegation = Signed<DelegationBody>;

/// A delegation that counts.
pub type VerifiedDelegation = Verified<DelegationBody>;

/// Why a delegation does not count.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DelegationError {
    /// Forged.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// Of another network.
    #[error("the delegation is of network {found}")]
    Network {
        /// The network it names.
        found: NetworkName,
    },
    /// By another member.
    #[error("the delegation is by the member {found}")]
    Member {
        /// The member it names.
        found: NodeId,
    },
    /// For another node.
    #[error("the delegation is for the node {found}")]
    Node {
        /// The node it names.
        found: NodeId,
    },
    /// Over.
    #[error("the delegation ended at {until}, before {now}")]
    Ended {
        /// Unix seconds.
        until: u64,
        /// Unix seconds of the reader's clock.
        now: u64,
    },
    /// Dated in the future, or for longer than any.
    #[error("the delegation is from {issued} until {until}, too far after {now}")]
    Future {
        /// Unix seconds.
        issued: u64,
        /// Unix seconds.
        until: u64,
        /// Unix seconds of the reader's clock.
        now: u64,
    },
}

impl DelegationBody {
    /// Signs it.
    pub fn sign(self, member: &Identity) -> VerifiedDelegation {
        VerifiedDelegation::sign(self, member)
    }
}

impl Body for DelegationBody {
    const DOMAIN: Domain = Domain::Delegation;
    const MAX_BYTES: usize = SIGNED_BODY_MAX_BYTES;

    fn signer(&self) -> NodeId {
        self.member
    }

    fn to_bytes(&self) -> Vec<u8> {
        let message = proto::DelegationBody {
            version: 1,
            network: self.network.as_str().into(),
            member: Bytes::copy_from_slice(&self.member.0),
            node: Bytes::copy_from_slice(&self.node.0),
            issued: self.issued,
            until: self.until,
        };
        message.encode_to_vec()
    }

    fn from_bytes(bytes: &Bytes) -> Result<Self, WireError> {
        let message: proto::DelegationBody = decode_canonical(bytes, Self::MAX_BYTES)?;
        check_version(message.version)?;
        let field = |field| WireError::Field { field };
        Ok(Self {
            network: message.network.parse().map_err(|_| field("network"))?,
            member: NodeId::from_slice(&message.member).ok_or(field("member"))?,
            node: NodeId::from_slice(&message.node).ok_or(field("node"))?,
            issued: message.issued,
            until: message.until,
        })
    }
}

impl Delegation {
    /// Checks that `member` has named `node`, and that it counts at `now` (Unix seconds), clocks that differ by
    /// [`MEMBER_SKEW_SECS`] forgiven.
    ///
    /// # Errors
    /// See [`DelegationError`].
    pub fn verify(
        self,
        network: &NetworkName,
        member: NodeId,
        node: NodeId,
        now: u64,
    ) -> Result<VerifiedDelegation, DelegationError> {
        let body = self.body();
        if body.network != *network {
            return Err(DelegationError::Network { found: body.network.clone() });
        }
        if body.member != member {
            return Err(DelegationError::Member { found: body.member });
        }
        if body.node != node {
            return Err(DelegationError::Node { found: body.node });
        }
        let (issued, until) = (body.issued, body.until);
        if until.saturating_add(MEMBER_SKEW_SECS) <= now {
            return Err(DelegationError::Ended { until, now });
        }
        let latest = now.saturating_add(MEMBER_SKEW_SECS);
        if issued > latest || until > latest.saturating_add(DELEGATION_SECS) {
            return Err(DelegationError::Future { issued, until, now });
        }
        Ok(self.check_signature()?)
    }
}
