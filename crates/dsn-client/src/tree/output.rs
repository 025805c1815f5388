//! Where the get of a folder writes: a folder on disk under a temporary name until the last byte was checked, or memory.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::{
        ffi::OsStrExt,
        fs::{OpenOptionsExt, PermissionsExt, symlink},
    },
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use dsn_core::folder::EntryPath;

use super::MemoryEntry;
use crate::{
    output::{FileOutput, MemoryOutput, Output, OutputError, Overwrite, PART_SUFFIX},
    seed::{Seed, SeedFolder},
};

/// A folder to get into. Entries come in the order of the folder, so each finds the folder that it is in.
#[async_trait]
pub trait TreeOutput: Send + Sync {
    /// Called first, with the bytes of all files when they are known. Nothing is written when there is no room for them.
    async fn begin(&mut self, total: Option<u64>) -> Result<(), OutputError>;

    /// A folder.
    async fn folder(&self, path: &EntryPath) -> Result<(), OutputError>;

    /// A link that says this.
    async fn link(&self, path: &EntryPath, target: Bytes) -> Result<(), OutputError>;

    /// Small files with their bytes.
    async fn small(&self, files: Vec<(SmallFile, Bytes)>) -> Result<(), OutputError>;

    /// The bytes, one after the other, that an earlier run left of these files; none when one is missing or of another
    /// length.
    async fn existing(&self, files: Vec<SmallFile>) -> Result<Option<Bytes>, OutputError>;

    /// Where the bytes of a large file of this length go.
    fn large(&self, path: &EntryPath, executable: bool, len: u64) -> Result<Box<dyn Output>, OutputError>;

    /// All was written and checked.
    async fn finish(&mut self) -> Result<(), OutputError>;
}

/// A small file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmallFile {
    /// From the top of what is fetched.
    pub path: EntryPath,
    /// Whether its owner may execute it.
    pub executable: bool,
    /// Its bytes.
    pub len: u32,
}

/// A folder on disk, written within `NAME.dsn-part` and renamed at the end.
#[derive(Debug)]
pub struct DiskTreeOutput {
    target: PathBuf,
    holder: PathBuf,
    part: PathBuf,
    overwrite: Overwrite,
    /// A folder that may have some of it.
    seed: Option<SeedFolder>,
}

impl DiskTreeOutput {
    /// Will write to `target`. Nothing is touched yet. `what` tells what is fetched, in letters that a file's name may
    /// have: what an earlier get of something else left is not taken for it.
    ///
    /// # Errors
    /// When `target` exists and may not be replaced.
    pub fn new(target: &Path, what: &str, overwrite: Overwrite) -> Result<Self, OutputError> {
        let mut holder = target.as_os_str().to_owned();
        holder.push(PART_SUFFIX);
        let holder = PathBuf::from(holder);
        let output = Self { target: target.into(), part: holder.join(what), holder, overwrite, seed: None };
        output.check_free()?;
        Ok(output)
    }

    /// Takes from this folder what it has already: stretches of large files, also of those that were moved, and small files
    /// at the same paths. It is only read, and may be the one that is replaced.
    pub fn seeded(self, seed: &Path) -> Self {
        Self { seed: Some(SeedFolder::new(seed)), ..self }
    }

    /// Where everything is until it is complete.
    pub fn part_path(&self) -> &Path {
        &self.holder
    }

    fn check_free(&self) -> Result<(), OutputError> {
        let is_taken = self.overwrite == Overwrite::Never && self.target.symlink_metadata().is_ok();
        if is_taken { Err(OutputError::Exists { path: self.target.clone() }) } else { Ok(()) }
    }

    fn on_disk(&self, path: &EntryPath) -> PathBuf {
        self.part.join(OsStr::from_bytes(path.as_bytes()))
    }

    fn in_seed(&self, path: &EntryPath) -> Option<PathBuf> {
        self.seed.as_ref().map(|seed| seed.at(path))
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, OutputError> + Send + 'static,
    ) -> Result<T, OutputError> {
        let done = tokio::task::spawn_blocking(work).await;
        done.unwrap_or_else(|error| Err(failed(&self.part, io::Error::other(error))))
    }
}

fn failed(path: &Path, source: io::Error) -> OutputError {
    OutputError::of(path, 0, source)
}

/// Whether the disk has room for so many bytes, of which an earlier run has left some.
fn check_room(target: &Path, part: &Path, total: u64) -> Result<(), OutputError> {
    let within = target.parent().filter(|within| !within.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let disk = rustix::fs::statvfs(within).map_err(|error| failed(within, error.into()))?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    if total <= free || total - free <= bytes_in(part) {
        return Ok(());
    }
    Err(OutputError::DiskFull { path: target.into(), needed: total })
}

/// Bytes of the files that are in a folder; what cannot be read counts for nothing.
fn bytes_in(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let bytes = entries.map(|entry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => bytes_in(&entry.path()),
        Ok(meta) if meta.is_file() => meta.len(),
        _ => 0,
    });
    bytes.fold(0, u64::saturating_add)
}

/// Takes away what an earlier run, of whatever it was, left in a place where something else belongs. A link is never followed.
fn clear(path: &Path, wanted: impl Fn(&fs::Metadata) -> bool) -> Result<bool, OutputError> {
    let Ok(meta) = path.symlink_metadata() else { return Ok(false) };
    if wanted(&meta) {
        return Ok(true);
    }
    let gone = if meta.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    gone.map(|()| false).map_err(|source| failed(path, source))
}

fn make_folder(path: &Path) -> Result<(), OutputError> {
    if clear(path, fs::Metadata::is_dir)? {
        return Ok(());
    }
    DirBuilder::new().create(path).map_err(|source| failed(path, source))
}

fn mode(executable: bool) -> u32 {
    if executable { 0o777 } else { 0o666 }
}

/// Opens a file of the folder for its bytes. One that was left is taken away unless it may stay: its mode may be another.
fn make_file(path: &Path, executable: bool) -> Result<File, OutputError> {
    clear(path, |_| false)?;
    let open = OpenOptions::new().write(true).create_new(true).mode(mode(executable)).open(path);
    open.map_err(|source| failed(path, source))
}

fn is_file_of(executable: bool) -> impl Fn(&fs::Metadata) -> bool {
    move |meta| meta.is_file() && (meta.permissions().mode() & 0o100 != 0) == executable
}

/// The bytes of small files, of which one that is missing is copied from the second place; none when one is in neither.
fn existing(files: &[(PathBuf, Option<PathBuf>, SmallFile)]) -> Result<Option<Bytes>, OutputError> {
    let is_at = |path: &Path, file: &SmallFile| {
        let fits = |meta: fs::Metadata| is_file_of(file.executable)(&meta) && meta.len() == u64::from(file.len);
        path.symlink_metadata().is_ok_and(fits)
    };
    let is_somewhere = |(path, seed, file): &(PathBuf, Option<PathBuf>, SmallFile)| {
        is_at(path, file) || seed.as_ref().is_some_and(|seed| is_at(seed, file))
    };
    if !files.iter().all(is_somewhere) {
        return Ok(None);
    }
    let mut all = BytesMut::new();
    for (path, seed, file) in files {
        let seed = seed.as_ref().filter(|_| !is_at(path, file));
        let from = seed.unwrap_or(path);
        let bytes = fs::read(from).map_err(|source| failed(from, source))?;
        if bytes.len() as u64 != u64::from(file.len) {
            return Ok(None); // changed this instant
        }
        if seed.is_some() {
            make_file(path, file.executable)?.write_all(&bytes).map_err(|source| failed(path, source))?;
        }
        all.extend_from_slice(&bytes);
    }
    Ok(Some(all.freeze()))
}

#[async_trait]
impl TreeOutput for DiskTreeOutput {
    async fn begin(&mut self, total: Option<u64>) -> Result<(), OutputError> {
        let (holder, part, target) = (self.holder.clone(), self.part.clone(), self.target.clone());
        let seed = self.seed.take();
        let make = move || {
            check_room(&target, &part, total.unwrap_or(0))?;
            make_folder(&holder)?;
            for left in fs::read_dir(&holder).map_err(|source| failed(&holder, source))? {
                let left = left.map_err(|source| failed(&holder, source))?.path();
                clear(&left, |_| left == part)?;
            }
            make_folder(&part)?;
            Ok(seed.map(SeedFolder::look))
        };
        self.seed = self.blocking(make).await?;
        Ok(())
    }

    async fn folder(&self, path: &EntryPath) -> Result<(), OutputError> {
        make_folder(&self.on_disk(path))
    }

    async fn link(&self, path: &EntryPath, target: Bytes) -> Result<(), OutputError> {
        let path = self.on_disk(path);
        clear(&path, |_| false)?;
        symlink(OsStr::from_bytes(&target), &path).map_err(|source| failed(&path, source))
    }

    async fn small(&self, files: Vec<(SmallFile, Bytes)>) -> Result<(), OutputError> {
        let files: Vec<_> = files.into_iter().map(|(file, bytes)| (self.on_disk(&file.path), file, bytes)).collect();
        let write = move || {
            files.iter().try_for_each(|(path, file, bytes)| {
                let mut open = make_file(path, file.executable)?;
                open.write_all(bytes).map_err(|source| failed(path, source))
            })
        };
        self.blocking(write).await
    }

    async fn existing(&self, files: Vec<SmallFile>) -> Result<Option<Bytes>, OutputError> {
        let of = |file: SmallFile| (self.on_disk(&file.path), self.in_seed(&file.path), file);
        let files: Vec<_> = files.into_iter().map(of).collect();
        self.blocking(move || existing(&files)).await
    }

    fn large(&self, path: &EntryPath, executable: bool, len: u64) -> Result<Box<dyn Output>, OutputError> {
        let seed = self.seed.as_ref().map_or_else(Seed::default, |seed| seed.of(path, len));
        let path = self.on_disk(path);
        if !clear(&path, is_file_of(executable))? {
            make_file(&path, executable)?;
        }
        Ok(Box::new(FileOutput::in_place(&path, seed)))
    }

    async fn finish(&mut self) -> Result<(), OutputError> {
        self.check_free()?;
        let (holder, part, target) = (self.holder.clone(), self.part.clone(), self.target.clone());
        let finish = move || {
            put_in_place(&part, &target)?;
            clear(&holder, |_| false).map(|_| ())
        };
        self.blocking(finish).await
    }
}

/// Gives a complete folder its name, in place of whatever has it. Readers see the old one or the new one.
fn put_in_place(part: &Path, target: &Path) -> Result<(), OutputError> {
    let failed = |source| failed(target, source);
    let written = File::open(part).map_err(failed)?;
    rustix::fs::syncfs(&written).map_err(|error| failed(error.into()))?;
    if target.symlink_metadata().is_err() {
        return fs::rename(part, target).map_err(failed);
    }
    exchange(part, target)
}

/// Lets two folders of one file system change places, at once: nobody ever sees neither.
///
/// # Errors
/// When that cannot be done; then both are where they were.
pub fn exchange(one: &Path, other: &Path) -> Result<(), OutputError> {
    let (here, flags) = (rustix::fs::CWD, rustix::fs::RenameFlags::EXCHANGE);
    rustix::fs::renameat_with(here, one, here, other, flags).map_err(|error| failed(other, error.into()))
}

/// A folder in memory, for tests and the simulator.
#[derive(Clone, Debug, Default)]
pub struct MemoryTreeOutput {
    written: Arc<Mutex<BTreeMap<EntryPath, MemoryEntry>>>,
}

/// A large file of it.
struct MemoryLarge {
    tree: MemoryTreeOutput,
    path: EntryPath,
    bytes: MemoryOutput,
}

impl MemoryTreeOutput {
    /// What was written.
    pub fn written(&self) -> Vec<(EntryPath, MemoryEntry)> {
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.iter().map(|(path, entry)| (path.clone(), entry.clone())).collect()
    }

    fn write(&self, path: &EntryPath, entry: MemoryEntry) {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).insert(path.clone(), entry);
    }
}

#[async_trait]
impl TreeOutput for MemoryTreeOutput {
    async fn begin(&mut self, _total: Option<u64>) -> Result<(), OutputError> {
        Ok(())
    }

    async fn folder(&self, path: &EntryPath) -> Result<(), OutputError> {
        self.write(path, MemoryEntry::Folder);
        Ok(())
    }

    async fn link(&self, path: &EntryPath, target: Bytes) -> Result<(), OutputError> {
        self.write(path, MemoryEntry::Link(target));
        Ok(())
    }

    async fn small(&self, files: Vec<(SmallFile, Bytes)>) -> Result<(), OutputError> {
        files.into_iter().for_each(|(file, bytes)| self.write(&file.path, MemoryEntry::File(bytes)));
        Ok(())
    }

    async fn existing(&self, _files: Vec<SmallFile>) -> Result<Option<Bytes>, OutputError> {
        Ok(None)
    }

    fn large(&self, path: &EntryPath, _executable: bool, _len: u64) -> Result<Box<dyn Output>, OutputError> {
        Ok(Box::new(MemoryLarge { tree: self.clone(), path: path.clone(), bytes: MemoryOutput::default() }))
    }

    async fn finish(&mut self) -> Result<(), OutputError> {
        Ok(())
    }
}

#[async_trait]
impl Output for MemoryLarge {
    async fn begin(&mut self, total: u64) -> Result<(), OutputError> {
        self.bytes.begin(total).await
    }

    async fn existing(&mut self, offset: u64, len: usize) -> Result<Option<Bytes>, OutputError> {
        self.bytes.existing(offset, len).await
    }

    async fn resume_at(&mut self, offset: u64) -> Result<(), OutputError> {
        self.bytes.resume_at(offset).await
    }

    async fn write(&mut self, parts: Vec<Bytes>) -> Result<(), OutputError> {
        self.bytes.write(parts).await
    }

    async fn finish(&mut self) -> Result<(), OutputError> {
        self.tree.write(&self.path, MemoryEntry::File(std::mem::take(&mut self.bytes.bytes).into()));
        Ok(())
    }
}
