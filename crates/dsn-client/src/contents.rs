//! Which chunks a CID stands for: those of a file, or of everything in a folder. Whoever asks how it fares, repairs it or
//! says how long to keep it goes by this.

use std::collections::BTreeSet;

use dsn_core::{
    cid::Cid,
    descriptor::Code,
    folder::{Folder, FolderNode, Place, Secrecy, What},
    hash::ChunkId,
    manifest::{Manifest, ManifestError},
    sealed::Sealed,
};
use futures::{StreamExt, TryStreamExt, stream};

use crate::{client::Client, download::GetContext, error::GetError, get::join, opened};

/// Manifests of a folder's files read at once.
const MANIFESTS_AT_ONCE: usize = 16;

impl Client {
    /// All chunks of a file or folder, each once, the root chunk first, and its length.
    pub(crate) async fn chunks_of(
        &self,
        context: &GetContext<'_>,
        cid: Cid,
    ) -> Result<(Vec<(ChunkId, Code)>, u64), GetError> {
        let manifest = self.manifest(context, cid).await?;
        let bytes = manifest.total_len();
        let mut chunks = match manifest {
            Manifest::Folder(folder) => self.chunks_of_folder(context, folder).await?,
            Manifest::Sealed(sealed) => self.chunks_of_sealed(context, &sealed, true).await?,
            manifest => self.chunks_of_file(context, manifest).await?,
        };
        chunks.insert(0, (cid.0, Code::Rep));
        Ok((chunks, bytes))
    }

    async fn chunks_of_file(
        &self,
        context: &GetContext<'_>,
        manifest: Manifest,
    ) -> Result<Vec<(ChunkId, Code)>, GetError> {
        let list = match manifest {
            Manifest::List(list) => list,
            Manifest::Sealed(sealed) => return Box::pin(self.chunks_of_sealed(context, &sealed, false)).await,
            Manifest::Inline(_) | Manifest::Folder(_) => return Ok(Vec::new()),
        };
        let level_one = if list.level() == 1 { list.ids().collect() } else { Vec::new() };
        let content = self.content_ids(context, list).await?;
        Ok(level_one.into_iter().chain(content).map(|id| (id, Code::Rs16Of48)).collect())
    }

    async fn chunks_of_folder(
        &self,
        context: &GetContext<'_>,
        folder: Folder,
    ) -> Result<Vec<(ChunkId, Code)>, GetError> {
        let mut all = BTreeSet::new();
        let mut files = BTreeSet::new();
        let mut nodes = vec![(folder.level, folder.top)];
        while let Some((level, node)) = nodes.pop() {
            match node {
                FolderNode::Leaf(leaf) => {
                    for entry in leaf.entries {
                        match entry.what {
                            What::File { place: Place::Packed { pack, .. }, .. } => {
                                all.insert((pack.chunk, Code::Rs16Of48));
                            }
                            What::File { place: Place::Alone { cid, .. }, .. } => {
                                files.insert(cid);
                            }
                            What::File { place: Place::Nowhere, .. } | What::Folder | What::Link(_) => {}
                        }
                    }
                }
                FolderNode::Inner(inner) => {
                    for child in inner.children {
                        all.insert((child.chunk, Code::Rs16Of48));
                        let place = opened::Place::alone(child.chunk, child.len as usize, None);
                        let bytes = join(self.fetch_opened(context, place).await?);
                        let node = FolderNode::decode(level - 1, Secrecy::Public, &bytes).map_err(ManifestError)?;
                        nodes.push((level - 1, node));
                    }
                }
            }
        }
        all.extend(self.chunks_of_files(context, files).await?);
        Ok(all.into_iter().collect())
    }

    /// What a sealed manifest names in clear; of a folder also what its files name.
    async fn chunks_of_sealed(
        &self,
        context: &GetContext<'_>,
        sealed: &Sealed,
        may_be_folder: bool,
    ) -> Result<Vec<(ChunkId, Code)>, GetError> {
        let (roots, mut all): (Vec<_>, BTreeSet<_>) = {
            let refs = self.refs(context, sealed).await?;
            let (roots, chunks): (Vec<_>, Vec<_>) = refs.into_iter().partition(|(_, code)| *code == Code::Rep);
            (roots, chunks.into_iter().collect())
        };
        let parts = sealed.refs.chunks().into_iter().chain(sealed.body.chunks());
        all.extend(parts.map(|chunk| (chunk, Code::Rs16Of48)));
        if may_be_folder {
            let files = roots.into_iter().map(|(chunk, _)| Cid(chunk)).collect();
            all.extend(self.chunks_of_files(context, files).await?);
        }
        Ok(all.into_iter().collect())
    }

    /// The chunks of these files, their root chunks too.
    async fn chunks_of_files(
        &self,
        context: &GetContext<'_>,
        files: BTreeSet<Cid>,
    ) -> Result<BTreeSet<(ChunkId, Code)>, GetError> {
        let of_file = async |cid: Cid| {
            let manifest = self.manifest(context, cid).await?;
            let mut chunks = self.chunks_of_file(context, manifest).await?;
            chunks.push((cid.0, Code::Rep));
            Ok::<_, GetError>(chunks)
        };
        let mut of_files = stream::iter(files).map(of_file).buffer_unordered(MANIFESTS_AT_ONCE);
        let mut all = BTreeSet::new();
        while let Some(chunks) = of_files.try_next().await? {
            all.extend(chunks);
        }
        Ok(all)
    }
}
