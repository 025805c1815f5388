//! A farmer's disk with the time that an fsync takes: what is written counts once it is durable, and a crash before that
//! loses it, the writes after it too. What was answered is never lost, or the store in production would not be one.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use dsn_core::{
    canary::{Bug, planted},
    hash::ChunkId,
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
use dsn_store::MemoryStore;
use tokio::time::{Instant, sleep_until};

use crate::{fault::Fault, net::SimNet};

/// A disk that takes its time to make things durable. Clones are the same disk.
#[derive(Clone)]
pub(crate) struct SyncedDisk {
    memory: MemoryStore,
    net: Arc<SimNet>,
    start: Instant,
    /// From one fsync to the next.
    sync: Duration,
    /// Changes with every crash.
    life: Arc<AtomicU64>,
    /// With a bug planted: pieces that were answered, with the time at which they are durable.
    answered: Arc<Mutex<Vec<(Instant, ChunkId, u8)>>>,
}

/// A write on its way to the disk.
struct Write<'a> {
    disk: &'a SyncedDisk,
    life: u64,
    is_durable: bool,
}

impl SyncedDisk {
    pub(crate) fn new(memory: MemoryStore, net: Arc<SimNet>, start: Instant, sync: Duration) -> Self {
        let (life, answered) = (Arc::default(), Arc::default());
        Self { memory, net, start, sync, life, answered }
    }

    /// The machine stops: what is not durable yet never will be.
    pub(crate) fn crash(&self) {
        self.life.fetch_add(1, Ordering::Relaxed);
        let answered = std::mem::take(&mut *self.answered.lock().unwrap_or_else(PoisonError::into_inner));
        for (durable, chunk, index) in answered {
            if durable > Instant::now() && self.memory.remove_piece(chunk, index) {
                self.net.count(Fault::UnsyncedLost);
            }
        }
    }

    /// Everything written before the end of the next fsync is durable together, in the order in which it came.
    fn next_sync(&self) -> Instant {
        let syncs = self.start.elapsed().as_micros() / self.sync.as_micros();
        self.start + self.sync * (u32::try_from(syncs).expect("a month of syncs") + 2)
    }

    async fn sync(&self) -> Result<(), StoreError> {
        let mut write = Write { disk: self, life: self.life.load(Ordering::Relaxed), is_durable: false };
        sleep_until(self.next_sync()).await;
        if write.is_of_this_life() {
            write.is_durable = true;
            return Ok(());
        }
        Err(StoreError::Io { action: "write", reason: "the machine has stopped".into() })
    }

    fn note_answered(&self, batch: &PutBatch) {
        let durable = self.next_sync();
        let mut answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        answered.retain(|(durable, ..)| *durable > Instant::now());
        answered.extend(batch.pieces.iter().map(|new| (durable, new.piece.chunk(), new.piece.index())));
    }
}

impl Write<'_> {
    fn is_of_this_life(&self) -> bool {
        self.disk.life.load(Ordering::Relaxed) == self.life
    }
}

impl Drop for Write<'_> {
    fn drop(&mut self) {
        if !self.is_durable && !self.is_of_this_life() {
            self.disk.net.count(Fault::UnsyncedLost);
        }
    }
}

#[async_trait]
impl PieceStore for SyncedDisk {
    async fn put(&self, batch: PutBatch) -> Result<Vec<ChunkHoldings>, StoreError> {
        if planted(Bug::NoSync) {
            self.note_answered(&batch);
        } else {
            self.sync().await?;
        }
        self.memory.put(batch).await
    }

    async fn piece(&self, chunk: ChunkId, index: u8) -> Result<Option<Bytes>, StoreError> {
        self.memory.piece(chunk, index).await
    }

    async fn chunks(&self, chunks: &[ChunkId]) -> Result<Vec<Option<StoredChunk>>, StoreError> {
        self.memory.chunks(chunks).await
    }

    async fn put_locators(&self, locators: Vec<Locator>) -> Result<(), StoreError> {
        self.sync().await?;
        self.memory.put_locators(locators).await
    }

    async fn locators(&self, chunks: &[ChunkId]) -> Result<Vec<Option<Locator>>, StoreError> {
        self.memory.locators(chunks).await
    }

    async fn bind(&self, put_id: PutId, owner: NodeId, leases: Vec<VerifiedLease>) -> Result<BoundChunks, StoreError> {
        self.sync().await?;
        self.memory.bind(put_id, owner, leases).await
    }

    fn space(&self) -> Space {
        self.memory.space()
    }
}

#[async_trait]
impl NameStore for SyncedDisk {
    async fn put_names(&self, records: Vec<NameRecords>) -> Result<(), StoreError> {
        self.sync().await?;
        self.memory.put_names(records).await
    }

    async fn names(&self, names: &[Name]) -> Result<Vec<Option<NameRecords>>, StoreError> {
        self.memory.names(names).await
    }

    async fn names_after(&self, after: Option<Name>, max: usize) -> Result<Vec<NameRecords>, StoreError> {
        self.memory.names_after(after, max).await
    }

    async fn drop_names(&self, names: Vec<Name>) -> Result<(), StoreError> {
        self.sync().await?;
        self.memory.drop_names(names).await
    }
}

#[async_trait]
impl Upkeep for SyncedDisk {
    fn mark(&self) -> StoreMark {
        self.memory.mark()
    }

    fn last_seq(&self) -> u64 {
        self.memory.last_seq()
    }

    async fn chunks_after(&self, after: Option<ChunkId>, max: usize) -> Result<Vec<StoredChunk>, StoreError> {
        self.memory.chunks_after(after, max).await
    }

    async fn locators_after(&self, after: Option<ChunkId>, max: usize) -> Result<Vec<Locator>, StoreError> {
        self.memory.locators_after(after, max).await
    }

    async fn drop_locators(&self, chunks: Vec<ChunkId>) -> Result<(), StoreError> {
        self.sync().await?;
        self.memory.drop_locators(chunks).await
    }

    async fn leases(&self, chunks: &[ChunkId]) -> Result<Vec<Vec<Lease>>, StoreError> {
        self.memory.leases(chunks).await
    }

    async fn renew(&self, leases: Vec<VerifiedLease>) -> Result<Vec<BoundChunks>, StoreError> {
        self.sync().await?;
        self.memory.renew(leases).await
    }

    async fn owned_bytes(&self, owner: NodeId, now: u64) -> Result<u64, StoreError> {
        self.memory.owned_bytes(owner, now).await
    }

    async fn is_wanted_by(&self, owner: NodeId, chunks: &[ChunkId], now: u64) -> Result<Vec<bool>, StoreError> {
        self.memory.is_wanted_by(owner, chunks, now).await
    }

    async fn give_up(&self, chunk: ChunkId, index: u8) -> Result<bool, StoreError> {
        self.sync().await?;
        self.memory.give_up(chunk, index).await
    }

    async fn notes(&self) -> Result<Bytes, StoreError> {
        self.memory.notes().await
    }

    async fn keep_notes(&self, notes: Bytes) -> Result<(), StoreError> {
        self.sync().await?;
        self.memory.keep_notes(notes).await
    }

    async fn collect(&self, step: CollectStep) -> Result<Collected, StoreError> {
        self.sync().await?;
        self.memory.collect(step).await
    }
}
