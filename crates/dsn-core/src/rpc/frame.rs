//! A message as bytes: a big-endian `u32` length, a header of that many bytes (protobuf), then the bodies the header
//! announces, one after the other. A reader checks the length before it reads the header, and what the header announces
//! (and whether a farmer gave leave for it) before it makes room for bodies. No I/O here: the adapter reads and writes.

use bytes::Bytes;
use dsn_proto as proto;
use prost::Message;

use super::{FetchedPart, Request, Response, StoreHeader, StorePart, Token, wire};
use crate::{
    hash::ChunkId,
    limits::{BODIES_MAX_BYTES, HEADER_MAX_BYTES, PARTS_MAX_PER_MESSAGE, PIECE_MAX_BYTES, TOTAL_PIECES},
    wire::{WireError, check, decode_bounded},
};

/// Bytes of the length that starts every message.
pub const LENGTH_BYTES: usize = 4;

/// A message ready to be written: `length`, `header` and `bodies`, in that order.
#[derive(Clone, Debug)]
pub struct Frame {
    /// The length prefix.
    pub length: [u8; LENGTH_BYTES],
    /// The header.
    pub header: Bytes,
    /// The bodies, not copied from where they came.
    pub bodies: Vec<Bytes>,
}

/// A request whose header has been read.
#[derive(Clone, Debug)]
pub enum RequestHead {
    /// It has no bodies.
    Complete(Request),
    /// Bodies follow, if the farmer gave leave for them.
    Store(Vec<StoreHeader>),
}

/// A response whose header has been read.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "one at a time, on its way to the caller")]
pub enum ResponseHead {
    /// It has no bodies.
    Complete(Response),
    /// Bodies follow.
    Fetched(Vec<FetchHeader>),
    /// Bodies of these lengths follow; of a piece not held, none.
    Sliced(Vec<usize>),
}

/// What precedes a piece's bytes in a fetch answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchHeader {
    /// The chunk.
    pub chunk: ChunkId,
    /// The piece's index.
    pub index: u8,
    /// The bytes that follow.
    pub len: usize,
}

/// Reads the length prefix: the bytes of the header that follows.
///
/// # Errors
/// When a header may not have that length.
pub fn header_len(length: [u8; LENGTH_BYTES]) -> Result<usize, WireError> {
    let len = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    check(len > 0, "length")?;
    if len > HEADER_MAX_BYTES { Err(WireError::TooLong { len, max: HEADER_MAX_BYTES }) } else { Ok(len) }
}

/// All bytes that the parts announce.
pub fn bodies_len(lens: impl IntoIterator<Item = usize>) -> usize {
    lens.into_iter().sum()
}

impl Frame {
    /// All bytes of the message.
    pub fn len(&self) -> usize {
        LENGTH_BYTES + self.header.len() + self.bodies_len()
    }

    /// Bytes of its bodies.
    pub fn bodies_len(&self) -> usize {
        bodies_len(self.bodies.iter().map(Bytes::len))
    }

    /// Never: there is always a length prefix.
    pub fn is_empty(&self) -> bool {
        false
    }

    fn new(header: &impl Message, bodies: Vec<Bytes>) -> Self {
        let header = Bytes::from(header.encode_to_vec());
        let len = u32::try_from(header.len()).expect("our own headers are at most 1 MiB");
        Self { length: len.to_be_bytes(), header, bodies }
    }
}

impl From<&Request> for Frame {
    fn from(request: &Request) -> Self {
        let bodies = match request {
            Request::Store(parts) => parts.iter().map(|part| part.bytes.clone()).collect(),
            _ => Vec::new(),
        };
        Self::new(&wire::request_to_proto(request), bodies)
    }
}

impl From<&Response> for Frame {
    fn from(response: &Response) -> Self {
        let bodies = match response {
            Response::Fetched(parts) => parts.iter().map(|part| part.bytes.clone()).collect(),
            Response::Sliced(slices) => slices.iter().flatten().cloned().collect(),
            _ => Vec::new(),
        };
        Self::new(&wire::response_to_proto(response), bodies)
    }
}

impl RequestHead {
    /// Reads a request's header.
    ///
    /// # Errors
    /// When it is malformed or announces more than a message may carry.
    pub fn decode(header: &Bytes) -> Result<Self, WireError> {
        let message: proto::Request = decode_bounded(header, HEADER_MAX_BYTES)?;
        let kind = message.kind.ok_or(WireError::Field { field: "kind" })?;
        if let proto::request::Kind::Store(store) = kind {
            return Ok(Self::Store(store_headers(store)?));
        }
        wire::request_from_proto(kind).map(Self::Complete)
    }
}

impl ResponseHead {
    /// Reads a response's header.
    ///
    /// # Errors
    /// When it is malformed or announces more than a message may carry.
    pub fn decode(header: &Bytes) -> Result<Self, WireError> {
        let message: proto::Response = decode_bounded(header, HEADER_MAX_BYTES)?;
        let kind = message.kind.ok_or(WireError::Field { field: "kind" })?;
        match kind {
            proto::response::Kind::Fetch(fetch) => Ok(Self::Fetched(fetch_headers(fetch)?)),
            proto::response::Kind::Slices(slices) => Ok(Self::Sliced(wire::slice_lens(&slices)?)),
            kind => wire::response_from_proto(kind).map(Self::Complete),
        }
    }
}

fn check_parts(count: usize, lens: impl Iterator<Item = (usize, u32)> + Clone) -> Result<(), WireError> {
    check(count <= PARTS_MAX_PER_MESSAGE, "parts")?;
    let each = lens.clone().all(|(len, index)| {
        (1..=PIECE_MAX_BYTES).contains(&len) && usize::try_from(index).is_ok_and(|i| i < TOTAL_PIECES)
    });
    check(each, "parts")?;
    check(bodies_len(lens.map(|(len, _)| len)) <= BODIES_MAX_BYTES, "len")
}

fn to_usize(len: u32) -> usize {
    usize::try_from(len).unwrap_or(usize::MAX)
}

fn store_headers(store: proto::StoreRequest) -> Result<Vec<StoreHeader>, WireError> {
    check(!store.parts.is_empty(), "parts")?;
    check_parts(store.parts.len(), store.parts.iter().map(|p| (to_usize(p.len), p.index)))?;
    let header = |part: proto::StorePart| {
        Ok(StoreHeader {
            token: Token(part.token[..].try_into().map_err(|_| WireError::Field { field: "token" })?),
            index: u8::try_from(part.index).map_err(|_| WireError::Field { field: "index" })?,
            len: to_usize(part.len),
        })
    };
    store.parts.into_iter().map(header).collect()
}

fn fetch_headers(fetch: proto::FetchResponse) -> Result<Vec<FetchHeader>, WireError> {
    check_parts(fetch.parts.len(), fetch.parts.iter().map(|p| (to_usize(p.len), p.index)))?;
    let header = |part: proto::FetchPart| {
        Ok(FetchHeader {
            chunk: ChunkId::from_slice(&part.chunk_id).ok_or(WireError::Field { field: "chunk_id" })?,
            index: u8::try_from(part.index).map_err(|_| WireError::Field { field: "index" })?,
            len: to_usize(part.len),
        })
    };
    fetch.parts.into_iter().map(header).collect()
}

/// Joins a store request's headers with the bodies read after them, without copying.
///
/// # Panics
/// When `bodies` is shorter than the headers announce.
pub fn store_request(headers: &[StoreHeader], mut bodies: Bytes) -> Request {
    let part = |h: &StoreHeader| StorePart { token: h.token, index: h.index, bytes: bodies.split_to(h.len) };
    Request::Store(headers.iter().map(part).collect())
}

/// Joins a fetch answer's headers with the bodies read after them, without copying.
///
/// # Panics
/// When `bodies` is shorter than the headers announce.
pub fn fetched_response(headers: &[FetchHeader], mut bodies: Bytes) -> Response {
    let part = |h: &FetchHeader| FetchedPart { chunk: h.chunk, index: h.index, bytes: bodies.split_to(h.len) };
    Response::Fetched(headers.iter().map(part).collect())
}

/// Joins the lengths in an answer of slices with the bodies read after them, without copying.
///
/// # Panics
/// When `bodies` is shorter than the lengths announce.
pub fn sliced_response(lens: &[usize], mut bodies: Bytes) -> Response {
    Response::Sliced(lens.iter().map(|len| (*len > 0).then(|| bodies.split_to(*len))).collect())
}
