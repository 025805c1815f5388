//! What goes wrong in a simulation, and how often it really did: a run whose fault injection did nothing proves nothing.

use std::collections::BTreeMap;

/// A way in which a farmer lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lie {
    /// Serves pieces with a flipped bit.
    WrongBytes,
    /// Signs for pieces and serves none.
    Drops,
    /// Knows of no locator, whatever it was given.
    HidesLocators,
    /// Answers with the locator of another chunk.
    OtherLocator,
    /// Says that it holds whatever it is asked about.
    ClaimsAll,
    /// Never yields to an intent to repair.
    ForgesIntents,
    /// Says that it has room, and takes nothing.
    Space,
    /// Answers with the first locator of a chunk it ever saw.
    StaleLocators,
    /// Answers with the first records of a name that anybody ever told.
    StaleNames,
    /// Answers with a newer record of a name, which it has signed itself.
    ForgesNames,
    /// Is of a version that knows no request for slices: it closes the stream.
    NoSlices,
}

/// Something that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A message vanished.
    Loss,
    /// A message took far longer than usual.
    Delay,
    /// A farmer stopped at once, and its disk stayed.
    Crash,
    /// A crashed farmer came back.
    Restart,
    /// A farmer stopped for good, with its disk.
    Leave,
    /// A farmer's disk was empty all at once.
    Wipe,
    /// A farmer was away for longer than the grace, and came back.
    Return,
    /// A farmer took requests and never answered.
    Hang,
    /// Two groups of nodes could not talk.
    Partition,
    /// A farmer had no room.
    Full,
    /// A store failed to write.
    WriteError,
    /// A farmer stopped before what it was told to keep was durable.
    UnsyncedLost,
    /// A farmer took its time over every request.
    SlowDisk,
    /// A farmer's clock went wrong.
    ClockSkew,
    /// A piece rotted on a disk.
    BitRot,
    /// A farmer lied.
    Lied(Lie),
}

/// How often each fault really happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FaultCounts(BTreeMap<Fault, u64>);

impl FaultCounts {
    /// Every kind that happens while files are put and got.
    pub const WITHIN_MINUTES: [Fault; 15] = [
        Fault::Loss,
        Fault::Delay,
        Fault::Crash,
        Fault::Restart,
        Fault::Leave,
        Fault::Hang,
        Fault::Partition,
        Fault::Full,
        Fault::WriteError,
        Fault::UnsyncedLost,
        Fault::BitRot,
        Fault::Lied(Lie::WrongBytes),
        Fault::Lied(Lie::Drops),
        Fault::Lied(Lie::HidesLocators),
        Fault::Lied(Lie::OtherLocator),
    ];

    /// Every kind that happens over a month beside those.
    pub const WITHIN_A_MONTH: [Fault; 8] = [
        Fault::SlowDisk,
        Fault::ClockSkew,
        Fault::Lied(Lie::Space),
        Fault::Lied(Lie::StaleLocators),
        Fault::Wipe,
        Fault::Return,
        Fault::Lied(Lie::ClaimsAll),
        Fault::Lied(Lie::ForgesIntents),
    ];

    pub(crate) fn count(&mut self, fault: Fault) {
        *self.0.entry(fault).or_insert(0) += 1;
    }

    /// Adds those of another run.
    pub fn add(&mut self, other: &Self) {
        other.0.iter().for_each(|(fault, n)| *self.0.entry(*fault).or_insert(0) += n);
    }

    /// How often a kind happened.
    pub fn of(&self, fault: Fault) -> u64 {
        self.0.get(&fault).copied().unwrap_or(0)
    }
}
