//! Going through the index in the order of chunk ids, in pages. What is damaged is passed by: a block that cannot be read
//! costs at most the chunks of one part in 65,536 of all ids, and the walk goes on behind it. Not here: what to do with
//! what is found.

use std::ops::ControlFlow;

use dsn_core::{
    hash::ChunkId,
    locator::Locator,
    ports::{StoreError, StoredChunk},
};
use rocksdb::ReadOptions;

use super::{
    database::{Database, is_damage, store_error},
    layout::{ChunkEntry, ENTRY_TAG, LOCATOR_TAG, chunk_key},
};

/// Calls `visit` with the chunk and the value of each key of this kind, after `after`, until it says to stop.
pub(super) fn walk(
    database: &Database,
    tag: u8,
    after: Option<ChunkId>,
    mut visit: impl FnMut(ChunkId, &[u8]) -> ControlFlow<()>,
) -> Result<(), StoreError> {
    let mut start = after.map_or(vec![tag], |chunk| [&chunk_key(tag, chunk)[..], &[0]].concat());
    loop {
        let mut last = None;
        let scanned = database.try_scan(&start, 1, ReadOptions::default(), |key, value| {
            let Some(chunk) = ChunkId::from_slice(&key[1..]) else { return ControlFlow::Continue(()) };
            last = Some(chunk);
            visit(chunk, value)
        });
        match scanned {
            Ok(()) => return Ok(()),
            Err(error) if is_damage(&error) => {
                let reached = last.map_or(start, |chunk| chunk_key(tag, chunk).to_vec());
                let Some(next) = behind(&reached) else { return Ok(()) };
                start = next;
            }
            Err(error) => return Err(store_error("scan the index", &error)),
        }
    }
}

/// Where to go on when what follows a key cannot be read: at the next value of the first two bytes of the chunk id.
fn behind(key: &[u8]) -> Option<Vec<u8>> {
    let byte = |at: usize| key.get(at).copied().unwrap_or(0);
    let next = u16::from_be_bytes([byte(1), byte(2)]).checked_add(1)?;
    Some([&[byte(0)], &next.to_be_bytes()[..]].concat())
}

/// See [`dsn_core::ports::Upkeep::chunks_after`].
pub(super) fn chunks_after(
    database: &Database,
    after: Option<ChunkId>,
    max: usize,
) -> Result<Vec<StoredChunk>, StoreError> {
    page(database, ENTRY_TAG, after, max, |chunk, value| {
        let entry = ChunkEntry::decode(value).filter(|entry| !entry.indices.is_empty());
        entry.map_or(Ok(None), |entry| database.described(chunk, entry))
    })
}

/// See [`dsn_core::ports::Upkeep::locators_after`].
pub(super) fn locators_after(
    database: &Database,
    after: Option<ChunkId>,
    max: usize,
) -> Result<Vec<Locator>, StoreError> {
    page(database, LOCATOR_TAG, after, max, |chunk, value| {
        let locator = Locator::decode(&bytes::Bytes::copy_from_slice(value)).ok();
        Ok(locator.filter(|locator| locator.chunk() == chunk))
    })
}

/// The first `max` of what `read` makes of the values.
pub(super) fn page<T>(
    database: &Database,
    tag: u8,
    after: Option<ChunkId>,
    max: usize,
    read: impl Fn(ChunkId, &[u8]) -> Result<Option<T>, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let (mut page, mut failure) = (Vec::new(), None);
    if max == 0 {
        return Ok(page);
    }
    walk(database, tag, after, |chunk, value| {
        match read(chunk, value) {
            Ok(found) => page.extend(found),
            Err(error) => failure = Some(error),
        }
        if page.len() < max && failure.is_none() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    failure.map_or(Ok(page), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_is_passed_by_in_parts_of_the_ids() {
        assert_eq!(behind(b"c"), Some(vec![b'c', 0, 1]));
        assert_eq!(behind(&[b'c', 1, 0xff, 9, 9]), Some(vec![b'c', 2, 0]));
        assert_eq!(behind(&[b'c', 0xff, 0xff, 9]), None);
    }
}
