//! How long a file is to be kept: the owner's lease at the end of a put, renewing it, giving it up, and carrying the
//! leases of a chunk to where a repair has put its pieces.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use dsn_core::{
    cid::Cid,
    hash::ChunkId,
    lease::{Lease, LeaseBody, VerifiedLease},
    limits::LEASES_MAX_PER_CHUNK,
    node_id::NodeId,
    rpc::{Commit, Request, Response},
};
use futures::{StreamExt, stream};

use crate::{
    client::Client,
    custodians::{Effort, Located},
    download::GetContext,
    error::GetError,
    progress::NoProgress,
    upload::PutContext,
    watchdog::Watchdog,
};

/// How often a farmer is told before it counts as not reached.
const TRIES: usize = 3;

/// Holders asked for a chunk's leases at once. Any that has one will do; three survive a forgetful one.
const LEASE_WAVE: usize = 3;

/// The end of a lease that gives a file up: ended by every clock. With an end of now, a farmer whose clock is slow would
/// take the file out of the trash for a while, each time it hears of it.
const LONG_AGO: u64 = 1;

/// Farmers told at once.
const TOLD_AT_ONCE: usize = 16;

/// Owners' words about the files that a chunk belongs to, and who said them.
#[derive(Default)]
struct Words {
    newest: BTreeMap<(NodeId, Cid), VerifiedLease>,
    said: Vec<(NodeId, LeaseBody)>,
}

impl Words {
    fn hear(&mut self, from: Option<NodeId>, lease: VerifiedLease) {
        let of = (lease.body().owner, lease.body().root);
        self.said.extend(from.map(|node| (node, lease.body().clone())));
        if self.newest.get(&of).is_none_or(|known| !known.body().supersedes(lease.body())) {
            self.newest.insert(of, lease);
        }
    }

    fn holding(&self, now: u64) -> Vec<VerifiedLease> {
        let holding = self.newest.values().filter(|lease| lease.body().holds_at(now));
        holding.take(LEASES_MAX_PER_CHUNK).cloned().collect()
    }

    /// Who said an older word than the newest, with that one.
    fn missed(&self) -> BTreeMap<NodeId, Vec<Lease>> {
        let mut missed: BTreeMap<NodeId, Vec<Lease>> = BTreeMap::new();
        for (node, said) in &self.said {
            let newest = self.newest.get(&(said.owner, said.root)).filter(|newest| newest.body().issued > said.issued);
            if let Some(newest) = newest {
                missed.entry(*node).or_default().push(newest.as_signed().clone());
            }
        }
        missed
    }
}

/// What a word about a file's lease came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseReport {
    /// Farmers that hold pieces of the file, by their receipts.
    pub farmers: usize,
    /// Those of them that took the new lease.
    pub confirmed: usize,
    /// Chunks of the file.
    pub chunks: usize,
    /// Those of them whose holders nobody named, so that some who hold them may not have been told.
    pub unlocated: usize,
}

/// What the owner wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Keep it for this long from now on.
    For(Duration),
    /// Give it up.
    NoLonger,
}

impl Client {
    /// Tells all holders of a file how long this owner wants it kept. Dropping the future may leave some told.
    ///
    /// # Errors
    /// When the file's manifest cannot be read, so that its chunks are not known.
    pub async fn keep_file(&self, cid: Cid, keep: Keep) -> Result<LeaseReport, GetError> {
        let context = self.get_context(&NoProgress);
        let told = self.keep_file_guarded(&context, cid, keep);
        context.dog.guard(told).await.unwrap_or_else(|stalled| Err(stalled.into()))
    }

    async fn keep_file_guarded(&self, context: &GetContext<'_>, cid: Cid, keep: Keep) -> Result<LeaseReport, GetError> {
        let (chunks, _) = self.chunks_of(context, cid).await?;
        let all = chunks.len();
        let located = stream::iter(chunks).map(|(chunk, _)| self.locate(chunk, Effort::All, &context.dog));
        let located: Vec<_> = located.buffer_unordered(TOLD_AT_ONCE).collect().await;
        let of_chunk = |located: Located| located.locator.map(|locator| locator.holders()).unwrap_or_default();
        let located = located.into_iter().map(|located| located.map(of_chunk).unwrap_or_default());
        let (mut holders, mut unlocated) = (BTreeSet::new(), 0);
        for of_chunk in located {
            unlocated += usize::from(of_chunk.is_empty());
            holders.extend(of_chunk.into_keys());
        }
        let lease = match keep {
            Keep::For(time) => self.lease(cid, Some(time)),
            Keep::NoLonger => self.lease_until(cid, Some(LONG_AGO)),
        };
        let farmers = holders.len();
        let told = stream::iter(holders).map(|farmer| self.renew_at(farmer, lease.as_signed().clone(), &context.dog));
        let answers: Vec<bool> = told.buffer_unordered(TOLD_AT_ONCE).collect().await;
        let confirmed = answers.into_iter().filter(|confirmed| *confirmed).count();
        Ok(LeaseReport { farmers, confirmed, chunks: all, unlocated })
    }

    async fn renew_at(&self, farmer: NodeId, lease: Lease, dog: &Watchdog) -> bool {
        let answer = self.insist(farmer, Request::Renew(vec![lease]), dog).await;
        matches!(answer, Some(Response::Renewed(covered)) if covered.first().is_some_and(|chunks| *chunks > 0))
    }

    /// This owner's word how long a file is to be kept, from now on.
    pub(crate) fn lease(&self, root: Cid, ttl: Option<Duration>) -> VerifiedLease {
        self.lease_until(root, ttl.map(|ttl| self.now().saturating_add(ttl.as_secs())))
    }

    fn lease_until(&self, root: Cid, until: Option<u64>) -> VerifiedLease {
        let (network, owner, issued) = (self.parts.network_name.clone(), self.parts.owner.node_id(), self.now());
        LeaseBody { network, owner, root, issued, until }.sign(&self.parts.owner)
    }

    /// Tells a holder that an upload is complete; says whether it confirmed.
    pub(crate) async fn commit_at(&self, farmer: NodeId, commit: Commit, dog: &Watchdog) -> bool {
        matches!(self.insist(farmer, Request::Commit(commit), dog).await, Some(Response::Committed { .. }))
    }

    /// Asks again when a message was lost or the node would not serve it; none when it never did.
    async fn insist(&self, farmer: NodeId, request: Request, dog: &Watchdog) -> Option<Response> {
        for _ in 0..TRIES {
            match self.network().request(farmer, request.clone()).await {
                Ok(Response::Refused(_)) => {}
                Ok(answer) => {
                    dog.feed();
                    return Some(answer);
                }
                Err(error) => dog.note(farmer, &error),
            }
        }
        None
    }

    /// The leases of a chunk that hold now, from holders of it: the newest word of each owner, whoever said it, the words
    /// `known` already among them. Holders that have not heard the newest are told: the owner of a file that is given up
    /// cannot say so again once it cannot be read.
    pub async fn leases_of(
        &self,
        chunk: ChunkId,
        known: Vec<Lease>,
        holders: impl IntoIterator<Item = NodeId>,
    ) -> Vec<VerifiedLease> {
        let holders: Vec<NodeId> = holders.into_iter().collect();
        let mut words = Words::default();
        known.into_iter().filter_map(|lease| self.valid(lease)).for_each(|lease| words.hear(None, lease));
        let mut holding = Vec::new();
        for wave in holders.chunks(LEASE_WAVE) {
            let asked = wave.iter().map(|node| self.network().request(*node, Request::Leases(vec![chunk])));
            for (node, answer) in wave.iter().zip(futures::future::join_all(asked).await) {
                let Ok(Response::Leased(of_chunks)) = answer else { continue };
                // One chunk was asked about: what else a hostile answer holds is not even verified.
                let of_chunk = of_chunks.into_iter().next().unwrap_or_default();
                of_chunk.into_iter().filter_map(|lease| self.valid(lease)).for_each(|l| words.hear(Some(*node), l));
            }
            holding = words.holding(self.now());
            if !holding.is_empty() {
                break;
            }
        }
        let told = words
            .missed()
            .into_iter()
            .map(|(node, words)| async move { self.network().request(node, Request::Renew(words)).await });
        let _those_away_hear_it_another_time = futures::future::join_all(told).await;
        holding
    }

    fn valid(&self, lease: Lease) -> Option<VerifiedLease> {
        lease.verify(&self.parts.network_name, self.now()).ok()
    }

    /// The new holders get the chunk's leases; without them they would drop the pieces after a day. One that does not
    /// answer is as good as gone, and counts again when it is asked the next time.
    pub(crate) async fn carry_leases(
        &self,
        context: &PutContext<'_>,
        holders: impl Iterator<Item = NodeId>,
        leases: Vec<VerifiedLease>,
    ) {
        let leases: Vec<Lease> = leases.into_iter().map(VerifiedLease::into_signed).collect();
        let Some(root) = leases.first().map(|lease| lease.body().root) else { return };
        let commit = Commit { put_id: context.put_id, owner: context.owner, root, leases };
        let told = stream::iter(holders).map(|farmer| self.commit_at(farmer, commit.clone(), &context.dog));
        let _confirmed: Vec<bool> = told.buffer_unordered(TOLD_AT_ONCE).collect().await;
    }
}

#[cfg(test)]
mod tests {
    use dsn_core::{hash::Hash, identity::Identity, network_name::NetworkName};

    use super::*;

    /// Which of two words of one second a farmer goes by is the farmer's choice: telling it the other one could bring back
    /// what was given up.
    #[test]
    fn only_who_said_a_word_of_an_earlier_second_is_told_the_newest() {
        let owner = Identity::from_seed([1; 32]);
        let root = Cid(ChunkId(Hash::of(b"root")));
        let network: NetworkName = "test".parse().expect("a valid name");
        let said_by = |farmer: u8| Identity::from_seed([farmer; 32]).node_id();
        let word = |issued, until| {
            LeaseBody { network: network.clone(), owner: owner.node_id(), root, issued, until }.sign(&owner)
        };
        let mut words = Words::default();
        words.hear(Some(said_by(2)), word(10, None));
        words.hear(Some(said_by(3)), word(11, Some(LONG_AGO)));
        words.hear(Some(said_by(4)), word(11, None));
        let missed = words.missed();
        assert_eq!(missed.into_keys().collect::<Vec<_>>(), [said_by(2)]);
    }
}
