//! What a write changes about who wants a chunk kept, the trash, and the deletion of a chunk with all that belongs to it.
//! Not here: whether to delete it (`collect`).
//!
//! Invariant: every key by chunk and its counterpart by owner come and go in one batch.

use std::collections::BTreeSet;

use dsn_core::{hash::ChunkId, lease::VerifiedLease, ports::StoreError};

use super::{
    super::{
        claims::{claim_of, claims, has_other, uploads},
        layout::{Claim, DESCRIPTOR_TAG, DOUBT_KEY, ENTRY_TAG, TRASH_TAG, Upload, chunk_key, encode_time, piece_key},
    },
    Group,
};

impl Group<'_> {
    /// An upload wants the chunk until then; it leaves the trash.
    pub(super) fn add_upload(&mut self, chunk: ChunkId, upload: Upload, until: u64) {
        let meta = self.database.meta();
        self.batch.put_cf(meta, upload.key(chunk), encode_time(until));
        self.batch.put_cf(meta, upload.key_of_chunk(chunk), []);
        // One that cannot be asked for may be there.
        if !matches!(self.database.time(&chunk_key(TRASH_TAG, chunk)), Ok(None)) {
            self.restore(chunk);
        }
    }

    /// The upload no longer wants the chunk.
    pub(in super::super) fn drop_upload(&mut self, chunk: ChunkId, upload: Upload) {
        let meta = self.database.meta();
        self.batch.delete_cf(meta, upload.key(chunk));
        self.batch.delete_cf(meta, upload.key_of_chunk(chunk));
    }

    /// The chunk belongs to a file.
    pub(in super::super) fn add_claim(&mut self, chunk: ChunkId, claim: Claim) {
        let meta = self.database.meta();
        self.batch.put_cf(meta, claim.key(chunk), []);
        self.batch.put_cf(meta, claim.key_of_chunk(chunk), []);
    }

    /// Keeps those leases of which no newer one of the same owner and root is known, of files that have claims; with
    /// `have_claims` all of them have.
    pub(in super::super) fn keep_newer(
        &mut self,
        leases: &[VerifiedLease],
        have_claims: bool,
    ) -> Result<(), StoreError> {
        for lease in leases {
            let (claim, issued) = (claim_of(lease), lease.body().issued);
            let known = match self.words.get(&claim) {
                Some(issued) => Some(*issued),
                None => self.database.word(claim)?.map(|word| word.body().issued),
            };
            let is_newest = known.is_none_or(|known| known <= issued);
            if is_newest && (have_claims || has_other(self.database, claim, &BTreeSet::new())?) {
                self.batch.put_cf(self.database.meta(), claim.word_key(), lease.as_signed().encode());
                self.words.insert(claim, issued);
            }
        }
        Ok(())
    }

    /// A part of the index may be missing, and pieces with it.
    pub(in super::super) fn doubt(&mut self) {
        self.counters.mark.losses += 1;
        self.batch.put_cf(self.database.meta(), DOUBT_KEY, []);
    }

    /// The chunk goes to the trash.
    pub(in super::super) fn trash(&mut self, chunk: ChunkId, now: u64) {
        self.batch.put_cf(self.database.meta(), chunk_key(TRASH_TAG, chunk), encode_time(now));
    }

    /// The chunk comes out of the trash.
    pub(in super::super) fn restore(&mut self, chunk: ChunkId) {
        self.batch.delete_cf(self.database.meta(), chunk_key(TRASH_TAG, chunk));
    }

    /// Deletes a chunk and what belongs to it; gives the bytes of its pieces, or nothing when there is no readable entry
    /// of it. [`Group::drop_words`] must follow.
    pub(in super::super) fn delete(&mut self, chunk: ChunkId) -> Result<Option<u64>, StoreError> {
        let (claims, uploads) = (claims(self.database, chunk)?, uploads(self.database, chunk)?);
        let Some(entry) = self.database.entry(chunk)? else { return Ok(None) };
        let (meta, pieces) = (self.database.meta(), self.database.pieces());
        for index in entry.indices.iter() {
            self.batch.delete_cf(pieces, piece_key(chunk, index));
            self.counters.remove_piece(entry.piece_len);
            self.counters.add_garbage(entry.piece_len);
        }
        for tag in [ENTRY_TAG, DESCRIPTOR_TAG, TRASH_TAG] {
            self.batch.delete_cf(meta, chunk_key(tag, chunk));
        }
        for upload in uploads {
            self.drop_upload(chunk, upload);
        }
        for claim in claims {
            self.batch.delete_cf(meta, claim.key(chunk));
            self.batch.delete_cf(meta, claim.key_of_chunk(chunk));
            self.unclaimed.entry(claim).or_default().insert(chunk);
        }
        Ok(Some(entry.bytes()))
    }

    /// Forgets the leases of files whose last claims are deleted here. Where that cannot be read they stay.
    pub(in super::super) fn drop_words(&mut self) {
        for (claim, chunks) in &self.unclaimed {
            if has_other(self.database, *claim, chunks) == Ok(false) {
                self.batch.delete_cf(self.database.meta(), claim.word_key());
            }
        }
    }
}
