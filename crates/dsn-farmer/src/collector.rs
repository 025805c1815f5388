//! Gives back the room of what nobody wants any more: goes through the chunks held, a few at a time, and has the store put
//! those without a lease into the trash and delete those that have lain there for long enough. Never deletes on doubt:
//! when the clock has jumped since the step before, it only looks on; and before a chunk goes, the other holders are asked
//! for a lease of it, since the end of an upload may not have reached this farmer.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use dsn_client::Client;
use dsn_core::{
    canary::{Bug, planted},
    hash::ChunkId,
    lease::Lease,
    limits::PROVISIONAL_LEASE_SECS,
    ports::{CollectStep, PutBatch, StoreError, StoredChunk},
    rpc::PutId,
};

use crate::farmer::Farmer;

/// Chunks without a lease that are remembered as asked for. More are only asked for more often.
const ASKED_MAX: usize = 16_384;

/// Seconds before the others are asked about a chunk again: several times before it is deleted.
const ASK_AGAIN_SECS: u64 = 12 * 3600;

/// Chunks in one step; puts wait for no more than that.
const STEP_CHUNKS: usize = 64;

/// Rest between two steps.
const STEP_REST: Duration = Duration::from_millis(20);

/// A clock that runs ahead by more than this against the time that has passed is not believed.
const JUMP_SECS: u64 = 3600;

/// Collects.
pub(crate) struct Collector {
    pub(crate) farmer: Arc<Farmer>,
    pub(crate) client: Arc<Client>,
    /// When the others were asked for leases of chunks that have none here.
    pub(crate) asked: BTreeMap<ChunkId, u64>,
}

impl Collector {
    /// Runs until it is dropped.
    pub(crate) async fn run(mut self) {
        let every = self.farmer.options.upkeep.collect_every_secs;
        let mut before = self.now();
        loop {
            tokio::time::sleep(Duration::from_secs(every)).await;
            let now = self.now();
            let is_sane = now >= before && now - before <= every + JUMP_SECS;
            before = now;
            if !is_sane {
                tracing::warn!("the clock has jumped; nothing is deleted until it runs evenly");
                continue;
            }
            if let Err(error) = self.adopt(now).await {
                tracing::warn!(%error, "chunks without a lease were not looked up; nothing is deleted");
                continue;
            }
            if let Err(error) = self.collect(now).await {
                tracing::warn!(%error, "the space of what nobody wants was not given back");
            }
        }
    }

    fn now(&self) -> u64 {
        self.farmer.parts.environment.unix_secs()
    }

    /// Looks for leases of the chunks that have none here.
    async fn adopt(&mut self, now: u64) -> Result<(), StoreError> {
        self.asked.retain(|_, at| at.saturating_add(ASK_AGAIN_SECS) > now);
        let mut pages = self.farmer.pages(STEP_CHUNKS);
        while let Some(page) = pages.next().await? {
            let ids: Vec<ChunkId> = page.iter().map(|chunk| chunk.descriptor.id()).collect();
            let leases = self.farmer.parts.store.leases(&ids).await?;
            for (chunk, leases) in page.iter().zip(leases) {
                if !leases.iter().any(|lease| lease.body().holds_at(now)) {
                    self.adopt_one(chunk, leases, now).await?;
                }
            }
        }
        Ok(())
    }

    /// The chunk has no lease here that holds; `ended` are the owners' words that it is not wanted any more.
    async fn adopt_one(&mut self, chunk: &StoredChunk, ended: Vec<Lease>, now: u64) -> Result<(), StoreError> {
        let id = chunk.descriptor.id();
        if self.asked.contains_key(&id) {
            return Ok(());
        }
        let Some(locator) = self.client.find_locator(&chunk.descriptor).await else { return Ok(()) };
        let parts = &self.farmer.parts;
        let me = parts.identity.node_id();
        let others = locator.holders().into_keys().filter(|node| *node != me);
        let leases = self.client.leases_of(id, ended, others).await;
        if leases.is_empty() {
            if self.asked.len() < ASKED_MAX {
                self.asked.insert(id, now);
            }
            return Ok(());
        }
        tracing::info!(chunk = %id, "a lease was found with another holder");
        let mut put_id = PutId([0; 16]);
        parts.environment.fill_random(&mut put_id.0);
        let lease_until = now.saturating_add(PROVISIONAL_LEASE_SECS);
        let (class, pieces) = (chunk.class, Vec::new());
        parts.store.put(PutBatch { put_id, owner: me, class, lease_until, pieces, chunks: vec![id] }).await?;
        parts.store.bind(put_id, me, leases).await.map(|_| ())
    }

    async fn collect(&self, now: u64) -> Result<(), StoreError> {
        let upkeep = &self.farmer.options.upkeep;
        let trash_secs = if planted(Bug::TrashForgotten) { 0 } else { upkeep.trash_secs };
        let (mut after, mut trashed, mut deleted, mut bytes) = (None, 0, 0, 0);
        loop {
            let step = CollectStep { now, trash_secs, after, max_chunks: STEP_CHUNKS };
            let done = self.farmer.parts.store.collect(step).await?;
            trashed += done.trashed;
            deleted += done.deleted;
            bytes += done.deleted_bytes;
            after = done.next;
            if after.is_none() {
                break;
            }
            tokio::time::sleep(STEP_REST).await;
        }
        if trashed + deleted > 0 {
            tracing::info!(trashed, deleted, bytes, "went through the leases");
        }
        Ok(())
    }
}
