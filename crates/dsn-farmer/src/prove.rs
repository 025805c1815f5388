//! Answers audits, and those who read a part of a file: the slices asked for, cut from the pieces as they lie on the disk.
//! Not here: auditing others.

use bytes::Bytes;
use dsn_core::{
    audit::{AuditItem, SLICE_MAX_BYTES},
    limits::{BODIES_MAX_BYTES, HEADER_MAX_BYTES},
    ports::{StoreError, compute},
    rpc::{Audited, Refusal, Response},
    slice::{self, GroupRange, SliceWant},
};

use crate::{farmer::Farmer, state::Counters};

/// Slices that surely fit one answer.
const SLICES_PER_ANSWER: usize = (HEADER_MAX_BYTES - 64 * 1024) / SLICE_MAX_BYTES;

impl Farmer {
    /// Proves what is asked for, as far as it fits one answer.
    pub(crate) async fn prove(&self, items: &[AuditItem]) -> Result<Response, Refusal> {
        let mut slices = Vec::with_capacity(items.len().min(SLICES_PER_ANSWER));
        for AuditItem { chunk, index, group } in items.iter().take(SLICES_PER_ANSWER) {
            let range = GroupRange::new(*group, 1).ok_or(Refusal::Malformed)?;
            slices.push(self.slice(SliceWant { chunk: *chunk, index: *index, range }).await?);
        }
        Ok(Response::Audited(Audited { mark: self.parts.store.mark(), slices }))
    }

    /// As many of the wanted slices as fit one message. All of it counts as served.
    pub(crate) async fn slices(&self, wants: &[SliceWant]) -> Result<Response, Refusal> {
        let (mut slices, mut bytes) = (Vec::with_capacity(wants.len()), 0);
        for want in wants {
            // Cutting costs the reading of a whole piece, so what may not fit is not cut.
            if bytes + slice::slice_max_bytes(want.range.count()) > BODIES_MAX_BYTES {
                break;
            }
            let slice = self.slice(*want).await?;
            bytes += slice.as_ref().map_or(0, Bytes::len);
            slices.push(slice);
        }
        Counters::add(&self.counters.served_bytes, bytes);
        Ok(Response::Sliced(slices))
    }

    /// A slice; none when the piece is not held or is damaged.
    async fn slice(&self, SliceWant { chunk, index, range }: SliceWant) -> Result<Option<Bytes>, Refusal> {
        match self.parts.store.piece(chunk, index).await {
            Ok(None) => Ok(None),
            Ok(Some(piece)) => {
                let cut = move || slice::cut(&piece, range);
                compute(&*self.parts.compute, cut).await.map(Some).ok_or(Refusal::Malformed)
            }
            Err(StoreError::Corrupt { .. }) => {
                self.found_damaged(chunk, index);
                Ok(None)
            }
            Err(error) => Err(Self::storage(&error)),
        }
    }
}
