//! Who wants a chunk kept: claims of files, whose owners' newest word is their lease, and uploads that wait for their
//! commit. Only reading; what changes them is in `group/claims`.
//!
//! Invariant: what cannot be read holds the chunk.

use std::{collections::BTreeSet, ops::ControlFlow};

use dsn_core::{
    hash::ChunkId,
    lease::{Lease, VerifiedLease},
    node_id::NodeId,
    ports::{BoundChunks, CollectStep, StoreError},
};
use rocksdb::ReadOptions;

use super::{
    database::Database,
    layout::{Claim, UPLOAD_TAG, Upload, decode_time},
};

/// Whether a chunk is wanted at an instant.
pub(super) struct Holders {
    pub(super) is_held: bool,
    /// Uploads whose time is over.
    pub(super) lapsed: Vec<Upload>,
}

/// The file a lease is about.
pub(super) fn claim_of(lease: &VerifiedLease) -> Claim {
    Claim { owner: lease.body().owner, root: lease.body().root }
}

/// Who holds a chunk when a round of collecting looks at it.
pub(super) fn holders(database: &Database, chunk: ChunkId, step: &CollectStep) -> Result<Holders, StoreError> {
    let mut holders = Holders { is_held: false, lapsed: Vec::new() };
    for upload in uploads(database, chunk)? {
        match database.time(&upload.key(chunk))? {
            Some(Some(until)) if until <= step.now => holders.lapsed.push(upload),
            _runs_or_doubtful => holders.is_held = true,
        }
    }
    if !holders.is_held {
        holders.is_held = is_leased(database, chunk, step.now)?;
    }
    Ok(holders)
}

/// Whether a chunk has a claim whose lease holds or cannot be read.
fn is_leased(database: &Database, chunk: ChunkId, now: u64) -> Result<bool, StoreError> {
    let prefix = Claim::prefix_of_chunk(chunk);
    let mut is_leased = Ok(false);
    database.scan_from(&prefix, prefix.len(), ReadOptions::default(), |key, _| {
        let claim = Claim::from_slice(&key[prefix.len()..]).unwrap_or(Claim::NOBODYS);
        is_leased = database.word(claim).map(|word| word.is_none_or(|word| word.body().holds_at(now)));
        if is_leased == Ok(false) { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    is_leased
}

/// The files a chunk belongs to.
pub(super) fn claims(database: &Database, chunk: ChunkId) -> Result<Vec<Claim>, StoreError> {
    let prefix = Claim::prefix_of_chunk(chunk);
    let mut claims = Vec::new();
    database.scan(&prefix, |key, _| claims.extend(Claim::from_slice(&key[prefix.len()..])))?;
    Ok(claims)
}

/// The uploads that have a provisional lease of a chunk.
pub(super) fn uploads(database: &Database, chunk: ChunkId) -> Result<Vec<Upload>, StoreError> {
    let prefix = Upload::prefix_of_chunk(chunk);
    let mut uploads = Vec::new();
    database.scan(&prefix, |key, _| uploads.extend(Upload::from_slice(&key[prefix.len()..])))?;
    Ok(uploads)
}

/// The leases of a chunk.
pub(super) fn leases(database: &Database, chunk: ChunkId) -> Result<Vec<Lease>, StoreError> {
    let words = claims(database, chunk)?.into_iter().map(|claim| database.word(claim));
    Ok(words.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

/// See [`dsn_core::ports::Upkeep::owned_bytes`].
pub(super) fn owned_bytes(database: &Database, owner: NodeId, now: u64) -> Result<u64, StoreError> {
    let prefix = Claim::prefix_of_owner(owner);
    let mut chunks = BTreeSet::new();
    let mut file: Option<(Claim, bool)> = None;
    let mut failed = None;
    database.scan(&prefix, |key, _| {
        let Some((claim, chunk)) = Claim::from_key(key) else { return };
        if file.is_none_or(|(last, _)| last != claim) {
            let word = database.word(claim).unwrap_or_else(|error| failed.replace(error).and(None));
            file = Some((claim, word.is_none_or(|word| word.body().holds_at(now))));
        }
        chunks.extend(file.filter(|(_, is_held)| *is_held).map(|_| chunk));
    })?;
    database.scan(&[UPLOAD_TAG], |key, value| {
        let runs = decode_time(value).is_none_or(|until| until > now);
        let uploaded = Upload::from_key(key).filter(|(upload, _)| runs && upload.owner == owner);
        chunks.extend(uploaded.map(|(_, chunk)| chunk));
    })?;
    failed.map_or(Ok(()), Err)?;
    let mut bytes = 0;
    for chunk in chunks {
        bytes += database.entry(chunk)?.map_or(0, |entry| entry.bytes());
    }
    Ok(bytes)
}

/// See [`dsn_core::ports::Upkeep::is_wanted_by`].
pub(super) fn is_wanted_by(database: &Database, owner: NodeId, chunk: ChunkId, now: u64) -> Result<bool, StoreError> {
    for claim in claims(database, chunk)?.into_iter().filter(|claim| claim.owner == owner) {
        if database.word(claim)?.is_none_or(|word| word.body().holds_at(now)) {
            return Ok(true);
        }
    }
    for upload in uploads(database, chunk)?.into_iter().filter(|upload| upload.owner == owner) {
        // None: it is gone meanwhile.
        if let Some(until) = database.time(&upload.key(chunk))?
            && until.is_none_or(|until| until > now)
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// How many chunks a file's claims name.
pub(super) fn covered(database: &Database, claim: Claim) -> Result<BoundChunks, StoreError> {
    let mut covered = 0_u32;
    database.scan(&claim.prefix(), |_, _| covered = covered.saturating_add(1))?;
    Ok(BoundChunks(covered))
}

/// The chunks of an upload after one, at most `max`.
pub(super) fn uploaded(
    database: &Database,
    upload: Upload,
    after: Option<ChunkId>,
    max: usize,
) -> Result<Vec<ChunkId>, StoreError> {
    let prefix = upload.prefix();
    let start = after.map_or(prefix.clone(), |chunk| [&upload.key(chunk)[..], &[0]].concat());
    let mut chunks = Vec::new();
    database.scan_from(&start, prefix.len(), ReadOptions::default(), |key, _| {
        chunks.extend(ChunkId::from_slice(&key[prefix.len()..]));
        if chunks.len() < max { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok(chunks)
}

/// Whether a file has claims to other chunks than these. Looks behind them first: those before them were deleted just
/// now, chunk by chunk in the order of their ids, and RocksDB would have to pass by what is left of each.
pub(super) fn has_other(database: &Database, claim: Claim, but: &BTreeSet<ChunkId>) -> Result<bool, StoreError> {
    let prefix = claim.prefix();
    let behind = but.last().map_or(prefix.clone(), |chunk| claim.key(*chunk));
    for start in [behind, prefix.clone()] {
        let mut has_other = false;
        database.scan_from(&start, prefix.len(), ReadOptions::default(), |key, _| {
            has_other = ChunkId::from_slice(&key[prefix.len()..]).is_none_or(|chunk| !but.contains(&chunk));
            if has_other { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        if has_other {
            return Ok(true);
        }
    }
    Ok(false)
}
