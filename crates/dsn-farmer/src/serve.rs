//! What a farmer does for each kind of request. An offer is answered from the index and the space left; a piece is checked
//! against its descriptor, written, and only then receipted.

use std::collections::{BTreeMap, BTreeSet};

use dsn_core::{
    canary::{Bug, planted},
    greeting::Greeting,
    hash::ChunkId,
    index_set::IndexSet,
    limits::{BODIES_MAX_BYTES, HEADER_MAX_BYTES, PARTS_MAX_PER_MESSAGE, PROVISIONAL_LEASE_SECS, TOKEN_VALID_SECS},
    locator::{Locator, LocatorMark, VerifiedLocator},
    membership::Allowance,
    node_id::NodeId,
    piece::Piece,
    ports::{ChunkHoldings, NewPiece, PutBatch, StoreError, StoredChunk, compute},
    receipt::{Receipt, ReceiptBody, VerifiedReceipt},
    record::FarmerRecord,
    rpc::{FetchedPart, Offer, OfferAnswer, OfferedChunk, RecordQuery, Refusal, Response, StorePart, Token, Want},
};

use crate::{
    farmer::Farmer,
    state::{Carried, Counters, Grant, Grants},
};

/// When no more leaves can be given, ask again after this long.
const BUSY_DELAY_MS: u32 = 500;

/// Room left in an answer for the frame around its locators.
const LOCATED_MAX_BYTES: usize = HEADER_MAX_BYTES - 64 * 1024;

type Served = Result<Response, Refusal>;

impl Farmer {
    /// What the asker hears of a failed store.
    pub(crate) fn storage(error: &StoreError) -> Refusal {
        tracing::warn!(%error, "the store failed");
        Refusal::Storage
    }

    /// Keeps a greeting, and shows those of the node's other runs.
    pub(crate) fn greeted(&self, from: NodeId, greeting: Greeting) -> Served {
        let greeting = greeting.verify(&self.parts.network_name, from).map_err(|_| Refusal::Malformed)?;
        let now = self.parts.environment.unix_secs();
        Ok(Response::Greeted(self.greetings.lock().expect("no panic while locked").hear(greeting, now)))
    }

    /// Keeps where a node is that no look-up finds.
    pub(crate) fn registered(&self, from: NodeId, record: FarmerRecord) -> Served {
        let now = self.parts.environment.unix_secs();
        record.clone().verify(&self.parts.network_name, from).map_err(|_| Refusal::Malformed)?;
        let secs = self.registry.lock().expect("no panic while locked").keep(from, record, now);
        Ok(Response::Registered { secs })
    }

    /// Shows where such nodes are.
    pub(crate) fn records(&self, query: &RecordQuery) -> Response {
        let now = self.parts.environment.unix_secs();
        Response::Records(self.registry.lock().expect("no panic while locked").find(query, now))
    }

    pub(crate) async fn locate(&self, chunks: &[ChunkId]) -> Served {
        let locators = self.parts.store.locators(chunks).await.map_err(|e| Self::storage(&e))?;
        let mut bytes = 0;
        let fits = locators.into_iter().take_while(|locator| {
            bytes += locator.as_ref().map_or(8, |locator| locator.encode().len() + 16);
            bytes <= LOCATED_MAX_BYTES
        });
        Ok(Response::Located(fits.collect()))
    }

    pub(crate) async fn publish(&self, locators: Vec<Locator>) -> Served {
        let (network, now) = (self.parts.network_name.clone(), self.parts.environment.unix_secs());
        let chunks: Vec<ChunkId> = locators.iter().map(Locator::chunk).collect();
        let kept = self.parts.store.locators(&chunks).await.map_err(|e| Self::storage(&e))?;
        let verify = move || {
            let beside = |(locator, kept): (Locator, Option<Locator>)| match kept {
                Some(kept) => locator.verify_beside(&kept.kept(now), &network, now),
                None => locator.verify(&network, now),
            };
            locators.into_iter().zip(kept).map(beside).collect()
        };
        let verified: Vec<VerifiedLocator> = compute(&*self.parts.compute, verify).await;
        Ok(Response::Published(self.custodian.keep(verified).await))
    }

    /// Which of these locators are not, or not the same, here.
    pub(crate) async fn compare(&self, marks: &[LocatorMark]) -> Served {
        let chunks: Vec<ChunkId> = marks.iter().map(|mark| mark.chunk).collect();
        let kept = self.parts.store.locators(&chunks).await.map_err(|e| Self::storage(&e))?;
        let differs = |(mark, kept): (&LocatorMark, Option<Locator>)| kept.is_none_or(|kept| kept.mark() != *mark);
        Ok(Response::Compared(marks.iter().zip(kept).map(differs).collect()))
    }

    pub(crate) async fn holds(&self, chunks: &[ChunkId]) -> Served {
        let stored = self.parts.store.chunks(chunks).await.map_err(|e| Self::storage(&e))?;
        Ok(Response::Held(stored.iter().map(held).collect()))
    }

    /// Chunks held get the put's lease; for the others there is a leave to send, as long as there is room. What is held
    /// already takes no room, but counts towards the owner's quota like any other, or leases could be had without bound.
    pub(crate) async fn offer(&self, from: NodeId, offer: Offer, allowance: Option<Allowance>) -> Served {
        let owner = offer.owner.verify(offer.put_id, from).map_err(|_| Refusal::Malformed)?;
        if allowance.is_some_and(|allowance| allowance.member != owner) {
            return Err(Refusal::Denied);
        }
        let quota = self.owners.lock().expect("no panic while locked").quota(allowance);
        let ids: Vec<ChunkId> = offer.chunks.iter().map(|chunk| chunk.descriptor.id()).collect();
        let stored = self.parts.store.chunks(&ids).await.map_err(|e| Self::storage(&e))?;
        let offered: Vec<(OfferedChunk, IndexSet)> = offer.chunks.into_iter().zip(stored.iter().map(held)).collect();
        self.count_owner(owner, &offered, quota).await?;
        let fits = self.take_held(owner, &offered, quota).await?;
        let has = |(chunk, held): &(OfferedChunk, IndexSet)| chunk.indices.is_subset(*held);
        let to_lease = offered.iter().zip(&ids).filter(|(offered, id)| has(offered) && fits.contains(*id));
        let leased: BTreeSet<ChunkId> = to_lease.map(|(_, id)| *id).collect();
        let carried = Carried { from, put_id: offer.put_id, owner, class: offer.class };
        let receipts = self.lease(carried, leased.into_iter().collect()).await?;
        let mut answers = Vec::with_capacity(ids.len());
        for (offered, id) in offered.into_iter().zip(ids) {
            // A file may hold the same chunk several times, so one message may offer it several times.
            let receipt = receipts.get(&id).filter(|_| has(&offered));
            let (chunk, held) = offered;
            answers.push(match receipt {
                Some(receipt) => OfferAnswer::Have(receipt.clone()),
                None if !fits.contains(&id) => OfferAnswer::Full,
                None => self.grant(carried, chunk, held, quota),
            });
        }
        Ok(Response::Offered(answers))
    }

    /// Takes what is held of the offered chunks from the owner's quota, unless the owner wants it kept already; gives the
    /// chunks for which that was possible, each taken once.
    async fn take_held(
        &self,
        owner: NodeId,
        offered: &[(OfferedChunk, IndexSet)],
        quota: Option<u64>,
    ) -> Result<BTreeSet<ChunkId>, Refusal> {
        let held: BTreeMap<ChunkId, u64> =
            offered.iter().map(|(chunk, held)| (chunk.descriptor.id(), bytes_of(chunk, *held))).collect();
        if quota.is_none() {
            return Ok(held.into_keys().collect());
        }
        let (ids, now) = (held.keys().copied().collect::<Vec<_>>(), self.parts.environment.unix_secs());
        let wanted = self.parts.store.is_wanted_by(owner, &ids, now).await.map_err(|e| Self::storage(&e))?;
        let mut owners = self.owners.lock().expect("no panic while locked");
        let fits = held.into_iter().zip(wanted);
        Ok(fits
            .filter(|((_, bytes), is_wanted)| *is_wanted || owners.take(owner, *bytes, quota))
            .map(|((id, _), _)| id)
            .collect())
    }

    /// Adds the put's lease to chunks held, durably, and signs for them.
    async fn lease(&self, carried: Carried, chunks: Vec<ChunkId>) -> Result<BTreeMap<ChunkId, Receipt>, Refusal> {
        if chunks.is_empty() {
            return Ok(BTreeMap::new());
        }
        let mut batch = self.batch(carried);
        batch.chunks = chunks;
        let holdings = self.parts.store.put(batch).await.map_err(|e| Self::storage(&e))?;
        Ok(holdings.iter().filter_map(|h| Some((h.chunk, self.receipt(h)?))).collect())
    }

    fn batch(&self, Carried { put_id, owner, class, .. }: Carried) -> PutBatch {
        let lease_until = self.parts.environment.unix_secs().saturating_add(PROVISIONAL_LEASE_SECS);
        PutBatch { put_id, owner, class, lease_until, pieces: Vec::new(), chunks: Vec::new() }
    }

    /// Counts what an owner has here, if there is a quota and the last count no longer says whether this fits into it.
    async fn count_owner(
        &self,
        owner: NodeId,
        offered: &[(OfferedChunk, IndexSet)],
        quota: Option<u64>,
    ) -> Result<(), Refusal> {
        let now = self.parts.environment.unix_secs();
        let bytes = offered.iter().map(|(chunk, held)| bytes_of(chunk, chunk.indices.union(*held))).sum();
        if self.owners.lock().expect("no panic while locked").is_to_count(owner, bytes, quota, now) {
            let stored = self.parts.store.owned_bytes(owner, now).await.map_err(|e| Self::storage(&e))?;
            let granted = self.grants.lock().expect("no panic while locked").bytes_of(owner);
            self.owners.lock().expect("no panic while locked").counted(owner, stored.saturating_add(granted), now);
        }
        Ok(())
    }

    fn grant(&self, carried: Carried, chunk: OfferedChunk, held: IndexSet, quota: Option<u64>) -> OfferAnswer {
        let missing = chunk.indices.minus(held);
        let bytes = bytes_of(&chunk, missing);
        let mut token = Token([0; 16]);
        self.parts.environment.fill_random(&mut token.0);
        let expires = self.parts.environment.unix_secs().saturating_add(TOKEN_VALID_SECS);
        let descriptor = chunk.descriptor;
        let mut grants = self.grants.lock().expect("no panic while locked");
        if self.free_beside(&mut grants) < bytes {
            return OfferAnswer::Full;
        }
        if grants.is_full() {
            return OfferAnswer::Busy { delay_ms: BUSY_DELAY_MS };
        }
        if !self.owners.lock().expect("no panic while locked").take(carried.owner, bytes, quota) {
            tracing::debug!(owner = %carried.owner, "an owner's quota is used up");
            return OfferAnswer::Full;
        }
        grants.insert(token, Grant { carried, descriptor, indices: missing, expires });
        OfferAnswer::Send { token, missing }
    }

    /// Checks the pieces, keeps them, and signs for each chunk all that is held of it.
    pub(crate) async fn store(&self, from: NodeId, parts: Vec<StorePart>) -> Served {
        let bytes = parts.iter().map(|part| part.bytes.len()).sum();
        let (granted, used) = self.granted(from, parts)?;
        let first = granted.first().map(|(grant, _)| grant.clone()).ok_or(Refusal::Malformed)?;
        if granted.iter().any(|(grant, _)| grant.carried != first.carried) {
            return Err(Refusal::Malformed);
        }
        let mut batch = self.batch(first.carried);
        let verify = move || {
            let verify = |(grant, piece): (Grant, Piece)| {
                let piece = piece.verify(&grant.descriptor).ok()?;
                Some(NewPiece { descriptor: grant.descriptor, piece })
            };
            granted.into_iter().map(verify).collect::<Option<Vec<_>>>()
        };
        batch.pieces = compute(&*self.parts.compute, verify).await.ok_or(Refusal::Malformed)?;
        let signed = planted(Bug::ReceiptBeforeWrite).then(|| unwritten(&batch, self.parts.store.last_seq()));
        let holdings = match (self.parts.store.put(batch).await, signed) {
            (Err(_), Some(unwritten)) => unwritten,
            (written, _) => written.map_err(|e| Self::storage(&e))?,
        };
        self.forget(&used);
        Counters::add(&self.counters.received_bytes, bytes);
        Ok(Response::Stored(holdings.iter().filter_map(|h| self.receipt(h)).collect()))
    }

    /// Each part with its leave, which must be the sender's own.
    #[expect(clippy::type_complexity, reason = "two lists that only this function's caller sees")]
    fn granted(
        &self,
        from: NodeId,
        parts: Vec<StorePart>,
    ) -> Result<(Vec<(Grant, Piece)>, Vec<(Token, IndexSet)>), Refusal> {
        let now = self.parts.environment.unix_secs();
        let grants = self.grants.lock().expect("no panic while locked");
        let used = parts.iter().map(|part| (part.token, IndexSet::one(part.index))).collect();
        let with_grant = |part: StorePart| {
            let grant =
                grants.get(part.token, now).filter(|g| g.carried.from == from && g.indices.contains(part.index))?;
            Some((grant.clone(), Piece { index: part.index, bytes: part.bytes }))
        };
        let granted = parts.into_iter().map(with_grant).collect::<Option<_>>().ok_or(Refusal::BadToken)?;
        Ok((granted, used))
    }

    fn forget(&self, used: &[(Token, IndexSet)]) {
        let mut grants: std::sync::MutexGuard<'_, Grants> = self.grants.lock().expect("no panic while locked");
        used.iter().for_each(|(token, indices)| grants.used(*token, *indices));
    }

    fn receipt(&self, holdings: &ChunkHoldings) -> Option<Receipt> {
        self.sign_receipt(holdings).map(VerifiedReceipt::into_signed)
    }

    /// Its word for what it holds of a chunk; none when that is nothing.
    pub(crate) fn sign_receipt(&self, holdings: &ChunkHoldings) -> Option<VerifiedReceipt> {
        let body = ReceiptBody {
            network: self.parts.network_name.clone(),
            chunk: holdings.chunk,
            farmer: self.parts.identity.node_id(),
            indices: holdings.indices,
            class: holdings.class,
            seq: holdings.seq,
            issued: self.parts.environment.unix_secs(),
            until: None,
        };
        (!holdings.indices.is_empty()).then(|| body.sign(&self.parts.identity))
    }

    /// As many of the wanted pieces as fit one message. A damaged piece is left out, like one never held: the asker finds
    /// it elsewhere.
    pub(crate) async fn fetch(&self, wants: &[Want]) -> Served {
        let (mut parts, mut bytes) = (Vec::new(), 0);
        let wanted = wants.iter().flat_map(|want| want.indices.iter().map(|index| (want.chunk, index)));
        for (chunk, index) in wanted {
            if parts.len() == PARTS_MAX_PER_MESSAGE {
                break;
            }
            let piece = match self.parts.store.piece(chunk, index).await {
                Ok(Some(piece)) => piece,
                Ok(None) => continue,
                Err(StoreError::Corrupt { .. }) => {
                    self.found_damaged(chunk, index);
                    continue;
                }
                Err(error) => return Err(Self::storage(&error)),
            };
            bytes += piece.len();
            if bytes > BODIES_MAX_BYTES {
                break;
            }
            Counters::add(&self.counters.served_bytes, piece.len());
            parts.push(FetchedPart { chunk, index, bytes: piece });
        }
        Ok(Response::Fetched(parts))
    }
}

fn bytes_of(chunk: &OfferedChunk, indices: IndexSet) -> u64 {
    (indices.len() * chunk.descriptor.piece_len()) as u64
}

fn held(stored: &Option<StoredChunk>) -> IndexSet {
    stored.as_ref().map_or(IndexSet::EMPTY, |stored| stored.indices)
}

/// What a farmer would sign for that does not wait for its store: only ever for a planted bug.
fn unwritten(batch: &PutBatch, seq: u64) -> Vec<ChunkHoldings> {
    let mut held: BTreeMap<ChunkId, IndexSet> = BTreeMap::new();
    batch.pieces.iter().for_each(|new| held.entry(new.piece.chunk()).or_default().insert(new.piece.index()));
    held.into_iter().map(|(chunk, indices)| ChunkHoldings { chunk, indices, class: batch.class, seq }).collect()
}

#[cfg(test)]
mod tests;
