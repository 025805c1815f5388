//! Answers audits: the slices asked for, cut from the pieces as they lie on the disk. Not here: auditing others.

use bytes::Bytes;
use dsn_core::{
    audit::{self, AuditItem, SLICE_MAX_BYTES},
    limits::HEADER_MAX_BYTES,
    ports::{StoreError, compute},
    rpc::{Audited, Refusal, Response},
};

use crate::farmer::Farmer;

/// Slices that surely fit one answer.
const SLICES_PER_ANSWER: usize = (HEADER_MAX_BYTES - 64 * 1024) / SLICE_MAX_BYTES;

impl Farmer {
    /// Proves what is asked for, as far as it fits one answer.
    pub(crate) async fn prove(&self, items: &[AuditItem]) -> Result<Response, Refusal> {
        let mut slices = Vec::with_capacity(items.len().min(SLICES_PER_ANSWER));
        for item in items.iter().take(SLICES_PER_ANSWER) {
            slices.push(self.slice(*item).await?);
        }
        Ok(Response::Audited(Audited { mark: self.parts.store.mark(), slices }))
    }

    /// A slice; none when the piece is not held or is damaged.
    async fn slice(&self, item: AuditItem) -> Result<Option<Bytes>, Refusal> {
        match self.parts.store.piece(item.chunk, item.index).await {
            Ok(None) => Ok(None),
            Ok(Some(piece)) => {
                let cut = move || audit::slice(&piece, item.group);
                compute(&*self.parts.compute, cut).await.map(Some).ok_or(Refusal::Malformed)
            }
            Err(StoreError::Corrupt { .. }) => {
                self.found_damaged(item.chunk, item.index);
                Ok(None)
            }
            Err(error) => Err(Self::storage(&error)),
        }
    }
}
