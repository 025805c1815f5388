//! The leases and the trash of a store in memory: which chunk is to be kept for whom, until when.

use std::collections::{BTreeMap, BTreeSet};

use dsn_core::{
    canary::{Bug, planted},
    cid::Cid,
    hash::ChunkId,
    lease::{Lease, VerifiedLease},
    node_id::NodeId,
    ports::{BoundChunks, CollectStep},
    rpc::PutId,
};

use crate::fate::Fate;

/// Whose file a chunk belongs to.
type Claim = (NodeId, Cid);

/// Leases, provisional leases, and chunks in the trash.
#[derive(Debug, Default)]
pub(super) struct Leases {
    /// For each chunk, the uploads that wait for their commit, with the end of their time.
    provisional: BTreeMap<ChunkId, BTreeMap<(PutId, NodeId), u64>>,
    claims: BTreeMap<ChunkId, BTreeSet<Claim>>,
    /// The newest word of each owner about each file that a claim names.
    terms: BTreeMap<Claim, Lease>,
    /// Since when, in Unix seconds.
    trash: BTreeMap<ChunkId, u64>,
}

impl Leases {
    /// An upload wants the chunk until then; it leaves the trash.
    pub(super) fn add_provisional(&mut self, chunk: ChunkId, put_id: PutId, owner: NodeId, until: u64) {
        self.provisional.entry(chunk).or_default().insert((put_id, owner), until);
        if !planted(Bug::TrashForEver) {
            self.trash.remove(&chunk);
        }
    }

    /// See [`dsn_core::ports::PieceStore::bind`].
    pub(super) fn bind(&mut self, put_id: PutId, owner: NodeId, leases: &[VerifiedLease]) -> BoundChunks {
        if leases.is_empty() {
            return BoundChunks(0);
        }
        let uploaded: Vec<ChunkId> = self
            .provisional
            .iter_mut()
            .filter_map(|(chunk, uploads)| uploads.remove(&(put_id, owner)).map(|_| *chunk))
            .collect();
        for lease in leases {
            let claim = claim(lease);
            for chunk in &uploaded {
                self.claims.entry(*chunk).or_default().insert(claim);
            }
            if self.count(claim) > 0 {
                self.update(lease);
            }
        }
        BoundChunks(leases.first().map_or(0, |lease| self.count(claim(lease))))
    }

    /// See [`dsn_core::ports::Upkeep::renew`].
    pub(super) fn renew(&mut self, lease: &VerifiedLease) -> BoundChunks {
        let covered = self.count(claim(lease));
        if covered > 0 {
            self.update(lease);
        }
        BoundChunks(covered)
    }

    /// The leases of a chunk.
    pub(super) fn of(&self, chunk: ChunkId) -> Vec<Lease> {
        let claims = self.claims.get(&chunk).into_iter().flatten();
        claims.filter_map(|claim| self.terms.get(claim).cloned()).collect()
    }

    /// Whether an owner wants a chunk kept.
    pub(super) fn is_of(&self, chunk: ChunkId, owner: NodeId, now: u64) -> bool {
        let mut uploads = self.provisional.get(&chunk).into_iter().flatten();
        let holds = |claim: &Claim| self.terms.get(claim).is_none_or(|lease| lease.body().holds_at(now));
        let mut claims = self.claims.get(&chunk).into_iter().flatten();
        uploads.any(|((_, of), until)| *of == owner && *until > now)
            || claims.any(|claim| claim.0 == owner && holds(claim))
    }

    /// Decides about a chunk and remembers it.
    pub(super) fn judge(&mut self, chunk: ChunkId, step: &CollectStep) -> Fate {
        if let Some(uploads) = self.provisional.get_mut(&chunk) {
            uploads.retain(|_, until| *until > step.now);
        }
        let is_uploaded = self.provisional.get(&chunk).is_some_and(|uploads| !uploads.is_empty());
        let is_leased = self.of(chunk).iter().any(|lease| lease.body().holds_at(step.now));
        let is_held = is_uploaded || (is_leased && !planted(Bug::LeasesIgnored));
        let fate = Fate::of(is_held, self.trash.get(&chunk).copied(), step);
        match fate {
            Fate::Stays => {}
            Fate::Restored => {
                self.trash.remove(&chunk);
            }
            Fate::Trashed => {
                self.trash.insert(chunk, step.now);
            }
            Fate::Deleted => self.forget(chunk),
        }
        fate
    }

    fn forget(&mut self, chunk: ChunkId) {
        self.trash.remove(&chunk);
        self.provisional.remove(&chunk);
        for claim in self.claims.remove(&chunk).unwrap_or_default() {
            if self.count(claim) == 0 {
                self.terms.remove(&claim);
            }
        }
    }

    fn update(&mut self, lease: &VerifiedLease) {
        let known = self.terms.get(&claim(lease));
        if known.is_none_or(|known| known.body().issued <= lease.body().issued) {
            self.terms.insert(claim(lease), lease.as_signed().clone());
        }
    }

    fn count(&self, claim: Claim) -> u32 {
        let chunks = self.claims.values().filter(|claims| claims.contains(&claim)).count();
        u32::try_from(chunks).unwrap_or(u32::MAX)
    }
}

fn claim(lease: &VerifiedLease) -> Claim {
    (lease.body().owner, lease.body().root)
}
