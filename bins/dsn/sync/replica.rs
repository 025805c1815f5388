//! What this dsn folder remembers of a folder that it keeps in step: which version was left there, and a hash of all that
//! was in it, so that what somebody has changed since is noticed. One file a folder, outside of it, named after its path.
//! Lines: `name NAME`, `folder PATH` (for people), `left NUMBER CID HASH`, and while one version is being put in place of
//! another `coming NUMBER CID HASH`: a run that was killed in between has left one or the other.

use std::{
    fs::{self, File},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use dsn_cli::{Exit, Failure};
use dsn_client::NameVersion;
use dsn_core::{cid::Cid, hash::Hash, name::Name};

use crate::folder::Folder;

/// A version of a folder, and the hash of all that is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) version: NameVersion,
    pub(super) print: String,
}

/// What is remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Memory {
    name: String,
    left: Option<Version>,
    coming: Option<Version>,
}

/// A folder that is kept in step.
pub(super) struct Replica {
    /// Where it is, with no link in it.
    pub(super) path: PathBuf,
    file: String,
    folder: Folder,
    memory: Memory,
}

/// Held while somebody writes to the folder.
pub(super) struct ReplicaLock {
    _file: File,
}

impl Replica {
    /// Of the folder with this path, whether or not it is there.
    pub(super) fn open(folder: &Folder, path: &Path) -> Result<Self, Failure> {
        folder.open()?;
        let path = absolute(path)?;
        let file = format!("sync-{}", &Hash::of(path.as_os_str().as_bytes()).to_string()[..32]);
        let text = fs::read_to_string(folder.path(&file)).unwrap_or_default();
        Ok(Self { path, file, folder: folder.clone(), memory: Memory::read(&text) })
    }

    /// No other process writes to the folder while this is held.
    pub(super) fn lock(&self) -> Result<ReplicaLock, Failure> {
        let failed = |error: std::io::Error| Failure::of(Exit::Disk, &error);
        let file = File::create(self.folder.path(&format!("{}.lock", self.file))).map_err(failed)?;
        if file.try_lock().is_ok() {
            return Ok(ReplicaLock { _file: file });
        }
        let error = format!("another dsn keeps {} in step already", self.path.display());
        Err(Failure::new(Exit::AlreadyRunning, error).hint("end that one first, or choose another folder"))
    }

    /// The version that is there, when what is there has this hash and was left by a sync under this name.
    pub(super) fn version(&self, name: Name, print: &str) -> Option<NameVersion> {
        let all = [&self.memory.left, &self.memory.coming].into_iter().flatten();
        let is_ours = self.memory.name == name.to_string();
        all.filter(|version| is_ours && version.print == print).map(|version| version.version).next()
    }

    /// What has this hash is there: when that is what was coming, a run was killed before it could say that it had come.
    pub(super) fn settle(&mut self, name: Name, print: &str) -> Result<(), Failure> {
        let come = self.memory.coming.take_if(|coming| self.memory.name == name.to_string() && coming.print == print);
        match come {
            Some(come) => self.note_left(name, come),
            None => Ok(()),
        }
    }

    /// The newest number that was ever there under this name.
    pub(super) fn newest(&self, name: Name) -> u64 {
        let left = self.memory.left.as_ref().filter(|_| self.memory.name == name.to_string());
        left.map_or(0, |left| left.version.sequence)
    }

    /// A version is about to be put in place of what is there.
    pub(super) fn note_coming(&mut self, name: Name, coming: Version) -> Result<(), Failure> {
        if self.memory.name != name.to_string() {
            self.memory = Memory { name: name.to_string(), ..Memory::default() };
        }
        self.memory.coming = Some(coming);
        self.save()
    }

    /// A version is there.
    pub(super) fn note_left(&mut self, name: Name, left: Version) -> Result<(), Failure> {
        self.memory = Memory { name: name.to_string(), left: Some(left), coming: None };
        self.save()
    }

    fn save(&self) -> Result<(), Failure> {
        let text = self.memory.text(&self.path);
        self.folder.replace(&self.file, text.as_bytes()).map_err(|error| {
            Failure::of(Exit::Disk, &error).named("what was left in the folder could not be written down")
        })
    }
}

/// The path with no link in it, whether or not its last part is there.
fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    let failed = |error: std::io::Error| {
        Failure::of(Exit::Disk, &error).named(format!("cannot find the folder that {} is in", path.display()))
    };
    if path.exists() {
        return path.canonicalize().map_err(failed);
    }
    let full = std::path::absolute(path).map_err(failed)?;
    match (full.parent(), full.file_name()) {
        (Some(parent), Some(name)) => Ok(parent.canonicalize().map_err(failed)?.join(name)),
        _ => Err(Failure::new(Exit::Usage, format!("{} is no name for a folder", path.display()))),
    }
}

impl Memory {
    fn text(&self, path: &Path) -> String {
        let shown = path.display().to_string().escape_debug().to_string();
        let line = |word: &str, of: &Option<Version>| {
            let of = of.as_ref().map(|of| format!("{word} {} {} {}\n", of.version.sequence, of.version.root, of.print));
            of.unwrap_or_default()
        };
        let (left, coming) = (line("left", &self.left), line("coming", &self.coming));
        format!("name {}\nfolder {shown}\n{left}{coming}", self.name)
    }

    fn read(text: &str) -> Self {
        let mut memory = Self::default();
        for line in text.lines() {
            match *line.split(' ').collect::<Vec<_>>() {
                ["name", name] => memory.name = name.to_owned(),
                ["left", sequence, root, print] => memory.left = version(sequence, root, print),
                ["coming", sequence, root, print] => memory.coming = version(sequence, root, print),
                _ => {}
            }
        }
        memory
    }
}

fn version(sequence: &str, root: &str, print: &str) -> Option<Version> {
    let version = NameVersion { sequence: sequence.parse().ok()?, root: root.parse::<Cid>().ok()? };
    Some(Version { version, print: print.to_owned() })
}

#[cfg(test)]
mod tests {
    use dsn_core::hash::ChunkId;

    use super::*;

    #[test]
    fn what_was_written_down_is_read_again_and_nonsense_is_nothing() {
        let version = |sequence| {
            let root = Cid(ChunkId(Hash([7; 32])));
            Version { version: NameVersion { sequence, root }, print: "abc".into() }
        };
        for (left, coming) in [(None, None), (Some(version(1)), None), (Some(version(1)), Some(version(2)))] {
            let memory = Memory { name: "dsn:n1:x".into(), left, coming };
            assert_eq!(Memory::read(&memory.text(Path::new("/a b\nleft 9 x y"))), memory);
        }
        assert_eq!(Memory::read("left 1 x y\ncoming\nname a b\n"), Memory::default());
    }
}
