//! The contract of `PieceStore`, in `names` that of `NameStore`, and in `upkeep` that of `Upkeep`, one function a promise. `check` runs all of them, each on an empty store of its own;
//! every implementation passes it. Not here: what only one store can do (crash, rot, lock).

pub(crate) mod names;
mod upkeep;

use std::{collections::BTreeSet, future::Future, sync::Arc};

use dsn_core::{
    index_set::IndexSet,
    ports::{BoundChunks, PieceStore, Space, Upkeep},
    redundancy::Class,
};

use crate::fixtures::{ALICE, BOB, PUT_1, PUT_2, batch, chunk, endless, lease_only, locator, rep_chunk};

/// Runs the whole contract; `open` gives an empty store each time.
pub(crate) async fn check<S: Upkeep, F: Future<Output = S>>(open: impl Fn() -> F) {
    what_was_put_is_read_back(open().await).await;
    what_is_unknown_is_none(open().await).await;
    a_piece_put_twice_counts_once(open().await).await;
    a_batch_answers_chunks_in_order_of_first_appearance(open().await).await;
    receipt_numbers_grow(open().await).await;
    the_class_is_the_highest_asked_for(open().await).await;
    a_lease_on_a_chunk_not_held_is_answered_empty(open().await).await;
    binding_counts_the_owners_chunks(open().await).await;
    a_newer_locator_replaces_the_older(open().await).await;
    concurrent_puts_of_one_piece_count_once(open().await).await;
    concurrent_puts_of_many_pieces_are_all_kept(open().await).await;
    names::check(&open).await;
    upkeep::check(open).await;
}

async fn what_was_put_is_read_back(store: impl PieceStore) {
    let (a, b) = (chunk(1, 200_000), rep_chunk(2, 5_000));
    store.put(batch([(&a, 0), (&a, 47), (&b, 0)])).await.expect("put");
    for (chunk, index) in [(&a, 0u8), (&a, 47), (&b, 0)] {
        let bytes = store.piece(chunk.descriptor.id(), index).await.expect("read");
        assert_eq!(bytes.as_ref(), Some(chunk.pieces[usize::from(index)].bytes()));
    }
    let ids = [b.descriptor.id(), a.descriptor.id()];
    let known = store.chunks(&ids).await.expect("chunks");
    let known: Vec<_> = known.into_iter().flatten().map(|stored| (stored.descriptor, stored.indices)).collect();
    assert_eq!(
        known,
        [(b.descriptor.clone(), IndexSet::one(0)), (a.descriptor.clone(), [0, 47].into_iter().collect())]
    );
    let used_bytes = u64::try_from(2 * a.descriptor.piece_len() + 5_000).expect("small");
    assert_eq!(store.space(), Space { used_bytes, pieces: 3, locators: 0 });
}

async fn what_is_unknown_is_none(store: impl PieceStore) {
    let a = chunk(1, 1_000);
    let id = a.descriptor.id();
    assert_eq!(store.piece(id, 0).await, Ok(None));
    assert_eq!(store.piece(id, 255).await, Ok(None));
    assert_eq!(store.chunks(&[id]).await, Ok(vec![None]));
    assert_eq!(store.locators(&[id, id]).await, Ok(vec![None, None]));
    assert_eq!(store.chunks(&[]).await, Ok(vec![]));
    assert_eq!(store.put(batch([])).await, Ok(vec![]));
    assert_eq!(store.space(), Space::default());
    store.put(batch([(&a, 3)])).await.expect("put");
    assert_eq!(store.piece(id, 4).await, Ok(None));
}

async fn a_piece_put_twice_counts_once(store: impl PieceStore) {
    let a = chunk(1, 1_000);
    store.put(batch([(&a, 0), (&a, 0)])).await.expect("put");
    let once = store.space();
    let holdings = store.put(batch([(&a, 0), (&a, 1)])).await.expect("put again");
    assert_eq!(holdings[0].indices, IndexSet::below(2));
    assert_eq!(once, Space { used_bytes: 64, pieces: 1, locators: 0 });
    assert_eq!(store.space(), Space { used_bytes: 128, pieces: 2, locators: 0 });
}

async fn a_batch_answers_chunks_in_order_of_first_appearance(store: impl PieceStore) {
    let chunks = [chunk(1, 10), chunk(2, 10), chunk(3, 10)];
    let [a, b, c] = &chunks;
    store.put(batch([(c, 5)])).await.expect("put");
    let mut put = batch([(b, 1), (a, 2), (b, 0)]);
    put.chunks = vec![c.descriptor.id(), b.descriptor.id()];
    let holdings = store.put(put).await.expect("put");
    let answered: Vec<_> = holdings.iter().map(|h| (h.chunk, h.indices)).collect();
    assert_eq!(
        answered,
        [
            (b.descriptor.id(), IndexSet::below(2)),
            (a.descriptor.id(), IndexSet::one(2)),
            (c.descriptor.id(), IndexSet::one(5)),
        ]
    );
}

async fn receipt_numbers_grow(store: impl PieceStore) {
    let (a, b) = (chunk(1, 10), chunk(2, 10));
    let mut last = 0;
    for put in [batch([(&a, 0), (&b, 0)]), batch([(&a, 0)]), lease_only([a.descriptor.id()]), batch([(&b, 1)])] {
        let holdings = store.put(put).await.expect("put");
        assert!(holdings.iter().all(|h| h.seq > last), "{holdings:?} after {last}");
        last = holdings.iter().map(|h| h.seq).max().expect("a chunk was named");
    }
}

async fn the_class_is_the_highest_asked_for(store: impl PieceStore) {
    let a = chunk(1, 10);
    let id = a.descriptor.id();
    for (asked, expected) in [(Class::Low, Class::Low), (Class::High, Class::High), (Class::Normal, Class::High)] {
        for mut put in [batch([(&a, 0)]), lease_only([id])] {
            put.class = asked;
            assert_eq!(store.put(put).await.expect("put")[0].class, expected);
            let stored = store.chunks(&[id]).await.expect("chunks").remove(0).expect("held");
            assert_eq!(stored.class, expected);
        }
    }
}

async fn a_lease_on_a_chunk_not_held_is_answered_empty(store: impl PieceStore) {
    let id = chunk(1, 10).descriptor.id();
    let holdings = store.put(lease_only([id])).await.expect("put");
    assert_eq!((holdings[0].chunk, holdings[0].indices), (id, IndexSet::EMPTY));
    assert_eq!(store.chunks(&[id]).await, Ok(vec![None]));
    assert_eq!(store.bind(PUT_1, ALICE, endless(1)).await, Ok(BoundChunks(0)));
}

async fn binding_counts_the_owners_chunks(store: impl PieceStore) {
    let (a, b, c) = (chunk(1, 10), chunk(2, 10), chunk(3, 10));
    store.put(batch([(&a, 0), (&a, 1), (&b, 0)])).await.expect("put");
    let mut other = batch([(&c, 0)]);
    other.put_id = PUT_2;
    store.put(other).await.expect("put");
    assert_eq!(store.bind(PUT_1, BOB, endless(1)).await, Ok(BoundChunks(0)), "another owner has no lease");
    assert_eq!(store.bind(PUT_1, ALICE, endless(1)).await, Ok(BoundChunks(2)));
    assert_eq!(store.bind(PUT_1, ALICE, endless(1)).await, Ok(BoundChunks(2)), "a commit sent again");
    assert_eq!(store.bind(PUT_2, ALICE, endless(2)).await, Ok(BoundChunks(1)));
    let mut resumed = lease_only([a.descriptor.id()]);
    resumed.put_id = PUT_2;
    store.put(resumed).await.expect("put");
    assert_eq!(store.bind(PUT_2, ALICE, endless(3)).await, Ok(BoundChunks(1)), "a chunk of two roots has two leases");
}

async fn a_newer_locator_replaces_the_older(store: impl PieceStore) {
    let (a, b) = (chunk(1, 10), chunk(2, 10));
    store.put_locators(vec![locator(&a, 1), locator(&b, 1)]).await.expect("locators");
    store.put_locators(vec![locator(&a, 2)]).await.expect("locators");
    store.put_locators(vec![]).await.expect("no locators");
    let found = store.locators(&[b.descriptor.id(), a.descriptor.id()]).await;
    assert_eq!(found, Ok(vec![Some(locator(&b, 1)), Some(locator(&a, 2))]));
    assert_eq!(store.space(), Space { used_bytes: 0, pieces: 0, locators: 2 });
    assert_eq!(store.chunks(&[a.descriptor.id()]).await, Ok(vec![None]), "a locator is no piece");
}

async fn concurrent_puts_of_one_piece_count_once(store: impl PieceStore) {
    let a = chunk(1, 100_000);
    let (store, seqs) = put_at_once(store, (0..32).map(|_| batch([(&a, 7)]))).await;
    assert_eq!(seqs.len(), 32, "each put has a receipt number of its own");
    let used_bytes = u64::try_from(a.descriptor.piece_len()).expect("small");
    assert_eq!(store.space(), Space { used_bytes, pieces: 1, locators: 0 });
}

async fn concurrent_puts_of_many_pieces_are_all_kept(store: impl PieceStore) {
    let (a, b) = (chunk(1, 100_000), chunk(2, 100_000));
    let (store, _) = put_at_once(store, (0..48).map(|index| batch([(&a, index), (&b, index)]))).await;
    let stored = store.chunks(&[a.descriptor.id(), b.descriptor.id()]).await.expect("chunks");
    assert!(stored.iter().flatten().all(|stored| stored.indices == IndexSet::below(48)), "{stored:?}");
    assert_eq!(store.space().pieces, 96);
}

/// Sends all batches at once; gives the store back and the receipt numbers it answered.
async fn put_at_once<S: PieceStore>(
    store: S,
    batches: impl Iterator<Item = dsn_core::ports::PutBatch>,
) -> (Arc<S>, BTreeSet<u64>) {
    let store = Arc::new(store);
    let mut puts = tokio::task::JoinSet::new();
    for batch in batches {
        let store = Arc::clone(&store);
        puts.spawn(async move { store.put(batch).await.expect("put")[0].seq });
    }
    let seqs = puts.join_all().await.into_iter().collect();
    (store, seqs)
}
