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
        let mut verified = VerifiedLocator::new(self.descriptor);
        let (chunk, indices) = (verified.chunk(), verified.descriptor.all_indices());
        let context = ReceiptContext { network, chunk, indices, now };
        for receipt in self.receipts {
            if let Ok(receipt) = receipt.verify(&context) {
                verified.insert(receipt);
            }
        }
        verified
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

    /// The highest class any receipt asks for.
    pub fn class(&self) -> Option<Class> {
        self.receipts.values().map(|r| r.body().class).max()
    }

    /// Adds a receipt unless a newer one of that farmer is known; says whether anything changed. A receipt for another
    /// chunk is ignored. Beyond [`LOCATOR_MAX_RECEIPTS`] the farmer with the oldest receipt goes.
    pub fn insert(&mut self, receipt: VerifiedReceipt) -> bool {
        let farmer = receipt.body().farmer;
        let newer = self.receipts.get(&farmer).is_none_or(|old| old.rank() < receipt.rank());
        if receipt.body().chunk != self.chunk() || !newer {
            return false;
        }
        self.receipts.insert(farmer, receipt);
        if self.receipts.len() > LOCATOR_MAX_RECEIPTS {
            let oldest = self.receipts.iter().min_by_key(|(node, r)| (r.body().issued, **node)).map(|(node, _)| *node);
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

    /// Forgets a farmer's receipt.
    pub fn remove(&mut self, farmer: NodeId) {
        self.receipts.remove(&farmer);
    }

    /// The locator as it travels.
    pub fn to_locator(&self) -> Locator {
        let receipts = self.receipts().map(|r| r.as_receipt().clone()).collect();
        Locator { descriptor: self.descriptor.clone(), receipts }
    }
}

#[cfg(test)]
mod tests;
