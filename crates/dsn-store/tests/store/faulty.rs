//! The store that fails on purpose: transparent while its plan is silent, exact in what it injects and counts.

use dsn_core::{
    index_set::IndexSet,
    ports::{CollectStep, NameStore as _, PieceStore, Space, StoreError, Upkeep as _},
};
use dsn_store::{Fault, FaultCounts, FaultyStore, MemoryStore, Operation};

use crate::{
    fixtures::{ALICE, PUT_1, batch, chunk, endless, locator},
    suite,
};

/// Fails every call of one kind.
fn always(operation: Operation, fault: Fault) -> FaultyStore<MemoryStore> {
    FaultyStore::new(MemoryStore::new(), move |called| (called == operation).then_some(fault))
}

#[tokio::test]
async fn keeps_the_contract_while_its_plan_is_silent() {
    suite::check(|| async { FaultyStore::new(MemoryStore::new(), |_| None) }).await;
}

#[tokio::test]
async fn a_failed_put_has_no_effect() {
    let a = chunk(1, 1_000);
    for (fault, is_expected) in [
        (Fault::Io, (|error| matches!(error, StoreError::Io { .. })) as fn(&StoreError) -> bool),
        (Fault::DiskFull, |error| *error == StoreError::DiskFull),
    ] {
        let store = always(Operation::Put, fault);
        let error = store.put(batch([(&a, 0)])).await.expect_err("the plan says so");
        assert!(is_expected(&error), "{error}");
        assert_eq!(store.space(), Space::default());
        assert_eq!(store.chunks(&[a.descriptor.id()]).await, Ok(vec![None]));
    }
}

#[tokio::test]
async fn every_call_can_fail_and_is_counted() {
    let a = chunk(1, 1_000);
    let id = a.descriptor.id();
    let records = suite::names::records(1, 1, &[7]);
    let store = FaultyStore::new(MemoryStore::new(), |_| Some(Fault::Io));
    let failed = [
        store.put(batch([(&a, 0)])).await.is_err(),
        store.piece(id, 0).await.is_err(),
        store.chunks(&[id]).await.is_err(),
        store.put_locators(vec![locator(&a, 1)]).await.is_err(),
        store.locators(&[id]).await.is_err(),
        store.bind(PUT_1, ALICE, endless(1)).await.is_err(),
        store.chunks_after(None, 1).await.is_err(),
        store.locators_after(None, 1).await.is_err(),
        store.drop_locators(vec![id]).await.is_err(),
        store.put_names(vec![records.clone()]).await.is_err(),
        store.names(&[records.name()]).await.is_err(),
        store.names_after(None, 1).await.is_err(),
        store.drop_names(vec![records.name()]).await.is_err(),
        store.leases(&[id]).await.is_err(),
        store.renew(endless(1)).await.is_err(),
        store.give_up(id, 0).await.is_err(),
        store.collect(CollectStep { now: 0, trash_secs: 0, after: None, max_chunks: 1 }).await.is_err(),
    ];
    assert_eq!(failed, [true; 17]);
    assert_eq!(store.counts(), FaultCounts { io: 17, disk_full: 0, corrupt: 0 });
}

#[tokio::test]
async fn a_piece_reported_damaged_is_no_longer_held_until_it_is_put_again() {
    let a = chunk(1, 1_000);
    let id = a.descriptor.id();
    let mut reads = 0;
    let store = FaultyStore::new(MemoryStore::new(), move |called| {
        reads += u8::from(called == Operation::Piece);
        (called == Operation::Piece && reads <= 2).then_some(Fault::Corrupt)
    });
    store.put(batch([(&a, 0), (&a, 1)])).await.expect("put");
    assert_eq!(store.piece(id, 9).await, Ok(None), "what is not held cannot be damaged");
    assert_eq!(store.piece(id, 0).await, Err(StoreError::Corrupt { chunk: id, index: 0 }));
    assert_eq!(store.piece(id, 0).await, Ok(None));
    assert_eq!(store.counts(), FaultCounts { io: 0, disk_full: 0, corrupt: 1 });
    assert_eq!(store.space(), Space { used_bytes: 64, pieces: 1, locators: 0 });
    let stored = store.chunks(&[id]).await.expect("chunks").remove(0).expect("known");
    assert_eq!(stored.indices, IndexSet::one(1));
    let healed = store.put(batch([(&a, 0)])).await.expect("healed");
    assert_eq!(healed[0].indices, IndexSet::below(2));
    assert_eq!(store.piece(id, 0).await, Ok(Some(a.pieces[0].bytes().clone())));
    assert_eq!(store.space().pieces, 2);
}
