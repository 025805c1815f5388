//! The nodes of a folder's tree as bytes. A leaf has entries; an inner node names nodes of the level below by the path of
//! the first entry under each. Both are canonical: what our encoder would not write is refused.

use bytes::Bytes;
use dsn_proto as proto;
use prost::Message;

use super::{Entry, EntryPath, Pack, Place, What};
use crate::{
    cid::Cid,
    hash::ChunkId,
    limits::{CHUNK_MAX_BYTES, FOLDER_MAX_LEVEL, FOLDER_NODE_MAX_BYTES, FOLDER_PATHS_FACTOR, LINK_MAX_BYTES},
    seal::Key,
    wire::{WireError, check, decode_bounded},
};

/// What the manifest of a folder says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    /// Entries in all.
    pub entries: u64,
    /// Bytes of all files.
    pub total_len: u64,
    /// Height of the topmost node: 0 for a leaf.
    pub level: u32,
    /// The topmost node.
    pub top: FolderNode,
}

/// A node of the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FolderNode {
    /// Entries.
    Leaf(Leaf),
    /// Names of nodes of the level below.
    Inner(Inner),
}

/// Entries that follow each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leaf {
    /// In order.
    pub entries: Vec<Entry>,
}

/// Nodes of the level below that follow each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inner {
    /// In order; never empty.
    pub children: Vec<Child>,
}

/// A node as the one above names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Child {
    /// The first entry under it.
    pub first: EntryPath,
    /// Its chunk.
    pub chunk: ChunkId,
    /// Bytes of the node.
    pub len: u32,
    /// What opens it, when it is sealed.
    pub key: Option<Key>,
}

/// Whether what a node names is sealed: then each has its key, else none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrecy {
    /// Whoever has the CID can read it.
    Public,
    /// Only who has the key can.
    Sealed,
}

impl Secrecy {
    /// A key as a message has it.
    fn key(self, bytes: &Bytes) -> Result<Option<Key>, WireError> {
        match self {
            Self::Public => check(bytes.is_empty(), "key").map(|()| None),
            Self::Sealed => Key::from_slice(bytes).map(Some).ok_or(WireError::Field { field: "key" }),
        }
    }
}

fn bytes_of(key: Option<&Key>) -> Bytes {
    key.map(|key| Bytes::copy_from_slice(key.as_bytes())).unwrap_or_default()
}

const FOLDER: u32 = 1;
const FILE: u32 = 2;
const EXECUTABLE: u32 = 3;
const LINK: u32 = 4;

impl FolderNode {
    /// The canonical encoding: what its chunk holds.
    pub fn encode(&self) -> Bytes {
        match self {
            Self::Leaf(leaf) => leaf.to_message().encode_to_vec().into(),
            Self::Inner(inner) => inner.to_message().encode_to_vec().into(),
        }
    }

    /// Reads the content of a node's chunk.
    ///
    /// # Errors
    /// When a byte is not as our encoder would have written it.
    pub fn decode(level: u32, secrecy: Secrecy, encoded: &Bytes) -> Result<Self, WireError> {
        let node = if level == 0 {
            Self::Leaf(Leaf::from_message(secrecy, decode_bounded(encoded, FOLDER_NODE_MAX_BYTES)?)?)
        } else {
            Self::Inner(Inner::from_message(secrecy, decode_bounded(encoded, FOLDER_NODE_MAX_BYTES)?)?)
        };
        // All choices of the encoding follow from the entries, so this finds any other one.
        if node.encode() == *encoded { Ok(node) } else { Err(WireError::NotCanonical) }
    }
}

impl Folder {
    pub(crate) fn to_message(&self) -> proto::Folder {
        let node = match &self.top {
            FolderNode::Leaf(leaf) => proto::folder::Node::Leaf(leaf.to_message()),
            FolderNode::Inner(inner) => proto::folder::Node::Inner(inner.to_message()),
        };
        let Self { level, entries, total_len, .. } = *self;
        proto::Folder { level, entries, total_len, node: Some(node) }
    }

    pub(crate) fn from_message(secrecy: Secrecy, message: proto::Folder) -> Result<Self, WireError> {
        let proto::Folder { level, entries, total_len, node } = message;
        check(level <= FOLDER_MAX_LEVEL, "level")?;
        let top = match node {
            Some(proto::folder::Node::Leaf(leaf)) if level == 0 => {
                let leaf = Leaf::from_message(secrecy, leaf)?;
                check(entries == leaf.entries.len() as u64, "entries")?;
                let sum = leaf.entries.iter().try_fold(0u64, |sum, entry| sum.checked_add(entry.len()));
                check(sum == Some(total_len), "total_len")?;
                FolderNode::Leaf(leaf)
            }
            Some(proto::folder::Node::Inner(inner)) if level > 0 => {
                FolderNode::Inner(Inner::from_message(secrecy, inner)?)
            }
            _ => return Err(WireError::Field { field: "node" }),
        };
        Ok(Self { entries, total_len, level, top })
    }
}

impl Leaf {
    fn to_message(&self) -> proto::FolderLeaf {
        let mut leaf = proto::FolderLeaf::default();
        let mut last: Option<&EntryPath> = None;
        for entry in &self.entries {
            let same = last.map_or(0, |last| entry.path.same_as(last));
            let rest = Bytes::copy_from_slice(&entry.path.as_bytes()[same..]);
            let mut message = proto::FolderEntry { same: short(same), rest, ..proto::FolderEntry::default() };
            match &entry.what {
                What::Folder => message.kind = FOLDER,
                What::Link(target) => (message.kind, message.target) = (LINK, target.clone()),
                What::File { executable, place } => {
                    message.kind = if *executable { EXECUTABLE } else { FILE };
                    message.len = place.len();
                    match place {
                        Place::Nowhere => {}
                        Place::Alone { cid, key, .. } => {
                            message.root = Bytes::copy_from_slice(cid.0.as_bytes());
                            message.key = bytes_of(key.as_ref());
                        }
                        Place::Packed { pack, offset, .. } => {
                            (message.pack, message.offset) = (nth_pack(&mut leaf.packs, pack), *offset);
                        }
                    }
                }
            }
            leaf.entries.push(message);
            last = Some(&entry.path);
        }
        leaf
    }

    fn from_message(secrecy: Secrecy, leaf: proto::FolderLeaf) -> Result<Self, WireError> {
        let packs = leaf.packs.into_iter().map(|message| pack(secrecy, &message));
        let packs: Vec<Pack> = packs.collect::<Result<_, _>>()?;
        let mut entries: Vec<Entry> = Vec::with_capacity(leaf.entries.len());
        let mut paths = 0;
        for message in leaf.entries {
            let last = entries.last().map(|entry| &entry.path);
            let path = path(&message, last)?;
            paths += path.as_bytes().len();
            check(paths <= FOLDER_NODE_MAX_BYTES * FOLDER_PATHS_FACTOR, "rest")?;
            check(last.is_none_or(|last| *last < path), "rest")?;
            let what = match message.kind {
                FOLDER => What::Folder,
                LINK => {
                    let is_one = !message.target.is_empty() && !message.target.contains(&0);
                    check(is_one && message.target.len() <= LINK_MAX_BYTES, "target")?;
                    What::Link(message.target)
                }
                kind @ (FILE | EXECUTABLE) => {
                    let place = place(secrecy, &message, &packs)?;
                    check(place.is_valid(), "len")?;
                    What::File { executable: kind == EXECUTABLE, place }
                }
                found => return Err(WireError::Unknown { what: "kind of entry", found }),
            };
            entries.push(Entry { path, what });
        }
        Ok(Self { entries })
    }
}

/// Where a pack stands among those of a leaf, which follow the order of their first entries. Entries of a pack come close
/// together, so the last ones are looked at first.
fn nth_pack(packs: &mut Vec<proto::FolderPack>, pack: &Pack) -> u32 {
    let known = packs.iter().rposition(|known| known.id[..] == pack.chunk.as_bytes()[..] && known.len == pack.len);
    short(known.unwrap_or_else(|| {
        let (id, key) = (Bytes::copy_from_slice(pack.chunk.as_bytes()), bytes_of(pack.key.as_ref()));
        packs.push(proto::FolderPack { id, len: pack.len, key });
        packs.len() - 1
    }))
}

fn path(message: &proto::FolderEntry, last: Option<&EntryPath>) -> Result<EntryPath, WireError> {
    let before = last.map(EntryPath::as_bytes).unwrap_or_default();
    let same = before.get(..message.same as usize).ok_or(WireError::Field { field: "same" })?;
    EntryPath::new([same, &message.rest].concat()).map_err(|_| WireError::Field { field: "rest" })
}

fn pack(secrecy: Secrecy, message: &proto::FolderPack) -> Result<Pack, WireError> {
    let chunk = ChunkId::from_slice(&message.id).ok_or(WireError::Field { field: "id" })?;
    check((1..=CHUNK_MAX_BYTES).contains(&(message.len as usize)), "len")?;
    Ok(Pack { chunk, len: message.len, key: secrecy.key(&message.key)? })
}

fn place(secrecy: Secrecy, message: &proto::FolderEntry, packs: &[Pack]) -> Result<Place, WireError> {
    if let Some(root) = ChunkId::from_slice(&message.root) {
        return Ok(Place::Alone { cid: Cid(root), len: message.len, key: secrecy.key(&message.key)? });
    }
    if message.len == 0 {
        return Ok(Place::Nowhere);
    }
    let pack = packs.get(message.pack as usize).ok_or(WireError::Field { field: "pack" })?;
    let len = u32::try_from(message.len).map_err(|_| WireError::Field { field: "len" })?;
    Ok(Place::Packed { pack: pack.clone(), offset: message.offset, len })
}

impl Inner {
    fn to_message(&self) -> proto::FolderInner {
        let child = |child: &Child| proto::FolderChild {
            first: Bytes::copy_from_slice(child.first.as_bytes()),
            id: Bytes::copy_from_slice(child.chunk.as_bytes()),
            len: child.len,
            key: bytes_of(child.key.as_ref()),
        };
        proto::FolderInner { children: self.children.iter().map(child).collect() }
    }

    fn from_message(secrecy: Secrecy, inner: proto::FolderInner) -> Result<Self, WireError> {
        let child = |message: proto::FolderChild| {
            let first = EntryPath::new(message.first).map_err(|_| WireError::Field { field: "first" })?;
            let chunk = ChunkId::from_slice(&message.id).ok_or(WireError::Field { field: "id" })?;
            check((1..=FOLDER_NODE_MAX_BYTES).contains(&(message.len as usize)), "len")?;
            Ok(Child { first, chunk, len: message.len, key: secrecy.key(&message.key)? })
        };
        let children: Vec<Child> = inner.children.into_iter().map(child).collect::<Result<_, WireError>>()?;
        check(!children.is_empty() && children.is_sorted_by(|a, b| a.first < b.first), "children")?;
        Ok(Self { children })
    }
}

fn short(n: usize) -> u32 {
    u32::try_from(n).expect("bounded by a node's length")
}
