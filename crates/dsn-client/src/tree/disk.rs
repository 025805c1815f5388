//! A folder on disk. Its names come sorted by their bytes (`names`), so that a folder of any size fits constant memory; links
//! are read and never followed; times and owners are not looked at.

use std::{
    collections::VecDeque,
    ffi::OsStr,
    fs::{self, Metadata},
    io::Read,
    os::unix::{
        ffi::{OsStrExt, OsStringExt},
        fs::PermissionsExt,
    },
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use bytes::Bytes;
use dsn_core::{
    folder::EntryPath,
    limits::{INLINE_MAX_BYTES, LINK_MAX_BYTES},
};

use super::{
    Content, Extent, Found, FoundWhat, Source, Tree,
    names::{RUN_NAMES, Sorted, Sorter},
};
use crate::input::InputError;

/// Entries read ahead at once, and bytes of small files after which that ends: a thread is asked for many.
const AHEAD_ENTRIES: usize = 256;
const AHEAD_BYTES: usize = 4 * 1024 * 1024;

/// Devices, FIFOs and sockets named in an error.
const NAMED_MAX: usize = 20;

/// The owner may execute it.
const OWNER_EXECUTES: u32 = 0o100;

/// What to do with devices, FIFOs and sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Special {
    /// Fail, and name them.
    Refuse,
    /// Leave them out, and say which.
    Skip,
}

/// A folder on disk.
#[derive(Debug)]
pub struct DiskTree {
    top: PathBuf,
    special: Special,
    skipped: Vec<PathBuf>,
    walk: Option<Walk>,
    ahead: VecDeque<Result<Found, InputError>>,
}

impl DiskTree {
    /// Opens a folder.
    ///
    /// # Errors
    /// When it cannot be listed.
    pub fn open(top: &Path, special: Special) -> Result<Self, InputError> {
        let walk = Walk::begin(top)?;
        let top = top.into();
        Ok(Self { top, special, skipped: Vec::new(), walk: Some(walk), ahead: VecDeque::new() })
    }

    /// What the survey left out.
    pub fn skipped(&self) -> &[PathBuf] {
        &self.skipped
    }

    /// Works on the walk where it may block.
    async fn on_walk<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Walk) -> T + Send + 'static,
    ) -> Result<T, InputError> {
        let failed = |source| InputError::Read { path: self.top.clone(), source };
        let taken = self.walk.take();
        let mut walk = taken.map_or_else(|| Walk::begin(&self.top), Ok)?;
        let job = move || {
            let done = work(&mut walk);
            (walk, done)
        };
        let (walk, done) = tokio::task::spawn_blocking(job).await.map_err(std::io::Error::other).map_err(failed)?;
        self.walk = Some(walk);
        Ok(done)
    }
}

#[async_trait]
impl Tree for DiskTree {
    async fn survey(&mut self) -> Result<Extent, InputError> {
        let (extent, special) = self.on_walk(|walk| walk.survey()).await??;
        if self.special == Special::Refuse && !special.is_empty() {
            let (all, mut paths) = (special.len(), special);
            paths.truncate(NAMED_MAX);
            return Err(InputError::SpecialWithin { paths, all });
        }
        self.skipped = special;
        self.rewind();
        Ok(extent)
    }

    async fn next(&mut self) -> Result<Option<Found>, InputError> {
        if self.ahead.is_empty() {
            self.ahead = self.on_walk(Walk::read_ahead).await?;
        }
        self.ahead.pop_front().transpose()
    }

    fn rewind(&mut self) {
        (self.walk, self.ahead) = (None, VecDeque::new());
    }
}

/// Where a walk has come to.
#[derive(Debug)]
struct Walk {
    /// The folders that it is in, with the names that are left of each.
    within: Vec<Level>,
}

#[derive(Debug)]
struct Level {
    on_disk: PathBuf,
    path: Option<EntryPath>,
    left: Sorted,
}

/// What stands at a place of a disk.
struct Seen {
    on_disk: PathBuf,
    path: EntryPath,
    meta: Metadata,
}

fn unreadable(path: &Path) -> impl FnOnce(std::io::Error) -> InputError {
    let path = path.into();
    move |source| InputError::Read { path, source }
}

/// Of the file in which names wait that are too many for memory.
fn unsorted(path: &Path) -> impl Fn(std::io::Error) -> InputError {
    let path = path.to_path_buf();
    move |source| InputError::Sort { path: path.clone(), source }
}

impl Level {
    fn list(on_disk: PathBuf, path: Option<EntryPath>) -> Result<Self, InputError> {
        let mut names = Sorter::new(RUN_NAMES);
        for entry in fs::read_dir(&on_disk).map_err(unreadable(&on_disk))? {
            let name = entry.map_err(unreadable(&on_disk))?.file_name();
            names.push(name.into_vec()).map_err(unsorted(&on_disk))?;
        }
        let left = names.sort().map_err(unsorted(&on_disk))?;
        Ok(Self { on_disk, path, left })
    }
}

impl Walk {
    fn begin(top: &Path) -> Result<Self, InputError> {
        Ok(Self { within: vec![Level::list(top.into(), None)?] })
    }

    /// The next entry; a folder is entered with it.
    fn step(&mut self) -> Result<Option<Seen>, InputError> {
        while let Some(level) = self.within.last_mut() {
            let Some(name) = level.left.next().map_err(unsorted(&level.on_disk))? else {
                self.within.pop();
                continue;
            };
            let on_disk = level.on_disk.join(OsStr::from_bytes(&name));
            let path = EntryPath::join(level.path.as_ref(), &name);
            let path = path.map_err(|error| InputError::Name { path: on_disk.clone(), error })?;
            let meta = fs::symlink_metadata(&on_disk).map_err(unreadable(&on_disk))?;
            if meta.is_dir() {
                self.within.push(Level::list(on_disk.clone(), Some(path.clone()))?);
            }
            return Ok(Some(Seen { on_disk, path, meta }));
        }
        Ok(None)
    }

    fn survey(&mut self) -> Result<(Extent, Vec<PathBuf>), InputError> {
        let (mut extent, mut special) = (Extent::default(), Vec::new());
        while let Some(Seen { on_disk, meta, .. }) = self.step()? {
            if is_special(&meta) {
                special.push(on_disk);
                continue;
            }
            extent.add(meta.is_file().then_some((meta.len(), || Source::Disk(on_disk, meta.len()))));
        }
        Ok((extent, special))
    }

    /// The next entries, an error among them as the last; none at the end.
    fn read_ahead(&mut self) -> VecDeque<Result<Found, InputError>> {
        let (mut ahead, mut bytes) = (VecDeque::new(), 0);
        while ahead.len() < AHEAD_ENTRIES && bytes < AHEAD_BYTES {
            let found = match self.step() {
                Ok(None) => break,
                Ok(Some(seen)) if is_special(&seen.meta) => continue,
                Ok(Some(seen)) => read(seen),
                Err(error) => Err(error),
            };
            if let Ok(Found { what: FoundWhat::File { content: Content::Small(content), .. }, .. }) = &found {
                bytes += content.len();
            }
            let is_over = found.is_err();
            ahead.push_back(found);
            if is_over {
                break;
            }
        }
        ahead
    }
}

fn is_special(meta: &Metadata) -> bool {
    !(meta.is_dir() || meta.is_file() || meta.is_symlink())
}

fn read(Seen { on_disk, path, meta }: Seen) -> Result<Found, InputError> {
    let what = if meta.is_dir() {
        FoundWhat::Folder
    } else if meta.is_symlink() {
        let target = fs::read_link(&on_disk).map_err(unreadable(&on_disk))?.into_os_string().into_vec();
        if target.len() > LINK_MAX_BYTES {
            return Err(InputError::Read { path: on_disk, source: std::io::Error::other("the link is too long") });
        }
        FoundWhat::Link(target.into())
    } else {
        let executable = meta.permissions().mode() & OWNER_EXECUTES != 0;
        let content = if meta.len() > INLINE_MAX_BYTES as u64 {
            Content::Large(Source::Disk(on_disk, meta.len()))
        } else {
            Content::Small(read_small(&on_disk, meta.len())?)
        };
        FoundWhat::File { executable, content }
    };
    Ok(Found { path, what })
}

/// Reads a file that had so many bytes; one more would show that it has grown.
fn read_small(path: &Path, len: u64) -> Result<Bytes, InputError> {
    let file = fs::File::open(path).map_err(unreadable(path))?;
    let mut bytes = Vec::with_capacity(usize::try_from(len).unwrap_or(INLINE_MAX_BYTES) + 1);
    file.take(len + 1).read_to_end(&mut bytes).map_err(unreadable(path))?;
    if bytes.len() as u64 == len { Ok(bytes.into()) } else { Err(InputError::Changed { path: path.into() }) }
}
