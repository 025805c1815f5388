//! Reading folders: what a path names, and going through entries in order, a node of the folder's tree at a time. Nodes that
//! cannot hold what is wanted are not fetched.

use std::collections::VecDeque;

use bytes::Bytes;
use dsn_core::{
    cid::Cid,
    folder::{Child, Entry, EntryPath, Folder, FolderNode, Lineage, Place, Secrecy, What},
    manifest::ManifestError,
    seal::Key,
};

use crate::{
    client::Client,
    download::GetContext,
    error::GetError,
    get::join,
    opened::{self, Opened},
    progress::NoProgress,
};

/// What a CID, or a path below it, names.
#[derive(Clone, Debug)]
pub enum Named {
    /// A file.
    File(NamedFile),
    /// A folder.
    Folder(NamedFolder),
    /// A link, with what it says.
    Link(Bytes),
}

/// A file that was found.
#[derive(Clone, Debug)]
pub struct NamedFile {
    pub(crate) source: FileSource,
    /// Whether its owner may execute it; no file put alone says so.
    pub executable: bool,
}

/// Where the bytes of a file are.
#[derive(Clone, Debug)]
pub(crate) enum FileSource {
    /// In its manifest, or in chunks that it names.
    Root(Opened),
    /// With others in a chunk.
    Place(Place),
}

/// A folder that was found: one put as such, or one within it.
#[derive(Clone, Debug)]
pub struct NamedFolder {
    pub(crate) folder: Folder,
    secrecy: Secrecy,
    pub(crate) base: Option<EntryPath>,
}

impl NamedFolder {
    /// Where it lies within what was put; none: it is that.
    pub fn base(&self) -> Option<&EntryPath> {
        self.base.as_ref()
    }

    /// Bytes that all it has cannot exceed, by what was said of the whole that it is in.
    pub(crate) fn most_bytes(&self) -> u64 {
        self.folder.total_len
    }

    /// Entries and bytes of all of it, when it was put as such.
    pub fn extent(&self) -> Option<(u64, u64)> {
        self.base.is_none().then_some((self.folder.entries, self.folder.total_len))
    }
}

impl NamedFile {
    /// Bytes of it.
    pub fn len(&self) -> u64 {
        match &self.source {
            FileSource::Root(file) => file.total_len(),
            FileSource::Place(place) => place.len(),
        }
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Goes through the entries of a folder in order.
pub struct FolderWalk {
    base: Option<EntryPath>,
    lineage: Lineage,
    /// Nodes that are left, the next one last, each with its level.
    nodes: Vec<(u32, Child)>,
    entries: VecDeque<Entry>,
    left: Option<u64>,
    secrecy: Secrecy,
    /// What is in this folder is left out.
    skipping: Option<EntryPath>,
}

impl FolderWalk {
    /// All entries below the folder; its own is none of them.
    pub fn new(folder: &NamedFolder) -> Self {
        let base = folder.base.clone();
        let (lineage, left) = match &base {
            Some(base) => (Lineage::below(base.clone()), None),
            None => (Lineage::default(), Some(folder.folder.entries)),
        };
        let mut walk = Self {
            base,
            lineage,
            nodes: Vec::new(),
            entries: VecDeque::new(),
            left,
            secrecy: folder.secrecy,
            skipping: None,
        };
        walk.enter(folder.folder.level, folder.folder.top.clone());
        walk
    }

    /// Leaves out what is in this folder, the last entry given.
    pub fn skip_within(&mut self, folder: &EntryPath) {
        self.skipping = Some(folder.clone());
        self.left = None;
        self.lineage.skip_within(folder);
    }

    /// Whether nothing of the next node is wanted: the one after it begins in the folder that is left out.
    fn is_skipped(&self) -> bool {
        let after = self.nodes.iter().rev().nth(1);
        self.skipping.as_ref().is_some_and(|folder| after.is_some_and(|(_, child)| child.first.is_in(folder)))
    }

    fn enter(&mut self, level: u32, node: FolderNode) {
        match node {
            FolderNode::Leaf(leaf) => self.entries.extend(leaf.entries),
            FolderNode::Inner(inner) => {
                let mut children = inner.children;
                if let Some(base) = &self.base {
                    // All that lies in the base begins in the last node that begins before it.
                    let before = children.partition_point(|child| child.first <= *base).saturating_sub(1);
                    children.drain(..before);
                }
                self.nodes.extend(children.into_iter().rev().map(|child| (level - 1, child)));
            }
        }
    }
}

fn malformed() -> GetError {
    GetError::Manifest(ManifestError(dsn_core::wire::WireError::Field { field: "entries" }))
}

impl Client {
    /// What a CID, with its key when it is sealed, or a path below it, names.
    ///
    /// # Errors
    /// When there is nothing of that path, or it cannot be told.
    pub async fn named(&self, cid: Cid, key: Option<&Key>, path: Option<&EntryPath>) -> Result<Named, GetError> {
        let context = self.get_context(&NoProgress);
        let named = self.named_guarded(&context, cid, key, path);
        context.dog.guard(named).await.unwrap_or_else(|stalled| Err(stalled.into()))
    }

    async fn named_guarded(
        &self,
        context: &GetContext<'_>,
        cid: Cid,
        key: Option<&Key>,
        path: Option<&EntryPath>,
    ) -> Result<Named, GetError> {
        let manifest = self.manifest(context, cid).await?;
        let folder = match (self.open_manifest(context, manifest, key).await?, path) {
            (Opened::Folder(folder, secrecy), path) => NamedFolder { folder, secrecy, base: path.cloned() },
            (_, Some(path)) => return Err(GetError::NoSuchPath { path: path.clone(), is_file: true }),
            (file, None) => {
                let source = FileSource::Root(file);
                return Ok(Named::File(NamedFile { source, executable: false }));
            }
        };
        let Some(path) = path else { return Ok(Named::Folder(folder)) };
        let mut walk = FolderWalk::new(&folder);
        while let Some(entry) = self.next_raw(context, &mut walk).await? {
            if entry.path > *path {
                break;
            }
            if entry.path == *path {
                return Ok(match entry.what {
                    What::Folder => Named::Folder(folder),
                    What::Link(target) => Named::Link(target),
                    What::File { executable, place } => {
                        Named::File(NamedFile { source: FileSource::Place(place), executable })
                    }
                });
            }
        }
        Err(GetError::NoSuchPath { path: path.clone(), is_file: false })
    }

    /// The next entry of a walk; none at the end. What does not follow from those before it is an error: no path leads
    /// through a link, out of the folder, or to one place twice.
    ///
    /// # Errors
    /// See [`GetError`].
    pub async fn next_entry(&self, walk: &mut FolderWalk) -> Result<Option<Entry>, GetError> {
        let context = self.get_context(&NoProgress);
        let next = self.next_guarded(&context, walk);
        context.dog.guard(next).await.unwrap_or_else(|stalled| Err(stalled.into()))
    }

    pub(crate) async fn next_guarded(
        &self,
        context: &GetContext<'_>,
        walk: &mut FolderWalk,
    ) -> Result<Option<Entry>, GetError> {
        loop {
            let Some(entry) = self.next_raw(context, walk).await? else {
                return if walk.left.unwrap_or(0) == 0 { Ok(None) } else { Err(malformed()) };
            };
            if let Some(base) = &walk.base {
                if entry.path <= *base {
                    continue;
                }
                if !entry.path.is_in(base) {
                    return Ok(None);
                }
            }
            if walk.skipping.as_ref().is_some_and(|folder| entry.path.is_in(folder)) {
                continue;
            }
            if !walk.lineage.accepts(&entry) {
                return Err(GetError::BadEntry { path: entry.path });
            }
            if let Some(left) = &mut walk.left {
                *left = left.checked_sub(1).ok_or_else(malformed)?;
            }
            return Ok(Some(entry));
        }
    }

    async fn next_raw(&self, context: &GetContext<'_>, walk: &mut FolderWalk) -> Result<Option<Entry>, GetError> {
        loop {
            if let Some(entry) = walk.entries.pop_front() {
                return Ok(Some(entry));
            }
            while walk.is_skipped() {
                walk.nodes.pop();
            }
            let Some((level, child)) = walk.nodes.pop() else { return Ok(None) };
            walk.enter(level, self.node(context, walk.secrecy, level, child).await?);
        }
    }

    /// Fetches a node of a folder's tree.
    pub(crate) async fn node(
        &self,
        context: &GetContext<'_>,
        secrecy: Secrecy,
        level: u32,
        child: Child,
    ) -> Result<FolderNode, GetError> {
        let place = opened::Place::alone(child.chunk, child.len as usize, child.key);
        let bytes = join(self.fetch_opened(context, place).await?);
        Ok(FolderNode::decode(level, secrecy, &bytes).map_err(ManifestError)?)
    }
}
