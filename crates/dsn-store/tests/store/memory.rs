//! The memory store: the shared contract, and the hooks with which a simulator spoils it.

use dsn_core::{
    index_set::IndexSet,
    ports::{PieceStore, Space, StoreError},
};
use dsn_store::MemoryStore;

use crate::{
    fixtures::{batch, chunk},
    suite,
};

#[tokio::test]
async fn keeps_the_contract() {
    suite::check(|| async { MemoryStore::new() }).await;
}

#[tokio::test]
async fn a_flipped_bit_is_found_once_and_the_piece_is_gone() {
    let (store, a) = (MemoryStore::new(), chunk(1, 1_000));
    let id = a.descriptor.id();
    store.put(batch([(&a, 0), (&a, 1)])).await.expect("put");
    assert!(store.flip_bit(id, 0) && !store.flip_bit(id, 2));
    assert_eq!(store.space().pieces, 2, "nobody has noticed yet");
    assert_eq!(store.piece(id, 0).await, Err(StoreError::Corrupt { chunk: id, index: 0 }));
    assert_eq!(store.piece(id, 0).await, Ok(None));
    assert_eq!(store.piece(id, 1).await, Ok(Some(a.pieces[1].bytes().clone())));
    assert_eq!(store.list(), [(id, IndexSet::one(1))]);
    assert_eq!(store.space(), Space { used_bytes: 64, pieces: 1, locators: 0 });
    store.put(batch([(&a, 0)])).await.expect("healed");
    assert_eq!(store.piece(id, 0).await, Ok(Some(a.pieces[0].bytes().clone())));
}

#[tokio::test]
async fn a_wiped_disk_keeps_nothing_but_never_repeats_a_receipt_number() {
    let (store, a) = (MemoryStore::new(), chunk(1, 1_000));
    let before = store.put(batch([(&a, 0)])).await.expect("put")[0].seq;
    let crashed = store.clone();
    assert!(store.remove_piece(a.descriptor.id(), 0) && !store.remove_piece(a.descriptor.id(), 0));
    store.lose_everything();
    assert_eq!(crashed.list(), []);
    assert_eq!(crashed.space(), Space::default());
    assert!(crashed.put(batch([(&a, 0)])).await.expect("put")[0].seq > before);
}
