//! Chunks, pieces, batches and locators to put into a store.

use bytes::BytesMut;
use dsn_core::{
    cid::Cid,
    descriptor::Code,
    erasure::{EncodedChunk, encode},
    hash::{ChunkId, Hash},
    identity::Identity,
    index_set::IndexSet,
    lease::{LeaseBody, VerifiedLease},
    locator::{Locator, VerifiedLocator},
    node_id::NodeId,
    ports::{NewPiece, PutBatch},
    receipt::ReceiptBody,
    redundancy::Class,
    rpc::PutId,
};

pub(crate) const ALICE: NodeId = NodeId([1; 32]);
pub(crate) const BOB: NodeId = NodeId([2; 32]);
pub(crate) const PUT_1: PutId = PutId([1; 16]);
pub(crate) const PUT_2: PutId = PutId([2; 16]);

/// Any root, a different one for each number.
pub(crate) fn root(number: u8) -> Cid {
    Cid(ChunkId(Hash([number; 32])))
}

/// The lease of a file of the owner with this number.
pub(crate) fn lease(owner: u8, root: Cid, issued: u64, until: Option<u64>) -> VerifiedLease {
    let owner = Identity::from_seed([owner; 32]);
    let network = "test".parse().expect("a valid name");
    LeaseBody { network, owner: owner.node_id(), root, issued, until }.sign(&owner)
}

/// A lease of the file with this number, of the first owner, without end.
pub(crate) fn endless(number: u8) -> Vec<VerifiedLease> {
    vec![lease(1, root(number), 1, None)]
}

/// A coded chunk whose bytes follow from `seed`.
pub(crate) fn chunk(seed: u64, len: usize) -> EncodedChunk {
    let mut bytes = BytesMut::zeroed(len);
    fill(seed, &mut bytes);
    encode(Code::Rs16Of48, bytes)
}

/// A chunk with the `rep` code, whose only piece is itself.
pub(crate) fn rep_chunk(seed: u64, len: usize) -> EncodedChunk {
    let mut bytes = BytesMut::zeroed(len);
    fill(seed, &mut bytes);
    encode(Code::Rep, bytes)
}

/// Bytes no compressor shortens.
fn fill(seed: u64, bytes: &mut [u8]) {
    let mut random = Random(seed);
    for part in bytes.chunks_mut(8) {
        part.copy_from_slice(&random.next().to_le_bytes()[..part.len()]);
    }
}

/// Random numbers that follow from a seed, without a dependency: splitmix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }
}

/// Alice's first upload of these pieces, class `normal`.
pub(crate) fn batch<'a>(pieces: impl IntoIterator<Item = (&'a EncodedChunk, u8)>) -> PutBatch {
    let new = |(chunk, index): (&EncodedChunk, u8)| NewPiece {
        descriptor: chunk.descriptor.clone(),
        piece: chunk.pieces[usize::from(index)].clone(),
    };
    let pieces = pieces.into_iter().map(new).collect();
    PutBatch { put_id: PUT_1, owner: ALICE, class: Class::Normal, lease_until: 1_000, pieces, chunks: Vec::new() }
}

/// Alice's lease on chunks already held.
pub(crate) fn lease_only(chunks: impl IntoIterator<Item = ChunkId>) -> PutBatch {
    PutBatch { chunks: chunks.into_iter().collect(), ..batch([]) }
}

/// A locator in which one farmer signs for `indices`, with receipt number `seq`.
pub(crate) fn locator(chunk: &EncodedChunk, seq: u64) -> Locator {
    let farmer = Identity::from_seed([9; 32]);
    let mut locator = VerifiedLocator::new(chunk.descriptor.clone());
    let body = ReceiptBody {
        network: "test".parse().expect("a valid name"),
        chunk: chunk.descriptor.id(),
        farmer: farmer.node_id(),
        indices: IndexSet::one(0),
        class: Class::Normal,
        seq,
        issued: 1,
        until: None,
    };
    assert!(locator.insert(body.sign(&farmer)), "the first receipt counts");
    locator.to_locator()
}
