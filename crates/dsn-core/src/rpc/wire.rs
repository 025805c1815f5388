//! Requests and responses between their domain types and protobuf. All validation of a control message is here,
//! and in `wire/slices.rs` and `wire/names.rs` that of what asks for slices and names.

mod names;
mod slices;

use bytes::Bytes;
use dsn_proto::{self as proto, request::Kind as Ask, response::Kind as Answer};

pub(super) use self::slices::lens_from_proto as slice_lens;
use super::{
    Audited, Commit, FarmerInfo, Offer, OfferAnswer, OfferedChunk, OwnerProof, PutId, RecordQuery, Refusal, Request,
    Response, Token, Want,
};
use crate::{
    audit::{AuditItem, SLICE_MAX_BYTES},
    cid::Cid,
    descriptor::Descriptor,
    greeting::Greeting,
    hash::ChunkId,
    hello::{Hello, HelloAck},
    index_set::IndexSet,
    lease::Lease,
    limits::{
        AUDIT_MAX_ITEMS, GREETINGS_MAX_PER_NODE, IDS_MAX_PER_REQUEST, LEASES_MAX_PER_CHUNK, LEASES_MAX_PER_REQUEST,
        NAMES_MAX_PER_REQUEST, OFFER_MAX_CHUNKS, PARTS_MAX_PER_MESSAGE, PUBLISH_MAX_LOCATORS, RECORDS_MAX_PER_ANSWER,
        TOTAL_PIECES,
    },
    locator::{Locator, LocatorMark},
    node_id::NodeId,
    ports::StoreMark,
    receipt::Receipt,
    record::FarmerRecord,
    redundancy::Class,
    wire::{WireError, check},
};

fn field(field: &'static str) -> WireError {
    WireError::Field { field }
}

fn ids_to_proto(ids: &[ChunkId]) -> proto::ChunkIds {
    proto::ChunkIds { ids: ids.iter().flat_map(|id| *id.as_bytes()).collect() }
}

fn ids_from_proto(message: &proto::ChunkIds) -> Result<Vec<ChunkId>, WireError> {
    let (ids, rest) = message.ids.as_chunks::<32>();
    check(rest.is_empty() && (1..=IDS_MAX_PER_REQUEST).contains(&ids.len()), "ids")?;
    Ok(ids.iter().filter_map(|id| ChunkId::from_slice(id)).collect())
}

fn some_indices(bits: u64) -> Result<IndexSet, WireError> {
    IndexSet::from_bits(bits).filter(|set| !set.is_empty()).ok_or(field("indices"))
}

fn put_id(bytes: &Bytes) -> Result<PutId, WireError> {
    Ok(PutId(bytes[..].try_into().map_err(|_| field("put_id"))?))
}

fn token(bytes: &Bytes) -> Result<Token, WireError> {
    Ok(Token(bytes[..].try_into().map_err(|_| field("token"))?))
}

fn number(n: usize) -> u32 {
    u32::try_from(n).expect("a message part is at most 1 MiB")
}

pub(super) fn request_to_proto(request: &Request) -> proto::Request {
    let kind = match request {
        Request::Info => Ask::Info(proto::InfoRequest {}),
        Request::Locate(ids) => Ask::Locate(ids_to_proto(ids)),
        Request::Publish(locators) => {
            Ask::Publish(proto::PublishRequest { locators: locators.iter().map(Locator::to_proto).collect() })
        }
        Request::Offer(offer) => Ask::Offer(offer_to_proto(offer)),
        Request::Store(parts) => Ask::Store(proto::StoreRequest {
            parts: parts
                .iter()
                .map(|part| proto::StorePart {
                    token: Bytes::copy_from_slice(&part.token.0),
                    index: u32::from(part.index),
                    len: number(part.bytes.len()),
                })
                .collect(),
        }),
        Request::Fetch(wants) => Ask::Fetch(proto::FetchRequest {
            wants: wants
                .iter()
                .map(|want| proto::Want {
                    chunk_id: Bytes::copy_from_slice(want.chunk.as_bytes()),
                    indices: want.indices.bits(),
                })
                .collect(),
        }),
        Request::Slices(wants) => Ask::Slices(slices::wants_to_proto(wants)),
        Request::Holds(ids) => Ask::Holds(ids_to_proto(ids)),
        Request::Commit(commit) => Ask::Commit(proto::CommitRequest {
            put_id: Bytes::copy_from_slice(&commit.put_id.0),
            owner: Some(owner_to_proto(&commit.owner)),
            root: Bytes::copy_from_slice(commit.root.0.as_bytes()),
            leases: leases_to_proto(&commit.leases),
        }),
        Request::Audit(items) => {
            Ask::Audit(proto::AuditRequest { items: items.iter().map(audit_item_to_proto).collect() })
        }
        Request::Intend(ids) => Ask::Intend(ids_to_proto(ids)),
        Request::Leases(ids) => Ask::Leases(ids_to_proto(ids)),
        Request::Renew(leases) => Ask::Renew(proto::LeaseList { leases: leases_to_proto(leases) }),
        Request::Compare(marks) => {
            let mark = |mark: &LocatorMark| proto::LocatorMark {
                chunk_id: Bytes::copy_from_slice(mark.chunk.as_bytes()),
                digest: mark.digest,
            };
            Ask::Compare(proto::CompareRequest { marks: marks.iter().map(mark).collect() })
        }
        Request::Greet(greeting) => Ask::Greet(greeting.to_proto()),
        Request::Register(record) => Ask::Register(record.to_proto()),
        Request::Records(query) => Ask::Records(query_to_proto(query)),
        Request::Names(names) => Ask::Names(names::names_to_proto(names)),
        Request::PublishNames(records) => Ask::PublishNames(names::records_to_proto(records)),
        Request::Hello(hello) => Ask::Hello(hello.to_proto()),
    };
    proto::Request { kind: Some(kind) }
}

fn leases_to_proto(leases: &[Lease]) -> Vec<proto::Signed> {
    leases.iter().map(Lease::to_proto).collect()
}

/// At least `least` and at most `most` leases.
fn leases_from_proto(leases: Vec<proto::Signed>, least: usize, most: usize) -> Result<Vec<Lease>, WireError> {
    check((least..=most).contains(&leases.len()), "leases")?;
    leases.into_iter().map(Lease::from_proto).collect()
}

fn audit_item_to_proto(item: &AuditItem) -> proto::AuditItem {
    let chunk_id = Bytes::copy_from_slice(item.chunk.as_bytes());
    proto::AuditItem { chunk_id, index: u32::from(item.index), group: item.group }
}

fn audit_item_from_proto(item: &proto::AuditItem) -> Result<AuditItem, WireError> {
    let index = u8::try_from(item.index).ok().filter(|index| usize::from(*index) < TOTAL_PIECES);
    let chunk = ChunkId::from_slice(&item.chunk_id).ok_or(field("chunk_id"))?;
    // Whether the piece has that group is for the farmer to say, who knows how long it is.
    Ok(AuditItem { chunk, index: index.ok_or(field("index"))?, group: item.group })
}

fn owner_to_proto(proof: &OwnerProof) -> proto::Owner {
    let (owner, signature) = (Bytes::copy_from_slice(&proof.owner.0), Bytes::copy_from_slice(&proof.signature));
    proto::Owner { owner, signature }
}

fn owner_from_proto(proof: Option<proto::Owner>) -> Result<OwnerProof, WireError> {
    let proof = proof.ok_or(field("owner"))?;
    Ok(OwnerProof {
        owner: NodeId::from_slice(&proof.owner).ok_or(field("owner"))?,
        signature: proof.signature[..].try_into().map_err(|_| field("signature"))?,
    })
}

fn offer_to_proto(offer: &Offer) -> proto::OfferRequest {
    let chunk = |chunk: &OfferedChunk| proto::OfferedChunk {
        descriptor: chunk.descriptor.encoded().clone(),
        indices: chunk.indices.bits(),
    };
    proto::OfferRequest {
        put_id: Bytes::copy_from_slice(&offer.put_id.0),
        owner: Some(owner_to_proto(&offer.owner)),
        class: offer.class.number(),
        chunks: offer.chunks.iter().map(chunk).collect(),
    }
}

pub(super) fn request_from_proto(kind: Ask) -> Result<Request, WireError> {
    Ok(match kind {
        Ask::Info(_) => Request::Info,
        Ask::Locate(ids) => Request::Locate(ids_from_proto(&ids)?),
        Ask::Publish(publish) => {
            check((1..=PUBLISH_MAX_LOCATORS).contains(&publish.locators.len()), "locators")?;
            Request::Publish(publish.locators.into_iter().map(Locator::from_proto).collect::<Result<_, _>>()?)
        }
        Ask::Offer(offer) => Request::Offer(offer_from_proto(offer)?),
        Ask::Store(_) => return Err(field("kind")),
        Ask::Fetch(fetch) => {
            check((1..=PARTS_MAX_PER_MESSAGE).contains(&fetch.wants.len()), "wants")?;
            Request::Fetch(fetch.wants.iter().map(want_from_proto).collect::<Result<_, _>>()?)
        }
        Ask::Slices(wants) => Request::Slices(slices::wants_from_proto(&wants)?),
        Ask::Holds(ids) => Request::Holds(ids_from_proto(&ids)?),
        Ask::Commit(commit) => Request::Commit(Commit {
            put_id: put_id(&commit.put_id)?,
            owner: owner_from_proto(commit.owner)?,
            root: Cid(ChunkId::from_slice(&commit.root).ok_or(field("root"))?),
            leases: leases_from_proto(commit.leases, 0, LEASES_MAX_PER_CHUNK)?,
        }),
        Ask::Audit(audit) => {
            check(audit.items.len() <= AUDIT_MAX_ITEMS, "items")?;
            Request::Audit(audit.items.iter().map(audit_item_from_proto).collect::<Result<_, _>>()?)
        }
        Ask::Intend(ids) => Request::Intend(ids_from_proto(&ids)?),
        Ask::Leases(ids) => Request::Leases(ids_from_proto(&ids)?),
        Ask::Renew(renew) => Request::Renew(leases_from_proto(renew.leases, 1, LEASES_MAX_PER_REQUEST)?),
        Ask::Compare(compare) => {
            check((1..=IDS_MAX_PER_REQUEST).contains(&compare.marks.len()), "marks")?;
            let mark = |mark: &proto::LocatorMark| {
                let chunk = ChunkId::from_slice(&mark.chunk_id).ok_or(field("chunk_id"))?;
                Ok(LocatorMark { chunk, digest: mark.digest })
            };
            Request::Compare(compare.marks.iter().map(mark).collect::<Result<_, WireError>>()?)
        }
        Ask::Greet(greeting) => Request::Greet(Greeting::from_proto(greeting)?),
        Ask::Register(record) => Request::Register(FarmerRecord::from_proto(record)?),
        Ask::Records(query) => Request::Records(query_from_proto(&query)?),
        Ask::Names(names) => Request::Names(names::names_from_proto(&names)?),
        Ask::PublishNames(records) => Request::PublishNames(names::records_from_proto(records)?),
        Ask::Hello(hello) => Request::Hello(Hello::from_proto(hello)?),
    })
}

fn query_to_proto(query: &RecordQuery) -> proto::RecordsRequest {
    match query {
        RecordQuery::Of(nodes) => proto::RecordsRequest {
            ids: nodes.iter().flat_map(|node| node.0).collect::<Vec<u8>>().into(),
            after: Bytes::new(),
        },
        RecordQuery::After(node) => proto::RecordsRequest {
            ids: Bytes::new(),
            after: node.map(|node| Bytes::copy_from_slice(&node.0)).unwrap_or_default(),
        },
    }
}

fn query_from_proto(query: &proto::RecordsRequest) -> Result<RecordQuery, WireError> {
    let node = |bytes: &[u8]| NodeId::from_slice(bytes).ok_or(field("ids"));
    if query.ids.is_empty() {
        let after = (!query.after.is_empty()).then(|| node(&query.after)).transpose()?;
        return Ok(RecordQuery::After(after));
    }
    check(query.after.is_empty(), "after")?;
    check(query.ids.len() <= RECORDS_MAX_PER_ANSWER * 32, "ids")?;
    Ok(RecordQuery::Of(query.ids.chunks(32).map(node).collect::<Result<_, _>>()?))
}

fn want_from_proto(want: &proto::Want) -> Result<Want, WireError> {
    let chunk = ChunkId::from_slice(&want.chunk_id).ok_or(field("chunk_id"))?;
    Ok(Want { chunk, indices: some_indices(want.indices)? })
}

fn offer_from_proto(offer: proto::OfferRequest) -> Result<Offer, WireError> {
    check((1..=OFFER_MAX_CHUNKS).contains(&offer.chunks.len()), "chunks")?;
    let chunk = |chunk: proto::OfferedChunk| {
        let descriptor = Descriptor::decode(&chunk.descriptor)?;
        let indices = some_indices(chunk.indices)?;
        check(indices.is_subset(descriptor.all_indices()), "indices")?;
        Ok(OfferedChunk { descriptor, indices })
    };
    Ok(Offer {
        put_id: put_id(&offer.put_id)?,
        owner: owner_from_proto(offer.owner)?,
        class: Class::from_number(offer.class)?,
        chunks: offer.chunks.into_iter().map(chunk).collect::<Result<_, WireError>>()?,
    })
}

pub(super) fn response_to_proto(response: &Response) -> proto::Response {
    let kind = match response {
        Response::Refused(refusal) => Answer::Refused(refusal_to_proto(*refusal)),
        Response::Info(info) => Answer::Info(proto::InfoResponse {
            record: Some(info.record.to_proto()),
            reserved_bytes: info.reserved_bytes,
            free_bytes: info.free_bytes,
            leaving: info.leaving,
            registered: info.registered,
        }),
        Response::Located(locators) => Answer::Locate(proto::LocateResponse {
            entries: locators
                .iter()
                .map(|locator| proto::LocateEntry { locator: locator.as_ref().map(Locator::to_proto) })
                .collect(),
        }),
        Response::Published(kept) => Answer::Publish(proto::PublishResponse { kept: kept.clone() }),
        Response::Offered(answers) => {
            Answer::Offer(proto::OfferResponse { answers: answers.iter().map(answer_to_proto).collect() })
        }
        Response::Stored(receipts) => {
            Answer::Store(proto::StoreResponse { receipts: receipts.iter().map(Receipt::to_proto).collect() })
        }
        Response::Fetched(parts) => Answer::Fetch(proto::FetchResponse {
            parts: parts
                .iter()
                .map(|part| proto::FetchPart {
                    chunk_id: Bytes::copy_from_slice(part.chunk.as_bytes()),
                    index: u32::from(part.index),
                    len: number(part.bytes.len()),
                })
                .collect(),
        }),
        Response::Sliced(slices) => Answer::Slices(slices::lens_to_proto(slices)),
        Response::Held(sets) => {
            Answer::Holds(proto::HoldsResponse { indices: sets.iter().map(|set| set.bits()).collect() })
        }
        Response::Committed { chunks } => Answer::Commit(proto::CommitResponse { chunks: *chunks }),
        Response::Audited(audited) => Answer::Audit(audited_to_proto(audited)),
        Response::Intended(yields) => Answer::Intend(proto::IntendResponse { yields: yields.clone() }),
        Response::Leased(chunks) => Answer::Leases(proto::LeasesResponse {
            chunks: chunks.iter().map(|leases| proto::LeaseList { leases: leases_to_proto(leases) }).collect(),
        }),
        Response::Renewed(chunks) => Answer::Renew(proto::RenewResponse { chunks: chunks.clone() }),
        Response::Compared(wanted) => Answer::Compare(proto::CompareResponse { wanted: wanted.clone() }),
        Response::Greeted(greetings) => {
            Answer::Greet(proto::GreetResponse { greetings: greetings.iter().map(Greeting::to_proto).collect() })
        }
        Response::Registered { secs } => Answer::Register(proto::RegisterResponse { secs: *secs }),
        Response::Records(records) => {
            Answer::Records(proto::RecordsResponse { records: records.iter().map(FarmerRecord::to_proto).collect() })
        }
        Response::Names(found) => Answer::Names(names::found_to_proto(found)),
        Response::NamesPublished(kept) => Answer::PublishNames(proto::PublishResponse { kept: kept.clone() }),
        Response::Hello(ack) => Answer::Hello(ack.to_proto()),
    };
    proto::Response { kind: Some(kind) }
}

impl From<StoreMark> for proto::StoreMark {
    fn from(mark: StoreMark) -> Self {
        let StoreMark { id, opens, losses, resumed, first } = mark;
        Self { id, opens, losses, resumed, first }
    }
}

impl From<proto::StoreMark> for StoreMark {
    fn from(mark: proto::StoreMark) -> Self {
        let proto::StoreMark { id, opens, losses, resumed, first } = mark;
        Self { id, opens, losses, resumed, first }
    }
}

fn audited_to_proto(audited: &Audited) -> proto::AuditResponse {
    let slice = |slice: &Option<Bytes>| proto::Slice { bytes: slice.clone().unwrap_or_default() };
    let slices = audited.slices.iter().map(slice).collect();
    proto::AuditResponse { mark: Some(audited.mark.into()), slices }
}

fn audited_from_proto(audited: proto::AuditResponse) -> Result<Audited, WireError> {
    let mark = audited.mark.ok_or(field("mark"))?.into();
    let fits = audited.slices.iter().all(|slice| slice.bytes.len() <= SLICE_MAX_BYTES);
    check(audited.slices.len() <= AUDIT_MAX_ITEMS && fits, "slices")?;
    let slice = |slice: proto::Slice| (!slice.bytes.is_empty()).then_some(slice.bytes);
    Ok(Audited { mark, slices: audited.slices.into_iter().map(slice).collect() })
}

fn refusal_to_proto(refusal: Refusal) -> proto::Refused {
    let (reason, delay_ms) = match refusal {
        Refusal::Malformed => (1, 0),
        Refusal::NotServed => (2, 0),
        Refusal::BadToken => (3, 0),
        Refusal::Busy { delay_ms } => (4, delay_ms),
        Refusal::Storage => (5, 0),
        Refusal::Denied => (6, 0),
    };
    proto::Refused { reason, delay_ms }
}

fn refusal_from_proto(refused: proto::Refused) -> Result<Refusal, WireError> {
    match refused.reason {
        1 => Ok(Refusal::Malformed),
        2 => Ok(Refusal::NotServed),
        3 => Ok(Refusal::BadToken),
        4 => Ok(Refusal::Busy { delay_ms: refused.delay_ms }),
        5 => Ok(Refusal::Storage),
        6 => Ok(Refusal::Denied),
        found => Err(WireError::Unknown { what: "refusal", found }),
    }
}

fn answer_to_proto(answer: &OfferAnswer) -> proto::OfferAnswer {
    use proto::offer_answer::Kind;
    let kind = match answer {
        OfferAnswer::Have(receipt) => Kind::Have(receipt.to_proto()),
        OfferAnswer::Send { token, missing } => {
            Kind::Send(proto::Send { token: Bytes::copy_from_slice(&token.0), missing: missing.bits() })
        }
        OfferAnswer::Full => Kind::Full(proto::Full {}),
        OfferAnswer::Busy { delay_ms } => Kind::BusyMs(*delay_ms),
    };
    proto::OfferAnswer { kind: Some(kind) }
}

fn answer_from_proto(answer: proto::OfferAnswer) -> Result<OfferAnswer, WireError> {
    use proto::offer_answer::Kind;
    Ok(match answer.kind.ok_or(field("answers"))? {
        Kind::Have(receipt) => OfferAnswer::Have(Receipt::from_proto(receipt)?),
        Kind::Send(send) => OfferAnswer::Send { token: token(&send.token)?, missing: some_indices(send.missing)? },
        Kind::Full(_) => OfferAnswer::Full,
        Kind::BusyMs(delay_ms) => OfferAnswer::Busy { delay_ms },
    })
}

pub(super) fn response_from_proto(kind: Answer) -> Result<Response, WireError> {
    Ok(match kind {
        Answer::Refused(refused) => Response::Refused(refusal_from_proto(refused)?),
        Answer::Info(info) => Response::Info(FarmerInfo {
            record: FarmerRecord::from_proto(info.record.ok_or(field("record"))?)?,
            reserved_bytes: info.reserved_bytes,
            free_bytes: info.free_bytes,
            leaving: info.leaving,
            registered: info.registered,
        }),
        Answer::Locate(located) => {
            check(located.entries.len() <= IDS_MAX_PER_REQUEST, "entries")?;
            let entry = |entry: proto::LocateEntry| entry.locator.map(Locator::from_proto).transpose();
            Response::Located(located.entries.into_iter().map(entry).collect::<Result<_, _>>()?)
        }
        Answer::Publish(published) => {
            check(published.kept.len() <= PUBLISH_MAX_LOCATORS, "kept")?;
            Response::Published(published.kept)
        }
        Answer::Offer(offered) => {
            check(offered.answers.len() <= OFFER_MAX_CHUNKS, "answers")?;
            Response::Offered(offered.answers.into_iter().map(answer_from_proto).collect::<Result<_, _>>()?)
        }
        Answer::Store(stored) => {
            check(stored.receipts.len() <= PARTS_MAX_PER_MESSAGE, "receipts")?;
            Response::Stored(stored.receipts.into_iter().map(Receipt::from_proto).collect::<Result<_, _>>()?)
        }
        Answer::Fetch(_) | Answer::Slices(_) => return Err(field("kind")),
        Answer::Holds(held) => {
            check(held.indices.len() <= IDS_MAX_PER_REQUEST, "indices")?;
            let set = |bits: &u64| IndexSet::from_bits(*bits).ok_or(field("indices"));
            Response::Held(held.indices.iter().map(set).collect::<Result<_, _>>()?)
        }
        Answer::Commit(commit) => Response::Committed { chunks: commit.chunks },
        Answer::Audit(audited) => Response::Audited(audited_from_proto(audited)?),
        Answer::Intend(intended) => {
            check(intended.yields.len() <= IDS_MAX_PER_REQUEST, "yields")?;
            Response::Intended(intended.yields)
        }
        Answer::Leases(leased) => {
            check(leased.chunks.len() <= IDS_MAX_PER_REQUEST, "chunks")?;
            let of_chunk = |list: proto::LeaseList| leases_from_proto(list.leases, 0, LEASES_MAX_PER_CHUNK);
            Response::Leased(leased.chunks.into_iter().map(of_chunk).collect::<Result<_, _>>()?)
        }
        Answer::Compare(compared) => {
            check(compared.wanted.len() <= IDS_MAX_PER_REQUEST, "wanted")?;
            Response::Compared(compared.wanted)
        }
        Answer::Greet(greeted) => {
            check(greeted.greetings.len() <= GREETINGS_MAX_PER_NODE, "greetings")?;
            Response::Greeted(greeted.greetings.into_iter().map(Greeting::from_proto).collect::<Result<_, _>>()?)
        }
        Answer::Register(registered) => Response::Registered { secs: registered.secs },
        Answer::Records(found) => {
            check(found.records.len() <= RECORDS_MAX_PER_ANSWER, "records")?;
            Response::Records(found.records.into_iter().map(FarmerRecord::from_proto).collect::<Result<_, _>>()?)
        }
        Answer::Names(found) => Response::Names(names::found_from_proto(found)?),
        Answer::PublishNames(published) => {
            check(published.kept.len() <= NAMES_MAX_PER_REQUEST, "kept")?;
            Response::NamesPublished(published.kept)
        }
        Answer::Hello(ack) => Response::Hello(HelloAck::from_proto(ack)?),
        Answer::Renew(renewed) => {
            check(renewed.chunks.len() <= LEASES_MAX_PER_REQUEST, "chunks")?;
            Response::Renewed(renewed.chunks)
        }
    })
}
