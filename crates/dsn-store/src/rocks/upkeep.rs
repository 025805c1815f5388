//! Keeping the store in order: what reads runs beside everything else, what writes goes through the writer in small steps.
//! Not here: the decisions (`collect`).

use async_trait::async_trait;
use bytes::Bytes;
use dsn_core::{
    hash::ChunkId,
    lease::{Lease, VerifiedLease},
    locator::Locator,
    node_id::NodeId,
    ports::{BoundChunks, CollectStep, Collected, StoreError, StoreMark, StoredChunk, Upkeep},
};

use super::{
    RocksStore, claims, collect, walk,
    writer::{Command, Grouped},
};

#[async_trait]
impl Upkeep for RocksStore {
    fn mark(&self) -> StoreMark {
        self.inner.counters.borrow().mark
    }

    fn last_seq(&self) -> u64 {
        self.inner.counters.borrow().seq
    }

    async fn chunks_after(&self, after: Option<ChunkId>, max: usize) -> Result<Vec<StoredChunk>, StoreError> {
        self.read(move |database| walk::chunks_after(database, after, max)).await
    }

    async fn locators_after(&self, after: Option<ChunkId>, max: usize) -> Result<Vec<Locator>, StoreError> {
        self.read(move |database| walk::locators_after(database, after, max)).await
    }

    async fn drop_locators(&self, chunks: Vec<ChunkId>) -> Result<(), StoreError> {
        self.command(|reply| Command::Grouped(Grouped::DropLocators { chunks, reply })).await
    }

    async fn leases(&self, chunks: &[ChunkId]) -> Result<Vec<Vec<Lease>>, StoreError> {
        let chunks = chunks.to_vec();
        self.read(move |database| chunks.into_iter().map(|chunk| claims::leases(database, chunk)).collect()).await
    }

    async fn renew(&self, leases: Vec<VerifiedLease>) -> Result<Vec<BoundChunks>, StoreError> {
        let renewed: Vec<_> = leases.iter().map(claims::claim_of).collect();
        self.command(|reply| Command::Renew { leases, reply }).await?;
        self.read(move |database| renewed.into_iter().map(|claim| claims::covered(database, claim)).collect()).await
    }

    async fn owned_bytes(&self, owner: NodeId, now: u64) -> Result<u64, StoreError> {
        self.read(move |database| claims::owned_bytes(database, owner, now)).await
    }

    async fn is_wanted_by(&self, owner: NodeId, chunks: &[ChunkId], now: u64) -> Result<Vec<bool>, StoreError> {
        let chunks = chunks.to_vec();
        let is_wanted = move |database: &_| {
            chunks.into_iter().map(|chunk| claims::is_wanted_by(database, owner, chunk, now)).collect()
        };
        self.read(is_wanted).await
    }

    async fn give_up(&self, chunk: ChunkId, index: u8) -> Result<bool, StoreError> {
        self.command(|reply| Command::GiveUp { chunk, index, reply }).await
    }

    async fn notes(&self) -> Result<Bytes, StoreError> {
        self.read(|database| database.notes()).await
    }

    async fn keep_notes(&self, notes: Bytes) -> Result<(), StoreError> {
        self.command(|reply| Command::Grouped(Grouped::Notes { notes, reply })).await
    }

    async fn collect(&self, step: CollectStep) -> Result<Collected, StoreError> {
        let look = self.read(move |database| collect::look(database, &step)).await?;
        if look.candidates.is_empty() {
            return Ok(Collected { next: look.next, ..Collected::default() });
        }
        self.command(|reply| Command::Collect { step, look, reply }).await
    }
}
