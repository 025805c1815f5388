//! `stat`: how a file fares now, by asking every holder what it has.

use std::collections::{BTreeMap, BTreeSet};

use dsn_core::{
    cid::Cid,
    descriptor::Code,
    durability::{Churn, yearly_loss},
    hash::ChunkId,
    index_set::IndexSet,
    node_id::NodeId,
    ports::NetworkError,
    redundancy::may_vanish,
    repair::{self, Health, Standing, standing},
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

/// What is left of a file.
#[derive(Clone, Debug, PartialEq)]
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
    /// The estimated probability that a chunk is lost within a year, for farmers that live a year on average and repair
    /// within a day ([`dsn_core::durability`]).
    pub loss_per_year: f64,
    /// The worst chunk's state.
    pub health: Health,
}

struct ChunkState {
    code: Code,
    placed: usize,
    live: usize,
    may_vanish: Option<usize>,
    loss_per_year: f64,
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
        Ok(context.dog.guard(stat).await.unwrap_or_else(|stalled| Err(stalled.into()))?)
    }

    async fn stat_guarded(&self, context: &GetContext<'_>, cid: Cid) -> Result<StatReport, GetError> {
        let (chunks, bytes) = self.chunks_of(context, cid).await?;
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
            loss_per_year: loss_of_any(states.iter().map(|state| state.loss_per_year)),
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
        let asked = locator.holders().into_iter().map(|(node, claimed)| async move {
            (node, self.holds_at(node, wanted.chunk).await.unwrap_or_default().and(claimed))
        });
        let held: BTreeMap<NodeId, IndexSet> = futures::future::join_all(asked).await.into_iter().collect();
        context.dog.feed();
        let class = locator.class();
        let Standing { health, live, target } = standing(wanted.code, class, farmers, held.values().copied());
        Ok(ChunkState {
            code: wanted.code,
            placed: repair::live(wanted.code, locator.holders().into_values()),
            live,
            loss_per_year: yearly_loss(wanted.code, live, target.place, target.repair_at, Churn::default()),
            may_vanish: Some(may_vanish(wanted.code, held.values().copied()).unwrap_or(0)),
            health,
            holders: held.into_iter().filter(|(_, set)| !set.is_empty()).map(|(node, _)| node).collect(),
        })
    }

    /// What a holder says it has.
    pub(crate) async fn holds_at(&self, node: NodeId, chunk: ChunkId) -> Result<IndexSet, NetworkError> {
        let send = async |chunks: Vec<ChunkId>| {
            let asked = chunks.len();
            match self.request(node, Request::Holds(chunks)).await {
                Ok(Response::Held(sets)) if sets.len() == asked => sets.into_iter().map(Ok).collect(),
                Ok(_) => vec![Err(Self::bad_answer(node)); asked],
                Err(error) => vec![Err(error); asked],
            }
        };
        self.holds.call(node, chunk, send).await
    }
}

fn lost(code: Code) -> ChunkState {
    let health = Health::Unavailable;
    ChunkState { code, placed: 0, live: 0, may_vanish: Some(0), loss_per_year: 1.0, health, holders: BTreeSet::new() }
}

/// The probability that any of these happens, which are taken for independent.
fn loss_of_any(losses: impl Iterator<Item = f64>) -> f64 {
    let kept: f64 = losses.map(|loss| (-loss).ln_1p()).sum();
    -kept.exp_m1()
}
