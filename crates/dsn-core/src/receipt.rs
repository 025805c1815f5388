//! A farmer's signed word: "I hold these pieces of this chunk, fsynced". A [`Receipt`] is what came in; only
//! [`Receipt::verify`] makes a [`VerifiedReceipt`], and only those are counted or kept in a locator.

use std::num::NonZeroU64;

use bytes::Bytes;
use dsn_proto as proto;
use prost::Message;
use thiserror::Error;

use crate::{
    hash::ChunkId,
    identity::{Domain, Identity, SignatureError, SignedBody},
    index_set::IndexSet,
    limits::{CLOCK_SKEW_SECS, SIGNED_BODY_MAX_BYTES},
    network_name::NetworkName,
    node_id::NodeId,
    redundancy::Class,
    signed::{Body, Signed, Verified},
    wire::{WireError, check, check_version, decode_canonical},
};

/// What a receipt says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiptBody {
    /// The network it counts in.
    pub network: NetworkName,
    /// The chunk.
    pub chunk: ChunkId,
    /// Who holds the pieces.
    pub farmer: NodeId,
    /// The pieces held; never empty.
    pub indices: IndexSet,
    /// The redundancy asked for when they were offered.
    pub class: Class,
    /// A farmer's newer receipt for a chunk has a higher number.
    pub seq: u64,
    /// When it was signed, in Unix seconds.
    pub issued: u64,
    /// Until when it holds, in Unix seconds; none: without end. Never 0, which is how bytes say "none".
    pub until: Option<NonZeroU64>,
}

/// A well-formed receipt whose signature nobody has checked yet.
pub type Receipt = Signed<ReceiptBody>;

/// A receipt with a true signature, for the right network and chunk, not expired.
pub type VerifiedReceipt = Verified<ReceiptBody>;

/// Why a receipt does not count.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReceiptError {
    /// Forged.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// Of another network.
    #[error("the receipt is of network {found}")]
    Network {
        /// The network it names.
        found: NetworkName,
    },
    /// For another chunk.
    #[error("the receipt is for chunk {found}")]
    Chunk {
        /// The chunk it names.
        found: ChunkId,
    },
    /// For pieces that the chunk's code does not have.
    #[error("the receipt names pieces the chunk does not have")]
    Indices,
    /// Past its end, or dated in the future.
    #[error("the receipt is not valid at {now} (issued {issued}, until {until:?})")]
    Expired {
        /// Unix seconds of the reader's clock.
        now: u64,
        /// Unix seconds.
        issued: u64,
        /// Unix seconds.
        until: Option<NonZeroU64>,
    },
}

/// What a reader expects of a receipt.
#[derive(Clone, Copy, Debug)]
pub struct ReceiptContext<'a> {
    /// The network the reader is in.
    pub network: &'a NetworkName,
    /// The chunk asked about.
    pub chunk: ChunkId,
    /// The indices pieces of that chunk can have.
    pub indices: IndexSet,
    /// The reader's clock, Unix seconds.
    pub now: u64,
}

impl ReceiptBody {
    /// Signs it.
    pub fn sign(self, identity: &Identity) -> VerifiedReceipt {
        VerifiedReceipt::sign(self, identity)
    }
}

impl Body for ReceiptBody {
    const DOMAIN: Domain = Domain::Receipt;
    const MAX_BYTES: usize = SIGNED_BODY_MAX_BYTES;

    fn signer(&self) -> NodeId {
        self.farmer
    }

    fn to_bytes(&self) -> Vec<u8> {
        let message = proto::ReceiptBody {
            version: 1,
            network: self.network.as_str().into(),
            chunk_id: Bytes::copy_from_slice(self.chunk.as_bytes()),
            farmer: Bytes::copy_from_slice(&self.farmer.0),
            indices: self.indices.bits(),
            class: self.class.number(),
            seq: self.seq,
            issued: self.issued,
            until: self.until.map_or(0, NonZeroU64::get),
        };
        message.encode_to_vec()
    }

    fn from_bytes(bytes: &Bytes) -> Result<Self, WireError> {
        let message: proto::ReceiptBody = decode_canonical(bytes, Self::MAX_BYTES)?;
        check_version(message.version)?;
        let field = |field| WireError::Field { field };
        let indices = IndexSet::from_bits(message.indices).ok_or(field("indices"))?;
        check(!indices.is_empty(), "indices")?;
        Ok(Self {
            network: message.network.parse().map_err(|_| field("network"))?,
            chunk: ChunkId::from_slice(&message.chunk_id).ok_or(field("chunk_id"))?,
            farmer: NodeId::from_slice(&message.farmer).ok_or(field("farmer"))?,
            indices,
            class: Class::from_number(message.class)?,
            seq: message.seq,
            issued: message.issued,
            until: NonZeroU64::new(message.until),
        })
    }
}

impl Receipt {
    /// Checks all that can be checked without asking the farmer.
    ///
    /// # Errors
    /// See [`ReceiptError`].
    pub fn verify(self, context: &ReceiptContext<'_>) -> Result<VerifiedReceipt, ReceiptError> {
        let ReceiptBody { network, chunk, indices, issued, until, .. } = self.body();
        if network != context.network {
            return Err(ReceiptError::Network { found: network.clone() });
        }
        if *chunk != context.chunk {
            return Err(ReceiptError::Chunk { found: *chunk });
        }
        if !indices.is_subset(context.indices) {
            return Err(ReceiptError::Indices);
        }
        let now = context.now;
        if *issued > now.saturating_add(CLOCK_SKEW_SECS) || until.is_some_and(|until| until.get() < now) {
            return Err(ReceiptError::Expired { now, issued: *issued, until: *until });
        }
        Ok(self.check_signature()?)
    }

    /// A receipt that this node verified before it kept it; none when it has ended since.
    pub(crate) fn kept(self, now: u64) -> Option<VerifiedReceipt> {
        self.body().until.is_none_or(|until| until.get() >= now).then(|| self.verified_before())
    }
}

impl VerifiedReceipt {
    /// The highest of a farmer's receipts for a chunk is the newest. The bytes come last, so that two receipts signed with
    /// one number still have one order.
    pub(crate) fn rank(&self) -> impl Ord + '_ {
        let SignedBody { body, signature } = self.as_signed().signed_body();
        (self.body().seq, self.body().issued, body, signature)
    }
}

#[cfg(test)]
mod tests;
