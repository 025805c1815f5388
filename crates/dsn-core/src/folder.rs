//! Folders: a whole tree of files as one file of ours. Its entries stand in one order, each with its path from the top; they
//! are cut into leaves, the leaves are named by inner nodes, and the topmost node is in the manifest. Small files lie
//! together in packs, chunks of their own; each larger one has the root chunk that it has when it is put alone.
//!
//! The same tree gives the same CID: the order, the cuts and the packs follow from names and bytes alone. Cuts fall where a
//! hash says so, so that a change moves only the cuts beside it and the rest is found to be there already.
//!
//! Not here: reading a disk, and storing (the client's `tree` and `put_folder`).

mod builder;
mod node;
mod pack;
mod path;

use bytes::Bytes;

pub use self::{
    builder::{Built, FolderBuilder, Placed, PlacedNode},
    node::{Child, Folder, FolderNode, Inner, Leaf, Secrecy},
    pack::Packing,
    path::{EntryPath, PathError},
};
use crate::{cid::Cid, hash::ChunkId, limits::INLINE_MAX_BYTES, seal::Key};

/// A file, a folder or a link of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// From the top, without a slash at either end.
    pub path: EntryPath,
    /// What it is.
    pub what: What,
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A folder; what is in it follows.
    Folder,
    /// A file.
    File {
        /// Whether its owner may execute it.
        executable: bool,
        /// Its bytes.
        place: Place,
    },
    /// A symbolic link: what it says, which nobody follows.
    Link(Bytes),
}

/// Where the bytes of a file are. Its length decides which of these it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// It has none.
    Nowhere,
    /// In a chunk shared with others: at most [`INLINE_MAX_BYTES`].
    Packed {
        /// The chunk.
        pack: Pack,
        /// Where in it.
        offset: u32,
        /// Bytes of the file.
        len: u32,
    },
    /// It is a file of its own, with more than that.
    Alone {
        /// Its name.
        cid: Cid,
        /// Bytes of the file.
        len: u64,
        /// What opens it, when it is sealed.
        key: Option<Key>,
    },
}

/// A chunk that small files share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pack {
    /// The chunk.
    pub chunk: ChunkId,
    /// Its bytes, before it was sealed.
    pub len: u32,
    /// What opens it, when it is sealed.
    pub key: Option<Key>,
}

impl Place {
    /// Bytes of the file.
    pub fn len(&self) -> u64 {
        match self {
            Self::Nowhere => 0,
            Self::Packed { len, .. } => u64::from(*len),
            Self::Alone { len, .. } => *len,
        }
    }

    /// Whether the file has no bytes.
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Nowhere)
    }

    fn is_valid(&self) -> bool {
        match self {
            Self::Nowhere => true,
            Self::Packed { pack, offset, len } => {
                let fits = offset.checked_add(*len).is_some_and(|end| end <= pack.len);
                fits && *len > 0 && *len as usize <= INLINE_MAX_BYTES
            }
            Self::Alone { len, .. } => *len > INLINE_MAX_BYTES as u64,
        }
    }
}

impl Entry {
    /// Bytes of the file; 0 of anything else.
    pub fn len(&self) -> u64 {
        match &self.what {
            What::File { place, .. } => place.len(),
            What::Folder | What::Link(_) => 0,
        }
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Sees that entries come in order and that each lies in a folder which came before it, so that a path never goes through
/// a link or a file.
#[derive(Clone, Debug, Default)]
pub struct Lineage {
    last: Option<(EntryPath, bool)>,
    base: Option<EntryPath>,
}

impl Lineage {
    /// For the entries below this folder only.
    pub fn below(folder: EntryPath) -> Self {
        Self { last: None, base: Some(folder) }
    }

    /// What is in this folder, the last entry, is left out.
    pub fn skip_within(&mut self, folder: &EntryPath) {
        self.last = Some((folder.clone(), true));
    }

    /// Whether this entry may follow those before it.
    pub fn accepts(&mut self, entry: &Entry) -> bool {
        let is_in_base = self.base.as_ref().is_none_or(|base| entry.path.is_in(base));
        // Whatever the entry before lies in is a folder, or it would not have been accepted.
        let is_folder = |parent: &EntryPath| {
            self.base.as_ref() == Some(parent)
                || self.last.as_ref().is_some_and(|(last, is_one)| last.is_in(parent) || (*is_one && last == parent))
        };
        let has_parent = entry.path.parent().is_none_or(|parent| is_folder(&parent));
        let is_next = self.last.as_ref().is_none_or(|(last, _)| *last < entry.path);
        self.last = Some((entry.path.clone(), matches!(entry.what, What::Folder)));
        is_in_base && has_parent && is_next
    }
}

#[cfg(test)]
mod tests;
