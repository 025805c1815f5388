//! Tests of lists of uneven chunks: what is read back, and what our encoder would not have written.

use proptest::{collection::vec, prelude::*};
use prost::Message;

use super::*;
use crate::{
    manifest::{Manifest, ManifestError},
    testing,
};

fn raw(lens: impl IntoIterator<Item = u64>) -> Bytes {
    let rows: Vec<u8> = lens.into_iter().zip(0u32..).flat_map(|(len, nth)| row(&name(nth), len)).collect();
    rows.into()
}

fn name(nth: u32) -> [u8; 32] {
    let mut name = [7; 32];
    name[..4].copy_from_slice(&nth.to_le_bytes());
    name
}

fn here(lens: &[u64]) -> UnevenList {
    UnevenList::new(lens.iter().sum(), lens.len() as u64, raw(lens.iter().copied()))
}

fn counts(chunks: u64) -> impl Iterator<Item = u64> {
    (0..chunks.div_ceil(ROWS_PER_CHUNK)).map(move |nth| rows_in(chunks, nth))
}

/// A list of so many chunks of a MiB.
fn list(chunks: u64) -> UnevenList {
    UnevenList::new(chunks << 20, chunks, raw(counts(chunks).map(|count| count << 20)))
}

/// The same, and what is in the chunks that hold its rows.
fn long(chunks: u64) -> (UnevenList, Vec<Bytes>) {
    (list(chunks), counts(chunks).map(|count| raw((0..count).map(|_| 1 << 20))).collect())
}

fn encoded(total_len: u64, chunks: u64, rows: Bytes) -> Bytes {
    let list = proto::UnevenList { total_len, chunks, rows };
    let body = proto::manifest::Body::Uneven(list);
    proto::Manifest { version: 1, body: Some(body) }.encode_to_vec().into()
}

#[test]
fn lists_of_any_length_fit_a_manifest_and_round_trip() {
    const MAX: u64 = ROWS_MAX * ROWS_PER_CHUNK;
    let short = [here(&[65_537]), here(&[40_000, 1, 40_000])];
    let full = here(&vec![CHUNK_MAX_BYTES as u64; 1_740]);
    let long = [1_741, ROWS_PER_CHUNK, ROWS_PER_CHUNK + 1, MAX].map(list);
    for list in short.into_iter().chain([full]).chain(long) {
        let manifest = Manifest::Uneven(list);
        let encoded = manifest.encode();
        assert!(encoded.len() <= MANIFEST_MAX_BYTES, "{} bytes", encoded.len());
        assert_eq!(Manifest::decode(&encoded), Ok(manifest));
    }
    assert_eq!(check_total(MAX * CDC_MIN_BYTES as u64), Ok(()));
    assert!(check_total(MAX * CDC_MIN_BYTES as u64 + 1).is_err());
}

#[test]
fn rows_in_chunks_say_what_rows_here_say() {
    let chunks = 2 * ROWS_PER_CHUNK + 5;
    let (list, contents) = long(chunks);
    assert_eq!(list.stretch(), None);
    let row_chunks = list.row_chunks();
    assert_eq!(row_chunks.iter().map(|chunk| chunk.count).collect::<Vec<_>>(), [ROWS_PER_CHUNK, ROWS_PER_CHUNK, 5]);
    let read = |(chunk, content): (&RowsChunk, &Bytes)| {
        assert_eq!(chunk.chunk_len(), content.len());
        list.read(chunk, content).expect("as the list says")
    };
    let stretches: Vec<_> = row_chunks.iter().zip(&contents).map(read).collect();
    let offset = (ROWS_PER_CHUNK << 20) + 77;
    assert_eq!(stretches[1].layout.chunk_at(offset), ROWS_PER_CHUNK);
    assert_eq!(stretches[1].ids[0], id(&name(0)));
    let whole = list.joined(stretches);
    assert_eq!(whole.layout, Layout::uneven(vec![1 << 20; usize::try_from(chunks).expect("few")]));
    assert_eq!((whole.first, whole.ids.len() as u64), (0, chunks));
}

#[test]
fn many_rows_go_into_chunks_of_their_own() {
    assert_eq!(UnevenList::contents(&raw([1 << 20; 1_740])), []);
    let (list, contents) = long(ROWS_PER_CHUNK + 2);
    let all: Bytes = contents.concat().into();
    let stored = UnevenList::contents(&all);
    assert_eq!(stored.iter().map(|(content, _)| content.clone()).collect::<Vec<_>>(), contents);
    assert_eq!(
        UnevenList::new(list.total_len(), ROWS_PER_CHUNK + 2, raw(stored.iter().map(|(_, bytes)| *bytes))),
        list
    );
}

#[test]
fn rows_that_do_not_fit_the_list_are_refused() {
    let (list, contents) = long(ROWS_PER_CHUNK + 2);
    let [_, last] = list.row_chunks()[..] else { panic!("two") };
    assert!(list.read(&last, &contents[1]).is_ok());
    for other in [raw([1 << 20]), raw([1 << 20, (1 << 20) + 1]), raw([0, 2 << 20]), raw([1 << 20, 1 << 20, 1])] {
        assert!(list.read(&last, &other).is_err());
    }
    assert!(list.read(&last, &[&contents[1][..], &[0]].concat()).is_err(), "a byte more");
}

#[test]
fn what_our_encoder_would_not_write_is_malformed() {
    const MAX: u64 = CHUNK_MAX_BYTES as u64;
    let refused = |what: &str, field: &'static str, total: u64, chunks: u64, rows: Bytes| {
        let error = Manifest::decode(&encoded(total, chunks, rows));
        assert_eq!(error, Err(ManifestError(WireError::Field { field })), "{what}");
    };
    assert!(Manifest::decode(&encoded(70_000, 2, raw([69_999, 1]))).is_ok());
    refused("short enough to be in the manifest", "total_len", 65_536, 1, raw([65_536]));
    refused("no chunk", "chunks", 70_000, 0, raw([]));
    refused("more chunks than can be", "chunks", u64::MAX, u64::MAX, raw([1]));
    refused("an empty chunk", "rows", 70_000, 2, raw([70_000, 0]));
    refused("a chunk too long", "rows", MAX + 1, 1, raw([MAX + 1]));
    refused("another sum", "rows", 70_001, 2, raw([69_999, 1]));
    refused("a sum beyond numbers", "rows", 70_000, 2, raw([u64::MAX, 70_001]));
    refused("a row too few", "rows", 70_000, 2, raw([70_000]));
    refused("a row too many", "rows", 70_000, 1, raw([69_999, 1]));
    refused("half a row", "rows", 70_000, 1, raw([70_000]).slice(..39));
    refused("two rows where one chunk has them all", "rows", 1_741 << 20, 1_741, raw([1_740 << 20, 1 << 20]));
    refused("rows in chunks that should be here", "rows", 1_740 << 20, 1_740, raw([1_740 << 20]));
    refused("more bytes than its chunks can have", "rows", 1_741 * MAX + 1, 1_741, raw([1_741 * MAX + 1]));
    refused(
        "fewer bytes than its chunks must have",
        "rows",
        70_000,
        70_001,
        raw([16_384, 16_384, 16_384, 16_384, 4_464]),
    );
}

proptest! {
    #[test]
    fn a_flipped_bit_gives_another_list_or_none(lens in vec(70_000u64..1 << 24, 1..40), bit: prop::sample::Index) {
        let manifest = Manifest::Uneven(here(&lens));
        let flipped = testing::flipped(&manifest.encode(), bit);
        if let Ok(other) = Manifest::decode(&flipped) {
            prop_assert_ne!(&other, &manifest);
            prop_assert_eq!(other.encode(), flipped);
        }
    }

    #[test]
    fn arbitrary_numbers_never_panic(total: u64, chunks in prop_oneof![0..2000u64, any::<u64>()], lens in vec(any::<u64>(), 0..60)) {
        let bytes = encoded(total, chunks, raw(lens));
        if let Ok(manifest) = Manifest::decode(&bytes) {
            prop_assert_eq!(manifest.encode(), bytes);
        }
    }

    #[test]
    fn any_lengths_are_read_as_they_were_written(lens in vec(1..=CHUNK_MAX_BYTES as u64, 1..200)) {
        prop_assume!(lens.iter().sum::<u64>() > INLINE_MAX_BYTES as u64);
        let stretch = here(&lens).stretch().expect("few chunks");
        prop_assert_eq!(stretch.layout, Layout::uneven(lens.iter().copied()));
        prop_assert_eq!(stretch.ids.len(), lens.len());
    }

    #[test]
    fn arbitrary_rows_in_chunks_never_panic(content in vec(any::<u8>(), 0..200)) {
        let list = list(ROWS_PER_CHUNK + 2);
        for chunk in list.row_chunks() {
            prop_assert!(list.read(&chunk, &content).is_err());
        }
    }
}
