//! `export`: chosen pieces of every chunk of a file or folder into a folder on disk, to be carried where no network is; and
//! what is missing when they are brought together again. A chunk is fetched as a get fetches it and all of its pieces are
//! computed, so that no holder of the very pieces that are wanted has to be there.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicU64, Ordering},
};

use dsn_core::{cid::Cid, descriptor::Code, hash::ChunkId, index_set::IndexSet};
use futures::{StreamExt, TryStreamExt, stream};

use crate::{
    archive::Archive,
    client::Client,
    custodians::Effort,
    download::{GetContext, Wanted},
    error::{GetError, RepairError},
    output::OutputError,
    progress::{NoProgress, Progress, ProgressEvent},
};

/// Chunks exported at once; each takes up to 64 MiB.
const AT_ONCE: usize = 2;

/// Chunks looked for at once.
const LOOKED_FOR_AT_ONCE: usize = 16;

/// What an export has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportReport {
    /// Bytes of the file, or of all files of the folder.
    pub bytes: u64,
    /// Different chunks, the root chunk included.
    pub chunks: u64,
    /// Pieces that are there now.
    pub pieces: u64,
    /// Of these, pieces that were there before.
    pub kept_pieces: u64,
    /// Bytes written.
    pub written_bytes: u64,
    /// Bytes of pieces received.
    pub wire_bytes: u64,
}

/// A chunk that cannot be rebuilt from what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lacking {
    /// The chunk.
    pub chunk: ChunkId,
    /// Its place among the chunks, from 1; 0 is the root chunk.
    pub number: u64,
    /// Chunks in all, the root chunk left out.
    pub of: u64,
    /// The pieces that are there.
    pub there: IndexSet,
    /// How many different ones are needed.
    pub needed: usize,
}

#[derive(Default)]
struct Counts {
    pieces: AtomicU64,
    kept_pieces: AtomicU64,
    written_bytes: AtomicU64,
}

impl Client {
    /// Writes the `wanted` pieces of every chunk, and the root chunks whole, into `archive`. What is there already is kept.
    /// Dropping the future leaves whole pieces, and perhaps one under another name.
    ///
    /// # Errors
    /// See [`RepairError`]; the disk's are in [`GetError::Output`].
    pub async fn export(
        &self,
        cid: Cid,
        wanted: IndexSet,
        archive: &Archive,
        progress: &dyn Progress,
    ) -> Result<ExportReport, RepairError> {
        let context = self.get_context(progress);
        let export = self.export_guarded(&context, cid, wanted, archive);
        context.dog.guard(export).await.unwrap_or_else(|stalled| Err(stalled.into()))
    }

    async fn export_guarded(
        &self,
        context: &GetContext<'_>,
        cid: Cid,
        wanted: IndexSet,
        archive: &Archive,
    ) -> Result<ExportReport, RepairError> {
        let (chunks, bytes) = self.chunks_of(context, cid).await?;
        context.progress.event(ProgressEvent::Total(bytes));
        let (of, counts) = (chunks.len() as u64 - 1, Counts::default());
        let mut seen = BTreeSet::new();
        let once: Vec<_> = (0..).zip(chunks).filter(|(_, (chunk, _))| seen.insert(*chunk)).collect();
        {
            let exports = once.into_iter().map(|(number, (chunk, code))| {
                let wanted_chunk = Wanted { chunk, code, len: None, number, of };
                self.export_chunk(context, wanted_chunk, wanted, archive, &counts)
            });
            let mut done = std::pin::pin!(stream::iter(exports).buffer_unordered(AT_ONCE));
            while done.try_next().await?.is_some() {}
        }
        Ok(ExportReport {
            bytes,
            chunks: seen.len() as u64,
            pieces: counts.pieces.into_inner(),
            kept_pieces: counts.kept_pieces.into_inner(),
            written_bytes: counts.written_bytes.into_inner(),
            wire_bytes: context.counters.fetched_bytes.load(Ordering::Relaxed),
        })
    }

    async fn export_chunk(
        &self,
        context: &GetContext<'_>,
        wanted: Wanted,
        indices: IndexSet,
        archive: &Archive,
        counts: &Counts,
    ) -> Result<(), RepairError> {
        let locator = self.find(context, wanted, &[Effort::All, Effort::LookUp]).await?;
        let descriptor = locator.descriptor().clone();
        let indices = if descriptor.code() == Code::Rep { descriptor.all_indices() } else { indices };
        let (disk, described) = (archive.clone(), descriptor.clone());
        let kept = on_disk(context, move || Ok(disk.kept(&described, indices))).await?;
        let len = descriptor.chunk_len() as u64;
        if kept != indices {
            let encoded = self.all_pieces(context, wanted, locator).await?;
            let missing = indices.minus(kept);
            let pieces: Vec<_> = encoded.pieces.into_iter().filter(|p| missing.contains(p.index())).collect();
            let disk = archive.clone();
            let written = on_disk(context, move || disk.write(&descriptor, &pieces)).await?;
            counts.written_bytes.fetch_add(written, Ordering::Relaxed);
        }
        counts.pieces.fetch_add(indices.len() as u64, Ordering::Relaxed);
        counts.kept_pieces.fetch_add(kept.len() as u64, Ordering::Relaxed);
        context.progress.event(ProgressEvent::Written(len));
        Ok(())
    }

    /// The chunks of a file or folder that too few pieces are known of. Nothing but what names its chunks is fetched.
    ///
    /// # Errors
    /// When not even that can be.
    pub async fn lacking(&self, cid: Cid) -> Result<Vec<Lacking>, GetError> {
        let context = self.get_context(&NoProgress);
        let (chunks, _) = self.chunks_of(&context, cid).await?;
        let of = chunks.len() as u64 - 1;
        let look = async |(number, (chunk, code)): (u64, (ChunkId, Code))| {
            let there = self.known_pieces(&context, chunk).await?;
            let needed = code.needed();
            Ok::<_, GetError>((there.len() < needed).then_some(Lacking { chunk, number, of, there, needed }))
        };
        let looks = stream::iter((0..).zip(chunks)).map(look).buffered(LOOKED_FOR_AT_ONCE);
        looks.try_filter_map(async |lacking| Ok(lacking)).try_collect().await
    }

    /// The pieces of a chunk that somebody has signed for.
    async fn known_pieces(&self, context: &GetContext<'_>, chunk: ChunkId) -> Result<IndexSet, GetError> {
        let located = self.locate(chunk, Effort::All, &context.dog).await?;
        let holders = located.locator.map(|locator| locator.holders()).unwrap_or_default();
        Ok(holders.into_values().fold(IndexSet::EMPTY, IndexSet::union))
    }
}

/// Runs what waits for a disk, which is no stall of the network.
async fn on_disk<T: Send + 'static>(
    context: &GetContext<'_>,
    work: impl FnOnce() -> Result<T, OutputError> + Send + 'static,
) -> Result<T, GetError> {
    let done = context.dog.pause(tokio::task::spawn_blocking(work)).await;
    Ok(done.expect("no part of writing pieces panics")?)
}
