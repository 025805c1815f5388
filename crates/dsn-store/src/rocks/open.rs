//! Opens the database, whatever state it is in: the format first, then RocksDB as it should be, then with files missing,
//! and last an empty one beside the damaged one, which is set aside and never deleted. Only damage takes that way: a
//! folder that is locked, of a newer version or not accessible is an error and stays as it is.
//!
//! RocksDB's own repair is not used: it does not know blob files, leaves them out of the new manifest and lets the next
//! start delete them, and with them every piece.

use std::{
    collections::hash_map::RandomState,
    fs,
    hash::{BuildHasher as _, Hasher as _},
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use dsn_core::ports::{Space, StoreError, StoreMark};
use rocksdb::{DB, Error, WriteBatch};
use thiserror::Error;

use super::{
    RocksOptions,
    database::{Database, is_damage, says_disk_full, says_read_only},
    doubt::{self, Unsettled},
    layout::{
        CLEAN_KEY, COUNTERS_KEY, ChunkEntry, Counters, DOUBT_KEY, ENTRY_TAG, FORMAT, LOCATOR_NAME_TAG, MARK_KEY,
        encode_mark,
    },
    leftover,
    tuning::{self, Strictness},
};

const DATABASE_FOLDER: &str = "db";
const FORMAT_FILE: &str = "FORMAT";
const FORMAT_PREFIX: &str = "dsn-store ";

/// Receipt numbers of one second of the clock: a store that was wiped or restored from a backup starts above any number
/// it can have given before, unless it gave a million a second.
const SEQ_PER_SEC_BITS: u32 = 20;

/// In what state a store was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenReport {
    /// Nothing is damaged as far as RocksDB noticed, or the store is new.
    Clean,
    /// Files are missing or damaged. What they held reads as lost, the rest is served.
    Damaged,
    /// RocksDB could not read it at all: it lies at `path` now, and the store is empty.
    SetAside {
        /// Where the damaged database is.
        path: PathBuf,
    },
}

/// Why a store was not opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Another process, or this one, has it open.
    #[error("the store {path} is in use by another process")]
    Locked {
        /// The store's folder.
        path: PathBuf,
    },
    /// A newer version of dsn wrote it; nothing was touched.
    #[error("the store {path} has format {found}, this binary knows <= {known}")]
    NewerFormat {
        /// The store's folder.
        path: PathBuf,
        /// The format found.
        found: u32,
        /// The newest format this program reads.
        known: u32,
    },
    /// The file `FORMAT` is not one of ours; nothing was touched.
    #[error("{path} is no store of dsn: its file FORMAT is not readable")]
    UnknownFormat {
        /// The store's folder.
        path: PathBuf,
    },
    /// The file system takes no writes, and opening a store writes; nothing was touched.
    #[error("the store {path} is on a read-only file system")]
    ReadOnly {
        /// The store's folder.
        path: PathBuf,
    },
    /// The file system failed.
    #[error("failed to {action} {path}")]
    Io {
        /// What was being done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// RocksDB failed, for another reason than damage.
    #[error("failed to open the store {path}: {reason}")]
    Database {
        /// The store's folder.
        path: PathBuf,
        /// What RocksDB said.
        reason: String,
    },
}

impl OpenError {
    /// Whether it would have been opened with more room on the disk.
    pub(super) fn is_disk_full(&self) -> bool {
        match self {
            Self::Io { source, .. } => {
                matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            }
            Self::Database { reason, .. } => says_disk_full(reason),
            _ => false,
        }
    }
}

/// An open database and what is known of it.
pub(super) struct Opened {
    pub(super) database: Database,
    pub(super) counters: Counters,
    pub(super) report: OpenReport,
}

/// Why one way of opening did not work.
enum Failure {
    /// Damage, which another way may pass by.
    Damage(String),
    /// Anything else: all ways fail alike.
    Other(String),
}

/// Opens the store in `path`, or makes one there.
pub(super) fn open(path: &Path, options: &RocksOptions) -> Result<Opened, OpenError> {
    fs::create_dir_all(path).map_err(io_error("create", path))?;
    check_format(path)?;
    let folder = path.join(DATABASE_FOLDER);
    if !has_lost_its_root(&folder).map_err(io_error("read", &folder))? {
        for (strictness, report) in
            [(Strictness::Strict, OpenReport::Clean), (Strictness::Lenient, OpenReport::Damaged)]
        {
            match open_as(&folder, options, strictness, report) {
                Err(Failure::Damage(reason)) => tracing::warn!(%reason, ?strictness, "the store is damaged"),
                done => return done.map_err(|failure| failure.into_open_error(path)),
            }
        }
    }
    let aside = set_aside(&folder)?;
    tracing::warn!(path = %aside.display(), "the damaged store is set aside and an empty one started");
    let report = OpenReport::SetAside { path: aside };
    open_as(&folder, options, Strictness::Strict, report).map_err(|failure| failure.into_open_error(path))
}

/// Opens the database of the store in `path`, which was open before.
pub(super) fn reopen(path: &Path, options: &RocksOptions, strictness: Strictness) -> Result<Database, Error> {
    open_database(&path.join(DATABASE_FOLDER), options, strictness)
}

/// The same without writing anything, for a disk that takes no more.
pub(super) fn reopen_read_only(path: &Path, options: &RocksOptions, strictness: Strictness) -> Result<Database, Error> {
    let families = tuning::column_families(options, strictness);
    let settings = tuning::database(options, strictness);
    DB::open_cf_descriptors_read_only(&settings, path.join(DATABASE_FOLDER), families, false).map(Database::new)
}

fn check_format(path: &Path) -> Result<(), OpenError> {
    let file = path.join(FORMAT_FILE);
    match fs::read_to_string(&file) {
        Ok(text) => {
            let number = text.strip_prefix(FORMAT_PREFIX).and_then(|rest| rest.strip_suffix('\n'));
            match number.and_then(|digits| digits.parse().ok()) {
                Some(1..=FORMAT) => Ok(()),
                Some(found) if found > FORMAT => {
                    Err(OpenError::NewerFormat { path: path.into(), found, known: FORMAT })
                }
                _ => Err(OpenError::UnknownFormat { path: path.into() }),
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => write_format(path),
        Err(source) => Err(OpenError::Io { action: "read", path: file, source }),
    }
}

/// Writes the file whole or not at all, since a torn one would lock its owner out.
fn write_format(path: &Path) -> Result<(), OpenError> {
    let (file, draft) = (path.join(FORMAT_FILE), path.join("FORMAT.new"));
    let write = || {
        let mut new = fs::File::create(&draft)?;
        new.write_all(format!("{FORMAT_PREFIX}{FORMAT}\n").as_bytes())?;
        new.sync_all()?;
        fs::rename(&draft, &file)?;
        fs::File::open(path)?.sync_all()
    };
    write().map_err(io_error("write", &file))
}

fn open_as(
    folder: &Path,
    options: &RocksOptions,
    strictness: Strictness,
    report: OpenReport,
) -> Result<Opened, Failure> {
    let database = open_database(folder, options, strictness)?;
    let known = database.mark()?;
    let (mut counters, resumed) = counters(&database, &report)?;
    counters.mark = StoreMark { resumed, first: counters.seq, ..next_mark(known, strictness) };
    // The first write: where a compaction has met damage already, it fails.
    let mut batch = WriteBatch::default();
    batch.put_cf(database.meta(), COUNTERS_KEY, counters.encode());
    batch.delete_cf(database.meta(), CLEAN_KEY);
    if strictness == Strictness::Lenient {
        batch.put_cf(database.meta(), DOUBT_KEY, []);
    }
    database.write(batch)?;
    let is_in_doubt = database.is_in_doubt()?;
    if strictness == Strictness::Strict && (known.is_none() || is_in_doubt) {
        doubt::settle(&database, !is_in_doubt)?;
    }
    // Last, since a store without a mark is one whose index was not looked at.
    let mut batch = WriteBatch::default();
    batch.put_cf(database.meta(), MARK_KEY, encode_mark(counters.mark));
    database.write(batch)?;
    Ok(Opened { database, counters, report })
}

/// The mark of this opening. The id is drawn from what the system seeds hash tables with.
fn next_mark(known: Option<StoreMark>, strictness: Strictness) -> StoreMark {
    let new = || StoreMark { id: RandomState::new().build_hasher().finish(), ..StoreMark::default() };
    let mark = known.unwrap_or_else(new);
    let losses = mark.losses.saturating_add(u64::from(strictness == Strictness::Lenient));
    StoreMark { opens: mark.opens.saturating_add(1), losses, ..mark }
}

/// Opens RocksDB. Where it finds unfinished files, twice, since it deletes them at the start.
fn open_database(folder: &Path, options: &RocksOptions, strictness: Strictness) -> Result<Database, Error> {
    let open = || {
        let families = tuning::column_families(options, strictness);
        DB::open_cf_descriptors(&tuning::database(options, strictness), folder, families).map(Database::new)
    };
    let database = open()?;
    // Closed in order, it left nothing unfinished.
    if database.is_clean().unwrap_or(false) {
        return Ok(database);
    }
    match leftover::finish(folder) {
        Ok(0) => Ok(database),
        Ok(_) => {
            drop(database);
            open()
        }
        Err(error) => {
            tracing::warn!(%error, "files left by a kill keep their space");
            Ok(database)
        }
    }
}

/// Whether there are data files but not the file that names their root. RocksDB would take that for a new database and
/// delete them.
fn has_lost_its_root(folder: &Path) -> io::Result<bool> {
    if !folder.exists() || folder.join("CURRENT").exists() {
        return Ok(false);
    }
    let is_data = |name: &Path| name.extension().is_some_and(|kind| kind == "sst" || kind == "blob" || kind == "log");
    let names: Vec<_> = fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<_>>()?;
    Ok(names.iter().any(|name| is_data(Path::new(name))))
}

/// Renames the folder to the first free `db.damaged-<n>` and says which.
fn set_aside(folder: &Path) -> Result<PathBuf, OpenError> {
    let name = |n: u32| folder.with_file_name(format!("{DATABASE_FOLDER}.damaged-{n}"));
    let aside = (1..=u32::MAX).map(name).find(|path| !path.exists()).expect("four billion names are not all taken");
    fs::rename(folder, &aside).map_err(io_error("set aside", folder))?;
    Ok(aside)
}

/// The counters, counted anew unless the store was closed in order and is whole; and the last receipt number found.
fn counters(database: &Database, report: &OpenReport) -> Result<(Counters, u64), StoreError> {
    let stored = database.counters()?;
    let mut counters = match stored {
        Some(stored) if *report == OpenReport::Clean && database.is_clean()? => stored,
        _ => Counters {
            space: count(database, stored),
            seq: stored.map_or(0, |stored| stored.seq),
            garbage_bytes: database.garbage_bytes()?,
            mark: StoreMark::default(),
        },
    };
    let now_secs = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let resumed = counters.seq;
    counters.seq = counters.seq.max(now_secs << SEQ_PER_SEC_BITS);
    Ok((counters, resumed))
}

/// Counts what the index names: it, not the pieces, since reading their keys would read their values. Where the index
/// itself is damaged the counters of before are the better guess.
fn count(database: &Database, stored: Option<Counters>) -> Space {
    let mut space = Space::default();
    let counted = database
        .scan(&[ENTRY_TAG], |_, value| {
            let entry = ChunkEntry::decode(value);
            space.pieces += entry.map_or(0, |entry| entry.pieces());
            space.used_bytes += entry.map_or(0, |entry| entry.bytes());
        })
        .and_then(|()| database.scan(&[LOCATOR_NAME_TAG], |_, _| space.locators += 1));
    match (counted, stored) {
        (Err(error), Some(stored)) => {
            tracing::warn!(%error, "the index is damaged: its pieces are not counted anew");
            stored.space
        }
        _ => {
            tracing::info!(pieces = space.pieces, used_bytes = space.used_bytes, "counted the store");
            space
        }
    }
}

impl Failure {
    fn into_open_error(self, path: &Path) -> OpenError {
        let path = path.into();
        match self {
            Self::Other(reason) if says_read_only(&reason) => OpenError::ReadOnly { path },
            Self::Other(reason) if is_lock(&reason) => OpenError::Locked { path },
            Self::Other(reason) | Self::Damage(reason) => OpenError::Database { path, reason },
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        if is_damage(&error) { Self::Damage(error.into()) } else { Self::Other(error.into()) }
    }
}

impl From<Unsettled> for Failure {
    fn from(error: Unsettled) -> Self {
        match error {
            Unsettled::Write(error) => error.into(),
            Unsettled::Read(error) => error.into(),
        }
    }
}

impl From<StoreError> for Failure {
    /// The reads of opening pass by damage, so an error of theirs is none.
    fn from(error: StoreError) -> Self {
        Self::Other(error.to_string())
    }
}

/// RocksDB tells a lock held elsewhere, and one held by this process, by their texts only.
fn is_lock(text: &str) -> bool {
    text.contains("lock file") || text.contains("lock hold by")
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_path_buf();
    move |source| match source.kind() {
        io::ErrorKind::ReadOnlyFilesystem => OpenError::ReadOnly { path },
        _ => OpenError::Io { action, path, source },
    }
}
