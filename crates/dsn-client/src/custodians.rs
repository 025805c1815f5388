//! Talking to the custodians of a chunk: who they are, what they know, and giving them a locator to keep. Requests for
//! the same custodian travel together.

use std::{collections::BTreeSet, time::Duration};

use dsn_core::{
    canary::{Bug, planted},
    hash::ChunkId,
    limits::CUSTODIANS,
    locator::{Locator, VerifiedLocator},
    network_name::NetworkName,
    node_id::{NodeId, Position},
    ports::NetworkError,
    rpc::{Request, Response},
};
use futures::{StreamExt, stream::FuturesUnordered};

use crate::{
    client::{Client, LAST_HOPE_TRIES},
    watchdog::Watchdog,
};

/// Custodians asked at once; one usually suffices, three survive a stale one.
const WAVE: usize = 3;

/// Once enough custodians keep a locator, the others get this long to keep it too.
const LAST_CUSTODIANS_WAIT: Duration = Duration::from_secs(2);

/// How hard to look for a locator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effort {
    /// One wave that answers is enough to believe that nobody knows.
    Quick,
    /// Every custodian, before "nobody knows" is believed.
    All,
    /// The same after an iterative look-up, and all answers merged.
    LookUp,
}

/// What the custodians know.
#[derive(Clone, Debug, Default)]
pub(crate) struct Located {
    /// The merged locator; none when nobody knows one.
    pub(crate) locator: Option<VerifiedLocator>,
    /// Custodians that answered.
    pub(crate) asked: BTreeSet<NodeId>,
}

impl Client {
    /// The live servers closest to the chunk's id, closest first.
    pub(crate) async fn custodians(&self, chunk: ChunkId, effort: Effort) -> Result<Vec<NodeId>, NetworkError> {
        let snapshot = self.network().snapshot(false).await?;
        if snapshot.complete && effort != Effort::LookUp {
            return Ok(snapshot.closest(Position::from(&chunk), CUSTODIANS));
        }
        let mut found = self.network().look_up(*chunk.as_bytes()).await?;
        found.truncate(CUSTODIANS);
        Ok(found)
    }

    /// Asks for a chunk's locator. Wrong locators and untrue receipts are dropped. Busy custodians are waited for only when
    /// no other one answers: any node could keep everybody waiting.
    pub(crate) async fn locate(&self, chunk: ChunkId, effort: Effort, dog: &Watchdog) -> Result<Located, NetworkError> {
        let mut tries = 1;
        loop {
            match self.locate_now(chunk, effort, dog).await {
                Err(NetworkError::Busy { delay_ms, .. }) if tries < LAST_HOPE_TRIES => {
                    Self::wait_for_busy(delay_ms).await;
                }
                result => return result,
            }
            tries += 1;
        }
    }

    async fn locate_now(&self, chunk: ChunkId, effort: Effort, dog: &Watchdog) -> Result<Located, NetworkError> {
        let custodians = self.custodians(chunk, effort).await?;
        let wave = if effort == Effort::LookUp { CUSTODIANS } else { WAVE };
        let mut located = Located::default();
        let mut last_error = None;
        for wave in custodians.chunks(wave) {
            let mut answers: FuturesUnordered<_> =
                wave.iter().map(|node| async move { (*node, self.locate_at(*node, chunk).await) }).collect();
            while let Some((node, answer)) = answers.next().await {
                match answer {
                    Ok(locator) => {
                        dog.feed();
                        located.asked.insert(node);
                        located.add(locator, &self.parts.network_name, self.now());
                    }
                    Err(error) => {
                        dog.note(node, &error);
                        // Of all errors the one that time may mend.
                        let mendable = matches!(last_error, Some(NetworkError::Busy { .. }));
                        last_error = last_error.filter(|_| mendable).or(Some(error));
                    }
                }
            }
            let known = located.locator.as_ref().is_some_and(|locator| locator.receipts().next().is_some());
            if known || (effort == Effort::Quick && !located.asked.is_empty()) {
                break;
            }
        }
        match last_error {
            Some(error) if located.asked.is_empty() => Err(error),
            _ => Ok(located),
        }
    }

    async fn locate_at(&self, node: NodeId, chunk: ChunkId) -> Result<Option<Locator>, NetworkError> {
        let send = async |chunks: Vec<ChunkId>| {
            let asked = chunks.len();
            let answer = self.request(node, Request::Locate(chunks)).await;
            match answer {
                Ok(Response::Located(entries)) if (1..=asked).contains(&entries.len()) => {
                    entries.into_iter().map(Ok).collect()
                }
                Ok(_) => vec![Err(Self::bad_answer(node)); asked],
                Err(error) => vec![Err(error); asked],
            }
        };
        let locator = self.locates.call(node, chunk, send).await?;
        Ok(locator.filter(|locator| locator.chunk() == chunk || planted(Bug::OtherLocator)))
    }

    /// Gives a locator to the chunk's custodians; says how many keep it. Waits for all, but not for long once `enough` do.
    pub(crate) async fn publish(
        &self,
        locator: &VerifiedLocator,
        enough: usize,
        dog: &Watchdog,
    ) -> Result<usize, NetworkError> {
        let custodians = self.custodians(locator.chunk(), Effort::All).await?;
        let locator = locator.to_locator();
        let mut answers: FuturesUnordered<_> = custodians
            .iter()
            .map(|node| {
                let locator = locator.clone();
                async move { (*node, self.publish_at(*node, locator).await) }
            })
            .collect();
        let mut kept = 0;
        loop {
            let next = if kept >= enough {
                tokio::time::timeout(LAST_CUSTODIANS_WAIT, answers.next()).await.ok().flatten()
            } else {
                answers.next().await
            };
            match next {
                Some((_, Ok(keeps))) => {
                    dog.feed();
                    kept += usize::from(keeps);
                }
                Some((node, Err(error))) => {
                    kept += usize::from(planted(Bug::LostIsConfirmed));
                    dog.note(node, &error);
                }
                None => return Ok(kept),
            }
        }
    }

    async fn publish_at(&self, node: NodeId, locator: Locator) -> Result<bool, NetworkError> {
        let send = async |locators: Vec<Locator>| {
            let given = locators.len();
            match self.request(node, Request::Publish(locators)).await {
                Ok(Response::Published(kept)) if kept.len() == given => kept.into_iter().map(Ok).collect(),
                Ok(_) => vec![Err(Self::bad_answer(node)); given],
                Err(error) => vec![Err(error); given],
            }
        };
        self.publishes.call(node, locator, send).await
    }
}

impl Located {
    fn add(&mut self, other: Option<Locator>, network: &NetworkName, now: u64) {
        let Some(other) = other else { return };
        match &mut self.locator {
            Some(known) => {
                let other = other.verify_beside(known, network, now);
                known.merge(&other);
            }
            known => *known = Some(other.verify(network, now)),
        }
    }
}
