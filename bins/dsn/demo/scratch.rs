//! The demo's folder, the file it makes up, and the comparison at the end.

use std::path::{Path, PathBuf};

use dsn_cli::{Exit, Failure};

use crate::runtime::fill_random;

const MADE_UP_BYTES: usize = 64 << 20;

/// The demo's folder; gone when this is dropped.
pub(super) struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(dir = %self.0.display(), %error, "the demo's folder is still there");
        }
    }
}

impl Scratch {
    pub(super) fn new() -> Result<Self, Failure> {
        let mut random = [0; 8];
        fill_random(&mut random);
        let dir = std::env::temp_dir().join(format!("dsn-demo-{}", data_encoding::HEXLOWER.encode(&random)));
        std::fs::create_dir(&dir).map_err(|error| Failure::of(Exit::Disk, &error))?;
        Ok(Self(dir))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// A file of random bytes.
    pub(super) fn made_up(&self) -> Result<PathBuf, Failure> {
        let mut bytes = vec![0; MADE_UP_BYTES];
        fill_random(&mut bytes);
        let path = self.0.join("made-up");
        std::fs::write(&path, bytes).map_err(|error| Failure::of(Exit::Disk, &error))?;
        Ok(path)
    }
}

/// Whether two files hold the same bytes.
pub(super) fn same(a: &Path, b: &Path) -> std::io::Result<bool> {
    use std::io::Read;
    let (mut a, mut b) = (std::fs::File::open(a)?, std::fs::File::open(b)?);
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
