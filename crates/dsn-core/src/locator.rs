//! Which farmer holds which piece of a chunk: the descriptor and the receipts. Custodians keep it, uploaders publish it,
//! readers ask for it. Merging is a union by farmer, so that any order of arrival gives the same locator.

use std::collections::BTreeMap;

use bytes::Bytes;
use dsn_proto as proto;
use prost::Message;

use crate::{
    descriptor::Descriptor,
    hash::ChunkId,
    index_set::IndexSet,
    limits::{DESCRIPTOR_MAX_BYTES, LOCATOR_MAX_RECEIPTS, SIGNED_BODY_MAX_BYTES},
    network_name::NetworkName,
    node_id::NodeId,
    receipt::{Receipt, ReceiptContext, VerifiedReceipt},
    redundancy::Class,
    wire::{WireError, check, check_version, decode_canonical},
};

/// Bytes of the largest encoded locator.
const LOCATOR_MAX_BYTES: usize = DESCRIPTOR_MAX_BYTES + LOCATOR_MAX_RECEIPTS * (SIGNED_BODY_MAX_BYTES + 128) + 64;

/// A well-formed locator whose receipts nobody has checked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Locator {
    descriptor: Descriptor,
    receipts: Vec<Receipt>,
}

/// A chunk's descriptor and its true receipts, one a farmer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedLocator {
    descriptor: Descriptor,
    receipts: BTreeMap<NodeId, VerifiedReceipt>,
}

/// Enough of a locator to tell whether another node has the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocatorMark {
    /// The chunk.
    pub chunk: ChunkId,
    /// The first eight bytes of the BLAKE3 hash of its encoding, big-endian.
    pub digest: u64,
}

impl Locator {
    /// The chunk described.
    pub fn chunk(&self) -> ChunkId {
        self.descriptor.id()
    }

    /// The chunk's descriptor, which its id proves.
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// The receipts, whether or not they are true.
    pub fn receipts(&self) -> &[Receipt] {
        &self.receipts
    }

    /// Keeps the receipts that count in `network` at `now` (Unix seconds) and drops the others.
    pub fn verify(self, network: &NetworkName, now: u64) -> VerifiedLocator {
        let nothing = VerifiedLocator::new(self.descriptor.clone());
        self.verify_beside(&nothing, network, now)
    }

    /// The same, without checking again the signatures of receipts that `known` has: of the forty in a locator usually
    /// one is new.
    pub fn verify_beside(self, known: &VerifiedLocator, network: &NetworkName, now: u64) -> VerifiedLocator {
        let mut verified = VerifiedLocator::new(self.descriptor);
        let (chunk, indices) = (verified.chunk(), verified.descriptor.all_indices());
        let context = ReceiptContext { network, chunk, indices, now };
        for receipt in self.receipts {
            let of_farmer = known.receipts.get(&receipt.body().farmer).filter(|_| known.chunk() == chunk);
            let is_known = of_farmer.is_some_and(|known| *known.as_signed() == receipt);
            let counts = if is_known { receipt.kept(now) } else { receipt.verify(&context).ok() };
            if let Some(receipt) = counts {
                verified.insert(receipt);
            }
        }
        verified
    }

    /// What tells it from others of its chunk.
    pub fn mark(&self) -> LocatorMark {
        let digest: [u8; 8] = *blake3::hash(&self.encode()).as_bytes().first_chunk().expect("32 bytes");
        LocatorMark { chunk: self.chunk(), digest: u64::from_be_bytes(digest) }
    }

    /// Takes a locator for true that this node verified before it kept it: receipts past their end are dropped, signatures
    /// are not checked again.
    pub fn kept(self, now: u64) -> VerifiedLocator {
        let mut kept = VerifiedLocator::new(self.descriptor);
        for receipt in self.receipts.into_iter().filter_map(|receipt| receipt.kept(now)) {
            kept.insert(receipt);
        }
        kept
    }

    pub(crate) fn from_proto(message: proto::Locator) -> Result<Self, WireError> {
        check_version(message.version)?;
        check(message.receipts.len() <= LOCATOR_MAX_RECEIPTS, "receipts")?;
        let descriptor = Descriptor::decode(&message.descriptor)?;
        let receipts = message.receipts.into_iter().map(Receipt::from_proto).collect::<Result<_, _>>()?;
        Ok(Self { descriptor, receipts })
    }

    pub(crate) fn to_proto(&self) -> proto::Locator {
        proto::Locator {
            version: 1,
            descriptor: self.descriptor.encoded().clone(),
            receipts: self.receipts.iter().map(Receipt::to_proto).collect(),
        }
    }

    /// The stored form.
    pub fn encode(&self) -> Bytes {
        self.to_proto().encode_to_vec().into()
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// When it is not the canonical encoding of a locator.
    pub fn decode(bytes: &Bytes) -> Result<Self, WireError> {
        Self::from_proto(decode_canonical(bytes, LOCATOR_MAX_BYTES)?)
    }
}

impl VerifiedLocator {
    /// A locator nobody has signed a receipt for yet.
    pub fn new(descriptor: Descriptor) -> Self {
        Self { descriptor, receipts: BTreeMap::new() }
    }

    /// The chunk described.
    pub fn chunk(&self) -> ChunkId {
        self.descriptor.id()
    }

    /// The chunk's descriptor.
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// The receipts, in order of farmer.
    pub fn receipts(&self) -> impl Iterator<Item = &VerifiedReceipt> {
        self.receipts.values()
    }

    /// Who holds which pieces, by their receipts.
    pub fn holders(&self) -> BTreeMap<NodeId, IndexSet> {
        self.receipts.iter().map(|(farmer, receipt)| (*farmer, receipt.body().indices)).collect()
    }

    /// The highest class any receipt asks for; the usual one without receipts.
    pub fn class(&self) -> Class {
        self.receipts.values().map(|r| r.body().class).max().unwrap_or_default()
    }

    /// Adds a receipt unless a newer one of that farmer is known; says whether anything changed. A receipt for another
    /// chunk is ignored. Beyond [`LOCATOR_MAX_RECEIPTS`] the farmer with the oldest receipt goes.
    pub fn insert(&mut self, receipt: VerifiedReceipt) -> bool {
        self.insert_beside(receipt, &|_| false)
    }

    /// The same, where of too many receipts those of farmers that `proved` names stay: a stranger with a hundred keys must
    /// not push out those who were seen to hold what they signed for.
    fn insert_beside(&mut self, receipt: VerifiedReceipt, proved: &dyn Fn(NodeId) -> bool) -> bool {
        let farmer = receipt.body().farmer;
        let newer = self.receipts.get(&farmer).is_none_or(|old| old.rank() < receipt.rank());
        if receipt.body().chunk != self.chunk() || !newer {
            return false;
        }
        self.receipts.insert(farmer, receipt);
        if self.receipts.len() > LOCATOR_MAX_RECEIPTS {
            let rank = |(node, receipt): &(&NodeId, &VerifiedReceipt)| (proved(**node), receipt.body().issued, **node);
            let oldest = self.receipts.iter().min_by_key(rank).map(|(node, _)| *node);
            let oldest = oldest.expect("there are more than 96");
            self.receipts.remove(&oldest);
            return oldest != farmer;
        }
        true
    }

    /// Adds what another locator of the same chunk knows; says whether anything changed.
    pub fn merge(&mut self, other: &Self) -> bool {
        let changed: Vec<_> = other.receipts().map(|receipt| self.insert(receipt.clone())).collect();
        changed.contains(&true)
    }

    /// The same, where of too many receipts those of farmers that `proved` names stay.
    pub fn merge_beside(&mut self, other: &Self, proved: &dyn Fn(NodeId) -> bool) -> bool {
        let changed: Vec<_> = other.receipts().map(|receipt| self.insert_beside(receipt.clone(), proved)).collect();
        changed.contains(&true)
    }

    /// Forgets the receipts of farmers that `keep` does not want.
    pub fn retain(&mut self, keep: impl Fn(NodeId) -> bool) {
        self.receipts.retain(|farmer, _| keep(*farmer));
    }

    /// Forgets a farmer's receipt.
    pub fn remove(&mut self, farmer: NodeId) {
        self.receipts.remove(&farmer);
    }

    /// The locator as it travels.
    pub fn to_locator(&self) -> Locator {
        let receipts = self.receipts().map(|r| r.as_signed().clone()).collect();
        Locator { descriptor: self.descriptor.clone(), receipts }
    }
}

#[cfg(test)]
mod tests;
