//! A folder that is here already, as a source of what has not changed: what stands at the same path is copied and then
//! checked like everything that an earlier run left. Nothing is linked, so that neither folder ever changes with the other.
//! Not here: who checks it (`get_folder`).

use std::{
    fs,
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use bytes::Bytes;

use crate::output::{FileOutput, Output, OutputError};

/// A large file of which another one may have the first chunks.
pub(super) struct SeededOutput {
    inner: FileOutput,
    seed: PathBuf,
}

impl SeededOutput {
    pub(super) fn new(inner: FileOutput, seed: PathBuf) -> Self {
        Self { inner, seed }
    }
}

/// These bytes of a file; none when it has not as many or cannot be read, for then they are fetched.
fn read_at(path: &Path, offset: u64, len: usize) -> Option<Bytes> {
    let read = || -> io::Result<Bytes> {
        let mut file = fs::File::open(path)?;
        file.seek(SeekFrom::Start(offset))?;
        let mut bytes = vec![0; len];
        file.read_exact(&mut bytes)?;
        Ok(bytes.into())
    };
    read().ok()
}

#[async_trait]
impl Output for SeededOutput {
    async fn begin(&mut self, total: u64) -> Result<(), OutputError> {
        self.inner.begin(total).await
    }

    async fn existing(&mut self, offset: u64, len: usize) -> Result<Option<Bytes>, OutputError> {
        if let Some(bytes) = self.inner.existing(offset, len).await? {
            return Ok(Some(bytes));
        }
        let seed = self.seed.clone();
        let found = tokio::task::spawn_blocking(move || read_at(&seed, offset, len)).await.ok().flatten();
        let Some(bytes) = found else { return Ok(None) };
        // Wrong ones are dropped again by the `resume_at` that follows.
        self.inner.resume_at(offset).await?;
        self.inner.write(vec![bytes.clone()]).await?;
        Ok(Some(bytes))
    }

    async fn resume_at(&mut self, offset: u64) -> Result<(), OutputError> {
        self.inner.resume_at(offset).await
    }

    async fn write(&mut self, parts: Vec<Bytes>) -> Result<(), OutputError> {
        self.inner.write(parts).await
    }

    async fn finish(&mut self) -> Result<(), OutputError> {
        self.inner.finish().await
    }
}
