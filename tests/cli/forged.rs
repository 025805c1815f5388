//! Files that somebody made wrong on purpose, on real farmers: `dsn get` says so and writes nothing.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use dsn_core::{
    cid::Cid,
    descriptor::{Code, Descriptor},
    erasure::encode,
    folder::{Child, Entry, EntryPath, Folder, FolderNode, Inner, Leaf, Place, What},
    hash::{ChunkId, Hash},
    identity::Identity,
    index_set::IndexSet,
    limits::CHUNK_MAX_BYTES,
    locator::VerifiedLocator,
    manifest::{ChunkList, Manifest},
    node_id::NodeId,
    ports::{Network, NoService},
    receipt::ReceiptContext,
    redundancy::Class,
    rpc::{Offer, OfferAnswer, OfferedChunk, OwnerProof, PutId, Request, Response, StorePart, Token},
    sealed::{Part, Sealed},
};
use dsn_net::{NetOptions, Node};

use crate::{
    MIB,
    network::{TestNetwork, output, same},
    refused,
};

/// A client that puts whatever it likes.
pub(crate) struct Forger {
    pub(crate) runtime: tokio::runtime::Runtime,
    pub(crate) node: Node,
    pub(crate) farmers: Vec<NodeId>,
    owner: Identity,
}

impl Forger {
    pub(crate) fn join(network: &TestNetwork) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let owner = Identity::from_seed([0x22; 32]);
        let options = NetOptions {
            bootstrap: network.farmers.iter().map(|farmer| farmer.address.clone()).collect(),
            mdns: false,
            ..NetOptions::new(owner.clone(), "main".parse().expect("valid"))
        };
        let node = runtime.block_on(Node::start(options, Arc::new(NoService))).expect("a node");
        let farmers = network.farmers.iter().map(|farmer| farmer.peer_id.parse().expect("valid")).collect();
        Self { runtime, node, farmers, owner }
    }

    /// Stores pieces so that the nth farmer holds the nth set, and tells all of them who holds what.
    fn store(&self, descriptor: &Descriptor, pieces: &[Bytes], sets: &[IndexSet]) -> ChunkId {
        self.runtime.block_on(async {
            self.node.snapshot(true).await.expect("a farmer answers");
            let mut locator = VerifiedLocator::new(descriptor.clone());
            for (farmer, indices) in self.farmers.iter().zip(sets) {
                let receipt = self.store_at(*farmer, descriptor, pieces, *indices).await;
                locator.insert(receipt);
            }
            for farmer in &self.farmers {
                let publish = Request::Publish(vec![locator.to_locator()]);
                let Response::Published(kept) = self.node.request(*farmer, publish).await.expect("a farmer answers")
                else {
                    panic!()
                };
                assert_eq!(kept, [true]);
            }
        });
        descriptor.id()
    }

    async fn store_at(
        &self,
        farmer: NodeId,
        descriptor: &Descriptor,
        pieces: &[Bytes],
        indices: IndexSet,
    ) -> dsn_core::receipt::VerifiedReceipt {
        let token = self.token(farmer, descriptor, indices).await;
        let part = |index: u8| StorePart { token, index, bytes: pieces[usize::from(index)].clone() };
        let parts = Request::Store(indices.iter().map(part).collect());
        let Response::Stored(mut receipts) = self.node.request(farmer, parts).await.expect("a farmer answers") else {
            panic!()
        };
        let (network, chunk) = ("main".parse().expect("valid"), descriptor.id());
        let context =
            ReceiptContext { network: &network, chunk, indices: descriptor.all_indices(), now: u64::from(u32::MAX) };
        receipts.remove(0).verify(&context).expect("a true receipt")
    }

    /// A farmer's leave to send these pieces.
    pub(crate) async fn token(&self, farmer: NodeId, descriptor: &Descriptor, indices: IndexSet) -> Token {
        let put_id = PutId([1; 16]);
        let owner = OwnerProof::sign(&self.owner, put_id, self.node.local_id());
        let chunks = vec![OfferedChunk { descriptor: descriptor.clone(), indices }];
        let offer = Request::Offer(Offer { put_id, owner, class: Class::Normal, chunks });
        let Response::Offered(answers) = self.node.request(farmer, offer).await.expect("a farmer answers") else {
            panic!()
        };
        let [OfferAnswer::Send { token, .. }] = answers[..] else { panic!("{answers:?}") };
        token
    }

    /// Stores a root chunk of these bytes on every farmer.
    pub(crate) fn root(&self, bytes: &[u8]) -> Cid {
        let root = encode(Code::Rep, BytesMut::from(bytes));
        let pieces: Vec<Bytes> = root.pieces.iter().map(|piece| piece.bytes().clone()).collect();
        let sets = vec![IndexSet::one(0); self.farmers.len()];
        Cid(self.store(&root.descriptor, &pieces, &sets))
    }
}

impl Drop for Forger {
    fn drop(&mut self) {
        self.runtime.block_on(self.node.shutdown());
    }
}

fn path(text: &str) -> EntryPath {
    EntryPath::new(text.as_bytes().to_vec()).expect("a path")
}

/// A node of a folder with one file under two names, without a place in a folder.
fn leaf(forger: &Forger, cid: Cid, len: u64) -> Child {
    let place = Place::Alone { cid, len, key: None };
    let entry = |text| Entry { path: path(text), what: What::File { executable: false, place: place.clone() } };
    let bytes = FolderNode::Leaf(Leaf { entries: vec![entry("a"), entry("b")] }).encode();
    let node = encode(Code::Rs16Of48, BytesMut::from(&bytes[..]));
    let pieces: Vec<Bytes> = node.pieces.iter().map(|piece| piece.bytes().clone()).collect();
    let chunk = forger.store(&node.descriptor, &pieces, &vec![(0..48).collect(); forger.farmers.len()]);
    Child { first: path("a"), chunk, len: u32::try_from(bytes.len()).expect("a short one"), key: None }
}

/// A folder of so many stated bytes that names one node once for each of these paths.
fn folder(forger: &Forger, total_len: u64, leaf: &Child, named: &[&str]) -> Cid {
    let child = |text: &&str| Child { first: path(text), ..leaf.clone() };
    let top = FolderNode::Inner(Inner { children: named.iter().map(child).collect() });
    let entries = 2 * named.len() as u64;
    forger.root(&Manifest::Folder(Folder { entries, total_len, level: 1, top }).encode())
}

/// Few chunks can be named as many files, and so fill any disk: what is written is bounded by what the folder states.
#[test]
fn a_folder_takes_no_more_of_the_disk_than_it_states_and_nothing_when_that_is_too_much() {
    const FILE_BYTES: u64 = 100_000;
    let network = TestNetwork::start(2);
    let forger = Forger::join(&network);
    let file = network.put(&network.file("file", 100_000))["cid"].as_str().unwrap().parse().unwrap();
    let leaf = leaf(&forger, file, FILE_BYTES);
    let (copy, part) = (network.path("copy"), network.path("copy.dsn-part"));
    let get = |stated, named: &[&str]| {
        let cid = folder(&forger, stated, &leaf, named).to_string();
        output(network.dsn().args(["get", &cid, "-o"]).arg(&copy))
    };
    let found = |name: &str| walk(&part).into_iter().any(|path| path.ends_with(name));
    refused(&get(FILE_BYTES, &["a"]), 5, "error: malformed folder: its files have not the 100000 bytes that it states");
    assert!(!copy.exists() && !found("b"), "what exceeds it is not begun");
    refused(&get(2 * FILE_BYTES + 1, &["a"]), 5, "error: malformed folder: its files have not the 200001 bytes");
    assert!(!copy.exists());
    std::fs::remove_dir_all(&part).unwrap();
    let says = format!("error: no room for {}: {} bytes are needed\nhint: free some space", copy.display(), 1u64 << 60);
    refused(&get(1 << 60, &["a"]), 8, &says);
    assert!(!copy.exists() && !part.exists(), "nothing was written");
    refused(
        &get(1 << 30, &["a", "b", "c", "d"]),
        5,
        "error: malformed folder: the entry a is out of order, there twice",
    );
    assert!(!copy.exists(), "one node under many names ends at the second");
    let done = get(2 * FILE_BYTES, &["a"]);
    assert!(done.status.success() && same(&copy.join("a"), &copy.join("b")), "the forger writes folders");
}

/// Everything below a folder.
fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| [walk(&path), vec![path]].concat()).collect()
}

fn list(total_len: u64, ids: &[ChunkId]) -> Bytes {
    let ids: Vec<u8> = ids.iter().flat_map(|id| *id.as_bytes()).collect();
    Manifest::List(ChunkList::new(0, total_len, ids.into())).encode()
}

/// A manifest's list as anybody may write it: the fields of `objects.proto`, one after the other.
fn forged_list(level: u8, total_len: u64, ids: &[u8]) -> Vec<u8> {
    let varint = |mut n: u64| {
        let mut bytes = Vec::new();
        while n >= 0x80 {
            bytes.push(u8::try_from(n & 0x7f).expect("seven bits") | 0x80);
            n >>= 7;
        }
        bytes.push(u8::try_from(n).expect("seven bits"));
        bytes
    };
    let mut list = if level == 0 { Vec::new() } else { vec![0x08, level] };
    list.extend([&[0x10][..], &varint(total_len), &[0x18], &varint(CHUNK_MAX_BYTES as u64)].concat());
    list.extend([&[0x22][..], &varint(ids.len() as u64), ids].concat());
    [&[0x08, 0x01, 0x1a][..], &varint(list.len() as u64), &list].concat()
}

#[test]
fn a_manifest_that_dsn_would_not_have_written_is_malformed() {
    let network = TestNetwork::start(2);
    let forger = Forger::join(&network);
    let id = [7; 32];
    let good = list(MIB as u64, &[ChunkId(Hash(id))]);
    assert_eq!(forged_list(0, MIB as u64, &id), good, "the forger writes what dsn would, unless told otherwise");
    let another = forger.root(b"the root chunk of another file");
    let manifests: [(&str, Vec<u8>); 11] = [
        ("garbage", b"garbage".to_vec()),
        ("trailing bytes", [&good[..], &[0]].concat()),
        ("an unknown field", [&good[..], &[0x78, 0x01]].concat()),
        ("another encoding of the same", [&[0x08, 0x81, 0x00], &good[2..]].concat()),
        ("another version", [&[0x08, 0x02], &good[2..]].concat()),
        ("10^9 chunks", forged_list(0, 1_000_000_000 << 24, &id)),
        ("a level too many", forged_list(2, MIB as u64, &id)),
        ("a level that is not needed", forged_list(1, MIB as u64, &id)),
        ("a length that asks for more chunks", forged_list(0, 1 << 40, &id)),
        ("2^26 chunks, named by one that is named 128 times", forged_list(1, 1 << 50, &id.repeat(128))),
        ("a root chunk as a part of a file: the only way to a cycle", list(MIB as u64, &[another.0]).to_vec()),
    ];
    let copy = network.path("copy");
    for (name, manifest) in manifests {
        let cid = forger.root(&manifest).to_string();
        let done = output(network.dsn().args(["get", &cid, "-o"]).arg(&copy));
        assert_eq!(done.status.code(), Some(5), "{name}: {}", crate::network::shown(&done));
        refused(&done, 5, "error: malformed manifest: ");
        refused(&done, 5, "hint: whoever put this file made it wrong");
        assert!(!copy.exists(), "{name}");
    }
}

/// Who asks how a file fares has no key, and reads the references of a sealed one all the same.
#[test]
fn a_sealed_manifest_does_not_take_more_memory_than_there_is() {
    let network = TestNetwork::start(2);
    let forger = Forger::join(&network);
    let body = Bytes::from_static(&[1; 100]);
    let sealed = Sealed {
        total_len: 1 << 50,
        commitment: [1; 32],
        chunks: 1 << 26,
        refs: Part::Chunks([7; 32].repeat(132).into()),
        body_len: 100,
        body: Part::Here(body),
    };
    let cid = forger.root(&Manifest::Sealed(sealed).encode()).to_string();
    refused(&output(network.dsn().args(["stat", &cid])), 5, "error: malformed manifest: the names of its chunks");
}

#[test]
fn parity_that_is_no_code_word_is_never_wrong_bytes() {
    let mut network = TestNetwork::start(3);
    let forger = Forger::join(&network);
    let original = network.file("file", MIB);
    let honest = encode(Code::Rs16Of48, BytesMut::from(&std::fs::read(&original).unwrap()[..]));
    let mut pieces: Vec<Bytes> = honest.pieces.iter().map(|piece| piece.bytes().clone()).collect();
    for piece in &mut pieces[16..] {
        *piece = piece.iter().map(|byte| byte ^ 1).collect();
    }
    let hashes: Vec<Hash> = pieces.iter().map(|piece| Hash::of(piece)).collect();
    let descriptor = Descriptor::new(Code::Rs16Of48, MIB, &hashes);
    let sets: Vec<IndexSet> = [0..16, 16..32, 32..48].map(|indices| indices.collect()).to_vec();
    let chunk = forger.store(&descriptor, &pieces, &sets);
    let cid = forger.root(&list(MIB as u64, &[chunk])).to_string();
    let copy = network.path("copy");
    let get = |network: &TestNetwork| output(network.dsn().args(["get", &cid, "--force", "-o"]).arg(&copy));
    assert!(get(&network).status.success() && same(&copy, &original), "the data pieces are true");
    std::fs::remove_file(&copy).unwrap();
    network.kill(0);
    refused(&get(&network), 5, "error: inconsistent encoding: chunk ");
    assert!(!copy.exists());
}
