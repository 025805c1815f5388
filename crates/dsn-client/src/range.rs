//! `get` of a part of a file: the chunks that the range touches, a few ahead, of each only what is wanted (`within`). Of a
//! list of lists only the ids that are needed are read, in the same way. Nothing is resumed: a range is read anew.

use std::ops::Range;

use bytes::Bytes;
use dsn_core::{
    chunk::{chunk_count, chunk_offset},
    cid::Cid,
    folder::Place,
    hash::ChunkId,
    limits::CHUNK_MAX_BYTES,
    manifest::{ChunkList, ids},
};
use futures::{StreamExt, TryStreamExt, stream};

use crate::{
    client::Client,
    download::GetContext,
    error::GetError,
    folder::{FileSource, Named, NamedFile},
    get::{GetReport, join},
    opened::{self, Content, Opened},
    output::Output,
    progress::{Progress, ProgressEvent},
};

/// Bytes of a chunk id in a list.
const ID_BYTES: u64 = 32;

/// Ids read at a time from a list of lists: 256 KiB of them name 128 GiB of the file.
const IDS_PER_PAGE: u64 = 8192;

impl Client {
    /// Fetches `length` bytes of a file from `offset` on into `output`, all to its end if there is no length. Dropping the
    /// future leaves in `output` what was written so far.
    ///
    /// What a holder proves is compared with the file's hashes; for what has to be computed from other pieces see
    /// [`Certainty`](crate::Certainty).
    ///
    /// # Errors
    /// See [`GetError`]; [`GetError::BeyondEnd`] before anything is written.
    pub async fn get_range(
        &self,
        cid: Cid,
        offset: u64,
        length: Option<u64>,
        output: &mut dyn Output,
        progress: &dyn Progress,
    ) -> Result<GetReport, GetError> {
        match self.named(cid, None, None).await? {
            Named::File(file) => self.get_part(cid, file, (offset, length), output, progress).await,
            Named::Folder(_) | Named::Link(_) => Err(GetError::Folder),
        }
    }

    /// The same of a file that was found: its offset, and its length unless all to its end is wanted.
    ///
    /// # Errors
    /// As [`Client::get_range`].
    pub async fn get_part(
        &self,
        cid: Cid,
        file: NamedFile,
        part: (u64, Option<u64>),
        output: &mut dyn Output,
        progress: &dyn Progress,
    ) -> Result<GetReport, GetError> {
        let context = self.get_context(progress);
        let get = self.part_guarded(&context, file.source, part, output);
        let bytes = context.dog.guard(get).await.unwrap_or_else(|stalled| Err(stalled.into()))?;
        Ok(GetReport::new(&context, cid, bytes, 0))
    }

    async fn part_guarded(
        &self,
        context: &GetContext<'_>,
        source: FileSource,
        (offset, length): (u64, Option<u64>),
        output: &mut dyn Output,
    ) -> Result<u64, GetError> {
        let file = match source {
            FileSource::Root(file) => Ok(file),
            FileSource::Place(Place::Nowhere) => Ok(Opened::Inline(Bytes::new())),
            FileSource::Place(Place::Alone { cid, len, key }) => {
                Ok(self.open_alone(context, cid, len, key.as_ref()).await?)
            }
            FileSource::Place(Place::Packed { pack, offset, len }) => Err((pack, offset, len)),
        };
        let total = file.as_ref().map_or_else(|(_, _, len)| u64::from(*len), Opened::total_len);
        let range = range_of(total, offset, length).ok_or(GetError::BeyondEnd { total })?;
        let bytes = range.end - range.start;
        context.progress.event(ProgressEvent::Total(bytes));
        output.begin(bytes).await?;
        output.resume_at(0).await?;
        match file {
            Err((pack, offset, _)) => {
                let within = u64::from(offset) + range.start..u64::from(offset) + range.end;
                let place = opened::Place::alone(pack.chunk, pack.len as usize, pack.key);
                let parts = self.read_opened(context, place, within).await?;
                self.write(context, parts, output).await?;
            }
            Ok(Opened::Inline(content)) => {
                let at = |at: u64| usize::try_from(at).expect("within 64 KiB");
                self.write(context, vec![content.slice(at(range.start)..at(range.end))], output).await?;
            }
            Ok(Opened::Content(content)) => self.write_range(context, &content, range, output).await?,
            Ok(Opened::List(list)) if list.level() == 0 => {
                let content = Content::public(list.ids().collect(), 0, total);
                self.write_range(context, &content, range, output).await?;
            }
            Ok(Opened::List(list)) => self.write_pages(context, &list, range, output).await?,
            Ok(Opened::Folder(..)) => return Err(GetError::Folder),
        }
        output.finish().await?;
        Ok(bytes)
    }

    /// The range of a file whose list names lists, page by page.
    async fn write_pages(
        &self,
        context: &GetContext<'_>,
        list: &ChunkList,
        range: Range<u64>,
        output: &mut dyn Output,
    ) -> Result<(), GetError> {
        let total = list.total_len();
        for page in pages(&range) {
            let ids = self.ids_of(context, list, page.clone()).await?;
            let of_page = range.start.max(chunk_offset(page.start))..range.end.min(chunk_offset(page.end));
            self.write_range(context, &Content::public(ids, page.start, total), of_page, output).await?;
        }
        Ok(())
    }

    /// The ids of these chunks of a file whose list names lists: nothing else of the lists travels.
    pub(crate) async fn ids_of(
        &self,
        context: &GetContext<'_>,
        list: &ChunkList,
        chunks: Range<u64>,
    ) -> Result<Vec<ChunkId>, GetError> {
        let content = Content::public(list.ids().collect(), 0, list.content_len());
        let raw = self.content(context, &content, chunks.start * ID_BYTES..chunks.end * ID_BYTES);
        let raw: Vec<Vec<Bytes>> = raw.try_collect().await?;
        Ok(ids(&join(raw.into_iter().flatten().collect())).collect())
    }

    async fn write_range(
        &self,
        context: &GetContext<'_>,
        content: &Content,
        range: Range<u64>,
        output: &mut dyn Output,
    ) -> Result<(), GetError> {
        let mut parts = std::pin::pin!(self.content(context, content, range));
        while let Some(parts) = parts.try_next().await? {
            self.write(context, parts, output).await?;
        }
        Ok(())
    }

    async fn write(
        &self,
        context: &GetContext<'_>,
        parts: Vec<Bytes>,
        output: &mut dyn Output,
    ) -> Result<(), GetError> {
        let bytes = parts.iter().map(|part| part.len() as u64).sum();
        // A reader that takes its time (a pager behind a pipe) is no stall of the network.
        context.dog.pause(output.write(parts)).await?;
        context.progress.event(ProgressEvent::Written(bytes));
        Ok(())
    }

    /// The range of a content in order, a few chunks fetched ahead.
    fn content<'a>(
        &'a self,
        context: &'a GetContext<'_>,
        content: &Content,
        range: Range<u64>,
    ) -> impl futures::Stream<Item = Result<Vec<Bytes>, GetError>> + use<'a> {
        let from = content.chunk_at(range.start);
        let begins: Vec<(u64, opened::Place)> = content
            .places(from)
            .map(|(index, place)| (content.offset(index), place))
            .take_while(|(start, _)| *start < range.end)
            .collect();
        stream::iter(begins)
            .map(move |(start, place)| {
                let end = range.end.min(start + place.len as u64);
                self.read_opened(context, place, range.start.max(start) - start..end - start)
            })
            .buffered(self.options.get_chunks_in_flight)
    }
}

/// The chunks of a content in which a range is.
fn touched(range: &Range<u64>) -> Range<u64> {
    if range.is_empty() {
        return 0..0;
    }
    range.start / CHUNK_MAX_BYTES as u64..chunk_count(range.end)
}

/// The same, so many at a time.
fn pages(range: &Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let Range { start, end } = touched(range);
    let page = move |nth: u64| start + nth * IDS_PER_PAGE..end.min(start + (nth + 1) * IDS_PER_PAGE);
    (0..(end - start).div_ceil(IDS_PER_PAGE)).map(page)
}

/// The bytes wanted of a file of `total` bytes; none when it has not all of them.
fn range_of(total: u64, offset: u64, length: Option<u64>) -> Option<Range<u64>> {
    let end = length.map_or(Some(total.max(offset)), |length| offset.checked_add(length))?;
    (end <= total).then_some(offset..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_within_the_file_or_is_none() {
        assert_eq!(range_of(100, 0, None), Some(0..100));
        assert_eq!(range_of(100, 40, None), Some(40..100));
        assert_eq!(range_of(100, 40, Some(60)), Some(40..100));
        assert_eq!(range_of(100, 100, None), Some(100..100));
        assert_eq!(range_of(100, 100, Some(0)), Some(100..100));
        assert_eq!(range_of(0, 0, None), Some(0..0));
        for (offset, length) in [(101, None), (u64::MAX, None), (40, Some(61)), (100, Some(1)), (1, Some(u64::MAX))] {
            assert_eq!(range_of(100, offset, length), None, "{offset} {length:?}");
        }
    }

    #[test]
    fn pages_cover_the_chunks_of_a_range_once() {
        const CHUNK: u64 = CHUNK_MAX_BYTES as u64;
        assert_eq!(pages(&(0..0)).count(), 0);
        assert!(pages(&(5 * CHUNK - 1..5 * CHUNK + 1)).eq(std::iter::once(4..6)));
        let long = 3 * CHUNK + 1..(3 + 2 * IDS_PER_PAGE) * CHUNK + 1;
        let first = 3 + IDS_PER_PAGE;
        let pages: Vec<_> = pages(&long).collect();
        assert_eq!(pages, [3..first, first..first + IDS_PER_PAGE, first + IDS_PER_PAGE..first + IDS_PER_PAGE + 1]);
    }
}
