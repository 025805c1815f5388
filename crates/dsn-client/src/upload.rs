//! Brings one encoded chunk to its farmers and its locator to its custodians: drives the state machine of `place`.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use dsn_core::{
    canary::{Bug, planted},
    descriptor::Descriptor,
    erasure::EncodedChunk,
    hash::ChunkId,
    index_set::IndexSet,
    limits::BODIES_MAX_BYTES,
    node_id::NodeId,
    piece::VerifiedPiece,
    ports::NetworkError,
    receipt::{Receipt, ReceiptContext, VerifiedReceipt},
    redundancy::must_vanish,
    rpc::{Offer, OfferAnswer, OfferedChunk, OwnerProof, PutId, Request, Response, StorePart, Token},
};
use futures::{StreamExt, stream::FuturesUnordered};
use tokio::sync::OnceCell;

use crate::{
    batch::Batcher,
    client::{BUSY_TRIES, Client},
    custodians::Effort,
    cutting::Cut,
    directory::Directory,
    error::PutError,
    options::{Privacy, PutOptions, Safety},
    place::{Farmers, Placement},
    progress::{Progress, ProgressEvent},
    room::Whole,
    watchdog::Watchdog,
};

/// How often a farmer is tried when messages to it are lost.
const LOST_TRIES: usize = 3;

/// What all chunks of one put share.
pub(crate) struct PutContext<'a> {
    pub(crate) put_id: PutId,
    pub(crate) owner: OwnerProof,
    pub(crate) options: PutOptions,
    /// Where files are cut.
    pub(crate) cut: Cut,
    pub(crate) directory: Arc<Directory>,
    /// What is put, when that is known from the start, and that there is room for all of it, once somebody has looked.
    pub(crate) whole: Option<Whole>,
    pub(crate) has_room: OnceCell<()>,
    pub(crate) offers: Batcher<OfferedChunk, Result<OfferAnswer, NetworkError>>,
    pub(crate) progress: &'a dyn Progress,
    pub(crate) dog: Watchdog,
}

impl PutContext<'_> {
    /// Whether what is put is sealed.
    pub(crate) fn is_sealed(&self) -> bool {
        !matches!(self.options.privacy, Privacy::Public)
    }

    /// So many bytes of a file are safe, by this chunk.
    pub(crate) fn confirm(&self, len: u64, stored: &StoredChunk) {
        let event = if stored.sent_bytes == 0 { ProgressEvent::Resumed(len) } else { ProgressEvent::Confirmed(len) };
        self.progress.event(event);
    }
}

/// Pieces of one chunk to be given to farmers.
pub(crate) struct PieceSet {
    descriptor: Descriptor,
    pieces: BTreeMap<u8, VerifiedPiece>,
}

impl PieceSet {
    /// Pieces that are there; those of another chunk are left out.
    pub(crate) fn new(descriptor: Descriptor, pieces: Vec<VerifiedPiece>) -> Self {
        let of_chunk = pieces.into_iter().filter(|piece| piece.chunk() == descriptor.id());
        Self { pieces: of_chunk.map(|piece| (piece.index(), piece)).collect(), descriptor }
    }

    /// Which.
    pub(crate) fn indices(&self) -> IndexSet {
        self.pieces.keys().copied().collect()
    }
}

impl From<EncodedChunk> for PieceSet {
    fn from(encoded: EncodedChunk) -> Self {
        Self::new(encoded.descriptor, encoded.pieces)
    }
}

/// One chunk that is safe on the network.
#[derive(Clone, Debug)]
pub(crate) struct StoredChunk {
    pub(crate) chunk: ChunkId,
    pub(crate) pieces: usize,
    pub(crate) stored_bytes: u64,
    pub(crate) sent_bytes: u64,
    pub(crate) may_vanish: usize,
    pub(crate) holders: BTreeSet<NodeId>,
}

/// Why a farmer got no pieces.
enum Refused {
    /// It has no room.
    Full,
    /// It refuses or stays busy.
    Unwilling,
    /// It cannot be talked to.
    Failed(NetworkError),
}

impl From<NetworkError> for Refused {
    fn from(error: NetworkError) -> Self {
        if matches!(error, NetworkError::Busy { .. }) { Self::Unwilling } else { Self::Failed(error) }
    }
}

impl Client {
    /// Places one chunk and publishes its locator. `number` is its place in the file, for errors. Dropping the future
    /// keeps what is stored.
    pub(crate) async fn store_chunk(
        &self,
        context: &PutContext<'_>,
        encoded: EncodedChunk,
        number: u64,
    ) -> Result<StoredChunk, PutError> {
        let encoded = PieceSet::from(encoded);
        let known = self.locate(encoded.descriptor.id(), Effort::Quick, &context.dog).await?.locator;
        let mut placement = Placement::new(
            encoded.descriptor.clone(),
            context.options.class,
            encoded.indices(),
            known.map(|known| known.holders()).unwrap_or_default(),
        );
        let sent_bytes = self.place_all(context, &encoded, &mut placement).await;
        let vanish = self.check_pieces(context, &placement, number)?;
        let vanish = self.publish_chunk(context, &placement, vanish, number).await?;
        let holders = placement.locator().holders();
        let pieces = holders.values().map(|set| set.len()).sum();
        Ok(StoredChunk {
            chunk: encoded.descriptor.id(),
            pieces,
            stored_bytes: (pieces * encoded.descriptor.piece_len()) as u64,
            sent_bytes,
            may_vanish: vanish,
            holders: holders.into_keys().collect(),
        })
    }

    /// Makes rounds of offers until nothing is left to try; says how many bytes of pieces were sent.
    pub(crate) async fn place_all(
        &self,
        context: &PutContext<'_>,
        encoded: &PieceSet,
        placement: &mut Placement,
    ) -> u64 {
        let mut sent_bytes = 0;
        loop {
            let (with_room, answering) = (context.directory.with_room(), context.directory.answering());
            let offers = placement.next(Farmers { with_room: &with_room, answering: &answering });
            if offers.is_empty() {
                return sent_bytes;
            }
            sent_bytes += self.round(context, encoded, offers, placement).await;
        }
    }

    /// Makes one round of offers; says how many bytes of pieces were sent.
    async fn round(
        &self,
        context: &PutContext<'_>,
        encoded: &PieceSet,
        offers: BTreeMap<NodeId, IndexSet>,
        placement: &mut Placement,
    ) -> u64 {
        let mut farmers: FuturesUnordered<_> = offers
            .into_iter()
            .map(|(farmer, set)| async move { (farmer, self.give(context, encoded, farmer, set).await) })
            .collect();
        let mut sent_bytes = 0;
        while let Some((farmer, result)) = farmers.next().await {
            match result {
                Ok((receipt, sent)) => {
                    sent_bytes += sent;
                    placement.confirm(receipt);
                    continue;
                }
                Err(Refused::Full) => context.directory.full(farmer),
                Err(Refused::Unwilling) => {}
                Err(Refused::Failed(error)) => {
                    tracing::debug!(%farmer, %error, "farmer dropped out of the put");
                    context.dog.note(farmer, &error);
                    context.directory.down(farmer);
                }
            }
            placement.refuse(farmer);
        }
        sent_bytes
    }

    /// Offers and sends, again when a message was lost: what has arrived is not sent twice.
    async fn give(
        &self,
        context: &PutContext<'_>,
        encoded: &PieceSet,
        farmer: NodeId,
        indices: IndexSet,
    ) -> Result<(VerifiedReceipt, u64), Refused> {
        let mut tries = 1;
        loop {
            match self.offer_and_send(context, encoded, farmer, indices).await {
                Err(Refused::Failed(NetworkError::Timeout { .. } | NetworkError::ConnectionLost { .. }))
                    if tries < LOST_TRIES =>
                {
                    tries += 1;
                }
                result => return result,
            }
        }
    }

    async fn offer_and_send(
        &self,
        context: &PutContext<'_>,
        encoded: &PieceSet,
        farmer: NodeId,
        indices: IndexSet,
    ) -> Result<(VerifiedReceipt, u64), Refused> {
        for _ in 0..BUSY_TRIES {
            let offered = OfferedChunk { descriptor: encoded.descriptor.clone(), indices };
            let delay_ms = match self.offer(context, farmer, offered).await? {
                OfferAnswer::Have(receipt) => {
                    return Ok((self.check_receipt(encoded, farmer, indices, receipt)?, 0));
                }
                OfferAnswer::Send { token, missing } => {
                    if !missing.is_subset(indices) {
                        return Err(Self::bad_answer(farmer).into());
                    }
                    return self.send(context, encoded, farmer, token, missing).await;
                }
                OfferAnswer::Full => return Err(Refused::Full),
                OfferAnswer::Busy { delay_ms } => delay_ms,
            };
            Self::wait_for_busy(delay_ms).await;
        }
        Err(Refused::Unwilling)
    }

    async fn offer(
        &self,
        context: &PutContext<'_>,
        farmer: NodeId,
        chunk: OfferedChunk,
    ) -> Result<OfferAnswer, NetworkError> {
        let send = async |chunks: Vec<OfferedChunk>| {
            let offered = chunks.len();
            let (put_id, owner, class) = (context.put_id, context.owner, context.options.class);
            let offer = Offer { put_id, owner, class, chunks };
            match self.request(farmer, Request::Offer(offer)).await {
                Ok(Response::Offered(answers)) if answers.len() == offered => answers.into_iter().map(Ok).collect(),
                Err(error @ NetworkError::Busy { delay_ms, .. }) => {
                    context.dog.note(farmer, &error);
                    vec![Ok(OfferAnswer::Busy { delay_ms }); offered]
                }
                Ok(_) => vec![Err(Self::bad_answer(farmer)); offered],
                Err(error) => vec![Err(error); offered],
            }
        };
        context.offers.call(farmer, chunk, send).await
    }

    /// Sends pieces in messages of at most 1 MiB and gives the last receipt, which covers all of them.
    async fn send(
        &self,
        context: &PutContext<'_>,
        encoded: &PieceSet,
        farmer: NodeId,
        token: Token,
        indices: IndexSet,
    ) -> Result<(VerifiedReceipt, u64), Refused> {
        let per_message = (BODIES_MAX_BYTES / encoded.descriptor.piece_len()).max(1);
        let (mut receipt, mut sent, mut sent_bytes) = (None, IndexSet::EMPTY, 0);
        while sent != indices {
            let now = indices.minus(sent).first(per_message);
            let pieces = now.iter().filter_map(|index| encoded.pieces.get(&index));
            let parts: Vec<_> =
                pieces.map(|piece| StorePart { token, index: piece.index(), bytes: piece.bytes().clone() }).collect();
            let bytes: usize = parts.iter().map(|part| Bytes::len(&part.bytes)).sum();
            match self.request(farmer, Request::Store(parts)).await? {
                Response::Stored(receipts) => {
                    let first = receipts.into_iter().next().ok_or_else(|| Self::bad_answer(farmer))?;
                    receipt = Some(self.check_receipt(encoded, farmer, now, first)?);
                }
                Response::Refused(_) => return Err(Refused::Unwilling),
                _ => return Err(Self::bad_answer(farmer).into()),
            }
            sent = sent.union(now);
            sent_bytes += bytes as u64;
            context.dog.feed();
            context.progress.event(ProgressEvent::Sent(bytes as u64));
        }
        let receipt = receipt.filter(|receipt| indices.is_subset(receipt.body().indices));
        Ok((receipt.ok_or_else(|| Self::bad_answer(farmer))?, sent_bytes))
    }

    fn check_receipt(
        &self,
        encoded: &PieceSet,
        farmer: NodeId,
        pieces: IndexSet,
        receipt: Receipt,
    ) -> Result<VerifiedReceipt, NetworkError> {
        let context = ReceiptContext {
            network: &self.parts.network_name,
            chunk: encoded.descriptor.id(),
            indices: encoded.descriptor.all_indices(),
            now: self.now(),
        };
        let receipt = receipt.verify(&context).map_err(|_| Self::bad_answer(farmer))?;
        let covers = pieces.is_subset(receipt.body().indices) && receipt.body().farmer == farmer;
        if covers { Ok(receipt) } else { Err(Self::bad_answer(farmer)) }
    }

    /// The rule of `put` for pieces; says how many farmers may vanish.
    fn check_pieces(&self, context: &PutContext<'_>, placement: &Placement, number: u64) -> Result<usize, PutError> {
        let (with_room, answering) = (context.directory.with_room(), context.directory.answering());
        let reached = placement.reached(Farmers { with_room: &with_room, answering: &answering });
        let waived = context.options.safety == Safety::Waived;
        let wanted = reached.target.place;
        let needed =
            if waived { placement.locator().descriptor().code().needed() } else { reached.target.repair_at + 1 };
        if reached.stored < needed {
            let (stored, farmers) = (reached.stored, answering.len());
            let full = farmers - context.directory.with_room().len().min(farmers);
            let firewall = context.dog.firewall();
            return Err(PutError::NotEnoughPieces { number, stored, wanted, needed, farmers, full, firewall });
        }
        let vanish = reached.may_vanish.unwrap_or(0);
        let needed = must_vanish(answering.len());
        if vanish < needed && !waived {
            return Err(PutError::TooFewHolders { number, may_vanish: vanish, needed });
        }
        Ok(vanish)
    }

    /// Publishes the locator; a promise is never larger than what the custodians that keep it can bear.
    async fn publish_chunk(
        &self,
        context: &PutContext<'_>,
        placement: &Placement,
        vanish: usize,
        number: u64,
    ) -> Result<usize, PutError> {
        let waived = context.options.safety == Safety::Waived;
        let needed = if waived { 1 } else { must_vanish(context.directory.answering().len()) + 1 };
        let kept = self.publish(placement.locator(), needed.max(vanish + 1), &context.dog).await?;
        if planted(Bug::OneCustodian) && kept > 0 {
            return Ok(vanish);
        }
        if kept < needed {
            return Err(PutError::NotPublished { number, kept, needed });
        }
        Ok(vanish.min(kept - 1))
    }
}
