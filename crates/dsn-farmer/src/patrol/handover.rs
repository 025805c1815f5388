//! Locators move when the network changes, pieces do not: a node that has become one of a chunk's custodians gets the
//! locator from the custodians that stayed, and where too few stayed, from the holders themselves. Once a grace every
//! custodian compares with another one, so that what somebody missed comes all the same. Only what is lacked is sent.

use std::collections::{BTreeMap, BTreeSet};

use dsn_core::{
    canary::{Bug, planted},
    limits::{CUSTODIANS, IDS_MAX_PER_REQUEST, PUBLISH_MAX_LOCATORS},
    locator::{Locator, VerifiedLocator},
    node_id::{NodeId, Places, Position},
    ports::{ChunkHoldings, Snapshot, StoreError, StoredChunk},
    rpc::{Request, Response},
};

use super::{PAGE, Patrol};

/// Custodians that tell a newcomer; one could be down or a liar.
const TELLERS: usize = 3;

/// Custodians to whom a holder says again what it holds when its time has come.
const REISSUED_TO: usize = 3;

/// What has to be told to whom.
pub(super) struct Handover {
    places_before: Places,
    /// Servers that are there now and were not.
    is_changed: bool,
    /// The number of the comparison that is due.
    turn: Option<usize>,
    owed: BTreeMap<NodeId, Vec<Locator>>,
    failed: BTreeSet<NodeId>,
}

impl Handover {
    /// Of the change from the servers seen before to those of the snapshot; with the number of a comparison, of that too.
    pub(super) fn new(before: &BTreeSet<NodeId>, snapshot: &Snapshot, turn: Option<usize>) -> Self {
        let is_changed = !before.is_empty() && *before != snapshot.nodes;
        let places_before = Places::new(before.iter().copied().filter(|_| is_changed));
        Self { places_before, is_changed, turn, owed: BTreeMap::new(), failed: BTreeSet::new() }
    }

    /// Those of `custodians` that were none before.
    fn newcomers(&self, position: Position, custodians: &[NodeId]) -> Vec<NodeId> {
        let before: BTreeSet<NodeId> = self.places_before.closest(position, CUSTODIANS).into_iter().collect();
        custodians.iter().copied().filter(|node| !before.contains(node)).collect()
    }

    /// A locator kept here, whose custodians are these now.
    pub(super) fn consider(&mut self, locator: &Locator, custodians: &[NodeId], me: NodeId) {
        if planted(Bug::HandoverOff) {
            return;
        }
        let position = Position::from(&locator.chunk());
        let mut told = if self.is_changed { self.to_newcomers(position, custodians, me) } else { Vec::new() };
        told.extend(self.turn.and_then(|turn| compared_with(custodians, me, turn)).filter(|node| !told.contains(node)));
        for node in told {
            self.owed.entry(node).or_default().push(locator.clone());
        }
    }

    /// Whether there are servers that were not there before, or the other way round.
    pub(super) fn is_changed(&self) -> bool {
        self.is_changed
    }

    /// A node that did not take what it was told.
    pub(super) fn note_failed(&mut self, node: NodeId) {
        self.failed.insert(node);
    }

    /// The newcomers that this node has to tell.
    pub(super) fn to_newcomers(&self, position: Position, custodians: &[NodeId], me: NodeId) -> Vec<NodeId> {
        let mut newcomers = self.newcomers(position, custodians);
        let stayed = custodians.iter().filter(|node| !newcomers.contains(node));
        let tells = stayed.take(TELLERS).any(|node| *node == me) || newcomers.len() == custodians.len();
        newcomers.retain(|node| tells && *node != me);
        newcomers
    }

    /// A chunk held here: whether most of its custodians are new, so that they may know nothing of it.
    fn is_forgotten(&self, chunk: &StoredChunk, custodians: &[NodeId]) -> bool {
        self.is_changed
            && self.newcomers(Position::from(&chunk.descriptor.id()), custodians).len() * 2 > custodians.len()
    }

    /// The servers that need not be told again.
    pub(super) fn served(self, snapshot: &Snapshot) -> BTreeSet<NodeId> {
        snapshot.nodes.difference(&self.failed).copied().collect()
    }
}

/// With whom a custodian compares in this turn: all go round by the same distance, so each is told once, every turn by
/// another one.
fn compared_with(custodians: &[NodeId], me: NodeId, turn: usize) -> Option<NodeId> {
    let rank = custodians.iter().position(|node| *node == me)?;
    let others = custodians.len().checked_sub(1).filter(|others| *others > 0)?;
    custodians.get((rank + 1 + turn % others) % custodians.len()).copied()
}

impl Patrol {
    /// Sends what is owed. A node that does not take it is told again in the next round.
    pub(super) async fn hand_over(&self, handover: &mut Handover) {
        for (node, locators) in std::mem::take(&mut handover.owed) {
            for batch in locators.chunks(IDS_MAX_PER_REQUEST) {
                if !self.tell(node, batch).await {
                    handover.failed.insert(node);
                    break;
                }
            }
        }
    }

    async fn tell(&self, node: NodeId, locators: &[Locator]) -> bool {
        let marks = locators.iter().map(Locator::mark).collect();
        let Ok(Response::Compared(wanted)) = self.network.request(node, Request::Compare(marks)).await else {
            return false;
        };
        let wanted: Vec<Locator> =
            locators.iter().zip(wanted).filter(|(_, wanted)| *wanted).map(|(locator, _)| locator.clone()).collect();
        for batch in wanted.chunks(PUBLISH_MAX_LOCATORS) {
            let Ok(Response::Published(_)) = self.network.request(node, Request::Publish(batch.to_vec())).await else {
                return false;
            };
        }
        true
    }

    /// Says anew what this farmer holds: of every chunk now and then, and at once of those whose custodians are new.
    pub(super) async fn reissue(&self, places: &Places, handover: &mut Handover) -> Result<(), StoreError> {
        let upkeep = &self.farmer.options.upkeep;
        let rounds = (upkeep.reissue_secs / upkeep.probe_every_secs).max(1);
        let is_due = self.round.is_multiple_of(rounds);
        if !is_due && !handover.is_changed {
            return Ok(());
        }
        let mut pages = self.farmer.pages(PAGE);
        while let Some(page) = pages.next().await? {
            for chunk in page {
                let custodians = places.closest(Position::from(&chunk.descriptor.id()), CUSTODIANS);
                let to = if handover.is_forgotten(&chunk, &custodians) {
                    custodians.len()
                } else if is_due {
                    REISSUED_TO
                } else {
                    continue;
                };
                let Some(locator) = self.own_word(&chunk) else { continue };
                for node in custodians.into_iter().take(to) {
                    handover.owed.entry(node).or_default().push(locator.clone());
                }
            }
            self.hand_over(handover).await;
        }
        Ok(())
    }

    /// A locator with this farmer's own receipt.
    fn own_word(&self, chunk: &StoredChunk) -> Option<Locator> {
        let holdings = ChunkHoldings {
            chunk: chunk.descriptor.id(),
            indices: chunk.indices,
            class: chunk.class,
            seq: self.farmer.parts.store.last_seq(),
        };
        let mut locator = VerifiedLocator::new(chunk.descriptor.clone());
        locator.insert(self.farmer.sign_receipt(&holdings)?);
        Some(locator.to_locator())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_every_turn_each_custodian_is_told_by_one_and_in_time_by_all() {
        let custodians: Vec<NodeId> = (0..20).map(|n| NodeId([n; 32])).collect();
        let mut tellers: BTreeSet<&NodeId> = BTreeSet::new();
        for turn in 0..19 {
            let told: BTreeSet<NodeId> =
                custodians.iter().filter_map(|node| compared_with(&custodians, *node, turn)).collect();
            assert_eq!(told.len(), custodians.len(), "turn {turn}");
            tellers.extend(custodians.iter().filter(|n| compared_with(&custodians, **n, turn) == Some(custodians[0])));
        }
        assert_eq!(tellers.len(), 19);
        assert_eq!(compared_with(&custodians[..1], custodians[0], 3), None);
        assert_eq!(compared_with(&custodians[..2], custodians[5], 3), None, "no custodian");
    }
}
