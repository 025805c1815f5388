//! The manifest of a file in chunks of uneven lengths: rows of a chunk id and a length, in the manifest or, when they are
//! many, in chunks of their own. A reader checks every length and their sum; where whoever put the file chose to cut is
//! not checked.

use bytes::Bytes;
use dsn_proto as proto;

use crate::{
    chunk::Layout,
    hash::ChunkId,
    limits::{CDC_MIN_BYTES, CHUNK_MAX_BYTES, INLINE_MAX_BYTES, MANIFEST_MAX_BYTES, ROWS_MAX, ROWS_PER_CHUNK},
    manifest::TooLongError,
    wire::{WireError, check},
};

/// Bytes of a row: 32 that name, and a length as a little-endian number of 8.
pub const ROW_BYTES: usize = 40;

/// Names the chunks of a file, or those that hold the rows that do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnevenList {
    total_len: u64,
    chunks: u64,
    rows: Bytes,
}

/// Chunks of a file that follow each other, and where they are in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// What they are called.
    pub ids: Vec<ChunkId>,
    /// The number of the first.
    pub first: u64,
    /// The file's, of which no other chunks may be known.
    pub layout: Layout,
}

/// A chunk that holds rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowsChunk {
    /// What it is called.
    pub id: ChunkId,
    /// The number of the first chunk that it names.
    pub first: u64,
    /// How many it names.
    pub count: u64,
    /// Where the first of these begins in the file.
    pub start: u64,
    /// The bytes of the file that they hold.
    pub bytes: u64,
}

impl RowsChunk {
    /// Bytes of the chunk itself.
    pub fn chunk_len(&self) -> usize {
        usize::try_from(self.count).expect("a chunk holds few rows") * ROW_BYTES
    }
}

/// Writes a row.
pub fn row(name: &[u8; 32], len: u64) -> [u8; ROW_BYTES] {
    let mut row = [0; ROW_BYTES];
    row[..32].copy_from_slice(name);
    row[32..].copy_from_slice(&len.to_le_bytes());
    row
}

/// Reads rows; a rest shorter than a row is left out.
pub fn rows(raw: &[u8]) -> impl ExactSizeIterator<Item = (&[u8; 32], u64)> {
    raw.as_chunks::<ROW_BYTES>().0.iter().map(|row| {
        let (name, len) = row.split_first_chunk::<32>().expect("40 bytes");
        (name, u64::from_le_bytes(len.try_into().expect("8 bytes")))
    })
}

/// Checks that these are `count` rows of chunks with 1 to `max` bytes each, `total` together.
///
/// # Errors
/// When they are not.
pub fn check_rows(raw: &[u8], count: u64, total: u64, max: u64) -> Result<(), WireError> {
    check(count.checked_mul(ROW_BYTES as u64) == Some(raw.len() as u64), "rows")?;
    let sum = rows(raw).try_fold(0u64, |sum, (_, len)| {
        let is_chunk = (1..=max).contains(&len);
        if is_chunk { sum.checked_add(len) } else { None }
    });
    check(sum == Some(total), "rows")
}

/// Whether a file of so many bytes can be named however it is cut by content.
///
/// # Errors
/// When it may be too long.
pub fn check_total(total_len: u64) -> Result<(), TooLongError> {
    let fits = total_len.div_ceil(CDC_MIN_BYTES as u64) <= ROWS_MAX * ROWS_PER_CHUNK;
    if fits { Ok(()) } else { Err(TooLongError { total_len }) }
}

impl UnevenList {
    /// Names the chunks of a file: `rows` are theirs, or, when these have [`contents`](Self::contents), those of
    /// the chunks that hold them.
    ///
    /// # Panics
    /// When the rows do not fit the numbers.
    pub fn new(total_len: u64, chunks: u64, rows: Bytes) -> Self {
        let list = Self { total_len, chunks, rows };
        list.validate().expect("as many rows as the chunks ask for, of as many bytes");
        list
    }

    /// Whether the rows of so many chunks are in chunks of their own.
    fn in_chunks(chunks: u64) -> bool {
        chunks > ROWS_MAX
    }

    /// What goes into chunks of its own when the rows of all chunks are many, each with the bytes of the file that its
    /// rows stand for.
    pub fn contents(all: &Bytes) -> Vec<(Bytes, u64)> {
        if !Self::in_chunks(rows(all).len() as u64) {
            return Vec::new();
        }
        let per_chunk = usize::try_from(ROWS_PER_CHUNK).expect("a chunk holds few rows") * ROW_BYTES;
        let content = |start: usize| {
            let content = all.slice(start..all.len().min(start + per_chunk));
            let bytes = rows(&content).map(|(_, len)| len).sum();
            (content, bytes)
        };
        (0..all.len()).step_by(per_chunk).map(content).collect()
    }

    /// Bytes of the file.
    pub fn total_len(&self) -> u64 {
        self.total_len
    }

    /// The chunks that hold rows; none when these are here.
    pub fn row_chunks(&self) -> Vec<RowsChunk> {
        if !Self::in_chunks(self.chunks) {
            return Vec::new();
        }
        let mut start = 0;
        let chunk = |(nth, (name, bytes)): (usize, (&[u8; 32], u64))| {
            let first = nth as u64 * ROWS_PER_CHUNK;
            let count = rows_in(self.chunks, nth as u64);
            let chunk = RowsChunk { id: id(name), first, count, start, bytes };
            start += bytes;
            chunk
        };
        rows(&self.rows).enumerate().map(chunk).collect()
    }

    /// The chunks of the file, when their rows are here.
    pub fn stretch(&self) -> Option<Stretch> {
        (!Self::in_chunks(self.chunks)).then(|| self.stretch_of(0, 0, &self.rows))
    }

    /// The chunks of the file that are named by one of [`row_chunks`](Self::row_chunks), which has this content.
    ///
    /// # Errors
    /// When its rows are not as many, or not of as many bytes, as the list says.
    pub fn read(&self, chunk: &RowsChunk, content: &[u8]) -> Result<Stretch, WireError> {
        check_rows(content, chunk.count, chunk.bytes, CHUNK_MAX_BYTES as u64)?;
        Ok(self.stretch_of(chunk.first, chunk.start, content))
    }

    /// What all these say, in order.
    pub fn joined(&self, stretches: Vec<Stretch>) -> Stretch {
        let lens = stretches.iter().flat_map(|stretch| {
            let known = stretch.first..stretch.first + stretch.ids.len() as u64;
            known.map(|index| stretch.layout.chunk_len(index) as u64)
        });
        let layout = Layout::uneven(lens);
        Stretch { ids: stretches.into_iter().flat_map(|stretch| stretch.ids).collect(), first: 0, layout }
    }

    fn stretch_of(&self, first: u64, start: u64, raw: &[u8]) -> Stretch {
        let ids = rows(raw).map(|(name, _)| id(name)).collect();
        let file = Layout::unknown(self.total_len, self.chunks);
        Stretch { ids, first, layout: file.known_in_part(first, start, rows(raw).map(|(_, len)| len)) }
    }

    pub(crate) fn to_message(&self) -> proto::UnevenList {
        proto::UnevenList { total_len: self.total_len, chunks: self.chunks, rows: self.rows.clone() }
    }

    pub(crate) fn from_message(message: proto::UnevenList) -> Result<Self, WireError> {
        let list = Self { total_len: message.total_len, chunks: message.chunks, rows: message.rows };
        list.validate()?;
        Ok(list)
    }

    fn validate(&self) -> Result<(), WireError> {
        check(self.total_len > INLINE_MAX_BYTES as u64, "total_len")?;
        check((1..=ROWS_MAX * ROWS_PER_CHUNK).contains(&self.chunks), "chunks")?;
        if !Self::in_chunks(self.chunks) {
            return check_rows(&self.rows, self.chunks, self.total_len, CHUNK_MAX_BYTES as u64);
        }
        let count = self.chunks.div_ceil(ROWS_PER_CHUNK);
        check_rows(&self.rows, count, self.total_len, ROWS_PER_CHUNK * CHUNK_MAX_BYTES as u64)?;
        let fits = |(nth, (_, bytes)): (usize, (&[u8; 32], u64))| {
            let count = rows_in(self.chunks, nth as u64);
            (count..=count * CHUNK_MAX_BYTES as u64).contains(&bytes)
        };
        check(rows(&self.rows).enumerate().all(fits), "rows")
    }
}

/// Rows in number `nth` of the chunks that hold those of `chunks` chunks.
fn rows_in(chunks: u64, nth: u64) -> u64 {
    (chunks - nth * ROWS_PER_CHUNK).min(ROWS_PER_CHUNK)
}

fn id(name: &[u8; 32]) -> ChunkId {
    ChunkId::from_slice(name).expect("32 bytes")
}

const _: () =
    assert!(ROWS_MAX * ROW_BYTES as u64 + 32 <= MANIFEST_MAX_BYTES as u64, "the other fields take at most 32 bytes");
const _: () = assert!(ROWS_PER_CHUNK * ROW_BYTES as u64 <= CHUNK_MAX_BYTES as u64);

#[cfg(test)]
mod tests;
