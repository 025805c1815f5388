//! The store on disk: RocksDB, pieces in blob files, one writer thread. A cloneable handle: reads run on blocking threads,
//! a few at a time; everything that writes goes to `writer` and comes back when it is durable. Not here: whom to serve and
//! how much to keep (the farmer's business).
//!
//! Invariant: what was answered survives a kill or a power cut at any instant; a damaged byte costs the piece it is in and
//! nothing else.

mod ballast;
mod claims;
mod collect;
mod database;
mod doubt;
mod group;
mod layout;
mod leftover;
mod names;
mod open;
mod reclaim;
mod recovery;
mod relocate;
mod slot;
mod tuning;
mod upkeep;
mod verify;
mod walk;
mod writer;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

use async_trait::async_trait;
use bytes::Bytes;
use dsn_core::{
    hash::ChunkId,
    lease::VerifiedLease,
    locator::Locator,
    node_id::NodeId,
    ports::{BoundChunks, ChunkHoldings, PieceStore, PutBatch, Space, StoreError, StoredChunk},
    rpc::PutId,
};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use self::open::Opened;
use self::{
    ballast::Ballast,
    database::{Database, PieceRead},
    layout::{Counters, Upload},
    reclaim::Reclaim,
    recovery::Recovery,
    slot::Slot,
    tuning::Strictness,
    writer::{BindPage, Command, Grouped, QUEUE_MAX_COMMANDS, Writer},
};
pub use self::{
    open::{OpenError, OpenReport},
    verify::SpaceCheck,
};
use crate::batch::named_chunks;

/// Reads at once. Each takes a blocking thread and up to 2 MiB; measured, 16 are not faster.
const READS_MAX: usize = 8;

/// What a store may take of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RocksOptions {
    /// Bytes gathered in memory before they become a file; up to two such buffers exist at a time.
    pub write_buffer_bytes: usize,
    /// Bytes of index and filter blocks kept in memory. Pieces are never cached here; the system does that.
    pub block_cache_bytes: usize,
    /// Files RocksDB keeps open.
    pub max_open_files: i32,
    /// Bytes of a file that goes when the disk is full, so that there is room to delete; zero for none. It takes three
    /// write buffers: the two that wait for the disk become files when the database is opened anew. Only stores with 16
    /// times as much in pieces have one.
    pub ballast_bytes: u64,
}

impl Default for RocksOptions {
    /// For a farmer that should stay small: measured against write buffers of 64 MiB, 16 MiB take no more processor time
    /// and 100 MiB less memory at the peak.
    fn default() -> Self {
        Self {
            write_buffer_bytes: 16 * 1024 * 1024,
            block_cache_bytes: 8 * 1024 * 1024,
            max_open_files: 256,
            ballast_bytes: 48 * 1024 * 1024,
        }
    }
}

/// A store on disk. Clones are handles of the same store; the last one to go closes it, which blocks until what is
/// queued is written: better call [`RocksStore::close`].
#[derive(Clone)]
pub struct RocksStore {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    report: OpenReport,
    slot: Arc<Slot>,
    reads: Arc<Semaphore>,
    counters: watch::Receiver<Counters>,
    failure: watch::Receiver<Option<StoreError>>,
    /// None only while the last handle is dropped.
    commands: Option<mpsc::Sender<Command>>,
    /// None only while the last handle is dropped.
    writer: Option<thread::JoinHandle<()>>,
}

impl RocksStore {
    /// Opens the store in the folder `path`, or makes one there. Blocks, after a crash for as long as it takes to replay
    /// at most 64 MiB and to count the index (about a second for a million chunks).
    ///
    /// # Errors
    /// See [`OpenError`]. Damage is none: see [`RocksStore::report`].
    pub fn open(path: impl AsRef<Path>, options: &RocksOptions) -> Result<Self, OpenError> {
        let path = path.as_ref().to_path_buf();
        let mut ballast = Ballast::new(&path, options.ballast_bytes);
        let opened = match open::open(&path, options) {
            Err(error) if error.is_disk_full() && ballast.drop_overboard() => open::open(&path, options),
            done => done,
        };
        let Opened { database, counters, report } = opened?;
        let strictness = if report == OpenReport::Damaged { Strictness::Lenient } else { Strictness::Strict };
        let recovery = Recovery::new(path.clone(), options.clone(), strictness);
        let failure = recovery.watch();
        let slot = Arc::new(Slot::new(database));
        let (watched, counters_now) = watch::channel(counters);
        let (commands, queue) = mpsc::channel(QUEUE_MAX_COMMANDS);
        let reclaim = Reclaim::new(Arc::clone(&slot), commands.downgrade());
        let writer = Writer::new(Arc::clone(&slot), counters, watched, recovery, reclaim, ballast);
        let spawned = thread::Builder::new().name("dsn-store-writer".into()).spawn(move || writer.run(queue));
        let failed = |source| OpenError::Io { action: "start a thread for", path: path.clone(), source };
        let writer = Some(spawned.map_err(failed)?);
        let reads = Arc::new(Semaphore::new(READS_MAX));
        let inner =
            Inner { path, report, slot, reads, counters: counters_now, failure, commands: Some(commands), writer };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// In what state the store was found.
    pub fn report(&self) -> &OpenReport {
        &self.inner.report
    }

    /// Why nothing is written at present: what the last write failed with, until the store has been opened anew after it.
    /// What is there is served meanwhile.
    pub fn failure(&self) -> Option<StoreError> {
        self.inner.failure.borrow().clone()
    }

    /// Counts all that is there and compares it with the counters, both as of one instant, while puts go on. Counts the
    /// keys of the pieces, held or forgotten by the index, with the lengths of their values; a piece that cannot be read
    /// counts as the index has it. RocksDB reads the values along with the keys: it costs the reading of the whole
    /// store, and one of the reads at once for as long.
    ///
    /// # Errors
    /// [`StoreError::Closed`] too when the store is closed, or opened anew after a failed write, meanwhile. Dropping the
    /// future stops it.
    pub async fn verify_space(&self) -> Result<SpaceCheck, StoreError> {
        let slot = Arc::clone(&self.inner.slot);
        let asker = Arc::new(());
        let asked = Arc::downgrade(&asker);
        let is_wanted = move || slot.is_wanted() || asked.strong_count() == 0;
        let counted = self.read(move |database| verify::check(database, &is_wanted)).await;
        drop(asker); // held until here, or until this future is dropped
        counted
    }

    /// Finishes what is queued and running, closes the database and lets go of its lock. Calls after it fail with
    /// [`StoreError::Closed`], on all clones. Dropping the future does not undo it.
    ///
    /// # Errors
    /// When what was in memory could not be moved to its files; it is safe in the log all the same.
    pub async fn close(&self) -> Result<(), StoreError> {
        match self.command(|reply| Command::Close { reply }).await {
            Err(StoreError::Closed) => Ok(()),
            done => done,
        }
    }

    /// Sends a command to the writer and waits for its answer.
    async fn command<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Command,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let commands = self.inner.commands.as_ref().expect("only drop takes it");
        commands.send(command(reply)).await.map_err(|_| StoreError::Closed)?;
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Runs a read on a blocking thread. The permit stays with it even when nobody waits any more.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let permit = Arc::clone(&self.inner.reads).acquire_owned().await.map_err(|_| StoreError::Closed)?;
        let slot = Arc::clone(&self.inner.slot);
        let read = move || {
            let result = slot.with(work);
            drop(permit);
            result
        };
        tokio::task::spawn_blocking(read).await.map_err(|_| StoreError::Closed)?
    }
}

/// What a read found before the writer had a look.
enum FirstRead {
    Done(Option<Bytes>),
    Suspect,
}

#[async_trait]
impl PieceStore for RocksStore {
    async fn put(&self, batch: PutBatch) -> Result<Vec<ChunkHoldings>, StoreError> {
        let named = named_chunks(&batch);
        self.command(|reply| Command::Grouped(Grouped::Put { batch, named, reply })).await
    }

    async fn piece(&self, chunk: ChunkId, index: u8) -> Result<Option<Bytes>, StoreError> {
        let first = self.read(move |database| match database.piece(chunk, index)? {
            PieceRead::Found(bytes) => Ok(FirstRead::Done(Some(bytes))),
            PieceRead::Damaged => Ok(FirstRead::Suspect),
            PieceRead::Absent => {
                let is_missed = database.entry(chunk)?.is_some_and(|entry| entry.indices.contains(index));
                Ok(if is_missed { FirstRead::Suspect } else { FirstRead::Done(None) })
            }
        });
        match first.await? {
            FirstRead::Done(found) => Ok(found),
            FirstRead::Suspect => self.command(|reply| Command::Inspect { chunk, index, reply }).await,
        }
    }

    async fn chunks(&self, chunks: &[ChunkId]) -> Result<Vec<Option<StoredChunk>>, StoreError> {
        let chunks = chunks.to_vec();
        self.read(move |database| chunks.into_iter().map(|chunk| database.chunk(chunk)).collect()).await
    }

    async fn put_locators(&self, locators: Vec<Locator>) -> Result<(), StoreError> {
        self.command(|reply| Command::Grouped(Grouped::Locators { locators, reply })).await
    }

    async fn locators(&self, chunks: &[ChunkId]) -> Result<Vec<Option<Locator>>, StoreError> {
        let chunks = chunks.to_vec();
        self.read(move |database| chunks.into_iter().map(|chunk| database.locator(chunk)).collect()).await
    }

    async fn bind(&self, put_id: PutId, owner: NodeId, leases: Vec<VerifiedLease>) -> Result<BoundChunks, StoreError> {
        let Some(first) = leases.first().map(claims::claim_of) else { return Ok(BoundChunks(0)) };
        let (upload, leases, mut after) = (Upload { put_id, owner }, Arc::from(leases), None);
        loop {
            let page = BindPage { upload, leases: Arc::clone(&leases), after };
            after = self.command(|reply| Command::Bind { page, reply }).await?;
            if after.is_none() {
                return self.read(move |database| claims::covered(database, first)).await;
            }
        }
    }

    fn space(&self) -> Space {
        self.inner.counters.borrow().space
    }
}

impl Drop for Inner {
    /// Ends the writer by leaving it nobody to serve.
    fn drop(&mut self) {
        drop(self.commands.take());
        if self.writer.take().is_some_and(|writer| writer.join().is_err()) {
            tracing::error!(path = %self.path.display(), "the store's writer had panicked");
        }
    }
}

impl fmt::Debug for RocksStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RocksStore").field("path", &self.inner.path).finish_non_exhaustive()
    }
}
