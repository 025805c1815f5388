//! Who is no member any more: one list of a network, signed by its founder as a whole, so that nobody can leave one out.
//! The list with the highest number counts; members hand it on whenever they meet.

use std::collections::BTreeSet;

use bytes::Bytes;
use dsn_proto as proto;
use prost::Message;
use thiserror::Error;

use crate::{
    identity::{Domain, Identity, SignatureError},
    limits::{REVOCATIONS_MAX, REVOCATIONS_MAX_BYTES},
    network_name::NetworkName,
    node_id::NodeId,
    signed::{Body, Signed, Verified},
    wire::{WireError, check, check_version, decode_canonical},
};

/// What a list says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevocationsBody {
    /// The network.
    pub network: NetworkName,
    /// Who founded it.
    pub founder: NodeId,
    /// The highest counts; never 0.
    pub seq: u64,
    /// Whose certificates count no more: at most [`REVOCATIONS_MAX`].
    pub members: BTreeSet<NodeId>,
}

/// A well-formed list whose signature nobody has checked yet.
pub type Revocations = Signed<RevocationsBody>;

/// A list that the network's founder has signed.
pub type VerifiedRevocations = Verified<RevocationsBody>;

/// Why a list does not count.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RevocationsError {
    /// Forged.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// Of another network.
    #[error("the list of revocations is of network {found}")]
    Network {
        /// The network it names.
        found: NetworkName,
    },
    /// Of another founder.
    #[error("the list of revocations is of the founder {found}")]
    Founder {
        /// The founder it names.
        found: NodeId,
    },
}

impl RevocationsBody {
    /// Whether a member is in it.
    pub fn contains(&self, member: NodeId) -> bool {
        self.members.contains(&member)
    }

    /// Signs it.
    ///
    /// # Panics
    /// With more than [`REVOCATIONS_MAX`] members.
    pub fn sign(self, founder: &Identity) -> VerifiedRevocations {
        assert!(self.members.len() <= REVOCATIONS_MAX && self.seq > 0, "whoever adds to a list looks at its length");
        VerifiedRevocations::sign(self, founder)
    }
}

impl Body for RevocationsBody {
    const DOMAIN: Domain = Domain::Revocations;
    const MAX_BYTES: usize = REVOCATIONS_MAX_BYTES;

    fn signer(&self) -> NodeId {
        self.founder
    }

    fn to_bytes(&self) -> Vec<u8> {
        let message = proto::RevocationsBody {
            version: 1,
            network: self.network.as_str().into(),
            founder: Bytes::copy_from_slice(&self.founder.0),
            seq: self.seq,
            members: self.members.iter().flat_map(|member| member.0).collect(),
        };
        message.encode_to_vec()
    }

    fn from_bytes(bytes: &Bytes) -> Result<Self, WireError> {
        let message: proto::RevocationsBody = decode_canonical(bytes, Self::MAX_BYTES)?;
        check_version(message.version)?;
        let field = |field| WireError::Field { field };
        check(message.seq > 0, "seq")?;
        let (members, rest) = message.members.as_chunks::<32>();
        check(rest.is_empty() && members.len() <= REVOCATIONS_MAX && members.is_sorted_by(|a, b| a < b), "members")?;
        Ok(Self {
            network: message.network.parse().map_err(|_| field("network"))?,
            founder: NodeId::from_slice(&message.founder).ok_or(field("founder"))?,
            seq: message.seq,
            members: members.iter().map(|member| NodeId(*member)).collect(),
        })
    }
}

impl Revocations {
    /// Checks that the founder of this network has signed it.
    ///
    /// # Errors
    /// See [`RevocationsError`].
    pub fn verify(self, network: &NetworkName, founder: NodeId) -> Result<VerifiedRevocations, RevocationsError> {
        if self.body().network != *network {
            return Err(RevocationsError::Network { found: self.body().network.clone() });
        }
        if self.body().founder != founder {
            return Err(RevocationsError::Founder { found: self.body().founder });
        }
        Ok(self.check_signature()?)
    }
}
