//! A store in memory, for simulation and tests: deterministic (ordered maps, no clock, no randomness) and shared by its
//! clones, so that a simulated farmer that crashes finds its disk again by keeping one. Every method takes effect in one
//! step before it returns, which is what an fsync promises: a crash loses nothing that was answered. Not here: memory
//! bounds, or anything that outlives the process.
//!
//! The hooks at the end do to it what happens to disks. Receipt numbers survive even [`MemoryStore::lose_everything`],
//! because a real store starts above any number it can have given before.

mod leases;

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use dsn_core::{
    descriptor::Descriptor,
    hash::ChunkId,
    index_set::IndexSet,
    lease::{Lease, VerifiedLease},
    locator::Locator,
    name::{Name, NameRecords},
    node_id::NodeId,
    ports::{
        BoundChunks, ChunkHoldings, CollectStep, Collected, NameStore, NewPiece, PieceStore, PutBatch, Space,
        StoreError, StoreMark, StoredChunk, Upkeep,
    },
    redundancy::Class,
    rpc::PutId,
};

use self::leases::Leases;
use crate::{batch::named_chunks, fate::Fate};

/// A store in memory. Clones share their contents.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    chunks: BTreeMap<ChunkId, Held>,
    locators: BTreeMap<ChunkId, Locator>,
    names: BTreeMap<Name, NameRecords>,
    leases: Leases,
    space: Space,
    seq: u64,
    mark: StoreMark,
    notes: Bytes,
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

    /// All locators, in order of their chunks.
    pub fn list_locators(&self) -> Vec<Locator> {
        self.state().locators.values().cloned().collect()
    }

    /// The same without pieces that have rotted.
    pub fn list_sound(&self) -> Vec<(ChunkId, IndexSet)> {
        let state = self.state();
        let sound = |held: &Held| {
            let pieces = held.pieces.iter().filter(|(_, piece)| matches!(piece, HeldPiece::Sound(_)));
            pieces.map(|(index, _)| *index).collect::<IndexSet>()
        };
        let held = state.chunks.iter().map(|(chunk, held)| (*chunk, sound(held)));
        held.filter(|(_, indices)| !indices.is_empty()).collect()
    }

    /// Chunks with a piece that no lease of an owner names.
    pub fn list_without_lease(&self) -> Vec<ChunkId> {
        let state = self.state();
        let held = state.chunks.iter().filter(|(_, held)| !held.pieces.is_empty()).map(|(chunk, _)| *chunk);
        held.filter(|chunk| state.leases.of(*chunk).is_empty()).collect()
    }

    /// A wiped disk: pieces, descriptors, locators and leases are gone.
    pub fn lose_everything(&self) {
        let mut state = self.state();
        let mark = StoreMark { id: state.mark.id + 1, ..StoreMark::default() };
        *state = State { seq: state.seq, mark, ..State::default() };
    }

    /// What a process does when it starts on this disk.
    pub fn reopen(&self) {
        self.state().mark.opens += 1;
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
                state.mark.losses += 1;
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

    async fn bind(&self, put_id: PutId, owner: NodeId, leases: Vec<VerifiedLease>) -> Result<BoundChunks, StoreError> {
        Ok(self.state().leases.bind(put_id, owner, &leases))
    }

    fn space(&self) -> Space {
        self.state().space
    }
}

#[async_trait]
impl NameStore for MemoryStore {
    async fn put_names(&self, records: Vec<NameRecords>) -> Result<(), StoreError> {
        self.state().names.extend(records.into_iter().map(|records| (records.name(), records)));
        Ok(())
    }

    async fn names(&self, names: &[Name]) -> Result<Vec<Option<NameRecords>>, StoreError> {
        let state = self.state();
        Ok(names.iter().map(|name| state.names.get(name).cloned()).collect())
    }

    async fn names_after(&self, after: Option<Name>, max: usize) -> Result<Vec<NameRecords>, StoreError> {
        let state = self.state();
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        Ok(state.names.range((start, Bound::Unbounded)).take(max).map(|(_, records)| records.clone()).collect())
    }

    async fn drop_names(&self, names: Vec<Name>) -> Result<(), StoreError> {
        let mut state = self.state();
        state.names.retain(|name, _| !names.contains(name));
        Ok(())
    }
}

#[async_trait]
impl Upkeep for MemoryStore {
    fn mark(&self) -> StoreMark {
        self.state().mark
    }

    fn last_seq(&self) -> u64 {
        self.state().seq
    }

    async fn chunks_after(&self, after: Option<ChunkId>, max: usize) -> Result<Vec<StoredChunk>, StoreError> {
        let state = self.state();
        let held = state.chunks.range(beyond(after)).filter(|(_, held)| !held.pieces.is_empty());
        Ok(held.take(max).map(|(_, held)| held.to_stored()).collect())
    }

    async fn locators_after(&self, after: Option<ChunkId>, max: usize) -> Result<Vec<Locator>, StoreError> {
        Ok(self.state().locators.range(beyond(after)).take(max).map(|(_, locator)| locator.clone()).collect())
    }

    async fn drop_locators(&self, chunks: Vec<ChunkId>) -> Result<(), StoreError> {
        let mut state = self.state();
        for chunk in chunks {
            state.locators.remove(&chunk);
        }
        state.space.locators = count(state.locators.len());
        Ok(())
    }

    async fn notes(&self) -> Result<Bytes, StoreError> {
        Ok(self.state().notes.clone())
    }

    async fn keep_notes(&self, notes: Bytes) -> Result<(), StoreError> {
        self.state().notes = notes;
        Ok(())
    }

    async fn owned_bytes(&self, owner: NodeId, now: u64) -> Result<u64, StoreError> {
        let state = self.state();
        let wanted = state.chunks.iter().filter(|(chunk, _)| state.leases.is_of(**chunk, owner, now));
        Ok(wanted.map(|(_, held)| count(held.pieces.len() * held.descriptor.piece_len())).sum())
    }

    async fn is_wanted_by(&self, owner: NodeId, chunks: &[ChunkId], now: u64) -> Result<Vec<bool>, StoreError> {
        let state = self.state();
        Ok(chunks.iter().map(|chunk| state.leases.is_of(*chunk, owner, now)).collect())
    }

    async fn leases(&self, chunks: &[ChunkId]) -> Result<Vec<Vec<Lease>>, StoreError> {
        let state = self.state();
        Ok(chunks.iter().map(|chunk| state.leases.of(*chunk)).collect())
    }

    async fn renew(&self, leases: Vec<VerifiedLease>) -> Result<Vec<BoundChunks>, StoreError> {
        let mut state = self.state();
        Ok(leases.iter().map(|lease| state.leases.renew(lease)).collect())
    }

    async fn give_up(&self, chunk: ChunkId, index: u8) -> Result<bool, StoreError> {
        let mut state = self.state();
        let was_held = state.remove_piece(chunk, index);
        state.mark.losses += u64::from(was_held);
        Ok(was_held)
    }

    async fn collect(&self, step: CollectStep) -> Result<Collected, StoreError> {
        Ok(self.state().collect(step))
    }
}

/// All chunks after one.
fn beyond(after: Option<ChunkId>) -> (Bound<ChunkId>, Bound<ChunkId>) {
    (after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded)
}

impl State {
    fn put(&mut self, batch: PutBatch) -> Vec<ChunkHoldings> {
        let named = named_chunks(&batch);
        for new in &batch.pieces {
            self.add_piece(new.clone(), batch.class);
        }
        self.seq += 1;
        named.into_iter().map(|chunk| self.lease(chunk, &batch)).collect()
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

    fn lease(&mut self, chunk: ChunkId, batch: &PutBatch) -> ChunkHoldings {
        let PutBatch { put_id, owner, class, lease_until, .. } = *batch;
        let Some(held) = self.chunks.get_mut(&chunk) else {
            return ChunkHoldings { chunk, indices: IndexSet::EMPTY, class, seq: self.seq };
        };
        held.class = held.class.max(class);
        self.leases.add_provisional(chunk, put_id, owner, lease_until);
        ChunkHoldings { chunk, indices: held.indices(), class: held.class, seq: self.seq }
    }

    fn collect(&mut self, step: CollectStep) -> Collected {
        let looked_at: Vec<ChunkId> =
            self.chunks.range(beyond(step.after)).take(step.max_chunks).map(|(chunk, _)| *chunk).collect();
        let next = if looked_at.len() < step.max_chunks { None } else { looked_at.last().copied() };
        let mut collected = Collected { next, ..Collected::default() };
        for chunk in looked_at {
            match self.leases.judge(chunk, &step) {
                Fate::Stays | Fate::Restored => {}
                Fate::Trashed => collected.trashed += 1,
                Fate::Deleted => {
                    collected.deleted += 1;
                    collected.deleted_bytes += self.delete(chunk);
                }
            }
        }
        collected
    }

    /// Deletes a chunk; gives the bytes of its pieces.
    fn delete(&mut self, chunk: ChunkId) -> u64 {
        let Some(held) = self.chunks.remove(&chunk) else { return 0 };
        let bytes = held.pieces.values().map(|piece| count(piece.len())).sum();
        self.space.pieces -= count(held.pieces.len());
        self.space.used_bytes -= bytes;
        bytes
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
