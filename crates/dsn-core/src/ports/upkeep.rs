//! What keeps a store in order over months: going through all of it, leases, the trash, and pieces found bad. Everything
//! here works in small steps, so that puts never wait for it.

use async_trait::async_trait;
use bytes::Bytes;

use super::{BoundChunks, NameStore, PieceStore, StoreError, StoredChunk};
use crate::{
    hash::ChunkId,
    lease::{Lease, VerifiedLease},
    locator::Locator,
    node_id::NodeId,
};

/// In which life a store is. A custodian that sees it change asks again what is held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreMark {
    /// Drawn when the store was made: another one is another store, with nothing of what the old one held.
    pub id: u64,
    /// How often it was opened: fewer than before is an old copy.
    pub opens: u64,
    /// Grows when pieces were lost by damage.
    pub losses: u64,
    /// The highest receipt number that the store found on its disk when it was opened.
    pub resumed: u64,
    /// Receipts of this life have higher numbers than this. One between the two was signed in a life that this disk has
    /// no memory of: it is an old copy.
    pub first: u64,
}

/// What one step of collecting did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Where to go on; none when the whole store has been gone through.
    pub next: Option<ChunkId>,
    /// Chunks put into the trash.
    pub trashed: u64,
    /// Chunks deleted from the trash.
    pub deleted: u64,
    /// Bytes of pieces deleted.
    pub deleted_bytes: u64,
}

/// What one step of collecting goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CollectStep {
    /// Unix seconds.
    pub now: u64,
    /// How long a chunk stays in the trash.
    pub trash_secs: u64,
    /// The last chunk of the step before; none to begin.
    pub after: Option<ChunkId>,
    /// Chunks to look at.
    pub max_chunks: usize,
}

/// Keeps a store in order.
#[async_trait]
pub trait Upkeep: PieceStore + NameStore {
    /// In which life the store is.
    fn mark(&self) -> StoreMark;

    /// The highest number given to a `put`, for receipts issued anew.
    fn last_seq(&self) -> u64;

    /// The chunks of which pieces are held (the trash included), in order of their ids, at most `max` after `after`.
    async fn chunks_after(&self, after: Option<ChunkId>, max: usize) -> Result<Vec<StoredChunk>, StoreError>;

    /// The locators kept, in order of their chunks' ids, at most `max` after `after`.
    async fn locators_after(&self, after: Option<ChunkId>, max: usize) -> Result<Vec<Locator>, StoreError>;

    /// Forgets locators, durably.
    async fn drop_locators(&self, chunks: Vec<ChunkId>) -> Result<(), StoreError>;

    /// The leases of these chunks, in order, ended ones too; provisional leases are not among them.
    async fn leases(&self, chunks: &[ChunkId]) -> Result<Vec<Vec<Lease>>, StoreError>;

    /// Puts newer leases in place of those of the same owner and root, durably, and answers how many chunks each covers.
    /// One that covers none is not kept.
    async fn renew(&self, leases: Vec<VerifiedLease>) -> Result<Vec<BoundChunks>, StoreError>;

    /// Bytes of the pieces of chunks that an owner wants kept at `now`: of its files whose lease holds, and of its uploads
    /// that wait for their commit. A chunk counts once, whatever it is in. Takes as long as it has chunks.
    async fn owned_bytes(&self, owner: NodeId, now: u64) -> Result<u64, StoreError>;

    /// Whether an owner wants each of these chunks kept at `now`, in order; what [`Upkeep::owned_bytes`] counts.
    async fn is_wanted_by(&self, owner: NodeId, chunks: &[ChunkId], now: u64) -> Result<Vec<bool>, StoreError>;

    /// Gives up a piece whose bytes are not what they should be, durably. Says whether it was held.
    async fn give_up(&self, chunk: ChunkId, index: u8) -> Result<bool, StoreError>;

    /// What the farmer kept of what it has seen of others; empty when nothing.
    async fn notes(&self) -> Result<Bytes, StoreError>;

    /// Keeps that in place of what was kept before, durably.
    async fn keep_notes(&self, notes: Bytes) -> Result<(), StoreError>;

    /// Looks at some chunks: one without a lease that holds goes to the trash, one that has been there for long enough is
    /// deleted, one that has a lease again comes out. Atomic for each chunk against [`PieceStore::put`].
    async fn collect(&self, step: CollectStep) -> Result<Collected, StoreError>;
}
