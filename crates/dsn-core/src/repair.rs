//! When a chunk is repaired, by whom, and how much of it at a time. Lazy: nothing happens until half of what was placed
//! beyond the need is gone. Leaderless: every custodian comes to the same order by itself, each waits its turn, and when
//! two work at once it costs bandwidth and nothing else. Not here: who is there (`liveness`), and the work itself.

use crate::{
    descriptor::Code,
    index_set::IndexSet,
    redundancy::{Class, Target, target},
};

/// Below this many pieces more than needed, repair does not wait.
const URGENT_MARGIN: usize = 4;

/// Copies of a root chunk at or below which repair does not wait.
const URGENT_COPIES: usize = 2;

/// Ranks wait this part of the grace each: 10 minutes of 24 hours.
const TURN_SHARE: u64 = 144;

/// When it is urgent, this part: 2 minutes of 24 hours.
const URGENT_TURN_SHARE: u64 = 720;

/// An intent is believed for this part of the grace: 30 minutes of 24 hours.
const INTENT_SHARE: u64 = 48;

/// Seconds before the first try is made again; doubled for each further one.
const BACK_OFF_SECS: u64 = 60;

/// Seconds between tries at most.
const BACK_OFF_MAX_SECS: u64 = 3600;

/// How a chunk, or a file by its worst chunk, fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    /// Fewer pieces than needed.
    Unavailable,
    /// Close to that.
    Urgent,
    /// So few that they should be more.
    Repairing,
    /// Pieces to spare.
    Healthy,
}

/// How a chunk stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// In a word.
    pub health: Health,
    /// Different pieces, or copies, that are there.
    pub live: usize,
    /// What is aimed at.
    pub target: Target,
}

/// Different pieces of a chunk; copies for `rep`, each on another farmer.
pub fn live(code: Code, held: impl IntoIterator<Item = IndexSet>) -> usize {
    let held = held.into_iter().filter(|set| !set.is_empty());
    match code {
        Code::Rep => held.count(),
        Code::Rs16Of48 => held.fold(IndexSet::EMPTY, |all, set| all.union(set)).len(),
    }
}

/// How a chunk stands of which farmers hold these sets, in a network of `farmers` farmers.
pub fn standing(code: Code, class: Class, farmers: usize, held: impl IntoIterator<Item = IndexSet>) -> Standing {
    let (live, target) = (live(code, held), target(code, class, farmers));
    let urgent = match code {
        Code::Rep => live <= URGENT_COPIES && live < target.place,
        Code::Rs16Of48 => live < code.needed() + URGENT_MARGIN,
    };
    let health = if live < code.needed() {
        Health::Unavailable
    } else if urgent {
        Health::Urgent
    } else if live <= target.repair_at && live < target.place {
        Health::Repairing
    } else {
        Health::Healthy
    };
    Standing { health, live, target }
}

/// Seconds that the custodian of this rank (0 is the closest to the chunk) waits before it repairs, so that the others
/// see its work before they begin theirs. `jitter` (0 to 1000) keeps equals apart.
pub fn turn_secs(health: Health, rank: usize, grace_secs: u64, jitter: u64) -> u64 {
    let share = if health <= Health::Urgent { URGENT_TURN_SHARE } else { TURN_SHARE };
    let turn = (grace_secs / share).max(1);
    let rank = u64::try_from(rank).unwrap_or(u64::MAX);
    turn.saturating_mul(rank).saturating_mul(500 + jitter.min(1000)) / 1000
}

/// Seconds for which others hold back after an intent.
pub fn intent_secs(grace_secs: u64) -> u64 {
    (grace_secs / INTENT_SHARE).max(5)
}

/// Seconds before a repair that failed `tries` times is tried again.
pub fn back_off_secs(tries: u32) -> u64 {
    BACK_OFF_SECS.saturating_mul(1 << tries.min(10)).min(BACK_OFF_MAX_SECS)
}

/// A token bucket: so many bytes a second on average, and so many at once after a rest. Work that has begun is never
/// cut off: it may overdraw, and what comes next waits.
#[derive(Clone, Debug)]
pub struct Budget {
    bytes_per_sec: u64,
    most: u64,
    left: i128,
    at: u64,
}

impl Budget {
    /// Full at `now` (Unix seconds); `most` bytes at once.
    pub fn new(bytes_per_sec: u64, most: u64, now: u64) -> Self {
        Self { bytes_per_sec, most, left: i128::from(most), at: now }
    }

    /// Seconds until there is something left to spend; 0 when there is now.
    pub fn wait_secs(&mut self, now: u64) -> u64 {
        let gained = i128::from(now.saturating_sub(self.at)) * i128::from(self.bytes_per_sec);
        (self.left, self.at) = ((self.left + gained).min(i128::from(self.most)), now.max(self.at));
        if self.left > 0 {
            return 0;
        }
        let rate = i128::from(self.bytes_per_sec.max(1));
        u64::try_from((1 - self.left + rate - 1) / rate).unwrap_or(u64::MAX)
    }

    /// Spends bytes, more than there are if need be.
    pub fn spend(&mut self, bytes: u64) {
        self.left -= i128::from(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(n: usize) -> Vec<IndexSet> {
        (0..n).map(|i| IndexSet::one(u8::try_from(i).expect("below 48"))).collect()
    }

    #[test]
    fn repair_is_lazy_until_half_the_margin_is_gone() {
        for (live, health) in [
            (40, Health::Healthy),
            (29, Health::Healthy),
            (28, Health::Repairing),
            (20, Health::Repairing),
            (19, Health::Urgent),
            (16, Health::Urgent),
            (15, Health::Unavailable),
        ] {
            let standing = standing(Code::Rs16Of48, Class::Normal, 100, pieces(live));
            assert_eq!((standing.health, standing.live), (health, live));
        }
    }

    #[test]
    fn copies_are_urgent_only_where_there_is_room_for_more() {
        let of = |copies, farmers| standing(Code::Rep, Class::Normal, farmers, vec![IndexSet::one(0); copies]).health;
        assert_eq!(of(12, 100), Health::Healthy);
        assert_eq!(of(6, 100), Health::Repairing);
        assert_eq!(of(2, 100), Health::Urgent);
        assert_eq!(of(0, 100), Health::Unavailable);
        assert_eq!((of(2, 2), of(1, 1)), (Health::Healthy, Health::Healthy));
        assert_eq!(of(1, 2), Health::Urgent);
    }

    #[test]
    fn the_first_does_not_wait_and_the_others_wait_their_turn() {
        assert_eq!(turn_secs(Health::Repairing, 0, 86_400, 1000), 0);
        assert_eq!(turn_secs(Health::Repairing, 3, 86_400, 500), 1800);
        assert_eq!(turn_secs(Health::Urgent, 3, 86_400, 500), 360);
        assert_eq!(turn_secs(Health::Repairing, 4, 10, 500), 4, "seconds in tests");
    }

    #[test]
    fn tries_come_slower_and_never_stop() {
        let waits: Vec<u64> = [0, 1, 5, 6, u32::MAX].map(back_off_secs).to_vec();
        assert_eq!(waits, [60, 120, 1920, 3600, 3600]);
    }

    #[test]
    fn a_budget_may_be_overdrawn_and_then_waits() {
        let mut budget = Budget::new(100, 1000, 50);
        assert_eq!(budget.wait_secs(50), 0);
        budget.spend(5_000);
        assert_eq!(budget.wait_secs(50), 41);
        assert_eq!(budget.wait_secs(90), 1);
        assert_eq!(budget.wait_secs(91), 0);
        budget.spend(100);
        assert_eq!(budget.wait_secs(1_000_000), 0);
        budget.spend(999);
        assert_eq!(budget.wait_secs(1_000_000), 0, "no more than so many at once, and one is left");
        budget.spend(1);
        assert_eq!(budget.wait_secs(1_000_000), 1);
    }
}
