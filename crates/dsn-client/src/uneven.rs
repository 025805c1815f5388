//! Lists of chunks of uneven lengths: making one of what was stored, and reading one whose rows are in chunks of their own.

use bytes::Bytes;
use dsn_core::{
    manifest::{TooLongError, ids},
    uneven::{ROW_BYTES, RowsChunk, Stretch, UnevenList, check_total, row},
};
use futures::{StreamExt, TryStreamExt, stream};

use crate::{
    client::Client,
    download::GetContext,
    error::{GetError, PutError},
    get::join,
    opened::{Place, check_names, fits_memory, malformed},
    put::{StoredContent, Totals},
    upload::PutContext,
};

impl Client {
    /// Names the chunks of a file, and stores the rows that do when they are many.
    pub(crate) async fn put_uneven_list(
        &self,
        context: &PutContext<'_>,
        stored: StoredContent,
        totals: &mut Totals,
    ) -> Result<UnevenList, PutError> {
        check_total(stored.len)?;
        let chunks = stored.lens.len() as u64;
        if !fits_memory(chunks * ROW_BYTES as u64) {
            return Err(TooLongError { total_len: stored.len }.into());
        }
        let all = ids(&stored.ids).zip(&stored.lens).flat_map(|(id, len)| row(id.as_bytes(), *len));
        let mut rows: Bytes = all.collect::<Vec<u8>>().into();
        let contents = UnevenList::contents(&rows);
        if !contents.is_empty() {
            let mut above = Vec::new();
            for (content, bytes) in contents {
                let stored = Box::pin(self.put_part(context, content, totals)).await?;
                above.extend(ids(&stored).flat_map(|id| row(id.as_bytes(), bytes)));
            }
            rows = above.into();
        }
        Ok(UnevenList::new(stored.len, chunks, rows))
    }

    /// All chunks of a file.
    pub(crate) async fn uneven_content(
        &self,
        context: &GetContext<'_>,
        list: &UnevenList,
    ) -> Result<Stretch, GetError> {
        if let Some(all) = list.stretch() {
            return Ok(all);
        }
        let chunks = list.row_chunks();
        check_names(chunks.iter().map(|chunk| chunk.chunk_len() as u64).sum())?;
        let stretches = stream::iter(chunks)
            .map(|chunk| async move { self.stretch(context, list, &chunk).await })
            .buffered(self.options.get_chunks_in_flight);
        Ok(list.joined(stretches.try_collect().await?))
    }

    /// Those that one chunk of rows names.
    pub(crate) async fn stretch(
        &self,
        context: &GetContext<'_>,
        list: &UnevenList,
        chunk: &RowsChunk,
    ) -> Result<Stretch, GetError> {
        let rows = self.fetch_opened(context, Place::alone(chunk.id, chunk.chunk_len(), None)).await?;
        list.read(chunk, &join(rows)).map_err(malformed)
    }
}
