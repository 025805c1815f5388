//! Where a farmer keeps its pieces, descriptors, locators and leases. What `put` has returned is on durable storage and
//! survives a crash at any instant; the used-space counter changes in the same atomic step as the pieces.

use async_trait::async_trait;
use bytes::Bytes;
use thiserror::Error;

use crate::{
    descriptor::Descriptor, hash::ChunkId, index_set::IndexSet, lease::VerifiedLease, locator::Locator,
    node_id::NodeId, piece::VerifiedPiece, redundancy::Class, rpc::PutId,
};

/// A piece to keep, with what is to be remembered of its upload.
#[derive(Clone, Debug)]
pub struct NewPiece {
    /// Describes the piece's chunk; kept beside it.
    pub descriptor: Descriptor,
    /// The piece.
    pub piece: VerifiedPiece,
}

/// Pieces of one message, kept together or not at all.
#[derive(Clone, Debug)]
pub struct PutBatch {
    /// The upload, whose provisional lease is written with every chunk.
    pub put_id: PutId,
    /// Whose lease that is.
    pub owner: NodeId,
    /// The redundancy asked for.
    pub class: Class,
    /// Unix seconds until which the provisional lease holds.
    pub lease_until: u64,
    /// The pieces; empty with `chunks` set when only a lease is to be added.
    pub pieces: Vec<NewPiece>,
    /// Chunks already held that get the lease too.
    pub chunks: Vec<ChunkId>,
}

/// What a store knows of one chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredChunk {
    /// Its descriptor.
    pub descriptor: Descriptor,
    /// The pieces held.
    pub indices: IndexSet,
    /// The highest class any offer of it asked for.
    pub class: Class,
}

/// One chunk and the pieces of it held after a `put`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkHoldings {
    /// The chunk.
    pub chunk: ChunkId,
    /// All pieces of it now on durable storage.
    pub indices: IndexSet,
    /// The highest class any offer of it asked for.
    pub class: Class,
    /// A number higher than that of any earlier `put` of this store, for the receipt.
    pub seq: u64,
}

/// How many chunks have a lease after a commit or a renewal; the same when it is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BoundChunks(pub u32);

/// A store's space.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Space {
    /// Bytes of all pieces held.
    pub used_bytes: u64,
    /// Pieces held.
    pub pieces: u64,
    /// Locators kept.
    pub locators: u64,
}

/// Keeps pieces and what belongs to them.
#[async_trait]
pub trait PieceStore: Send + Sync + 'static {
    /// Keeps pieces and leases, all or none, durably; pieces already held are not written again, and a chunk in the trash
    /// is out of it in the same step. Answers, for each chunk named in order of first appearance, what is held of it now.
    /// Dropping the future does not undo it.
    async fn put(&self, batch: PutBatch) -> Result<Vec<ChunkHoldings>, StoreError>;

    /// A piece's bytes; none when it is not held. Bytes that fail the store's checksum are [`StoreError::Corrupt`], and
    /// the piece is no longer held from then on.
    async fn piece(&self, chunk: ChunkId, index: u8) -> Result<Option<Bytes>, StoreError>;

    /// What is known of each chunk, in order.
    async fn chunks(&self, chunks: &[ChunkId]) -> Result<Vec<Option<StoredChunk>>, StoreError>;

    /// Keeps these locators durably, each in place of an older one of its chunk.
    async fn put_locators(&self, locators: Vec<Locator>) -> Result<(), StoreError>;

    /// The locators of these chunks, in order.
    async fn locators(&self, chunks: &[ChunkId]) -> Result<Vec<Option<Locator>>, StoreError>;

    /// Gives the chunks of an upload by `owner` these leases in place of the provisional one, durably; answers for the
    /// first of them. Of two leases of one owner and root, the one issued later stays.
    async fn bind(&self, put_id: PutId, owner: NodeId, leases: Vec<VerifiedLease>) -> Result<BoundChunks, StoreError>;

    /// The store's space now.
    fn space(&self) -> Space;
}

/// Why a store did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StoreError {
    /// The piece's bytes are damaged on disk.
    #[error("piece {index} of chunk {chunk} is damaged on disk")]
    Corrupt {
        /// The chunk.
        chunk: ChunkId,
        /// The piece.
        index: u8,
    },
    /// The disk, or what manages it, failed.
    #[error("the store failed to {action}: {reason}")]
    Io {
        /// What was being done.
        action: &'static str,
        /// What the system said.
        reason: String,
    },
    /// No room on the disk.
    #[error("the disk is full")]
    DiskFull,
    /// The file system takes no writes: the system has made it read-only, on an error of the disk or on command.
    #[error("the file system is read-only")]
    ReadOnly,
    /// The store is closed.
    #[error("the store is closed")]
    Closed,
}
