//! Brings one chunk back: finds who holds it, drives the state machine of `fetch`, decodes. Every byte is checked against
//! the descriptor before it is used, and the descriptor against the chunk's id.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use dsn_core::{
    canary::{Bug, planted, unchecked},
    descriptor::{Code, Descriptor},
    erasure::decode,
    hash::ChunkId,
    index_set::IndexSet,
    locator::VerifiedLocator,
    node_id::NodeId,
    piece::{Piece, VerifiedPiece},
    ports::compute,
    rpc::{Request, Response, Want},
};
use futures::FutureExt;
use tokio::time::Instant;

use crate::{
    client::Client,
    custodians::Effort,
    drive::{Answer, Answers, Arrivals, Arrived, Outcome, Patience},
    error::GetError,
    fetch::Fetch,
    progress::Progress,
    watchdog::Watchdog,
};

/// How often holders are looked up anew, and silent ones asked again, before a chunk counts as lost.
const RETRIES: usize = 2;

/// What all chunks of one get share.
pub(crate) struct GetContext<'a> {
    pub(crate) progress: &'a dyn Progress,
    pub(crate) dog: Watchdog,
    pub(crate) counters: GetCounters,
}

/// What a get has done so far.
#[derive(Debug, Default)]
pub(crate) struct GetCounters {
    pub(crate) pieces_fetched: AtomicU64,
    pub(crate) pieces_bad: AtomicU64,
    pub(crate) decoded_chunks: AtomicU64,
    pub(crate) fetched_bytes: AtomicU64,
}

/// A chunk as its place in a file asks for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) chunk: ChunkId,
    pub(crate) code: Code,
    /// Its plaintext bytes; none when any will do.
    pub(crate) len: Option<usize>,
    /// Its place in the file, from 1; 0 is the manifest.
    pub(crate) number: u64,
    /// Chunks of the file.
    pub(crate) of: u64,
}

impl Client {
    /// Finds a chunk's locator, with ever more effort.
    pub(crate) async fn find(
        &self,
        context: &GetContext<'_>,
        wanted: Wanted,
        efforts: &[Effort],
    ) -> Result<VerifiedLocator, GetError> {
        let mut asked = 0;
        for effort in efforts {
            let located = self.locate(wanted.chunk, *effort, &context.dog).await?;
            asked = asked.max(located.asked.len());
            if let Some(locator) = located.locator {
                let fits = locator.descriptor().code() == wanted.code
                    && wanted.len.is_none_or(|len| len == locator.descriptor().chunk_len());
                return if fits { Ok(locator) } else { Err(GetError::WrongChunk { chunk: wanted.chunk }) };
            }
        }
        let Wanted { number, of, .. } = wanted;
        Err(if number == 0 { GetError::NotFound { asked } } else { GetError::ChunkNotFound { number, of, asked } })
    }

    /// Fetches and decodes one chunk.
    pub(crate) async fn fetch_chunk(&self, context: &GetContext<'_>, wanted: Wanted) -> Result<Vec<Bytes>, GetError> {
        let locator = self.find(context, wanted, &[Effort::All, Effort::LookUp, Effort::LookUp]).await?;
        self.fetch_from(context, wanted, locator).await
    }

    /// Fetches and decodes a chunk from those that `locator` names, then from whomever else the custodians know.
    pub(crate) async fn fetch_from(
        &self,
        context: &GetContext<'_>,
        wanted: Wanted,
        mut locator: VerifiedLocator,
    ) -> Result<Vec<Bytes>, GetError> {
        let descriptor = locator.descriptor().clone();
        let mut fetch = Fetch::new(&descriptor);
        fetch.learn(&locator);
        let mut retries = 0;
        while !self.fetch_pieces(context, &descriptor, &mut fetch).await {
            // Custodians asked later may know more holders, and a message may just have been lost.
            let more = retries < RETRIES && {
                locator = self.find(context, wanted, &[Effort::LookUp]).await?;
                fetch.learn(&locator) | fetch.retry_unanswered()
            };
            if !more {
                let (found, needed, holders) = (fetch.found(), descriptor.code().needed(), fetch.answers());
                let Wanted { number, of, .. } = wanted;
                return Err(GetError::NotEnoughPieces { number, of, found, needed, holders });
            }
            retries += 1;
        }
        let pieces = fetch.into_pieces();
        let decoded = compute(&*self.parts.compute, move || decode(&descriptor, &pieces)).await?;
        context.counters.decoded_chunks.fetch_add(u64::from(decoded.computed > 0), Ordering::Relaxed);
        context.dog.feed();
        Ok(decoded.parts)
    }

    /// Runs the state machine; says whether there are pieces enough.
    async fn fetch_pieces(&self, context: &GetContext<'_>, descriptor: &Descriptor, fetch: &mut Fetch) -> bool {
        let ask = |node, indices| self.ask(context, descriptor, node, indices).boxed();
        self.drive(context, fetch, &mut Answers::new(), ask, Patience::Long).await == Outcome::Enough
    }

    async fn ask(
        &self,
        context: &GetContext<'_>,
        descriptor: &Descriptor,
        node: NodeId,
        indices: IndexSet,
    ) -> Answer<VerifiedPiece> {
        let (asked, want) = (Instant::now(), Want { chunk: descriptor.id(), indices });
        let check = async |response| {
            let Response::Fetched(parts) = response else { return None };
            let wanted = parts.into_iter().filter(|p| p.chunk == want.chunk && indices.contains(p.index));
            let pieces: Vec<_> = wanted.map(|p| Piece { index: p.index, bytes: p.bytes }).collect();
            let descriptor = descriptor.clone();
            let is_late = asked.elapsed() > self.options.hedge_after;
            Some(compute(&*self.parts.compute, move || check(pieces, &descriptor, is_late)).await)
        };
        self.ask_holder(context, node, indices, Request::Fetch(vec![want]), check).await
    }
}

/// The true pieces, and how many were not.
fn check(pieces: Vec<Piece>, descriptor: &Descriptor, is_late: bool) -> Arrivals<VerifiedPiece> {
    let given = pieces.len();
    let verify = |piece: Piece| {
        if planted(Bug::GetUnchecked) || (is_late && planted(Bug::LateUnchecked)) {
            return unchecked(piece, descriptor);
        }
        piece.verify(descriptor).ok()
    };
    let arrived = |piece: VerifiedPiece| {
        let wire_bytes = piece.bytes().len() as u64;
        Arrived { index: piece.index(), what: piece, wire_bytes }
    };
    let good: Vec<_> = pieces.into_iter().filter_map(verify).map(arrived).collect();
    let bad = (given - good.len()) as u64;
    Arrivals { good, bad }
}
