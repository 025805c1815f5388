//! `get`: a CID to a file. The root chunk gives the manifest, the manifest the chunks; a few are fetched ahead, written in
//! order. What an earlier run left behind is checked against the descriptors and kept.

use std::sync::atomic::Ordering;

use bytes::{Bytes, BytesMut};
use dsn_core::{
    cid::Cid,
    descriptor::Code,
    hash::ChunkId,
    manifest::{ChunkList, Manifest, ids},
};
use futures::{StreamExt, TryStreamExt, stream};

use crate::{
    client::Client,
    download::{GetContext, GetCounters, Wanted},
    error::GetError,
    opened::{Content, Opened, check_names},
    output::{Output, OutputError},
    progress::{Progress, ProgressEvent},
    watchdog::Watchdog,
};

/// What a get has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetReport {
    /// The file's name.
    pub cid: Cid,
    /// Bytes of the file, or of the range of it that was wanted.
    pub bytes: u64,
    /// True pieces received, or slices of them.
    pub pieces_fetched: u64,
    /// Pieces received, or slices of them, with other bytes than they should have.
    pub pieces_bad: u64,
    /// Chunks of which something had to be computed from parity.
    pub decoded_chunks: u64,
    /// Bytes of the file kept from an earlier run.
    pub resumed_bytes: u64,
    /// Bytes of pieces received, or of slices of them with their proofs.
    pub wire_bytes: u64,
}

impl GetReport {
    pub(crate) fn new(context: &GetContext<'_>, cid: Cid, bytes: u64, resumed_bytes: u64) -> Self {
        let counters = &context.counters;
        Self {
            cid,
            bytes,
            pieces_fetched: counters.pieces_fetched.load(Ordering::Relaxed),
            pieces_bad: counters.pieces_bad.load(Ordering::Relaxed),
            decoded_chunks: counters.decoded_chunks.load(Ordering::Relaxed),
            resumed_bytes,
            wire_bytes: counters.fetched_bytes.load(Ordering::Relaxed),
        }
    }
}

impl Client {
    /// Fetches a file into `output`. Dropping the future leaves in `output` what was written so far.
    ///
    /// # Errors
    /// See [`GetError`]. `output` is finished only after the last byte was checked.
    pub async fn get(&self, cid: Cid, output: &mut dyn Output, progress: &dyn Progress) -> Result<GetReport, GetError> {
        let context = self.get_context(progress);
        let get = self.get_guarded(&context, cid, output);
        context.dog.guard(get).await.unwrap_or_else(|stalled| Err(stalled.into()))
    }

    pub(crate) fn get_context<'a>(&self, progress: &'a dyn Progress) -> GetContext<'a> {
        GetContext { progress, dog: Watchdog::new(self.options.stall_after), counters: GetCounters::default() }
    }

    async fn get_guarded(
        &self,
        context: &GetContext<'_>,
        cid: Cid,
        output: &mut dyn Output,
    ) -> Result<GetReport, GetError> {
        let manifest = self.manifest(context, cid).await?;
        let opened = self.open_manifest(context, manifest, None).await?;
        let bytes = opened.total_len();
        context.progress.event(ProgressEvent::Total(bytes));
        let resumed_bytes = self.write_file(context, opened, output).await?;
        Ok(GetReport::new(context, cid, bytes, resumed_bytes))
    }

    /// Writes a file; gives the bytes that were there already.
    pub(crate) async fn write_file(
        &self,
        context: &GetContext<'_>,
        file: Opened,
        output: &mut dyn Output,
    ) -> Result<u64, GetError> {
        let bytes = file.total_len();
        let content = match file {
            Opened::Folder(..) => return Err(GetError::Folder),
            Opened::Inline(content) => {
                output.begin(bytes).await?;
                output.write(vec![content]).await?;
                context.progress.event(ProgressEvent::Written(bytes));
                output.finish().await?;
                return Ok(0);
            }
            Opened::List(list) => {
                output.begin(bytes).await?;
                Content::public(self.content_ids(context, list).await?, 0, bytes)
            }
            Opened::Uneven(list) => {
                output.begin(bytes).await?;
                self.uneven_content(context, &list).await?.into()
            }
            Opened::Content(content) => {
                output.begin(bytes).await?;
                content
            }
        };
        let resumed_bytes = self.keep(context, &content, output).await?;
        let taken_bytes = self.write_rest(context, &content, resumed_bytes, output).await?;
        output.finish().await?;
        Ok(resumed_bytes + taken_bytes)
    }

    /// Fetches and reads the root chunk.
    pub(crate) async fn manifest(&self, context: &GetContext<'_>, cid: Cid) -> Result<Manifest, GetError> {
        let wanted = Wanted { chunk: cid.0, code: Code::Rep, len: None, number: 0, of: 0 };
        let parts = self.fetch_chunk(context, wanted).await?;
        Ok(Manifest::decode(&join(parts))?)
    }

    /// The ids of the chunks that hold the file's bytes: those of the list, or those in the chunks that it names.
    pub(crate) async fn content_ids(
        &self,
        context: &GetContext<'_>,
        list: ChunkList,
    ) -> Result<Vec<ChunkId>, GetError> {
        if list.level() == 0 {
            return Ok(list.ids().collect());
        }
        check_names(list.content_len())?;
        let lists = Content::public(list.ids().collect(), 0, list.content_len());
        let raw: Vec<Vec<Bytes>> = self.contents(context, &lists, 0).try_collect().await?;
        Ok(ids(&join(raw.into_iter().flatten().collect())).collect())
    }

    /// The chunks of a content from number `from` on, opened, in order, a few fetched ahead.
    pub(crate) fn contents<'a>(
        &'a self,
        context: &'a GetContext<'_>,
        content: &Content,
        from: u64,
    ) -> impl futures::Stream<Item = Result<Vec<Bytes>, GetError>> + use<'a> {
        stream::iter(content.places(from))
            .map(move |(_, place)| self.fetch_opened(context, place))
            .buffered(self.options.get_chunks_in_flight)
    }

    /// Checks what an earlier run left behind; gives the bytes that may stay.
    async fn keep(
        &self,
        context: &GetContext<'_>,
        content: &Content,
        output: &mut dyn Output,
    ) -> Result<u64, GetError> {
        for (index, place) in content.places(0) {
            let (offset, len) = (content.layout.offset(index), place.len);
            let Some(bytes) = output.existing(offset, len).await? else { return Ok(offset) };
            if !self.is_opened(context, place, bytes).await? {
                return Ok(offset);
            }
            context.progress.event(ProgressEvent::Resumed(len as u64));
        }
        Ok(content.layout.total())
    }

    /// Writes what is left, fetched or taken from what the output says may have it; gives the bytes that were taken.
    async fn write_rest(
        &self,
        context: &GetContext<'_>,
        content: &Content,
        from: u64,
        output: &mut dyn Output,
    ) -> Result<u64, GetError> {
        output.resume_at(from).await?;
        let (seed, total, mut taken_bytes) = (output.seed(), content.layout.total(), 0);
        let chunks = stream::iter(content.places(content.layout.chunk_at(from))).map(|(index, place)| {
            let guesses = seed.guesses(total, content.layout.offset(index), place.len);
            async move {
                match self.take_opened(context, &place, guesses).await? {
                    Some(taken) => Ok((vec![taken], true)),
                    None => Ok::<_, GetError>((self.fetch_opened(context, place).await?, false)),
                }
            }
        });
        let mut chunks = std::pin::pin!(chunks.buffered(self.options.get_chunks_in_flight));
        while let Some((parts, is_taken)) = chunks.try_next().await? {
            let bytes = parts.iter().map(|part| part.len() as u64).sum();
            // A reader that takes its time (a pager behind a pipe) is no stall of the network.
            context.dog.pause(output.write(parts)).await?;
            if is_taken {
                taken_bytes += bytes;
                context.progress.event(ProgressEvent::Resumed(bytes));
            } else {
                context.progress.event(ProgressEvent::Written(bytes));
            }
        }
        Ok(taken_bytes)
    }
}

pub(crate) fn join(parts: Vec<Bytes>) -> Bytes {
    match <[Bytes; 1]>::try_from(parts) {
        Ok([one]) => one,
        Err(parts) => parts
            .iter()
            .fold(BytesMut::new(), |mut all, part| {
                all.extend_from_slice(part);
                all
            })
            .freeze(),
    }
}

impl From<OutputError> for GetError {
    fn from(error: OutputError) -> Self {
        Self::Output(error)
    }
}
