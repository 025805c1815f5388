//! How long chunks are to be kept, as their owners' leases say: binding an upload to them, telling them to whoever repairs,
//! and taking newer ones.

use dsn_core::{
    canary::{Bug, planted},
    hash::ChunkId,
    lease::{Lease, VerifiedLease},
    limits::{HEADER_MAX_BYTES, LEASES_MAX_PER_CHUNK},
    membership::Allowance,
    node_id::NodeId,
    rpc::{Commit, Refusal, Response},
};

use crate::farmer::Farmer;

/// Room left in an answer for the frame around its leases.
const LEASED_MAX_BYTES: usize = HEADER_MAX_BYTES - 64 * 1024;

impl Farmer {
    pub(crate) async fn commit(
        &self,
        from: NodeId,
        commit: Commit,
        allowance: Option<Allowance>,
    ) -> Result<Response, Refusal> {
        let owner = commit.owner.verify(commit.put_id, from).map_err(|_| Refusal::Malformed)?;
        let leases = self.verified(commit.leases)?;
        if leases.first().is_none_or(|lease| lease.body().root != commit.root) {
            return Err(Refusal::Malformed);
        }
        let is_own = |member| leases.iter().all(|lease| lease.body().owner == member) && owner == member;
        if allowance.is_some_and(|allowance| !is_own(allowance.member)) {
            return Err(Refusal::Denied);
        }
        if planted(Bug::CommitNotBound) {
            return Ok(Response::Committed { chunks: 1 });
        }
        let bound = self.parts.store.bind(commit.put_id, owner, leases).await.map_err(|e| Self::storage(&e))?;
        Ok(Response::Committed { chunks: bound.0 })
    }

    /// The leases of each chunk, as far as they fit one answer; ended ones too, since the newest word of an owner counts.
    pub(crate) async fn leases(&self, chunks: &[ChunkId]) -> Result<Response, Refusal> {
        let leases = self.parts.store.leases(chunks).await.map_err(|e| Self::storage(&e))?;
        let mut bytes = 0;
        let some = |leases: Vec<Lease>| -> Vec<Lease> { leases.into_iter().take(LEASES_MAX_PER_CHUNK).collect() };
        let fits = leases.into_iter().map(some).take_while(|leases| {
            bytes += leases.iter().map(|lease| lease.encode().len() + 8).sum::<usize>() + 8;
            bytes <= LEASED_MAX_BYTES
        });
        Ok(Response::Leased(fits.collect()))
    }

    /// Takes newer leases for files of which it holds chunks.
    pub(crate) async fn renew(&self, leases: Vec<Lease>) -> Result<Response, Refusal> {
        if planted(Bug::RenewIgnored) {
            return Ok(Response::Renewed(vec![1; leases.len()]));
        }
        let covered = self.parts.store.renew(self.verified(leases)?).await.map_err(|e| Self::storage(&e))?;
        Ok(Response::Renewed(covered.into_iter().map(|covered| covered.0).collect()))
    }

    fn verified(&self, leases: Vec<Lease>) -> Result<Vec<VerifiedLease>, Refusal> {
        let now = self.parts.environment.unix_secs();
        let verify = |lease: Lease| lease.verify(&self.parts.network_name, now).map_err(|_| Refusal::Malformed);
        leases.into_iter().map(verify).collect()
    }
}
