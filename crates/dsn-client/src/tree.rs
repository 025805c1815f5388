//! Where the put of a folder reads from, a folder on disk (`disk`) or memory, and where a get writes to (`output`); whether
//! a folder was changed (`fingerprint`); names in order (`names`). Entries come one after the other in the order of the
//! folder, so that any number of them fits constant memory.

mod disk;
mod fingerprint;
mod names;
mod output;

use std::{collections::VecDeque, path::PathBuf};

use async_trait::async_trait;
use bytes::Bytes;
use dsn_core::folder::EntryPath;

pub use self::{
    disk::{DiskTree, Special},
    fingerprint::fingerprint,
    output::{DiskTreeOutput, MemoryTreeOutput, SmallFile, TreeOutput, exchange},
};
use crate::input::{FileInput, Input, InputError, MemoryInput};

/// A folder to put.
#[async_trait]
pub trait Tree: Send {
    /// Goes through all of it once and reads no file: how much it is, and whether all of it can be put.
    async fn survey(&mut self) -> Result<Extent, InputError>;

    /// The next entry, in the order of the folder; none at the end.
    async fn next(&mut self) -> Result<Option<Found>, InputError>;

    /// Goes back to the start.
    fn rewind(&mut self);
}

/// Largest files that a survey names.
const LARGEST: usize = 8;

/// How much a folder is.
#[derive(Clone, Debug, Default)]
pub struct Extent {
    /// Files, folders and links.
    pub entries: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// Some of its large files, the largest ones, in no order.
    pub(crate) largest: Vec<Source>,
}

impl Extent {
    /// One more entry; a file's bytes, and where it is.
    fn add(&mut self, file: Option<(u64, impl FnOnce() -> Source)>) {
        self.entries += 1;
        let Some((len, source)) = file else { return };
        self.bytes = self.bytes.saturating_add(len);
        if len <= dsn_core::limits::INLINE_MAX_BYTES as u64 {
            return;
        }
        if self.largest.len() < LARGEST {
            self.largest.push(source());
        } else if let Some(least) = self.largest.iter_mut().min_by_key(|source| source.len())
            && least.len() < len
        {
            *least = source();
        }
    }
}

/// An entry as it is found.
#[derive(Debug)]
pub struct Found {
    /// From the top.
    pub path: EntryPath,
    /// What it is.
    pub what: FoundWhat,
}

/// What is found.
#[derive(Debug)]
pub enum FoundWhat {
    /// A folder; what is in it follows.
    Folder,
    /// A link, with what it says.
    Link(Bytes),
    /// A file.
    File {
        /// Whether its owner may execute it.
        executable: bool,
        /// Its bytes.
        content: Content,
    },
}

/// The bytes of a file.
#[derive(Clone, Debug)]
pub enum Content {
    /// At most [`dsn_core::limits::INLINE_MAX_BYTES`].
    Small(Bytes),
    /// More, read when it is their turn.
    Large(Source),
}

/// Where the bytes of a large file are.
#[derive(Clone, Debug)]
pub enum Source {
    /// A file on disk that had so many bytes.
    Disk(PathBuf, u64),
    /// Memory.
    Memory(Bytes),
}

impl Source {
    /// Bytes of the file.
    pub fn len(&self) -> u64 {
        match self {
            Self::Disk(_, len) => *len,
            Self::Memory(bytes) => bytes.len() as u64,
        }
    }

    /// Whether it has none, which no large file has.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where it is, for errors.
    pub(crate) fn path(&self) -> PathBuf {
        match self {
            Self::Disk(path, _) => path.clone(),
            Self::Memory(_) => "-".into(),
        }
    }

    /// Opens it.
    ///
    /// # Errors
    /// When that fails, or it has another length by now.
    pub(crate) fn open(&self) -> Result<Box<dyn Input>, InputError> {
        match self {
            Self::Memory(bytes) => Ok(Box::new(MemoryInput::new(bytes.clone()))),
            Self::Disk(path, len) => {
                let input = FileInput::open(path)?;
                if input.size() == Some(*len) {
                    Ok(Box::new(input))
                } else {
                    Err(InputError::Changed { path: path.clone() })
                }
            }
        }
    }
}

/// A folder in memory, for tests and the simulator.
#[derive(Clone, Debug, Default)]
pub struct MemoryTree {
    all: Vec<(EntryPath, MemoryEntry)>,
    rest: VecDeque<(EntryPath, MemoryEntry)>,
}

/// An entry of a folder in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemoryEntry {
    /// A folder.
    Folder,
    /// A link, with what it says.
    Link(Bytes),
    /// A file that nobody executes.
    File(Bytes),
}

impl MemoryTree {
    /// These entries, whatever their order.
    pub fn new(mut all: Vec<(EntryPath, MemoryEntry)>) -> Self {
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        Self { rest: all.clone().into(), all }
    }
}

#[async_trait]
impl Tree for MemoryTree {
    async fn survey(&mut self) -> Result<Extent, InputError> {
        let mut extent = Extent::default();
        for (_, entry) in &self.all {
            extent.add(match entry {
                MemoryEntry::File(bytes) => Some((bytes.len() as u64, || Source::Memory(bytes.clone()))),
                MemoryEntry::Folder | MemoryEntry::Link(_) => None,
            });
        }
        Ok(extent)
    }

    async fn next(&mut self) -> Result<Option<Found>, InputError> {
        let found = |(path, entry)| {
            let what = match entry {
                MemoryEntry::Folder => FoundWhat::Folder,
                MemoryEntry::Link(target) => FoundWhat::Link(target),
                MemoryEntry::File(bytes) => FoundWhat::File { executable: false, content: Content::of(bytes) },
            };
            Found { path, what }
        };
        Ok(self.rest.pop_front().map(found))
    }

    fn rewind(&mut self) {
        self.rest = self.all.clone().into();
    }
}

impl Content {
    /// Bytes in memory.
    fn of(bytes: Bytes) -> Self {
        if bytes.len() <= dsn_core::limits::INLINE_MAX_BYTES {
            Self::Small(bytes)
        } else {
            Self::Large(Source::Memory(bytes))
        }
    }
}
