//! What every store asks of a batch before it applies it. Not here: anything that depends on what a store holds.

use std::collections::BTreeSet;

use dsn_core::{hash::ChunkId, ports::PutBatch};

/// The chunks a batch names, in order of first appearance, pieces before bare chunks.
///
/// # Panics
/// When a piece comes with another chunk's descriptor: the caller verified the piece against a descriptor and then sent
/// another one.
pub(crate) fn named_chunks(batch: &PutBatch) -> Vec<ChunkId> {
    for new in &batch.pieces {
        assert_eq!(new.piece.chunk(), new.descriptor.id(), "a piece and its descriptor belong to one chunk");
    }
    let mut seen = BTreeSet::new();
    let of_pieces = batch.pieces.iter().map(|new| new.piece.chunk());
    of_pieces.chain(batch.chunks.iter().copied()).filter(|chunk| seen.insert(*chunk)).collect()
}
