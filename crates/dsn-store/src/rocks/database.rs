//! RocksDB with the store's types instead of bytes: typed reads, one durable write, and what its errors mean. Everything
//! here blocks. Not here: what belongs into a batch (`group`) and how a database that does not open is saved (`open`).

use std::{
    ops::ControlFlow,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use dsn_core::{
    descriptor::Descriptor,
    hash::ChunkId,
    lease::Lease,
    locator::Locator,
    ports::{StoreError, StoreMark, StoredChunk},
};
use rocksdb::{
    ColumnFamily, DB, DBPinnableSlice, Direction, Error, ErrorKind, IteratorMode, ReadOptions, WriteBatch,
    WriteOptions, properties,
};

use super::layout::{
    CLEAN_KEY, COUNTERS_KEY, ChunkEntry, Claim, Counters, DESCRIPTOR_TAG, DOUBT_KEY, ENTRY_TAG, GARBAGE_KEY,
    LOCATOR_NAME_TAG, LOCATOR_TAG, MARK_KEY, META, NOTES_KEY, PIECES, chunk_key, decode_mark, decode_time, piece_key,
};

/// How often to look whether a buffer has become a file, which takes tens of times as long.
const STALL_LOOK: Duration = Duration::from_millis(1);

/// How long a buffer may take to become a file, once RocksDB has failed to make one.
const STALL_MAX: Duration = Duration::from_secs(2);

/// An open database.
pub(super) struct Database {
    db: DB,
    /// Whether a part of the index was damaged when it was read.
    is_index_damaged: AtomicBool,
}

/// What lies under a piece's key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum PieceRead {
    Found(Bytes),
    Absent,
    /// The bytes, or the file they were in, are damaged or gone.
    Damaged,
}

impl Database {
    pub(super) fn new(db: DB) -> Self {
        Self { db, is_index_damaged: AtomicBool::new(false) }
    }

    /// RocksDB itself, for what concerns all of it: compactions and snapshots.
    pub(super) fn rocksdb(&self) -> &DB {
        &self.db
    }

    /// Ends compactions that run, for good.
    pub(super) fn stop_compactions(&self) {
        self.db.cancel_all_background_work(false);
    }

    /// Column family of the pieces.
    pub(super) fn pieces(&self) -> &ColumnFamily {
        self.db.cf_handle(PIECES).expect("opened with it")
    }

    /// Column family of everything else.
    pub(super) fn meta(&self) -> &ColumnFamily {
        self.db.cf_handle(META).expect("opened with it")
    }

    /// Reads a piece; RocksDB compares its checksum. One copy, from RocksDB's buffer.
    pub(super) fn piece(&self, chunk: ChunkId, index: u8) -> Result<PieceRead, StoreError> {
        match self.db.get_pinned_cf(self.pieces(), piece_key(chunk, index)) {
            Ok(Some(bytes)) => Ok(PieceRead::Found(Bytes::copy_from_slice(&bytes))),
            Ok(None) => Ok(PieceRead::Absent),
            Err(error) if is_damage(&error) => {
                tracing::warn!(%chunk, index, %error, "a piece is damaged");
                Ok(PieceRead::Damaged)
            }
            Err(error) => Err(store_error("read a piece", &error)),
        }
    }

    /// Whether something lies under a piece's key, readable or not. Costs a look at a filter when nothing does.
    pub(super) fn has_piece_key(&self, chunk: ChunkId, index: u8) -> bool {
        let key = piece_key(chunk, index);
        self.db.key_may_exist_cf(self.pieces(), key)
            && self.db.get_pinned_cf(self.pieces(), key).map_or_else(|error| is_damage(&error), |found| found.is_some())
    }

    /// What is held of a chunk; none when nothing is known of it or its entry is damaged.
    pub(super) fn entry(&self, chunk: ChunkId) -> Result<Option<ChunkEntry>, StoreError> {
        self.decoded(&chunk_key(ENTRY_TAG, chunk), ChunkEntry::decode)
    }

    /// What is known of a chunk; none when its entry or its descriptor is missing or damaged.
    pub(super) fn chunk(&self, chunk: ChunkId) -> Result<Option<StoredChunk>, StoreError> {
        let Some(entry) = self.entry(chunk)? else { return Ok(None) };
        self.described(chunk, entry)
    }

    /// A chunk of which the entry is known.
    pub(super) fn described(&self, chunk: ChunkId, entry: ChunkEntry) -> Result<Option<StoredChunk>, StoreError> {
        let descriptor = self.decoded(&chunk_key(DESCRIPTOR_TAG, chunk), |value| {
            Descriptor::decode(&Bytes::copy_from_slice(value)).ok().filter(|found| found.id() == chunk)
        })?;
        let stored = |descriptor| StoredChunk { descriptor, indices: entry.indices, class: entry.class };
        Ok(descriptor.map(stored))
    }

    /// A chunk's locator; none when there is none or it is damaged.
    pub(super) fn locator(&self, chunk: ChunkId) -> Result<Option<Locator>, StoreError> {
        self.decoded(&chunk_key(LOCATOR_TAG, chunk), |value| {
            Locator::decode(&Bytes::copy_from_slice(value)).ok().filter(|found| found.chunk() == chunk)
        })
    }

    /// Whether a locator of this chunk has been counted.
    pub(super) fn has_locator(&self, chunk: ChunkId) -> Result<bool, StoreError> {
        Ok(self.meta_value(&chunk_key(LOCATOR_NAME_TAG, chunk))?.is_some())
    }

    /// The counters; none when there are none or they are damaged.
    pub(super) fn counters(&self) -> Result<Option<Counters>, StoreError> {
        let Some(counters) = self.decoded(COUNTERS_KEY, Counters::decode)? else { return Ok(None) };
        let mark = self.mark()?.unwrap_or_default();
        Ok(Some(Counters { garbage_bytes: self.garbage_bytes()?, mark, ..counters }))
    }

    /// The mark; none when there is none or it is damaged.
    pub(super) fn mark(&self) -> Result<Option<StoreMark>, StoreError> {
        self.decoded(MARK_KEY, decode_mark)
    }

    /// Whether a part of the index may be missing.
    pub(super) fn is_in_doubt(&self) -> Result<bool, StoreError> {
        // There or unreadable.
        Ok(self.time(DOUBT_KEY)?.is_some())
    }

    /// The owner's newest lease of a file; none when there is none or it is damaged.
    pub(super) fn word(&self, claim: Claim) -> Result<Option<Lease>, StoreError> {
        self.decoded(&claim.word_key(), |value| {
            let lease = Lease::decode(&Bytes::copy_from_slice(value)).ok()?;
            let of = Claim { owner: lease.body().owner, root: lease.body().root };
            (of == claim).then_some(lease)
        })
    }

    /// A point in time; `Some(None)` when there is one and it is damaged.
    pub(super) fn time(&self, key: &[u8]) -> Result<Option<Option<u64>>, StoreError> {
        match self.db.get_pinned_cf(self.meta(), key) {
            Ok(value) => Ok(value.map(|value| decode_time(&value))),
            Err(error) if is_damage(&error) => {
                self.is_index_damaged.store(true, Ordering::Relaxed);
                Ok(Some(None))
            }
            Err(error) => Err(store_error("read the index", &error)),
        }
    }

    /// Bytes that can be reclaimed, as far as they were counted.
    pub(super) fn garbage_bytes(&self) -> Result<u64, StoreError> {
        Ok(self.decoded(GARBAGE_KEY, decode_time)?.unwrap_or(0))
    }

    /// Whether the store was closed in order.
    pub(super) fn is_clean(&self) -> Result<bool, StoreError> {
        Ok(self.meta_value(CLEAN_KEY)?.is_some())
    }

    /// Calls `visit` with every key and value of `meta` whose key starts with `prefix`.
    pub(super) fn scan(&self, prefix: &[u8], mut visit: impl FnMut(&[u8], &[u8])) -> Result<(), StoreError> {
        self.scan_from(prefix, prefix.len(), ReadOptions::default(), |key, value| {
            visit(key, value);
            ControlFlow::Continue(())
        })
    }

    /// Calls `visit` with the keys and values of `meta` from `start` on, as long as their first `shared` bytes are those
    /// of `start` and it says so. `options` may name a snapshot.
    pub(super) fn scan_from(
        &self,
        start: &[u8],
        shared: usize,
        options: ReadOptions,
        visit: impl FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.try_scan(start, shared, options, visit).map_err(|error| store_error("scan the index", &error))
    }

    /// The same with RocksDB's own error, for those who pass by damage.
    pub(super) fn try_scan(
        &self,
        start: &[u8],
        shared: usize,
        mut options: ReadOptions,
        mut visit: impl FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        options.fill_cache(false);
        let from = IteratorMode::From(start, Direction::Forward);
        for item in self.db.iterator_cf_opt(self.meta(), options, from) {
            let (key, value) = item.inspect_err(|error| {
                self.is_index_damaged.fetch_or(is_damage(error), Ordering::Relaxed);
            })?;
            if !key.starts_with(&start[..shared]) || visit(&key, &value).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Writes a batch, all or nothing, and returns when it is on durable storage.
    ///
    /// Waits while RocksDB takes no writes because its buffers are to become files first. RocksDB would wait itself, but
    /// while a disk is full it waits for room and nothing else, so that no deletion could make any.
    pub(super) fn write(&self, batch: WriteBatch) -> Result<(), Error> {
        let mut durably = WriteOptions::default();
        durably.set_sync(true);
        durably.set_no_slowdown(true);
        let begin = Instant::now();
        loop {
            // RocksDB takes the batch away even when it refuses it; a copy is a small part of an fsync.
            let written = self.ask().and_then(|()| self.db.write_opt(WriteBatch::from_data(batch.data()), &durably));
            match written {
                Err(error) if error.kind() != ErrorKind::Incomplete => return Err(error),
                Err(error) if begin.elapsed() > STALL_MAX && self.has_failed_in_background() => return Err(error),
                Err(_stalled) => thread::sleep(STALL_LOOK),
                Ok(()) => return Ok(()),
            }
        }
    }

    /// An empty write does nearly all that the next one would have to wait for, and costs no copy while that lasts.
    fn ask(&self) -> Result<(), Error> {
        let mut options = WriteOptions::default();
        options.set_no_slowdown(true);
        self.db.write_opt(WriteBatch::default(), &options)
    }

    /// Whether RocksDB has failed to make a file since it was opened.
    fn has_failed_in_background(&self) -> bool {
        self.db.property_int_value(properties::BACKGROUND_ERRORS).is_ok_and(|errors| errors.is_some_and(|n| n > 0))
    }

    /// Moves what is in memory to table and blob files.
    pub(super) fn flush(&self) -> Result<(), Error> {
        self.db.flush_cf(self.pieces())?;
        self.db.flush_cf(self.meta())
    }

    /// Writes that the store was closed in order, so that the next start need not count; unless damage in the index makes
    /// the counters doubtful.
    pub(super) fn mark_clean(&self) -> Result<(), Error> {
        if self.is_index_damaged.load(Ordering::Relaxed) {
            return Ok(());
        }
        let mut batch = WriteBatch::default();
        batch.put_cf(self.meta(), CLEAN_KEY, []);
        self.write(batch)
    }

    /// What `decode` makes of a value; none when there is none or it is damaged.
    pub(super) fn decoded<T>(&self, key: &[u8], decode: impl Fn(&[u8]) -> Option<T>) -> Result<Option<T>, StoreError> {
        let Some(value) = self.meta_value(key)? else { return Ok(None) };
        let decoded = decode(&value);
        if decoded.is_none() {
            self.is_index_damaged.store(true, Ordering::Relaxed);
            tracing::warn!(kind = %key[..1].escape_ascii(), "a value of the index is damaged");
        }
        Ok(decoded)
    }

    /// What the farmer has seen of others.
    pub(super) fn notes(&self) -> Result<Bytes, StoreError> {
        Ok(self.meta_value(NOTES_KEY)?.map(|notes| Bytes::copy_from_slice(&notes)).unwrap_or_default())
    }

    fn meta_value(&self, key: &[u8]) -> Result<Option<DBPinnableSlice<'_>>, StoreError> {
        match self.db.get_pinned_cf(self.meta(), key) {
            Ok(value) => Ok(value),
            Err(error) if is_damage(&error) => {
                self.is_index_damaged.store(true, Ordering::Relaxed);
                tracing::warn!(kind = %key[..1].escape_ascii(), %error, "a part of the index is damaged");
                Ok(None)
            }
            Err(error) => Err(store_error("read the index", &error)),
        }
    }
}

/// Whether an error says that bytes are damaged or a file is gone, rather than that the disk fails for now.
pub(super) fn is_damage(error: &Error) -> bool {
    let is_gone = || error.as_ref().contains("No such file");
    error.kind() == ErrorKind::Corruption || error.kind() == ErrorKind::IOError && is_gone()
}

/// What an error of RocksDB means to the caller.
pub(super) fn store_error(action: &'static str, error: &Error) -> StoreError {
    classify(action, error.as_ref())
}

/// Whether an error of RocksDB says that there is no room on the disk.
pub(super) fn says_disk_full(text: &str) -> bool {
    text.contains("No space left on device") || text.contains("Disk quota exceeded")
}

/// Whether an error of RocksDB says that the file system takes no writes.
pub(super) fn says_read_only(text: &str) -> bool {
    text.contains("Read-only file system")
}

/// RocksDB gives the system's error as its text only.
fn classify(action: &'static str, text: &str) -> StoreError {
    match text {
        _ if says_disk_full(text) => StoreError::DiskFull,
        _ if says_read_only(text) => StoreError::ReadOnly,
        _ => StoreError::Io { action, reason: text.into() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_and_a_read_only_one_have_their_own_errors() {
        let full = "IO error: No space left on device: While appending to file: 12.log: No space left on device";
        assert_eq!(classify("put", full), StoreError::DiskFull);
        let read_only = "IO error: While open a file for appending: db/000012.log: Read-only file system";
        assert_eq!(classify("put", read_only), StoreError::ReadOnly);
        let other = "IO error: While fsync: 000012.log: Input/output error";
        assert_eq!(classify("put", other), StoreError::Io { action: "put", reason: other.into() });
    }
}
