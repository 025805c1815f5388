//! Going through all chunks held, a page at a time, so that memory does not grow with the store and nobody waits long for
//! it. Chunks that come or go meanwhile may be met or not.

use std::sync::Arc;

use dsn_core::{
    hash::ChunkId,
    ports::{StoreError, StoredChunk, Upkeep},
};

use crate::farmer::Farmer;

/// The pages that are left.
pub(crate) struct Pages {
    store: Arc<dyn Upkeep>,
    after: Option<ChunkId>,
    max: usize,
}

impl Farmer {
    /// All chunks held, at most so many a page.
    pub(crate) fn pages(&self, max: usize) -> Pages {
        Pages { store: Arc::clone(&self.parts.store), after: None, max }
    }
}

impl Pages {
    /// The next page, never empty; none at the end. A page that could not be read may be asked for again.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<StoredChunk>>, StoreError> {
        let page = self.store.chunks_after(self.after, self.max).await?;
        let Some(last) = page.last() else { return Ok(None) };
        self.after = Some(last.descriptor.id());
        Ok(Some(page))
    }
}
