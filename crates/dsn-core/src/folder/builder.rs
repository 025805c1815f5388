//! Cuts the entries of a folder into nodes, without storing any: it gives nodes to be stored and is told their chunks. Few
//! entries stay in the manifest; more of them are cut where the hash of a path says so, the names of the leaves likewise.

use bytes::Bytes;

use super::{Child, Entry, EntryPath, Folder, FolderNode, Inner, Leaf, Lineage, Pack, Place, What};
use crate::{
    hash::{ChunkId, Hash},
    limits::{FOLDER_MAX_LEVEL, FOLDER_NODE_MAX_BYTES, FOLDER_PATHS_FACTOR, INLINE_MAX_BYTES, PATH_MAX_BYTES},
    seal::Key,
};

/// Entries of a leaf on average: some 200 KiB of photographs' names.
const MEAN_ENTRIES: u64 = 4096;

/// Children of an inner node on average.
const MEAN_CHILDREN: u64 = 512;

/// A key with its field.
const KEY_BYTES: usize = 34;

/// More than the fields of any entry or child take beside paths, links and ids.
const FIELDS_BYTES: usize = 32;

/// A node to be stored: whoever stores it tells its chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacedNode {
    level: u32,
    first: EntryPath,
    /// What its chunk holds.
    pub bytes: Bytes,
}

/// A node's chunk, with what opens it when it is sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed(pub ChunkId, pub Option<Key>);

/// What a builder wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Built {
    /// These are to be stored first.
    Nodes(Vec<PlacedNode>),
    /// It is complete: what its manifest says.
    Folder(Folder),
}

/// Builds the tree of a folder.
#[derive(Debug, Default)]
pub struct FolderBuilder {
    lineage: Lineage,
    entries: u64,
    total_len: u64,
    leaf: Level<Entry>,
    inner: Vec<Level<Child>>,
}

/// What stands in a node.
trait Item {
    /// The first path under it.
    fn path(&self) -> &EntryPath;

    /// Bytes that it adds to a node after `last`, or a few more.
    fn cost(&self, last: Option<&Self>) -> usize;

    /// A node has so many of them on average.
    const MEAN: u64;
}

#[derive(Debug)]
struct Level<T> {
    items: Vec<T>,
    cost: usize,
    /// Whether there are too many for the manifest.
    is_cut: bool,
}

impl<T> Default for Level<T> {
    fn default() -> Self {
        Self { items: Vec::new(), cost: 0, is_cut: false }
    }
}

impl<T: Item> Level<T> {
    /// Adds one; gives the nodes that are full.
    fn push(&mut self, item: T) -> Vec<Vec<T>> {
        let mut full = Vec::new();
        if !self.is_cut && self.cost + item.cost(self.items.last()) > INLINE_MAX_BYTES {
            self.is_cut = true;
            self.cost = 0;
            for early in std::mem::take(&mut self.items) {
                full.extend(self.put_in_node(early));
            }
        }
        if self.is_cut {
            full.extend(self.put_in_node(item));
        } else {
            self.cost += item.cost(self.items.last());
            self.items.push(item);
        }
        full
    }

    fn put_in_node(&mut self, item: T) -> Vec<Vec<T>> {
        let mut full = Vec::new();
        let cost = item.cost(self.items.last());
        // The first of a node has its whole path.
        if self.cost + cost + PATH_MAX_BYTES > FOLDER_NODE_MAX_BYTES {
            full.push(self.take());
        }
        self.cost += item.cost(self.items.last());
        let ends = ends_node(item.path(), T::MEAN);
        self.items.push(item);
        if ends {
            full.push(self.take());
        }
        full
    }

    fn take(&mut self) -> Vec<T> {
        self.cost = 0;
        std::mem::take(&mut self.items)
    }
}

/// Whether a node ends after what has this path.
fn ends_node(path: &EntryPath, mean: u64) -> bool {
    let Hash(hash) = Hash::of(path.as_bytes());
    u64::from_be_bytes(*hash.first_chunk().expect("32 bytes")) < u64::MAX / mean
}

/// The pack that a file is in.
fn pack_of(entry: &Entry) -> Option<&Pack> {
    match &entry.what {
        What::File { place: Place::Packed { pack, .. }, .. } => Some(pack),
        _ => None,
    }
}

impl Item for Entry {
    const MEAN: u64 = MEAN_ENTRIES;

    fn path(&self) -> &EntryPath {
        &self.path
    }

    fn cost(&self, last: Option<&Self>) -> usize {
        let whole = self.path.as_bytes().len();
        // The whole path weighs too, since a reader has all of them in memory.
        let path = whole - last.map_or(0, |last| self.path.same_as(&last.path)) + whole / FOLDER_PATHS_FACTOR;
        let of_key = |key: &Option<Key>| key.as_ref().map_or(0, |_| KEY_BYTES);
        let beside = match &self.what {
            What::Link(target) => target.len(),
            What::File { place: Place::Alone { key, .. }, .. } => 32 + of_key(key),
            What::File { place: Place::Packed { pack: of, .. }, .. } if Some(of) != last.and_then(pack_of) => {
                32 + FIELDS_BYTES + of_key(&of.key)
            }
            _ => 0,
        };
        FIELDS_BYTES + path + beside
    }
}

impl Item for Child {
    const MEAN: u64 = MEAN_CHILDREN;

    fn path(&self) -> &EntryPath {
        &self.first
    }

    fn cost(&self, _last: Option<&Self>) -> usize {
        let key = self.key.as_ref().map_or(0, |_| KEY_BYTES);
        FIELDS_BYTES + 32 + self.first.as_bytes().len() + key
    }
}

impl FolderBuilder {
    /// Adds an entry; gives nodes to be stored.
    ///
    /// # Panics
    /// When it does not follow those before it.
    pub fn push(&mut self, entry: Entry) -> Vec<PlacedNode> {
        assert!(self.lineage.accepts(&entry), "entries come in order, each in a folder that came before");
        self.entries += 1;
        self.total_len = self.total_len.saturating_add(entry.len());
        self.leaf.push(entry).into_iter().map(leaf).collect()
    }

    /// A node was stored; gives nodes that are to be stored now.
    ///
    /// # Panics
    /// When there are more entries than any disk has.
    pub fn placed(&mut self, node: &PlacedNode, Placed(chunk, key): Placed) -> Vec<PlacedNode> {
        assert!(node.level < FOLDER_MAX_LEVEL, "entries for all levels");
        let level = node.level as usize;
        if self.inner.len() <= level {
            self.inner.resize_with(level + 1, Level::default);
        }
        let len = u32::try_from(node.bytes.len()).expect("a node is bounded");
        let full = self.inner[level].push(Child { first: node.first.clone(), chunk, len, key });
        full.into_iter().map(|children| inner(node.level + 1, children)).collect()
    }

    /// There are no more entries, and all nodes given were placed. Until it is complete, it gives nodes to be stored.
    ///
    /// # Panics
    /// When a node given was not placed.
    pub fn finish(&mut self) -> Built {
        if !self.leaf.is_cut {
            let top = FolderNode::Leaf(Leaf { entries: self.leaf.take() });
            return Built::Folder(self.folder(0, top));
        }
        if !self.leaf.items.is_empty() {
            return Built::Nodes(vec![leaf(self.leaf.take())]);
        }
        for (level, nodes) in (1..).zip(&mut self.inner) {
            let children = nodes.take();
            if !nodes.is_cut {
                return Built::Folder(self.folder(level, FolderNode::Inner(Inner { children })));
            }
            if !children.is_empty() {
                return Built::Nodes(vec![inner(level, children)]);
            }
        }
        unreachable!("nodes that were given are placed before the end, so there is a level above them")
    }

    fn folder(&self, level: u32, top: FolderNode) -> Folder {
        Folder { entries: self.entries, total_len: self.total_len, level, top }
    }
}

fn leaf(entries: Vec<Entry>) -> PlacedNode {
    let first = entries[0].path.clone();
    PlacedNode { level: 0, first, bytes: FolderNode::Leaf(Leaf { entries }).encode() }
}

fn inner(level: u32, children: Vec<Child>) -> PlacedNode {
    let first = children[0].first.clone();
    PlacedNode { level, first, bytes: FolderNode::Inner(Inner { children }).encode() }
}
