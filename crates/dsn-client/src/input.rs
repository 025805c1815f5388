//! Where a put reads from: a file, a pipe, memory. Chunk by chunk, so that any length fits constant memory; a file that
//! changes while it is read is noticed at the end.

use std::{
    fs::{File, Metadata},
    io::{self, Read, Seek},
    path::{Path, PathBuf},
    time::SystemTime,
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use dsn_core::folder::PathError;
use thiserror::Error;

/// Something to put.
#[async_trait]
pub trait Input: Send {
    /// Bytes of it, when that is known.
    fn size(&self) -> Option<u64>;

    /// The next `max` bytes; fewer only at the end, none after it. Dropping the future may lose what was read.
    async fn read_chunk(&mut self, max: usize) -> Result<BytesMut, InputError>;

    /// Called after the last chunk: whether what was read is what there was.
    fn finish(&mut self) -> Result<(), InputError>;

    /// Goes back to the start; says whether that is possible.
    fn rewind(&mut self) -> Result<bool, InputError>;
}

/// Why something could not be read.
#[derive(Debug, Error)]
pub enum InputError {
    /// Not there, not allowed, or the disk failed.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file; `-` for a pipe.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A folder has more names than fit memory, and the file in which they wait failed.
    #[error("cannot sort the names in {} with a temporary file", path.display())]
    Sort {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A folder.
    #[error("{} is a folder", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
    },
    /// A device, a FIFO or a socket.
    #[error("{} is not a regular file", path.display())]
    Special {
        /// The device, FIFO or socket.
        path: PathBuf,
    },
    /// Devices, FIFOs or sockets within a folder.
    #[error("{all} within the folder are no files, folders or links: {}", list(paths))]
    SpecialWithin {
        /// The first of them.
        paths: Vec<PathBuf>,
        /// How many there are.
        all: usize,
    },
    /// A name that no folder of ours can have.
    #[error("the path of {} cannot be kept", path.display())]
    Name {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        error: PathError,
    },
    /// It changed during the put.
    #[error("{} changed during put", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// Reads until the buffer holds `max` bytes or the end comes.
fn fill(reader: &mut impl Read, max: usize) -> io::Result<BytesMut> {
    let mut chunk = BytesMut::with_capacity(max);
    let mut limited = reader.take(max as u64);
    // Growing the zeroed part step by step keeps a short file from touching 16 MiB.
    loop {
        let start = chunk.len();
        let step = if start == 0 { FIRST_READ_BYTES.min(max) } else { max - start };
        if step == 0 {
            return Ok(chunk);
        }
        chunk.resize(start + step, 0);
        let mut filled = start;
        while filled < chunk.len() {
            match limited.read(&mut chunk[filled..]) {
                Ok(0) => {
                    chunk.truncate(filled);
                    return Ok(chunk);
                }
                Ok(n) => filled += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// First bytes read of a chunk, so that small files stay small in memory.
const FIRST_READ_BYTES: usize = 128 * 1024;

async fn fill_blocking<R: Read + Send + 'static>(reader: &mut Option<R>, max: usize) -> io::Result<BytesMut> {
    let mut taken = reader.take().ok_or_else(|| io::Error::other("an earlier read was given up"))?;
    let work = move || {
        let chunk = fill(&mut taken, max);
        (taken, chunk)
    };
    let (back, chunk) = tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?;
    *reader = Some(back);
    chunk
}

/// A regular file.
#[derive(Debug)]
pub struct FileInput {
    path: PathBuf,
    file: Option<File>,
    read_bytes: u64,
    size: u64,
    modified: Option<SystemTime>,
}

impl FileInput {
    /// Opens a file.
    ///
    /// # Errors
    /// When it is missing, unreadable, a folder or special.
    pub fn open(path: &Path) -> Result<Self, InputError> {
        let read = |source| InputError::Read { path: path.into(), source };
        let meta = std::fs::metadata(path).map_err(read)?;
        if meta.is_dir() {
            return Err(InputError::Folder { path: path.into() });
        }
        if !meta.is_file() {
            return Err(InputError::Special { path: path.into() });
        }
        let file = File::open(path).map_err(read)?;
        let meta = file.metadata().map_err(read)?;
        let (size, modified) = (meta.len(), meta.modified().ok());
        Ok(Self { path: path.into(), file: Some(file), read_bytes: 0, size, modified })
    }

    fn unchanged(&self, now: &Metadata) -> bool {
        now.len() == self.size && now.modified().ok() == self.modified && self.read_bytes == self.size
    }
}

#[async_trait]
impl Input for FileInput {
    fn size(&self) -> Option<u64> {
        Some(self.size)
    }

    async fn read_chunk(&mut self, max: usize) -> Result<BytesMut, InputError> {
        let chunk = fill_blocking(&mut self.file, max).await;
        let chunk = chunk.map_err(|source| InputError::Read { path: self.path.clone(), source })?;
        self.read_bytes += chunk.len() as u64;
        Ok(chunk)
    }

    fn finish(&mut self) -> Result<(), InputError> {
        let now = std::fs::metadata(&self.path);
        let now = now.map_err(|source| InputError::Read { path: self.path.clone(), source })?;
        if self.unchanged(&now) { Ok(()) } else { Err(InputError::Changed { path: self.path.clone() }) }
    }

    fn rewind(&mut self) -> Result<bool, InputError> {
        let Some(file) = &mut self.file else { return Ok(false) };
        file.rewind().map_err(|source| InputError::Read { path: self.path.clone(), source })?;
        self.read_bytes = 0;
        Ok(true)
    }
}

/// Anything that can be read once, such as standard input.
#[derive(Debug)]
pub struct PipeInput<R> {
    reader: Option<R>,
}

impl<R: Read + Send + 'static> PipeInput<R> {
    /// Reads from `reader`.
    pub fn new(reader: R) -> Self {
        Self { reader: Some(reader) }
    }
}

#[async_trait]
impl<R: Read + Send + 'static> Input for PipeInput<R> {
    fn size(&self) -> Option<u64> {
        None
    }

    async fn read_chunk(&mut self, max: usize) -> Result<BytesMut, InputError> {
        let chunk = fill_blocking(&mut self.reader, max).await;
        chunk.map_err(|source| InputError::Read { path: "-".into(), source })
    }

    fn finish(&mut self) -> Result<(), InputError> {
        Ok(())
    }

    fn rewind(&mut self) -> Result<bool, InputError> {
        Ok(false)
    }
}

/// Bytes in memory, for tests and the simulator: no thread is involved.
#[derive(Debug)]
pub struct MemoryInput {
    all: Bytes,
    rest: Bytes,
}

impl MemoryInput {
    /// Puts these bytes.
    pub fn new(bytes: Bytes) -> Self {
        Self { all: bytes.clone(), rest: bytes }
    }
}

#[async_trait]
impl Input for MemoryInput {
    fn size(&self) -> Option<u64> {
        Some(self.all.len() as u64)
    }

    async fn read_chunk(&mut self, max: usize) -> Result<BytesMut, InputError> {
        let len = self.rest.len().min(max);
        Ok(BytesMut::from(&self.rest.split_to(len)[..]))
    }

    fn finish(&mut self) -> Result<(), InputError> {
        Ok(())
    }

    fn rewind(&mut self) -> Result<bool, InputError> {
        self.rest = self.all.clone();
        Ok(true)
    }
}
