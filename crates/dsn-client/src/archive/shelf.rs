//! Exported pieces, on any number of sticks, as a network of one node: it knows the locators of the chunks whose folders it
//! has found and serves their pieces. So a file comes back by the one way in which files come back, and no connection is
//! opened. Whatever lies on a stick is taken for hostile: lengths are looked at before anything is read, and only pieces
//! that are what their descriptor says are served. What is not is remembered, to be named.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use dsn_core::{
    cid::Cid,
    descriptor::Descriptor,
    hash::ChunkId,
    identity::Identity,
    index_set::IndexSet,
    limits::{BODIES_MAX_BYTES, DESCRIPTOR_MAX_BYTES, TOTAL_PIECES},
    locator::{Locator, VerifiedLocator},
    network_name::NetworkName,
    node_id::NodeId,
    piece::{Piece, VerifiedPiece},
    ports::{KnownNode, Network, NetworkError, PeerEvidence, Snapshot},
    receipt::ReceiptBody,
    redundancy::Class,
    rpc::{FetchedPart, Refusal, Request, Response, Want},
};

use super::{DESCRIPTOR_FILE, piece_file, read_exactly};
use crate::input::InputError;

/// Folders within folders that are looked into: a stick may have been copied into a folder of another.
const DEPTH_MAX: usize = 8;

/// Damaged files that are remembered; more than anybody reads.
const DAMAGED_MAX: usize = 100_000;

/// What was found on sticks. Cheap to clone.
#[derive(Clone)]
pub struct Shelf(Arc<Inner>);

struct Inner {
    holder: Identity,
    network: NetworkName,
    cids: BTreeSet<Cid>,
    folders: BTreeMap<ChunkId, Vec<PathBuf>>,
    damaged: Mutex<BTreeMap<PathBuf, (ChunkId, Option<u8>)>>,
}

impl Shelf {
    /// Looks through these folders and all within them. Links are not followed. Blocks. `holder` signs for what is there,
    /// towards this process only.
    ///
    /// # Errors
    /// When one of `dirs` cannot be read; what cannot be read within them is not there.
    pub fn open(dirs: &[PathBuf], holder: Identity, network: NetworkName) -> Result<Self, InputError> {
        let (mut cids, mut folders) = (BTreeSet::new(), BTreeMap::<_, Vec<_>>::new());
        for dir in dirs {
            fs::read_dir(dir).map_err(|source| InputError::Read { path: dir.clone(), source })?;
            let mut found = Found { cids: &mut cids, folders: &mut folders };
            found.note(dir);
            found.look(dir, DEPTH_MAX);
        }
        Ok(Self(Arc::new(Inner { holder, network, cids, folders, damaged: Mutex::default() })))
    }

    /// The files and folders of which there are pieces.
    pub fn cids(&self) -> impl Iterator<Item = Cid> {
        self.0.cids.iter().copied()
    }

    /// The files that are not what their name says, as far as they were read.
    pub fn damaged(&self) -> Vec<PathBuf> {
        self.0.damaged().keys().cloned().collect()
    }

    /// The pieces of a chunk that are there only in a form that cannot be used.
    pub fn spoilt(&self, chunk: ChunkId) -> IndexSet {
        let Some(descriptor) = self.0.descriptor(chunk) else {
            let spoilt = self.0.damaged().values().any(|(of, index)| *of == chunk && index.is_none());
            let there = |index: &u8| self.0.folders(chunk).any(|folder| folder.join(piece_file(*index)).is_file());
            return if spoilt { IndexSet::below(TOTAL_PIECES).iter().filter(there).collect() } else { IndexSet::EMPTY };
        };
        let present = self.0.present(&descriptor);
        let damaged = self.0.damaged();
        let of_chunk = damaged.values().filter(|(of, _)| *of == chunk);
        of_chunk.filter_map(|(_, index)| *index).collect::<IndexSet>().minus(present)
    }
}

/// What a walk through the sticks has found.
struct Found<'a> {
    cids: &'a mut BTreeSet<Cid>,
    folders: &'a mut BTreeMap<ChunkId, Vec<PathBuf>>,
}

impl Found<'_> {
    /// Takes a folder for what its name says; tells whether it is a chunk's.
    fn note(&mut self, dir: &Path) -> bool {
        let name = dir.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        self.cids.extend(name.parse::<Cid>());
        let Some(chunk) = ChunkId::from_hex(name) else { return false };
        self.folders.entry(chunk).or_default().push(dir.into());
        true
    }

    fn look(&mut self, dir: &Path, depth: usize) {
        let Ok(entries) = fs::read_dir(dir) else { return };
        for entry in entries.flatten() {
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_folder && !self.note(&entry.path()) && depth > 0 {
                self.look(&entry.path(), depth - 1);
            }
        }
    }
}

impl Inner {
    fn damaged(&self) -> std::sync::MutexGuard<'_, BTreeMap<PathBuf, (ChunkId, Option<u8>)>> {
        self.damaged.lock().expect("no panic while locked")
    }

    fn spoil(&self, path: PathBuf, chunk: ChunkId, index: Option<u8>) {
        let mut damaged = self.damaged();
        if damaged.len() < DAMAGED_MAX {
            damaged.insert(path, (chunk, index));
        }
    }

    fn folders(&self, chunk: ChunkId) -> impl Iterator<Item = &PathBuf> {
        self.folders.get(&chunk).into_iter().flatten()
    }

    /// The chunk's descriptor, from the first folder where it is true.
    fn descriptor(&self, chunk: ChunkId) -> Option<Descriptor> {
        for path in self.folders(chunk).map(|folder| folder.join(DESCRIPTOR_FILE)) {
            let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
            let len = usize::try_from(metadata.len()).ok().filter(|len| *len <= DESCRIPTOR_MAX_BYTES);
            let bytes = len.and_then(|len| read_exactly(&path, len).ok().flatten());
            match bytes.and_then(|bytes| Descriptor::decode(&bytes).ok()).filter(|found| found.id() == chunk) {
                Some(descriptor) => return Some(descriptor),
                None => self.spoil(path, chunk, None),
            }
        }
        None
    }

    /// The pieces of which there is a file of the right length that was not found to be damaged.
    fn present(&self, descriptor: &Descriptor) -> IndexSet {
        let chunk = descriptor.id();
        let mut present = IndexSet::EMPTY;
        for (folder, index) in self.folders(chunk).flat_map(|f| descriptor.all_indices().iter().map(move |i| (f, i))) {
            let path = folder.join(piece_file(index));
            let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
            if !metadata.is_file() || metadata.len() != descriptor.piece_len() as u64 {
                self.spoil(path, chunk, Some(index));
            } else if !self.damaged().contains_key(&path) {
                present.insert(index);
            }
        }
        present
    }

    /// A piece, from the first folder where it is true.
    fn piece(&self, descriptor: &Descriptor, index: u8) -> Option<VerifiedPiece> {
        let chunk = descriptor.id();
        for path in self.folders(chunk).map(|folder| folder.join(piece_file(index))) {
            if fs::symlink_metadata(&path).is_err() || self.damaged().contains_key(&path) {
                continue;
            }
            let bytes = read_exactly(&path, descriptor.piece_len()).ok().flatten();
            match bytes.and_then(|bytes| Piece { index, bytes }.verify(descriptor).ok()) {
                Some(piece) => return Some(piece),
                None => self.spoil(path, chunk, Some(index)),
            }
        }
        None
    }

    fn locate(&self, chunk: ChunkId) -> Option<Locator> {
        let descriptor = self.descriptor(chunk)?;
        let indices = self.present(&descriptor);
        let mut locator = VerifiedLocator::new(descriptor);
        if !indices.is_empty() {
            let (network, farmer) = (self.network.clone(), self.holder.node_id());
            // Dated at the beginning of time and without end, so that this computer's clock does not matter.
            let (class, seq, issued, until) = (Class::default(), 1, 0, None);
            let body = ReceiptBody { network, chunk, farmer, indices, class, seq, issued, until };
            locator.insert(body.sign(&self.holder));
        }
        Some(locator.to_locator())
    }

    /// As many of the wanted pieces as fit one answer.
    fn fetch(&self, wants: &[Want]) -> Vec<FetchedPart> {
        let (mut parts, mut room) = (Vec::new(), BODIES_MAX_BYTES);
        for Want { chunk, indices } in wants {
            let Some(descriptor) = self.descriptor(*chunk) else { continue };
            let fits = room / descriptor.piece_len();
            for piece in indices.iter().take(fits).filter_map(|index| self.piece(&descriptor, index)) {
                room -= descriptor.piece_len();
                parts.push(FetchedPart { chunk: *chunk, index: piece.index(), bytes: piece.bytes().clone() });
            }
        }
        parts
    }

    fn answer(&self, request: Request) -> Response {
        match request {
            Request::Locate(chunks) => Response::Located(chunks.into_iter().map(|chunk| self.locate(chunk)).collect()),
            Request::Fetch(wants) => Response::Fetched(self.fetch(&wants)),
            _ => Response::Refused(Refusal::NotServed),
        }
    }
}

#[async_trait]
impl Network for Shelf {
    fn local_id(&self) -> NodeId {
        self.0.holder.node_id()
    }

    async fn request(&self, _to: NodeId, request: Request) -> Result<Response, NetworkError> {
        let inner = Arc::clone(&self.0);
        tokio::task::spawn_blocking(move || inner.answer(request)).await.map_err(|_| NetworkError::Stopped)
    }

    async fn snapshot(&self, _fresh: bool) -> Result<Snapshot, NetworkError> {
        Ok(Snapshot { nodes: BTreeSet::from([self.local_id()]), complete: true })
    }

    async fn look_up(&self, _key: [u8; 32]) -> Result<Vec<NodeId>, NetworkError> {
        Ok(vec![self.local_id()])
    }

    fn report(&self, _node: NodeId, _evidence: PeerEvidence) {}

    async fn known_nodes(&self) -> Result<Vec<KnownNode>, NetworkError> {
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests;
