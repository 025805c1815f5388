//! Why a put, a get or a stat failed: one enum each, with the numbers a user needs to act.

use std::collections::BTreeSet;

use dsn_core::{
    erasure::DecodeError,
    folder::EntryPath,
    hash::ChunkId,
    manifest::{ManifestError, TooLongError},
    ports::NetworkError,
};
use thiserror::Error;

use crate::{
    fetch::{HolderAnswer, Miss},
    input::InputError,
    output::OutputError,
    watchdog::Stalled,
};

/// Why a file could not be put.
#[derive(Debug, Error)]
pub enum PutError {
    /// The file could not be read to its end as it was at the start.
    #[error("cannot read the file")]
    Input(#[source] InputError),
    /// Longer than any manifest can name.
    #[error(transparent)]
    TooLong(#[from] TooLongError),
    /// Nobody of the network answered.
    #[error("no farmer can be reached")]
    NoFarmers(#[source] Option<NetworkError>),
    /// Too few farmers to keep the promise of `put`.
    #[error("{have} farmers answer, at least {need} are needed")]
    TooFewFarmers {
        /// Farmers with room that answer.
        have: usize,
        /// Farmers needed.
        need: usize,
    },
    /// The network is too full.
    #[error("the file needs {needs} bytes, the network offers {offers}")]
    NeedsSpace {
        /// Bytes of all pieces.
        needs: u64,
        /// Bytes free on all farmers.
        offers: u64,
    },
    /// Too few pieces of a chunk found a place.
    #[error(
        "chunk {number}: {stored} of {wanted} pieces stored, {needed} needed; {farmers} farmers answer, {full} have no room for more"
    )]
    NotEnoughPieces {
        /// The chunk's place in the file, from 1.
        number: u64,
        /// Pieces with receipts.
        stored: usize,
        /// Pieces aimed at.
        wanted: usize,
        /// Pieces that would have been enough.
        needed: usize,
        /// Farmers still answering.
        farmers: usize,
        /// Of these, those that have no room, or none for this owner.
        full: usize,
        /// What a firewall said, if one did.
        #[source]
        firewall: Option<NetworkError>,
    },
    /// Enough pieces, but on too few farmers to lose any.
    #[error("chunk {number}: the pieces lie on too few farmers: any {may_vanish} may vanish, {needed} must be able to")]
    TooFewHolders {
        /// The chunk's place in the file, from 1.
        number: u64,
        /// Farmers that may vanish as things are.
        may_vanish: usize,
        /// Farmers that must be able to vanish.
        needed: usize,
    },
    /// Too few custodians keep a chunk's locator.
    #[error("chunk {number}: {kept} custodians keep its locator, {needed} needed")]
    NotPublished {
        /// The chunk's place in the file, from 1.
        number: u64,
        /// Custodians that keep it.
        kept: usize,
        /// Custodians needed.
        needed: usize,
    },
    /// Too few farmers confirmed the end of the upload.
    #[error("{confirmed} of {farmers} farmers confirmed the end of the put")]
    NotCommitted {
        /// Farmers that confirmed.
        confirmed: usize,
        /// Farmers that hold pieces of the file.
        farmers: usize,
    },
    /// Nothing moved for too long.
    #[error("no progress for {secs} s; {doing}")]
    Stalled {
        /// Seconds without progress.
        secs: u64,
        /// Who was asked, and what they answered.
        doing: String,
    },
    /// The network failed as a whole.
    #[error("the network failed")]
    Network(#[from] NetworkError),
}

/// Holders that did not answer.
fn offline(holders: &[HolderAnswer]) -> usize {
    let silent = holders.iter().filter(|holder| matches!(holder.miss, Miss::Unanswered(_)));
    silent.map(|holder| holder.node).collect::<BTreeSet<_>>().len()
}

/// Why a file could not be fetched.
#[derive(Debug, Error)]
pub enum GetError {
    /// Nobody knows it.
    #[error("not found: none of the {asked} nodes asked knows it")]
    NotFound {
        /// Nodes that answered that they do not know it.
        asked: usize,
    },
    /// Too few pieces of a chunk are left.
    #[error(
        "cannot rebuild chunk {number} of {of}: {found} of {needed} pieces found; {} known holders offline",
        offline(holders)
    )]
    NotEnoughPieces {
        /// The chunk's place in the file, from 1; 0 is the manifest.
        number: u64,
        /// Chunks of the file.
        of: u64,
        /// Different pieces found.
        found: usize,
        /// Pieces needed.
        needed: usize,
        /// What the holders answered from which something did not come.
        holders: Vec<HolderAnswer>,
    },
    /// A chunk of the file is known to nobody.
    #[error("cannot rebuild chunk {number} of {of}: none of the {asked} nodes asked knows who holds it")]
    ChunkNotFound {
        /// The chunk's place in the file, from 1.
        number: u64,
        /// Chunks of the file.
        of: u64,
        /// Nodes asked.
        asked: usize,
    },
    /// What the CID names is not a file of ours.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The manifest claims more chunks than a reader holds the names of.
    #[error("malformed manifest: the names of its chunks would take {bytes} bytes of memory")]
    TooManyNames {
        /// Bytes of the names.
        bytes: u64,
    },
    /// The chunk was made wrong by whoever put it.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The manifest names a chunk of another length or code than its place asks for.
    #[error("malformed manifest: chunk {chunk} does not fit its place")]
    WrongChunk {
        /// The chunk.
        chunk: ChunkId,
    },
    /// What only a key opens, and none was given.
    #[error("it is sealed; a CID alone does not open it")]
    KeyNeeded,
    /// It was sealed with another key, or not at all.
    #[error("the key is not the one that this was sealed with")]
    WrongKey,
    /// Sealed bytes that do not open with their key.
    #[error("sealed bytes do not open with their key")]
    Sealed,
    /// A folder has nothing of that path.
    #[error("{}", if *is_file { format!("the CID names a file, and {path} would be in a folder") } else { format!("the folder has no {path}") })]
    NoSuchPath {
        /// What was asked for.
        path: EntryPath,
        /// Whether the CID names a file, so that no path can be in it.
        is_file: bool,
    },
    /// A folder where a file was wanted.
    #[error("it is a folder")]
    Folder,
    /// A folder with an entry that leads elsewhere or stands where it may not.
    #[error("malformed folder: the entry {path} is out of order, there twice, or in no folder")]
    BadEntry {
        /// The entry.
        path: EntryPath,
    },
    /// A folder whose files have more bytes than it says, or fewer.
    #[error("malformed folder: its files have not the {stated} bytes that it states")]
    NotAsStated {
        /// What it says.
        stated: u64,
    },
    /// A file of a folder failed.
    #[error("cannot get {path}")]
    Within {
        /// The file.
        path: EntryPath,
        /// Why.
        #[source]
        error: Box<GetError>,
    },
    /// A range of the file was wanted that it has not.
    #[error("the range is not within the file, which has {total} bytes")]
    BeyondEnd {
        /// Bytes of the file.
        total: u64,
    },
    /// The result cannot be written.
    #[error("cannot write the file")]
    Output(#[source] OutputError),
    /// Nothing moved for too long.
    #[error("no progress for {secs} s; {doing}")]
    Stalled {
        /// Seconds without progress.
        secs: u64,
        /// Who was asked, and what they answered.
        doing: String,
    },
    /// The network failed as a whole.
    #[error("the network failed")]
    Network(#[from] NetworkError),
}

impl From<Stalled> for GetError {
    fn from(Stalled { secs, doing }: Stalled) -> Self {
        Self::Stalled { secs, doing }
    }
}

impl From<Stalled> for RepairError {
    fn from(stalled: Stalled) -> Self {
        Self::Get(stalled.into())
    }
}

/// Why a chunk could not be repaired.
#[derive(Debug, Error)]
pub enum RepairError {
    /// Nobody wants it any more: no holder showed a lease that holds.
    #[error("no holder has a lease of the chunk that holds")]
    NoLease,
    /// Nobody has room for more of it.
    #[error("no farmer that lacks pieces of the chunk has room")]
    NoRoom,
    /// Whoever put it committed to pieces that do not belong together; nothing can be done.
    #[error("malformed: the chunk's pieces are not what its descriptor says")]
    Malformed,
    /// Too few pieces are left, or they did not come.
    #[error(transparent)]
    Get(#[from] GetError),
    /// The network failed as a whole.
    #[error("the network failed")]
    Network(#[from] NetworkError),
}

/// Why the state of a file could not be told.
#[derive(Debug, Error)]
pub enum StatError {
    /// The file's manifest could not be read.
    #[error(transparent)]
    Get(#[from] GetError),
}
