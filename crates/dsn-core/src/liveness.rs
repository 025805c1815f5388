//! Which farmers are there, as one node has seen it itself: whom it heard, since when others are silent, who answered with
//! wrong bytes or without pieces it had signed for. Nobody else's word counts, so nobody can talk a farmer down. Not
//! here: whom to ask when, and what to do about it (`repair`).

mod notes;

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    canary::{Bug, planted},
    hash::ChunkId,
    index_set::IndexSet,
    locator::VerifiedLocator,
    node_id::NodeId,
    ports::StoreMark,
    receipt::ReceiptBody,
};

/// Nodes remembered. Beyond the largest network that is seen as a whole nobody keeps so many neighbours.
pub const PEERS_MAX: usize = 4096;

/// Nodes that nothing was asked of yet and that have said whether they leave.
const STRANGERS_MAX: usize = 256;

/// Pieces remembered as lost; each is also lost for good once its farmer signs a receipt without it.
const LOSSES_MAX: usize = 65_536;

/// Wrong answers within [`WRONG_WITHIN_SECS`] after which nothing a farmer has signed counts.
const WRONG_MAX: usize = 3;

/// Seconds for which a wrong answer counts: a custodian with few chunks of a farmer audits it once in days.
const WRONG_WITHIN_SECS: u64 = 7 * 24 * 3600;

/// Requests in a row that must stay unanswered before a farmer can count as gone.
const SILENT_MIN: u32 = 3;

/// Seconds after which a silent node that sends something is worth being asked again.
const ASK_AGAIN_SECS: u64 = 60;

/// Many vanish at once when it happens within these seconds.
const BRAKE_WITHIN_SECS: u64 = 15 * 60;

/// One in so many nodes vanished at once is a mass failure.
const BRAKE_SHARE: usize = 5;

/// Fewer nodes than this never are.
const BRAKE_LEAST: usize = 10;

/// Whether a farmer's pieces count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It answered last time, or was never asked.
    Here,
    /// It is silent, but not for long.
    Silent,
    /// It has been silent for longer than the grace, or has said that it leaves and is silent; or its answers are wrong.
    Gone,
}

#[derive(Clone, Debug, Default)]
struct Peer {
    silent_since: Option<u64>,
    /// When it was asked in vain last, and how often in a row.
    unanswered_at: u64,
    unanswered: u32,
    mark: Option<StoreMark>,
    /// What it holds was compared with its receipts in the life of its store that began with this number.
    compared: Option<u64>,
    has_proved: bool,
    wrong: Vec<u64>,
    /// What it said last of leaving the network.
    departure: Option<Departed>,
}

/// A farmer's own word whether it leaves, and when it was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Departed {
    said: u64,
    leaving: bool,
}

/// What one node has seen of the others.
#[derive(Clone, Debug)]
pub struct Liveness {
    grace_secs: u64,
    peers: BTreeMap<NodeId, Peer>,
    /// What others have said of leaving.
    strangers: BTreeMap<NodeId, Departed>,
    /// Of the peers, the silent ones.
    silent: usize,
    losses: BTreeMap<(ChunkId, NodeId), Loss>,
    braked_at: Option<u64>,
}

/// Pieces that a farmer does not have although a receipt of this number, or an earlier one, says so.
#[derive(Clone, Copy, Debug)]
struct Loss {
    seq: u64,
    indices: IndexSet,
}

impl Liveness {
    /// Nothing seen yet; silence of up to `grace_secs` is forgiven.
    pub fn new(grace_secs: u64) -> Self {
        let (peers, strangers, losses) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { grace_secs, peers, strangers, silent: 0, losses, braked_at: None }
    }

    /// It answered, with its store in this life. Says whether what it holds should be asked anew: its store is another,
    /// an old copy, or has lost pieces.
    pub fn heard(&mut self, node: NodeId, mark: StoreMark) -> bool {
        self.answered(node);
        let Some(peer) = self.peer(node) else { return false };
        let before = peer.mark.replace(mark);
        before.is_some_and(|before| before.id != mark.id || before.opens > mark.opens || before.losses < mark.losses)
    }

    /// Whether a receipt was signed in a life of which its farmer's store, an old copy, has no memory, so that what it holds
    /// should be asked anew.
    pub fn is_forgotten(&self, receipt: &ReceiptBody) -> bool {
        let Some(peer) = self.peers.get(&receipt.farmer) else { return false };
        let is_in_gap = |mark: StoreMark| {
            mark.resumed < receipt.seq && receipt.seq <= mark.first && peer.compared != Some(mark.first)
        };
        peer.mark.is_some_and(is_in_gap)
    }

    /// What it holds has been compared with its receipts.
    pub fn compared(&mut self, node: NodeId) {
        if let Some(peer) = self.peers.get_mut(&node) {
            peer.compared = peer.mark.map(|mark| mark.first);
        }
    }

    /// It answered something else.
    pub fn answered(&mut self, node: NodeId) {
        if let Some(peer) = self.peers.get_mut(&node)
            && !planted(Bug::ReturnIgnored)
        {
            self.silent -= usize::from(peer.silent_since.take().is_some());
            peer.unanswered = 0;
        }
    }

    /// It did not answer at `now` (Unix seconds). Says whether it did before.
    pub fn silent(&mut self, node: NodeId, now: u64) -> bool {
        let mut is_new = false;
        if let Some(peer) = self.peer(node) {
            is_new = peer.silent_since.is_none();
            peer.silent_since.get_or_insert(now);
            (peer.unanswered_at, peer.unanswered) = (now, peer.unanswered.saturating_add(1));
        }
        self.silent += usize::from(is_new);
        if self.braked_at.is_none() && self.is_mass_failure(now) {
            self.braked_at = Some(now);
        }
        is_new
    }

    /// Whether a node that has just sent something was silent until now, so that it is worth being asked at once. To
    /// send is not enough to be there: others have to reach it.
    pub fn may_be_back(&self, node: NodeId, now: u64) -> bool {
        let silent = self.peers.get(&node).filter(|peer| peer.silent_since.is_some());
        silent.is_some_and(|peer| peer.unanswered_at.saturating_add(ASK_AGAIN_SECS) <= now)
    }

    /// It answered with wrong bytes, or without a piece it had signed for, at `now`.
    pub fn wrong(&mut self, node: NodeId, now: u64) {
        if let Some(peer) = self.peer(node) {
            peer.wrong.retain(|at| at.saturating_add(WRONG_WITHIN_SECS) > now);
            if peer.wrong.len() < WRONG_MAX {
                peer.wrong.push(now);
            }
        }
    }

    /// It said that it leaves, or stays after all; tells whether that is news. Of nodes that were never asked for anything
    /// only the latest such words are kept, or whoever makes up names would fill the memory.
    pub fn departs(&mut self, node: NodeId, leaving: bool, said: u64) -> bool {
        let word = Departed { said, leaving };
        let known = self.peers.get(&node).map_or(self.strangers.get(&node).copied(), |peer| peer.departure);
        if known.is_some_and(|last| last.said >= said) {
            return false;
        }
        match self.peers.get_mut(&node) {
            Some(peer) => peer.departure = Some(word),
            None => drop(self.strangers.insert(node, word)),
        }
        if self.strangers.len() > STRANGERS_MAX
            && let Some((oldest, _)) = self.strangers.iter().min_by_key(|(_, word)| word.said)
        {
            let oldest = *oldest;
            self.strangers.remove(&oldest);
        }
        true
    }

    /// It proved to have a piece that it had signed for.
    pub fn proved(&mut self, node: NodeId) {
        if let Some(peer) = self.peer(node) {
            peer.has_proved = true;
        }
    }

    /// Whether it has proved to have a piece, and its answers are not wrong.
    pub fn has_proved(&self, node: NodeId, now: u64) -> bool {
        self.peers.get(&node).is_some_and(|peer| peer.has_proved && peer.wrong_at(now) < WRONG_MAX)
    }

    /// Pieces it does not have, whatever receipts up to number `seq` say.
    pub fn lost(&mut self, node: NodeId, chunk: ChunkId, seq: u64, indices: IndexSet) {
        if indices.is_empty() || (self.losses.len() >= LOSSES_MAX && !self.losses.contains_key(&(chunk, node))) {
            return;
        }
        let loss = self.losses.entry((chunk, node)).or_insert(Loss { seq, indices });
        if loss.seq < seq {
            *loss = Loss { seq, indices };
        }
        loss.indices = loss.indices.union(indices);
    }

    /// It has what it signed for.
    pub fn found(&mut self, node: NodeId, chunk: ChunkId) {
        self.losses.remove(&(chunk, node));
    }

    /// Whether its pieces count at `now`.
    pub fn presence(&self, node: NodeId, now: u64) -> Presence {
        let Some(peer) = self.peers.get(&node) else { return Presence::Here };
        match peer.silent_since {
            _ if peer.wrong_at(now) >= WRONG_MAX => Presence::Gone,
            None => Presence::Here,
            Some(_) if planted(Bug::SilentForEver) => Presence::Silent,
            Some(_) if planted(Bug::GraceZero) => Presence::Gone,
            Some(_) if peer.unanswered < SILENT_MIN => Presence::Silent,
            Some(_) if peer.departure.is_some_and(|word| word.leaving) => Presence::Gone,
            Some(since) if since.saturating_add(self.forgiven_secs(now)) > now => Presence::Silent,
            Some(_) => Presence::Gone,
        }
    }

    /// Seconds of silence that are forgiven: the grace, and while most are silent as long again as they are in the
    /// median, for then it is rather this node that is cut off; but never more than twice the grace.
    fn forgiven_secs(&self, now: u64) -> u64 {
        // Those that answer are silent for 0 seconds.
        if self.silent * 2 <= self.peers.len() {
            return self.grace_secs;
        }
        let silent_secs = |peer: &Peer| peer.silent_since.map_or(0, |since| now.saturating_sub(since));
        let mut silent_secs: Vec<u64> = self.peers.values().map(silent_secs).collect();
        let (_, median, _) = silent_secs.select_nth_unstable(self.peers.len() / 2);
        self.grace_secs + self.grace_secs.min(*median)
    }

    /// Those of these nodes that are not gone.
    pub fn there(&self, nodes: &BTreeSet<NodeId>, now: u64) -> usize {
        nodes.iter().filter(|node| self.presence(**node, now) != Presence::Gone).count()
    }

    /// Who holds what of a chunk, by the receipts of farmers that are not gone and less what they were seen to lack.
    pub fn holders(&self, locator: &VerifiedLocator, now: u64) -> BTreeMap<NodeId, IndexSet> {
        let receipts = locator.receipts().map(|receipt| receipt.body());
        let there = receipts.filter(|body| self.presence(body.farmer, now) != Presence::Gone);
        let held = there.map(|body| (body.farmer, self.less_lost(body, body.indices)));
        held.filter(|(_, set)| !set.is_empty()).collect()
    }

    /// Pieces of a receipt's chunk less those that its farmer was seen to lack.
    pub fn less_lost(&self, receipt: &ReceiptBody, indices: IndexSet) -> IndexSet {
        let loss = self.losses.get(&(receipt.chunk, receipt.farmer)).filter(|loss| receipt.seq <= loss.seq);
        indices.minus(loss.map_or(IndexSet::EMPTY, |loss| loss.indices))
    }

    /// Farmers whose answers were wrong so often that nothing is given to them now.
    pub fn distrusted(&self, now: u64) -> Vec<NodeId> {
        let is_wrong = |peer: &Peer| peer.wrong_at(now) >= WRONG_MAX;
        self.peers.iter().filter(|(_, peer)| is_wrong(peer)).map(|(node, _)| *node).collect()
    }

    /// Whether so many vanished at once that it is more likely an outage, or this node cut off, than their end: then
    /// what is not urgent waits, for at most one grace more.
    pub fn is_braking(&mut self, now: u64) -> bool {
        let is_over = self.silent * BRAKE_SHARE * 2 <= self.peers.len();
        let Some(at) = self.braked_at else { return false };
        if is_over {
            self.braked_at = None;
        }
        // A grace for the absent, one for the brake; then a new wave may brake again.
        if at.saturating_add(2 * self.grace_secs) <= now && !self.is_mass_failure(now) {
            self.braked_at = None;
        }
        self.braked_at.is_some() && !planted(Bug::BrakeOff) && at.saturating_add(2 * self.grace_secs) > now
    }

    /// Nodes remembered.
    pub fn remembered(&self) -> usize {
        self.peers.len()
    }

    /// Forgets nodes that are no neighbours any more.
    pub fn retain(&mut self, keep: impl Fn(NodeId) -> bool) {
        self.peers.retain(|node, _| keep(*node));
        self.losses.retain(|(_, node), _| keep(*node));
        self.count_silent();
    }

    fn count_silent(&mut self) {
        self.silent = self.peers.values().filter(|peer| peer.silent_since.is_some()).count();
    }

    fn is_mass_failure(&self, now: u64) -> bool {
        let recent = |since: u64| since.saturating_add(BRAKE_WITHIN_SECS) > now;
        let vanished = self.peers.values().filter(|peer| peer.silent_since.is_some_and(recent)).count();
        vanished >= BRAKE_LEAST && vanished * BRAKE_SHARE > self.peers.len()
    }

    fn peer(&mut self, node: NodeId) -> Option<&mut Peer> {
        if self.peers.len() >= PEERS_MAX && !self.peers.contains_key(&node) {
            return None;
        }
        let strangers = &mut self.strangers;
        Some(self.peers.entry(node).or_insert_with(|| Peer { departure: strangers.remove(&node), ..Peer::default() }))
    }
}

impl Peer {
    /// Wrong answers that count at `now`.
    fn wrong_at(&self, now: u64) -> usize {
        self.wrong.iter().filter(|at| at.saturating_add(WRONG_WITHIN_SECS) > now).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: u64 = 86_400;
    const NOW: u64 = 1_800_000_000;

    fn node(n: u8) -> NodeId {
        NodeId([n; 32])
    }

    fn mark(id: u64, opens: u64, losses: u64) -> StoreMark {
        StoreMark { id, opens, losses, ..StoreMark::default() }
    }

    fn hear(liveness: &mut Liveness, nodes: std::ops::Range<u8>, mark: StoreMark) {
        for n in nodes {
            liveness.heard(node(n), mark);
        }
    }

    fn silence(liveness: &mut Liveness, nodes: std::ops::Range<u8>, at: u64) {
        for n in nodes {
            liveness.silent(node(n), at);
        }
    }

    #[test]
    fn silence_is_forgiven_for_the_grace_and_no_longer() {
        let mut liveness = Liveness::new(GRACE);
        assert_eq!(liveness.presence(node(1), NOW), Presence::Here);
        // One that most others answer beside.
        hear(&mut liveness, 2..5, mark(1, 1, 0));
        liveness.silent(node(1), NOW);
        liveness.silent(node(1), NOW + 60);
        assert_eq!(liveness.presence(node(1), NOW + GRACE), Presence::Silent, "twice is not often");
        liveness.silent(node(1), NOW + GRACE - 1);
        assert_eq!(liveness.presence(node(1), NOW + GRACE - 1), Presence::Silent);
        assert_eq!(liveness.presence(node(1), NOW + GRACE), Presence::Gone);
        liveness.heard(node(1), mark(1, 1, 0));
        assert_eq!(liveness.presence(node(1), NOW + GRACE), Presence::Here, "back at once");
    }

    #[test]
    fn while_most_are_silent_nobody_is_gone_for_as_long_again() {
        let silent_for = |silent: u8, secs: u64| {
            let mut liveness = Liveness::new(GRACE);
            hear(&mut liveness, 0..10, mark(1, 1, 0));
            for at in [0, 60, 120] {
                silence(&mut liveness, 0..silent, NOW + at);
            }
            liveness.presence(node(0), NOW + secs)
        };
        assert_eq!(silent_for(5, GRACE), Presence::Gone, "half of them answer");
        assert_eq!(silent_for(6, GRACE), Presence::Silent, "it is rather I who am cut off");
        assert_eq!(silent_for(10, 2 * GRACE - 1), Presence::Silent);
        assert_eq!(silent_for(10, 2 * GRACE), Presence::Gone, "not for ever");
    }

    #[test]
    fn who_said_that_it_leaves_is_gone_when_it_is_silent() {
        let mut liveness = Liveness::new(GRACE);
        hear(&mut liveness, 1..5, mark(1, 1, 0));
        assert!(liveness.departs(node(1), true, NOW));
        assert_eq!(liveness.presence(node(1), NOW), Presence::Here, "it is there still");
        silence(&mut liveness, 1..2, NOW);
        silence(&mut liveness, 1..2, NOW + 1);
        assert_eq!(liveness.presence(node(1), NOW + 2), Presence::Silent, "twice is not often");
        liveness.silent(node(1), NOW + 2);
        assert_eq!(liveness.presence(node(1), NOW + 2), Presence::Gone);
        assert!(!liveness.departs(node(1), false, NOW));
        assert_eq!(liveness.presence(node(1), NOW + 2), Presence::Gone, "no later word");
        assert!(liveness.departs(node(1), false, NOW + 1));
        assert_eq!(liveness.presence(node(1), NOW + 2), Presence::Silent, "it stays after all");
    }

    #[test]
    fn what_strangers_say_of_leaving_counts_when_they_are_met_and_fills_nothing() {
        let mut liveness = Liveness::new(GRACE);
        hear(&mut liveness, 1..5, mark(1, 1, 0));
        assert!(liveness.departs(node(9), true, NOW) && !liveness.departs(node(9), false, NOW));
        (0..3).for_each(|n| silence(&mut liveness, 9..10, NOW + n));
        assert_eq!(liveness.presence(node(9), NOW + 3), Presence::Gone);
        let made_up = |n: u64| NodeId(crate::hash::Hash::of(&n.to_be_bytes()).0);
        assert!((0..1000).all(|n| liveness.departs(made_up(n), true, NOW + n)));
        assert_eq!(liveness.strangers.len(), STRANGERS_MAX);
        assert!(liveness.strangers.contains_key(&made_up(999)), "the latest are kept");
        assert_eq!(liveness.peers.len(), 5);
    }

    #[test]
    fn a_silent_node_that_sends_something_is_asked_again_but_not_all_the_time() {
        let mut liveness = Liveness::new(GRACE);
        assert!(!liveness.may_be_back(node(1), NOW), "nobody missed it");
        assert!(liveness.silent(node(1), NOW));
        assert!(!liveness.may_be_back(node(1), NOW + ASK_AGAIN_SECS - 1));
        assert!(liveness.may_be_back(node(1), NOW + ASK_AGAIN_SECS));
        assert!(!liveness.silent(node(1), NOW + ASK_AGAIN_SECS));
        assert!(!liveness.may_be_back(node(1), NOW + ASK_AGAIN_SECS));
        liveness.answered(node(1));
        assert_eq!(liveness.presence(node(1), NOW + 9 * GRACE), Presence::Here);
    }

    #[test]
    fn three_wrong_answers_within_a_week_end_all_trust() {
        let mut liveness = Liveness::new(GRACE);
        for at in [NOW, NOW + 10, NOW + 20] {
            assert_eq!(liveness.presence(node(1), at), Presence::Here);
            liveness.wrong(node(1), at);
        }
        assert_eq!(liveness.presence(node(1), NOW + 20), Presence::Gone);
        assert_eq!(liveness.presence(node(1), NOW + WRONG_WITHIN_SECS), Presence::Here);
    }

    #[test]
    fn a_store_that_changed_is_asked_anew() {
        let mut liveness = Liveness::new(GRACE);
        assert!(!liveness.heard(node(1), mark(1, 5, 0)), "nothing to compare with");
        assert!(!liveness.heard(node(1), mark(1, 6, 0)), "a restart");
        assert!(liveness.heard(node(1), mark(1, 6, 1)), "pieces were lost");
        assert!(liveness.heard(node(1), mark(1, 3, 1)), "an old copy");
        assert!(liveness.heard(node(1), mark(2, 1, 0)), "another disk");
        assert!(!liveness.heard(node(1), mark(2, 1, 0)));
    }

    #[test]
    fn receipts_that_an_old_copy_has_no_memory_of_are_compared_once() {
        let receipt = |seq| ReceiptBody {
            network: crate::testing::network(),
            chunk: ChunkId(crate::hash::Hash([1; 32])),
            farmer: node(1),
            indices: IndexSet::one(0),
            class: crate::redundancy::Class::Normal,
            seq,
            issued: NOW,
            until: None,
        };
        let (mut liveness, life) = (Liveness::new(GRACE), mark(1, 5, 0));
        assert!(!liveness.is_forgotten(&receipt(250)), "never heard");
        liveness.heard(node(1), StoreMark { resumed: 180, first: 200, ..life });
        assert!(!liveness.is_forgotten(&receipt(180)) && !liveness.is_forgotten(&receipt(250)));
        // Opened as often as before: only the numbers tell.
        liveness.heard(node(1), StoreMark { resumed: 180, first: 300, ..life });
        assert!(liveness.is_forgotten(&receipt(250)) && liveness.is_forgotten(&receipt(181)));
        assert!(!liveness.is_forgotten(&receipt(180)) && !liveness.is_forgotten(&receipt(301)));
        liveness.compared(node(1));
        assert!(!liveness.is_forgotten(&receipt(250)));
        liveness.heard(node(1), StoreMark { resumed: 180, first: 400, ..life });
        assert!(liveness.is_forgotten(&receipt(301)), "once more");
    }

    #[test]
    fn a_mass_failure_brakes_for_one_grace_more_and_ends_when_they_are_back() {
        let mut liveness = Liveness::new(GRACE);
        hear(&mut liveness, 0..40, mark(1, 1, 0));
        silence(&mut liveness, 0..9, NOW);
        assert!(!liveness.is_braking(NOW), "nine are not many");
        liveness.silent(node(9), NOW + 60);
        assert!(liveness.is_braking(NOW + 60));
        assert!(liveness.is_braking(NOW + 60 + 2 * GRACE - 1));
        assert!(!liveness.is_braking(NOW + 60 + 2 * GRACE));
        let mut liveness = Liveness::new(GRACE);
        hear(&mut liveness, 0..40, mark(1, 1, 0));
        silence(&mut liveness, 0..12, NOW);
        hear(&mut liveness, 0..9, mark(1, 2, 0));
        assert!(!liveness.is_braking(NOW + 60));
    }

    #[test]
    fn nodes_that_vanish_one_by_one_do_not_brake() {
        let mut liveness = Liveness::new(GRACE);
        hear(&mut liveness, 0..40, mark(1, 1, 0));
        (0..30).for_each(|n| silence(&mut liveness, n..n + 1, NOW + u64::from(n) * 1800));
        assert!(!liveness.is_braking(NOW + 30 * 1800));
    }
}
