//! Moving everything off a farmer that is to leave: it takes nothing new, and copies of each chunk what the others lack for
//! its target, piece by piece, without computing anything. Afterwards it may go at any time. Taken up again after a
//! restart it finds what was copied and goes on; cancelled, it takes pieces again.

use std::{sync::Arc, time::Duration};

use dsn_client::{Ailing, Client, RepairError, Survey};
use dsn_core::{
    hash::ChunkId,
    lease::VerifiedLease,
    limits::LEASES_MAX_PER_CHUNK,
    locator::VerifiedLocator,
    piece::Piece,
    ports::{StoreError, StoredChunk},
    repair::standing,
};
use tokio::{sync::watch, time::Instant};

use crate::{farmer::Farmer, state::Drain};

/// Chunks read from the index in one go.
const PAGE: usize = 64;

/// How long to wait before chunks that found no room are tried again; doubled each time.
const AGAIN: Duration = Duration::from_secs(1);

/// The longest such wait.
const AGAIN_MAX: Duration = Duration::from_secs(60);

/// Seconds for which a survey of the farmers is used.
const SURVEY_FOR: Duration = Duration::from_secs(600);

/// Drains when it is told to.
pub(crate) struct Drainer {
    pub(crate) farmer: Arc<Farmer>,
    pub(crate) client: Arc<Client>,
    pub(crate) state: watch::Receiver<Drain>,
}

impl Farmer {
    /// Begins to move everything off this farmer; nothing changes when that is going on already.
    pub fn drain(&self) {
        let all_bytes = self.parts.store.space().used_bytes;
        let begin = Drain::Moving { done_bytes: 0, all_bytes, moved_bytes: 0, stuck_chunks: 0, elapsed_ms: 0 };
        self.drain.send_if_modified(|state| {
            let is_off = *state == Drain::Off;
            if is_off {
                *state = begin;
            }
            is_off
        });
    }

    /// Takes pieces again. What was copied stays where it is.
    pub fn cancel_drain(&self) {
        self.drain.send_replace(Drain::Off);
    }

    /// How far the drain has come.
    pub fn drain_state(&self) -> Drain {
        *self.drain.borrow()
    }

    pub(crate) fn is_leaving(&self) -> bool {
        self.drain_state() != Drain::Off
    }
}

impl Drainer {
    /// Runs until it is dropped.
    pub(crate) async fn run(mut self) {
        loop {
            let state = *self.state.borrow_and_update();
            if let Drain::Moving { .. } = state {
                tokio::select! { biased;
                    _cancelled = cancelled(self.state.clone()) => {}
                    () = self.drain_all() => {}
                }
            } else if self.state.changed().await.is_err() {
                return;
            }
        }
    }

    /// Goes through everything again and again until nothing is stuck.
    async fn drain_all(&self) {
        let started = Instant::now();
        let (mut moved_bytes, mut again) = (0, AGAIN);
        loop {
            match self.pass(started, &mut moved_bytes).await {
                Ok(0) => {
                    tracing::info!(moved_bytes, "drained: this farmer can go");
                    self.set(Drain::Done { moved_bytes });
                    return;
                }
                Ok(stuck_chunks) => tracing::warn!(stuck_chunks, "some chunks find no room elsewhere"),
                Err(error) => tracing::warn!(%error, "the drain is held up"),
            }
            tokio::time::sleep(again).await;
            again = (again * 2).min(AGAIN_MAX);
        }
    }

    fn set(&self, drain: Drain) {
        self.farmer.drain.send_if_modified(|state| {
            let goes_on = *state != Drain::Off;
            if goes_on {
                *state = drain;
            }
            false
        });
    }

    /// Looks at every chunk once; says how many found no room.
    async fn pass(&self, started: Instant, moved_bytes: &mut u64) -> Result<u64, StoreError> {
        let (mut done_bytes, mut stuck_chunks) = (0, 0);
        let mut survey: Option<(Instant, Survey)> = None;
        let mut pages = self.farmer.pages(PAGE);
        while let Some(page) = pages.next().await? {
            for chunk in page {
                if survey.as_ref().is_none_or(|(at, _)| at.elapsed() > SURVEY_FOR) {
                    survey = self.client.survey().await.ok().map(|survey| (Instant::now(), survey));
                }
                let moved = match &survey {
                    Some((_, survey)) => self.move_off(&chunk, survey).await?,
                    None => None,
                };
                let bytes = chunk.indices.len() * chunk.descriptor.piece_len();
                done_bytes += u64::try_from(bytes).expect("at most 48 MiB");
                *moved_bytes += moved.unwrap_or(0);
                stuck_chunks += u64::from(moved.is_none());
                let all_bytes = self.farmer.parts.store.space().used_bytes.max(done_bytes);
                let elapsed_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
                let moved_bytes = *moved_bytes;
                self.set(Drain::Moving { done_bytes, all_bytes, moved_bytes, stuck_chunks, elapsed_ms });
            }
        }
        Ok(stuck_chunks)
    }

    /// Gives the others what they lack of a chunk. Says how many bytes were sent; none when they have no room.
    async fn move_off(&self, chunk: &StoredChunk, survey: &Survey) -> Result<Option<u64>, StoreError> {
        let id = chunk.descriptor.id();
        // Where the network has grown, its new custodians may not have heard of the chunk yet.
        let found = self.client.find_locator(&chunk.descriptor).await;
        let locator = found.unwrap_or_else(|| VerifiedLocator::new(chunk.descriptor.clone()));
        let me = self.farmer.parts.identity.node_id();
        let mut held = self.client.holders_now(&locator, survey).await;
        held.remove(&me);
        let needs = standing(chunk.descriptor.code(), chunk.class, survey.with_room(), held.values().copied());
        if needs.live >= needs.target.place {
            return Ok(Some(0));
        }
        let leases = self.valid_leases(id).await?;
        if leases.is_empty() {
            return Ok(Some(0)); // Nobody wants it.
        }
        let mut others = locator;
        others.retain(|node| held.contains_key(&node));
        let mut pieces = Vec::with_capacity(chunk.indices.len());
        for index in chunk.indices.iter() {
            if let Ok(Some(bytes)) = self.farmer.parts.store.piece(id, index).await {
                pieces.extend((Piece { index, bytes }).verify(&chunk.descriptor));
            }
        }
        let ailing = Ailing { locator: others, class: chunk.class, held };
        match self.client.hand_off(&ailing, pieces, leases, survey, &self.farmer.parts.identity).await {
            Ok(sent) => Ok(Some(sent)),
            // Not all that is missing lies here: what is left is a repair, and computed.
            Err(RepairError::NoRoom) => {
                let repaired = self.client.repair(&ailing, survey, &self.farmer.parts.identity).await;
                Ok(repaired.ok().map(|repaired| repaired.moved_bytes))
            }
            Err(error) => {
                tracing::debug!(chunk = %id, %error, "not moved off");
                Ok(None)
            }
        }
    }

    async fn valid_leases(&self, chunk: ChunkId) -> Result<Vec<VerifiedLease>, StoreError> {
        let now = self.farmer.parts.environment.unix_secs();
        let leases = self.farmer.parts.store.leases(&[chunk]).await?.into_iter().flatten();
        let holding = leases.filter(|lease| lease.body().holds_at(now));
        let verified = holding.filter_map(|lease| lease.verify(&self.farmer.parts.network_name, now).ok());
        Ok(verified.take(LEASES_MAX_PER_CHUNK).collect())
    }
}

/// Ends when the drain is called off.
async fn cancelled(mut state: watch::Receiver<Drain>) {
    let _closed = state.wait_for(|state| *state == Drain::Off).await;
}
