//! Promises, and how a simulation says that one was broken.

use dsn_core::{hash::ChunkId, node_id::NodeId};

use crate::fault::Lie;

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A file read as something else.
    WrongBytes {
        /// Its place among the files of the scenario.
        file: usize,
    },
    /// A file that had to be readable was not.
    Unreadable {
        /// Its place among the files of the scenario.
        file: usize,
        /// What `get` said.
        error: String,
        /// Farmers that had failed.
        failed: usize,
        /// Farmers that `put` said may fail.
        may_vanish: usize,
    },
    /// A farmer had signed for a piece that its disk did not have.
    NotDurable {
        /// The farmer.
        farmer: NodeId,
        /// The chunk.
        chunk: ChunkId,
    },
    /// A chunk was still in want of repair long after the last fault.
    NotRecovered {
        /// Its file's place among the files of the scenario.
        file: usize,
        /// The chunk.
        chunk: ChunkId,
        /// Pieces on honest disks.
        live: usize,
    },
    /// A put said that more may be lost than its pieces and locators bear.
    Promised {
        /// Its file's place among the files of the scenario.
        file: usize,
        /// The chunk.
        chunk: ChunkId,
        /// Farmers that it said may vanish.
        may_vanish: usize,
        /// Farmers that may, by the pieces on their disks.
        bears: usize,
        /// Farmers that keep the locator.
        keepers: usize,
    },
    /// A farmer deleted what was given up before its time in the trash was over.
    DeletedEarly {
        /// The farmer.
        farmer: NodeId,
        /// The chunk.
        chunk: ChunkId,
    },
    /// A farmer still has what was given up long ago.
    NotDeleted {
        /// The farmer.
        farmer: NodeId,
        /// The chunk.
        chunk: ChunkId,
    },
    /// Farmers hold pieces of a file for hours without a lease of its owner.
    NoLease {
        /// Farmers and chunks.
        pairs: usize,
        /// One of the chunks.
        chunk: ChunkId,
    },
    /// A chunk was repaired although its holders were only away, or so many at once that it had to wait.
    Hasty {
        /// The chunk.
        chunk: ChunkId,
        /// Pieces placed.
        placed: usize,
        /// Hours for which the holders were away.
        hours: u64,
    },
    /// Farmers of one failure domain hold more of a chunk than they may.
    Crowded {
        /// The chunk.
        chunk: ChunkId,
        /// Pieces in that domain.
        pieces: usize,
        /// Pieces that may be.
        most: usize,
    },
    /// Chunks wait for repair although nothing is missing.
    StillWaiting {
        /// Chunks, counted for each farmer that waits.
        chunks: usize,
    },
    /// The custodians do not know of the pieces that are there.
    NotKnown {
        /// Its file's place among the files of the scenario.
        file: usize,
        /// What `stat` said.
        said: String,
    },
    /// Custodians do not keep a chunk's locator.
    NotKept {
        /// The chunk.
        chunk: ChunkId,
        /// Honest custodians that are up.
        custodians: usize,
        /// Those without the locator.
        without: usize,
    },
    /// A farmer that does not give what it signed for is trusted by all.
    Trusted {
        /// The liar.
        farmer: NodeId,
        /// How it lies.
        lie: Lie,
    },
    /// Pieces that rotted were given up and never brought back.
    NotHealed {
        /// Pieces given up.
        pieces: usize,
    },
    /// A farmer keeps more for others than its bound.
    Overfull {
        /// The farmer.
        farmer: NodeId,
        /// What it keeps.
        what: &'static str,
        /// How many of them.
        used: usize,
    },
    /// Repair moved more than the losses explain.
    TooMuchRepair {
        /// Bytes moved.
        moved_bytes: u64,
        /// Bytes of pieces that were lost or long away.
        lost_bytes: u64,
    },
}
