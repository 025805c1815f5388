//! A path within a folder: names joined by slashes, byte for byte as they are on disk, and never one that leads elsewhere.

use std::{cmp::Ordering, fmt};

use bytes::Bytes;
use thiserror::Error;

use crate::limits::{NAME_MAX_BYTES, PATH_MAX_BYTES};

/// A path from the top of a folder. Ordered as a walk goes: a folder, then all that is in it, names by their bytes.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EntryPath(Bytes);

/// Why bytes are no path within a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PathError {
    /// Empty, or a name in it is: it begins or ends with a slash, or two follow each other.
    #[error("a name in it is empty")]
    Empty,
    /// A name is `.` or `..`.
    #[error("a name in it is . or ..")]
    Dots,
    /// A zero byte.
    #[error("it has a zero byte")]
    Zero,
    /// Longer than any system takes.
    #[error("it is longer than {PATH_MAX_BYTES} bytes, or a name in it than {NAME_MAX_BYTES}")]
    TooLong,
}

impl EntryPath {
    /// Checks a path.
    ///
    /// # Errors
    /// See [`PathError`].
    pub fn new(path: impl Into<Bytes>) -> Result<Self, PathError> {
        let path = path.into();
        if path.len() > PATH_MAX_BYTES {
            return Err(PathError::TooLong);
        }
        for name in path.split(|byte| *byte == b'/') {
            match name {
                b"" => return Err(PathError::Empty),
                b"." | b".." => return Err(PathError::Dots),
                name if name.len() > NAME_MAX_BYTES => return Err(PathError::TooLong),
                name if name.contains(&0) => return Err(PathError::Zero),
                _ => {}
            }
        }
        Ok(Self(path))
    }

    /// The path of what has this name in this folder.
    ///
    /// # Errors
    /// See [`PathError`].
    pub fn join(folder: Option<&Self>, name: &[u8]) -> Result<Self, PathError> {
        if name.contains(&b'/') {
            return Err(PathError::Empty);
        }
        match folder {
            Some(folder) => Self::new([folder.as_bytes(), name].join(&b'/')),
            None => Self::new(Bytes::copy_from_slice(name)),
        }
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The names in it, from the top.
    pub fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|byte| *byte == b'/')
    }

    /// The last of them.
    pub fn name(&self) -> &[u8] {
        self.names().last().unwrap_or_default()
    }

    /// The folder that it is in; none: the top.
    pub fn parent(&self) -> Option<Self> {
        let slash = self.0.iter().rposition(|byte| *byte == b'/')?;
        Some(Self(self.0.slice(..slash)))
    }

    /// Whether it lies below this folder.
    pub fn is_in(&self, folder: &Self) -> bool {
        self.0.strip_prefix(folder.as_bytes()).is_some_and(|rest| rest.first() == Some(&b'/'))
    }

    /// Whether it lies below this folder, or is it.
    pub fn is_in_or_is(&self, folder: &Self) -> bool {
        self == folder || self.is_in(folder)
    }

    /// What is left of it below this folder; none when it does not lie there.
    pub fn below(&self, folder: &Self) -> Option<Self> {
        self.is_in(folder).then(|| Self(self.0.slice(folder.0.len() + 1..)))
    }

    /// Bytes at its beginning that another path has too.
    pub(super) fn same_as(&self, other: &Self) -> usize {
        self.0.iter().zip(other.0.iter()).take_while(|(a, b)| a == b).count()
    }
}

impl Ord for EntryPath {
    fn cmp(&self, other: &Self) -> Ordering {
        // No name has a zero byte, so a slash that counts as one comes before whatever a longer name goes on with.
        let keys = |path: &Self| path.0.clone().into_iter().map(|byte| if byte == b'/' { 0 } else { byte });
        keys(self).cmp(keys(other))
    }
}

impl PartialOrd for EntryPath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// As people read it: what is no visible text is escaped.
impl fmt::Display for EntryPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                if c.is_control() || c == '\\' { write!(f, "{}", c.escape_default())? } else { write!(f, "{c}")? }
            }
            chunk.invalid().iter().try_for_each(|byte| write!(f, "\\x{byte:02x}"))?;
        }
        Ok(())
    }
}

impl fmt::Debug for EntryPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
