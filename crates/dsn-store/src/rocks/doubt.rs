//! What is done at the start about an index of which a part may be missing, or that was written before chunks knew their
//! claims: the keys by chunk are made again from those by owner; and after damage, which may have cost claims too, every
//! chunk held gets a claim of nobody's, which holds it for good. That costs space. Deleting a chunk whose lease was lost
//! would cost the chunk.
//!
//! Invariant: the note of the doubt goes last, so that a start that is killed begins again.

use std::ops::ControlFlow;

use dsn_core::{hash::ChunkId, ports::StoreError};
use rocksdb::{Error, WriteBatch};

use super::{
    database::Database,
    layout::{CLAIM_TAG, Claim, DOUBT_KEY, ENTRY_TAG, UPLOAD_TAG, Upload},
    walk::walk,
};

/// Keys of one write: some 500 KiB.
const WRITE_MAX_KEYS: usize = 4096;

/// Why an index was not put right.
pub(super) enum Unsettled {
    /// RocksDB took no write.
    Write(Error),
    /// The index could not be read, for another reason than damage.
    Read(StoreError),
}

/// Puts an index right in which something may be missing; with `is_old` only the keys by chunk are.
pub(super) fn settle(database: &Database, is_old: bool) -> Result<(), Unsettled> {
    let is_whole = index_by_chunk(database)?;
    if !is_old || !is_whole {
        hold_all(database)?;
    }
    let mut batch = WriteBatch::default();
    batch.delete_cf(database.meta(), DOUBT_KEY);
    database.write(batch).map_err(Unsettled::Write)
}

/// Makes the keys by chunk from those by owner; says whether all of those could be read.
fn index_by_chunk(database: &Database) -> Result<bool, Unsettled> {
    let mut keys = Keys::new(database);
    let claims = database.scan(&[CLAIM_TAG], |key, _| {
        if let Some((claim, chunk)) = split(key, 64) {
            keys.extend(Claim::from_slice(claim).map(|claim| claim.key_of_chunk(chunk)));
        }
    });
    let uploads = database.scan(&[UPLOAD_TAG], |key, _| {
        if let Some((upload, chunk)) = split(key, 48) {
            keys.extend(Upload::from_slice(upload).map(|upload| upload.key_of_chunk(chunk)));
        }
    });
    keys.finish()?;
    Ok(claims.is_ok() && uploads.is_ok())
}

/// Gives every chunk a claim of nobody's.
fn hold_all(database: &Database) -> Result<(), Unsettled> {
    let (mut keys, mut chunks) = (Keys::new(database), 0_u64);
    walk(database, ENTRY_TAG, None, |chunk, _| {
        chunks += 1;
        keys.extend([Claim::NOBODYS.key(chunk), Claim::NOBODYS.key_of_chunk(chunk)]);
        ControlFlow::Continue(())
    })
    .map_err(Unsettled::Read)?;
    tracing::warn!(chunks, "after damage to the index, what the store holds is kept without end");
    keys.finish()
}

/// The parts of a key by owner: `len` bytes after the first, and the chunk.
fn split(key: &[u8], len: usize) -> Option<(&[u8], ChunkId)> {
    let (of, chunk) = key[1..].split_at_checked(len)?;
    Some((of, ChunkId::from_slice(chunk)?))
}

/// Writes keys without values, many at a time, and remembers the first failure.
struct Keys<'a> {
    database: &'a Database,
    batch: WriteBatch,
    failure: Option<Error>,
}

impl<'a> Keys<'a> {
    fn new(database: &'a Database) -> Self {
        Self { database, batch: WriteBatch::default(), failure: None }
    }

    fn extend(&mut self, keys: impl IntoIterator<Item = Vec<u8>>) {
        for key in keys {
            self.batch.put_cf(self.database.meta(), key, []);
        }
        if self.batch.len() >= WRITE_MAX_KEYS {
            self.write();
        }
    }

    fn write(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        if self.failure.is_none() {
            self.failure = self.database.write(batch).err();
        }
    }

    fn finish(mut self) -> Result<(), Unsettled> {
        self.write();
        self.failure.map_or(Ok(()), |error| Err(Unsettled::Write(error)))
    }
}
