//! Pieces of a file as files in a folder: what `export` writes, to be carried to where there is no network. `proto/README.md`
//! has the layout. Every file of it can be checked alone: the name of a chunk's folder is the hash of the descriptor in it,
//! which has the hash of each piece. Reading it back is `archive/shelf.rs`. Nothing is signed or secret here.

mod shelf;

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use dsn_core::{
    cid::Cid,
    descriptor::Descriptor,
    hash::ChunkId,
    index_set::IndexSet,
    piece::{Piece, VerifiedPiece},
};

pub use self::shelf::Shelf;
use crate::output::{OutputError, PART_SUFFIX};

/// The descriptor, in its chunk's folder.
const DESCRIPTOR_FILE: &str = "descriptor";

/// A piece, in its chunk's folder.
fn piece_file(index: u8) -> String {
    format!("{index:02}.piece")
}

/// The file's bytes when it is a plain file of so many; none for anything else.
fn read_exactly(path: &Path, len: usize) -> io::Result<Option<Bytes>> {
    let metadata = fs::symlink_metadata(path)?;
    if !metadata.is_file() || metadata.len() != len as u64 {
        return Ok(None);
    }
    let mut bytes = vec![0; len];
    File::open(path)?.read_exact(&mut bytes)?;
    Ok(Some(bytes.into()))
}

/// A folder with pieces of one file or folder of the network, being filled.
#[derive(Clone, Debug)]
pub struct Archive {
    top: PathBuf,
}

impl Archive {
    /// Will write into a folder named after `cid`, within `dir`.
    ///
    /// # Errors
    /// When there is no `dir`: a stick that is not there must not become a folder of this disk.
    pub fn new(dir: &Path, cid: Cid) -> Result<Self, OutputError> {
        let failed = |source| OutputError::Write { path: dir.into(), source };
        if !fs::metadata(dir).map_err(failed)?.is_dir() {
            return Err(failed(io::ErrorKind::NotADirectory.into()));
        }
        Ok(Self { top: dir.join(cid.to_string()) })
    }

    /// Where the pieces go.
    pub fn path(&self) -> &Path {
        &self.top
    }

    fn folder(&self, chunk: ChunkId) -> PathBuf {
        self.top.join(chunk.to_string())
    }

    /// Which of the wanted pieces are there, each of them read and compared. Blocks.
    pub(crate) fn kept(&self, descriptor: &Descriptor, wanted: IndexSet) -> IndexSet {
        let folder = self.folder(descriptor.id());
        let described = read_exactly(&folder.join(DESCRIPTOR_FILE), descriptor.encoded().len());
        if described.ok().flatten().as_ref() != Some(descriptor.encoded()) {
            return IndexSet::EMPTY;
        }
        let is_kept = |index: &u8| {
            let bytes = read_exactly(&folder.join(piece_file(*index)), descriptor.piece_len()).ok().flatten();
            bytes.is_some_and(|bytes| Piece { index: *index, bytes }.verify(descriptor).is_ok())
        };
        wanted.iter().filter(is_kept).collect()
    }

    /// Writes pieces of one chunk and its descriptor; they are on the disk when this returns. Says how many bytes. Blocks.
    pub(crate) fn write(&self, descriptor: &Descriptor, pieces: &[VerifiedPiece]) -> Result<u64, OutputError> {
        let folder = self.folder(descriptor.id());
        fs::create_dir_all(&folder).map_err(|source| failed(&folder, source))?;
        let mut written = write_whole(&folder.join(DESCRIPTOR_FILE), descriptor.encoded())?;
        for piece in pieces {
            written += write_whole(&folder.join(piece_file(piece.index())), piece.bytes())?;
        }
        for dir in [&folder, &self.top] {
            // Not every file system of a stick can; those that cannot have no use for it.
            let _synced = File::open(dir).and_then(|dir| dir.sync_all());
        }
        Ok(written)
    }
}

fn failed(path: &Path, source: io::Error) -> OutputError {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            OutputError::DiskFull { path: path.into(), needed: 0 }
        }
        _ => OutputError::Write { path: path.into(), source },
    }
}

/// Under another name until it is whole, so that a stick pulled out early has no half pieces. Gives its length.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<u64, OutputError> {
    let mut part = path.as_os_str().to_owned();
    part.push(PART_SUFFIX);
    let write = || {
        let mut file = File::create(&part)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&part, path)
    };
    write().map_err(|source| {
        // A full stick needs its space back; what cannot be removed was never written.
        let _gone = fs::remove_file(&part);
        failed(path, source)
    })?;
    Ok(bytes.len() as u64)
}
