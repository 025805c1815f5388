//! A temporary folder of one command, the files it makes up there, and their comparison.

use std::{
    fs::File,
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use dsn_cli::{Exit, Failure};

use crate::runtime::fill_random;

/// Made up and written at once.
const PART_BYTES: u64 = 16 << 20;

/// A command's folder; gone when this is dropped.
pub(crate) struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(dir = %self.0.display(), %error, "the temporary folder is still there");
        }
    }
}

impl Scratch {
    /// A folder of `command`, in that of this machine for what is temporary.
    pub(crate) fn new(command: &str) -> Result<Self, Failure> {
        let mut random = [0; 8];
        fill_random(&mut random);
        let name = format!("dsn-{command}-{}", data_encoding::HEXLOWER.encode(&random));
        let dir = std::env::temp_dir().join(name);
        std::fs::create_dir(&dir).map_err(|error| Failure::of(Exit::Disk, &error))?;
        Ok(Self(dir))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// A file of so many random bytes.
    pub(crate) fn made_up(&self, len: u64) -> Result<PathBuf, Failure> {
        let path = self.0.join("made-up");
        make_up(&path, len).map_err(|error| {
            Failure::of(Exit::Disk, &error).named(format!("cannot make up a file in {}", self.0.display()))
        })?;
        Ok(path)
    }
}

fn make_up(path: &Path, len: u64) -> io::Result<()> {
    let (mut file, mut left) = (File::create(path)?, len);
    let mut part = vec![0; usize::try_from(len.min(PART_BYTES)).unwrap_or_default()];
    while left > 0 {
        fill_random(&mut part);
        let now = usize::try_from(left).map_or(part.len(), |left| left.min(part.len()));
        file.write_all(&part[..now])?;
        left -= now as u64;
    }
    Ok(())
}

/// Whether two files hold the same bytes.
pub(crate) fn same(a: &Path, b: &Path) -> io::Result<bool> {
    let (mut a, mut b) = (File::open(a)?, File::open(b)?);
    if a.metadata()?.len() != b.metadata()?.len() {
        return Ok(false);
    }
    let (mut left, mut right) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    loop {
        let n = a.read(&mut left)?;
        b.read_exact(&mut right[..n])?;
        if n == 0 || left[..n] != right[..n] {
            return Ok(n == 0);
        }
    }
}
