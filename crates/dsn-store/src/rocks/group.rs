//! One write to the database under construction: the pieces, index entries, leases and locators of everything that waits,
//! and the counters as they will be. All of it becomes durable together, with one fsync, or none of it does. Not here:
//! who waits and what they are told (`writer`).
//!
//! Invariant: a method that fails has changed nothing, so one caller's failure is not another's.

mod claims;

use std::collections::{BTreeMap, BTreeSet, btree_map};

use dsn_core::{
    hash::ChunkId,
    index_set::IndexSet,
    locator::Locator,
    ports::{ChunkHoldings, NewPiece, PutBatch, StoreError, StoreMark},
    redundancy::Class,
};
use rocksdb::WriteBatch;

use super::{
    database::Database,
    layout::{
        COUNTERS_KEY, ChunkEntry, Claim, Counters, DESCRIPTOR_TAG, ENTRY_TAG, GARBAGE_KEY, LOCATOR_NAME_TAG,
        LOCATOR_TAG, MARK_KEY, NOTES_KEY, Upload, chunk_key, encode_mark, piece_key,
    },
};

/// A write under construction.
pub(super) struct Group<'a> {
    database: &'a Database,
    batch: WriteBatch,
    counters: Counters,
    /// Chunks as they will be, for those this group names.
    chunks: BTreeMap<ChunkId, Known>,
    /// Whether there will be a locator, for the chunks this group gives one or takes it from.
    located: BTreeMap<ChunkId, bool>,
    /// When the leases in this group were issued.
    words: BTreeMap<Claim, u64>,
    /// Claims this group deletes.
    unclaimed: BTreeMap<Claim, BTreeSet<ChunkId>>,
    /// The mark as it is before.
    mark: StoreMark,
}

struct Known {
    entry: Option<ChunkEntry>,
    is_described: bool,
}

impl<'a> Group<'a> {
    /// An empty group with room for `bytes` of pieces, on top of `counters`.
    pub(super) fn new(database: &'a Database, counters: Counters, bytes: usize) -> Self {
        Self {
            database,
            batch: WriteBatch::with_capacity_bytes(bytes),
            counters,
            chunks: BTreeMap::new(),
            located: BTreeMap::new(),
            words: BTreeMap::new(),
            unclaimed: BTreeMap::new(),
            mark: counters.mark,
        }
    }

    /// Adds pieces and leases; `named` are the chunks of the batch, in the order in which to answer.
    pub(super) fn put(&mut self, batch: &PutBatch, named: &[ChunkId]) -> Result<Vec<ChunkHoldings>, StoreError> {
        for chunk in named {
            self.load(*chunk)?;
        }
        for new in &batch.pieces {
            self.add_piece(new, batch.class);
        }
        self.counters.seq += 1;
        Ok(named.iter().map(|chunk| self.lease(*chunk, batch)).collect())
    }

    /// Adds locators.
    pub(super) fn put_locators(&mut self, locators: &[Locator]) -> Result<(), StoreError> {
        let new = self.with_locator(locators.iter().map(Locator::chunk), false)?;
        let meta = self.database.meta();
        for locator in locators {
            self.batch.put_cf(meta, chunk_key(LOCATOR_TAG, locator.chunk()), locator.encode());
        }
        for chunk in new {
            self.batch.put_cf(meta, chunk_key(LOCATOR_NAME_TAG, chunk), []);
            self.counters.space.locators += 1;
            self.located.insert(chunk, true);
        }
        Ok(())
    }

    /// Puts these notes in place of the last ones.
    pub(super) fn keep_notes(&mut self, notes: &[u8]) {
        self.put_meta(NOTES_KEY, notes);
    }

    /// Puts a value under a key of the index of which nothing is counted.
    pub(super) fn put_meta(&mut self, key: &[u8], value: &[u8]) {
        self.batch.put_cf(self.database.meta(), key, value);
    }

    /// Takes such a value away.
    pub(super) fn delete_meta(&mut self, key: &[u8]) {
        self.batch.delete_cf(self.database.meta(), key);
    }

    /// Takes locators away.
    pub(super) fn drop_locators(&mut self, chunks: &[ChunkId]) -> Result<(), StoreError> {
        let meta = self.database.meta();
        for chunk in self.with_locator(chunks.iter().copied(), true)? {
            self.batch.delete_cf(meta, chunk_key(LOCATOR_TAG, chunk));
            self.batch.delete_cf(meta, chunk_key(LOCATOR_NAME_TAG, chunk));
            self.counters.space.locators = self.counters.space.locators.saturating_sub(1);
            self.located.insert(chunk, false);
        }
        Ok(())
    }

    /// Those of these chunks of which there is a locator, or there is none, as `is_there` asks.
    fn with_locator(
        &self,
        chunks: impl Iterator<Item = ChunkId>,
        is_there: bool,
    ) -> Result<BTreeSet<ChunkId>, StoreError> {
        let mut found = BTreeSet::new();
        for chunk in chunks {
            let has_locator = match self.located.get(&chunk) {
                Some(has_locator) => *has_locator,
                None => self.database.has_locator(chunk)?,
            };
            if has_locator == is_there {
                found.insert(chunk);
            }
        }
        Ok(found)
    }

    /// Takes a piece out of its chunk's entry and counts it as lost; says whether it was there.
    pub(super) fn give_up(&mut self, chunk: ChunkId, index: u8) -> Result<bool, StoreError> {
        self.load(chunk)?;
        let entry = self.chunks.get_mut(&chunk).and_then(|known| known.entry.as_mut());
        let Some(entry) = entry.filter(|entry| entry.indices.contains(index)) else { return Ok(false) };
        entry.indices.remove(index);
        self.counters.remove_piece(entry.piece_len);
        self.counters.add_garbage(entry.piece_len);
        self.counters.mark.losses += 1;
        self.batch.put_cf(self.database.meta(), chunk_key(ENTRY_TAG, chunk), entry.encode());
        self.batch.delete_cf(self.database.pieces(), piece_key(chunk, index));
        Ok(true)
    }

    /// Counts bytes as reclaimed. Written even when they are none.
    pub(super) fn reclaim(&mut self, bytes: u64) {
        self.counters.garbage_bytes = self.counters.garbage_bytes.saturating_sub(bytes);
        self.batch.put_cf(self.database.meta(), GARBAGE_KEY, self.counters.garbage_bytes.to_be_bytes());
    }

    /// Writes it all durably and gives the counters as they are then.
    pub(super) fn commit(mut self) -> Result<Counters, rocksdb::Error> {
        if !self.batch.is_empty() {
            let meta = self.database.meta();
            self.batch.put_cf(meta, COUNTERS_KEY, self.counters.encode());
            self.batch.put_cf(meta, GARBAGE_KEY, self.counters.garbage_bytes.to_be_bytes());
            if self.counters.mark != self.mark {
                self.batch.put_cf(meta, MARK_KEY, encode_mark(self.counters.mark));
            }
            self.database.write(self.batch)?;
        }
        Ok(self.counters)
    }

    fn load(&mut self, chunk: ChunkId) -> Result<(), StoreError> {
        if let btree_map::Entry::Vacant(slot) = self.chunks.entry(chunk) {
            let entry = self.database.entry(chunk)?;
            let is_described = entry.is_some() && self.database.chunk(chunk)?.is_some();
            slot.insert(Known { entry, is_described });
        }
        Ok(())
    }

    fn add_piece(&mut self, NewPiece { descriptor, piece }: &NewPiece, class: Class) {
        let (chunk, index) = (piece.chunk(), piece.index());
        let known = self.chunks.get_mut(&chunk).expect("every chunk named was loaded");
        let meta = self.database.meta();
        if !known.is_described {
            self.batch.put_cf(meta, chunk_key(DESCRIPTOR_TAG, chunk), descriptor.encoded());
            known.is_described = true;
        }
        let piece_len = u32::try_from(descriptor.piece_len()).expect("a piece is at most 1 MiB");
        let empty = ChunkEntry { class, piece_len, indices: IndexSet::EMPTY };
        let entry = known.entry.get_or_insert(empty);
        if entry.indices.contains(index) {
            return;
        }
        entry.indices.insert(index);
        self.counters.add_piece(piece_len);
        // A key the index does not know of: its entry was damaged.
        if self.database.has_piece_key(chunk, index) {
            self.counters.add_garbage(piece_len);
        }
        self.batch.put_cf(self.database.pieces(), piece_key(chunk, index), piece.bytes());
        self.batch.put_cf(meta, chunk_key(ENTRY_TAG, chunk), entry.encode());
    }

    fn lease(&mut self, chunk: ChunkId, put: &PutBatch) -> ChunkHoldings {
        let seq = self.counters.seq;
        let Some(entry) = self.chunks.get_mut(&chunk).and_then(|known| known.entry.as_mut()) else {
            return ChunkHoldings { chunk, indices: IndexSet::EMPTY, class: put.class, seq };
        };
        if entry.class < put.class {
            entry.class = put.class;
            self.batch.put_cf(self.database.meta(), chunk_key(ENTRY_TAG, chunk), entry.encode());
        }
        let ChunkEntry { indices, class, .. } = *entry;
        self.add_upload(chunk, Upload { put_id: put.put_id, owner: put.owner }, put.lease_until);
        ChunkHoldings { chunk, indices, class, seq }
    }
}
