//! A set of piece indices, 0 to 47, as one word: what a receipt signs, an offer asks for and a farmer holds.

use std::{fmt, str::FromStr};

use thiserror::Error;

use crate::limits::TOTAL_PIECES;

/// A set of piece indices below [`TOTAL_PIECES`].
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IndexSet(u64);

impl IndexSet {
    /// No index.
    pub const EMPTY: Self = Self(0);

    /// The indices below `n`.
    ///
    /// # Panics
    /// When `n` exceeds [`TOTAL_PIECES`].
    pub fn below(n: usize) -> Self {
        assert!(n <= TOTAL_PIECES, "no piece has index {n}");
        Self((1u64 << n) - 1)
    }

    /// The set with bit `i` for index `i`; none when a bit beyond the last index is set.
    pub fn from_bits(bits: u64) -> Option<Self> {
        (bits >> TOTAL_PIECES == 0).then_some(Self(bits))
    }

    /// Bit `i` for index `i`.
    pub fn bits(self) -> u64 {
        self.0
    }

    /// The set of one index.
    ///
    /// # Panics
    /// When `index` is no piece's.
    pub fn one(index: u8) -> Self {
        assert!(usize::from(index) < TOTAL_PIECES, "no piece has index {index}");
        Self(1 << index)
    }

    /// How many.
    pub fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether `index` is in the set.
    pub fn contains(self, index: u8) -> bool {
        usize::from(index) < TOTAL_PIECES && self.0 & (1 << index) != 0
    }

    /// Adds an index.
    pub fn insert(&mut self, index: u8) {
        *self = self.union(Self::one(index));
    }

    /// Takes an index out.
    pub fn remove(&mut self, index: u8) {
        *self = self.minus(Self::one(index));
    }

    /// Those in either.
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Those in both.
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Those here and not in `other`.
    pub fn minus(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether all of these are in `other`.
    pub fn is_subset(self, other: Self) -> bool {
        self.minus(other).is_empty()
    }

    /// The indices, ascending.
    pub fn iter(self) -> impl Iterator<Item = u8> {
        (0u8..).take(TOTAL_PIECES).filter(move |i| self.contains(*i))
    }

    /// The lowest `n` of them.
    pub fn first(self, n: usize) -> Self {
        self.iter().take(n).collect()
    }
}

impl FromIterator<u8> for IndexSet {
    fn from_iter<I: IntoIterator<Item = u8>>(indices: I) -> Self {
        indices.into_iter().fold(Self::EMPTY, |set, i| set.union(Self::one(i)))
    }
}

impl fmt::Debug for IndexSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// Why a text is no set of pieces.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{text:?} is no set of pieces: numbers from 0 to {}, such as 0-15 or 0-7,40-47", TOTAL_PIECES - 1)]
pub struct IndexSetError {
    /// The text.
    text: String,
}

/// Runs of neighbours: `0-7,40`. Nothing: `none`.
impl fmt::Display for IndexSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = *self;
        while let Some(first) = left.iter().next() {
            let last = (first..).take_while(|index| left.contains(*index)).last().unwrap_or(first);
            let comma = if left == *self { "" } else { "," };
            match last {
                _ if last == first => write!(f, "{comma}{first}")?,
                _ => write!(f, "{comma}{first}-{last}")?,
            }
            left = left.minus((first..=last).collect());
        }
        if self.is_empty() { f.write_str("none") } else { Ok(()) }
    }
}

/// What [`IndexSet`] is shown as, but for the empty set: people who name pieces name some.
impl FromStr for IndexSet {
    type Err = IndexSetError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |text: &str| text.parse::<u8>().ok().filter(|index| usize::from(*index) < TOTAL_PIECES);
        let run = |run: &str| match run.split_once('-') {
            Some((first, last)) => Some(number(first)?..=number(last)?).filter(|run| !run.is_empty()),
            None => number(run).map(|only| only..=only),
        };
        let runs: Option<Vec<_>> = text.split(',').map(|part| run(part.trim())).collect();
        let runs = runs.ok_or_else(|| IndexSetError { text: text.to_owned() })?;
        Ok(runs.into_iter().flatten().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_written_as_runs() {
        for (text, bits) in [("0-15", 0xffff), ("0", 1), ("0-7,40-47", 0xff00_0000_00ff), ("1,3,47", 1 << 47 | 10)] {
            let set: IndexSet = text.parse().expect("a set");
            assert_eq!((set.bits(), set.to_string().as_str()), (bits, text));
        }
        assert_eq!("3, 1-2,2".parse::<IndexSet>().expect("a set").to_string(), "1-3");
        assert_eq!(IndexSet::EMPTY.to_string(), "none");
        for wrong in ["", "48", "15-0", "-1", "1-", "a", "0-48", "none", "300", "1;2"] {
            assert!(wrong.parse::<IndexSet>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn set_algebra() {
        let a: IndexSet = [0, 3, 47].into_iter().collect();
        assert_eq!(a.len(), 3);
        assert!(a.contains(47) && !a.contains(46) && !a.contains(200));
        assert_eq!(a.minus(IndexSet::one(3)).iter().collect::<Vec<_>>(), [0, 47]);
        assert_eq!(a.first(2).iter().collect::<Vec<_>>(), [0, 3]);
        assert!(IndexSet::from_bits(1 << 48).is_none());
        assert_eq!(IndexSet::below(48).len(), 48);
    }
}
