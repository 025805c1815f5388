//! A custodian's round: goes through the locators it keeps, page by page, sees how each chunk stands, asks every holder
//! for a sign of life, audits a few of them, and hands locators to nodes that have become custodians. What stands badly
//! goes to the `repairer`. Nothing of a round is kept but the nodes seen, so memory does not grow with the locators.

mod audits;
mod handover;
mod names;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use dsn_core::{
    canary::{Bug, planted},
    descriptor::Code,
    hash::ChunkId,
    index_set::IndexSet,
    limits::{CUSTODIANS, IDS_MAX_PER_REQUEST},
    liveness::Presence,
    locator::{Locator, VerifiedLocator},
    node_id::{NodeId, Places, Position},
    ports::{Network, NetworkError, Snapshot, StoreError},
    repair::{Health, standing, turn_secs},
    rpc::{Request, Response},
};
use futures::{StreamExt, stream};
use tokio::time::Instant;

use self::{audits::Sample, handover::Handover};
use crate::farmer::{Farmer, random};

/// Locators looked at in one go.
const PAGE: usize = 256;

/// Holders asked at once.
const ASKED_AT_ONCE: usize = 16;

/// Seconds a holder has to answer an audit: half a MiB over a slow line.
const ANSWER_WAIT: Duration = Duration::from_secs(15);

/// One holder in so many of those asked in a round that falls silent is reason to ask all of them.
const FELL_SILENT_SHARE: usize = 10;

/// Other nodes asked then, so that a custodian of few chunks can tell an outage too.
const OTHERS_ASKED: usize = 64;

/// What came of asking a holder.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Probed {
    There,
    /// It is there, and its store is another or has lost something.
    Changed,
    Silent,
    /// It is silent, and was not before.
    FellSilent,
}

/// Goes its rounds.
pub(crate) struct Patrol {
    pub(crate) farmer: Arc<Farmer>,
    pub(crate) network: Arc<dyn Network>,
    round: u64,
    /// The last comparison with other custodians, counted in graces since 1970, so that all have the same number.
    compared: u64,
    /// Servers of the round before, less those that could not be given what they should keep.
    seen: BTreeSet<NodeId>,
    /// Holders of the round before.
    holders: Vec<NodeId>,
    /// Holders that have not been audited since all were.
    to_audit: Vec<NodeId>,
    /// Holders to be asked what they hold, since their store has changed.
    changed: BTreeSet<NodeId>,
    /// Whether repair is slowed because many vanished at once.
    is_braking: bool,
    /// What was last kept of what has been seen.
    noted: Bytes,
}

/// What one round finds on its way through the locators.
struct Round {
    now: u64,
    me: NodeId,
    /// Servers of the round before.
    before: BTreeSet<NodeId>,
    snapshot: Snapshot,
    /// Servers that are not gone.
    farmers: usize,
    places: Places,
    /// Holders, with the rank of this node among the custodians of the chunk for which it is closest.
    holders: BTreeMap<NodeId, usize>,
    samples: BTreeMap<NodeId, Sample>,
    /// What those whose store has changed have signed for.
    inventory: BTreeMap<NodeId, Vec<(ChunkId, u64, IndexSet)>>,
}

impl Patrol {
    pub(crate) fn new(farmer: Arc<Farmer>, network: Arc<dyn Network>) -> Self {
        let compared = farmer.parts.environment.unix_secs() / farmer.options.upkeep.absent_grace_secs.max(1);
        Self {
            farmer,
            network,
            round: 0,
            compared,
            seen: BTreeSet::new(),
            holders: Vec::new(),
            to_audit: Vec::new(),
            changed: BTreeSet::new(),
            is_braking: false,
            noted: Bytes::new(),
        }
    }

    /// Runs until it is dropped.
    pub(crate) async fn run(mut self) {
        loop {
            self.rest().await;
            if let Err(error) = self.go_round().await {
                tracing::warn!(%error, "the round through the locators ended early");
            }
        }
    }

    /// Waits for the next round. Who was silent and says something is asked at once, so that what it holds counts again.
    async fn rest(&mut self) {
        let secs = self.farmer.options.upkeep.probe_every_secs;
        let jitter = random(&*self.farmer.parts.environment) % (secs * 500 + 1);
        let next = Instant::now() + Duration::from_millis(secs * 750 + jitter);
        while let Ok(back) = tokio::time::timeout_at(next, self.farmer.liveness.back()).await {
            self.ask(back.into_iter().map(|node| (node, None)).collect()).await;
        }
    }

    async fn go_round(&mut self) -> Result<(), StoreError> {
        let Ok(snapshot) = self.network.snapshot(false).await else { return Ok(()) };
        self.round += 1;
        let now = self.farmer.parts.environment.unix_secs();
        let turn = self.comparison_due(now);
        let mut handover = Handover::new(&self.seen, &snapshot, turn);
        let mut round = Round {
            now,
            me: self.network.local_id(),
            before: self.seen.clone(),
            places: Places::new(snapshot.nodes.iter().copied()),
            farmers: self.farmer.liveness.with(|seen| seen.there(&snapshot.nodes, now)),
            snapshot,
            holders: BTreeMap::new(),
            samples: self.audited_now().into_iter().map(|node| (node, Sample::default())).collect(),
            inventory: std::mem::take(&mut self.changed).into_iter().map(|node| (node, Vec::new())).collect(),
        };
        let mut after = None;
        loop {
            let page = self.farmer.parts.store.locators_after(after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.chunk());
            for locator in page {
                self.look(locator, &mut round, &mut handover);
            }
            self.hand_over(&mut handover).await;
        }
        self.hand_over_names(&round.places, &mut handover).await?;
        self.reissue(&round.places, &mut handover).await?;
        self.seen = handover.served(&round.snapshot);
        self.take_inventory(&round).await;
        self.probe(&mut round).await;
        self.farmer.liveness.with(|seen| seen.retain(|node| round.holders.contains_key(&node)));
        self.holders = round.holders.into_keys().filter(|node| *node != round.me).collect();
        self.note_down().await
    }

    /// The number of the comparison with other custodians, once a grace.
    fn comparison_due(&mut self, now: u64) -> Option<usize> {
        let number = now / self.farmer.options.upkeep.absent_grace_secs.max(1);
        let is_due = number != self.compared;
        self.compared = number;
        is_due.then(|| usize::try_from(number).unwrap_or(0))
    }

    /// How a chunk stands, if this node is one of its custodians.
    fn look(&mut self, locator: Locator, round: &mut Round, handover: &mut Handover) {
        let chunk = locator.chunk();
        let custodians = round.places.closest(Position::from(&chunk), CUSTODIANS);
        handover.consider(&locator, &custodians, round.me);
        let Some(rank) = custodians.iter().position(|node| *node == round.me) else {
            return self.farmer.repairs.clear(chunk);
        };
        let locator = locator.kept(round.now);
        self.watch(&locator, rank, round);
        let held = self.farmer.liveness.with(|seen| seen.holders(&locator, round.now));
        let class = locator.class();
        let standing = standing(locator.descriptor().code(), class, round.farmers, held.into_values());
        let is_left = (planted(Bug::RootsUnrepaired) && locator.descriptor().code() == Code::Rep)
            || (planted(Bug::RepairLate) && standing.health == Health::Repairing);
        if standing.health == Health::Healthy || is_left {
            return self.farmer.repairs.clear(chunk);
        }
        let grace_secs = self.farmer.options.upkeep.absent_grace_secs;
        let jitter = random(&*self.farmer.parts.environment) % 1001;
        let due = round.now.saturating_add(turn_secs(standing.health, rank, grace_secs, jitter));
        self.farmer.repairs.note(chunk, standing.health, rank, due);
    }

    fn watch(&mut self, locator: &VerifiedLocator, rank: usize, round: &mut Round) {
        for receipt in locator.receipts() {
            let body = receipt.body();
            if self.farmer.liveness.with(|seen| seen.is_forgotten(body)) {
                self.changed.insert(body.farmer);
            }
            let known = round.holders.entry(body.farmer).or_insert(rank);
            *known = rank.min(*known);
            if let Some(sample) = round.samples.get_mut(&body.farmer) {
                sample.offer(locator.descriptor(), body, &*self.farmer.parts.environment);
            }
            if let Some(signed) = round.inventory.get_mut(&body.farmer) {
                signed.push((locator.chunk(), body.seq, body.indices));
            }
        }
    }

    /// Asks holders whose store has changed what they still hold of what they signed for.
    async fn take_inventory(&mut self, round: &Round) {
        for (node, signed) in &round.inventory {
            self.farmer.liveness.with(|seen| seen.compared(*node));
            for batch in signed.chunks(IDS_MAX_PER_REQUEST) {
                let ids = batch.iter().map(|(chunk, ..)| *chunk).collect();
                let Ok(Response::Held(held)) = self.network.request(*node, Request::Holds(ids)).await else {
                    self.changed.insert(*node);
                    break;
                };
                self.farmer.liveness.with(|seen| {
                    for ((chunk, seq, claimed), held) in batch.iter().zip(held) {
                        seen.lost(*node, *chunk, *seq, claimed.minus(held));
                    }
                });
            }
        }
    }

    /// Keeps what has been seen, if it is news.
    async fn note_down(&mut self) -> Result<(), StoreError> {
        let notes = self.farmer.liveness.with(|seen| seen.notes());
        if notes != self.noted {
            self.farmer.parts.store.keep_notes(notes.clone()).await?;
            self.noted = notes;
        }
        Ok(())
    }

    /// Asks holders for a sign of life, with an audit for those whose turn it is. The farther this node is from being the
    /// first custodian of anything a holder has, the less often; but the silent are asked in every round, and all are when
    /// some fell silent, and nodes that hold nothing too, so that many that vanish at once are seen to do so.
    async fn probe(&mut self, round: &mut Round) {
        let samples = std::mem::take(&mut round.samples);
        let mut holders = std::mem::take(&mut round.holders);
        holders.remove(&round.me);
        let silent = self.farmer.liveness.with(|seen| {
            let is_silent = |node: &NodeId| seen.presence(*node, round.now) == Presence::Silent;
            holders.keys().copied().filter(is_silent).collect::<BTreeSet<NodeId>>()
        });
        let (due, others): (BTreeMap<_, _>, BTreeMap<_, _>) = holders.iter().partition(|(node, rank)| {
            let turn = u64::try_from(**rank).unwrap_or(u64::MAX).saturating_add(1);
            self.round.is_multiple_of(turn) || samples.contains_key(node) || silent.contains(node)
        });
        let with_sample = |due: BTreeMap<&NodeId, &usize>| -> Vec<_> {
            due.into_keys().map(|node| (*node, samples.get(node))).collect()
        };
        let asked = due.len();
        let fell_silent = self.ask(with_sample(due)).await;
        if fell_silent > 0 && fell_silent * FELL_SILENT_SHARE >= asked {
            self.ask(with_sample(others)).await;
            let known = round.before.union(&round.snapshot.nodes);
            let beside = known.filter(|node| !holders.contains_key(node) && **node != round.me).take(OTHERS_ASKED);
            self.ask(beside.map(|node| (*node, None)).collect()).await;
        }
        round.holders = holders;
        let is_braking = self.farmer.liveness.with(|seen| seen.is_braking(round.now));
        if is_braking && !self.is_braking {
            tracing::warn!("many farmers vanished at once: repair that is not urgent waits");
        }
        self.is_braking = is_braking;
    }

    /// Asks these; says how many of them have fallen silent.
    async fn ask(&mut self, holders: Vec<(NodeId, Option<&Sample>)>) -> usize {
        let this = &*self;
        let probes =
            holders.into_iter().map(|(node, sample)| async move { (node, this.probe_one(node, sample).await) });
        let answers: Vec<(NodeId, Probed)> = stream::iter(probes).buffer_unordered(ASKED_AT_ONCE).collect().await;
        let changed =
            answers.iter().filter(|(_, probed)| *probed == Probed::Changed && !planted(Bug::InventorySkipped));
        self.changed.extend(changed.map(|(node, _)| *node));
        answers.iter().filter(|(_, probed)| *probed == Probed::FellSilent).count()
    }

    async fn probe_one(&self, node: NodeId, sample: Option<&Sample>) -> Probed {
        let items = sample.map(Sample::items).unwrap_or_default();
        let asked = tokio::time::timeout(ANSWER_WAIT, self.network.request(node, Request::Audit(items))).await;
        let now = self.farmer.parts.environment.unix_secs();
        match asked {
            Ok(Ok(Response::Audited(audited))) => {
                let changed = self.farmer.liveness.with(|seen| seen.heard(node, audited.mark));
                let lacked = match sample {
                    Some(sample) => self.judge(node, sample, audited.slices).await,
                    None => false,
                };
                if changed || lacked { Probed::Changed } else { Probed::There }
            }
            // A refusal is a sign of life, and proves nothing.
            Ok(Ok(_)) => {
                self.farmer.liveness.with(|seen| seen.answered(node));
                Probed::There
            }
            // What our own firewall keeps us from asking says nothing of the node.
            Ok(Err(NetworkError::Denied { .. })) => Probed::There,
            Ok(Err(_)) | Err(_) => {
                let is_new = self.farmer.liveness.with(|seen| seen.silent(node, now));
                if is_new { Probed::FellSilent } else { Probed::Silent }
            }
        }
    }
}
