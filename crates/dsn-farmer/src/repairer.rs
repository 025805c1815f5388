//! Repairs chunks whose locators this node keeps, one at a time, the neediest first: waits its turn, looks again, says
//! so to the other custodians, then has the client do it. Not here: who is there (`patrol` finds out) and the work itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use dsn_client::{Ailing, Client, RepairError, Survey};
use dsn_core::{
    hash::ChunkId,
    index_set::IndexSet,
    limits::CUSTODIANS,
    locator::VerifiedLocator,
    node_id::{NodeId, Position},
    ports::Network,
    repair::{Budget, Health, back_off_secs, intent_secs, standing},
    rpc::{Request, Response},
};

use crate::{
    farmer::Farmer,
    state::{Counters, Pending},
};

/// Seconds for which a survey of the farmers is used.
const SURVEY_SECS: u64 = 600;

/// Seconds before a chunk that nobody wants, or nobody can mend, is looked at again.
const HOPELESS_SECS: u64 = 24 * 3600;

/// Bytes that repair may move at once after a rest: a few full chunks.
pub(crate) const BURST_BYTES: u64 = 256 * 1024 * 1024;

/// What came of looking at a chunk.
enum Done {
    /// It is well.
    Well,
    /// To be looked at again then.
    At(u64),
    /// To be tried again, later each time.
    Failed,
}

/// What the holders of a chunk say they hold.
struct Seen {
    /// Pieces that count as held.
    held: BTreeMap<NodeId, IndexSet>,
    health: Health,
    /// Holders that claim what an audit has found missing: they would take it again, and sign for it again.
    in_doubt: BTreeSet<NodeId>,
}

/// Repairs what waits.
pub(crate) struct Repairer {
    pub(crate) farmer: Arc<Farmer>,
    pub(crate) network: Arc<dyn Network>,
    pub(crate) client: Arc<Client>,
    pub(crate) budget: Budget,
    pub(crate) survey: Option<(u64, Survey)>,
}

impl Repairer {
    /// Runs until it is dropped.
    pub(crate) async fn run(mut self) {
        loop {
            let queue = &self.farmer.repairs;
            let (now, next) = (self.now(), queue.next());
            let wait = next.map(|(_, pending)| pending.due.saturating_sub(now));
            match (next, wait) {
                (Some((chunk, pending)), Some(0)) => {
                    let short = self.budget.wait_secs(now);
                    if short > 0 {
                        tokio::time::sleep(Duration::from_secs(short)).await;
                        continue;
                    }
                    self.serve(chunk, pending).await;
                }
                (_, wait) => {
                    let changed = queue.changed();
                    match wait {
                        Some(secs) => drop(tokio::time::timeout(Duration::from_secs(secs), changed).await),
                        None => changed.await,
                    }
                }
            }
        }
    }

    fn now(&self) -> u64 {
        self.farmer.parts.environment.unix_secs()
    }

    fn grace_secs(&self) -> u64 {
        self.farmer.options.upkeep.absent_grace_secs
    }

    async fn serve(&mut self, chunk: ChunkId, pending: Pending) {
        let done = self.attend(chunk, pending).await;
        self.farmer.intents.lock().expect("no panic while locked").work_on(None);
        let now = self.now();
        match done {
            Done::Well => self.farmer.repairs.clear(chunk),
            Done::At(due) => self.farmer.repairs.put_off(chunk, due.max(now + 1)),
            Done::Failed => self.farmer.repairs.put_off(chunk, now + back_off_secs(pending.tries)),
        }
    }

    async fn attend(&mut self, chunk: ChunkId, pending: Pending) -> Done {
        let now = self.now();
        if pending.health == Health::Repairing && self.farmer.liveness.with(|seen| seen.is_braking(now)) {
            tracing::debug!(%chunk, "many farmers vanished at once: its repair waits");
            return Done::At(now + self.farmer.options.upkeep.probe_every_secs);
        }
        let believed = intent_secs(self.grace_secs());
        let held_until = self.farmer.intents.lock().expect("no panic while locked").held_until(chunk, believed, now);
        if let Some(until) = held_until {
            tracing::debug!(%chunk, secs = until.saturating_sub(now), "another custodian wants to repair it");
            return Done::At(until);
        }
        let kept = self.farmer.parts.store.locators(&[chunk]).await;
        let Ok(Some(locator)) = kept.map(|mut kept| kept.pop().flatten()) else { return Done::Well };
        let mut locator = locator.kept(now);
        // Others may know of holders that this node missed, or could not write down.
        if let Some(known) = self.client.find_locator(locator.descriptor()).await {
            locator.merge(&known);
        }
        let Ok(snapshot) = self.network.snapshot(false).await else { return Done::Failed };
        let Seen { held, health, in_doubt } = self.look_again(&locator, &snapshot.nodes).await;
        tracing::debug!(%chunk, ?health, holders = held.len(), "looked at again");
        match health {
            Health::Healthy => return Done::Well,
            // All holders gave it up, most likely; if not, the patrol sees them come back.
            Health::Unavailable if held.is_empty() => return Done::At(now + HOPELESS_SECS),
            Health::Unavailable => return Done::Failed,
            Health::Urgent | Health::Repairing => {}
        }
        // Everybody is asked who they are only when there is something to do: that is dear.
        let Some(survey) = self.survey(now).await else { return Done::Failed };
        in_doubt.into_iter().for_each(|node| survey.leave_out(node));
        if !self.announce(chunk, pending.rank).await {
            return Done::At(now + believed);
        }
        let class = locator.class();
        locator.retain(|node| held.contains_key(&node));
        self.repair(Ailing { locator, class, held }, &survey).await
    }

    /// The farmers there are, asked anew when that was long ago, without those that are not to be trusted.
    async fn survey(&mut self, now: u64) -> Option<Survey> {
        let fresh = self.survey.as_ref().filter(|(at, _)| at.saturating_add(SURVEY_SECS) > now);
        if let Some((_, survey)) = fresh {
            return Some(survey.clone());
        }
        let survey = self.client.survey().await.ok()?;
        self.farmer.liveness.with(|seen| seen.distrusted(now)).into_iter().for_each(|n| survey.leave_out(n));
        self.survey = Some((now, survey.clone()));
        Some(survey)
    }

    /// Asks all who signed what they hold now, and how the chunk stands by that. Those that are silent within the grace
    /// count as holders for the standing, and for nothing else; those whose answers were wrong for nothing at all.
    async fn look_again(&self, locator: &VerifiedLocator, nodes: &BTreeSet<NodeId>) -> Seen {
        let answers = self.client.held_now(locator).await;
        let now = self.now();
        let (mut held, mut counted, mut in_doubt) = (BTreeMap::new(), Vec::new(), BTreeSet::new());
        let farmers = self.farmer.liveness.with(|seen| {
            let (believed, liars) = (seen.holders(locator, now), seen.distrusted(now));
            for receipt in locator.receipts().filter(|receipt| !liars.contains(&receipt.body().farmer)) {
                let (node, claimed) = (receipt.body().farmer, receipt.body().indices);
                match answers.get(&node).copied().flatten() {
                    Some(set) => {
                        seen.answered(node);
                        seen.lost(node, locator.chunk(), receipt.body().seq, claimed.minus(set));
                        let sound = seen.less_lost(receipt.body(), set);
                        in_doubt.extend((sound != set).then_some(node));
                        counted.push(sound);
                        held.insert(node, sound);
                    }
                    None => counted.extend(believed.get(&node).copied()),
                }
            }
            seen.there(nodes, now)
        });
        held.retain(|_, set| !set.is_empty());
        let class = locator.class();
        let health = standing(locator.descriptor().code(), class, farmers, counted).health;
        Seen { held, health, in_doubt }
    }

    /// Tells the other custodians. False when one that is closer to the chunk is at it already.
    async fn announce(&self, chunk: ChunkId, rank: usize) -> bool {
        self.farmer.intents.lock().expect("no panic while locked").work_on(Some(chunk));
        let Ok(snapshot) = self.network.snapshot(false).await else { return true };
        let custodians = snapshot.closest(Position::from(&chunk), CUSTODIANS);
        let me = self.network.local_id();
        let asked =
            custodians.into_iter().enumerate().filter(|(_, node)| *node != me).map(|(place, node)| async move {
                let answer = self.network.request(node, Request::Intend(vec![chunk])).await;
                place < rank && matches!(answer, Ok(Response::Intended(yields)) if yields == [false])
            });
        !futures::future::join_all(asked).await.contains(&true)
    }

    async fn repair(&mut self, ailing: Ailing, survey: &Survey) -> Done {
        let (chunk, now) = (ailing.locator.chunk(), self.now());
        match self.client.repair(&ailing, survey, &self.farmer.parts.identity).await {
            Ok(repaired) => {
                self.budget.spend(repaired.moved_bytes);
                Counters::add(&self.farmer.counters.repairs, 1);
                Counters::add(&self.farmer.counters.repair_bytes, usize::try_from(repaired.moved_bytes).unwrap_or(0));
                tracing::info!(%chunk, placed = repaired.placed, live = repaired.standing.live, "repaired");
                if repaired.standing.health == Health::Healthy { Done::Well } else { Done::Failed }
            }
            Err(error @ (RepairError::NoLease | RepairError::Malformed)) => {
                tracing::info!(%chunk, %error, "left alone");
                Done::At(now + HOPELESS_SECS)
            }
            Err(error) => {
                tracing::debug!(%chunk, %error, "not repaired");
                self.survey = None;
                Done::Failed
            }
        }
    }
}
