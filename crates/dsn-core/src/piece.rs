//! One coded output of a chunk. Bytes from anywhere are a [`Piece`]; only [`Piece::verify`] and our own encoder make a
//! [`VerifiedPiece`], and only that can be decoded, stored or counted.

use bytes::Bytes;
use thiserror::Error;

use crate::{
    descriptor::Descriptor,
    hash::{ChunkId, Hash},
};

/// Bytes that claim to be a piece.
#[derive(Clone, Debug)]
pub struct Piece {
    /// Its index in the chunk.
    pub index: u8,
    /// Its bytes.
    pub bytes: Bytes,
}

/// Bytes whose hash a descriptor commits to.
#[derive(Clone, Debug)]
pub struct VerifiedPiece {
    chunk: ChunkId,
    index: u8,
    bytes: Bytes,
}

/// Why bytes are not the piece they claim to be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PieceError {
    /// The chunk has no such piece.
    #[error("chunk {chunk} has no piece {index}")]
    Index {
        /// The chunk.
        chunk: ChunkId,
        /// The index claimed.
        index: u8,
    },
    /// Too short or too long.
    #[error("piece {index} of chunk {chunk} has {found} bytes instead of {expected}")]
    Length {
        /// The chunk.
        chunk: ChunkId,
        /// The index claimed.
        index: u8,
        /// Bytes found.
        found: usize,
        /// Bytes the descriptor says.
        expected: usize,
    },
    /// Other bytes.
    #[error("piece {index} of chunk {chunk} has the wrong hash")]
    Hash {
        /// The chunk.
        chunk: ChunkId,
        /// The index claimed.
        index: u8,
    },
}

impl Piece {
    /// Compares the bytes with what the descriptor commits to.
    ///
    /// # Errors
    /// See [`PieceError`].
    pub fn verify(self, descriptor: &Descriptor) -> Result<VerifiedPiece, PieceError> {
        let (chunk, index) = (descriptor.id(), self.index);
        let expected = descriptor.piece_hash(index).ok_or(PieceError::Index { chunk, index })?;
        if self.bytes.len() != descriptor.piece_len() {
            let (found, expected) = (self.bytes.len(), descriptor.piece_len());
            return Err(PieceError::Length { chunk, index, found, expected });
        }
        if Hash::of(&self.bytes) != expected {
            return Err(PieceError::Hash { chunk, index });
        }
        Ok(VerifiedPiece { chunk, index, bytes: self.bytes })
    }
}

impl VerifiedPiece {
    /// A piece whose hash our own encoder or decoder has just put into, or compared with, the descriptor.
    pub(crate) fn from_coder(chunk: ChunkId, index: u8, bytes: Bytes) -> Self {
        Self { chunk, index, bytes }
    }

    /// The chunk it belongs to.
    pub fn chunk(&self) -> ChunkId {
        self.chunk
    }

    /// Its index in the chunk.
    pub fn index(&self) -> u8 {
        self.index
    }

    /// Its bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}
