//! Where a get writes to: a file under a temporary name until the last byte was checked, a pipe, memory.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use bytes::Bytes;
use thiserror::Error;

pub use crate::seed::Seed;

/// Added to the name of a file that is not complete.
pub(crate) const PART_SUFFIX: &str = ".dsn-part";

/// Something to get into. Calls come in the order `begin`, `existing`…, `seed`, `resume_at`, `write`…, `finish`; of a
/// part of a file without `existing`, and what is said of the file is then said of the part.
#[async_trait]
pub trait Output: Send {
    /// The file will have this many bytes.
    async fn begin(&mut self, total: u64) -> Result<(), OutputError>;

    /// Bytes that an earlier run left in this place; none when there are not as many.
    async fn existing(&mut self, offset: u64, len: usize) -> Result<Option<Bytes>, OutputError>;

    /// What may have bytes of the file besides; asked for once it has begun.
    fn seed(&self) -> Seed {
        Seed::default()
    }

    /// What follows is written from here on; anything beyond is dropped.
    async fn resume_at(&mut self, offset: u64) -> Result<(), OutputError>;

    /// The next bytes.
    async fn write(&mut self, parts: Vec<Bytes>) -> Result<(), OutputError>;

    /// All bytes were written and checked.
    async fn finish(&mut self) -> Result<(), OutputError>;
}

/// Why something could not be written.
#[derive(Debug, Error)]
pub enum OutputError {
    /// There is a file of that name.
    #[error("{} exists", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The disk is full.
    #[error("no room for {}{}", path.display(), if *needed > 0 { format!(": {needed} bytes are needed") } else { String::new() })]
    DiskFull {
        /// The file.
        path: PathBuf,
        /// Bytes of the whole file; 0 when that is not known.
        needed: u64,
    },
    /// The reader of the pipe has gone.
    #[error("the reader has closed the pipe")]
    Closed,
    /// Not allowed, no such folder, or the disk failed.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file; `-` for a pipe.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl OutputError {
    /// Why nothing, or not all of so many bytes, can be written to a place.
    pub(crate) fn of(path: &Path, needed: u64, source: io::Error) -> Self {
        if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
            return Self::DiskFull { path: path.into(), needed };
        }
        Self::Write { path: path.into(), source }
    }
}

/// What to do with a file that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overwrite {
    /// Fail.
    Never,
    /// Replace it once the new one is complete.
    Replace,
}

/// A file, written as `NAME.dsn-part` and renamed at the end.
#[derive(Debug)]
pub struct FileOutput {
    path: PathBuf,
    part: PathBuf,
    overwrite: Overwrite,
    total: u64,
    file: Option<Arc<Mutex<File>>>,
    seed: Seed,
}

impl FileOutput {
    /// Will write to `path`. Nothing is touched yet.
    ///
    /// # Errors
    /// When `path` exists and may not be replaced.
    pub fn new(path: &Path, overwrite: Overwrite) -> Result<Self, OutputError> {
        let mut part = path.as_os_str().to_owned();
        part.push(PART_SUFFIX);
        let output =
            Self { path: path.into(), part: part.into(), overwrite, total: 0, file: None, seed: Seed::default() };
        output.check_free()?;
        Ok(output)
    }

    /// Writes to a file that is there and is nobody's yet, such as one of a folder that is complete only as a whole.
    pub(crate) fn in_place(path: &Path, seed: Seed) -> Self {
        Self { path: path.into(), part: path.into(), overwrite: Overwrite::Replace, total: 0, file: None, seed }
    }

    /// The name the file has until it is complete.
    pub fn part_path(&self) -> &Path {
        &self.part
    }

    fn check_free(&self) -> Result<(), OutputError> {
        let taken = self.path.is_dir() || (self.overwrite == Overwrite::Never && self.path.symlink_metadata().is_ok());
        if taken { Err(OutputError::Exists { path: self.path.clone() }) } else { Ok(()) }
    }

    fn error(&self, source: io::Error) -> OutputError {
        OutputError::of(&self.path, self.total, source)
    }

    async fn on_file<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut File) -> io::Result<T> + Send + 'static,
    ) -> Result<T, OutputError> {
        let file = self.file.clone().ok_or_else(|| self.error(io::Error::other("the file was never opened")))?;
        let job = move || work(&mut *file.lock().map_err(|_| io::Error::other("an earlier write panicked"))?);
        tokio::task::spawn_blocking(job).await.map_err(io::Error::other).flatten().map_err(|e| self.error(e))
    }
}

#[async_trait]
impl Output for FileOutput {
    async fn begin(&mut self, total: u64) -> Result<(), OutputError> {
        self.total = total;
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&self.part);
        self.file = Some(Arc::new(Mutex::new(open.map_err(|e| self.error(e))?)));
        Ok(())
    }

    async fn existing(&mut self, offset: u64, len: usize) -> Result<Option<Bytes>, OutputError> {
        let read = move |file: &mut File| {
            if file.metadata()?.len() < offset.saturating_add(len as u64) {
                return Ok(None);
            }
            file.seek(SeekFrom::Start(offset))?;
            let mut bytes = vec![0; len];
            file.read_exact(&mut bytes)?;
            Ok(Some(bytes.into()))
        };
        self.on_file(read).await
    }

    fn seed(&self) -> Seed {
        self.seed.clone()
    }

    async fn resume_at(&mut self, offset: u64) -> Result<(), OutputError> {
        let seek = move |file: &mut File| {
            file.set_len(offset)?;
            file.seek(SeekFrom::Start(offset)).map(|_| ())
        };
        self.on_file(seek).await
    }

    async fn write(&mut self, parts: Vec<Bytes>) -> Result<(), OutputError> {
        self.on_file(move |file| parts.iter().try_for_each(|part| file.write_all(part))).await
    }

    async fn finish(&mut self) -> Result<(), OutputError> {
        let total = self.total;
        self.on_file(move |file| file.set_len(total).and_then(|()| file.sync_all())).await?;
        if self.part == self.path {
            return Ok(());
        }
        self.check_free()?;
        std::fs::rename(&self.part, &self.path).map_err(|e| self.error(e))
    }
}

/// A pipe, such as standard output.
#[derive(Debug)]
pub struct PipeOutput<W> {
    writer: Arc<Mutex<W>>,
}

impl<W: Write + Send + 'static> PipeOutput<W> {
    /// Writes to `writer`.
    pub fn new(writer: W) -> Self {
        Self { writer: Arc::new(Mutex::new(writer)) }
    }

    async fn on_writer(&self, work: impl FnOnce(&mut W) -> io::Result<()> + Send + 'static) -> Result<(), OutputError> {
        let writer = Arc::clone(&self.writer);
        let job = move || work(&mut *writer.lock().map_err(|_| io::Error::other("an earlier write panicked"))?);
        let done = tokio::task::spawn_blocking(job).await.map_err(io::Error::other).flatten();
        done.map_err(|source| match source.kind() {
            io::ErrorKind::BrokenPipe => OutputError::Closed,
            _ => OutputError::Write { path: "-".into(), source },
        })
    }
}

#[async_trait]
impl<W: Write + Send + 'static> Output for PipeOutput<W> {
    async fn begin(&mut self, _total: u64) -> Result<(), OutputError> {
        Ok(())
    }

    async fn existing(&mut self, _offset: u64, _len: usize) -> Result<Option<Bytes>, OutputError> {
        Ok(None)
    }

    async fn resume_at(&mut self, _offset: u64) -> Result<(), OutputError> {
        Ok(())
    }

    async fn write(&mut self, parts: Vec<Bytes>) -> Result<(), OutputError> {
        self.on_writer(move |w| parts.iter().try_for_each(|part| w.write_all(part)).and_then(|()| w.flush())).await
    }

    async fn finish(&mut self) -> Result<(), OutputError> {
        self.on_writer(Write::flush).await
    }
}

/// Bytes in memory, for tests and the simulator.
#[derive(Debug, Default)]
pub struct MemoryOutput {
    /// What was written.
    pub bytes: Vec<u8>,
    /// Whether it is complete.
    pub finished: bool,
}

#[async_trait]
impl Output for MemoryOutput {
    async fn begin(&mut self, _total: u64) -> Result<(), OutputError> {
        Ok(())
    }

    async fn existing(&mut self, offset: u64, len: usize) -> Result<Option<Bytes>, OutputError> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let range = start..start.saturating_add(len);
        Ok(self.bytes.get(range).map(Bytes::copy_from_slice))
    }

    async fn resume_at(&mut self, offset: u64) -> Result<(), OutputError> {
        self.bytes.truncate(usize::try_from(offset).unwrap_or(usize::MAX));
        Ok(())
    }

    async fn write(&mut self, parts: Vec<Bytes>) -> Result<(), OutputError> {
        parts.iter().for_each(|part| self.bytes.extend_from_slice(part));
        Ok(())
    }

    async fn finish(&mut self) -> Result<(), OutputError> {
        self.finished = true;
        Ok(())
    }
}
