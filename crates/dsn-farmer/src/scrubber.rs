//! Reads every piece again within its time and compares it with the descriptor; a piece that has rotted is given up, told
//! to the custodians, and computed anew from what others hold. Paced: it rests nine times as long as it reads, and never
//! goes faster than its time demands. Pieces that a read finds damaged come here too.

use std::{sync::Arc, time::Duration};

use dsn_client::Client;
use dsn_core::{
    canary::{Bug, planted},
    descriptor::Descriptor,
    hash::ChunkId,
    index_set::IndexSet,
    limits::PROVISIONAL_LEASE_SECS,
    piece::Piece,
    ports::{NewPiece, PutBatch, StoreError, StoredChunk, compute},
    redundancy::Class,
    rpc::PutId,
};
use tokio::time::Instant;

use crate::{farmer::Farmer, state::Counters};

/// Chunks read from the index in one go.
const PAGE: usize = 64;

/// It rests so many times as long as it reads.
const REST_FACTOR: u32 = 9;

/// The longest rest between two pieces.
const REST_MAX: Duration = Duration::from_secs(12 * 3600);

/// Scrubs and heals.
pub(crate) struct Scrubber {
    pub(crate) farmer: Arc<Farmer>,
    pub(crate) client: Arc<Client>,
}

impl Scrubber {
    /// Runs until it is dropped.
    pub(crate) async fn run(self) {
        tokio::join!(biased; self.heal_all(), self.scrub_all());
    }

    async fn heal_all(&self) {
        loop {
            let changed = self.farmer.damaged.changed();
            match self.farmer.damaged.take() {
                Some((chunk, index)) => self.heal(chunk, index).await,
                None => changed.await,
            }
        }
    }

    async fn scrub_all(&self) {
        loop {
            // A store with nothing in it is looked at again after a while.
            tokio::time::sleep(self.rest(1)).await;
            if let Err(error) = self.scrub_once().await {
                tracing::warn!(%error, "the scrub ended early");
            }
        }
    }

    /// The rest after so many bytes that spreads all of them over the time there is.
    fn rest(&self, bytes: u64) -> Duration {
        let all = self.farmer.parts.store.space().used_bytes.max(1);
        let secs = u128::from(self.farmer.options.upkeep.scrub_secs) * 1000 * u128::from(bytes) / u128::from(all);
        Duration::from_millis(u64::try_from(secs).unwrap_or(u64::MAX)).min(REST_MAX)
    }

    async fn scrub_once(&self) -> Result<(), StoreError> {
        let mut pages = self.farmer.pages(PAGE);
        while let Some(page) = pages.next().await? {
            for chunk in page {
                self.scrub(&chunk).await?;
            }
        }
        Ok(())
    }

    async fn scrub(&self, chunk: &StoredChunk) -> Result<(), StoreError> {
        let StoredChunk { descriptor, indices, .. } = chunk;
        for index in indices.iter() {
            let started = Instant::now();
            self.look_at(descriptor, index).await?;
            Counters::add(&self.farmer.counters.scrubbed_pieces, 1);
            let piece_len = u64::try_from(descriptor.piece_len()).expect("at most 1 MiB");
            tokio::time::sleep(self.rest(piece_len).max((started.elapsed() * REST_FACTOR).min(REST_MAX))).await;
        }
        Ok(())
    }

    async fn look_at(&self, descriptor: &Descriptor, index: u8) -> Result<(), StoreError> {
        let chunk = descriptor.id();
        let bytes = match self.farmer.parts.store.piece(chunk, index).await {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Ok(()),
            Err(StoreError::Corrupt { .. }) => {
                self.farmer.found_damaged(chunk, index);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let described = descriptor.clone();
        let check = move || Piece { index, bytes }.verify(&described).is_ok();
        if !compute(&*self.farmer.parts.compute, check).await && self.farmer.parts.store.give_up(chunk, index).await? {
            self.farmer.found_damaged(chunk, index);
        }
        Ok(())
    }

    /// Brings a piece back from the others. Where that fails, the custodians learn that it is gone all the same.
    async fn heal(&self, chunk: ChunkId, index: u8) {
        let stored = self.farmer.parts.store.chunks(&[chunk]).await;
        let Ok(Some(stored)) = stored.map(|mut stored| stored.pop().flatten()) else { return };
        if stored.indices.contains(index) || planted(Bug::HealNever) {
            return;
        }
        let pieces = match self.client.rebuild(&stored.descriptor, IndexSet::one(index)).await {
            Ok(pieces) => pieces,
            Err(error) => {
                tracing::info!(%chunk, index, %error, "a damaged piece was not healed");
                return;
            }
        };
        let pieces = pieces.into_iter().map(|piece| NewPiece { descriptor: stored.descriptor.clone(), piece });
        match self.farmer.parts.store.put(self.batch(stored.class, pieces.collect())).await {
            Ok(_) => {
                Counters::add(&self.farmer.counters.healed_pieces, 1);
                tracing::info!(%chunk, index, "a damaged piece was healed");
            }
            Err(error) => tracing::warn!(%chunk, index, %error, "a healed piece could not be written"),
        }
    }

    /// The chunk's own leases keep the piece; that of this write lapses.
    fn batch(&self, class: Class, pieces: Vec<NewPiece>) -> PutBatch {
        let parts = &self.farmer.parts;
        let mut put_id = PutId([0; 16]);
        parts.environment.fill_random(&mut put_id.0);
        let lease_until = parts.environment.unix_secs().saturating_add(PROVISIONAL_LEASE_SECS);
        PutBatch { put_id, owner: parts.identity.node_id(), class, lease_until, pieces, chunks: Vec::new() }
    }
}
