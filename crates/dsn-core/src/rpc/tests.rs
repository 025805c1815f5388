//! Round trips of every message, and what malformed ones meet.

use dsn_proto as proto;
use proptest::{collection::vec, prelude::*, sample::Index};

use super::{
    frame::{
        Frame, RequestHead, ResponseHead, bodies_len, fetched_response, header_len, sliced_response, store_request,
    },
    *,
};
use crate::{
    cid::Cid,
    greeting::{GreetingBody, RunId},
    hello::HelloRefusal,
    lease::LeaseBody,
    limits::{BODIES_MAX_BYTES, GREETING_MAX_HEARD, HEADER_MAX_BYTES, RECORDS_MAX_PER_ANSWER},
    name::{KnownName, NameBody},
    receipt::VerifiedReceipt,
    slice::GroupRange,
    testing,
    wire::WireError,
};

mod malformed;

/// What a reader makes of a request's frame.
fn read_request(frame: &Frame) -> Result<Request, WireError> {
    assert_eq!(header_len(frame.length), Ok(frame.header.len()));
    let bodies = Bytes::from(frame.bodies.concat());
    Ok(match RequestHead::decode(&frame.header)? {
        RequestHead::Complete(request) => request,
        RequestHead::Store(headers) => {
            assert_eq!(bodies_len(headers.iter().map(|h| h.len)), bodies.len());
            store_request(&headers, bodies)
        }
    })
}

/// What a reader makes of a response's frame.
fn read_response(frame: &Frame) -> Result<Response, WireError> {
    assert_eq!(header_len(frame.length), Ok(frame.header.len()));
    let bodies = Bytes::from(frame.bodies.concat());
    Ok(match ResponseHead::decode(&frame.header)? {
        ResponseHead::Complete(response) => response,
        ResponseHead::Fetched(headers) => {
            assert_eq!(bodies_len(headers.iter().map(|h| h.len)), bodies.len());
            fetched_response(&headers, bodies)
        }
        ResponseHead::Sliced(lens) => {
            assert_eq!(bodies_len(lens.iter().copied()), bodies.len());
            sliced_response(&lens, bodies)
        }
    })
}

fn put_id() -> impl Strategy<Value = PutId> {
    any::<[u8; 16]>().prop_map(PutId)
}

fn token() -> impl Strategy<Value = Token> {
    any::<[u8; 16]>().prop_map(Token)
}

fn lease() -> impl Strategy<Value = Lease> {
    let body = (testing::chunk_id(), any::<u64>(), proptest::option::of(1u64..));
    (testing::farmer(), body).prop_map(|(owner, (root, issued, until))| {
        let network = testing::network();
        let body = LeaseBody { network, owner: owner.node_id(), root: Cid(root), issued, until };
        body.sign(&owner).into_signed()
    })
}

fn audit_item() -> impl Strategy<Value = AuditItem> {
    (testing::chunk_id(), 0u8..48, any::<u32>()).prop_map(|(chunk, index, group)| AuditItem { chunk, index, group })
}

fn slice_want() -> impl Strategy<Value = SliceWant> {
    (testing::chunk_id(), 0u8..48, 0u32..64, 1u32..=32).prop_map(|(chunk, index, first, count)| {
        let range = GroupRange::new(first, count.min(64 - first)).expect("such groups");
        SliceWant { chunk, index, range }
    })
}

fn audited() -> impl Strategy<Value = Audited> {
    let slice = proptest::option::of(vec(any::<u8>(), 1..200).prop_map(Bytes::from));
    (any::<[u64; 5]>(), vec(slice, 0..5)).prop_map(|([id, opens, losses, resumed, first], slices)| Audited {
        mark: StoreMark { id, opens, losses, resumed, first },
        slices,
    })
}

fn owner() -> impl Strategy<Value = OwnerProof> {
    (testing::farmer(), put_id()).prop_map(|(owner, put_id)| OwnerProof::sign(&owner, put_id, NodeId([3; 32])))
}

fn body() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 1..400).prop_map(Bytes::from)
}

fn locator() -> impl Strategy<Value = Locator> {
    testing::locator().prop_map(|locator| locator.to_locator())
}

fn receipt() -> impl Strategy<Value = Receipt> {
    testing::descriptor().prop_flat_map(|d| testing::receipt_for(&d).prop_map(VerifiedReceipt::into_signed))
}

fn offered() -> impl Strategy<Value = OfferedChunk> {
    (testing::descriptor(), testing::indices()).prop_map(|(descriptor, indices)| {
        let indices = Some(indices.and(descriptor.all_indices())).filter(|set| !set.is_empty());
        OfferedChunk { indices: indices.unwrap_or(IndexSet::one(0)), descriptor }
    })
}

fn offer() -> impl Strategy<Value = Offer> {
    (put_id(), owner(), testing::class(), vec(offered(), 1..4)).prop_map(|(put_id, owner, class, chunks)| Offer {
        put_id,
        owner,
        class,
        chunks,
    })
}

fn greeting() -> impl Strategy<Value = Greeting> {
    let run = || any::<[u8; 16]>().prop_map(RunId);
    (run(), any::<u64>(), vec(run(), 0..=GREETING_MAX_HEARD)).prop_map(|(run, started, heard)| {
        let identity = Identity::from_seed([1; 32]);
        let (network, node, addresses) = (testing::network(), identity.node_id(), vec![Bytes::from_static(&[4, 1])]);
        let body = GreetingBody { network, node, run, started, addresses, heard };
        body.sign(&identity).as_signed().clone()
    })
}

fn record_query() -> impl Strategy<Value = RecordQuery> {
    let node = || any::<[u8; 32]>().prop_map(NodeId);
    prop_oneof![
        vec(node(), 1..=RECORDS_MAX_PER_ANSWER).prop_map(RecordQuery::Of),
        proptest::option::of(node()).prop_map(RecordQuery::After),
    ]
}

fn name() -> impl Strategy<Value = Name> {
    any::<[u8; 32]>().prop_map(|key| Name(NodeId(key)))
}

fn name_record() -> impl Strategy<Value = NameRecord> {
    name_records().prop_map(|records| records.records()[0].clone())
}

fn name_records() -> impl Strategy<Value = NameRecords> {
    let roots = vec(testing::chunk_id(), 1..3);
    (testing::farmer(), 1u64.., roots, 0u64..1 << 40).prop_map(|(key, sequence, roots, issued)| {
        let mut known = KnownName::default();
        for root in roots {
            let (network, name, until) = (testing::network(), Name::of(&key), issued + 7);
            known.merge(NameBody { network, name, sequence, root: Cid(root), issued, until }.sign(&key));
        }
        known.to_records().expect("at least one")
    })
}

fn request() -> impl Strategy<Value = Request> {
    let part = (token(), 0u8..48, body()).prop_map(|(token, index, bytes)| StorePart { token, index, bytes });
    let want = (testing::chunk_id(), testing::indices()).prop_map(|(chunk, indices)| Want { chunk, indices });
    let commit = (put_id(), owner(), testing::chunk_id(), vec(lease(), 0..4))
        .prop_map(|(put_id, owner, root, leases)| Commit { put_id, owner, root: Cid(root), leases });
    prop_oneof![
        Just(Request::Info),
        vec(testing::chunk_id(), 1..=256).prop_map(Request::Locate),
        vec(locator(), 1..4).prop_map(Request::Publish),
        offer().prop_map(Request::Offer),
        vec(part, 1..20).prop_map(Request::Store),
        vec(want, 1..=256).prop_map(Request::Fetch),
        vec(slice_want(), 1..=16).prop_map(Request::Slices),
        vec(testing::chunk_id(), 1..=256).prop_map(Request::Holds),
        commit.prop_map(Request::Commit),
        vec(audit_item(), 0..5).prop_map(Request::Audit),
        vec(testing::chunk_id(), 1..5).prop_map(Request::Intend),
        vec(testing::chunk_id(), 1..5).prop_map(Request::Leases),
        vec(lease(), 1..5).prop_map(Request::Renew),
        vec((testing::chunk_id(), any::<u64>()), 1..5).prop_map(|marks| {
            let marks = marks.into_iter().map(|(chunk, digest)| LocatorMark { chunk, digest });
            Request::Compare(marks.collect())
        }),
        greeting().prop_map(Request::Greet),
        testing::record().prop_map(Request::Register),
        record_query().prop_map(Request::Records),
        vec(name(), 1..=64).prop_map(Request::Names),
        vec(name_record(), 1..5).prop_map(Request::PublishNames),
        testing::hello().prop_map(Request::Hello),
    ]
}

fn ack() -> impl Strategy<Value = HelloAck> {
    let outcome = prop_oneof![
        (1u32..).prop_map(Ok),
        Just(Err(HelloRefusal::NoCommonVersion)),
        Just(Err(HelloRefusal::OtherNetwork)),
        (3u32..).prop_map(|later| Err(HelloRefusal::Later(later))),
    ];
    (outcome, testing::hello()).prop_map(|(outcome, hello)| HelloAck { outcome, hello })
}

fn refusal() -> impl Strategy<Value = Refusal> {
    prop_oneof![
        Just(Refusal::Malformed),
        Just(Refusal::NotServed),
        Just(Refusal::BadToken),
        any::<u32>().prop_map(|delay_ms| Refusal::Busy { delay_ms }),
        Just(Refusal::Storage),
        Just(Refusal::Denied),
    ]
}

fn answer() -> impl Strategy<Value = OfferAnswer> {
    prop_oneof![
        receipt().prop_map(OfferAnswer::Have),
        (token(), testing::indices()).prop_map(|(token, missing)| OfferAnswer::Send { token, missing }),
        Just(OfferAnswer::Full),
        any::<u32>().prop_map(|delay_ms| OfferAnswer::Busy { delay_ms }),
    ]
}

fn response() -> impl Strategy<Value = Response> {
    let info = (testing::record(), any::<u64>(), any::<u64>(), any::<bool>(), any::<u32>()).prop_map(
        |(record, reserved, free_bytes, leaving, registered)| {
            Response::Info(FarmerInfo { record, reserved_bytes: reserved, free_bytes, leaving, registered })
        },
    );
    let part =
        (testing::chunk_id(), 0u8..48, body()).prop_map(|(chunk, index, bytes)| FetchedPart { chunk, index, bytes });
    let held = prop_oneof![Just(IndexSet::EMPTY), testing::indices()];
    prop_oneof![
        refusal().prop_map(Response::Refused),
        info,
        vec(proptest::option::of(locator()), 0..4).prop_map(Response::Located),
        vec(any::<bool>(), 0..=32).prop_map(Response::Published),
        vec(answer(), 0..9).prop_map(Response::Offered),
        vec(receipt(), 0..9).prop_map(Response::Stored),
        vec(part, 0..20).prop_map(Response::Fetched),
        vec(proptest::option::of(body()), 0..=16).prop_map(Response::Sliced),
        vec(held, 0..=256).prop_map(Response::Held),
        any::<u32>().prop_map(|chunks| Response::Committed { chunks }),
        audited().prop_map(Response::Audited),
        vec(any::<bool>(), 0..5).prop_map(Response::Intended),
        vec(vec(lease(), 0..3), 0..5).prop_map(Response::Leased),
        vec(any::<u32>(), 0..5).prop_map(Response::Renewed),
        vec(any::<bool>(), 0..5).prop_map(Response::Compared),
        vec(greeting(), 0..3).prop_map(Response::Greeted),
        any::<u32>().prop_map(|secs| Response::Registered { secs }),
        vec(testing::record(), 0..3).prop_map(Response::Records),
        vec(proptest::option::of(name_records()), 0..4).prop_map(Response::Names),
        vec(any::<bool>(), 0..=64).prop_map(Response::NamesPublished),
        ack().prop_map(Response::Hello),
    ]
}

#[test]
fn an_owner_lets_one_node_put_under_one_id() {
    let (owner, carrier) = (Identity::from_seed([1; 32]), NodeId([2; 32]));
    let proof = OwnerProof::sign(&owner, PutId([3; 16]), carrier);
    assert_eq!(proof.verify(PutId([3; 16]), carrier), Ok(owner.node_id()));
    let error = Err(SignatureError { signer: owner.node_id() });
    assert_eq!(proof.verify(PutId([4; 16]), carrier), error);
    assert_eq!(proof.verify(PutId([3; 16]), NodeId([4; 32])), error);
}

#[test]
fn a_full_message_of_bodies_is_read_back() {
    let bytes = Bytes::from(vec![7; BODIES_MAX_BYTES / 256]);
    let parts = vec![StorePart { token: Token([1; 16]), index: 47, bytes }; 256];
    let frame = Frame::from(&Request::Store(parts));
    assert_eq!(frame.len(), 4 + frame.header.len() + BODIES_MAX_BYTES);
    assert!(matches!(read_request(&frame), Ok(Request::Store(parts)) if parts.len() == 256));
}

#[test]
fn a_header_has_a_length() {
    assert_eq!(header_len([0; 4]), Err(WireError::Field { field: "length" }));
    assert_eq!(header_len([0, 0x10, 0, 0]), Ok(HEADER_MAX_BYTES));
    let len = HEADER_MAX_BYTES + 1;
    assert_eq!(header_len([0, 0x10, 0, 1]), Err(WireError::TooLong { len, max: HEADER_MAX_BYTES }));
    assert!(header_len([0xff; 4]).is_err());
}

/// Field by field, since tokens do not show when printed.
fn tokens(request: &Request) -> Vec<Token> {
    match request {
        Request::Store(parts) => parts.iter().map(|part| part.token).collect(),
        _ => Vec::new(),
    }
}

proptest! {
    #[test]
    fn every_request_survives_its_frame(request in request()) {
        let frame = Frame::from(&request);
        let read = read_request(&frame).expect("ours");
        prop_assert_eq!(format!("{read:?}"), format!("{request:?}"));
        prop_assert_eq!((kind(&read), tokens(&read)), (kind(&request), tokens(&request)));
        let again = Frame::from(&read);
        prop_assert_eq!((again.length, again.header, again.bodies), (frame.length, frame.header, frame.bodies));
    }

    #[test]
    fn every_response_survives_its_frame(response in response()) {
        let frame = Frame::from(&response);
        let read = read_response(&frame).expect("ours");
        prop_assert_eq!(format!("{read:?}"), format!("{response:?}"));
        let again = Frame::from(&read);
        prop_assert_eq!((again.length, again.header, again.bodies), (frame.length, frame.header, frame.bodies));
    }

    #[test]
    fn no_request_header_panics(header in testing::spoiled(request().prop_map(|request| Frame::from(&request).header))) {
        let _either = RequestHead::decode(&header);
    }

    #[test]
    fn no_response_header_panics(header in testing::spoiled(response().prop_map(|r| Frame::from(&r).header))) {
        let _either = ResponseHead::decode(&header);
    }

    /// What is read is always something that we would write ourselves: nothing half-valid comes in.
    #[test]
    fn what_a_spoiled_header_still_says_can_be_said_again(request in request(), bit: Index) {
        let header = testing::flipped(&Frame::from(&request).header, bit);
        if let Ok(RequestHead::Complete(read)) = RequestHead::decode(&header) {
            let again = read_request(&Frame::from(&read)).expect("valid");
            prop_assert_eq!(format!("{again:?}"), format!("{read:?}"));
        }
    }
}
