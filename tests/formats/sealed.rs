//! Vectors of sealed files: manifests, short and long, and a capability's text.

use bytes::Bytes;
use dsn_core::{
    capability::Capability,
    cid::Cid,
    descriptor::Code,
    hash::{ChunkId, Hash},
    manifest::Manifest,
    seal::{Key, Secret, seal},
    sealed::{Part, Sealed, SealedBody, reference},
};

use crate::{VALID, Vector, check_bytes};

fn chunk(byte: u8) -> ChunkId {
    ChunkId(Hash([byte; 32]))
}

fn short() -> (Manifest, Key) {
    let body = SealedBody::Inline(Bytes::from_static(b"nobody else reads this"));
    let plaintext = body.encode();
    let key = Secret::new([0x33; 32]).file_key(&plaintext);
    let body = seal(&key, &plaintext).freeze();
    let sealed = Sealed {
        total_len: 22,
        commitment: key.commitment(),
        chunks: 0,
        refs: Part::Here(Bytes::new()),
        body_len: body.len() as u64,
        body: Part::Here(body),
    };
    (Manifest::Sealed(sealed), key)
}

pub(crate) fn vectors() -> Vec<Vector> {
    let manifest = |bytes| Manifest::decode(&bytes).expect(VALID).encode();
    let keys: Vec<Key> = (0..2).map(|nth| Secret::new([0x33; 32]).chunk_key(&[nth])).collect();
    let plaintext = SealedBody::Keys(keys).encode();
    let key = Secret::new([0x33; 32]).file_key(&plaintext);
    let body = seal(&key, &plaintext).freeze();
    let refs = [reference(Code::Rs16Of48, chunk(1)), reference(Code::Rs16Of48, chunk(2))].concat();
    let of_chunks = Sealed {
        total_len: 16_773_121,
        commitment: key.commitment(),
        chunks: 2,
        refs: Part::Here(refs.into()),
        body_len: body.len() as u64,
        body: Part::Here(body),
    };
    let long = Sealed {
        // Not what 3,000 chunks hold: only who opens the body can tell.
        total_len: 50_319_360_000,
        chunks: 3000,
        refs: Part::Chunks(Bytes::from_static(&[4; 32])),
        body_len: 96_036,
        body: Part::Chunks(Bytes::from_static(&[5; 32])),
        ..of_chunks.clone()
    };
    let of = |name, sealed: Manifest| Vector { name, bytes: sealed.encode(), again: manifest };
    vec![
        of("manifest-sealed", short().0),
        of("manifest-sealed-chunks", Manifest::Sealed(of_chunks)),
        of("manifest-sealed-long", Manifest::Sealed(long)),
    ]
}

pub(crate) fn capability() -> String {
    let capability = Capability { cid: Cid(chunk(9)), key: short().1 };
    assert_eq!(capability.to_text().parse(), Ok(capability.clone()));
    format!("{}\n", *capability.to_text())
}

#[test]
fn sealed_manifests_are_the_bytes_they_were() {
    vectors().iter().for_each(check_bytes);
}
