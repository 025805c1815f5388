//! A hostile uploader: a file whose parity belongs to other data. Every piece is what its descriptor commits to, so
//! farmers take all of them; only who computes with parity can see it, and must say so.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use dsn_client::{Ailing, Client, ClientOptions, Survey};
use dsn_core::{
    cid::Cid,
    descriptor::{Code, Descriptor},
    erasure::encode,
    hash::Hash,
    limits::DATA_PIECES,
    locator::VerifiedLocator,
    manifest::{ChunkList, Manifest},
    piece::{Piece, VerifiedPiece},
    redundancy::Class,
};

use crate::world::World;

/// Uploads the file; none when that failed. It must be of one chunk, and too long for its root chunk.
pub(crate) async fn put_crooked(world: &World, bytes: &Bytes) -> Option<Cid> {
    let client = world.client(ClientOptions::default());
    let survey = client.survey().await.ok()?;
    let honest = encode(Code::Rs16Of48, BytesMut::from(&bytes[..])).pieces;
    let flipped: BytesMut = bytes.iter().map(|byte| !byte).collect();
    let other = encode(Code::Rs16Of48, flipped).pieces;
    let mixed = honest.into_iter().take(DATA_PIECES).chain(other.into_iter().skip(DATA_PIECES));
    let mixed: Vec<Bytes> = mixed.map(|piece| piece.bytes().clone()).collect();
    let hashes: Vec<Hash> = mixed.iter().map(|bytes| Hash::of(bytes)).collect();
    let descriptor = Descriptor::new(Code::Rs16Of48, bytes.len(), &hashes);
    let pieces = (0u8..).zip(mixed).map(|(index, bytes)| Piece { index, bytes }.verify(&descriptor));
    let pieces: Vec<VerifiedPiece> = pieces.collect::<Result<_, _>>().ok()?;
    give(world, &client, &survey, descriptor.clone(), pieces).await?;
    let list = ChunkList::new(0, bytes.len() as u64, Bytes::copy_from_slice(descriptor.id().as_bytes()));
    let root = encode(Code::Rep, BytesMut::from(&Manifest::List(list).encode()[..]));
    let cid = Cid(root.descriptor.id());
    give(world, &client, &survey, root.descriptor, root.pieces).await?;
    Some(cid)
}

async fn give(
    world: &World,
    client: &Client,
    survey: &Survey,
    descriptor: Descriptor,
    pieces: Vec<VerifiedPiece>,
) -> Option<u64> {
    let new = Ailing { locator: VerifiedLocator::new(descriptor), class: Class::Normal, held: BTreeMap::new() };
    client.hand_off(&new, pieces, Vec::new(), survey, world.uploader()).await.ok()
}
