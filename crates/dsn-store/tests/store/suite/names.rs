//! The contract of `NameStore`.

use std::future::Future;

use dsn_core::{
    identity::Identity,
    name::{KnownName, Name, NameBody, NameRecords},
    ports::{Space, Upkeep},
};

use crate::fixtures::root;

pub(crate) async fn check<S: Upkeep, F: Future<Output = S>>(open: impl Fn() -> F) {
    names_are_kept_until_the_next_record(open().await).await;
    pages_of_names_are_in_order_and_complete(open().await).await;
    dropped_names_are_gone(open().await).await;
}

/// Records of the name with this number; more than one root is a conflict.
pub(crate) fn records(name: u8, sequence: u64, roots: &[u8]) -> NameRecords {
    let key = Identity::from_seed([name; 32]);
    let mut known = KnownName::default();
    for number in roots {
        let (network, name) = ("test".parse().expect("a valid name"), Name::of(&key));
        let body = NameBody { network, name, sequence, root: root(*number), issued: 1, until: 2 };
        known.merge(body.sign(&key));
    }
    known.to_records().expect("at least one root")
}

async fn names_are_kept_until_the_next_record(store: impl Upkeep) {
    let (old, new, other) = (records(1, 1, &[7]), records(1, 2, &[8, 9]), records(2, 1, &[7]));
    let names = [old.name(), other.name()];
    assert_eq!(store.names(&names).await, Ok(vec![None, None]));
    store.put_names(vec![old.clone(), other.clone()]).await.expect("kept");
    assert_eq!(store.names(&names).await, Ok(vec![Some(old), Some(other.clone())]));
    store.put_names(vec![new.clone()]).await.expect("kept");
    assert_eq!(store.names(&names).await, Ok(vec![Some(new), Some(other)]));
    assert_eq!(store.space(), Space::default(), "names are neither pieces nor locators");
}

async fn pages_of_names_are_in_order_and_complete(store: impl Upkeep) {
    let mut all: Vec<NameRecords> = (1..=7).map(|name| records(name, 1, &[name])).collect();
    store.put_names(all.clone()).await.expect("kept");
    all.sort_by_key(NameRecords::name);
    let (mut read, mut after) = (Vec::new(), None);
    loop {
        let page = store.names_after(after, 3).await.expect("read");
        assert!(page.len() <= 3);
        let Some(last) = page.last() else { break };
        after = Some(last.name());
        read.extend(page);
    }
    assert_eq!(read, all);
}

async fn dropped_names_are_gone(store: impl Upkeep) {
    let (one, two) = (records(1, 1, &[7]), records(2, 1, &[7]));
    store.put_names(vec![one.clone(), two.clone()]).await.expect("kept");
    store.drop_names(vec![one.name(), Name::of(&Identity::from_seed([9; 32]))]).await.expect("dropped");
    assert_eq!(store.names(&[one.name(), two.name()]).await, Ok(vec![None, Some(two)]));
}
