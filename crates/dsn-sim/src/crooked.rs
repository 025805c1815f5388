//! An uploader that puts chunks of its own making, and a hostile one: a file whose parity belongs to other data. Every piece
//! is what its descriptor commits to, so farmers take all of them; only who computes with parity can see it, and must say so.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use dsn_client::{Ailing, ClientOptions};
use dsn_core::{
    cid::Cid,
    descriptor::{Code, Descriptor},
    erasure::{EncodedChunk, encode},
    hash::Hash,
    limits::DATA_PIECES,
    locator::VerifiedLocator,
    manifest::{ChunkList, Manifest},
    piece::{Piece, VerifiedPiece},
    redundancy::Class,
};

use crate::world::World;

/// Which data the parity of a crooked file belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crook {
    /// To other data altogether.
    All,
    /// To data of which only this piece is another.
    Piece(usize),
}

/// Uploads the file; none when that failed. It must be of one chunk, and too long for its root chunk.
pub async fn put_crooked(world: &World, bytes: &Bytes, crook: Crook) -> Option<Cid> {
    let honest = encode(Code::Rs16Of48, BytesMut::from(&bytes[..]));
    let piece_len = honest.descriptor.piece_len();
    let is_other = |at: usize| crook == Crook::All || crook == Crook::Piece(at / piece_len);
    let other: BytesMut = bytes.iter().enumerate().map(|(at, byte)| if is_other(at) { !byte } else { *byte }).collect();
    let other = encode(Code::Rs16Of48, other).pieces;
    let mixed = honest.pieces.into_iter().take(DATA_PIECES).chain(other.into_iter().skip(DATA_PIECES));
    let mixed: Vec<Bytes> = mixed.map(|piece| piece.bytes().clone()).collect();
    let hashes: Vec<Hash> = mixed.iter().map(|bytes| Hash::of(bytes)).collect();
    let descriptor = Descriptor::new(Code::Rs16Of48, bytes.len(), &hashes);
    let pieces = (0u8..).zip(mixed).map(|(index, bytes)| Piece { index, bytes }.verify(&descriptor));
    let pieces: Vec<VerifiedPiece> = pieces.collect::<Result<_, _>>().ok()?;
    let list = ChunkList::new(0, bytes.len() as u64, Bytes::copy_from_slice(descriptor.id().as_bytes()));
    put_chunks(world, vec![EncodedChunk { descriptor, pieces }], Manifest::List(list)).await
}

/// Uploads these chunks and a root chunk with the manifest; none when that failed.
pub async fn put_chunks(world: &World, chunks: Vec<EncodedChunk>, manifest: Manifest) -> Option<Cid> {
    let client = world.client(ClientOptions::default());
    let survey = client.survey().await.ok()?;
    let root = encode(Code::Rep, BytesMut::from(&manifest.encode()[..]));
    let cid = Cid(root.descriptor.id());
    for EncodedChunk { descriptor, pieces } in chunks.into_iter().chain([root]) {
        let new = Ailing { locator: VerifiedLocator::new(descriptor), class: Class::Normal, held: BTreeMap::new() };
        client.hand_off(&new, pieces, Vec::new(), &survey, world.uploader()).await.ok()?;
    }
    Some(cid)
}
