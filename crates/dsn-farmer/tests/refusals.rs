//! What a farmer does not take: pieces that are not what was agreed, and receipts that are not true. Whatever is refused
//! leaves no trace.

use std::{
    num::NonZeroU64,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::{Bytes, BytesMut};
use dsn_core::{
    descriptor::{Code, Descriptor},
    erasure::encode,
    hash::{ChunkId, Hash},
    identity::Identity,
    index_set::IndexSet,
    locator::{Locator, VerifiedLocator},
    network_name::NetworkName,
    node_id::NodeId,
    ports::{Environment, Handler, InlineCompute, PieceStore},
    receipt::ReceiptBody,
    redundancy::Class,
    rpc::{
        Commit, Offer, OfferAnswer, OfferedChunk, OwnerProof, PutId, Refusal, Request, Response, StoreHeader,
        StorePart, Token,
    },
};
use dsn_farmer::{Farmer, FarmerOptions, FarmerParts, UnlimitedDisk};
use dsn_store::MemoryStore;

const NOW: u64 = 1_800_000_000;
const PUT: PutId = PutId([7; 16]);
const PIECE_BYTES: usize = 65_536;

/// A clock that stands, and randomness that counts.
struct Still(AtomicU64);

impl Environment for Still {
    fn unix_secs(&self) -> u64 {
        NOW
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        bytes.fill(u8::try_from(self.0.fetch_add(1, Ordering::Relaxed) % 256).expect("below 256"));
    }
}

struct Setting {
    farmer: Farmer,
    store: MemoryStore,
    uploader: Identity,
    descriptor: Descriptor,
    pieces: Vec<Bytes>,
}

impl Setting {
    fn new() -> Self {
        let store = MemoryStore::new();
        let parts = FarmerParts {
            store: Arc::new(store.clone()),
            disk: Arc::new(UnlimitedDisk),
            compute: Arc::new(InlineCompute),
            environment: Arc::new(Still(AtomicU64::new(0))),
            identity: identity(1),
            network_name: name("club"),
        };
        let farmer = Farmer::new(parts, FarmerOptions::lending(1 << 30));
        let bytes: BytesMut =
            (0..16 * PIECE_BYTES).map(|at| u8::try_from(at / PIECE_BYTES).expect("below 16")).collect();
        let chunk = encode(Code::Rs16Of48, bytes);
        let pieces = chunk.pieces.iter().map(|piece| piece.bytes().clone()).collect();
        Self { farmer, store, uploader: identity(2), descriptor: chunk.descriptor, pieces }
    }

    fn uploader_id(&self) -> NodeId {
        self.uploader.node_id()
    }

    fn offer_of(&self, owner: OwnerProof) -> Request {
        let chunks = vec![OfferedChunk { descriptor: self.descriptor.clone(), indices: [3, 4].into_iter().collect() }];
        Request::Offer(Offer { put_id: PUT, owner, class: Class::Normal, chunks })
    }

    /// The farmer's leave to send pieces 3 and 4.
    async fn token(&self) -> Token {
        let owner = OwnerProof::sign(&self.uploader, PUT, self.uploader_id());
        match self.farmer.handle(self.uploader_id(), self.offer_of(owner)).await {
            Response::Offered(answers) => match answers[..] {
                [OfferAnswer::Send { token, .. }] => token,
                _ => panic!("{answers:?}"),
            },
            other => panic!("{other:?}"),
        }
    }

    fn part(&self, token: Token, index: u8) -> StorePart {
        StorePart { token, index, bytes: self.pieces[usize::from(index)].clone() }
    }

    async fn refuses(&self, from: NodeId, parts: Vec<StorePart>, why: Refusal) {
        let answer = self.farmer.handle(from, Request::Store(parts)).await;
        assert!(matches!(answer, Response::Refused(refusal) if refusal == why), "{why:?}, not {answer:?}");
        assert_eq!(self.store.list(), [], "nothing is stored");
    }

    /// What the farmer tells about the chunk after it was given a locator with this receipt.
    async fn publish(&self, receipt: ReceiptBody, signer: &Identity) -> (bool, Option<Locator>) {
        let mut locator = VerifiedLocator::new(self.descriptor.clone());
        assert!(locator.insert(receipt.sign(signer)));
        self.publish_locator(locator.to_locator()).await
    }

    async fn publish_locator(&self, locator: Locator) -> (bool, Option<Locator>) {
        let chunk = locator.chunk();
        let Response::Published(kept) = self.farmer.handle(self.uploader_id(), Request::Publish(vec![locator])).await
        else {
            panic!("publications are answered")
        };
        let Response::Located(mut found) = self.farmer.handle(self.uploader_id(), Request::Locate(vec![chunk])).await
        else {
            panic!("look-ups are answered")
        };
        (kept[0], found.remove(0))
    }

    fn receipt(&self, farmer: &Identity) -> ReceiptBody {
        ReceiptBody {
            network: name("club"),
            chunk: self.descriptor.id(),
            farmer: farmer.node_id(),
            indices: IndexSet::one(3),
            class: Class::Normal,
            seq: 10,
            issued: NOW,
            until: None,
        }
    }
}

fn identity(seed: u8) -> Identity {
    Identity::from_seed([seed; 32])
}

fn name(text: &str) -> NetworkName {
    text.parse().expect("valid")
}

#[tokio::test]
async fn pieces_that_were_agreed_are_stored() {
    let setting = Setting::new();
    let token = setting.token().await;
    let parts = vec![setting.part(token, 3), setting.part(token, 4)];
    let Response::Stored(receipts) = setting.farmer.handle(setting.uploader_id(), Request::Store(parts)).await else {
        panic!("they are as agreed")
    };
    assert_eq!(receipts[0].body().indices, [3, 4].into_iter().collect());
    assert_eq!(setting.store.list().len(), 1);
}

#[tokio::test]
async fn a_piece_whose_hash_is_not_in_the_descriptor_is_refused_with_all_that_came_along() {
    let setting = Setting::new();
    let token = setting.token().await;
    let mut bad = setting.part(token, 4);
    bad.bytes = bad.bytes.iter().map(|byte| byte ^ 1).collect();
    setting.refuses(setting.uploader_id(), vec![setting.part(token, 3), bad], Refusal::Malformed).await;
    let mut swapped = setting.part(token, 40);
    swapped.index = 4;
    setting.refuses(setting.uploader_id(), vec![swapped], Refusal::Malformed).await;
}

#[tokio::test]
async fn pieces_without_leave_are_refused_before_they_are_read() {
    let setting = Setting::new();
    let token = setting.token().await;
    let unknown = Token([0xaa; 16]);
    let mut short = setting.part(token, 3);
    short.bytes.truncate(PIECE_BYTES - 1);
    for (part, why) in [
        (setting.part(token, 5), "a piece that was not offered"),
        (short, "too short"),
        (setting.part(unknown, 3), "a token nobody was given"),
    ] {
        let header = StoreHeader { token: part.token, index: part.index, len: part.bytes.len() };
        assert_eq!(setting.farmer.admit(&[header]), Err(Refusal::BadToken), "{why}");
        let answer = setting.farmer.handle(setting.uploader_id(), Request::Store(vec![part])).await;
        assert!(matches!(answer, Response::Refused(_)), "{why}: {answer:?}");
        assert_eq!(setting.store.list(), [], "{why}");
    }
}

#[tokio::test]
async fn a_leave_is_good_for_its_owner_only() {
    let setting = Setting::new();
    let token = setting.token().await;
    let thief = identity(3).node_id();
    setting.refuses(thief, vec![setting.part(token, 3)], Refusal::BadToken).await;
    // Nor does somebody else's word that a put may be carried help a third node.
    let owner = OwnerProof::sign(&setting.uploader, PUT, setting.uploader_id());
    let answer = setting.farmer.handle(thief, setting.offer_of(owner)).await;
    assert!(matches!(answer, Response::Refused(Refusal::Malformed)), "{answer:?}");
    let root = dsn_core::cid::Cid(setting.descriptor.id());
    let answer =
        setting.farmer.handle(thief, Request::Commit(Commit { put_id: PUT, owner, root, leases: Vec::new() })).await;
    assert!(matches!(answer, Response::Refused(Refusal::Malformed)), "{answer:?}");
}

#[tokio::test]
async fn only_true_receipts_are_kept() {
    let setting = Setting::new();
    let (holder, liar) = (identity(4), identity(5));
    let good = setting.receipt(&holder);
    for (receipt, signer, why) in [
        (good.clone(), &liar, "forged, or of another farmer"),
        (ReceiptBody { until: NonZeroU64::new(NOW - 1), ..good.clone() }, &holder, "expired"),
        (ReceiptBody { issued: NOW + 86_400, ..good.clone() }, &holder, "dated in the future"),
        (ReceiptBody { network: name("other"), ..good.clone() }, &holder, "replayed from another network"),
    ] {
        let (kept, found) = setting.publish(receipt, signer).await;
        assert!(!kept && found.is_none(), "{why}");
    }
    let copy = Descriptor::new(Code::Rep, 1, &[Hash::of(b"x")]);
    let mut locator = VerifiedLocator::new(copy.clone());
    locator.insert(ReceiptBody { chunk: copy.id(), ..good.clone() }.sign(&holder));
    let (kept, found) = setting.publish_locator(locator.to_locator()).await;
    assert!(!kept && found.is_none(), "for a piece that the chunk's code does not have");
    let (kept, found) = setting.publish(good, &holder).await;
    assert!(kept && found.unwrap().receipts().len() == 1);
}

#[tokio::test]
async fn an_old_receipt_that_is_replayed_does_not_replace_a_newer_one() {
    let setting = Setting::new();
    let holder = identity(4);
    let newer = ReceiptBody { seq: 11, indices: IndexSet::one(9), ..setting.receipt(&holder) };
    setting.publish(newer.clone(), &holder).await;
    let (_, found) = setting.publish(setting.receipt(&holder), &holder).await;
    assert_eq!(found.unwrap().receipts()[0].body(), &newer);
}

#[tokio::test]
async fn a_receipt_for_another_chunk_is_left_out_of_a_locator() {
    let setting = Setting::new();
    let holder = identity(4);
    let other = Descriptor::new(Code::Rep, 1, &[Hash::of(b"x")]);
    let foreign = ReceiptBody { chunk: other.id(), indices: IndexSet::one(0), ..setting.receipt(&holder) };
    let mut locator = VerifiedLocator::new(other.clone());
    locator.insert(foreign.sign(&holder));
    // The same receipts under another descriptor, as only a liar writes them.
    let bare = |descriptor| VerifiedLocator::new(descriptor).to_locator().encode();
    let receipts = locator.to_locator().encode().split_off(bare(other).len());
    let forged = Locator::decode(&[bare(setting.descriptor.clone()), receipts].concat().into()).unwrap();
    assert_eq!((forged.chunk(), forged.receipts().len()), (setting.descriptor.id(), 1));
    let (kept, found) = setting.publish_locator(forged).await;
    assert!(!kept && found.is_none());
    let unknown: [ChunkId; 1] = [setting.descriptor.id()];
    assert_eq!(setting.store.locators(&unknown).await.unwrap(), [None]);
}
