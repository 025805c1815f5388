//! Vectors of a request for slices and of its answer: of a piece of several groups, one not held, and a copy.

use bytes::Bytes;
use dsn_core::{
    descriptor::Code,
    erasure::{EncodedChunk, encode},
    rpc::{Request, Response, frame::Frame},
    slice::{GroupRange, SliceWant, cut},
};

use crate::{Vector, check_bytes, content, request_again, response_again, root_chunk, written};

/// A chunk whose pieces have four groups each, the last one short.
fn long_chunk() -> EncodedChunk {
    encode(Code::Rs16Of48, content(16 * 60_000))
}

fn range(first: u32, count: u32) -> GroupRange {
    GroupRange::new(first, count).expect("there can be such groups")
}

pub(crate) fn vectors() -> Vec<Vector> {
    let (data, root) = (long_chunk(), root_chunk());
    let want = |chunk: &EncodedChunk, index, range| SliceWant { chunk: chunk.descriptor.id(), index, range };
    let wants = vec![want(&data, 3, range(1, 2)), want(&data, 47, range(3, 1)), want(&root, 0, range(0, 1))];
    let slice =
        |chunk: &EncodedChunk, index: usize, range| -> Option<Bytes> { cut(chunk.pieces[index].bytes(), range) };
    let slices = vec![slice(&data, 3, range(1, 2)), None, slice(&root, 0, range(0, 1))];
    let request = written(&Frame::from(&Request::Slices(wants)));
    let response = written(&Frame::from(&Response::Sliced(slices)));
    vec![
        Vector { name: "request-slices", bytes: request, again: request_again },
        Vector { name: "response-slices", bytes: response, again: response_again },
    ]
}

#[test]
fn slices_are_the_bytes_they_were() {
    vectors().iter().for_each(check_bytes);
}
