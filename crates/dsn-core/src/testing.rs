//! What the property tests draw from: valid objects of every kind, and ways to spoil their bytes. Only in tests.

use std::num::NonZeroU64;

use bytes::Bytes;
use proptest::{collection::vec, prelude::*, sample::Index, strategy::Union};

use crate::{
    descriptor::{Code, Descriptor},
    hash::{ChunkId, Hash},
    hello::{Capabilities, Hello, Profile, SpaceClass, Versions},
    identity::Identity,
    index_set::IndexSet,
    locator::VerifiedLocator,
    network_name::NetworkName,
    receipt::{ReceiptBody, VerifiedReceipt},
    record::{FarmerRecord, RecordBody, Role},
    redundancy::Class,
};

/// The network of all receipts here.
pub(crate) fn network() -> NetworkName {
    "test-net".parse().expect("a valid name")
}

/// A time at which all receipts here count, Unix seconds.
pub(crate) const NOW: u64 = 1_800_000_000;

pub(crate) fn chunk_id() -> impl Strategy<Value = ChunkId> {
    any::<[u8; 32]>().prop_map(|bytes| ChunkId(Hash(bytes)))
}

/// Never empty.
pub(crate) fn indices() -> impl Strategy<Value = IndexSet> {
    (1u64..1 << 48).prop_map(|bits| IndexSet::from_bits(bits).expect("48 bits"))
}

pub(crate) fn class() -> impl Strategy<Value = Class> {
    prop_oneof![Just(Class::Low), Just(Class::Normal), Just(Class::High)]
}

/// A chunk of any code and length, with hashes that follow from a number.
pub(crate) fn descriptor() -> impl Strategy<Value = Descriptor> {
    let of = |code: Code| {
        (1..=code.max_chunk_len(), any::<u64>()).prop_map(move |(len, seed)| {
            let hash = |index: usize| Hash::of(format!("{seed} {index}").as_bytes());
            Descriptor::new(code, len, &(0..code.total()).map(hash).collect::<Vec<_>>())
        })
    };
    Union::new([of(Code::Rs16Of48).boxed(), of(Code::Rep).boxed()])
}

/// One of 200 farmers, so that two draws meet now and then.
pub(crate) fn farmer() -> impl Strategy<Value = Identity> {
    (0u8..200).prop_map(|seed| Identity::from_seed([seed; 32]))
}

/// A receipt that counts in [`network`] at [`NOW`] for a chunk described so.
pub(crate) fn receipt_for(descriptor: &Descriptor) -> impl Strategy<Value = VerifiedReceipt> + use<> {
    let (chunk, all) = (descriptor.id(), descriptor.all_indices());
    let times = (
        0u64..4,
        NOW - 10..=NOW,
        proptest::option::of((NOW..=u64::MAX).prop_map(|until| NonZeroU64::new(until).expect("after 1970"))),
    );
    (farmer(), indices(), class(), times).prop_map(move |(farmer, indices, class, (seq, issued, until))| {
        let indices = if indices.and(all).is_empty() { IndexSet::one(0) } else { indices.and(all) };
        let body =
            ReceiptBody { network: network(), chunk, farmer: farmer.node_id(), indices, class, seq, issued, until };
        body.sign(&farmer)
    })
}

/// A locator of up to 12 receipts.
pub(crate) fn locator() -> impl Strategy<Value = VerifiedLocator> {
    descriptor().prop_flat_map(|descriptor| {
        vec(receipt_for(&descriptor), 0..12).prop_map(move |receipts| located(&descriptor, &receipts))
    })
}

pub(crate) fn located(descriptor: &Descriptor, receipts: &[VerifiedReceipt]) -> VerifiedLocator {
    let mut locator = VerifiedLocator::new(descriptor.clone());
    receipts.iter().for_each(|receipt| {
        locator.insert(receipt.clone());
    });
    locator
}

pub(crate) fn record() -> impl Strategy<Value = FarmerRecord> {
    let address = vec(any::<u8>(), 1..=256).prop_map(Bytes::from);
    let role = prop_oneof![Just(Role::Client), Just(Role::Farmer)];
    let rest = (vec(address, 0..=8), 0u8..64, "[!-~]{0,32}", role, any::<u64>());
    (farmer(), rest).prop_map(|(farmer, (addresses, space_class, domain, role, seq))| {
        let node = farmer.node_id();
        RecordBody { network: network(), node, addresses, space_class, domain, role, seq }.sign(&farmer)
    })
}

/// Of this version, or of later ones.
pub(crate) fn hello() -> impl Strategy<Value = Hello> {
    let role = prop_oneof![Just(Role::Client), Just(Role::Farmer)];
    let capabilities = prop_oneof![
        Just(Capabilities::NONE),
        Just(Capabilities::PIECES.with(Capabilities::DHT)),
        Just(Capabilities::RELAY.with(Capabilities::RENDEZVOUS)),
    ];
    let profile = (role, capabilities, any::<[u64; 2]>(), "[!-~]{0,32}", any::<bool>());
    (profile, 1u32..3, 0u32..3).prop_map(|((role, capabilities, [lent, free], domain, leaving), min, more)| {
        let versions = Versions::new(min, min + more).expect("a range");
        let (lent, free) = (SpaceClass::of(lent), SpaceClass::of(free));
        let profile = Profile { role, capabilities, lent, free, domain, leaving };
        let profile = versions.newest_common(Versions::KNOWN).map(|_| profile);
        Hello { versions, network: network(), profile }
    })
}

/// The same bytes but for one bit.
pub(crate) fn flipped(bytes: &Bytes, bit: Index) -> Bytes {
    let bit = bit.index(bytes.len() * 8);
    let mut bytes = bytes.to_vec();
    bytes[bit / 8] ^= 1 << (bit % 8);
    bytes.into()
}

/// Bytes that come close to valid ones, or anything at all.
pub(crate) fn spoiled(valid: impl Strategy<Value = Bytes> + 'static) -> impl Strategy<Value = Bytes> {
    let edits = vec((any::<Index>(), any::<u8>()), 0..4);
    let close = (valid, edits, any::<Index>(), any::<bool>()).prop_map(|(valid, edits, end, cut)| {
        let mut bytes = valid.to_vec();
        for (at, byte) in edits.into_iter().filter(|_| !valid.is_empty()) {
            bytes[at.index(valid.len())] = byte;
        }
        bytes.truncate(if cut { end.index(valid.len() + 1) } else { valid.len() });
        Bytes::from(bytes)
    });
    Union::new([close.boxed(), vec(any::<u8>(), 0..300).prop_map(Bytes::from).boxed()])
}
