//! Where a file is cut by its content (FastCDC), so that bytes put in or taken out move only the cuts near them. The sizes
//! and the rolling hash are frozen by a vector: another cut is another CID. Only this file knows the library.

use fastcdc::v2020::{FastCDC, Normalization};

use crate::limits::{CDC_AVERAGE_BYTES, CDC_MAX_BYTES, CDC_MIN_BYTES};

/// Finds cuts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cutter {
    seed: u64,
}

impl Cutter {
    /// Cuts the same content alike for everybody.
    pub fn public() -> Self {
        Self::seeded(0)
    }

    /// Cuts by a number that others do not know, so that they cannot tell a file by the lengths of its chunks alone.
    pub fn seeded(seed: u64) -> Self {
        Self { seed }
    }

    /// Bytes of the first chunk of these, which are the next [`CDC_MAX_BYTES`] of a file or all that are left of it; 0 only
    /// of none.
    pub fn first_len(self, bytes: &[u8]) -> usize {
        let (min, average, max) = (CDC_MIN_BYTES, CDC_AVERAGE_BYTES, CDC_MAX_BYTES);
        let cutter = FastCDC::with_level_and_seed(bytes, min, average, max, Normalization::Level1, self.seed);
        cutter.cut(0, bytes.len()).1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        blake3::Hasher::new().update(b"cut me").finalize_xof().fill(&mut bytes);
        bytes
    }

    /// The chunks' lengths, found as a put does: from windows of the longest chunk.
    fn lens(cutter: Cutter, mut bytes: &[u8]) -> Vec<usize> {
        std::iter::from_fn(|| {
            let len = cutter.first_len(&bytes[..bytes.len().min(CDC_MAX_BYTES)]);
            bytes = &bytes[len..];
            (len > 0).then_some(len)
        })
        .collect()
    }

    #[test]
    fn chunks_are_within_their_bounds_and_cover_the_file() {
        for bytes in [content(50 << 20), vec![0; 40 << 20], content(CDC_MIN_BYTES), content(1), content(0)] {
            let lens = lens(Cutter::public(), &bytes);
            assert_eq!(lens.iter().sum::<usize>(), bytes.len());
            let (last, others) = lens.split_last().unwrap_or((&1, &[]));
            assert!((1..=CDC_MAX_BYTES).contains(last));
            assert!(others.iter().all(|len| (CDC_MIN_BYTES..=CDC_MAX_BYTES).contains(len)), "{lens:?}");
        }
    }

    #[test]
    fn bytes_at_the_front_move_the_first_cuts_only() {
        let old = content(64 << 20);
        let tail = |lens: Vec<usize>| lens[lens.len() - 10..].to_vec();
        for bytes in [1, 2, 1000] {
            let new = [&vec![1; bytes], &old[..]].concat();
            assert_eq!(tail(lens(Cutter::public(), &new)), tail(lens(Cutter::public(), &old)), "{bytes}");
        }
    }

    #[test]
    fn another_seed_cuts_elsewhere() {
        let bytes = content(32 << 20);
        let seeded = |seed| lens(Cutter::seeded(seed), &bytes);
        assert_ne!(seeded(1), seeded(0));
        assert_ne!(seeded(1), seeded(2));
        assert_eq!(seeded(1), seeded(1));
    }
}
