//! Which groups of which data pieces hold a range of a chunk, in bands: each band is the same half of all pieces, so that
//! what is asked for of a piece fits a slice. Pure.

use std::{collections::BTreeMap, ops::Range};

use bytes::Bytes;
use dsn_core::{
    descriptor::{Code, Descriptor},
    limits::{AUDIT_GROUP_BYTES, DATA_PIECES, SLICE_MAX_GROUPS},
    slice::{GroupRange, groups},
};

/// What to ask for of each piece.
pub(super) type Band = BTreeMap<u8, GroupRange>;

/// What to read of a chunk.
#[derive(Debug)]
pub(super) struct Plan {
    piece_len: usize,
    /// Bytes wanted of each data piece, counted from its start.
    wanted: BTreeMap<u8, Range<usize>>,
    /// In the order in which they are read.
    pub(super) bands: Vec<Band>,
}

impl Plan {
    /// Of this range, not empty, of the chunk; none when every group of it would travel.
    pub(super) fn new(descriptor: &Descriptor, range: &Range<usize>) -> Option<Self> {
        let piece_len = descriptor.piece_len();
        if descriptor.code() == Code::Rep {
            return None;
        }
        let within = |index: u8| {
            let start = usize::from(index) * piece_len;
            let within = range.start.max(start)..range.end.min(start + piece_len);
            (!within.is_empty()).then(|| (index, within.start - start..within.end - start))
        };
        let wanted: BTreeMap<u8, Range<usize>> = (0u8..).take(DATA_PIECES).filter_map(within).collect();
        let of_band = |first: u32| {
            let groups = |bytes: &Range<usize>| overlap(bytes, first);
            wanted.iter().filter_map(|(index, bytes)| Some((*index, groups(bytes)?))).collect()
        };
        let all: Vec<Band> = (0..groups(piece_len)).step_by(SLICE_MAX_GROUPS as usize).map(of_band).collect();
        let bands: Vec<Band> = all.into_iter().filter(|band| !band.is_empty()).collect();
        let travel: u32 = bands.iter().flat_map(BTreeMap::values).map(|groups| groups.count()).sum();
        let is_part = (travel as usize) < DATA_PIECES * groups(piece_len) as usize;
        is_part.then_some(Self { piece_len, wanted, bands })
    }

    /// The range, from what came of each piece in each band.
    pub(super) fn join(&self, came: Vec<BTreeMap<u8, Bytes>>) -> Vec<Bytes> {
        let mut parts = BTreeMap::new();
        for (band, came) in self.bands.iter().zip(came) {
            for (index, bytes) in came {
                let (Some(groups), Some(wanted)) = (band.get(&index), self.wanted.get(&index)) else { continue };
                let have = groups.bytes(self.piece_len);
                let part = wanted.start.max(have.start)..wanted.end.min(have.end);
                parts.insert((index, groups.first()), bytes.slice(part.start - have.start..part.end - have.start));
            }
        }
        parts.into_values().collect()
    }
}

/// The groups of the band that starts at group `first` in which these bytes of a piece are.
fn overlap(bytes: &Range<usize>, first: u32) -> Option<GroupRange> {
    let group = |at: usize| u32::try_from(at / AUDIT_GROUP_BYTES).expect("a piece is at most 1 MiB");
    let start = group(bytes.start).max(first);
    let end = (group(bytes.end - 1) + 1).min(first + SLICE_MAX_GROUPS);
    GroupRange::new(start, end.checked_sub(start)?)
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use dsn_core::erasure::{EncodedChunk, encode};

    use super::*;

    fn chunk(len: usize) -> (Vec<u8>, EncodedChunk) {
        let bytes: Vec<u8> = (0..len).map(|at| u8::try_from(at % 251).expect("small")).collect();
        let encoded = encode(Code::Rs16Of48, BytesMut::from(&bytes[..]));
        (bytes, encoded)
    }

    /// What a plan gives when every piece answers, and the groups that travel for it.
    fn read(encoded: &EncodedChunk, range: Range<usize>) -> (Vec<u8>, u32) {
        let plan = Plan::new(&encoded.descriptor, &range).expect("not the whole chunk");
        let piece = |index: u8| encoded.pieces[usize::from(index)].bytes();
        let of_band =
            |band: &Band| band.iter().map(|(i, groups)| (*i, piece(*i).slice(groups.bytes(piece(*i).len())))).collect();
        let travelled = plan.bands.iter().flat_map(BTreeMap::values).map(|groups| groups.count()).sum();
        (plan.join(plan.bands.iter().map(of_band).collect()).concat(), travelled)
    }

    #[test]
    fn ranges_at_every_border_are_what_was_wanted_and_no_group_too_many() {
        const MIB: usize = 1 << 20;
        let (bytes, encoded) = chunk(16 * MIB);
        for (start, len, groups) in [
            (0, 1, 1),
            (16_383, 2, 2),
            (65_536, 65_536, 4),
            (65_535, 65_537, 5),
            (MIB - 1, 2, 2),
            (MIB / 2 - 1, 2, 2),
            (3 * MIB - 100_000, 200_000, 14),
            (MIB, MIB, 64),
            (16_384, 16 * MIB - 16_384, 1023),
            (16 * MIB - 1, 1, 1),
        ] {
            let (read, travelled) = read(&encoded, start..start + len);
            assert!(read == bytes[start..start + len], "{start} {len}");
            assert_eq!(travelled, groups, "{start} {len}");
        }
        for range in [0..16 * MIB, 5..16 * MIB - 1] {
            assert!(Plan::new(&encoded.descriptor, &range).is_none(), "{range:?}");
        }
    }

    #[test]
    fn ranges_of_small_chunks_are_what_was_wanted() {
        for len in [40, 1000, 65_537, 300_000, 1_048_577] {
            let (bytes, encoded) = chunk(len);
            for (start, end) in [(0, 1), (len - 1, len), (len / 3, len / 2)] {
                assert!(read(&encoded, start..end).0 == bytes[start..end], "{len} {start} {end}");
            }
        }
    }
}
