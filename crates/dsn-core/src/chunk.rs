//! Where each chunk of a content begins and ends: chunks of one size but the last, or of lengths that a manifest says. The
//! only place that maps an offset to a chunk. Where content says to cut is in `cutter`; reading and writing is the
//! client's business.

use std::sync::Arc;

use crate::limits::{CHUNK_MAX_BYTES, SEALED_CHUNK_BYTES};

/// The chunks of a content by their numbers, from 0, and its bytes by their offsets. Of a long content the edges of some
/// chunks that follow each other may be all that is known; of the others nobody may ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    total: u64,
    count: u64,
    edges: Edges,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Edges {
    /// Every chunk but the last has so many bytes.
    Even(u64),
    /// Where the chunks from number `first` on begin, and where the last of them ends.
    Uneven { first: u64, edges: Arc<[u64]> },
}

impl Layout {
    /// A content of `total` bytes in chunks of 16 MiB.
    pub fn even(total: u64) -> Self {
        Self::every(CHUNK_MAX_BYTES, total)
    }

    /// The plaintext of one that is sealed.
    pub fn sealed(total: u64) -> Self {
        Self::every(SEALED_CHUNK_BYTES, total)
    }

    fn every(chunk_bytes: usize, total: u64) -> Self {
        let chunk_bytes = chunk_bytes as u64;
        Self { total, count: total.div_ceil(chunk_bytes), edges: Edges::Even(chunk_bytes) }
    }

    /// A content in chunks of these lengths, each at least 1.
    pub fn uneven(lens: impl IntoIterator<Item = u64>) -> Self {
        let edges = edges(0, lens);
        let (total, count) = (edges[edges.len() - 1], edges.len() as u64 - 1);
        Self { total, count, edges: Edges::Uneven { first: 0, edges } }
    }

    /// A content of which only these chunks are known: from number `first` on, that begins at `start`.
    pub fn known_in_part(self, first: u64, start: u64, lens: impl IntoIterator<Item = u64>) -> Self {
        Self { edges: Edges::Uneven { first, edges: edges(start, lens) }, ..self }
    }

    /// The bytes of a content and the number of its chunks, of which none is known.
    pub fn unknown(total: u64, count: u64) -> Self {
        Self { total, count, edges: Edges::Uneven { first: 0, edges: edges(0, []) } }
    }

    /// Bytes of the content.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Its chunks.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Where a chunk begins; the end of what is known for those beyond it.
    pub fn offset(&self, index: u64) -> u64 {
        match &self.edges {
            Edges::Even(chunk_bytes) => index.saturating_mul(*chunk_bytes).min(self.total),
            Edges::Uneven { first, edges } => {
                let nth = usize::try_from(index.saturating_sub(*first)).unwrap_or(usize::MAX);
                edges[nth.min(edges.len() - 1)]
            }
        }
    }

    /// Bytes of a chunk; 0 beyond the end.
    pub fn chunk_len(&self, index: u64) -> usize {
        let len = self.offset(index.saturating_add(1)) - self.offset(index);
        usize::try_from(len).expect("at most a chunk")
    }

    /// The number of the chunk that has this byte; of what is known the last and one more when there is no such byte.
    pub fn chunk_at(&self, offset: u64) -> u64 {
        match &self.edges {
            Edges::Even(_) if offset >= self.total => self.count,
            Edges::Even(chunk_bytes) => offset / chunk_bytes,
            Edges::Uneven { first, edges } => {
                first + (edges.partition_point(|edge| *edge <= offset) as u64).saturating_sub(1)
            }
        }
    }
}

fn edges(start: u64, lens: impl IntoIterator<Item = u64>) -> Arc<[u64]> {
    let ends = lens.into_iter().scan(start, |end, len| {
        *end = end.saturating_add(len);
        Some(*end)
    });
    std::iter::once(start).chain(ends).collect()
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    const FULL: u64 = CHUNK_MAX_BYTES as u64;

    fn check(layout: &Layout) {
        let (total, count) = (layout.total(), layout.count());
        let sum: u64 = (0..count).map(|index| layout.chunk_len(index) as u64).sum();
        assert_eq!(sum, total, "chunks cover the content once");
        assert_eq!((layout.chunk_len(count), layout.offset(count)), (0, total));
        assert_eq!((layout.chunk_at(total), layout.chunk_at(u64::MAX)), (count, count));
        for index in 0..count {
            let (start, len) = (layout.offset(index), layout.chunk_len(index) as u64);
            assert!(len > 0);
            assert_eq!([start, start + len / 2, start + len - 1].map(|at| layout.chunk_at(at)), [index; 3]);
        }
    }

    #[test]
    fn even_chunks_cover_the_content_once() {
        for len in [0, 1, FULL - 1, FULL, FULL + 1, 5 * FULL, 5 * FULL + 77] {
            check(&Layout::even(len));
            check(&Layout::sealed(len));
        }
        assert_eq!(Layout::even(u64::MAX).chunk_len(u64::MAX / FULL), CHUNK_MAX_BYTES - 1);
    }

    proptest! {
        #[test]
        fn uneven_chunks_cover_the_content_once(lens in vec(1..=FULL, 0..50)) {
            check(&Layout::uneven(lens));
        }

        #[test]
        fn a_part_says_of_its_chunks_what_the_whole_says(lens in vec(1..=FULL, 1..50), at: prop::sample::Index) {
            let whole = Layout::uneven(lens.clone());
            let first = at.index(lens.len());
            let part = Layout::unknown(whole.total(), whole.count());
            let part = part.known_in_part(first as u64, whole.offset(first as u64), lens[first..].iter().copied());
            prop_assert_eq!((part.total(), part.count()), (whole.total(), whole.count()));
            for index in first as u64..whole.count() {
                prop_assert_eq!(part.offset(index), whole.offset(index));
                prop_assert_eq!(part.chunk_len(index), whole.chunk_len(index));
                prop_assert_eq!(part.chunk_at(part.offset(index)), index);
            }
        }
    }
}
