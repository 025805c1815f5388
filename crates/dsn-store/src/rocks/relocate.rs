//! How RocksDB is made to give back the space of pieces that no key names: first a compaction that reads no piece drops
//! the old keys, which frees files without any piece left and tells RocksDB how much garbage the others hold; then
//! compactions with blob garbage collection move what is left in the oldest files, a few files at a time. Not here: when
//! to do it (`reclaim`).
//!
//! A few files at a time, because a compaction frees nothing before its end: moving all at once would need as much free
//! disk as the store is large, and would keep the tables of new pieces waiting until RocksDB stops the writer. Each
//! time rewrites all tables, some 60 bytes a piece: a quarter more than the pieces themselves in a store of 1 TiB.
//!
//! RocksDB's Rust interface does not say how a compaction went, but counts the ones that failed.

use std::{fs, io, path::Path};

use dsn_core::ports::StoreError;
use rocksdb::{BottommostLevelCompaction, CompactOptions, properties};

use super::{
    database::{Database, store_error},
    tuning::BLOB_FILE_BYTES,
};

const ACTION: &str = "reclaim space";

/// Bytes of files emptied by one compaction: the size of one file, so that the free disk it needs is small, and new pieces
/// make at most about 16 tables meanwhile; RocksDB stops at 36 (`tuning`).
const STEP_BYTES: u64 = BLOB_FILE_BYTES;

/// Garbage not worth another compaction: pieces given up while the others ran. It stays counted.
const LEFT_BYTES: u64 = 8 * 1024 * 1024;

const LIVE_GARBAGE_BYTES: &str = "rocksdb.live-blob-file-garbage-size";
const BLOB_FILES: &str = "rocksdb.num-blob-files";

/// Drops old keys, and files that are garbage as a whole; says how many files of pieces there are then.
pub(super) fn drop_old_keys(database: &Database) -> Result<u64, StoreError> {
    compact(database, BottommostLevelCompaction::Force)?;
    number(database, BLOB_FILES)
}

/// Moves the pieces of the oldest files to new ones, and says how many files that were; none when there is hardly any
/// garbage left.
pub(super) fn empty_oldest_files(database: &Database) -> Result<u64, StoreError> {
    let (files, garbage_bytes) = (number(database, BLOB_FILES)?, garbage_bytes(database)?);
    if files == 0 || garbage_bytes < LEFT_BYTES {
        return Ok(0);
    }
    let listed = oldest_files(database.rocksdb().path());
    let step = listed.map_err(|error| StoreError::Io { action: ACTION, reason: error.to_string() })?.clamp(1, files);
    let cutoff = cutoff(step, files);
    set_collection(
        database,
        &[("enable_blob_garbage_collection", "true"), ("blob_garbage_collection_age_cutoff", &cutoff)],
    )?;
    // Forced without more, it would move twice what it brought to the last level itself. This kind may pass by a table that
    // RocksDB makes just now; the next step comes by again.
    let compacted = compact(database, BottommostLevelCompaction::ForceOptimized);
    set_collection(database, &[("enable_blob_garbage_collection", "false")])?;
    compacted.map(|()| step)
}

/// The part of the files that is `step` of them. RocksDB rounds down: half a file more keeps rounding errors out.
fn cutoff(step: u64, files: u64) -> String {
    if step == files {
        return "1.0".into();
    }
    format!("0.{:09}", (2 * step + 1) * 500_000_000 / files)
}

/// Garbage that RocksDB knows of and that is still in the files.
pub(super) fn garbage_bytes(database: &Database) -> Result<u64, StoreError> {
    number(database, LIVE_GARBAGE_BYTES)
}

/// Compacts all of the pieces' tables into the last level, those that are there already too.
fn compact(database: &Database, last_level: BottommostLevelCompaction) -> Result<(), StoreError> {
    let errors = || {
        let errors = database.rocksdb().property_int_value(properties::BACKGROUND_ERRORS);
        errors.map_err(|error| store_error(ACTION, &error))
    };
    let before = errors()?;
    let mut options = CompactOptions::default();
    // Others may run meanwhile: those that make room for what is being put.
    options.set_exclusive_manual_compaction(false);
    options.set_bottommost_level_compaction(last_level);
    database.rocksdb().compact_range_cf_opt(database.pieces(), None::<&[u8]>, None::<&[u8]>, &options);
    if errors()? == before {
        Ok(())
    } else {
        Err(StoreError::Io { action: ACTION, reason: "a compaction failed; RocksDB's LOG says why".into() })
    }
}

fn set_collection(database: &Database, settings: &[(&str, &str)]) -> Result<(), StoreError> {
    let set = database.rocksdb().set_options_cf(database.pieces(), settings);
    set.map_err(|error| store_error(ACTION, &error))
}

fn number(database: &Database, property: &str) -> Result<u64, StoreError> {
    let number = database.rocksdb().property_int_value_cf(database.pieces(), property);
    Ok(number.map_err(|error| store_error(ACTION, &error))?.unwrap_or(0))
}

/// How many of the oldest files, at least one, hold `STEP_BYTES`.
fn oldest_files(folder: &Path) -> io::Result<u64> {
    let mut sizes = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".blob")?.parse::<u64>().ok());
        if let Some(number) = number {
            sizes.push((number, entry.metadata()?.len()));
        }
    }
    sizes.sort_unstable();
    let mut bytes = 0;
    let fitting = sizes.iter().take_while(|(_, size)| {
        bytes += size;
        bytes <= STEP_BYTES
    });
    Ok(u64::try_from(fitting.count()).expect("files fit a number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "as RocksDB"
    )]
    fn rocksdb_takes_as_many_files_as_meant() {
        for files in [1_u64, 2, 3, 7, 999, 65_536, 100_000] {
            for step in [1, 2, 3, 64, 998, files / 2, files - 1, files] {
                if (1..=files).contains(&step) {
                    let part: f64 = cutoff(step, files).parse().expect("a number");
                    assert_eq!((part * files as f64) as u64, step, "{step} of {files}");
                }
            }
        }
    }
}
