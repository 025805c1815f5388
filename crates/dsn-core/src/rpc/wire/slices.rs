//! Requests for slices and their answers between domain types and protobuf. The bodies of an answer are `frame`'s.

use bytes::Bytes;
use dsn_proto as proto;

use super::{field, number};
use crate::{
    hash::ChunkId,
    limits::{BODIES_MAX_BYTES, SLICES_MAX_PER_REQUEST, TOTAL_PIECES},
    slice::{GroupRange, SLICE_MAX_BYTES, SliceWant},
    wire::{WireError, check},
};

pub(super) fn wants_to_proto(wants: &[SliceWant]) -> proto::SlicesRequest {
    let want = |want: &SliceWant| proto::SliceWant {
        chunk_id: Bytes::copy_from_slice(want.chunk.as_bytes()),
        index: u32::from(want.index),
        first: want.range.first(),
        count: want.range.count(),
    };
    proto::SlicesRequest { wants: wants.iter().map(want).collect() }
}

pub(super) fn wants_from_proto(slices: &proto::SlicesRequest) -> Result<Vec<SliceWant>, WireError> {
    check((1..=SLICES_MAX_PER_REQUEST).contains(&slices.wants.len()), "wants")?;
    let want = |want: &proto::SliceWant| {
        let index = u8::try_from(want.index).ok().filter(|index| usize::from(*index) < TOTAL_PIECES);
        Ok(SliceWant {
            chunk: ChunkId::from_slice(&want.chunk_id).ok_or(field("chunk_id"))?,
            index: index.ok_or(field("index"))?,
            range: GroupRange::new(want.first, want.count).ok_or(field("count"))?,
        })
    };
    slices.wants.iter().map(want).collect()
}

pub(super) fn lens_to_proto(slices: &[Option<Bytes>]) -> proto::SlicesResponse {
    let len = |slice: &Option<Bytes>| slice.as_ref().map_or(0, |slice| number(slice.len()));
    proto::SlicesResponse { lens: slices.iter().map(len).collect() }
}

/// The lengths of the bodies that follow, none of which is longer than a slice can be.
pub(in crate::rpc) fn lens_from_proto(slices: &proto::SlicesResponse) -> Result<Vec<usize>, WireError> {
    check(slices.lens.len() <= SLICES_MAX_PER_REQUEST, "lens")?;
    let lens: Vec<usize> = slices.lens.iter().map(|len| usize::try_from(*len).unwrap_or(usize::MAX)).collect();
    check(lens.iter().all(|len| *len <= SLICE_MAX_BYTES), "lens")?;
    check(lens.iter().sum::<usize>() <= BODIES_MAX_BYTES, "lens")?;
    Ok(lens)
}
