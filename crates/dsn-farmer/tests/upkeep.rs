//! What a farmer answers about what it keeps: audits, leases, and marks of locators.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bytes::BytesMut;
use dsn_core::{
    audit::{AuditItem, verify},
    cid::Cid,
    descriptor::Code,
    erasure::{EncodedChunk, encode},
    greeting::{GreetingBody, RunId},
    identity::Identity,
    lease::LeaseBody,
    network_name::NetworkName,
    ports::{Environment, Handler, InlineCompute, NewPiece, PieceStore, PutBatch},
    redundancy::Class,
    rpc::{
        Audited, PutId, Refusal, Request, Response,
        frame::{Frame, ResponseHead},
    },
    slice::{self, GroupRange, SliceWant},
};
use dsn_farmer::{Farmer, FarmerOptions, FarmerParts, UnlimitedDisk};
use dsn_store::MemoryStore;

const NOW: u64 = 1_800_000_000;

/// A clock that stands, and randomness that counts.
struct Still(AtomicU64);

impl Environment for Still {
    fn unix_secs(&self) -> u64 {
        NOW
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        let next = self.0.fetch_add(1, Ordering::Relaxed).to_le_bytes();
        bytes.iter_mut().zip(next.iter().cycle()).for_each(|(byte, random)| *byte = *random);
    }
}

struct Setting {
    farmer: Farmer,
    chunk: EncodedChunk,
    network: NetworkName,
}

impl Setting {
    /// A farmer that holds piece 3 of a chunk of two groups a piece.
    async fn new() -> Self {
        Self::of(16 * 20_000).await
    }

    /// The same for a chunk of so many bytes.
    async fn of(len: usize) -> Self {
        let chunk = encode(Code::Rs16Of48, BytesMut::from(&vec![7; len][..]));
        let store = MemoryStore::new();
        let pieces = vec![NewPiece { descriptor: chunk.descriptor.clone(), piece: chunk.pieces[3].clone() }];
        let (put_id, owner, class) = (PutId([1; 16]), Identity::from_seed([1; 32]).node_id(), Class::Normal);
        let put = PutBatch { put_id, owner, class, lease_until: NOW + 1, pieces, chunks: Vec::new() };
        store.put(put).await.expect("put");
        let network: NetworkName = "upkeep".parse().expect("a name");
        let parts = FarmerParts {
            store: Arc::new(store),
            disk: Arc::new(UnlimitedDisk),
            compute: Arc::new(InlineCompute),
            environment: Arc::new(Still(AtomicU64::new(0))),
            identity: Identity::from_seed([2; 32]),
            network_name: network.clone(),
        };
        Self { farmer: Farmer::new(parts, FarmerOptions::lending(1 << 30)), chunk, network }
    }

    async fn ask(&self, request: Request) -> Response {
        self.farmer.handle(Identity::from_seed([9; 32]).node_id(), request).await
    }

    fn item(&self, index: u8, group: u32) -> AuditItem {
        AuditItem { chunk: self.chunk.descriptor.id(), index, group }
    }
}

#[tokio::test]
async fn an_audit_is_answered_by_proof_or_by_absence_and_groups_there_are_not_are_refused() {
    let setting = Setting::new().await;
    let items = vec![setting.item(3, 0), setting.item(4, 0), setting.item(3, 1)];
    let answer = setting.ask(Request::Audit(items.clone())).await;
    let Response::Audited(Audited { slices, .. }) = answer else { panic!("{answer:?}") };
    assert_eq!(slices.len(), 3);
    assert!(slices[1].is_none(), "piece 4 is not held");
    for at in [0, 2] {
        let slice = slices[at].as_ref().expect("held");
        assert_eq!(verify(&setting.chunk.descriptor, items[at], slice), Ok(()));
    }
    let beyond = setting.ask(Request::Audit(vec![setting.item(3, 2)])).await;
    assert!(matches!(beyond, Response::Refused(Refusal::Malformed)), "{beyond:?}");
    let probe = setting.ask(Request::Audit(Vec::new())).await;
    assert!(matches!(&probe, Response::Audited(Audited { slices, .. }) if slices.is_empty()), "{probe:?}");
}

#[tokio::test]
async fn slices_are_of_the_groups_asked_for_absence_is_said_and_groups_there_are_not_are_refused() {
    let setting = Setting::new().await;
    let range = |first, count| GroupRange::new(first, count).expect("there can be such groups");
    let want = |index, range| SliceWant { chunk: setting.chunk.descriptor.id(), index, range };
    let wants = vec![want(3, range(1, 1)), want(4, range(0, 1)), want(3, range(0, 2))];
    let answer = setting.ask(Request::Slices(wants.clone())).await;
    let Response::Sliced(slices) = answer else { panic!("{answer:?}") };
    assert_eq!((slices.len(), slices[1].is_none()), (3, true), "piece 4 is not held");
    for at in [0, 2] {
        let verified = slice::verify(&setting.chunk.descriptor, 3, wants[at].range, slices[at].as_ref().expect("held"));
        let piece = setting.chunk.pieces[3].bytes();
        assert_eq!(verified.expect("true").bytes()[..], piece[wants[at].range.bytes(piece.len())]);
    }
    let beyond = setting.ask(Request::Slices(vec![want(3, range(1, 2))])).await;
    assert!(matches!(beyond, Response::Refused(Refusal::Malformed)), "{beyond:?}");
}

#[tokio::test]
async fn slices_are_sent_as_far_as_they_fit_a_message() {
    let setting = Setting::of(16 << 20).await;
    let range = GroupRange::new(5, 8).expect("such groups");
    let wants = vec![SliceWant { chunk: setting.chunk.descriptor.id(), index: 3, range }; 16];
    let answer = setting.ask(Request::Slices(wants)).await;
    assert!(ResponseHead::decode(&Frame::from(&answer).header).is_ok(), "it keeps to its bounds");
    let Response::Sliced(slices) = answer else { panic!("{answer:?}") };
    assert_eq!(slices.len(), 7, "of eight there would be 1 MiB, and the proofs");
}

#[tokio::test]
async fn a_full_audit_is_answered_as_far_as_it_fits() {
    let setting = Setting::new().await;
    let answer = setting.ask(Request::Audit(vec![setting.item(3, 0); 64])).await;
    let Response::Audited(Audited { slices, .. }) = answer else { panic!("{answer:?}") };
    assert!((50..=64).contains(&slices.len()), "{} slices", slices.len());
}

#[tokio::test]
async fn leases_of_others_networks_and_the_future_are_refused() {
    let setting = Setting::new().await;
    let owner = Identity::from_seed([1; 32]);
    let root = Cid(setting.chunk.descriptor.id());
    let body = LeaseBody { network: setting.network.clone(), owner: owner.node_id(), root, issued: NOW, until: None };
    let other: NetworkName = "other".parse().expect("a name");
    for (body, signer) in [
        (LeaseBody { network: other, ..body.clone() }, &owner),
        (LeaseBody { issued: NOW + 86_400, ..body.clone() }, &owner),
        (body.clone(), &Identity::from_seed([5; 32])),
    ] {
        let answer = setting.ask(Request::Renew(vec![body.sign(signer).into_signed()])).await;
        assert!(matches!(answer, Response::Refused(Refusal::Malformed)), "{answer:?}");
    }
    let unbound = setting.ask(Request::Renew(vec![body.sign(&owner).into_signed()])).await;
    assert!(matches!(&unbound, Response::Renewed(covered) if covered == &[0]), "no commit, no claim: {unbound:?}");
}

#[tokio::test]
async fn greetings_are_shown_to_other_runs_of_the_same_node_and_not_taken_from_others() {
    let setting = Setting::new().await;
    let (asker, stranger) = (Identity::from_seed([9; 32]), Identity::from_seed([5; 32]));
    let greeting = |node: &Identity, signer: &Identity, run, network: &NetworkName| {
        let (network, node, run) = (network.clone(), node.node_id(), RunId([run; 16]));
        let body = GreetingBody { network, node, run, started: NOW, addresses: vec![], heard: vec![] };
        Request::Greet(body.sign(signer).as_signed().clone())
    };
    let other = "other".parse().expect("a name");
    for false_one in [
        greeting(&stranger, &stranger, 1, &setting.network),
        greeting(&asker, &stranger, 1, &setting.network),
        greeting(&asker, &asker, 1, &other),
    ] {
        let answer = setting.ask(false_one).await;
        assert!(matches!(answer, Response::Refused(Refusal::Malformed)), "{answer:?}");
    }
    for (run, shown) in [(1, 0), (1, 0), (2, 1), (1, 1)] {
        let answer = setting.ask(greeting(&asker, &asker, run, &setting.network)).await;
        assert!(matches!(&answer, Response::Greeted(others) if others.len() == shown), "{answer:?}");
    }
}
