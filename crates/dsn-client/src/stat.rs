//! `stat`: how a file fares now, by asking every holder what it has.

use std::collections::{BTreeMap, BTreeSet};

use dsn_core::{
    cid::Cid,
    descriptor::Code,
    hash::ChunkId,
    index_set::IndexSet,
    manifest::Manifest,
    node_id::NodeId,
    redundancy::{may_vanish, target},
    rpc::{Request, Response},
};
use futures::{StreamExt, TryStreamExt, stream};

use crate::{
    client::Client,
    custodians::Effort,
    download::{GetContext, Wanted},
    error::{GetError, StatError},
    progress::NoProgress,
};

/// Chunks looked at at once.
const AT_ONCE: usize = 64;

/// Below this many pieces more than needed, repair does not wait.
const URGENT_MARGIN: usize = 4;

/// How a file fares; the worst of its chunks counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    /// A chunk has fewer pieces than it needs.
    Unavailable,
    /// A chunk is close to that.
    Urgent,
    /// A chunk has so few that they should be more.
    Repairing,
    /// Every chunk has pieces to spare.
    Healthy,
}

/// What is left of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatReport {
    /// The file's name.
    pub cid: Cid,
    /// Bytes of the file.
    pub bytes: u64,
    /// Its chunks, the root chunk included.
    pub chunks: u64,
    /// Pieces needed, of the chunk with the least margin.
    pub k: usize,
    /// Pieces its receipts name.
    pub placed: usize,
    /// Pieces its holders say they have.
    pub live_min: usize,
    /// The most that any chunk of the same code has.
    pub live_max: usize,
    /// Farmers that hold pieces of the file.
    pub farmers: usize,
    /// Farmers that may vanish, whichever they are.
    pub may_vanish: usize,
    /// The worst chunk's state.
    pub health: Health,
}

struct ChunkState {
    code: Code,
    placed: usize,
    live: usize,
    may_vanish: Option<usize>,
    health: Health,
    holders: BTreeSet<NodeId>,
}

impl ChunkState {
    /// The smallest is the weakest: first those in need, then those that bear the fewest losses.
    fn margin(&self) -> (Health, usize, usize) {
        (self.health, self.may_vanish.unwrap_or(0), self.live.saturating_sub(self.code.needed()))
    }
}

impl Client {
    /// Asks the custodians and the holders of every chunk.
    ///
    /// # Errors
    /// When the manifest cannot be read.
    pub async fn stat(&self, cid: Cid) -> Result<StatReport, StatError> {
        let context = self.get_context(&NoProgress);
        let stat = self.stat_guarded(&context, cid);
        let stalled = |s: crate::watchdog::Stalled| GetError::Stalled { secs: s.secs, doing: s.doing };
        Ok(context.dog.guard(stat).await.unwrap_or_else(|s| Err(stalled(s)))?)
    }

    async fn stat_guarded(&self, context: &GetContext<'_>, cid: Cid) -> Result<StatReport, GetError> {
        let manifest = self.manifest(context, cid).await?;
        let bytes = manifest.total_len();
        let mut chunks = vec![(cid.0, Code::Rep)];
        if let Manifest::List(list) = manifest {
            let level_one = if list.level() == 1 { list.ids().collect() } else { Vec::new() };
            let content = self.content_ids(context, list).await?;
            chunks.extend(level_one.into_iter().chain(content).map(|id| (id, Code::Rs16Of48)));
        }
        let farmers = self.directory(&context.dog).await?.answering().len();
        let of = chunks.len() as u64 - 1;
        let states: Vec<ChunkState> = stream::iter((0..).zip(chunks))
            .map(|(number, (chunk, code))| {
                let wanted = Wanted { chunk, code, len: None, number, of };
                self.chunk_state(context, wanted, farmers)
            })
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        let worst = states.iter().min_by_key(|state| state.margin()).expect("there is a root chunk");
        let holders: BTreeSet<NodeId> = states.iter().flat_map(|state| state.holders.iter().copied()).collect();
        Ok(StatReport {
            cid,
            bytes,
            chunks: states.len() as u64,
            k: worst.code.needed(),
            placed: worst.placed,
            live_min: worst.live,
            live_max: states.iter().filter(|state| state.code == worst.code).map(|state| state.live).max().unwrap_or(0),
            farmers: holders.len(),
            may_vanish: states.iter().filter_map(|state| state.may_vanish).min().unwrap_or(0),
            health: worst.health,
        })
    }

    async fn chunk_state(
        &self,
        context: &GetContext<'_>,
        wanted: Wanted,
        farmers: usize,
    ) -> Result<ChunkState, GetError> {
        let locator = match self.find(context, wanted, &[Effort::All, Effort::LookUp]).await {
            Ok(locator) => locator,
            Err(GetError::ChunkNotFound { .. } | GetError::NotFound { .. }) => return Ok(lost(wanted.code)),
            Err(error) => return Err(error),
        };
        let asked = locator
            .holders()
            .into_iter()
            .map(|(node, claimed)| async move { (node, self.holds(node, wanted.chunk).await.and(claimed)) });
        let held: BTreeMap<NodeId, IndexSet> = futures::future::join_all(asked).await.into_iter().collect();
        context.dog.feed();
        let target = target(wanted.code, locator.class().unwrap_or_default(), farmers);
        let count = |sets: Vec<IndexSet>| match wanted.code {
            Code::Rep => sets.iter().filter(|set| !set.is_empty()).count(),
            Code::Rs16Of48 => sets.iter().fold(IndexSet::EMPTY, |sum, set| sum.union(*set)).len(),
        };
        let live = count(held.values().copied().collect());
        Ok(ChunkState {
            code: wanted.code,
            placed: count(locator.holders().into_values().collect()),
            live,
            may_vanish: Some(may_vanish(wanted.code, held.values().copied()).unwrap_or(0)),
            health: health(wanted.code, live, target.repair_at, target.place),
            holders: held.into_iter().filter(|(_, set)| !set.is_empty()).map(|(node, _)| node).collect(),
        })
    }

    /// What a holder says it has; nothing when it does not answer.
    async fn holds(&self, node: NodeId, chunk: ChunkId) -> IndexSet {
        let send = async |chunks: Vec<ChunkId>| {
            let asked = chunks.len();
            match self.network().request(node, Request::Holds(chunks)).await {
                Ok(Response::Held(sets)) if sets.len() == asked => sets,
                _ => vec![IndexSet::EMPTY; asked],
            }
        };
        self.holds.call(node, chunk, send).await
    }
}

fn lost(code: Code) -> ChunkState {
    let health = Health::Unavailable;
    ChunkState { code, placed: 0, live: 0, may_vanish: Some(0), health, holders: BTreeSet::new() }
}

fn health(code: Code, live: usize, repair_at: usize, place: usize) -> Health {
    let urgent = match code {
        Code::Rep => live <= 2 && live < place,
        Code::Rs16Of48 => live < code.needed() + URGENT_MARGIN,
    };
    if live < code.needed() {
        Health::Unavailable
    } else if urgent {
        Health::Urgent
    } else if live <= repair_at && live < place {
        Health::Repairing
    } else {
        Health::Healthy
    }
}
