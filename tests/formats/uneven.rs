//! Vectors of files in chunks of uneven lengths: manifests, public and sealed, and where a made-up file is cut.

use std::fmt::Write;

use bytes::Bytes;
use dsn_core::{
    cid::Cid,
    cutter::Cutter,
    descriptor::Code,
    erasure::encode,
    hash::{ChunkId, Hash},
    limits::{CDC_AVERAGE_BYTES, CDC_MAX_BYTES, CDC_MIN_BYTES, ROWS_PER_CHUNK},
    manifest::Manifest,
    seal::{Key, Secret, seal},
    sealed::{Part, Sealed, SealedBody, reference},
    uneven::{UnevenList, row},
};

use crate::{VALID, Vector, check_bytes, content};

/// Bytes of the file that is cut: first those of every vector, then zeros, in which only the maximum cuts.
const FILE_BYTES: usize = 100 << 20;
const MADE_BYTES: usize = 80 << 20;

fn rows(lens: &[u64]) -> Bytes {
    let rows = (0..).zip(lens).flat_map(|(nth, len)| row(&[nth; 32], *len));
    rows.collect::<Vec<u8>>().into()
}

fn list(lens: &[u64], chunks: u64) -> Manifest {
    Manifest::Uneven(UnevenList::new(lens.iter().sum(), chunks, rows(lens)))
}

fn sealed() -> Manifest {
    let lens = [5_000_000, 1_048_576, 77];
    let secret = Secret::new([0x33; 32]);
    let keys: Vec<Key> = (0..3).map(|nth| secret.chunk_key(&[nth])).collect();
    let plaintext = SealedBody::Uneven(keys.into_iter().zip(lens).collect()).encode();
    let key = secret.file_key(&plaintext);
    let body = seal(&key, &plaintext).freeze();
    let refs: Vec<u8> = (1..4).flat_map(|nth| reference(Code::Rs16Of48, ChunkId(Hash([nth; 32])))).collect();
    Manifest::Sealed(Sealed {
        total_len: lens.iter().sum(),
        commitment: key.commitment(),
        chunks: 3,
        refs: Part::Here(refs.into()),
        body_len: body.len() as u64,
        body: Part::Here(body),
    })
}

pub(crate) fn vectors() -> Vec<Vector> {
    let manifest = |bytes| Manifest::decode(&bytes).expect(VALID).encode();
    let long = [5 << 34, 3 << 34, 1 << 20];
    let of = |name, list: Manifest| Vector { name, bytes: list.encode(), again: manifest };
    vec![
        of("manifest-uneven-0", list(&[5_000_000, 1_048_576, 77], 3)),
        of("manifest-uneven-1", list(&long, 2 * ROWS_PER_CHUNK + 1)),
        of("manifest-sealed-uneven", sealed()),
    ]
}

/// Where `cutter` cuts the file.
fn cuts(cutter: Cutter) -> Vec<usize> {
    let mut file = content(MADE_BYTES);
    file.resize(FILE_BYTES, 0);
    let mut ends = vec![0];
    while let Some(start) = ends.last().copied().filter(|start| *start < FILE_BYTES) {
        ends.push(start + cutter.first_len(&file[start..FILE_BYTES.min(start + CDC_MAX_BYTES)]));
    }
    ends.split_off(1)
}

/// Where a made-up file is cut, by everybody and by one owner, and what the first 9 MB of it are called. Other figures here
/// are other CIDs for every file that was ever put so.
pub(crate) fn file() -> String {
    let secret = Secret::new([0x33; 32]);
    let mut text = format!("bytes {FILE_BYTES}\nsizes {CDC_MIN_BYTES} {CDC_AVERAGE_BYTES} {CDC_MAX_BYTES}\n");
    cuts(Cutter::public()).iter().for_each(|end| writeln!(text, "cut {end}").expect("a text grows"));
    writeln!(text, "seed {:016x}", secret.cut_seed()).expect("a text grows");
    cuts(Cutter::seeded(secret.cut_seed())).iter().for_each(|end| writeln!(text, "cut {end}").expect("a text grows"));
    let mut rest = content(9_000_000);
    let mut rows = Vec::new();
    while !rest.is_empty() {
        let len = Cutter::public().first_len(&rest[..rest.len().min(CDC_MAX_BYTES)]);
        let chunk = encode(Code::Rs16Of48, rest.split_to(len)).descriptor.id();
        writeln!(text, "chunk {len} {chunk}").expect("a text grows");
        rows.extend(row(chunk.as_bytes(), len as u64));
    }
    let list = UnevenList::new(9_000_000, rows.len() as u64 / 40, rows.into());
    let root = encode(Code::Rep, Manifest::Uneven(list).encode().into());
    writeln!(text, "cid {}", Cid(root.descriptor.id())).expect("a text grows");
    text
}

#[test]
fn manifests_of_uneven_chunks_are_the_bytes_they_were() {
    vectors().iter().for_each(check_bytes);
}
