//! What nodes ask each other, as domain types. A request that exists here has been validated completely: lengths, ids,
//! indices and bounds. How it looks as bytes is `rpc::wire`'s business; who sends it, the network adapter's.

pub mod frame;
#[cfg(test)]
mod tests;
mod wire;

use std::fmt;

use bytes::Bytes;

use crate::{
    audit::AuditItem,
    cid::Cid,
    descriptor::Descriptor,
    greeting::Greeting,
    hash::ChunkId,
    hello::{Hello, HelloAck},
    identity::{Domain, Identity, SignatureError, SignedBody},
    index_set::IndexSet,
    lease::Lease,
    locator::{Locator, LocatorMark},
    name::{Name, NameRecord, NameRecords},
    node_id::NodeId,
    ports::StoreMark,
    receipt::Receipt,
    record::FarmerRecord,
    redundancy::Class,
    slice::SliceWant,
};

/// Names one upload: all its offers carry it, its commit binds it to the root.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PutId(pub [u8; 16]);

/// A farmer's leave to send pieces of one chunk; valid for [`crate::limits::TOKEN_VALID_SECS`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub [u8; 16]);

impl fmt::Debug for PutId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// A request.
#[derive(Clone, Debug)]
pub enum Request {
    /// Who are you and how much room have you? Answered by [`Response::Info`].
    Info,
    /// Locators of these chunks (at most [`crate::limits::IDS_MAX_PER_REQUEST`]). Answered by [`Response::Located`].
    Locate(Vec<ChunkId>),
    /// Keep these locators (at most [`crate::limits::PUBLISH_MAX_LOCATORS`]). Answered by [`Response::Published`].
    Publish(Vec<Locator>),
    /// Will you take these pieces? Answered by [`Response::Offered`].
    Offer(Offer),
    /// Pieces that were offered (all bodies together at most [`crate::limits::BODIES_MAX_BYTES`]). Answered by
    /// [`Response::Stored`].
    Store(Vec<StorePart>),
    /// Pieces wanted; those that fit one message are answered by [`Response::Fetched`].
    Fetch(Vec<Want>),
    /// Groups of pieces wanted (at most [`crate::limits::SLICES_MAX_PER_REQUEST`]), each with its proof; those that fit one
    /// message are answered by [`Response::Sliced`].
    Slices(Vec<SliceWant>),
    /// Which pieces of these chunks do you hold? Answered by [`Response::Held`].
    Holds(Vec<ChunkId>),
    /// The put is complete: its chunks get these leases in place of the provisional one. Answered by
    /// [`Response::Committed`].
    Commit(Commit),
    /// Prove that you have these groups of pieces (at most [`crate::limits::AUDIT_MAX_ITEMS`]; none: only say that you are
    /// there). Answered by [`Response::Audited`].
    Audit(Vec<AuditItem>),
    /// I am about to repair these chunks. Answered by [`Response::Intended`].
    Intend(Vec<ChunkId>),
    /// Which leases have these chunks? Answered by [`Response::Leased`].
    Leases(Vec<ChunkId>),
    /// Newer leases of files you hold chunks of (at most [`crate::limits::LEASES_MAX_PER_REQUEST`]). Answered by
    /// [`Response::Renewed`].
    Renew(Vec<Lease>),
    /// Have you these locators (at most [`crate::limits::IDS_MAX_PER_REQUEST`])? Answered by [`Response::Compared`].
    Compare(Vec<LocatorMark>),
    /// This run of me is there. Answered by [`Response::Greeted`].
    Greet(Greeting),
    /// No look-up finds me: tell others where I am. Answered by [`Response::Registered`].
    Register(FarmerRecord),
    /// Where are nodes that no look-up finds? Answered by [`Response::Records`].
    Records(RecordQuery),
    /// Records of these names (at most [`crate::limits::NAMES_MAX_PER_REQUEST`]). Answered by [`Response::Names`].
    Names(Vec<Name>),
    /// Keep these records of names (at most [`crate::limits::NAMES_MAX_PER_REQUEST`]). Answered by
    /// [`Response::NamesPublished`].
    PublishNames(Vec<NameRecord>),
    /// This is who I am and which versions I speak. Answered by [`Response::Hello`], by the network adapter itself.
    Hello(Hello),
}

/// An owner's leave for a node to put on its behalf: who owns what a put stores is not who happens to carry it there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnerProof {
    owner: NodeId,
    signature: [u8; 64],
}

impl OwnerProof {
    /// `owner` lets `carrier` put under `put_id`.
    pub fn sign(owner: &Identity, put_id: PutId, carrier: NodeId) -> Self {
        let signature = owner.sign(Domain::Owner, Self::body(put_id, carrier)).signature;
        Self { owner: owner.node_id(), signature }
    }

    /// The owner, if it did let `carrier` put under `put_id`.
    ///
    /// # Errors
    /// [`SignatureError`] when it did not.
    pub fn verify(&self, put_id: PutId, carrier: NodeId) -> Result<NodeId, SignatureError> {
        let signed = SignedBody { body: Self::body(put_id, carrier), signature: self.signature };
        signed.verify(Domain::Owner, self.owner).map(|()| self.owner)
    }

    fn body(put_id: PutId, carrier: NodeId) -> Bytes {
        [&put_id.0[..], &carrier.0[..]].concat().into()
    }
}

/// Pieces for a farmer to take, for one upload.
#[derive(Clone, Debug)]
pub struct Offer {
    /// The upload.
    pub put_id: PutId,
    /// Whose leases these will be.
    pub owner: OwnerProof,
    /// The redundancy asked for.
    pub class: Class,
    /// At most [`crate::limits::OFFER_MAX_CHUNKS`].
    pub chunks: Vec<OfferedChunk>,
}

/// Pieces of one chunk for a farmer to take.
#[derive(Clone, Debug)]
pub struct OfferedChunk {
    /// The chunk.
    pub descriptor: Descriptor,
    /// The pieces; never empty.
    pub indices: IndexSet,
}

/// What precedes a piece's bytes in a store request; known before they are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreHeader {
    /// The farmer's leave.
    pub token: Token,
    /// The piece's index.
    pub index: u8,
    /// The bytes that follow.
    pub len: usize,
}

/// One piece of a store request.
#[derive(Clone, Debug)]
pub struct StorePart {
    /// The farmer's leave.
    pub token: Token,
    /// The piece's index.
    pub index: u8,
    /// Its bytes, not yet verified.
    pub bytes: Bytes,
}

/// Pieces of one chunk that somebody wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Want {
    /// The chunk.
    pub chunk: ChunkId,
    /// The pieces; never empty.
    pub indices: IndexSet,
}

/// Ends an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The upload.
    pub put_id: PutId,
    /// Whose it is.
    pub owner: OwnerProof,
    /// What it became; after a repair, the root of the first lease.
    pub root: Cid,
    /// The leases its chunks get: the owner's own after a put, those found elsewhere after a repair. At most
    /// [`crate::limits::LEASES_MAX_PER_CHUNK`]; without one, a farmer has nothing to keep the chunks for.
    pub leases: Vec<Lease>,
}

/// An answer.
#[derive(Clone, Debug)]
pub enum Response {
    /// The request is not served.
    Refused(Refusal),
    /// To [`Request::Info`].
    Info(FarmerInfo),
    /// To [`Request::Locate`]: one entry a chunk, in order; fewer when the message was full.
    Located(Vec<Option<Locator>>),
    /// To [`Request::Publish`]: whether each is on durable storage, in order.
    Published(Vec<bool>),
    /// To [`Request::Offer`]: one answer a chunk, in order.
    Offered(Vec<OfferAnswer>),
    /// To [`Request::Store`]: one receipt a chunk, in the order in which the chunks first appear.
    Stored(Vec<Receipt>),
    /// To [`Request::Fetch`]: what the farmer has of it, as far as it fits.
    Fetched(Vec<FetchedPart>),
    /// To [`Request::Slices`]: one slice a want, in order, none for a piece not held; fewer when the message was full. Not
    /// yet verified.
    Sliced(Vec<Option<Bytes>>),
    /// To [`Request::Holds`]: one set a chunk, in order.
    Held(Vec<IndexSet>),
    /// To [`Request::Commit`]: how many chunks have the first of the leases now.
    Committed {
        /// Chunks held here.
        chunks: u32,
    },
    /// To [`Request::Audit`].
    Audited(Audited),
    /// To [`Request::Intend`]: whether the node leaves each chunk to the asker, in order.
    Intended(Vec<bool>),
    /// To [`Request::Leases`]: the leases of each chunk, in order; fewer when the message was full.
    Leased(Vec<Vec<Lease>>),
    /// To [`Request::Renew`]: how many chunks each lease covers, in order.
    Renewed(Vec<u32>),
    /// To [`Request::Compare`]: whether the node should be sent each, in order.
    Compared(Vec<bool>),
    /// To [`Request::Greet`]: the latest greetings of other runs in the asker's name, at most
    /// [`crate::limits::GREETINGS_MAX_PER_NODE`].
    Greeted(Vec<Greeting>),
    /// To [`Request::Register`]: for how long the record is kept; 0 when there is no room.
    Registered {
        /// Seconds.
        secs: u32,
    },
    /// To [`Request::Records`]: those registered here, at most [`crate::limits::RECORDS_MAX_PER_ANSWER`].
    Records(Vec<FarmerRecord>),
    /// To [`Request::Names`]: what is kept of each, in order.
    Names(Vec<Option<NameRecords>>),
    /// To [`Request::PublishNames`]: whether each is durable now, in order; not when the node knows better.
    NamesPublished(Vec<bool>),
    /// To [`Request::Hello`].
    Hello(HelloAck),
}

/// A farmer's answer to an audit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audited {
    /// In which life its store is.
    pub mark: StoreMark,
    /// One slice an item, in order, none for a piece not held; fewer when the message was full. Not yet verified.
    pub slices: Vec<Option<Bytes>>,
}

/// Why a request is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It breaks a rule of the protocol.
    Malformed,
    /// The node is not what the request needs (a client asked to store).
    NotServed,
    /// A token was unknown, expired or for other pieces.
    BadToken,
    /// Too much at once.
    Busy {
        /// Milliseconds after which to ask again.
        delay_ms: u32,
    },
    /// The node's own disk failed.
    Storage,
    /// The node's firewall denies it; asking again is no use before its operator changes that.
    Denied,
}

/// What a node says of itself.
#[derive(Clone, Debug)]
pub struct FarmerInfo {
    /// Its signed record.
    pub record: FarmerRecord,
    /// Bytes it lends.
    pub reserved_bytes: u64,
    /// Bytes of that still free.
    pub free_bytes: u64,
    /// Whether everything is being moved off it, so that its pieces are not to be counted on.
    pub leaving: bool,
    /// Nodes that no look-up finds and that have registered with it.
    pub registered: u32,
}

/// Whose records are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordQuery {
    /// Of these nodes; never empty, at most [`crate::limits::RECORDS_MAX_PER_ANSWER`].
    Of(Vec<NodeId>),
    /// Of all whose ids are above this one, in the order of their ids.
    After(Option<NodeId>),
}

/// A farmer's answer to the offer of one chunk.
#[derive(Clone, Debug)]
pub enum OfferAnswer {
    /// It holds all of them already.
    Have(Receipt),
    /// Send these.
    Send {
        /// The leave to send.
        token: Token,
        /// Those of the offered pieces it lacks; never empty.
        missing: IndexSet,
    },
    /// No room.
    Full,
    /// Not now.
    Busy {
        /// Milliseconds after which to ask again.
        delay_ms: u32,
    },
}

/// One piece of a fetch answer.
#[derive(Clone, Debug)]
pub struct FetchedPart {
    /// The chunk.
    pub chunk: ChunkId,
    /// The piece's index.
    pub index: u8,
    /// Its bytes, not yet verified.
    pub bytes: Bytes,
}

/// A short name of a request's kind, for logs and counters.
pub fn kind(request: &Request) -> &'static str {
    match request {
        Request::Info => "info",
        Request::Locate(_) => "locate",
        Request::Publish(_) => "publish",
        Request::Offer(_) => "offer",
        Request::Store(_) => "store",
        Request::Fetch(_) => "fetch",
        Request::Slices(_) => "slices",
        Request::Holds(_) => "holds",
        Request::Commit(_) => "commit",
        Request::Audit(_) => "audit",
        Request::Intend(_) => "intend",
        Request::Leases(_) => "leases",
        Request::Renew(_) => "renew",
        Request::Compare(_) => "compare",
        Request::Greet(_) => "greet",
        Request::Register(_) => "register",
        Request::Records(_) => "records",
        Request::Names(_) => "names",
        Request::PublishNames(_) => "publish names",
        Request::Hello(_) => "hello",
    }
}
