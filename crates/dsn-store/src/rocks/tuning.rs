//! RocksDB's settings, each with its reason. Not here: what the caller may choose ([`RocksOptions`]) beyond its defaults.
//!
//! Two things were measured and left out. Without the log, flushing each group to files before it is answered, takes half
//! the processor time on a RAM disk, but on a real disk is slower (five fsyncs a group instead of one: 20 ms for a small
//! put instead of 1 ms) and leaves a blob file of 4 MiB a group. Writing over old logs instead of making new ones takes a
//! quarter less, but makes the end of every log look like damage, and then recovery rests on guesses.

use rocksdb::{BlockBasedOptions, Cache, ColumnFamilyDescriptor, DBCompressionType, DBRecoveryMode, LogLevel, Options};

use super::{
    RocksOptions,
    layout::{BLOB_MIN_BYTES, META, PIECES},
};

/// A blob file is freed as a whole, so it should not be huge; each costs memory, so it should not be tiny.
pub(super) const BLOB_FILE_BYTES: u64 = 256 * 1024 * 1024;

/// Descriptors and index entries of 16 MiB chunks are about 2 KiB a chunk: this covers 2,000 chunks.
const META_BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// One being written, one being flushed. Measured, a third takes memory and saves no time.
const WRITE_BUFFERS: i32 = 2;

/// Tables that wait to be compacted when RocksDB stops every write, its default. It never slows them down before: a
/// write that may not be slowed down is refused instead (`Database::write`).
const STOP_TABLES: i32 = 36;

/// The log is replayed at start, so its length bounds the time a killed farmer needs to be back.
const WAL_MAX_BYTES: u64 = 64 * 1024 * 1024;

/// RocksDB rewrites its manifest when it outgrows this; the default of 1 GiB would fill small disks.
const MANIFEST_MAX_BYTES: usize = 4 * 1024 * 1024;

/// RocksDB's own text log: two files of this size, warnings only.
const LOG_MAX_BYTES: usize = 1024 * 1024;

impl RocksOptions {
    /// Bytes of pieces that a disk with so many bytes free has room for. Each is written twice, to the log and to a file: what
    /// waits in buffers has the second time before it, what comes has both, and the log gives nothing back until it has
    /// grown to its limit.
    pub fn room_in(&self, free_bytes: u64) -> u64 {
        let buffers = u64::from(WRITE_BUFFERS.unsigned_abs());
        let buffered = u64::try_from(self.write_buffer_bytes).unwrap_or(u64::MAX).saturating_mul(buffers);
        let left = free_bytes.saturating_sub(buffered);
        (left / 2).max(left.saturating_sub(WAL_MAX_BYTES))
    }
}

/// How much RocksDB minds damage that it meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strictness {
    /// It refuses to open with a file missing, and to go on writing after a compaction met damage.
    Strict,
    /// It opens with files missing and passes by what it cannot compact; reads of lost keys fail one by one.
    Lenient,
}

/// Settings of the database.
pub(super) fn database(options: &RocksOptions, strictness: Strictness) -> Options {
    let mut db = Options::default();
    db.create_if_missing(true);
    db.create_missing_column_families(true);
    db.set_paranoid_checks(strictness == Strictness::Strict);
    // What was answered lies before a completed fsync, so a crash (kill or power) can only damage what comes after: the
    // log is replayed to its first damaged record and the rest dropped. Absolute consistency would refuse to start after
    // a torn last record, which every kill -9 may leave; tolerating damage in the middle could bring back a group of
    // writes without an earlier one it relied on.
    db.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    db.set_max_total_wal_size(WAL_MAX_BYTES);
    db.set_max_manifest_file_size(MANIFEST_MAX_BYTES);
    // One flush and one compaction at a time: on a small machine, more threads only take the processor from the network.
    db.set_max_background_jobs(2);
    db.set_max_file_opening_threads(2);
    db.set_max_open_files(options.max_open_files);
    db.set_log_level(LogLevel::Warn);
    db.set_keep_log_file_num(2);
    db.set_max_log_file_size(LOG_MAX_BYTES);
    // No thread that wakes up to write statistics nobody reads.
    db.set_stats_dump_period_sec(0);
    db.set_stats_persist_period_sec(0);
    // There is one writer: nothing to share a write group or a memtable with.
    db.set_allow_concurrent_memtable_write(false);
    db.set_enable_write_thread_adaptive_yield(false);
    db
}

/// Settings of the column families; both share one cache.
pub(super) fn column_families(options: &RocksOptions, strictness: Strictness) -> [ColumnFamilyDescriptor; 2] {
    let cache = Cache::new_lru_cache(options.block_cache_bytes);
    let mut families = [(PIECES, pieces(options, &cache)), (META, meta(&cache))];
    // Files that no compaction gets past would pile up until RocksDB stopped every write for good.
    let stop_tables = if strictness == Strictness::Lenient { i32::MAX } else { STOP_TABLES };
    for (_, family) in &mut families {
        family.set_level_zero_slowdown_writes_trigger(stop_tables);
        family.set_level_zero_stop_writes_trigger(stop_tables);
        family.set_soft_pending_compaction_bytes_limit(0);
    }
    families.map(|(name, family)| ColumnFamilyDescriptor::new(name, family))
}

fn pieces(options: &RocksOptions, cache: &Cache) -> Options {
    let mut pieces = Options::default();
    pieces.set_block_based_table_factory(&tables(cache));
    // Pieces are coded or sealed data: there is nothing to compress.
    pieces.set_compression_type(DBCompressionType::None);
    pieces.set_enable_blob_files(true);
    pieces.set_min_blob_size(BLOB_MIN_BYTES);
    pieces.set_blob_file_size(BLOB_FILE_BYTES);
    pieces.set_blob_compression_type(DBCompressionType::None);
    pieces.set_enable_blob_gc(false);
    pieces.set_write_buffer_size(options.write_buffer_bytes);
    pieces.set_max_write_buffer_number(WRITE_BUFFERS);
    pieces
}

fn meta(cache: &Cache) -> Options {
    let mut meta = Options::default();
    meta.set_block_based_table_factory(&tables(cache));
    // Locators repeat the chunk's id in every receipt.
    meta.set_compression_type(DBCompressionType::Lz4);
    meta.set_write_buffer_size(META_BUFFER_BYTES);
    meta.set_max_write_buffer_number(2);
    meta
}

/// Indices and filters count against the cache, so that memory does not grow with the store.
fn tables(cache: &Cache) -> BlockBasedOptions {
    let mut tables = BlockBasedOptions::default();
    tables.set_block_cache(cache);
    tables.set_cache_index_and_filter_blocks(true);
    tables.set_bloom_filter(10.0, false);
    tables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_disk_has_room_for_half_and_a_large_one_for_all_but_the_log() {
        let options = RocksOptions::default();
        let mib = |mib: u64| mib << 20;
        assert_eq!(options.room_in(mib(20)), 0, "the buffers need it");
        assert_eq!(options.room_in(mib(64)), mib(16));
        assert_eq!(options.room_in(mib(1024)), mib(1024 - 32 - 64));
        assert_eq!(options.room_in(u64::MAX), u64::MAX - mib(32 + 64));
    }
}
