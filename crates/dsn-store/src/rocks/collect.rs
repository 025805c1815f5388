//! Deleting what nobody wants any more, in two looks: a reader goes through the index and picks the chunks about which
//! something must change, mostly none; the writer looks at those again, between puts, and decides. So puts never wait for
//! the walk, and none comes between the decision and the deletion. Not here: when to go round, and how long the trash is
//! kept (the farmer's business).
//!
//! Invariant: what cannot be read is not deleted; while a part of the index may be missing, nothing is.

use std::{
    ops::ControlFlow,
    time::{Duration, Instant},
};

use dsn_core::{
    hash::ChunkId,
    ports::{CollectStep, Collected, StoreError},
};

use super::{
    claims::{Holders, holders},
    database::Database,
    group::Group,
    layout::{ENTRY_TAG, TRASH_TAG, Upload, chunk_key},
    walk::walk,
};
use crate::fate::Fate;

/// Chunks of one look, whatever the caller asks for: a deleted one is some 5 KiB in the batch, so 2.5 MiB.
const LOOK_MAX_CHUNKS: usize = 512;

/// How long the writer may be at it before it sees to the puts that wait; less than an fsync of theirs takes on a disk.
const WRITER_MAX: Duration = Duration::from_millis(3);

/// What a reader found.
pub(super) struct Look {
    /// Chunks about which something must change, in order.
    pub(super) candidates: Vec<ChunkId>,
    /// Where to go on.
    pub(super) next: Option<ChunkId>,
}

/// What is to be done about a chunk.
struct Verdict {
    fate: Fate,
    lapsed: Vec<Upload>,
}

/// The reader's look.
pub(super) fn look(database: &Database, step: &CollectStep) -> Result<Look, StoreError> {
    if database.is_in_doubt()? {
        return Ok(Look { candidates: Vec::new(), next: None });
    }
    let max = step.max_chunks.clamp(1, LOOK_MAX_CHUNKS);
    let mut chunks = Vec::new();
    walk(database, ENTRY_TAG, step.after, |chunk, _| {
        chunks.push(chunk);
        if chunks.len() < max { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    let next = chunks.last().copied().filter(|_| chunks.len() == max);
    let is_candidate = |chunk: &ChunkId| {
        let Verdict { fate, lapsed } = judge(database, *chunk, step);
        fate != Fate::Stays || !lapsed.is_empty()
    };
    Ok(Look { candidates: chunks.into_iter().filter(is_candidate).collect(), next })
}

/// The writer's look: adds what is to change to a group. Stops when the writer is needed elsewhere, and the answer says
/// where to go on.
pub(super) fn apply(group: &mut Group<'_>, database: &Database, step: &CollectStep, look: Look) -> Collected {
    let begin = Instant::now();
    let mut collected = Collected { next: look.next, ..Collected::default() };
    for (chunk, left) in look.candidates.iter().zip((0..look.candidates.len()).rev()) {
        let Verdict { fate, lapsed } = judge(database, *chunk, step);
        match fate {
            Fate::Stays => {}
            Fate::Restored => group.restore(*chunk),
            Fate::Trashed => {
                group.trash(*chunk, step.now);
                collected.trashed += 1;
            }
            Fate::Deleted => match group.delete(*chunk) {
                Ok(bytes) => {
                    collected.deleted += u64::from(bytes.is_some());
                    collected.deleted_bytes += bytes.unwrap_or(0);
                }
                Err(error) => tracing::warn!(%chunk, %error, "a chunk was not deleted"),
            },
        }
        if fate != Fate::Deleted {
            lapsed.into_iter().for_each(|upload| group.drop_upload(*chunk, upload));
        }
        if left > 0 && begin.elapsed() > WRITER_MAX {
            collected.next = Some(*chunk);
            break;
        }
    }
    collected
}

/// Decides about a chunk. One that cannot be read stays; one whose time in the trash cannot be read is there anew.
fn judge(database: &Database, chunk: ChunkId, step: &CollectStep) -> Verdict {
    let judged = holders(database, chunk, step).and_then(|Holders { is_held, lapsed }| {
        let since = database.time(&chunk_key(TRASH_TAG, chunk))?.flatten();
        Ok(Verdict { fate: Fate::of(is_held, since, step), lapsed })
    });
    judged.unwrap_or_else(|error| {
        tracing::warn!(%chunk, %error, "a chunk stays that cannot be judged");
        Verdict { fate: Fate::Stays, lapsed: Vec::new() }
    })
}
