//! A store that fails on purpose, around any other: the caller's plan decides, call by call, what goes wrong, and every
//! fault that was really injected is counted, so that a test can insist that each kind happened. A failed call has had no
//! effect on the store within. Not here: randomness, which the plan brings, and crashes, which a test makes by dropping
//! things.
//!
//! A piece reported corrupt is no longer held, as the port demands. The store within cannot be told, so this one hides
//! the piece until it is put again, from reads, holdings and counters alike.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use dsn_core::{
    hash::ChunkId,
    index_set::IndexSet,
    lease::{Lease, VerifiedLease},
    locator::Locator,
    name::{Name, NameRecords},
    node_id::NodeId,
    ports::{
        BoundChunks, ChunkHoldings, CollectStep, Collected, NameStore, PieceStore, PutBatch, Space, StoreError,
        StoreMark, StoredChunk, Upkeep,
    },
    rpc::PutId,
};

/// A call that can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// [`PieceStore::put`].
    Put,
    /// [`PieceStore::piece`].
    Piece,
    /// [`PieceStore::chunks`].
    Chunks,
    /// [`PieceStore::put_locators`].
    PutLocators,
    /// [`PieceStore::locators`].
    Locators,
    /// [`PieceStore::bind`].
    Bind,
    /// [`NameStore::put_names`], [`NameStore::names`] and [`NameStore::drop_names`].
    Names,
    /// [`Upkeep::chunks_after`], [`Upkeep::locators_after`] and [`NameStore::names_after`].
    Walk,
    /// [`Upkeep::leases`], [`Upkeep::renew`], [`Upkeep::owned_bytes`] and [`Upkeep::is_wanted_by`].
    Leases,
    /// [`Upkeep::collect`] and [`Upkeep::give_up`].
    Collect,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// The call fails with [`StoreError::Io`].
    Io,
    /// The call fails with [`StoreError::DiskFull`].
    DiskFull,
    /// A piece that is held reads as damaged and is gone. Has no effect on other calls.
    Corrupt,
}

/// How often each fault was injected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultCounts {
    /// Calls that failed with [`StoreError::Io`].
    pub io: u64,
    /// Calls that failed with [`StoreError::DiskFull`].
    pub disk_full: u64,
    /// Pieces that were reported damaged.
    pub corrupt: u64,
}

/// What is read is to be damaged.
struct Damage;

/// Decides the fate of each call, in the order in which they come.
type Plan = Box<dyn FnMut(Operation) -> Option<Fault> + Send>;

/// A store that fails as its plan says.
pub struct FaultyStore<S> {
    inner: S,
    state: Mutex<State>,
}

struct State {
    plan: Plan,
    counts: FaultCounts,
    /// Pieces reported damaged since they were last put, with their bytes.
    hidden: BTreeMap<ChunkId, BTreeMap<u8, u64>>,
}

impl<S> FaultyStore<S> {
    /// Wraps a store; `plan` is asked once for each call.
    pub fn new(inner: S, plan: impl FnMut(Operation) -> Option<Fault> + Send + 'static) -> Self {
        let state = State { plan: Box::new(plan), counts: FaultCounts::default(), hidden: BTreeMap::new() };
        Self { inner, state: Mutex::new(state) }
    }

    /// How often each fault was injected until now.
    pub fn counts(&self) -> FaultCounts {
        self.state().counts
    }

    /// A plan that panics leaves the counters whole.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the plan: an error to fail with, or whether to damage what the call reads.
    fn ask(&self, operation: Operation) -> Result<Option<Damage>, StoreError> {
        let mut state = self.state();
        match (state.plan)(operation) {
            None => Ok(None),
            Some(Fault::Corrupt) => Ok(Some(Damage)),
            Some(Fault::Io) => {
                state.counts.io += 1;
                Err(StoreError::Io { action: operation.action(), reason: "injected".into() })
            }
            Some(Fault::DiskFull) => {
                state.counts.disk_full += 1;
                Err(StoreError::DiskFull)
            }
        }
    }
}

impl<S: PieceStore> FaultyStore<S> {
    /// Reads a piece that the plan wants damaged.
    async fn damaged_piece(&self, chunk: ChunkId, index: u8) -> Result<Option<Bytes>, StoreError> {
        let Some(bytes) = self.inner.piece(chunk, index).await? else { return Ok(None) };
        let mut state = self.state();
        state.hide(chunk, index, &bytes);
        state.counts.corrupt += 1;
        Err(StoreError::Corrupt { chunk, index })
    }
}

#[async_trait]
impl<S: PieceStore> PieceStore for FaultyStore<S> {
    async fn put(&self, batch: PutBatch) -> Result<Vec<ChunkHoldings>, StoreError> {
        self.ask(Operation::Put)?;
        let put: Vec<_> = batch.pieces.iter().map(|new| (new.piece.chunk(), new.piece.index())).collect();
        let holdings = self.inner.put(batch).await?;
        let mut state = self.state();
        put.into_iter().for_each(|(chunk, index)| state.show(chunk, index));
        Ok(holdings.into_iter().map(|h| ChunkHoldings { indices: state.visible(h.chunk, h.indices), ..h }).collect())
    }

    async fn piece(&self, chunk: ChunkId, index: u8) -> Result<Option<Bytes>, StoreError> {
        let damage = self.ask(Operation::Piece)?;
        if self.state().hides(chunk, index) {
            return Ok(None);
        }
        match damage {
            Some(Damage) => self.damaged_piece(chunk, index).await,
            None => self.inner.piece(chunk, index).await,
        }
    }

    async fn chunks(&self, chunks: &[ChunkId]) -> Result<Vec<Option<StoredChunk>>, StoreError> {
        self.ask(Operation::Chunks)?;
        let found = self.inner.chunks(chunks).await?;
        let state = self.state();
        Ok(found.into_iter().map(|stored| stored.map(|stored| state.seen(stored))).collect())
    }

    async fn put_locators(&self, locators: Vec<Locator>) -> Result<(), StoreError> {
        self.ask(Operation::PutLocators)?;
        self.inner.put_locators(locators).await
    }

    async fn locators(&self, chunks: &[ChunkId]) -> Result<Vec<Option<Locator>>, StoreError> {
        self.ask(Operation::Locators)?;
        self.inner.locators(chunks).await
    }

    async fn bind(&self, put_id: PutId, owner: NodeId, leases: Vec<VerifiedLease>) -> Result<BoundChunks, StoreError> {
        self.ask(Operation::Bind)?;
        self.inner.bind(put_id, owner, leases).await
    }

    fn space(&self) -> Space {
        let all = self.inner.space();
        let state = self.state();
        let hidden = || state.hidden.values().flat_map(BTreeMap::values);
        let pieces = u64::try_from(hidden().count()).expect("a count fits 64 bits");
        // Saturating, since a test may wipe the store within while pieces are hidden.
        let used_bytes = all.used_bytes.saturating_sub(hidden().sum());
        Space { used_bytes, pieces: all.pieces.saturating_sub(pieces), ..all }
    }
}

#[async_trait]
impl<S: NameStore> NameStore for FaultyStore<S> {
    async fn put_names(&self, records: Vec<NameRecords>) -> Result<(), StoreError> {
        self.ask(Operation::Names)?;
        self.inner.put_names(records).await
    }

    async fn names(&self, names: &[Name]) -> Result<Vec<Option<NameRecords>>, StoreError> {
        self.ask(Operation::Names)?;
        self.inner.names(names).await
    }

    async fn names_after(&self, after: Option<Name>, max: usize) -> Result<Vec<NameRecords>, StoreError> {
        self.ask(Operation::Walk)?;
        self.inner.names_after(after, max).await
    }

    async fn drop_names(&self, names: Vec<Name>) -> Result<(), StoreError> {
        self.ask(Operation::Names)?;
        self.inner.drop_names(names).await
    }
}

#[async_trait]
impl<S: Upkeep> Upkeep for FaultyStore<S> {
    fn mark(&self) -> StoreMark {
        self.inner.mark()
    }

    fn last_seq(&self) -> u64 {
        self.inner.last_seq()
    }

    async fn chunks_after(&self, after: Option<ChunkId>, max: usize) -> Result<Vec<StoredChunk>, StoreError> {
        self.ask(Operation::Walk)?;
        let found = self.inner.chunks_after(after, max).await?;
        let state = self.state();
        Ok(found.into_iter().map(|stored| state.seen(stored)).collect())
    }

    async fn locators_after(&self, after: Option<ChunkId>, max: usize) -> Result<Vec<Locator>, StoreError> {
        self.ask(Operation::Walk)?;
        self.inner.locators_after(after, max).await
    }

    async fn drop_locators(&self, chunks: Vec<ChunkId>) -> Result<(), StoreError> {
        self.ask(Operation::PutLocators)?;
        self.inner.drop_locators(chunks).await
    }

    async fn notes(&self) -> Result<Bytes, StoreError> {
        self.ask(Operation::Walk)?;
        self.inner.notes().await
    }

    async fn keep_notes(&self, notes: Bytes) -> Result<(), StoreError> {
        self.ask(Operation::PutLocators)?;
        self.inner.keep_notes(notes).await
    }

    async fn owned_bytes(&self, owner: NodeId, now: u64) -> Result<u64, StoreError> {
        self.ask(Operation::Leases)?;
        self.inner.owned_bytes(owner, now).await
    }

    async fn is_wanted_by(&self, owner: NodeId, chunks: &[ChunkId], now: u64) -> Result<Vec<bool>, StoreError> {
        self.ask(Operation::Leases)?;
        self.inner.is_wanted_by(owner, chunks, now).await
    }

    async fn leases(&self, chunks: &[ChunkId]) -> Result<Vec<Vec<Lease>>, StoreError> {
        self.ask(Operation::Leases)?;
        self.inner.leases(chunks).await
    }

    async fn renew(&self, leases: Vec<VerifiedLease>) -> Result<Vec<BoundChunks>, StoreError> {
        self.ask(Operation::Leases)?;
        self.inner.renew(leases).await
    }

    async fn give_up(&self, chunk: ChunkId, index: u8) -> Result<bool, StoreError> {
        self.ask(Operation::Collect)?;
        self.state().show(chunk, index);
        self.inner.give_up(chunk, index).await
    }

    async fn collect(&self, step: CollectStep) -> Result<Collected, StoreError> {
        self.ask(Operation::Collect)?;
        self.inner.collect(step).await
    }
}

impl State {
    /// A chunk without the pieces hidden.
    fn seen(&self, stored: StoredChunk) -> StoredChunk {
        let indices = self.visible(stored.descriptor.id(), stored.indices);
        StoredChunk { indices, ..stored }
    }

    fn hides(&self, chunk: ChunkId, index: u8) -> bool {
        self.hidden.get(&chunk).is_some_and(|pieces| pieces.contains_key(&index))
    }

    fn hide(&mut self, chunk: ChunkId, index: u8, bytes: &Bytes) {
        let len = u64::try_from(bytes.len()).expect("a usize fits 64 bits");
        self.hidden.entry(chunk).or_default().insert(index, len);
    }

    fn show(&mut self, chunk: ChunkId, index: u8) {
        if let Some(pieces) = self.hidden.get_mut(&chunk) {
            pieces.remove(&index);
        }
    }

    fn visible(&self, chunk: ChunkId, held: IndexSet) -> IndexSet {
        let hidden = self.hidden.get(&chunk).map(|pieces| pieces.keys().copied().collect());
        held.minus(hidden.unwrap_or(IndexSet::EMPTY))
    }
}

impl Operation {
    fn action(self) -> &'static str {
        match self {
            Self::Put => "put pieces",
            Self::Piece => "read a piece",
            Self::Chunks => "read what is known of chunks",
            Self::PutLocators => "put locators",
            Self::Locators => "read locators",
            Self::Bind => "bind leases",
            Self::Names => "read or keep names",
            Self::Walk => "go through the store",
            Self::Leases => "read or renew leases",
            Self::Collect => "delete",
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for FaultyStore<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultyStore").field("inner", &self.inner).finish_non_exhaustive()
    }
}
