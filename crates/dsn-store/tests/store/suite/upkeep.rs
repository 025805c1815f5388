//! The contract of `Upkeep`. Times are Unix seconds that the tests make up: provisional leases of the fixtures end at
//! 1,000.

use std::future::Future;

use dsn_core::{
    cid::Cid,
    erasure::EncodedChunk,
    hash::ChunkId,
    index_set::IndexSet,
    lease::VerifiedLease,
    ports::{BoundChunks, CollectStep, Collected, PutBatch, Space, StoreMark, Upkeep},
};

use crate::fixtures::{ALICE, BOB, PUT_1, PUT_2, batch, chunk, endless, lease, lease_only, locator, rep_chunk, root};

/// How long the trash keeps a chunk in these tests.
const TRASH_SECS: u64 = 100;

pub(crate) async fn check<S: Upkeep, F: Future<Output = S>>(open: impl Fn() -> F) {
    binding_gives_all_leases_and_counts_the_first(open().await).await;
    no_leases_bind_nothing(open().await).await;
    a_large_upload_is_bound_whole(open().await).await;
    the_lease_issued_last_wins(open().await).await;
    a_renewal_that_covers_nothing_is_not_kept(open().await).await;
    a_provisional_lease_lapses(open().await).await;
    a_released_chunk_is_deleted_after_its_time_in_the_trash(open().await).await;
    a_chunk_of_two_owners_survives_ones_release(open().await).await;
    a_put_takes_a_chunk_out_of_the_trash(open().await).await;
    a_lease_takes_a_chunk_out_of_the_trash(open().await).await;
    a_deleted_chunk_can_be_put_again(open().await).await;
    what_is_deleted_leaves_no_lease_behind(open().await).await;
    collecting_goes_through_all_chunks_step_by_step(open().await).await;
    pages_of_chunks_are_in_order_and_complete(open().await).await;
    pages_of_locators_are_in_order_and_complete(open().await).await;
    dropped_locators_are_gone_and_counted_out(open().await).await;
    a_piece_given_up_is_gone_and_changes_the_mark(open().await).await;
    the_last_receipt_number_is_known(open().await).await;
    notes_are_kept_until_the_next(open().await).await;
    an_owner_has_what_it_wants_kept(open().await).await;
}

async fn an_owner_has_what_it_wants_kept(store: impl Upkeep) {
    let [alice, bob] = [1, 2].map(|seed| lease(seed, root(1), 1, None).body().owner);
    let (a, b) = (rep_chunk(1, 100), rep_chunk(2, 1_000));
    let owned = async |owner, now| {
        let bytes = store.owned_bytes(owner, now).await.expect("counted");
        let ids = [&a, &b].map(|chunk| chunk.descriptor.id());
        let wanted = store.is_wanted_by(owner, &ids, now).await.expect("read");
        let sum: u64 =
            wanted.into_iter().zip([100, 1_000]).filter_map(|(is_wanted, bytes)| is_wanted.then_some(bytes)).sum();
        assert_eq!(bytes, sum, "the sum is of the chunks that it wants");
        bytes
    };
    assert_eq!(owned(alice, 500).await, 0);
    store.put(PutBatch { owner: alice, ..batch([(&a, 0)]) }).await.expect("put");
    assert_eq!((owned(alice, 500).await, owned(alice, 1_000).await), (100, 0), "while the upload may go on");
    assert_eq!(store.bind(PUT_1, alice, vec![lease(1, root(1), 1, None)]).await, Ok(BoundChunks(1)));
    store.put(PutBatch { put_id: PUT_2, owner: alice, ..batch([(&a, 0), (&b, 0)]) }).await.expect("put");
    assert_eq!(store.bind(PUT_2, alice, vec![lease(1, root(2), 1, Some(5_000))]).await, Ok(BoundChunks(2)));
    assert_eq!((owned(alice, 4_999).await, owned(alice, 5_000).await), (1_100, 100), "each chunk once, until it ends");
    assert_eq!(owned(bob, 500).await, 0);
    let of_both = vec![lease(2, root(3), 1, None)];
    store.put(PutBatch { owner: bob, ..batch([(&b, 0)]) }).await.expect("put");
    assert_eq!(store.bind(PUT_1, bob, of_both).await, Ok(BoundChunks(1)));
    assert_eq!((owned(bob, 5_000).await, owned(alice, 5_000).await), (1_000, 100));
}

async fn notes_are_kept_until_the_next(store: impl Upkeep) {
    assert!(store.notes().await.expect("read").is_empty());
    for notes in [&b"seen"[..], b"seen more"] {
        store.keep_notes(notes.into()).await.expect("kept");
        assert_eq!(store.notes().await.expect("read"), notes);
    }
}

/// One round over the whole store; gives what it did in all.
async fn collect(store: &impl Upkeep, now: u64) -> Collected {
    let mut all = Collected::default();
    loop {
        let step = CollectStep { now, trash_secs: TRASH_SECS, after: all.next, max_chunks: 2 };
        let Collected { next, trashed, deleted, deleted_bytes } = store.collect(step).await.expect("collected");
        assert!(next.is_none() || all.next < next, "it goes on");
        all = Collected {
            next,
            trashed: all.trashed + trashed,
            deleted: all.deleted + deleted,
            deleted_bytes: all.deleted_bytes + deleted_bytes,
        };
        if next.is_none() {
            return all;
        }
    }
}

fn id(chunk: &EncodedChunk) -> ChunkId {
    chunk.descriptor.id()
}

async fn is_held(store: &impl Upkeep, chunk: &EncodedChunk) -> bool {
    let known = store.chunks(&[id(chunk)]).await.expect("chunks").remove(0);
    let is_read = store.piece(id(chunk), 0).await.expect("read").is_some();
    assert_eq!(known.is_some(), is_read);
    is_read
}

async fn until_of(store: &impl Upkeep, chunk: &EncodedChunk) -> Vec<(Cid, Option<u64>)> {
    let leases = store.leases(&[id(chunk)]).await.expect("leases").remove(0);
    let mut until: Vec<_> = leases.iter().map(|lease| (lease.body().root, lease.body().until)).collect();
    until.sort_unstable();
    until
}

/// A store with the first piece of a chunk of this owner and root, bound.
async fn put_bound(store: &impl Upkeep, chunk: &EncodedChunk, leases: Vec<VerifiedLease>) {
    store.put(batch([(chunk, 0)])).await.expect("put");
    assert_ne!(store.bind(PUT_1, ALICE, leases).await, Ok(BoundChunks(0)));
}

async fn binding_gives_all_leases_and_counts_the_first(store: impl Upkeep) {
    let (a, b) = (chunk(1, 10), chunk(2, 10));
    put_bound(&store, &a, vec![lease(1, root(1), 1, None)]).await;
    store.put(batch([(&a, 0), (&b, 0)])).await.expect("put");
    let leases = vec![lease(1, root(2), 1, Some(50)), lease(2, root(3), 1, None), lease(1, root(1), 1, None)];
    assert_eq!(store.bind(PUT_1, ALICE, leases.clone()).await, Ok(BoundChunks(2)));
    let all = vec![(root(1), None), (root(2), Some(50)), (root(3), None)];
    assert_eq!((until_of(&store, &a).await, until_of(&store, &b).await), (all.clone(), all));
    assert_eq!(store.leases(&[]).await, Ok(vec![]));
    let found = store.leases(&[id(&chunk(3, 10)), id(&b)]).await.expect("leases");
    assert_eq!(found[0], []);
    assert!(leases.iter().all(|lease| found[1].contains(lease.as_signed())), "as they were signed");
}

async fn no_leases_bind_nothing(store: impl Upkeep) {
    let a = chunk(1, 10);
    store.put(batch([(&a, 0)])).await.expect("put");
    assert_eq!(store.bind(PUT_1, ALICE, vec![]).await, Ok(BoundChunks(0)));
    assert_eq!(store.bind(PUT_1, ALICE, endless(1)).await, Ok(BoundChunks(1)), "the provisional lease is still there");
}

async fn a_large_upload_is_bound_whole(store: impl Upkeep) {
    let chunks: Vec<_> = (0..40).map(|seed| rep_chunk(seed, 10)).collect();
    store.put(batch(chunks.iter().map(|chunk| (chunk, 0)))).await.expect("put");
    // As many leases as make the store bind a few chunks at a time.
    let leases: Vec<_> = (0..200_u8).map(|number| lease(1, root(number), 1, None)).collect();
    assert_eq!(store.bind(PUT_1, ALICE, leases.clone()).await, Ok(BoundChunks(40)));
    assert_eq!(store.bind(PUT_1, ALICE, leases).await, Ok(BoundChunks(40)), "sent again");
    for chunk in &chunks {
        assert_eq!(until_of(&store, chunk).await.len(), 200);
    }
}

async fn the_lease_issued_last_wins(store: impl Upkeep) {
    let a = chunk(1, 10);
    put_bound(&store, &a, vec![lease(1, root(1), 10, Some(2_000))]).await;
    let renewals = [(9, Some(9_000), Some(2_000)), (11, Some(3_000), Some(3_000)), (12, Some(5), Some(5))];
    for (issued, until, expected) in renewals {
        let renewed = store.renew(vec![lease(1, root(1), issued, until)]).await;
        assert_eq!(renewed, Ok(vec![BoundChunks(1)]), "covered whether or not it is the newest");
        assert_eq!(until_of(&store, &a).await, [(root(1), expected)], "issued {issued}");
    }
    let at_once = [14, 15, 13].map(|issued| lease(1, root(1), issued, Some(issued * 1_000)));
    assert_eq!(store.renew(at_once.to_vec()).await, Ok(vec![BoundChunks(1); 3]));
    assert_eq!(until_of(&store, &a).await, [(root(1), Some(15_000))]);
    put_bound(&store, &a, vec![lease(1, root(1), 2, None)]).await;
    assert_eq!(until_of(&store, &a).await, [(root(1), Some(15_000))], "a commit that came late");
    put_bound(&store, &a, vec![lease(1, root(1), 16, None)]).await;
    assert_eq!(until_of(&store, &a).await, [(root(1), None)]);
}

async fn a_renewal_that_covers_nothing_is_not_kept(store: impl Upkeep) {
    let a = chunk(1, 10);
    assert_eq!(store.renew(vec![lease(1, root(1), 5, Some(5))]).await, Ok(vec![BoundChunks(0)]));
    assert_eq!(store.renew(vec![]).await, Ok(vec![]));
    put_bound(&store, &a, vec![lease(1, root(1), 1, Some(7_000))]).await;
    assert_eq!(until_of(&store, &a).await, [(root(1), Some(7_000))], "the one from before is not remembered");
    let both = store.renew(vec![lease(2, root(1), 5, None), lease(1, root(1), 5, None)]).await;
    assert_eq!(both, Ok(vec![BoundChunks(0), BoundChunks(1)]), "another owner's file is another file");
}

async fn a_provisional_lease_lapses(store: impl Upkeep) {
    let a = chunk(1, 10);
    store.put(batch([(&a, 0)])).await.expect("put");
    assert_eq!(collect(&store, 999).await, Collected::default());
    assert_eq!(collect(&store, 1_000).await.trashed, 1);
    assert!(is_held(&store, &a).await, "the trash is served");
    assert_eq!(store.chunks_after(None, 9).await.expect("page").len(), 1, "and gone through");
    assert_eq!(store.bind(PUT_1, ALICE, endless(1)).await, Ok(BoundChunks(0)), "too late");
    assert_eq!(collect(&store, 1_100).await, Collected { deleted: 1, deleted_bytes: 64, ..Collected::default() });
    assert_eq!(store.space(), Space::default());
}

async fn a_released_chunk_is_deleted_after_its_time_in_the_trash(store: impl Upkeep) {
    let (a, b) = (chunk(1, 100_000), rep_chunk(2, 300));
    store.put(batch([(&a, 0), (&a, 7), (&b, 0)])).await.expect("put");
    store.put_locators(vec![locator(&a, 1)]).await.expect("locator");
    let until = vec![lease(1, root(1), 1, Some(5_000))];
    assert_eq!(store.bind(PUT_1, ALICE, until).await, Ok(BoundChunks(2)));
    assert_eq!(collect(&store, 4_999).await, Collected::default());
    assert_eq!(store.renew(vec![lease(1, root(1), 2, Some(5))]).await, Ok(vec![BoundChunks(2)]), "given up early");
    assert_eq!(collect(&store, 4_999).await, Collected { trashed: 2, ..Collected::default() });
    assert_eq!(collect(&store, 5_098).await, Collected::default());
    assert!(is_held(&store, &a).await && is_held(&store, &b).await);
    let deleted_bytes = u64::try_from(2 * a.descriptor.piece_len() + 300).expect("small");
    assert_eq!(collect(&store, 5_099).await, Collected { deleted: 2, deleted_bytes, ..Collected::default() });
    assert!(!is_held(&store, &a).await && !is_held(&store, &b).await);
    assert_eq!(store.piece(id(&a), 7).await, Ok(None));
    assert_eq!(store.chunks_after(None, 9).await, Ok(vec![]));
    assert_eq!(store.space(), Space { locators: 1, ..Space::default() }, "a locator is for others");
    assert_eq!(collect(&store, 9_000).await, Collected::default());
}

async fn a_chunk_of_two_owners_survives_ones_release(store: impl Upkeep) {
    let a = chunk(1, 10);
    put_bound(&store, &a, vec![lease(1, root(1), 1, None)]).await;
    let others = PutBatch { put_id: PUT_2, owner: BOB, ..lease_only([id(&a)]) };
    store.put(others).await.expect("put");
    assert_eq!(store.bind(PUT_2, BOB, vec![lease(2, root(1), 1, None)]).await, Ok(BoundChunks(1)));
    store.renew(vec![lease(1, root(1), 2, Some(3))]).await.expect("released");
    for now in [2_000, 3_000] {
        assert_eq!(collect(&store, now).await, Collected::default());
    }
    store.renew(vec![lease(2, root(1), 2, Some(3))]).await.expect("released");
    assert_eq!(collect(&store, 4_000).await.trashed, 1);
    assert_eq!(collect(&store, 5_000).await.deleted, 1);
}

async fn a_put_takes_a_chunk_out_of_the_trash(store: impl Upkeep) {
    let (a, b) = (chunk(1, 10), chunk(2, 10));
    store.put(batch([(&a, 0), (&b, 0)])).await.expect("put");
    assert_eq!(collect(&store, 2_000).await.trashed, 2);
    let again = [batch([(&a, 0)]), lease_only([id(&b)])];
    for put in again {
        store.put(PutBatch { lease_until: 5_000, ..put }).await.expect("put");
    }
    assert_eq!(collect(&store, 4_999).await, Collected::default());
    assert_eq!(collect(&store, 5_000).await.trashed, 2, "their time in the trash begins anew");
    assert_eq!(collect(&store, 5_099).await, Collected::default());
    assert_eq!(collect(&store, 5_100).await.deleted, 2);
}

async fn a_lease_takes_a_chunk_out_of_the_trash(store: impl Upkeep) {
    let a = chunk(1, 10);
    put_bound(&store, &a, vec![lease(1, root(1), 1, Some(5))]).await;
    assert_eq!(collect(&store, 2_000).await.trashed, 1);
    store.renew(vec![lease(1, root(1), 2, Some(3_000))]).await.expect("renewed");
    assert_eq!(collect(&store, 2_500).await, Collected::default());
    assert_eq!(collect(&store, 3_000).await.trashed, 1, "it was out of it in between");
    assert_eq!(collect(&store, 3_099).await, Collected::default());
    assert_eq!(collect(&store, 3_100).await.deleted, 1);
}

async fn a_deleted_chunk_can_be_put_again(store: impl Upkeep) {
    let a = chunk(1, 10);
    store.put(batch([(&a, 0), (&a, 1)])).await.expect("put");
    collect(&store, 2_000).await;
    assert_eq!(collect(&store, 2_100).await.deleted, 1);
    let lease_alone = store.put(lease_only([id(&a)])).await.expect("put");
    assert_eq!(lease_alone[0].indices, IndexSet::EMPTY, "it is not held");
    let again = PutBatch { lease_until: 4_000, ..batch([(&a, 1)]) };
    assert_eq!(store.put(again).await.expect("put")[0].indices, IndexSet::one(1));
    assert_eq!(store.piece(id(&a), 0).await, Ok(None));
    assert_eq!(store.piece(id(&a), 1).await, Ok(Some(a.pieces[1].bytes().clone())));
    assert_eq!(store.space(), Space { used_bytes: 64, pieces: 1, locators: 0 });
    assert_eq!(collect(&store, 3_999).await, Collected::default());
}

async fn what_is_deleted_leaves_no_lease_behind(store: impl Upkeep) {
    let chunks: Vec<_> = (0..5).map(|seed| chunk(seed, 10)).collect();
    store.put(batch(chunks.iter().map(|chunk| (chunk, 0)))).await.expect("put");
    store.bind(PUT_1, ALICE, vec![lease(1, root(1), 10, Some(5))]).await.expect("bound");
    put_bound(&store, &chunks[3], endless(2)).await;
    collect(&store, 2_000).await;
    assert_eq!(collect(&store, 2_100).await.deleted, 4);
    assert_eq!(store.renew(vec![lease(1, root(1), 11, Some(6))]).await, Ok(vec![BoundChunks(1)]), "one is left");
    store.renew(vec![lease(1, root(2), 2, Some(6))]).await.expect("released");
    collect(&store, 3_000).await;
    assert_eq!(collect(&store, 3_100).await.deleted, 1);
    assert_eq!(store.leases(&[id(&chunks[3])]).await, Ok(vec![vec![]]));
    // Older than the one that was released: it would not count if that were still there.
    put_bound(&store, &chunks[0], vec![lease(1, root(1), 1, None)]).await;
    assert_eq!(until_of(&store, &chunks[0]).await, [(root(1), None)]);
    assert_eq!(store.renew(vec![lease(1, root(2), 3, None)]).await, Ok(vec![BoundChunks(0)]));
}

async fn collecting_goes_through_all_chunks_step_by_step(store: impl Upkeep) {
    let chunks: Vec<_> = (0..9).map(|seed| chunk(seed, 10)).collect();
    for chunk in &chunks {
        store.put(batch([(chunk, 0)])).await.expect("put");
    }
    let (mut after, mut trashed) = (None, Vec::new());
    loop {
        let step = CollectStep { now: 2_000, trash_secs: 0, after, max_chunks: 4 };
        let collected = store.collect(step).await.expect("collected");
        trashed.push(collected.trashed);
        after = collected.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(trashed.iter().sum::<u64>(), 9);
    assert!(trashed.len() >= 3 && trashed.iter().all(|step| *step <= 4), "{trashed:?}");
    assert_eq!(collect(&store, 1_999).await.deleted, 0, "a clock that went back");
    assert_eq!(collect(&store, 2_100).await.deleted, 9);
}

async fn pages_of_chunks_are_in_order_and_complete(store: impl Upkeep) {
    let mut chunks: Vec<_> = (0..7).map(|seed| chunk(seed, 10)).collect();
    for chunk in &chunks {
        store.put(batch([(chunk, 0), (chunk, 5)])).await.expect("put");
    }
    let empty = chunks.pop().expect("seven");
    for index in [0, 5] {
        assert_eq!(store.give_up(id(&empty), index).await, Ok(true));
    }
    let mut expected: Vec<_> = chunks.iter().map(id).collect();
    expected.sort_unstable();
    for max in [1, 2, 3, 6, 7, 100] {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = store.chunks_after(after, max).await.expect("a page");
            assert!(page.len() <= max);
            after = page.last().map(|stored| stored.descriptor.id());
            found.extend(page.into_iter().map(|stored| (stored.descriptor.id(), stored.indices)));
            if after.is_none() {
                break;
            }
        }
        let both: IndexSet = [0, 5].into_iter().collect();
        assert_eq!(found, expected.iter().map(|chunk| (*chunk, both)).collect::<Vec<_>>(), "{max} a page");
    }
    assert_eq!(store.chunks_after(None, 0).await, Ok(vec![]));
    assert_eq!(store.chunks_after(expected.last().copied(), 9).await, Ok(vec![]));
}

async fn pages_of_locators_are_in_order_and_complete(store: impl Upkeep) {
    let mut locators: Vec<_> = (0..5).map(|seed| locator(&chunk(seed, 10), 1)).collect();
    store.put_locators(locators.clone()).await.expect("locators");
    store.put(batch([(&chunk(9, 10), 0)])).await.expect("a chunk has no locator of its own");
    locators.sort_by_key(dsn_core::locator::Locator::chunk);
    assert_eq!(store.locators_after(None, 5).await, Ok(locators.clone()));
    assert_eq!(store.locators_after(Some(locators[1].chunk()), 2).await, Ok(locators[2..4].to_vec()));
    assert_eq!(store.locators_after(Some(locators[4].chunk()), 2).await, Ok(vec![]));
    assert_eq!(store.locators_after(None, 0).await, Ok(vec![]));
}

async fn dropped_locators_are_gone_and_counted_out(store: impl Upkeep) {
    let chunks: Vec<_> = (0..3).map(|seed| chunk(seed, 10)).collect();
    let all: Vec<_> = chunks.iter().map(|chunk| locator(chunk, 1)).collect();
    store.put_locators(all.clone()).await.expect("locators");
    let unknown = id(&chunk(9, 10));
    store.drop_locators(vec![id(&chunks[0]), unknown, id(&chunks[0])]).await.expect("dropped");
    assert_eq!(store.space().locators, 2);
    assert_eq!(store.locators(&[id(&chunks[0]), id(&chunks[1])]).await, Ok(vec![None, Some(all[1].clone())]));
    assert_eq!(store.locators_after(None, 9).await.expect("page").len(), 2);
    let (put, drop) = (store.put_locators(all.clone()), store.drop_locators(vec![id(&chunks[2])]));
    let (put, dropped) = tokio::join!(put, drop);
    assert_eq!((put, dropped, store.space().locators), (Ok(()), Ok(()), 2), "in one group or not");
    store.put_locators(all).await.expect("locators");
    assert_eq!(store.space().locators, 3);
    store.drop_locators(vec![]).await.expect("nothing dropped");
}

async fn a_piece_given_up_is_gone_and_changes_the_mark(store: impl Upkeep) {
    let a = chunk(1, 10);
    store.put(batch([(&a, 0), (&a, 1)])).await.expect("put");
    let mark = store.mark();
    assert_eq!(store.give_up(id(&a), 2).await, Ok(false));
    assert_eq!(store.give_up(id(&chunk(2, 10)), 0).await, Ok(false));
    assert_eq!(store.mark(), mark, "nothing was lost");
    assert_eq!(store.give_up(id(&a), 1).await, Ok(true));
    assert_eq!(store.give_up(id(&a), 1).await, Ok(false));
    assert_eq!(store.mark(), StoreMark { losses: mark.losses + 1, ..mark });
    assert_eq!(store.piece(id(&a), 1).await, Ok(None));
    assert_eq!(store.space(), Space { used_bytes: 64, pieces: 1, locators: 0 });
    let stored = store.chunks(&[id(&a)]).await.expect("chunks").remove(0).expect("known");
    assert_eq!(stored.indices, IndexSet::one(0));
    assert_eq!(store.put(batch([(&a, 1)])).await.expect("healed")[0].indices, IndexSet::below(2));
    assert_eq!(store.piece(id(&a), 1).await, Ok(Some(a.pieces[1].bytes().clone())));
}

async fn the_last_receipt_number_is_known(store: impl Upkeep) {
    let a = chunk(1, 10);
    let first = store.put(batch([(&a, 0)])).await.expect("put")[0].seq;
    assert_eq!(store.last_seq(), first);
    let second = store.put(lease_only([id(&a)])).await.expect("put")[0].seq;
    assert!(store.last_seq() == second && second > first);
}
