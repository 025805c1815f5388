//! The chunks of the model: who holds which piece, in 4 bytes a piece and about 40 a chunk. Two truths are kept: what is
//! there, which decides what is lost, and what the custodians believe, which decides what is repaired.

use dsn_core::{
    hash::{ChunkId, Hash},
    index_set::IndexSet,
};

use super::farmers::{Slot, place_of};

/// Bits of a piece's index.
const INDEX_BITS: u32 = 6;

/// Chunks that a [`PieceRef`] can name.
pub(super) const CHUNKS_MAX: u32 = 1 << (u32::BITS - INDEX_BITS);

/// Nobody holds the piece.
const NOBODY: Slot = Slot::MAX;

/// A piece of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PieceRef(u32);

impl PieceRef {
    pub(super) fn new(chunk: u32, index: u8) -> Self {
        Self(chunk << INDEX_BITS | u32::from(index))
    }

    pub(super) fn chunk(self) -> u32 {
        self.0 >> INDEX_BITS
    }

    pub(super) fn index(self) -> u8 {
        u8::try_from(self.0 & ((1 << INDEX_BITS) - 1)).expect("6 bits")
    }
}

/// Whether a chunk is to be repaired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// No.
    Well,
    /// Its turn has not come.
    Waits,
    /// As before, and before others.
    WaitsUrgently,
    /// Somebody is at it.
    Served,
    /// It cannot be any more.
    Lost,
}

/// One chunk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunk {
    /// Pieces on farmers that live, absent or not.
    pub(super) held: IndexSet,
    /// Pieces that the custodians count.
    pub(super) believed: IndexSet,
    /// When the loss happened that calls for repair, whether anybody knows or not.
    pub(super) ailing_since: Option<u64>,
    pub(super) ticket: u32,
    pub(super) tries: u32,
    pub(super) phase: Phase,
}

/// All of them.
pub(super) struct Chunks {
    seed: u64,
    place: usize,
    all: Vec<Chunk>,
    holders: Vec<Slot>,
}

impl Chunks {
    /// `count` chunks of `place` pieces each that nobody holds.
    pub(super) fn new(seed: u64, count: u32, place: usize) -> Self {
        let (held, believed) = (IndexSet::EMPTY, IndexSet::EMPTY);
        let chunk = Chunk { held, believed, ailing_since: None, ticket: 0, tries: 0, phase: Phase::Well };
        Self { seed, place, all: vec![chunk; count as usize], holders: vec![NOBODY; count as usize * place] }
    }

    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.all.len()).expect("it was made of one")
    }

    pub(super) fn get(&self, chunk: u32) -> &Chunk {
        &self.all[chunk as usize]
    }

    pub(super) fn get_mut(&mut self, chunk: u32) -> &mut Chunk {
        &mut self.all[chunk as usize]
    }

    /// Its id: as random as real ones, and worked out when needed.
    pub(super) fn id(&self, chunk: u32) -> ChunkId {
        let mut name = [0; 12];
        name[..8].copy_from_slice(&self.seed.to_be_bytes());
        name[8..].copy_from_slice(&chunk.to_be_bytes());
        ChunkId(Hash::of(&name))
    }

    /// Where it lies among the farmers.
    pub(super) fn place(&self, chunk: u32) -> u64 {
        place_of(self.id(chunk).as_bytes())
    }

    /// Whether this farmer is the one whose copy of the piece counts.
    pub(super) fn is_holder(&self, piece: PieceRef, slot: Slot) -> bool {
        self.holders[self.at(piece)] == slot
    }

    /// A farmer holds the piece from now on, in place of whoever did.
    pub(super) fn give(&mut self, piece: PieceRef, slot: Slot) {
        let at = self.at(piece);
        self.holders[at] = slot;
        let chunk = self.get_mut(piece.chunk());
        chunk.held.insert(piece.index());
        chunk.believed.insert(piece.index());
    }

    /// The holders of the pieces that are there, one for each.
    pub(super) fn holders(&self, chunk: u32) -> impl Iterator<Item = (Slot, u8)> {
        let held = self.get(chunk).held;
        held.iter().map(move |index| (self.holders[self.at(PieceRef::new(chunk, index))], index))
    }

    /// Nobody counts the piece any more, nor remembers who held it.
    pub(super) fn disbelieve(&mut self, piece: PieceRef) {
        self.get_mut(piece.chunk()).believed.remove(piece.index());
    }

    fn at(&self, piece: PieceRef) -> usize {
        piece.chunk() as usize * self.place + usize::from(piece.index())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_has_one_holder_that_counts() {
        let mut chunks = Chunks::new(1, 3, 40);
        let piece = PieceRef::new(2, 39);
        assert_eq!((piece.chunk(), piece.index()), (2, 39));
        chunks.give(piece, 7);
        chunks.give(piece, 9);
        assert!(chunks.is_holder(piece, 9) && !chunks.is_holder(piece, 7));
        assert_eq!(chunks.holders(2).collect::<Vec<_>>(), [(9, 39)]);
        assert_ne!(chunks.id(1), chunks.id(2));
        let last = PieceRef::new(CHUNKS_MAX - 1, 47);
        assert_eq!((last.chunk(), last.index()), (CHUNKS_MAX - 1, 47));
    }
}
