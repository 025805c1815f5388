//! Repair of one chunk: fetch as many pieces as are needed, compute all of them, place what is missing, tell the
//! custodians. The same fetching and placing as get and put use; whether and when is the caller's decision. Nobody's key
//! is needed: the chunk's leases are carried along.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
};

use bytes::{Bytes, BytesMut};
use dsn_core::{
    canary::{Bug, planted},
    descriptor::Descriptor,
    erasure::{EncodedChunk, encode},
    hash::ChunkId,
    identity::Identity,
    index_set::IndexSet,
    lease::VerifiedLease,
    limits::OFFER_MAX_CHUNKS,
    locator::VerifiedLocator,
    node_id::NodeId,
    piece::VerifiedPiece,
    ports::{NetworkError, compute},
    redundancy::Class,
    repair::{Standing, standing},
    rpc::{OwnerProof, PutId},
};
use tokio::sync::OnceCell;

use crate::{
    batch::Batcher,
    client::Client,
    custodians::Effort,
    cutting::Cut,
    directory::Directory,
    download::{GetContext, Wanted},
    error::RepairError,
    options::{PutOptions, Safety},
    place::{Farmers, Placement},
    progress::NoProgress,
    upload::{PieceSet, PutContext},
    watchdog::Watchdog,
};

/// The farmers there are and their room, as asked once for many repairs.
#[derive(Clone)]
pub struct Survey {
    directory: Arc<Directory>,
}

/// A chunk to repair.
#[derive(Clone, Debug)]
pub struct Ailing {
    /// Its descriptor, and the receipts of those who may hold pieces.
    pub locator: VerifiedLocator,
    /// How safe it is to be, which those who may hold pieces alone need not know.
    pub class: Class,
    /// The pieces that count as held.
    pub held: BTreeMap<NodeId, IndexSet>,
}

/// What a repair did.
#[derive(Clone, Debug)]
pub struct Repaired {
    /// The chunk.
    pub chunk: ChunkId,
    /// How it stands now.
    pub standing: Standing,
    /// Pieces that were placed.
    pub placed: usize,
    /// Bytes of pieces fetched and sent.
    pub moved_bytes: u64,
}

impl Survey {
    /// Farmers that answer.
    pub fn farmers(&self) -> usize {
        self.directory.answering().len()
    }

    /// Farmers that answer and have room.
    pub fn with_room(&self) -> usize {
        self.directory.with_room().len()
    }

    /// Leaves a farmer out of what follows.
    pub fn leave_out(&self, farmer: NodeId) {
        self.directory.down(farmer);
    }
}

impl Client {
    /// Asks who there is.
    ///
    /// # Errors
    /// When nobody can be reached.
    pub async fn survey(&self) -> Result<Survey, NetworkError> {
        let dog = Watchdog::new(self.options.stall_after);
        Ok(Survey { directory: Arc::new(self.directory(&dog).await?) })
    }

    /// What the custodians know of a chunk; none when nobody knows anything.
    pub async fn find_locator(&self, descriptor: &Descriptor) -> Option<VerifiedLocator> {
        let get = self.get_context(&NoProgress);
        self.find(&get, wanted(descriptor), &[Effort::All, Effort::LookUp]).await.ok()
    }

    /// What each farmer that a receipt names says it holds now; none for one that does not answer.
    pub async fn held_now(&self, locator: &VerifiedLocator) -> BTreeMap<NodeId, Option<IndexSet>> {
        let chunk = locator.chunk();
        let claims = locator.holders().into_iter();
        let asked = claims.map(|(node, claimed)| async move {
            (node, self.holds_at(node, chunk).await.ok().map(|held| held.and(claimed)))
        });
        futures::future::join_all(asked).await.into_iter().collect()
    }

    /// The same, of those that answer and hold something, and are not about to leave.
    pub async fn holders_now(&self, locator: &VerifiedLocator, survey: &Survey) -> BTreeMap<NodeId, IndexSet> {
        let answers = self.held_now(locator).await.into_iter();
        let held = answers.filter_map(|(node, set)| Some((node, set?)));
        held.filter(|(node, set)| !set.is_empty() && !survey.directory.is_leaving(*node)).collect()
    }

    /// Brings a chunk back to its target. `repairer` signs for the upload. Dropping the future keeps what is stored.
    ///
    /// # Errors
    /// See [`RepairError`]. Where room is short it places what it can, and the standing says how far it came.
    pub async fn repair(&self, ailing: &Ailing, survey: &Survey, repairer: &Identity) -> Result<Repaired, RepairError> {
        let context = self.repair_context(ailing, survey, repairer);
        let repair = self.repair_guarded(&context, ailing);
        context.dog.guard(repair).await.unwrap_or_else(|stalled| Err(stalled.into()))
    }

    /// Computes pieces of a chunk anew from those others hold.
    ///
    /// # Errors
    /// See [`RepairError`]; never for want of a lease or of room.
    pub async fn rebuild(&self, descriptor: &Descriptor, indices: IndexSet) -> Result<Vec<VerifiedPiece>, RepairError> {
        let dog = Watchdog::new(self.options.stall_after);
        let rebuild = async {
            let get = self.get_context(&NoProgress);
            let locator = self.find(&get, wanted(descriptor), &[Effort::All, Effort::LookUp]).await?;
            self.encode_anew(&locator).await
        };
        let (encoded, _) = dog.guard(rebuild).await.unwrap_or_else(|stalled| Err(stalled.into()))?;
        Ok(encoded.pieces.into_iter().filter(|piece| indices.contains(piece.index())).collect())
    }

    /// Copies pieces that the caller has to farmers that lack them, so that the chunk reaches its target without the
    /// caller; `ailing` is the chunk without it. Says how many bytes were sent.
    ///
    /// # Errors
    /// [`RepairError::NoRoom`] when the target was not reached, [`RepairError::Network`] when nobody keeps the locator.
    pub async fn hand_off(
        &self,
        ailing: &Ailing,
        pieces: Vec<VerifiedPiece>,
        leases: Vec<VerifiedLease>,
        survey: &Survey,
        holder: &Identity,
    ) -> Result<u64, RepairError> {
        let context = self.repair_context(ailing, survey, holder);
        let descriptor = ailing.locator.descriptor();
        let pieces = PieceSet::new(descriptor.clone(), pieces);
        let class = ailing.class;
        let mut placement = Placement::new(descriptor.clone(), class, pieces.indices(), ailing.held.clone());
        let hand_off = async {
            let sent = self.place_all(&context, &pieces, &mut placement).await;
            let holders = placement.locator().holders();
            self.carry_leases(&context, holders.keys().copied(), leases).await;
            self.publish(placement.locator(), 1, &context.dog).await?;
            let farmers = survey.with_room().max(holders.len());
            let standing = standing(descriptor.code(), class, farmers, holders.values().copied());
            if standing.live >= standing.target.place { Ok(sent) } else { Err(RepairError::NoRoom) }
        };
        context.dog.guard(hand_off).await.unwrap_or_else(|stalled| Err(stalled.into()))
    }

    fn repair_context(&self, ailing: &Ailing, survey: &Survey, repairer: &Identity) -> PutContext<'static> {
        let mut put_id = PutId([0; 16]);
        self.parts.environment.fill_random(&mut put_id.0);
        PutContext {
            whole: None,
            has_room: OnceCell::new(),
            put_id,
            owner: OwnerProof::sign(repairer, put_id, self.network().local_id()),
            options: PutOptions { class: ailing.class, safety: Safety::Waived, ..PutOptions::default() },
            cut: Cut::PLAIN,
            directory: Arc::clone(&survey.directory),
            offers: Batcher::new(OFFER_MAX_CHUNKS),
            progress: &NoProgress,
            dog: Watchdog::new(self.options.stall_after),
        }
    }

    async fn repair_guarded(&self, context: &PutContext<'_>, ailing: &Ailing) -> Result<Repaired, RepairError> {
        let Ailing { locator, class, held } = ailing;
        let (chunk, class) = (locator.chunk(), *class);
        let descriptor = locator.descriptor();
        // Before anything is fetched: is there room, and does anybody want the chunk?
        let mut placement = Placement::new(descriptor.clone(), class, descriptor.all_indices(), held.clone());
        if !self.would_place(context, held, &mut placement) {
            return Err(RepairError::NoRoom);
        }
        let leases = self.leases_of(chunk, Vec::new(), held.keys().copied()).await;
        if leases.is_empty() {
            return Err(RepairError::NoLease);
        }
        let (encoded, fetched) = self.encode_anew(locator).await?;
        context.dog.feed();
        let sent = self.place_all(context, &PieceSet::from(encoded), &mut placement).await;
        let holders = placement.locator().holders();
        self.carry_leases(context, holders.keys().copied(), leases).await;
        if !planted(Bug::RepairUnpublished) {
            self.publish(placement.locator(), 1, &context.dog).await?;
        }
        let farmers = context.directory.with_room().len().max(holders.len());
        Ok(Repaired {
            chunk,
            standing: standing(descriptor.code(), class, farmers, holders.values().copied()),
            placed: usize::try_from(sent).unwrap_or(usize::MAX) / descriptor.piece_len(),
            moved_bytes: fetched + sent,
        })
    }

    /// Whether some farmer is to get a piece that it is not known to hold.
    fn would_place(
        &self,
        context: &PutContext<'_>,
        held: &BTreeMap<NodeId, IndexSet>,
        placement: &mut Placement,
    ) -> bool {
        let (with_room, answering) = (context.directory.with_room(), context.directory.answering());
        let offers = placement.next(Farmers { with_room: &with_room, answering: &answering });
        offers.iter().any(|(node, set)| !set.is_subset(held.get(node).copied().unwrap_or_default()))
    }

    /// Fetches a chunk and computes all of its pieces; says how many bytes of pieces came.
    async fn encode_anew(&self, locator: &VerifiedLocator) -> Result<(EncodedChunk, u64), RepairError> {
        let get = self.get_context(&NoProgress);
        let encoded = self.all_pieces(&get, wanted(locator.descriptor()), locator.clone()).await?;
        Ok((encoded, get.counters.fetched_bytes.load(Ordering::Relaxed)))
    }

    /// Fetches a chunk and computes all of its pieces.
    pub(crate) async fn all_pieces(
        &self,
        get: &GetContext<'_>,
        wanted: Wanted,
        locator: VerifiedLocator,
    ) -> Result<EncodedChunk, RepairError> {
        let descriptor = locator.descriptor().clone();
        let parts = self.fetch_from(get, wanted, locator).await?;
        let encoded = compute(&*self.parts.compute, move || encode(descriptor.code(), joined(&parts))).await;
        if encoded.descriptor.id() == wanted.chunk { Ok(encoded) } else { Err(RepairError::Malformed) }
    }
}

/// Any chunk: it has no place in a file here.
fn wanted(descriptor: &Descriptor) -> Wanted {
    Wanted { chunk: descriptor.id(), code: descriptor.code(), len: None, number: 1, of: 1 }
}

fn joined(parts: &[Bytes]) -> BytesMut {
    let mut chunk = BytesMut::with_capacity(parts.iter().map(Bytes::len).sum());
    parts.iter().for_each(|part| chunk.extend_from_slice(part));
    chunk
}
