//! What is in a folder here already, as a source of what a newer version of it has: stretches of large files, of the file at
//! the same path or of one of the same length, which may have been moved; and small files at the same paths. Nothing is
//! linked, so that neither folder ever changes with the other. Not here: who checks it (`opened`, `get_folder`).

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    io::{self, Read, Seek, SeekFrom},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use dsn_core::{folder::EntryPath, limits::INLINE_MAX_BYTES};

/// Large files of a folder of which the lengths are remembered; of more than these only what stayed at its path is found.
const MAX_FILES: usize = 65_536;

/// Files of one length that are tried.
const MAX_EQUALS: usize = 4;

/// A folder that is only read, and may be the one that is replaced.
#[derive(Debug)]
pub(crate) struct SeedFolder {
    top: PathBuf,
    /// Its large files by their lengths.
    by_len: BTreeMap<u64, Vec<PathBuf>>,
}

/// Files of which stretches may be those of one that is wanted. Whoever takes them checks them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seed {
    /// Each with its length; the best guess first.
    files: Vec<(PathBuf, u64)>,
}

/// A place on this machine where a stretch of a file may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Guess {
    path: PathBuf,
    offset: u64,
}

impl SeedFolder {
    pub(crate) fn new(top: &Path) -> Self {
        Self { top: top.into(), by_len: BTreeMap::new() }
    }

    /// Looks for its large files. What cannot be read is left out.
    pub(crate) fn look(mut self) -> Self {
        let (mut folders, mut left) = (vec![self.top.clone()], MAX_FILES);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                let Ok(meta) = entry.metadata() else { continue };
                if meta.is_dir() {
                    folders.push(entry.path());
                } else if meta.is_file() && meta.len() > INLINE_MAX_BYTES as u64 && left > 0 {
                    left -= 1;
                    self.by_len.entry(meta.len()).or_default().push(entry.path());
                }
            }
        }
        self
    }

    /// What is at the same path.
    pub(crate) fn at(&self, path: &EntryPath) -> PathBuf {
        self.top.join(OsStr::from_bytes(path.as_bytes()))
    }

    /// What may have bytes of a large file.
    pub(crate) fn of(&self, path: &EntryPath, len: u64) -> Seed {
        let at = self.at(path);
        let same_path = at.symlink_metadata().ok().filter(fs::Metadata::is_file).map(|meta| (at.clone(), meta.len()));
        let equals = self.by_len.get(&len).into_iter().flatten().filter(|path| **path != at);
        Seed { files: same_path.into_iter().chain(equals.take(MAX_EQUALS).map(|path| (path.clone(), len))).collect() }
    }
}

impl Seed {
    /// Where `len` bytes may be that a file of `total` bytes has at `offset`: as far from the start of another one, or, when
    /// that one is longer or shorter, as far from its end.
    pub(crate) fn guesses(&self, total: u64, offset: u64, len: usize) -> Vec<Guess> {
        let mut guesses = Vec::new();
        for (path, of) in &self.files {
            let from_end = of.checked_add(offset).and_then(|at| at.checked_sub(total)).filter(|at| *at != offset);
            let places = [Some(offset), from_end].into_iter().flatten();
            let places = places.filter(|at| at.checked_add(len as u64).is_some_and(|end| end <= *of));
            guesses.extend(places.map(|offset| Guess { path: path.clone(), offset }));
        }
        guesses
    }
}

impl Guess {
    /// These bytes; none when they cannot be read, for then they are fetched.
    pub(crate) async fn read(self, len: usize) -> Option<Bytes> {
        let read = move || -> io::Result<Bytes> {
            let mut file = fs::File::open(&self.path)?;
            file.seek(SeekFrom::Start(self.offset))?;
            let mut bytes = vec![0; len];
            file.read_exact(&mut bytes)?;
            Ok(bytes.into())
        };
        tokio::task::spawn_blocking(read).await.ok()?.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> EntryPath {
        EntryPath::new(text.as_bytes().to_vec()).expect("a path")
    }

    #[test]
    fn what_stayed_moved_or_grew_is_looked_for_where_it_may_be() {
        let top = tempfile::tempdir().expect("a temporary folder");
        let write = |name: &str, len: usize| {
            let path = top.path().join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("writable");
            fs::write(&path, vec![7; len]).expect("writable");
            path
        };
        let (stayed, moved) = (write("a/stayed", 100_000), write("old/moved", 200_000));
        write("a/small", 200);
        std::os::unix::fs::symlink("old", top.path().join("link")).expect("writable");
        let folder = SeedFolder::new(top.path()).look();
        let guesses = |name: &str, total: u64, offset| folder.of(&path(name), total).guesses(total, offset, 65_536);
        let at = |path: &PathBuf, offset| Guess { path: path.clone(), offset };
        assert_eq!(guesses("a/stayed", 100_000, 10), [at(&stayed, 10)]);
        assert_eq!(guesses("new/moved", 200_000, 65_536), [at(&moved, 65_536)]);
        assert_eq!(guesses("a/stayed", 200_000, 0), [at(&stayed, 0), at(&moved, 0)], "another one has its name now");
        assert_eq!(guesses("a/stayed", 150_000, 60_000), [at(&stayed, 10_000)], "something was put in before it");
        assert_eq!(guesses("old/moved", 190_000, 60_000), [at(&moved, 60_000), at(&moved, 70_000)]);
        assert_eq!(guesses("new/other", 123_456, 0), []);
        assert_eq!(guesses("a/stayed", 1 << 40, 1 << 39), []);
    }

    #[test]
    fn of_many_equal_files_a_few_are_tried() {
        let top = tempfile::tempdir().expect("a temporary folder");
        (0..9).for_each(|nth| fs::write(top.path().join(format!("{nth}")), vec![0; 70_000]).expect("writable"));
        let folder = SeedFolder::new(top.path()).look();
        assert_eq!(folder.of(&path("new"), 70_000).guesses(70_000, 0, 70_000).len(), MAX_EQUALS);
    }
}
