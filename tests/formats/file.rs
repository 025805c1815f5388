//! What `put` makes of a file: its pieces, its chunks, its manifest and its CID.

use std::fmt::Write;

use bytes::BytesMut;
use dsn_core::{
    chunk::Layout,
    cid::Cid,
    descriptor::Code,
    erasure::encode,
    hash::{ChunkId, Hash},
    limits::{CHUNK_MAX_BYTES, INLINE_MAX_BYTES},
    manifest::{ChunkList, Manifest, level_for},
};

use crate::{content, list};

pub(crate) fn pieces(len: usize) -> String {
    let encoded = encode(Code::Rs16Of48, content(len));
    let mut text = format!("chunk_id {}\n", encoded.descriptor.id());
    for piece in &encoded.pieces {
        writeln!(text, "piece {} {}", piece.index(), Hash::of(piece.bytes())).expect("a text grows");
    }
    text
}

/// What `put` does to a file, without a network.
fn put(file: BytesMut) -> (Cid, Vec<ChunkId>) {
    let file = file.freeze();
    let total = file.len() as u64;
    let mut chunks = Vec::new();
    let manifest = if file.len() <= INLINE_MAX_BYTES {
        Manifest::Inline(file)
    } else {
        let (mut rest, layout) = (file, Layout::even(total));
        for index in 0..layout.count() {
            let chunk = BytesMut::from(&rest.split_to(layout.chunk_len(index))[..]);
            chunks.push(encode(Code::Rs16Of48, chunk).descriptor.id());
        }
        let ids = chunks.iter().flat_map(|id| *id.as_bytes()).collect();
        Manifest::List(ChunkList::new(level_for(total).expect("not too long"), total, ids))
    };
    let root = encode(Code::Rep, BytesMut::from(&manifest.encode()[..]));
    (Cid(root.descriptor.id()), chunks)
}

pub(crate) fn cids() -> String {
    let mut text = String::new();
    for len in [0, 1, 65_536, 65_537, CHUNK_MAX_BYTES, CHUNK_MAX_BYTES + 1] {
        let (cid, chunks) = put(content(len));
        writeln!(text, "bytes {len}\ncid {cid}\nroot {}", cid.0).expect("a text grows");
        chunks.iter().for_each(|id| writeln!(text, "chunk {id}").expect("a text grows"));
    }
    text
}

/// The longest file of level 0, the shortest of level 1 and the longest of all.
pub(crate) fn manifests() -> String {
    let mut text = String::new();
    let longest = 2175 << 43;
    for total in [2175 << 24, (2175 << 24) + 1, longest] {
        let list = list(total);
        let (level, ids) = (list.level(), list.ids().len());
        let encoded = Manifest::List(list).encode();
        writeln!(text, "bytes {total}\nlevel {level}\nids {ids}\nencoded {}", encoded.len()).expect("a text grows");
        writeln!(text, "hash {}", Hash::of(&encoded)).expect("a text grows");
    }
    assert!(level_for(longest + 1).is_err());
    text
}
