//! A node's signed self-description: where it can be reached, how much it lends, where it stands. Addresses live here and
//! not in receipts, so that a farmer can move without re-signing what it holds.

use std::net::IpAddr;

use bytes::Bytes;
use dsn_proto as proto;
use prost::Message;
use thiserror::Error;

use crate::{
    identity::{Domain, Identity, SignatureError},
    limits::{ADDRESS_MAX_BYTES, DOMAIN_MAX_BYTES, RECORD_BODY_MAX_BYTES, RECORD_MAX_ADDRESSES},
    network_name::NetworkName,
    node_id::NodeId,
    signed::{Body, Signed, Verified},
    wire::{WireError, check, check_version, decode_canonical},
};

/// The longest direct address with an IP address is one of IPv6, TCP and WebSocket; a node's id alone takes 38 bytes.
const DIRECT_ADDRESS_MAX_BYTES: usize = 32;

/// What a node does for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Puts and gets only.
    Client,
    /// Lends space.
    Farmer,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordBody {
    /// The network it counts in.
    pub network: NetworkName,
    /// The node.
    pub node: NodeId,
    /// Binary multiaddrs, at most [`RECORD_MAX_ADDRESSES`].
    pub addresses: Vec<Bytes>,
    /// The bytes lent, as a power of two: floor(log2(bytes)).
    pub space_class: u8,
    /// The operator's failure-domain tag; may be empty.
    pub domain: String,
    /// What the node does.
    pub role: Role,
    /// A node's newer record has a higher number.
    pub seq: u64,
}

/// A well-formed record whose signature nobody has checked yet.
pub type FarmerRecord = Signed<RecordBody>;

/// Why a record does not count.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RecordError {
    /// Forged.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// Of another network.
    #[error("the record is of network {found}")]
    Network {
        /// The network it names.
        found: NetworkName,
    },
    /// Of another node than the one that sent it.
    #[error("the record is of node {found}")]
    Node {
        /// The node it names.
        found: NodeId,
    },
}

impl Role {
    pub(crate) fn number(self) -> u32 {
        match self {
            Self::Client => 1,
            Self::Farmer => 2,
        }
    }

    pub(crate) fn from_number(number: u32) -> Result<Self, WireError> {
        match number {
            1 => Ok(Self::Client),
            2 => Ok(Self::Farmer),
            found => Err(WireError::Unknown { what: "role", found }),
        }
    }
}

/// Fails unless the text may be a failure-domain tag.
pub(crate) fn check_domain(domain: &str) -> Result<(), WireError> {
    let tag = |b: u8| b.is_ascii_graphic();
    check(domain.len() <= DOMAIN_MAX_BYTES && domain.bytes().all(tag), "domain")
}

impl RecordBody {
    /// Signs it.
    pub fn sign(self, identity: &Identity) -> FarmerRecord {
        Verified::sign(self, identity).into_signed()
    }
}

impl Body for RecordBody {
    const DOMAIN: Domain = Domain::Record;
    const MAX_BYTES: usize = RECORD_BODY_MAX_BYTES;

    fn signer(&self) -> NodeId {
        self.node
    }

    fn to_bytes(&self) -> Vec<u8> {
        let message = proto::RecordBody {
            version: 1,
            network: self.network.as_str().into(),
            node: Bytes::copy_from_slice(&self.node.0),
            addresses: self.addresses.clone(),
            space_class: u32::from(self.space_class),
            domain: self.domain.clone(),
            role: self.role.number(),
            seq: self.seq,
        };
        message.encode_to_vec()
    }

    fn from_bytes(bytes: &Bytes) -> Result<Self, WireError> {
        let message: proto::RecordBody = decode_canonical(bytes, Self::MAX_BYTES)?;
        check_version(message.version)?;
        let field = |field| WireError::Field { field };
        let addresses_fit = message.addresses.iter().all(|a| (1..=ADDRESS_MAX_BYTES).contains(&a.len()));
        check(addresses_fit && message.addresses.len() <= RECORD_MAX_ADDRESSES, "addresses")?;
        check_domain(&message.domain)?;
        check(message.space_class < 64, "space_class")?;
        Ok(Self {
            network: message.network.parse().map_err(|_| field("network"))?,
            node: NodeId::from_slice(&message.node).ok_or(field("node"))?,
            addresses: message.addresses,
            space_class: u8::try_from(message.space_class).map_err(|_| field("space_class"))?,
            domain: message.domain,
            role: Role::from_number(message.role)?,
            seq: message.seq,
        })
    }
}

impl RecordBody {
    /// The IP address of the first address that starts with one: binary multiaddrs begin with `04` and 4 bytes or `29`
    /// (hexadecimal) and 16 bytes. One that is longer than host and port is a relay's, with its id.
    pub fn ip(&self) -> Option<IpAddr> {
        let direct = self.addresses.iter().filter(|address| address.len() <= DIRECT_ADDRESS_MAX_BYTES);
        direct.into_iter().find_map(|address| match address.split_first()? {
            (0x04, rest) => rest.first_chunk::<4>().map(|ip| IpAddr::from(*ip)),
            (0x29, rest) => rest.first_chunk::<16>().map(|ip| IpAddr::from(*ip)),
            _ => None,
        })
    }
}

impl FarmerRecord {
    /// Checks that `node` signed it for `network`, and gives what it says.
    ///
    /// # Errors
    /// See [`RecordError`].
    pub fn verify(self, network: &NetworkName, node: NodeId) -> Result<RecordBody, RecordError> {
        if self.body().network != *network {
            return Err(RecordError::Network { found: self.body().network.clone() });
        }
        if self.body().node != node {
            return Err(RecordError::Node { found: self.body().node });
        }
        Ok(self.check_signature()?.into_body())
    }
}

#[cfg(test)]
mod tests;
