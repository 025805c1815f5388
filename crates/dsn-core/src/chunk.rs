//! Where a file is cut: every chunk 16 MiB but the last. Split and join are sums on lengths; reading and writing is the
//! client's business.

use crate::limits::CHUNK_MAX_BYTES;

/// Chunks of a content of `len` bytes.
pub fn chunk_count(len: u64) -> u64 {
    len.div_ceil(CHUNK_MAX_BYTES as u64)
}

/// Bytes of chunk `index` of a content of `len` bytes; 0 beyond its end.
pub fn chunk_len(len: u64, index: u64) -> usize {
    let left = len.saturating_sub(chunk_offset(index));
    usize::try_from(left).unwrap_or(usize::MAX).min(CHUNK_MAX_BYTES)
}

/// Where chunk `index` starts.
pub fn chunk_offset(index: u64) -> u64 {
    index.saturating_mul(CHUNK_MAX_BYTES as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_cover_the_file_once() {
        const FULL: u64 = CHUNK_MAX_BYTES as u64;
        for len in [0, 1, FULL - 1, FULL, FULL + 1, 5 * FULL, 5 * FULL + 77] {
            let total: u64 = (0..chunk_count(len)).map(|i| chunk_len(len, i) as u64).sum();
            assert_eq!(total, len);
            assert_eq!(chunk_len(len, chunk_count(len)), 0);
        }
    }
}
