//! Deleting, against a model: random stories of puts, binds, renewals, clock steps and rounds of collecting, after each
//! step of which store and model agree on what is held. Then deleting beside puts of the same chunks. Not here: kills
//! (`kill_collect`), damage (`doubt`).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use dsn_core::{
    cid::Cid,
    erasure::EncodedChunk,
    hash::ChunkId,
    index_set::IndexSet,
    lease::VerifiedLease,
    node_id::NodeId,
    ports::{CollectStep, Collected, PieceStore as _, PutBatch, Upkeep},
    rpc::PutId,
};
use dsn_store::{MemoryStore, SpaceCheck};
use tokio::task::JoinSet;

use crate::{
    fixtures::{ALICE, BOB, PUT_1, PUT_2, Random, batch, chunk, lease, lease_only, rep_chunk, root},
    rocks::open,
};

const SEED: u64 = 0x636f_6c6c;
const RUNS: u64 = 300;
const STEPS: u64 = 30;
const TRASH_SECS: u64 = 100;

/// What a store should hold, written down the slow way.
#[derive(Default)]
struct Model {
    chunks: BTreeMap<ChunkId, Held>,
    /// The newest word of each file: when it was issued, and its end.
    words: BTreeMap<(NodeId, Cid), (u64, Option<u64>)>,
    now: u64,
    issued: u64,
    deleted: u64,
    saved: u64,
}

#[derive(Clone, Default)]
struct Held {
    pieces: IndexSet,
    uploads: BTreeMap<(PutId, NodeId), u64>,
    files: BTreeSet<(NodeId, Cid)>,
    trashed: Option<u64>,
}

impl Model {
    fn put(&mut self, put: &PutBatch) {
        for new in &put.pieces {
            self.chunks.entry(new.piece.chunk()).or_default().pieces.insert(new.piece.index());
        }
        let named = put.pieces.iter().map(|new| new.piece.chunk()).chain(put.chunks.iter().copied());
        for chunk in named {
            if let Some(held) = self.chunks.get_mut(&chunk) {
                self.saved += u64::from(held.trashed.take().is_some());
                held.uploads.insert((put.put_id, put.owner), put.lease_until);
            }
        }
    }

    fn bind(&mut self, put_id: PutId, owner: NodeId, leases: &[VerifiedLease]) -> u32 {
        for held in self.chunks.values_mut() {
            if held.uploads.remove(&(put_id, owner)).is_some() {
                held.files.extend(leases.iter().map(file));
            }
        }
        let covered: Vec<_> = leases.iter().map(|lease| self.renew(lease)).collect();
        covered[0]
    }

    fn renew(&mut self, lease: &VerifiedLease) -> u32 {
        let covered = self.chunks.values().filter(|held| held.files.contains(&file(lease))).count();
        let (issued, until) = (lease.body().issued, lease.body().until);
        let known = self.words.get(&file(lease)).map_or(0, |(issued, _)| *issued);
        if covered > 0 && known <= issued {
            self.words.insert(file(lease), (issued, until));
        }
        u32::try_from(covered).expect("few")
    }

    fn is_wanted(&self, chunk: ChunkId) -> bool {
        let held = &self.chunks[&chunk];
        let holds = |file| self.words[file].1.is_none_or(|until| until > self.now);
        held.uploads.values().any(|until| *until > self.now) || held.files.iter().any(holds)
    }

    fn collect(&mut self) -> (u64, u64) {
        let (mut trashed, mut gone) = (0, Vec::new());
        for chunk in self.chunks.keys().copied().collect::<Vec<_>>() {
            let (is_wanted, now) = (self.is_wanted(chunk), self.now);
            let held = self.chunks.get_mut(&chunk).expect("there");
            held.uploads.retain(|_, until| *until > now);
            match held.trashed {
                _ if is_wanted => held.trashed = None,
                None => {
                    held.trashed = Some(now);
                    trashed += 1;
                }
                Some(since) if since + TRASH_SECS <= now => gone.push(chunk),
                Some(_) => {}
            }
        }
        self.chunks.retain(|chunk, _| !gone.contains(chunk));
        let named: BTreeSet<_> = self.chunks.values().flat_map(|held| held.files.clone()).collect();
        self.words.retain(|file, _| named.contains(file));
        let deleted = u64::try_from(gone.len()).expect("few");
        self.deleted += deleted;
        (trashed, deleted)
    }
}

fn file(lease: &VerifiedLease) -> (NodeId, Cid) {
    (lease.body().owner, lease.body().root)
}

/// One round over the whole store.
async fn round(store: &impl Upkeep, now: u64, trash_secs: u64, max_chunks: usize) -> (u64, u64) {
    let (mut after, mut trashed, mut deleted) = (None, 0, 0);
    loop {
        let step = CollectStep { now, trash_secs, after, max_chunks };
        let Collected { next, trashed: t, deleted: d, .. } = store.collect(step).await.expect("collected");
        (after, trashed, deleted) = (next, trashed + t, deleted + d);
        if after.is_none() {
            return (trashed, deleted);
        }
    }
}

/// A number below another.
fn below(random: &mut Random, end: u64) -> u64 {
    random.next() % end
}

/// A lease of one of four files: newer or older than others, ended, ending or endless.
fn any_lease(random: &mut Random, model: &mut Model) -> VerifiedLease {
    model.issued += 1;
    let issued = model.issued - below(random, 3).min(model.issued - 1);
    let until = match below(random, 4) {
        0 => Some(model.now.saturating_sub(10)),
        1 => None,
        _ => Some(model.now + below(random, 300)),
    };
    let owner = 1 + u8::try_from(below(random, 2)).expect("small");
    lease(owner, root(1 + u8::try_from(below(random, 2)).expect("small")), issued, until)
}

async fn step(store: &impl Upkeep, model: &mut Model, pool: &[EncodedChunk], random: &mut Random, context: &str) {
    let at = |random: &mut Random| usize::try_from(below(random, 5)).expect("small");
    let put_id = [PUT_1, PUT_2][usize::try_from(below(random, 2)).expect("small")];
    let owner = [ALICE, BOB][usize::try_from(below(random, 2)).expect("small")];
    match below(random, 10) {
        what @ 0..=3 => {
            let (a, b) = (&pool[at(random)], &pool[at(random)]);
            let index = |random: &mut Random, of: &EncodedChunk| {
                u8::try_from(below(random, 3)).expect("small") % u8::try_from(of.pieces.len()).expect("48 at most")
            };
            let new = [(a, index(random, a)), (b, index(random, b))];
            let put = if what == 0 { lease_only([a.descriptor.id()]) } else { batch(new) };
            let put = PutBatch { put_id, owner, lease_until: model.now + below(random, 200), ..put };
            model.put(&put);
            store.put(put).await.expect(context);
        }
        4 => {
            let leases = vec![any_lease(random, model), any_lease(random, model)];
            let expected = model.bind(put_id, owner, &leases);
            assert_eq!(store.bind(put_id, owner, leases).await.expect(context).0, expected, "{context}");
        }
        5 => {
            let lease = any_lease(random, model);
            let expected = model.renew(&lease);
            assert_eq!(store.renew(vec![lease]).await.expect(context)[0].0, expected, "{context}");
        }
        6 => {
            let chunk = pool[at(random)].descriptor.id();
            let expected = model.chunks.get_mut(&chunk).is_some_and(|held| {
                let was_held = held.pieces.contains(0);
                held.pieces.remove(0);
                was_held
            });
            assert_eq!(store.give_up(chunk, 0).await, Ok(expected), "{context}");
        }
        7 => model.now += below(random, 150),
        _ => {
            let max_chunks = 1 + at(random);
            let found = round(store, model.now, TRASH_SECS, max_chunks).await;
            assert_eq!(found, model.collect(), "{context}: trashed and deleted");
        }
    }
    agree(store, model, pool, context).await;
}

/// What is held, and whose it is.
async fn agree(store: &impl Upkeep, model: &Model, pool: &[EncodedChunk], context: &str) {
    let ids: Vec<_> = pool.iter().map(|chunk| chunk.descriptor.id()).collect();
    let (known, leases) = (store.chunks(&ids).await.expect(context), store.leases(&ids).await.expect(context));
    let (mut pieces, mut used_bytes) = (0, 0);
    for ((chunk, known), leases) in pool.iter().zip(known).zip(leases) {
        let held = model.chunks.get(&chunk.descriptor.id());
        assert_eq!(known.map(|known| known.indices), held.map(|held| held.pieces), "{context}");
        let held = held.cloned().unwrap_or_default();
        let files: BTreeSet<_> = leases.iter().map(|lease| (lease.body().owner, lease.body().root)).collect();
        assert_eq!(files, held.files, "{context}");
        for lease in leases {
            let word = (lease.body().issued, lease.body().until);
            assert_eq!(word, model.words[&(lease.body().owner, lease.body().root)], "{context}");
        }
        pieces += held.pieces.len();
        used_bytes += held.pieces.len() * chunk.descriptor.piece_len();
    }
    let space = store.space();
    let expected = [pieces, used_bytes].map(|number| u64::try_from(number).expect("small"));
    assert_eq!([space.pieces, space.used_bytes], expected, "{context}");
}

/// One story; at its end everything is given up, and the store must be empty after two rounds.
async fn story(store: &impl Upkeep, model: &mut Model, random: &mut Random, context: &str) {
    let pool = [rep_chunk(1, 300), rep_chunk(2, 5_000), chunk(3, 10), chunk(4, 100_000), chunk(5, 1_000)];
    for number in 0..STEPS {
        step(store, model, &pool, random, &format!("{context}, step {number}")).await;
    }
    model.issued += 10;
    model.now += 1_000;
    let end = |owner, number| lease(owner, root(number), model.issued, Some(1));
    let ends: Vec<_> = [(1, 1), (1, 2), (2, 1), (2, 2)].map(|(owner, number)| end(owner, number)).to_vec();
    let covered: Vec<_> = ends.iter().map(|lease| model.renew(lease)).collect();
    let renewed = store.renew(ends).await.expect(context);
    assert_eq!(renewed.into_iter().map(|bound| bound.0).collect::<Vec<_>>(), covered, "{context}");
    for _ in 0..2 {
        assert_eq!(round(store, model.now, TRASH_SECS, 100).await, model.collect(), "{context}: at the end");
        model.now += TRASH_SECS;
    }
    assert!(model.chunks.is_empty());
    agree(store, model, &pool, context).await;
}

#[tokio::test]
async fn memory_deletes_what_nobody_wants_and_nothing_else() {
    let (store, mut model, mut random) = (MemoryStore::new(), Model::default(), Random(SEED));
    for run in 0..RUNS {
        story(&store, &mut model, &mut random, &format!("seed {SEED:#x}, run {run}")).await;
    }
    assert!(model.deleted > RUNS && model.saved > RUNS / 2, "{} deleted, {} saved", model.deleted, model.saved);
}

#[tokio::test]
async fn a_disk_deletes_what_nobody_wants_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut store, mut model, mut random) = (open(folder.path()), Model::default(), Random(SEED ^ 1));
    for run in 0..RUNS {
        let context = format!("seed {:#x}, run {run}", SEED ^ 1);
        story(&store, &mut model, &mut random, &context).await;
        if run % 30 == 0 {
            let space = store.space();
            assert_eq!(store.verify_space().await, Ok(SpaceCheck { counted: space, counter: space }), "{context}");
            drop(store);
            store = open(folder.path());
            assert_eq!(store.space(), space, "{context}");
        }
    }
    assert!(model.deleted > RUNS && model.saved > RUNS / 2, "{} deleted, {} saved", model.deleted, model.saved);
    let space = store.space();
    assert_eq!(store.verify_space().await, Ok(SpaceCheck { counted: space, counter: space }));
}

/// Rounds of the test below, and chunks in each.
const RACES: u64 = 40;
const RACERS: u64 = 24;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_put_beside_the_deletion_of_its_chunk_is_readable() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Arc::new(open(folder.path()));
    let chunks: Vec<_> = (0..RACERS).map(|seed| rep_chunk(seed, 6_000)).collect();
    store.put(batch(chunks.iter().map(|chunk| (chunk, 0)))).await.expect("put");
    let (mut deleted, mut kept) = (0, 0);
    for race in 1..=RACES {
        let now = race * 10_000;
        assert_eq!(round(&*store, now, 0, 1_000).await.1, 0, "in the trash first");
        let mut puts = JoinSet::new();
        let collector = tokio::spawn({
            let store = Arc::clone(&store);
            async move { round(&*store, now, 0, 3).await.1 }
        });
        // Two that put one chunk after another, so that the collector comes in between.
        for part in 0..2 {
            let (store, chunks) = (Arc::clone(&store), chunks.clone());
            puts.spawn(async move {
                let mut answered = Vec::new();
                for (number, chunk) in chunks.iter().enumerate().filter(|(number, _)| number / 2 % 2 == part) {
                    let new = if number % 2 == 0 { batch([(chunk, 0)]) } else { lease_only([chunk.descriptor.id()]) };
                    let put = PutBatch { lease_until: now + 5_000, ..new };
                    answered.push((number, store.put(put).await.expect("put")[0].indices));
                }
                answered
            });
        }
        for (number, answered) in puts.join_all().await.into_iter().flatten() {
            let bytes = store.piece(chunks[number].descriptor.id(), 0).await.expect("read");
            assert_eq!(bytes.is_some(), !answered.is_empty(), "race {race}: what was answered is there");
            assert!(number % 2 == 1 || bytes.is_some(), "race {race}: what was put is there");
            kept += u64::from(number % 2 == 1 && bytes.is_some());
        }
        deleted += collector.await.expect("no panic");
        assert_eq!(round(&*store, now + 4_999, 0, 1_000).await, (0, 0), "race {race}: all that is left is wanted");
        let again = batch(chunks.iter().map(|chunk| (chunk, 0)));
        store.put(PutBatch { lease_until: now + 5_000, ..again }).await.expect("put");
    }
    let space = store.space();
    assert_eq!((space.pieces, space.used_bytes), (RACERS, RACERS * 6_000));
    assert_eq!(store.verify_space().await, Ok(SpaceCheck { counted: space, counter: space }));
    assert!(deleted > RACES && kept > RACES, "{deleted} deleted and {kept} saved: no race was run");
}
