//! A store in memory, for simulation and tests: deterministic (ordered maps, no clock, no randomness) and shared by its
//! clones, so that a simulated farmer that crashes finds its disk again by keeping one. Every method takes effect in one
//! step before it returns, which is what an fsync promises: a crash loses nothing that was answered. Not here: memory
//! bounds, or anything that outlives the process.
//!
//! The hooks at the end do to it what happens to disks. Receipt numbers survive even [`MemoryStore::lose_everything`],
//! because a real store starts above any number it can have given before.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use dsn_core::{
    cid::Cid,
    descriptor::Descriptor,
    hash::ChunkId,
    index_set::IndexSet,
    locator::Locator,
    node_id::NodeId,
    ports::{BoundChunks, ChunkHoldings, NewPiece, PieceStore, PutBatch, Space, StoreError, StoredChunk},
    redundancy::Class,
    rpc::PutId,
};

use crate::batch::named_chunks;

/// A store in memory. Clones share their contents.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    chunks: BTreeMap<ChunkId, Held>,
    locators: BTreeMap<ChunkId, Locator>,
    provisional: BTreeSet<(PutId, NodeId, ChunkId)>,
    leases: BTreeSet<(NodeId, Cid, ChunkId)>,
    space: Space,
    seq: u64,
}

#[derive(Debug)]
struct Held {
    descriptor: Descriptor,
    class: Class,
    pieces: BTreeMap<u8, HeldPiece>,
}

#[derive(Debug)]
enum HeldPiece {
    Sound(Bytes),
    Rotten { len: usize },
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// All chunks with a piece, in order, and the pieces of them.
    pub fn list(&self) -> Vec<(ChunkId, IndexSet)> {
        let state = self.state();
        let held = state.chunks.iter().map(|(chunk, held)| (*chunk, held.indices()));
        held.filter(|(_, indices)| !indices.is_empty()).collect()
    }

    /// A wiped disk: pieces, descriptors, locators and leases are gone.
    pub fn lose_everything(&self) {
        let mut state = self.state();
        *state = State { seq: state.seq, ..State::default() };
    }

    /// Bit rot: the next read of this piece finds it damaged. Says whether it was held.
    pub fn flip_bit(&self, chunk: ChunkId, index: u8) -> bool {
        let mut state = self.state();
        let piece = state.chunks.get_mut(&chunk).and_then(|held| held.pieces.get_mut(&index));
        piece.is_some_and(|piece| {
            *piece = HeldPiece::Rotten { len: piece.len() };
            true
        })
    }

    /// Takes one piece away, as if it had never come. Says whether it was held.
    pub fn remove_piece(&self, chunk: ChunkId, index: u8) -> bool {
        self.state().remove_piece(chunk, index)
    }

    /// A panic elsewhere in a test leaves the maps as they are between two steps: whole.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl PieceStore for MemoryStore {
    async fn put(&self, batch: PutBatch) -> Result<Vec<ChunkHoldings>, StoreError> {
        Ok(self.state().put(batch))
    }

    async fn piece(&self, chunk: ChunkId, index: u8) -> Result<Option<Bytes>, StoreError> {
        let mut state = self.state();
        match state.chunks.get(&chunk).and_then(|held| held.pieces.get(&index)) {
            None => Ok(None),
            Some(HeldPiece::Sound(bytes)) => Ok(Some(bytes.clone())),
            Some(HeldPiece::Rotten { .. }) => {
                state.remove_piece(chunk, index);
                Err(StoreError::Corrupt { chunk, index })
            }
        }
    }

    async fn chunks(&self, chunks: &[ChunkId]) -> Result<Vec<Option<StoredChunk>>, StoreError> {
        let state = self.state();
        Ok(chunks.iter().map(|chunk| state.chunks.get(chunk).map(Held::to_stored)).collect())
    }

    async fn put_locators(&self, locators: Vec<Locator>) -> Result<(), StoreError> {
        let mut state = self.state();
        state.locators.extend(locators.into_iter().map(|locator| (locator.chunk(), locator)));
        state.space.locators = count(state.locators.len());
        Ok(())
    }

    async fn locators(&self, chunks: &[ChunkId]) -> Result<Vec<Option<Locator>>, StoreError> {
        let state = self.state();
        Ok(chunks.iter().map(|chunk| state.locators.get(chunk).cloned()).collect())
    }

    async fn bind(&self, put_id: PutId, owner: NodeId, root: Cid) -> Result<BoundChunks, StoreError> {
        Ok(self.state().bind(put_id, owner, root))
    }

    fn space(&self) -> Space {
        self.state().space
    }
}

impl State {
    fn put(&mut self, batch: PutBatch) -> Vec<ChunkHoldings> {
        let named = named_chunks(&batch);
        for new in batch.pieces {
            self.add_piece(new, batch.class);
        }
        self.seq += 1;
        named.into_iter().map(|chunk| self.lease(chunk, batch.put_id, batch.owner, batch.class)).collect()
    }

    fn add_piece(&mut self, NewPiece { descriptor, piece }: NewPiece, class: Class) {
        let new_chunk = || Held { descriptor, class, pieces: BTreeMap::new() };
        let held = self.chunks.entry(piece.chunk()).or_insert_with(new_chunk);
        held.pieces.entry(piece.index()).or_insert_with(|| {
            self.space.pieces += 1;
            self.space.used_bytes += count(piece.bytes().len());
            HeldPiece::Sound(piece.bytes().clone())
        });
    }

    fn lease(&mut self, chunk: ChunkId, put_id: PutId, owner: NodeId, class: Class) -> ChunkHoldings {
        let Some(held) = self.chunks.get_mut(&chunk) else {
            return ChunkHoldings { chunk, indices: IndexSet::EMPTY, class, seq: self.seq };
        };
        held.class = held.class.max(class);
        self.provisional.insert((put_id, owner, chunk));
        ChunkHoldings { chunk, indices: held.indices(), class: held.class, seq: self.seq }
    }

    fn bind(&mut self, put_id: PutId, owner: NodeId, root: Cid) -> BoundChunks {
        let bound: Vec<_> = self.provisional.extract_if(.., |lease| (lease.0, lease.1) == (put_id, owner)).collect();
        self.leases.extend(bound.into_iter().map(|(_, owner, chunk)| (owner, root, chunk)));
        let of_root = self.leases.iter().filter(|lease| (lease.0, lease.1) == (owner, root)).count();
        BoundChunks(u32::try_from(of_root).unwrap_or(u32::MAX))
    }

    fn remove_piece(&mut self, chunk: ChunkId, index: u8) -> bool {
        let removed = self.chunks.get_mut(&chunk).and_then(|held| held.pieces.remove(&index));
        removed.is_some_and(|piece| {
            self.space.pieces -= 1;
            self.space.used_bytes -= count(piece.len());
            true
        })
    }
}

impl Held {
    fn indices(&self) -> IndexSet {
        self.pieces.keys().copied().collect()
    }

    fn to_stored(&self) -> StoredChunk {
        StoredChunk { descriptor: self.descriptor.clone(), indices: self.indices(), class: self.class }
    }
}

impl HeldPiece {
    fn len(&self) -> usize {
        match self {
            Self::Sound(bytes) => bytes.len(),
            Self::Rotten { len } => *len,
        }
    }
}

fn count(n: usize) -> u64 {
    u64::try_from(n).expect("a usize fits 64 bits")
}
