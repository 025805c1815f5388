//! Every bound and every rule of every message, one step beyond it.

use dsn_proto::{request::Kind as Ask, response::Kind as Answer};
use prost::Message;

use super::*;
use crate::{
    audit::SLICE_MAX_BYTES,
    descriptor::Code,
    hash::Hash,
    limits::{
        AUDIT_MAX_ITEMS, GREETINGS_MAX_PER_NODE, IDS_MAX_PER_REQUEST, LEASES_MAX_PER_CHUNK, LEASES_MAX_PER_REQUEST,
        NAMES_MAX_PER_REQUEST, OFFER_MAX_CHUNKS, PARTS_MAX_PER_MESSAGE, PIECE_MAX_BYTES, PUBLISH_MAX_LOCATORS,
        SLICES_MAX_PER_REQUEST,
    },
};

const SIXTEEN: Bytes = Bytes::from_static(&[5; 16]);
const ID: Bytes = Bytes::from_static(&[6; 32]);

fn field(field: &'static str) -> WireError {
    WireError::Field { field }
}

fn read(ask: Ask) -> Result<RequestHead, WireError> {
    RequestHead::decode(&proto::Request { kind: Some(ask) }.encode_to_vec().into())
}

fn refused(ask: Ask) -> WireError {
    read(ask).expect_err("a malformed request")
}

fn bad_answer(answer: Answer) -> WireError {
    let header = proto::Response { kind: Some(answer) }.encode_to_vec().into();
    ResponseHead::decode(&header).expect_err("a malformed response")
}

fn ids(bytes: usize) -> proto::ChunkIds {
    proto::ChunkIds { ids: vec![1; bytes].into() }
}

fn small_descriptor() -> Descriptor {
    Descriptor::new(Code::Rep, 5, &[Hash::of(b"copy")])
}

fn small_locator() -> proto::Locator {
    proto::Locator { version: 1, descriptor: small_descriptor().encoded().clone(), receipts: vec![] }
}

fn small_lease() -> proto::Signed {
    let owner = crate::identity::Identity::from_seed([1; 32]);
    let root = Cid(ChunkId(Hash([6; 32])));
    let body = LeaseBody { network: testing::network(), owner: owner.node_id(), root, issued: 1, until: None };
    body.sign(&owner).as_signed().to_proto()
}

fn owner() -> Option<proto::Owner> {
    Some(proto::Owner { owner: ID, signature: vec![7; 64].into() })
}

#[test]
fn a_message_of_no_kind_is_malformed() {
    for header in [Bytes::new(), Bytes::from_static(&[0xfa, 0x03, 0])] {
        assert_eq!(RequestHead::decode(&header).expect_err("no kind"), field("kind"));
        assert_eq!(ResponseHead::decode(&header).expect_err("no kind"), field("kind"));
    }
    let long = Bytes::from(vec![0; HEADER_MAX_BYTES + 1]);
    assert!(matches!(RequestHead::decode(&long), Err(WireError::TooLong { .. })));
    assert!(matches!(ResponseHead::decode(&long), Err(WireError::TooLong { .. })));
    assert_eq!(RequestHead::decode(&Bytes::from_static(&[0xff])).expect_err("no protobuf"), WireError::Protobuf);
}

#[test]
fn ids_come_whole_and_not_too_many() {
    for ask in [Ask::Locate, Ask::Holds, Ask::Intend, Ask::Leases] {
        assert!(read(ask(ids(IDS_MAX_PER_REQUEST * 32))).is_ok());
        for bytes in [0, 31, 33, (IDS_MAX_PER_REQUEST + 1) * 32] {
            assert_eq!(refused(ask(ids(bytes))), field("ids"), "{bytes} bytes");
        }
    }
}

#[test]
fn locators_to_keep_are_well_formed_and_not_too_many() {
    let publish = |locators| Ask::Publish(proto::PublishRequest { locators });
    assert!(read(publish(vec![small_locator(); PUBLISH_MAX_LOCATORS])).is_ok());
    assert_eq!(refused(publish(vec![])), field("locators"));
    assert_eq!(refused(publish(vec![small_locator(); PUBLISH_MAX_LOCATORS + 1])), field("locators"));
    let crowded = proto::Locator { receipts: vec![proto::Signed::default(); 97], ..small_locator() };
    assert_eq!(refused(publish(vec![crowded])), field("receipts"));
    let unsigned = proto::Locator { receipts: vec![proto::Signed::default()], ..small_locator() };
    assert_eq!(refused(publish(vec![unsigned])), field("signature"));
}

fn refused_offer(change: impl FnOnce(&mut proto::OfferRequest)) -> WireError {
    let chunk = proto::OfferedChunk { descriptor: small_descriptor().encoded().clone(), indices: 1 };
    let mut offer = proto::OfferRequest { put_id: SIXTEEN, owner: owner(), class: 2, chunks: vec![chunk] };
    assert!(read(Ask::Offer(offer.clone())).is_ok());
    change(&mut offer);
    refused(Ask::Offer(offer))
}

#[test]
fn an_offer_names_an_owner_a_class_and_pieces_there_are() {
    assert_eq!(refused_offer(|o| o.chunks.clear()), field("chunks"));
    assert_eq!(refused_offer(|o| o.chunks = vec![o.chunks[0].clone(); OFFER_MAX_CHUNKS + 1]), field("chunks"));
    assert_eq!(refused_offer(|o| o.put_id = ID), field("put_id"));
    assert_eq!(refused_offer(|o| o.owner = None), field("owner"));
    let short = proto::Owner { owner: SIXTEEN, ..owner().expect("one") };
    assert_eq!(refused_offer(|o| o.owner = Some(short)), field("owner"));
    let unsigned = proto::Owner { signature: Bytes::new(), ..owner().expect("one") };
    assert_eq!(refused_offer(|o| o.owner = Some(unsigned)), field("signature"));
    for class in [0, 4] {
        assert_eq!(refused_offer(|o| o.class = class), WireError::Unknown { what: "class", found: class });
    }
    for indices in [0, 2, 1 << 48, u64::MAX] {
        assert_eq!(refused_offer(|o| o.chunks[0].indices = indices), field("indices"), "a copy is piece 0");
    }
    assert_eq!(refused_offer(|o| o.chunks[0].descriptor = ID), WireError::Protobuf);
}

#[test]
fn parts_to_store_fit_one_message() {
    let part = |len: usize, index| proto::StorePart {
        token: SIXTEEN,
        index,
        len: u32::try_from(len).expect("a length of this test"),
    };
    let store = |parts| Ask::Store(proto::StoreRequest { parts });
    assert!(read(store(vec![part(PIECE_MAX_BYTES, 47)])).is_ok());
    assert_eq!(refused(store(vec![])), field("parts"));
    assert_eq!(refused(store(vec![part(1, 0); PARTS_MAX_PER_MESSAGE + 1])), field("parts"));
    for bad in [part(0, 0), part(PIECE_MAX_BYTES + 1, 0), part(1, 48), part(1, 256), part(u32::MAX as usize, 0)] {
        assert_eq!(refused(store(vec![bad])), field("parts"));
    }
    assert_eq!(refused(store(vec![part(PIECE_MAX_BYTES, 0), part(1, 1)])), field("len"));
    assert_eq!(refused(store(vec![proto::StorePart { token: ID, ..part(1, 0) }])), field("token"));
}

#[test]
fn wants_name_pieces_there_can_be() {
    let want = |chunk_id, indices| proto::Want { chunk_id, indices };
    let fetch = |wants| Ask::Fetch(proto::FetchRequest { wants });
    assert!(read(fetch(vec![want(ID, 1 << 47); PARTS_MAX_PER_MESSAGE])).is_ok());
    assert_eq!(refused(fetch(vec![])), field("wants"));
    assert_eq!(refused(fetch(vec![want(ID, 1); PARTS_MAX_PER_MESSAGE + 1])), field("wants"));
    assert_eq!(refused(fetch(vec![want(SIXTEEN, 1)])), field("chunk_id"));
    assert_eq!(refused(fetch(vec![want(ID, 0)])), field("indices"));
    assert_eq!(refused(fetch(vec![want(ID, 1 << 48)])), field("indices"));
}

#[test]
fn slices_wanted_are_of_groups_there_can_be_and_not_too_many() {
    let want = proto::SliceWant { chunk_id: ID, index: 47, first: 32, count: 32 };
    let slices = |wants| Ask::Slices(proto::SlicesRequest { wants });
    assert!(read(slices(vec![want.clone(); SLICES_MAX_PER_REQUEST])).is_ok());
    assert_eq!(refused(slices(vec![])), field("wants"));
    assert_eq!(refused(slices(vec![want.clone(); SLICES_MAX_PER_REQUEST + 1])), field("wants"));
    assert_eq!(refused(slices(vec![proto::SliceWant { chunk_id: SIXTEEN, ..want.clone() }])), field("chunk_id"));
    for index in [48, 256] {
        assert_eq!(refused(slices(vec![proto::SliceWant { index, ..want.clone() }])), field("index"));
    }
    for (first, count) in [(0, 0), (0, 33), (33, 32), (64, 1), (u32::MAX, 2), (1, u32::MAX)] {
        assert_eq!(refused(slices(vec![proto::SliceWant { first, count, ..want.clone() }])), field("count"));
    }
}

#[test]
fn slices_that_come_fit_one_message() {
    let len = |len: usize| u32::try_from(len).expect("a length of this test");
    let answer = |lens| Answer::Slices(proto::SlicesResponse { lens });
    let good = proto::Response { kind: Some(answer(vec![len(BODIES_MAX_BYTES / 16); 16])) };
    assert!(matches!(ResponseHead::decode(&good.encode_to_vec().into()), Ok(ResponseHead::Sliced(_))));
    let longest = len(crate::slice::SLICE_MAX_BYTES);
    for lens in [vec![1; SLICES_MAX_PER_REQUEST + 1], vec![longest + 1], vec![u32::MAX], vec![longest; 2]] {
        assert_eq!(bad_answer(answer(lens)), field("lens"));
    }
}

#[test]
fn a_commit_names_put_owner_root_and_leases() {
    let leases = vec![small_lease(); LEASES_MAX_PER_CHUNK];
    let commit = proto::CommitRequest { put_id: SIXTEEN, owner: owner(), root: ID, leases };
    assert!(read(Ask::Commit(commit.clone())).is_ok());
    assert_eq!(refused(Ask::Commit(proto::CommitRequest { put_id: ID, ..commit.clone() })), field("put_id"));
    assert_eq!(refused(Ask::Commit(proto::CommitRequest { owner: None, ..commit.clone() })), field("owner"));
    assert_eq!(refused(Ask::Commit(proto::CommitRequest { root: SIXTEEN, ..commit.clone() })), field("root"));
    let crowded = vec![small_lease(); LEASES_MAX_PER_CHUNK + 1];
    let crowded = proto::CommitRequest { leases: crowded, ..commit.clone() };
    assert_eq!(refused(Ask::Commit(crowded)), field("leases"));
    let leases = vec![proto::Signed::default()];
    assert_eq!(refused(Ask::Commit(proto::CommitRequest { leases, ..commit })), field("signature"));
}

#[test]
fn an_audit_names_at_most_64_groups_of_pieces_there_can_be() {
    let item = proto::AuditItem { chunk_id: ID, index: 47, group: u32::MAX };
    let audit = |items| Ask::Audit(proto::AuditRequest { items });
    assert!(read(audit(vec![])).is_ok());
    assert!(read(audit(vec![item.clone(); AUDIT_MAX_ITEMS])).is_ok());
    assert_eq!(refused(audit(vec![item.clone(); AUDIT_MAX_ITEMS + 1])), field("items"));
    assert_eq!(refused(audit(vec![proto::AuditItem { index: 48, ..item.clone() }])), field("index"));
    assert_eq!(refused(audit(vec![proto::AuditItem { chunk_id: SIXTEEN, ..item }])), field("chunk_id"));
}

#[test]
fn leases_to_renew_are_well_formed_and_not_too_many() {
    let renew = |leases| Ask::Renew(proto::LeaseList { leases });
    assert!(read(renew(vec![small_lease(); LEASES_MAX_PER_REQUEST])).is_ok());
    assert_eq!(refused(renew(vec![])), field("leases"));
    assert_eq!(refused(renew(vec![small_lease(); LEASES_MAX_PER_REQUEST + 1])), field("leases"));
}

#[test]
fn marks_to_compare_are_well_formed_and_not_too_many() {
    let mark = proto::LocatorMark { chunk_id: ID, digest: 7 };
    let compare = |marks| Ask::Compare(proto::CompareRequest { marks });
    assert!(read(compare(vec![mark.clone(); IDS_MAX_PER_REQUEST])).is_ok());
    assert_eq!(refused(compare(vec![])), field("marks"));
    assert_eq!(refused(compare(vec![mark; IDS_MAX_PER_REQUEST + 1])), field("marks"));
    assert_eq!(refused(compare(vec![proto::LocatorMark { chunk_id: SIXTEEN, digest: 7 }])), field("chunk_id"));
    let wanted = vec![true; IDS_MAX_PER_REQUEST + 1];
    assert_eq!(bad_answer(Answer::Compare(proto::CompareResponse { wanted })), field("wanted"));
}

#[test]
fn greetings_are_well_formed_and_not_too_many() {
    assert_eq!(refused(Ask::Greet(proto::Signed::default())), field("signature"));
    let identity = crate::identity::Identity::from_seed([1; 32]);
    let (network, node, run) = (testing::network(), identity.node_id(), RunId([1; 16]));
    let body = GreetingBody { network, node, run, started: 1, addresses: vec![], heard: vec![] };
    let greeting = body.sign(&identity).as_signed().to_proto();
    assert!(read(Ask::Greet(greeting.clone())).is_ok());
    let greetings = vec![greeting; GREETINGS_MAX_PER_NODE + 1];
    assert_eq!(bad_answer(Answer::Greet(proto::GreetResponse { greetings })), field("greetings"));
}

#[test]
fn answers_about_leases_and_audits_are_bounded() {
    let mark = Some(proto::StoreMark::default());
    let audited = |slices| Answer::Audit(proto::AuditResponse { mark, slices });
    let slice = |len| proto::Slice { bytes: vec![1; len].into() };
    assert_eq!(bad_answer(audited(vec![slice(1); AUDIT_MAX_ITEMS + 1])), field("slices"));
    assert_eq!(bad_answer(audited(vec![slice(SLICE_MAX_BYTES + 1)])), field("slices"));
    let unmarked = Answer::Audit(proto::AuditResponse { mark: None, slices: vec![] });
    assert_eq!(bad_answer(unmarked), field("mark"));
    let yields = vec![true; IDS_MAX_PER_REQUEST + 1];
    assert_eq!(bad_answer(Answer::Intend(proto::IntendResponse { yields })), field("yields"));
    let leased = |chunks| Answer::Leases(proto::LeasesResponse { chunks });
    assert_eq!(bad_answer(leased(vec![proto::LeaseList::default(); IDS_MAX_PER_REQUEST + 1])), field("chunks"));
    let crowded = proto::LeaseList { leases: vec![small_lease(); LEASES_MAX_PER_CHUNK + 1] };
    assert_eq!(bad_answer(leased(vec![crowded])), field("leases"));
    let chunks = vec![1; LEASES_MAX_PER_REQUEST + 1];
    assert_eq!(bad_answer(Answer::Renew(proto::RenewResponse { chunks })), field("chunks"));
}

#[test]
fn malformed_answers_are_no_answers() {
    for reason in [0, 7] {
        let refused = proto::Refused { reason, delay_ms: 0 };
        assert_eq!(bad_answer(Answer::Refused(refused)), WireError::Unknown { what: "refusal", found: reason });
    }
    assert_eq!(bad_answer(Answer::Info(proto::InfoResponse::default())), field("record"));
    let entries = vec![proto::LocateEntry::default(); IDS_MAX_PER_REQUEST + 1];
    assert_eq!(bad_answer(Answer::Locate(proto::LocateResponse { entries })), field("entries"));
    let kept = vec![true; PUBLISH_MAX_LOCATORS + 1];
    assert_eq!(bad_answer(Answer::Publish(proto::PublishResponse { kept })), field("kept"));
    let receipts = vec![proto::Signed::default(); PARTS_MAX_PER_MESSAGE + 1];
    assert_eq!(bad_answer(Answer::Store(proto::StoreResponse { receipts })), field("receipts"));
    let holds = |indices| Answer::Holds(proto::HoldsResponse { indices });
    assert_eq!(bad_answer(holds(vec![0; IDS_MAX_PER_REQUEST + 1])), field("indices"));
    assert_eq!(bad_answer(holds(vec![1 << 48])), field("indices"));
}

#[test]
fn an_answer_to_an_offer_says_something() {
    use proto::offer_answer::Kind;
    let bad = |kinds: Vec<Option<Kind>>| {
        let answers = kinds.into_iter().map(|kind| proto::OfferAnswer { kind }).collect();
        bad_answer(Answer::Offer(proto::OfferResponse { answers }))
    };
    assert_eq!(bad(vec![None]), field("answers"));
    assert_eq!(bad(vec![Some(Kind::BusyMs(1)); OFFER_MAX_CHUNKS + 1]), field("answers"));
    assert_eq!(bad(vec![Some(Kind::Have(proto::Signed::default()))]), field("signature"));
    assert_eq!(bad(vec![Some(Kind::Send(proto::Send { token: ID, missing: 1 }))]), field("token"));
    assert_eq!(bad(vec![Some(Kind::Send(proto::Send { token: SIXTEEN, missing: 0 }))]), field("indices"));
}

#[test]
fn parts_fetched_fit_one_message() {
    let part = |len: usize, index| proto::FetchPart {
        chunk_id: ID,
        index,
        len: u32::try_from(len).expect("a length of this test"),
    };
    let bad = |parts| bad_answer(Answer::Fetch(proto::FetchResponse { parts }));
    assert_eq!(bad(vec![part(1, 0); PARTS_MAX_PER_MESSAGE + 1]), field("parts"));
    for part in [part(0, 0), part(PIECE_MAX_BYTES + 1, 0), part(1, 48)] {
        assert_eq!(bad(vec![part]), field("parts"));
    }
    assert_eq!(bad(vec![part(PIECE_MAX_BYTES, 0), part(1, 1)]), field("len"));
    assert_eq!(bad(vec![proto::FetchPart { chunk_id: SIXTEEN, ..part(1, 0) }]), field("chunk_id"));
}

#[test]
fn names_come_whole_and_not_too_many() {
    let asked = |bytes: usize| Ask::Names(proto::Names { names: vec![1; bytes].into() });
    for bytes in [0, 31, 33, (NAMES_MAX_PER_REQUEST + 1) * 32] {
        assert_eq!(refused(asked(bytes)), field("names"), "{bytes} bytes");
    }
    assert!(read(asked(NAMES_MAX_PER_REQUEST * 32)).is_ok());
}

#[test]
fn records_of_names_are_well_formed_and_not_too_many() {
    let key = crate::identity::Identity::from_seed([1; 32]);
    let record = |sequence, root| {
        let (network, name, root) = (testing::network(), Name::of(&key), Cid(ChunkId(Hash([root; 32]))));
        NameBody { network, name, sequence, root, issued: 1, until: 2 }.sign(&key).as_signed().to_proto()
    };
    let publish = |count| Ask::PublishNames(proto::PublishNamesRequest { records: vec![record(1, 1); count] });
    for count in [0, NAMES_MAX_PER_REQUEST + 1] {
        assert_eq!(refused(publish(count)), field("records"), "{count}");
    }
    assert!(read(publish(NAMES_MAX_PER_REQUEST)).is_ok());
    let found = |records: Vec<proto::Signed>| {
        Answer::Names(proto::NamesResponse { names: vec![proto::NameRecords { records }] })
    };
    let three = vec![record(1, 1), record(1, 2), record(1, 3)];
    for records in [three, vec![record(1, 2), record(1, 1)], vec![record(1, 1); 2], vec![record(1, 1), record(2, 2)]] {
        assert_eq!(bad_answer(found(records)), field("records"));
    }
    let many = vec![proto::NameRecords::default(); NAMES_MAX_PER_REQUEST + 1];
    assert_eq!(bad_answer(Answer::Names(proto::NamesResponse { names: many })), field("names"));
    let kept = vec![true; NAMES_MAX_PER_REQUEST + 1];
    assert_eq!(bad_answer(Answer::PublishNames(proto::PublishResponse { kept })), field("kept"));
}
