//! Which small files share a chunk. They lie one after the other in the order of the folder; a pack ends after a file whose
//! hash says so, after 4 MiB on average, or before one that no longer fits. So a file that is new, changed or gone changes
//! the pack it is in, and the next ones are those that there were.

use crate::{
    hash::Hash,
    limits::{CHUNK_MAX_BYTES, INLINE_MAX_BYTES},
};

/// Bytes after which a pack ends on average: few chunks, and little to send again when a file changes.
const MEAN_BYTES: u64 = 4 * 1024 * 1024;

/// Entries after which a pack ends: so many wait in memory for the name of their chunk.
const ENTRIES_MAX: usize = 16_384;

/// Lays small files into packs.
#[derive(Clone, Debug)]
pub struct Packing {
    max: usize,
    bytes: usize,
    entries: usize,
}

impl Packing {
    /// Into packs of at most so many bytes: a chunk's, or what a chunk holds sealed.
    pub fn within(max: usize) -> Self {
        Self { max: max.min(CHUNK_MAX_BYTES), bytes: 0, entries: 0 }
    }

    /// Whether the pack has to end before a file of so many bytes.
    pub fn ends_before(&self, len: usize) -> bool {
        self.bytes + len > self.max
    }

    /// A small file is laid into it; says where. Whether the pack ends now: [`Packing::ends_after`].
    pub fn lay(&mut self, len: usize) -> u32 {
        debug_assert!(len <= INLINE_MAX_BYTES && !self.ends_before(len), "who asks before it lays");
        let offset = u32::try_from(self.bytes).expect("at most 16 MiB");
        self.bytes += len;
        offset
    }

    /// An entry comes, with or without bytes here. Says whether the pack ends after it.
    pub fn ends_after(&mut self, content: &[u8]) -> bool {
        self.entries += 1;
        self.entries >= ENTRIES_MAX || (!content.is_empty() && is_end(content))
    }

    /// A new pack begins.
    pub fn begin(&mut self) {
        (self.bytes, self.entries) = (0, 0);
    }
}

/// Whether a pack ends after a file: the more bytes it has, the more likely.
fn is_end(content: &[u8]) -> bool {
    let Hash(hash) = Hash::of(content);
    let draw = u64::from_be_bytes(*hash.first_chunk().expect("32 bytes"));
    draw < u64::MAX / MEAN_BYTES * content.len() as u64
}
