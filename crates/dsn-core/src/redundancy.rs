//! How many pieces of a chunk are placed (`t`), when it is repaired (`r`), and how many farmers may vanish. The numbers
//! follow from the class asked for and the farmers there are; the CID never does. Not here: which farmer gets which piece
//! (`placement`).

use std::{fmt, str::FromStr};

use thiserror::Error;

use crate::{
    descriptor::Code,
    index_set::IndexSet,
    limits::{DATA_PIECES, TOTAL_PIECES},
    wire::WireError,
};

/// From this many farmers on, `t` no longer depends on their number.
const LARGE_NETWORK_FARMERS: usize = 20;

/// From this many farmers on, a put promises that any two may vanish; below it, any one.
const TWO_MAY_VANISH_FARMERS: usize = 5;

/// The redundancy a user asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// 1.5 times the file in a large network.
    Low,
    /// 2.5 times.
    #[default]
    Normal,
    /// 3 times.
    High,
}

/// Not the name of a class.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("redundancy {text:?} is none of low, normal, high")]
pub struct ParseClassError {
    /// What was given.
    pub text: String,
}

/// What to reach for one chunk. "Pieces" are copies, each on another farmer, for the `rep` code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// Pieces to place: `t`.
    pub place: usize,
    /// Repair starts when this many live pieces or fewer are left: `r`. A put succeeds with one more.
    pub repair_at: usize,
    /// Most pieces one farmer should hold.
    pub per_farmer: usize,
}

impl Class {
    pub(crate) fn number(self) -> u32 {
        match self {
            Self::Low => 1,
            Self::Normal => 2,
            Self::High => 3,
        }
    }

    pub(crate) fn from_number(found: u32) -> Result<Self, WireError> {
        match found {
            1 => Ok(Self::Low),
            2 => Ok(Self::Normal),
            3 => Ok(Self::High),
            _ => Err(WireError::Unknown { what: "class", found }),
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
        })
    }
}

impl FromStr for Class {
    type Err = ParseClassError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "low" => Ok(Self::Low),
            "normal" => Ok(Self::Normal),
            "high" => Ok(Self::High),
            _ => Err(ParseClassError { text: text.into() }),
        }
    }
}

/// How many farmers of `farmers` a put must survive the loss of: two, or one below five.
pub fn must_vanish(farmers: usize) -> usize {
    if farmers < TWO_MAY_VANISH_FARMERS { 1 } else { 2 }
}

/// What to reach for a chunk of `code` in `class` with `farmers` farmers (counted as at least one).
pub fn target(code: Code, class: Class, farmers: usize) -> Target {
    let farmers = farmers.max(1);
    match code {
        Code::Rep => {
            let copies = match class {
                Class::Low => 6,
                Class::Normal => 12,
                Class::High => 20,
            };
            let place = copies.min(farmers);
            Target { place, repair_at: place.div_ceil(2), per_farmer: 1 }
        }
        Code::Rs16Of48 => {
            let place = if farmers < LARGE_NETWORK_FARMERS {
                small_network_pieces(class, farmers)
            } else {
                match class {
                    Class::Low => 24,
                    Class::Normal => 40,
                    Class::High => TOTAL_PIECES,
                }
            };
            Target { place, repair_at: DATA_PIECES + (place - DATA_PIECES) / 2, per_farmer: place.div_ceil(farmers) }
        }
    }
}

/// `t` below twenty farmers, a multiple of their number, so that all hold equally many. One farmer alone gets `k`
/// pieces: more on the same disk protect against nothing.
fn small_network_pieces(class: Class, farmers: usize) -> usize {
    if farmers == 1 {
        return DATA_PIECES;
    }
    let vanish_well = |vanish: usize| DATA_PIECES.div_ceil(farmers - vanish) * farmers;
    let half = if farmers == 3 { 2 } else { farmers / 2 };
    match class {
        Class::Low => vanish_well(must_vanish(farmers)).max(24usize.next_multiple_of(farmers)),
        Class::Normal => vanish_well(half),
        Class::High => TOTAL_PIECES / farmers * farmers,
    }
}

/// How many of the holders may vanish, whichever they are, before the chunk cannot be rebuilt: the largest go first. When
/// two hold the same piece this is a lower bound. None when it cannot be rebuilt now.
pub fn may_vanish(code: Code, holders: impl IntoIterator<Item = IndexSet>) -> Option<usize> {
    let mut sets: Vec<_> = holders.into_iter().filter(|set| !set.is_empty()).collect();
    if code == Code::Rep {
        return sets.len().checked_sub(1);
    }
    let live = sets.iter().fold(IndexSet::EMPTY, |all, set| all.union(*set)).len();
    let mut spare = live.checked_sub(code.needed())?;
    sets.sort_unstable_by_key(|set| std::cmp::Reverse(set.len()));
    let vanishing = sets.iter().take_while(|set| {
        let left = spare.checked_sub(set.len());
        spare = left.unwrap_or(0);
        left.is_some()
    });
    Some(vanishing.count())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(place: usize, farmers: usize) -> Vec<IndexSet> {
        (0..farmers)
            .map(|f| (0..place).filter(|i| i % farmers == f).map(|i| u8::try_from(i).expect("below 48")).collect())
            .collect()
    }

    /// The table of the design: farmers, t of `normal`, how many may vanish.
    #[test]
    fn normal_redundancy_by_network_size() {
        for (farmers, place, vanish) in
            [(2, 32, 1), (3, 48, 2), (4, 32, 2), (5, 30, 2), (6, 36, 3), (12, 36, 6), (30, 40, 14), (100, 40, 24)]
        {
            let target = target(Code::Rs16Of48, Class::Normal, farmers);
            assert_eq!(target.place, place, "{farmers} farmers");
            assert_eq!(may_vanish(Code::Rs16Of48, spread(place, farmers)), Some(vanish), "{farmers} farmers");
        }
    }

    #[test]
    fn every_class_meets_the_exit_rule_from_two_farmers_on() {
        for farmers in 2..200 {
            let mut last = 0;
            for class in [Class::Low, Class::Normal, Class::High] {
                let target = target(Code::Rs16Of48, class, farmers);
                assert!((24..=TOTAL_PIECES).contains(&target.place), "{farmers} {class}: {target:?}");
                assert!(target.repair_at < target.place);
                let vanish = may_vanish(Code::Rs16Of48, spread(target.place, farmers));
                assert!(vanish >= Some(must_vanish(farmers)), "{farmers} {class}: {vanish:?}");
                assert!(farmers >= LARGE_NETWORK_FARMERS || target.place.is_multiple_of(farmers), "{farmers} {class}");
                assert!(target.place >= last || farmers < LARGE_NETWORK_FARMERS);
                last = target.place;
            }
        }
    }

    #[test]
    fn copies_of_a_root_chunk() {
        let normal = target(Code::Rep, Class::Normal, 100);
        assert_eq!((normal.place, normal.repair_at, normal.per_farmer), (12, 6, 1));
        assert_eq!(target(Code::Rep, Class::High, 3).place, 3);
        assert_eq!(may_vanish(Code::Rep, [IndexSet::one(0); 12]), Some(11));
        assert_eq!(may_vanish(Code::Rep, []), None);
        assert_eq!(may_vanish(Code::Rs16Of48, spread(15, 5)), None);
    }
}
