//! Who brings names that are not kept yet, and how many: making a name costs nothing, and whoever makes many may take only a
//! part of the room that there is for all. Names that are kept are no newcomers: their records come as often as they like.

use std::collections::BTreeMap;

use dsn_core::node_id::NodeId;

/// Nodes that are counted; those that come when there are so many within an hour count as one.
pub(crate) const BRINGERS_MAX: usize = 1024;

const HOUR_SECS: u64 = 3600;

/// How many new names each node has brought within this hour.
#[derive(Debug, Default)]
pub(crate) struct Newcomers {
    hour: u64,
    brought: BTreeMap<NodeId, u32>,
    others: u32,
}

impl Newcomers {
    /// New names that one node may bring in an hour: a sixteenth of all that are kept, and more than a person makes. Of a
    /// custodian that hands over more the others are not taken now; their owners renew them within six hours.
    pub(crate) const OF_ONE_MAX: u32 = 4096;

    /// Counts a new name; says whether there is room for it.
    pub(crate) fn welcome(&mut self, from: NodeId, now: u64) -> bool {
        if self.hour != now / HOUR_SECS {
            *self = Self { hour: now / HOUR_SECS, ..Self::default() };
        }
        let is_counted = self.brought.len() < BRINGERS_MAX || self.brought.contains_key(&from);
        let brought = if is_counted { self.brought.entry(from).or_default() } else { &mut self.others };
        *brought = brought.saturating_add(1);
        *brought <= Self::OF_ONE_MAX
    }

    /// Nodes that are counted.
    pub(crate) fn len(&self) -> usize {
        self.brought.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(number: u32) -> NodeId {
        let mut id = [0; 32];
        id[..4].copy_from_slice(&number.to_be_bytes());
        NodeId(id)
    }

    #[test]
    fn who_has_brought_many_waits_for_the_next_hour_and_others_do_not() {
        let mut newcomers = Newcomers::default();
        assert!((0..Newcomers::OF_ONE_MAX).all(|_| newcomers.welcome(node(1), 7200)));
        assert!(!newcomers.welcome(node(1), 7200) && !newcomers.welcome(node(1), 10_799));
        assert!(newcomers.welcome(node(2), 7200));
        assert!(newcomers.welcome(node(1), 10_800));
    }

    #[test]
    fn a_crowd_that_nobody_can_count_shares_what_one_may_bring() {
        let mut newcomers = Newcomers::default();
        let crowd = u32::try_from(BRINGERS_MAX).expect("small");
        assert!((0..crowd).all(|number| newcomers.welcome(node(number), 0)));
        let more = (crowd..crowd + Newcomers::OF_ONE_MAX + 10).filter(|number| newcomers.welcome(node(*number), 0));
        assert_eq!(more.count(), Newcomers::OF_ONE_MAX as usize);
        assert!(newcomers.welcome(node(0), 0), "who is counted is not one of the crowd");
        assert_eq!(newcomers.len(), BRINGERS_MAX);
    }
}
