//! Counts what is there, key by key, beside what the counters say, in one snapshot. Not here: counting at the start, from
//! the index alone (`open`), and what to do about a difference.
//!
//! The pieces' own keys are counted and not the index: an entry without its piece, a piece without its entry and a wrong
//! counter all show as a difference. RocksDB's iterator reads each value with its key, and the option that spares that is
//! not in its Rust interface; at a value that it cannot read it stops without saying which it was, so the index is asked.

use std::ops::ControlFlow;

use dsn_core::{
    hash::ChunkId,
    ports::{Space, StoreError},
};
use rocksdb::{DB, ReadOptions, SnapshotWithThreadMode};

use super::{
    database::{Database, is_damage, store_error},
    layout::{COUNTERS_KEY, ChunkEntry, Counters, ENTRY_TAG, LOCATOR_NAME_TAG, piece_key},
};

/// What a full count found. Equal in a sound store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpaceCheck {
    /// What is there.
    pub counted: Space,
    /// What the counters said at the same instant.
    pub counter: Space,
}

type Snapshot<'a> = SnapshotWithThreadMode<'a, DB>;
type PieceKey = [u8; 33];

/// Counts everything; [`StoreError::Closed`] as soon as `is_wanted` says that the database must be given back.
pub(super) fn check(database: &Database, is_wanted: &dyn Fn() -> bool) -> Result<SpaceCheck, StoreError> {
    let snapshot = database.rocksdb().snapshot();
    let counter = counter(database, &snapshot)?;
    let mut counted = Space { locators: locators(database, &snapshot, is_wanted)?, ..Space::default() };
    let mut keys = database.rocksdb().raw_iterator_cf_opt(database.pieces(), options_at(&snapshot));
    let mut last: Option<PieceKey> = None;
    keys.seek_to_first();
    loop {
        while let Some((key, value)) = keys.item() {
            stop_if(is_wanted)?;
            last = Some(key.try_into().map_err(|_| unreadable("a piece has a key of another length"))?);
            counted.pieces += 1;
            counted.used_bytes += u64::try_from(value.len()).expect("a length in memory");
            keys.next();
        }
        match keys.status() {
            Ok(()) => return Ok(SpaceCheck { counted, counter }),
            Err(error) if is_damage(&error) => {
                stop_if(is_wanted)?;
                let Some((key, len)) = named_after(database, &snapshot, last)? else {
                    return Ok(SpaceCheck { counted, counter });
                };
                counted.pieces += 1;
                counted.used_bytes += u64::from(len);
                last = Some(key);
                keys.seek([&key[..], &[0]].concat());
            }
            Err(error) => return Err(store_error("count the pieces", &error)),
        }
    }
}

fn counter(database: &Database, snapshot: &Snapshot<'_>) -> Result<Space, StoreError> {
    let found = snapshot.get_pinned_cf(database.meta(), COUNTERS_KEY);
    let value = found.map_err(|error| store_error("read the counters", &error))?;
    let counters = value.and_then(|value| Counters::decode(&value));
    counters.map(|counters| counters.space).ok_or_else(|| unreadable("the counters are damaged"))
}

fn locators(database: &Database, snapshot: &Snapshot<'_>, is_wanted: &dyn Fn() -> bool) -> Result<u64, StoreError> {
    let mut locators = 0;
    database.scan_from(&[LOCATOR_NAME_TAG], 1, options_at(snapshot), |_, _| {
        locators += 1;
        if is_wanted() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    stop_if(is_wanted)?;
    Ok(locators)
}

/// The first piece the index names after this key, or at all, and its length.
fn named_after(
    database: &Database,
    snapshot: &Snapshot<'_>,
    last: Option<PieceKey>,
) -> Result<Option<(PieceKey, u32)>, StoreError> {
    let last_chunk = last.as_ref().map_or(&[][..], |key| &key[..32]);
    let mut found = None;
    let start = [&[ENTRY_TAG], last_chunk].concat();
    database.scan_from(&start, 1, options_at(snapshot), |key, value| {
        if let (Some(chunk), Some(entry)) = (ChunkId::from_slice(&key[1..]), ChunkEntry::decode(value)) {
            let mut pieces = entry.indices.iter().map(|index| piece_key(chunk, index));
            found = pieces.find(|piece| last.is_none_or(|last| last < *piece)).map(|piece| (piece, entry.piece_len));
        }
        if found.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    Ok(found)
}

fn options_at(snapshot: &Snapshot<'_>) -> ReadOptions {
    let mut options = ReadOptions::default();
    options.set_snapshot(snapshot);
    options.fill_cache(false);
    options
}

fn stop_if(is_wanted: &dyn Fn() -> bool) -> Result<(), StoreError> {
    if is_wanted() { Err(StoreError::Closed) } else { Ok(()) }
}

fn unreadable(reason: &str) -> StoreError {
    StoreError::Io { action: "count the pieces", reason: reason.into() }
}
