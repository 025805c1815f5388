//! A model of a large network for years: no bytes and no messages, but the same decisions. Farmers end for good and are
//! replaced, go away and return; custodians notice after the grace and repair within a budget; chunks that keep fewer
//! pieces than needed are lost. It answers how much is lost, and what repair costs, in a network of a size that nobody
//! can try out.
//!
//! What it assumes, beyond what its options say:
//! - lifetimes are exponential, and farmers end independently: no bad update, no fire, no farmer that lies;
//! - outages come every 3 days and last 2 hours in the median (log-normal, one in 150 longer than a day). The long ones
//!   are played; of the short ones only who is out when it matters;
//! - every farmer has room, is as large as the others and alone in its failure domain;
//! - every chunk is a full one: 16 MiB, with pieces of 1 MiB;
//! - a custodian does one repair at a time, moves its bytes at the uplink's speed, and spends [`REPAIR_SHARE`] of it.
//!
//! Not here: the client and the farmers themselves ([`crate::endure`] runs those).

mod chunks;
mod draw;
mod farmers;
mod placing;
mod queue;
mod world;

use dsn_core::{
    descriptor::Code,
    durability::{Churn, YEAR_DAYS, repair_traffic, yearly_loss_with},
    limits::PIECE_MAX_BYTES,
    redundancy::{Class, Target, must_vanish, target},
};
use thiserror::Error;

use self::{
    chunks::CHUNKS_MAX,
    draw::{float, secs_to_days, years_to_secs},
    world::{CODE, Model, Pace},
};

/// Per cent of an uplink that repair may use.
pub const REPAIR_SHARE: u64 = 20;

/// Farmers that the model can have: about a gigabyte of them.
pub const NODES_MAX: u32 = 4_000_000;

/// Chunks that the model can have: with 40 pieces each they need 4 GB, and the first placing a quarter of an hour.
pub const MODEL_CHUNKS_MAX: u32 = 10_000_000;

/// Days of a farmer's life: below the grace nobody would notice that one was there, above 10,000 years nothing happens.
pub const MTTF_DAYS: std::ops::RangeInclusive<f64> = 1.0..=3_652_500.0;

/// Years that can be played: from a few days on.
pub const YEARS: std::ops::RangeInclusive<f64> = 0.01..=1000.0;

/// Megabits a second of an uplink.
pub const UPLINK_MBITS: std::ops::RangeInclusive<u32> = 1..=100_000;

/// Pieces that end with their farmers, over the whole story: an hour or so of computing.
const LOST_PIECES_MAX: f64 = 4e9;

/// Farmers that end over the whole story, for the same reason.
const ENDS_MAX: f64 = 4e8;

const _: () = assert!(MODEL_CHUNKS_MAX <= CHUNKS_MAX);
const _: () = assert!(NODES_MAX < 1 << 23, "a failure domain is a number of 24 bits, and the dead need some too");

/// What is played.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ModelOptions {
    /// Farmers, always so many.
    pub nodes: u32,
    /// Mean life of a farmer, in days.
    pub mttf_days: f64,
    /// Years.
    pub years: f64,
    /// The same seed gives the same story.
    pub seed: u64,
    /// How redundant the chunks are.
    pub class: Class,
    /// How many there are.
    pub chunks: u32,
    /// Megabits that a farmer can send in a second.
    pub uplink_mbits: u32,
    /// Whether farmers that live are out now and then.
    pub outages: bool,
}

/// Options that make no sense, or no end.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum ModelError {
    /// Too few farmers for any promise.
    #[error("of {nodes} farmers none may vanish: a put that keeps its promise needs 2 or more")]
    TooFewNodes {
        /// Farmers asked for.
        nodes: u32,
    },
    /// A number outside of what can be played.
    #[error("{what} must be from {min} to {max}, not {given}")]
    OutOfRange {
        /// Which one.
        what: &'static str,
        /// What was given.
        given: f64,
        /// At least this.
        min: f64,
        /// At most this.
        max: f64,
    },
    /// It would take hours.
    #[error("{ends:.0} farmers would end, and {pieces:.0} pieces with them: too much to play")]
    TooLong {
        /// Ends of farmers.
        ends: f64,
        /// Pieces on them.
        pieces: f64,
    },
}

/// What came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelReport {
    /// What was played.
    pub options: ModelOptions,
    /// What a chunk is placed and repaired to.
    pub target: Target,
    /// Farmers that may vanish at once after the puts, whichever they are, and every chunk can be read.
    pub may_vanish: usize,
    /// What was counted.
    pub tally: Tally,
    /// Mean days from the loss that calls for repair to its end; when there was no repair, the grace and the transfer.
    pub repair_days: f64,
    /// Whether `repair_days` was measured.
    pub repair_was_seen: bool,
    /// The loss of a chunk within a year by the formula of [`dsn_core::durability`], for these `repair_days`.
    pub estimated_loss: f64,
}

/// What is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// Farmers that ended.
    pub ends: u64,
    /// Absences longer than the grace.
    pub absences: u64,
    /// Pieces that ended with their farmers.
    pub lost_pieces: u64,
    /// Chunks with fewer pieces than needed.
    pub lost_chunks: u64,
    /// Fewest pieces that any chunk had.
    pub fewest: usize,
    /// Repairs done.
    pub repairs: u64,
    /// Bytes of pieces that they fetched and sent.
    pub repair_bytes: u64,
    /// Repairs that were urgent.
    pub urgent: u64,
    /// Repairs that had to be tried again: too few holders answered, or nobody had room.
    pub failed: u64,
    mended: u64,
    mending_secs: u64,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            ends: 0,
            absences: 0,
            lost_pieces: 0,
            lost_chunks: 0,
            fewest: usize::MAX,
            repairs: 0,
            repair_bytes: 0,
            urgent: 0,
            failed: 0,
            mended: 0,
            mending_secs: 0,
        }
    }
}

impl Default for ModelOptions {
    /// A year of 1,000 farmers that live for a year.
    fn default() -> Self {
        Self {
            nodes: 1000,
            mttf_days: YEAR_DAYS,
            years: 1.0,
            seed: 1,
            class: Class::Normal,
            chunks: 100_000,
            uplink_mbits: 10,
            outages: true,
        }
    }
}

impl ModelOptions {
    /// What a chunk is placed and repaired to.
    pub fn target(&self) -> Target {
        target(CODE, self.class, self.nodes as usize)
    }

    /// Bytes that a farmer can send in a second.
    pub fn uplink_bytes_per_sec(&self) -> u64 {
        u64::from(self.uplink_mbits) * 1_000_000 / 8
    }

    /// Bytes of them that repair may use.
    pub fn repair_bytes_per_sec(&self) -> u64 {
        self.uplink_bytes_per_sec() * REPAIR_SHARE / 100
    }

    /// Repairs that are to be expected, about; what a run takes goes with them.
    pub fn expected_repairs(&self) -> f64 {
        let target = self.target();
        let share = float(u64::try_from(target.place).unwrap_or(0))
            / float(u64::try_from(target.place - target.repair_at).unwrap_or(1));
        f64::from(self.chunks) * self.years * YEAR_DAYS / self.mttf_days * share
    }

    fn piece_bytes(&self, pieces: usize) -> u64 {
        u64::try_from(pieces * PIECE_MAX_BYTES).expect("pieces of one chunk")
    }

    fn check(&self) -> Result<(), ModelError> {
        if (self.nodes as usize) <= must_vanish(self.nodes as usize) {
            return Err(ModelError::TooFewNodes { nodes: self.nodes });
        }
        let (mttf, uplink) = ((*MTTF_DAYS.start(), *MTTF_DAYS.end()), (*UPLINK_MBITS.start(), *UPLINK_MBITS.end()));
        for (what, given, min, max) in [
            ("the number of farmers", f64::from(self.nodes), 2.0, f64::from(NODES_MAX)),
            ("the number of chunks", f64::from(self.chunks), 1.0, f64::from(MODEL_CHUNKS_MAX)),
            ("a farmer's mean life in days", self.mttf_days, mttf.0, mttf.1),
            ("the number of years", self.years, *YEARS.start(), *YEARS.end()),
            ("an uplink's megabits a second", self.uplink_mbits.into(), uplink.0.into(), uplink.1.into()),
        ] {
            if !(min..=max).contains(&given) {
                return Err(ModelError::OutOfRange { what, given, min, max });
            }
        }
        let lives = self.years * YEAR_DAYS / self.mttf_days;
        let placed = f64::from(self.chunks) * float(u64::try_from(self.target().place).unwrap_or(0));
        let (ends, pieces) = (lives * f64::from(self.nodes), lives * placed);
        if ends > ENDS_MAX || pieces > LOST_PIECES_MAX { Err(ModelError::TooLong { ends, pieces }) } else { Ok(()) }
    }
}

/// Plays the story of a network.
///
/// # Errors
/// See [`ModelError`].
pub fn play_model(options: ModelOptions) -> Result<ModelReport, ModelError> {
    play_at(options, Pace::Real)
}

fn play_at(options: ModelOptions, pace: Pace) -> Result<ModelReport, ModelError> {
    options.check()?;
    let mut model = Model::new(options, options.target(), pace);
    let may_vanish = model.put_all();
    model.tally.fewest = model.target.place;
    model.play(years_to_secs(options.years));
    Ok(ModelReport::new(&model, may_vanish))
}

impl ModelReport {
    fn new(model: &Model, may_vanish: usize) -> Self {
        let (options, target, tally) = (model.options, model.target, model.tally.clone());
        let repair_was_seen = tally.mended > 0;
        let repair_days = if repair_was_seen {
            secs_to_days(float(tally.mending_secs) / float(tally.mended))
        } else {
            model.least_repair_days()
        };
        let churn = Churn { mttf_days: options.mttf_days, repair_days };
        let estimated_loss = yearly_loss_with(CODE, target, churn);
        Self { options, target, may_vanish, tally, repair_days, repair_was_seen, estimated_loss }
    }

    /// Chunks lost for each chunk and year: what was counted, or, where nothing was lost, the estimate.
    pub fn loss_per_chunk_year(&self) -> f64 {
        if self.tally.lost_chunks == 0 {
            return self.estimated_loss;
        }
        float(self.tally.lost_chunks) / (f64::from(self.options.chunks) * self.options.years)
    }

    /// Bytes stored on all farmers.
    pub fn stored_bytes(&self) -> u64 {
        u64::from(self.options.chunks) * self.options.piece_bytes(self.target.place)
    }

    /// Bytes of files.
    pub fn file_bytes(&self) -> u64 {
        u64::from(self.options.chunks) * self.options.piece_bytes(CODE.needed())
    }

    /// Bytes moved by repair for each byte stored and year.
    pub fn traffic(&self) -> f64 {
        float(self.tally.repair_bytes) / float(self.stored_bytes()) / self.options.years
    }

    /// The same by the formula.
    pub fn expected_traffic(&self) -> f64 {
        let churn = Churn { mttf_days: self.options.mttf_days, repair_days: self.repair_days };
        repair_traffic(CODE, self.target.place, self.target.repair_at, churn)
    }

    /// The part of a farmer's repair budget that was used, on average.
    pub fn budget_used(&self) -> f64 {
        let budget = f64::from(self.options.nodes) * float(self.options.repair_bytes_per_sec());
        float(self.tally.repair_bytes) / (budget * float(years_to_secs(self.options.years)))
    }

    /// Farmers that may vanish at once after a put of a file: its list of chunks has fewer copies than a chunk has pieces.
    pub fn file_may_vanish(&self) -> usize {
        let copies = target(Code::Rep, self.options.class, self.options.nodes as usize).place;
        self.may_vanish.min(copies - 1)
    }

    /// Pieces that a chunk needs.
    pub fn needed(&self) -> usize {
        CODE.needed()
    }
}

#[cfg(test)]
mod tests;
