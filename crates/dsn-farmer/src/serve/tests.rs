//! Answers that must fit what the protocol allows, whatever is asked.

use std::sync::Arc;

use bytes::BytesMut;
use dsn_core::{
    announcement::News,
    cid::Cid,
    descriptor::Code,
    erasure::{EncodedChunk, encode},
    identity::Identity,
    lease::LeaseBody,
    limits::{NAMES_MAX_PER_REQUEST, PARTS_MAX_PER_MESSAGE},
    name::{Name, NameBody, NameRecord},
    network_name::NetworkName,
    ports::{Environment, Handler, InlineCompute, PieceStore},
    redundancy::Class,
    rpc::{
        Commit, OwnerProof, PutId, Request,
        frame::{Frame, ResponseHead},
    },
};
use dsn_store::MemoryStore;

use super::*;
use crate::{FarmerOptions, FarmerParts, UnlimitedDisk, state::Newcomers};

const NOW: u64 = 1_800_000_000;
const PUT: PutId = PutId([1; 16]);

struct StoppedClock;

impl Environment for StoppedClock {
    fn unix_secs(&self) -> u64 {
        NOW
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        bytes.fill(4);
    }
}

fn client() -> Identity {
    Identity::from_seed([9; 32])
}

fn chunk(seed: u8) -> EncodedChunk {
    encode(Code::Rs16Of48, BytesMut::from(&[seed][..]))
}

/// A farmer that holds all pieces of these chunks.
async fn holding(chunks: &[EncodedChunk]) -> Farmer {
    holding_within(chunks, None).await
}

/// One that keeps so many bytes of an owner.
async fn holding_within(chunks: &[EncodedChunk], owner_quota_bytes: Option<u64>) -> Farmer {
    let store = MemoryStore::new();
    let piece = |chunk: &EncodedChunk, piece| NewPiece { descriptor: chunk.descriptor.clone(), piece };
    let pieces = chunks.iter().flat_map(|c| c.pieces.iter().map(|p| piece(c, p.clone()))).collect();
    let owner = client().node_id();
    let batch = PutBatch { put_id: PUT, owner, class: Class::Low, lease_until: NOW + 1, pieces, chunks: vec![] };
    store.put(batch).await.expect("memory does not fail");
    let parts = FarmerParts {
        store: Arc::new(store),
        disk: Arc::new(UnlimitedDisk),
        compute: Arc::new(InlineCompute),
        environment: Arc::new(StoppedClock),
        identity: Identity::from_seed([8; 32]),
        network_name: "test".parse().expect("valid"),
    };
    Farmer::new(parts, FarmerOptions { owner_quota_bytes, ..FarmerOptions::lending(1 << 30) })
}

#[tokio::test]
async fn many_small_pieces_come_in_as_many_as_a_message_takes() {
    let chunks: Vec<EncodedChunk> = (0..6).map(chunk).collect();
    let farmer = holding(&chunks).await;
    let wants = chunks.iter().map(|c| Want { chunk: c.descriptor.id(), indices: IndexSet::below(48) }).collect();
    let answer = farmer.handle(client().node_id(), Request::Fetch(wants)).await;
    let head = ResponseHead::decode(&Frame::from(&answer).header);
    assert!(matches!(head, Ok(ResponseHead::Fetched(parts)) if parts.len() == PARTS_MAX_PER_MESSAGE));
}

#[tokio::test]
async fn every_offer_of_one_chunk_gets_its_own_answer() {
    let (held, new) = (chunk(1), chunk(2));
    let farmer = holding(std::slice::from_ref(&held)).await;
    let offered = |of: &EncodedChunk, n| {
        let (descriptor, indices) = (of.descriptor.clone(), IndexSet::below(n));
        OfferedChunk { descriptor, indices }
    };
    let owner = OwnerProof::sign(&client(), PUT, client().node_id());
    let chunks = vec![offered(&held, 2), offered(&held, 3), offered(&new, 2), offered(&new, 2)];
    let offer = Offer { put_id: PUT, owner, class: Class::Low, chunks };
    let answer = farmer.handle(client().node_id(), Request::Offer(offer)).await;
    assert!(ResponseHead::decode(&Frame::from(&answer).header).is_ok());
    let Response::Offered(answers) = answer else { panic!("{answer:?}") };
    let have: Vec<bool> = answers.iter().map(|answer| matches!(answer, OfferAnswer::Have(_))).collect();
    assert_eq!(have, [true, true, false, false]);
}

#[tokio::test]
async fn an_owner_is_given_its_quota_and_others_theirs() {
    let (held, new) = (chunk(1), chunk(2));
    let len = u64::try_from(held.descriptor.piece_len()).expect("small");
    // All pieces of a chunk are here; two more fit.
    let farmer = holding_within(std::slice::from_ref(&held), Some(50 * len)).await;
    let grants = async |owner: Identity, pieces| {
        let (descriptor, indices) = (new.descriptor.clone(), IndexSet::below(pieces));
        let owner = OwnerProof::sign(&owner, PUT, client().node_id());
        let offer = Offer { put_id: PUT, owner, class: Class::Low, chunks: vec![OfferedChunk { descriptor, indices }] };
        match farmer.handle(client().node_id(), Request::Offer(offer)).await {
            Response::Offered(answers) => matches!(answers[..], [OfferAnswer::Send { .. }]),
            other => panic!("{other:?}"),
        }
    };
    assert!(!grants(client(), 3).await);
    assert!(grants(client(), 2).await);
    assert!(!grants(client(), 1).await, "what was granted counts before it comes");
    assert!(grants(Identity::from_seed([7; 32]), 48).await);
}

/// A member with a quota has one owner's key and no other: a new one would be a new quota, and so would leases that it says
/// it carries for somebody.
#[tokio::test]
async fn a_member_with_a_quota_puts_within_it_and_only_for_itself() {
    let (held, new) = (chunk(1), chunk(2));
    let len = u64::try_from(held.descriptor.piece_len()).expect("small");
    let farmer = holding(std::slice::from_ref(&held)).await;
    let (member, node) = (client(), Identity::from_seed([6; 32]).node_id());
    let allowance = Allowance { member: member.node_id(), bytes: 50 * len };
    let offer = |owner: &Identity, pieces| {
        let (descriptor, indices) = (new.descriptor.clone(), IndexSet::below(pieces));
        let owner = OwnerProof::sign(owner, PutId([2; 16]), node);
        let chunks = vec![OfferedChunk { descriptor, indices }];
        Request::Offer(Offer { put_id: PutId([2; 16]), owner, class: Class::Low, chunks })
    };
    let grants = async |pieces| match farmer.handle_within(node, allowance, offer(&member, pieces)).await {
        Response::Offered(answers) => matches!(answers[..], [OfferAnswer::Send { .. }]),
        other => panic!("{other:?}"),
    };
    assert!(!grants(3).await, "48 pieces of it are here");
    assert!(grants(2).await);
    assert!(!grants(1).await);
    let other = Identity::from_seed([7; 32]);
    let denied = |answer| matches!(answer, Response::Refused(Refusal::Denied));
    assert!(denied(farmer.handle_within(node, allowance, offer(&other, 1)).await));
    assert!(!denied(farmer.handle(node, offer(&other, 1)).await), "who has no quota carries for anybody");

    let root = Cid(new.descriptor.id());
    let commit = |owners: &[&Identity]| {
        let network: NetworkName = "test".parse().expect("valid");
        let lease = |owner: &&Identity| {
            let body = LeaseBody { network: network.clone(), owner: owner.node_id(), root, issued: NOW, until: None };
            body.sign(owner).into_signed()
        };
        let (put_id, owner) = (PutId([2; 16]), OwnerProof::sign(&member, PutId([2; 16]), node));
        Request::Commit(Commit { put_id, owner, root, leases: owners.iter().map(lease).collect() })
    };
    assert!(denied(farmer.handle_within(node, allowance, commit(&[&member, &other])).await));
    assert!(!denied(farmer.handle_within(node, allowance, commit(&[&member])).await));
    assert!(!denied(farmer.handle(node, commit(&[&member, &other])).await));
}

/// What is held already costs the farmer nothing, but a lease of it is a promise to keep it: a member would have as many as
/// it finds chunks of others.
#[tokio::test]
async fn a_member_with_a_quota_gets_leases_of_what_is_held_within_it() {
    let chunks: Vec<EncodedChunk> = (1..=4).map(chunk).collect();
    let len = u64::try_from(chunks[0].descriptor.piece_len()).expect("small");
    let farmer = holding(&chunks).await;
    let (member, node) = (Identity::from_seed([7; 32]), Identity::from_seed([6; 32]).node_id());
    let allowance = Allowance { member: member.node_id(), bytes: 100 * len };
    let has = async |put_id, of: &[&EncodedChunk]| {
        let offered =
            |of: &&EncodedChunk| OfferedChunk { descriptor: of.descriptor.clone(), indices: IndexSet::below(9) };
        let owner = OwnerProof::sign(&member, put_id, node);
        let offer = Offer { put_id, owner, class: Class::Low, chunks: of.iter().map(offered).collect() };
        let Response::Offered(answers) = farmer.handle_within(node, allowance, Request::Offer(offer)).await else {
            panic!()
        };
        let expected = |answer: &OfferAnswer| matches!(answer, OfferAnswer::Have(_) | OfferAnswer::Full);
        assert!(answers.iter().all(expected), "{answers:?}");
        answers.iter().map(|answer| matches!(answer, OfferAnswer::Have(_))).collect::<Vec<_>>()
    };
    let kept = async || farmer.parts.store.owned_bytes(member.node_id(), NOW).await.expect("counted");
    let [one, two, three, four] = [0, 1, 2, 3].map(|nth| &chunks[nth]);
    assert_eq!(has(PUT, &[one, one]).await, [true, true], "one chunk counts once");
    assert_eq!(kept().await, 48 * len);
    let mut got = has(PutId([2; 16]), &[two, three, four]).await;
    got.sort_unstable();
    assert_eq!(got, [false, false, true], "of three more, one fits");
    assert_eq!(kept().await, 96 * len);
    assert_eq!(has(PutId([3; 16]), &[one]).await, [true], "what it has is not taken from it when it puts that again");
    assert_eq!(has(PutId([4; 16]), &[two, three, four]).await.iter().filter(|has| **has).count(), 1);
    assert_eq!(kept().await, 96 * len);
}

/// A record of a throw-away name.
fn named(number: u64, sequence: u64) -> NameRecord {
    let key = Identity::from_seed(dsn_core::hash::Hash::of(&number.to_le_bytes()).0);
    let (network, root) = ("test".parse().expect("valid"), Cid(chunk(1).descriptor.id()));
    let body = NameBody { network, name: Name::of(&key), sequence, root, issued: NOW, until: NOW + 1000 };
    body.sign(&key).into_signed()
}

/// Throw-away names cost nothing to make: who makes many takes no more than its part of the room, puts nobody else's name
/// out, and hinders nobody else.
#[tokio::test]
async fn a_flood_of_names_takes_no_more_than_its_part() {
    let farmer = holding(&[]).await;
    let (stranger, owner) = (client().node_id(), Identity::from_seed([5; 32]).node_id());
    let publish = async |from, records: Vec<NameRecord>| match farmer.handle(from, Request::PublishNames(records)).await
    {
        Response::NamesPublished(kept) => kept,
        other => panic!("{other:?}"),
    };
    let old = u64::MAX;
    assert_eq!(publish(owner, vec![named(old, 1)]).await, [true]);
    let flood: Vec<NameRecord> = (0..u64::from(Newcomers::OF_ONE_MAX) + 50).map(|number| named(number, 1)).collect();
    let mut kept = 0;
    for records in flood.chunks(NAMES_MAX_PER_REQUEST) {
        kept += publish(stranger, records.to_vec()).await.into_iter().filter(|kept| *kept).count();
    }
    assert_eq!(kept, Newcomers::OF_ONE_MAX as usize);
    assert_eq!(publish(stranger, vec![named(0, 2)]).await, [true], "a name that is kept has new versions");
    assert_eq!(publish(owner, vec![named(old, 2), named(old - 1, 1)]).await, [true, true], "others are not hindered");
    assert!(farmer.occupancies().iter().all(|list| list.used <= list.most));
}

#[tokio::test]
async fn an_announced_version_is_kept_where_its_name_is_and_nowhere_else() {
    let farmer = holding(&[]).await;
    let verified = |record: NameRecord| record.verify(&"test".parse().expect("valid"), NOW).expect("signed");
    let newest = async |number| {
        let record = named(number, 1);
        match farmer.handle(client().node_id(), Request::Names(vec![record.body().name])).await {
            Response::Names(found) => found[0].as_ref().map(|records| records.records()[0].body().sequence),
            other => panic!("{other:?}"),
        }
    };
    let published = farmer.handle(client().node_id(), Request::PublishNames(vec![named(1, 1)])).await;
    assert!(matches!(published, Response::NamesPublished(kept) if kept == [true]));
    for number in [1, 2] {
        assert!(farmer.hear(&News::Name(verified(named(number, 2)))), "it is handed on in any case");
    }
    // What is published after it is kept after it.
    farmer.handle(client().node_id(), Request::PublishNames(vec![named(3, 1)])).await;
    assert_eq!((newest(1).await, newest(2).await), (Some(2), None));
    let mut fresh = farmer.name_keeper.fresh();
    farmer.handle(client().node_id(), Request::PublishNames(vec![named(1, 2), named(1, 3)])).await;
    assert_eq!(fresh.try_recv().expect("to be announced").body().sequence, 3);
    farmer.handle(client().node_id(), Request::PublishNames(vec![named(1, 2), named(1, 3)])).await;
    assert!(fresh.try_recv().is_err(), "nothing of it is new");
}
