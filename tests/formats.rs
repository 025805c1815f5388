//! Golden vectors: every format of `proto/README.md` as bytes in `tests/vectors/`, so that no change of code or of a library
//! changes what is on disks and on the wire unnoticed. A vector is never edited and never removed, not even when a newer
//! version of its format comes: what was stored once must be readable for ever. `DSN_WRITE_VECTORS=1` writes vectors that
//! are missing and touches none that is there.
//!
//! Every vector of bytes is also decoded and encoded again, to the same bytes. All inputs are fixed: keys are seeds of one
//! repeated byte, contents come from [`content`].

#[path = "formats/announcement.rs"]
mod announcement;
#[path = "formats/file.rs"]
mod file;
#[path = "formats/folder.rs"]
mod folder_vectors;
#[path = "formats/hello.rs"]
mod hello;
#[path = "formats/names.rs"]
mod names_vectors;
#[path = "formats/sealed.rs"]
mod sealed;
#[path = "formats/slices.rs"]
mod slices;
#[path = "formats/uneven.rs"]
mod uneven;

use std::{collections::BTreeSet, fmt::Write, fs, num::NonZeroU64, path::PathBuf};

use bytes::{Bytes, BytesMut};
use dsn_core::{
    audit::{AuditItem, slice},
    chunk::Layout,
    cid::Cid,
    descriptor::{Code, Descriptor},
    erasure::{EncodedChunk, encode},
    greeting::{Greeting, GreetingBody, RunId},
    hash::{ChunkId, Hash},
    identity::Identity,
    index_set::IndexSet,
    lease::{Lease, LeaseBody},
    limits::CHUNK_MAX_BYTES,
    locator::{Locator, VerifiedLocator},
    manifest::{ChunkList, Manifest, level_for},
    membership::{
        Membership, Refused,
        admission::{Admission, Word},
        certificate::{Certificate, CertificateBody},
        closed_network,
        delegation::Delegation,
        invitation::Invitation,
        revocations::{Revocations, RevocationsBody, VerifiedRevocations},
    },
    network_name::NetworkName,
    node_id::{NodeId, Position, closest},
    placement::{Candidate, rendezvous},
    ports::StoreMark,
    receipt::{Receipt, ReceiptBody, VerifiedReceipt},
    record::{FarmerRecord, RecordBody, Role},
    redundancy::Class,
    rpc::{
        Audited, Commit, FarmerInfo, FetchedPart, Offer, OfferAnswer, OfferedChunk, OwnerProof, PutId, RecordQuery,
        Refusal, Request, Response, StorePart, Token, Want,
        frame::{
            Frame, LENGTH_BYTES, RequestHead, ResponseHead, fetched_response, header_len, sliced_response,
            store_request,
        },
    },
};

/// What is wrong when a vector does not decode.
const VALID: &str = "a vector is valid";
const NOW: u64 = 1_800_000_000;
const PUT: PutId = PutId([0xaa; 16]);
const TOKEN: Token = Token([0xbb; 16]);

/// Bytes as a vector, and the way through the decoder back to bytes.
struct Vector {
    name: &'static str,
    bytes: Bytes,
    again: fn(Bytes) -> Bytes,
}

/// The first `len` bytes of BLAKE3's extendable output for the text `dsn vector`.
fn content(len: usize) -> BytesMut {
    let mut bytes = BytesMut::zeroed(len);
    blake3::Hasher::new().update(b"dsn vector").finalize_xof().fill(&mut bytes);
    bytes
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")
}

/// Compares with the vector of that name.
fn check(name: &str, found: &str) {
    let path = folder().join(name);
    if !path.exists() && std::env::var_os("DSN_WRITE_VECTORS").is_some() {
        fs::write(&path, found).expect("the vectors can be read and written");
    }
    let expected = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert!(expected == found, "{name} is not what it was; now it would be:\n{found}");
}

fn check_bytes(vector: &Vector) {
    let name = format!("{}.hex", vector.name);
    check(&name, &to_hex(&vector.bytes));
    let kept = from_hex(&fs::read_to_string(folder().join(&name)).expect("the vectors can be read and written"));
    assert!((vector.again)(kept.clone()) == kept, "{name} does not decode and encode to itself");
}

/// 32 bytes a line.
fn to_hex(bytes: &[u8]) -> String {
    bytes.chunks(32).map(|line| data_encoding::HEXLOWER.encode(line) + "\n").collect()
}

fn from_hex(text: &str) -> Bytes {
    text.lines().flat_map(|line| data_encoding::HEXLOWER.decode(line.as_bytes()).expect("hexadecimal")).collect()
}

fn identity(seed: u8) -> Identity {
    Identity::from_seed([seed; 32])
}

fn network() -> NetworkName {
    "vectors".parse().expect("a valid name")
}

fn data_chunk() -> EncodedChunk {
    encode(Code::Rs16Of48, content(1000))
}

fn root_chunk() -> EncodedChunk {
    encode(Code::Rep, BytesMut::from(&Manifest::Inline(Bytes::from_static(b"hello")).encode()[..]))
}

fn receipt(farmer: &Identity, chunk: &Descriptor, until: Option<NonZeroU64>) -> VerifiedReceipt {
    let indices = chunk.all_indices().minus(IndexSet::from_bits(0xf0f0).expect("bits below 48"));
    let (network, chunk, seq) = (network(), chunk.id(), 300);
    let farmer_id = farmer.node_id();
    let body =
        ReceiptBody { network, chunk, farmer: farmer_id, indices, class: Class::Normal, seq, issued: NOW, until };
    body.sign(farmer)
}

fn record() -> FarmerRecord {
    let addresses = vec![
        // /ip4/192.0.2.7/tcp/4001 and /ip6/2001:db8::7/tcp/4001
        Bytes::from_static(&[4, 192, 0, 2, 7, 6, 0x0f, 0xa1]),
        Bytes::from_static(&[0x29, 0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 6, 0x0f, 0xa1]),
    ];
    let (domain, node) = ("cellar".to_owned(), identity(1).node_id());
    RecordBody { network: network(), node, addresses, space_class: 40, domain, role: Role::Farmer, seq: 5 }
        .sign(&identity(1))
}

fn locator() -> Locator {
    let chunk = data_chunk().descriptor;
    let mut locator = VerifiedLocator::new(chunk.clone());
    locator.insert(receipt(&identity(1), &chunk, None));
    locator.insert(receipt(&identity(2), &chunk, NonZeroU64::new(NOW + 90 * 86_400)));
    locator.to_locator()
}

fn list(total_len: u64) -> ChunkList {
    let level = level_for(total_len).expect("not too long");
    let len = (0..level).fold(total_len, |len, _| Layout::even(len).count() * 32);
    ChunkList::new(
        level,
        total_len,
        content(usize::try_from(Layout::even(len).count() * 32).expect("fits memory")).freeze(),
    )
}

fn objects() -> Vec<Vector> {
    let descriptor = |bytes| Descriptor::decode(&bytes).expect(VALID).encoded().clone();
    let manifest = |bytes| Manifest::decode(&bytes).expect(VALID).encode();
    let receipt_again = |bytes| Receipt::decode(&bytes).expect(VALID).encode();
    let of = |name, bytes, again| Vector { name, bytes, again };
    let chunk = data_chunk().descriptor;
    let inline = |bytes| Manifest::Inline(bytes).encode();
    let bound = receipt(&identity(2), &chunk, NonZeroU64::new(NOW + 90 * 86_400));
    vec![
        of("descriptor-rs", chunk.encoded().clone(), descriptor),
        of("descriptor-rep", root_chunk().descriptor.encoded().clone(), descriptor),
        of("manifest-empty", inline(Bytes::new()), manifest),
        of("manifest-inline", inline(content(1000).freeze()), manifest),
        of("manifest-list-0", Manifest::List(list(5 * CHUNK_MAX_BYTES as u64 + 1)).encode(), manifest),
        of("manifest-list-1", Manifest::List(list(40 << 40)).encode(), manifest),
        of("receipt", receipt(&identity(1), &chunk, None).as_signed().encode(), receipt_again),
        of("receipt-until", bound.as_signed().encode(), receipt_again),
        of("lease", lease().encode(), |bytes| Lease::decode(&bytes).expect(VALID).encode()),
        of("record", record().encode(), |bytes| FarmerRecord::decode(&bytes).expect(VALID).encode()),
        of("locator", locator().encode(), |bytes| Locator::decode(&bytes).expect(VALID).encode()),
    ]
}

fn written(frame: &Frame) -> Bytes {
    [&frame.length[..], &frame.header, &frame.bodies.concat()].concat().into()
}

/// The header and what follows it.
fn split(mut bytes: Bytes) -> (Bytes, Bytes) {
    let length = bytes.split_to(LENGTH_BYTES)[..].try_into().expect("4 bytes");
    let header = bytes.split_to(header_len(length).expect("a valid length"));
    (header, bytes)
}

fn request_again(bytes: Bytes) -> Bytes {
    let (header, bodies) = split(bytes);
    let request = match RequestHead::decode(&header).expect(VALID) {
        RequestHead::Complete(request) => request,
        RequestHead::Store(parts) => store_request(&parts, bodies),
    };
    written(&Frame::from(&request))
}

fn response_again(bytes: Bytes) -> Bytes {
    let (header, bodies) = split(bytes);
    written(&Frame::from(&match ResponseHead::decode(&header).expect(VALID) {
        ResponseHead::Complete(response) => response,
        ResponseHead::Fetched(parts) => fetched_response(&parts, bodies),
        ResponseHead::Sliced(lens) => sliced_response(&lens, bodies),
    }))
}

/// The word of the owner of the root chunk.
fn lease() -> Lease {
    let (owner, root) = (identity(3), Cid(root_chunk().descriptor.id()));
    let until = Some(NOW + 90 * 86_400);
    LeaseBody { network: network(), owner: owner.node_id(), root, issued: NOW, until }.sign(&owner).into_signed()
}

/// One run of a farmer that was shown another one of it.
fn greeting() -> Greeting {
    let farmer = identity(1);
    let addresses = vec![Bytes::from_static(&[4, 192, 0, 2, 7, 6, 0x0f, 0xa1])];
    let (run, heard) = (RunId([0xcc; 16]), vec![RunId([0xdd; 16])]);
    let body = GreetingBody { network: network(), node: farmer.node_id(), run, started: NOW, addresses, heard };
    body.sign(&farmer).as_signed().clone()
}

/// The member of key 6, in the network of founder 5.
fn membership() -> Membership {
    let (founder, member) = (identity(5), identity(6));
    let network = closed_network(founder.node_id(), "vectors").expect("a valid name");
    let (label, until) = ("cellar".to_owned(), Some(NOW + 90 * 86_400));
    let (founder_id, member_id) = (founder.node_id(), member.node_id());
    let body =
        CertificateBody { network, founder: founder_id, member: member_id, label, issued: NOW, until, quota: None };
    Membership::new(member, body.sign(&founder)).expect("for this key")
}

fn revocations() -> VerifiedRevocations {
    let members = [7, 8].map(|seed| identity(seed).node_id()).into();
    let (network, founder) = (membership().network().clone(), identity(5));
    RevocationsBody { network, founder: founder.node_id(), seq: NOW, members }.sign(&founder)
}

fn invitation() -> Invitation {
    let certificate = membership().certificate().clone();
    Invitation::new(identity(6), certificate, record().body().addresses.clone()).expect("for this key")
}

fn members() -> Vec<Vector> {
    let of = |name, bytes, again| Vector { name, bytes, again };
    let certificate_again = |bytes| Certificate::decode(&bytes).expect(VALID).encode();
    let with_quota = CertificateBody { quota: Some(50 << 30), ..membership().certificate().body().clone() };
    let step = |bytes| Admission::decode(&bytes).expect(VALID).encode();
    let (shown, list) = (membership().credentials(identity(4).node_id(), NOW), revocations().into_signed());
    let said = |word| Admission { word, seq: 0, revocations: None }.encode();
    let newer = Admission { word: Word::Welcome, seq: NOW, revocations: Some(list.clone()) };
    vec![
        of("member", shown.certificate.encode(), certificate_again),
        of("member-quota", with_quota.sign(&identity(5)).as_signed().encode(), certificate_again),
        of("delegation", shown.delegation.encode(), |bytes| Delegation::decode(&bytes).expect(VALID).encode()),
        of("revocations", list.encode(), |bytes| Revocations::decode(&bytes).expect(VALID).encode()),
        of("admission-shown", said(Word::Shown(Box::new(shown))), step),
        of("admission-welcome", newer.encode(), step),
        of("admission-refused", said(Word::Refused(Refused::Revoked)), step),
    ]
}

fn requests() -> Vec<Vector> {
    let (data, root) = (data_chunk(), root_chunk());
    let owner = OwnerProof::sign(&identity(3), PUT, identity(4).node_id());
    let ids = vec![data.descriptor.id(), root.descriptor.id()];
    let offered = [(&data, IndexSet::below(4)), (&root, IndexSet::one(0))];
    let chunks = offered.map(|(chunk, indices)| OfferedChunk { descriptor: chunk.descriptor.clone(), indices }).into();
    let part = |index: u8| StorePart { token: TOKEN, index, bytes: data.pieces[usize::from(index)].bytes().clone() };
    let want = |chunk: &EncodedChunk, indices| Want { chunk: chunk.descriptor.id(), indices };
    let root_cid = Cid(root.descriptor.id());
    [
        ("request-info", Request::Info),
        ("request-locate", Request::Locate(ids.clone())),
        ("request-publish", Request::Publish(vec![locator()])),
        ("request-offer", Request::Offer(Offer { put_id: PUT, owner, class: Class::High, chunks })),
        ("request-store", Request::Store(vec![part(0), part(47)])),
        ("request-fetch", Request::Fetch(vec![want(&data, IndexSet::below(16)), want(&root, IndexSet::one(0))])),
        ("request-holds", Request::Holds(ids.clone())),
        ("request-commit", Request::Commit(Commit { put_id: PUT, owner, root: root_cid, leases: vec![] })),
        (
            "request-commit-leases",
            Request::Commit(Commit { put_id: PUT, owner, root: root_cid, leases: vec![lease()] }),
        ),
        ("request-audit", Request::Audit(vec![AuditItem { chunk: ids[0], index: 47, group: 3 }])),
        ("request-intend", Request::Intend(ids.clone())),
        ("request-leases", Request::Leases(ids.clone())),
        ("request-renew", Request::Renew(vec![lease()])),
        ("request-compare", Request::Compare(vec![locator().mark()])),
        ("request-greet", Request::Greet(greeting())),
        ("request-register", Request::Register(record())),
        ("request-records", Request::Records(RecordQuery::Of(vec![identity(1).node_id()]))),
        ("request-records-after", Request::Records(RecordQuery::After(Some(identity(2).node_id())))),
    ]
    .map(|(name, request)| Vector { name, bytes: written(&Frame::from(&request)), again: request_again })
    .into()
}

fn responses() -> Vec<Vector> {
    let mark = StoreMark { id: 7, opens: 2, losses: 1, ..StoreMark::default() };
    let resumed = StoreMark { resumed: 300, first: NOW << 20, ..mark };
    let (data, root) = (data_chunk(), root_chunk());
    let signed = receipt(&identity(1), &data.descriptor, None).into_signed();
    let info = FarmerInfo {
        record: record(),
        reserved_bytes: 1 << 40,
        free_bytes: (1 << 40) - 12_345,
        leaving: false,
        registered: 0,
    };
    let registered = FarmerInfo { registered: 3, ..info.clone() };
    let answers = vec![
        OfferAnswer::Have(signed.clone()),
        OfferAnswer::Send { token: TOKEN, missing: IndexSet::below(4) },
        OfferAnswer::Full,
        OfferAnswer::Busy { delay_ms: 500 },
    ];
    let part = |of: &EncodedChunk, index: u8| {
        let bytes = of.pieces[usize::from(index)].bytes().clone();
        FetchedPart { chunk: of.descriptor.id(), index, bytes }
    };
    [
        ("response-refused-malformed", Response::Refused(Refusal::Malformed)),
        ("response-refused-not-served", Response::Refused(Refusal::NotServed)),
        ("response-refused-bad-token", Response::Refused(Refusal::BadToken)),
        ("response-refused-busy", Response::Refused(Refusal::Busy { delay_ms: 250 })),
        ("response-refused-storage", Response::Refused(Refusal::Storage)),
        ("response-refused-denied", Response::Refused(Refusal::Denied)),
        ("response-info", Response::Info(info)),
        ("response-locate", Response::Located(vec![Some(locator()), None])),
        ("response-publish", Response::Published(vec![true, false])),
        ("response-offer", Response::Offered(answers)),
        ("response-store", Response::Stored(vec![signed])),
        ("response-fetch", Response::Fetched(vec![part(&data, 3), part(&root, 0)])),
        ("response-holds", Response::Held(vec![IndexSet::below(48), IndexSet::EMPTY])),
        ("response-commit", Response::Committed { chunks: 2 }),
        ("response-audit", Response::Audited(Audited { mark, slices: vec![slice(data.pieces[3].bytes(), 0), None] })),
        ("response-audit-resumed", Response::Audited(Audited { mark: resumed, slices: vec![] })),
        ("response-intend", Response::Intended(vec![true, false])),
        ("response-leases", Response::Leased(vec![vec![lease()], vec![]])),
        ("response-renew", Response::Renewed(vec![2, 0])),
        ("response-compare", Response::Compared(vec![true, false])),
        ("response-greet", Response::Greeted(vec![greeting()])),
        ("response-register", Response::Registered { secs: 3600 }),
        ("response-records", Response::Records(vec![record()])),
        ("response-info-registered", Response::Info(registered)),
    ]
    .map(|(name, response)| Vector { name, bytes: written(&Frame::from(&response)), again: response_again })
    .into()
}

/// Names, and the order in which nodes are close to a chunk.
fn names() -> String {
    let mut text = String::new();
    for seed in 1..=8 {
        let node = identity(seed).node_id();
        let key = data_encoding::HEXLOWER.encode(&node.0);
        writeln!(text, "seed {seed}\nkey {key}\npeer {node}").expect("a text grows");
    }
    let chunk = data_chunk().descriptor.id();
    writeln!(text, "chunk {chunk}\ncid {}", Cid(chunk)).expect("a text grows");
    let nodes = (1..=8).map(|seed| identity(seed).node_id());
    let near: Vec<NodeId> = closest(nodes, Position::from(&chunk), 8);
    near.iter().for_each(|node| writeln!(text, "near {node}").expect("a text grows"));
    text
}

/// The order in which chunks prefer farmers, of one weight and of many: put, repair and every machine must agree on it.
fn preferences() -> String {
    let mut text = String::new();
    for (name, class_of) in [("equal", (|_| 40) as fn(u8) -> u8), ("weighted", |seed| 38 + seed % 3)] {
        let candidate = |seed| {
            let (node, space_class) = (identity(seed).node_id(), class_of(seed));
            Candidate { node, space_class, domain: None }
        };
        let candidates: Vec<_> = (1..=24).map(candidate).collect();
        for seed in 0..4_u32 {
            let chunk = ChunkId(Hash::of(&seed.to_be_bytes()));
            writeln!(text, "weights {name}\nchunk {chunk}").expect("a text grows");
            for candidate in rendezvous(chunk, &candidates) {
                writeln!(text, "farmer {} {}", candidate.space_class, candidate.node).expect("a text grows");
            }
        }
    }
    text
}

fn texts() -> [(&'static str, String); 11] {
    [
        ("capability.txt", sealed::capability()),
        ("cids.txt", file::cids()),
        ("cuts.txt", uneven::file()),
        ("folder.txt", folder_vectors::cuts()),
        ("invitation.txt", format!("{}\n", invitation().to_text())),
        ("manifests.txt", file::manifests()),
        ("name-texts.txt", names_vectors::texts()),
        ("names.txt", names()),
        ("pieces-1000.txt", file::pieces(1000)),
        ("pieces-1048577.txt", file::pieces((1 << 20) + 1)),
        ("preferences.txt", preferences()),
    ]
}

#[test]
fn objects_are_the_bytes_they_were() {
    objects().iter().for_each(check_bytes);
}

#[test]
fn papers_of_members_are_the_bytes_they_were() {
    members().iter().for_each(check_bytes);
    let text = invitation().to_text();
    assert_eq!(text.parse::<Invitation>().unwrap().to_text(), text);
}

#[test]
fn requests_are_the_bytes_they_were() {
    requests().iter().for_each(check_bytes);
}

#[test]
fn responses_are_the_bytes_they_were() {
    responses().iter().for_each(check_bytes);
}

#[test]
fn pieces_chunks_and_cids_are_what_they_were() {
    texts().iter().for_each(|(name, text)| check(name, text));
}

#[test]
fn a_cid_in_text_is_read_back() {
    for text in file::cids().lines().filter_map(|line| line.strip_prefix("cid ")) {
        assert_eq!(text.parse::<Cid>().unwrap().to_string(), text);
    }
}

/// A vector that nobody checks any more has been forgotten, not retired: there is no retiring.
#[test]
fn every_vector_is_checked() {
    let others = [
        announcement::vectors(),
        folder_vectors::vectors(),
        hello::vectors(),
        names_vectors::vectors(),
        sealed::vectors(),
        slices::vectors(),
        uneven::vectors(),
    ];
    let vectors = [objects(), members(), requests(), responses()].into_iter().chain(others).flatten();
    let mut known: BTreeSet<String> = vectors.map(|vector| format!("{}.hex", vector.name)).collect();
    known.extend(texts().map(|(name, _)| name.to_owned()));
    for entry in fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(known.contains(&name), "nobody checks {name}");
    }
}
