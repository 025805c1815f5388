//! `put` of a folder: its entries come in order; small files fill packs, larger ones are stored as files of their own,
//! several at once; what is known of their chunks goes into the nodes of the folder's tree. What farmers hold already is
//! found and not sent again, so a changed folder costs what has changed.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::{Bytes, BytesMut};
use dsn_core::{
    descriptor::Code,
    folder::{Built, Entry, EntryPath, Folder, FolderBuilder, Pack, Packing, Place, Placed, PlacedNode, What},
    hash::ChunkId,
    limits::{CHUNK_MAX_BYTES, SEALED_CHUNK_BYTES},
    manifest::Manifest,
    sealed::{REF_BYTES, SealedBody, reference},
};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};

use crate::{
    client::Client,
    error::PutError,
    input::InputError,
    options::PutOptions,
    progress::{Progress, ProgressEvent},
    put::{PASSES, PutReport, Root, Totals},
    room::Whole,
    tree::{Content, Extent, Found, FoundWhat, Source, Tree},
    upload::PutContext,
};

/// Packs on their way at once, with the files beside them.
const GROUPS_AT_ONCE: usize = 3;

/// Groups from when they are read until the nodes that name their files are stored.
const TURNS: usize = GROUPS_AT_ONCE + 1;

/// Large files of one group opened at once.
const FILES_AT_ONCE: usize = 16;

/// What large files on their way may take together, in MiB of their bytes; coding takes thrice that.
const ROOM_MIB: u32 = 64;

/// Entries that follow each other, with the pack that the small files among them fill.
#[derive(Default)]
struct Group {
    pack: BytesMut,
    items: Vec<(EntryPath, Item)>,
}

/// An entry whose chunk is not known yet.
enum Item {
    Known(What),
    Packed { executable: bool, offset: u32, len: u32 },
    Alone { executable: bool, source: Source },
}

/// A group whose files are stored, with its turn.
struct StoredGroup<'a> {
    entries: Vec<Entry>,
    totals: Totals,
    _turn: SemaphorePermit<'a>,
}

/// What all groups of one put share.
struct FolderPut<'a> {
    context: &'a PutContext<'a>,
    turns: Semaphore,
    room: Semaphore,
    chunks: AtomicU64,
    /// Of everything sealed, in the order in which it was stored, which is another each time.
    refs: Mutex<Vec<[u8; REF_BYTES]>>,
}

impl FolderPut<'_> {
    /// The next chunk's place in the put, for errors.
    fn number(&self) -> u64 {
        self.chunks.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// A chunk that a sealed folder names.
    fn refer(&self, code: Code, chunk: ChunkId) {
        if self.context.is_sealed() {
            let mut refs = self.refs.lock().unwrap_or_else(PoisonError::into_inner);
            refs.push(reference(code, chunk));
        }
    }

    fn packing(&self) -> Packing {
        Packing::within(if self.context.is_sealed() { SEALED_CHUNK_BYTES } else { CHUNK_MAX_BYTES })
    }
}

impl Client {
    /// Stores a folder and names it. Dropping the future keeps what is stored so far.
    ///
    /// # Errors
    /// See [`PutError`]; chunks finished before the error stay published.
    pub async fn put_folder(
        &self,
        tree: &mut dyn Tree,
        options: PutOptions,
        progress: &dyn Progress,
    ) -> Result<PutReport, PutError> {
        let mut pass = 1;
        loop {
            let mut context = self.put_context(options.clone(), progress).await?;
            let Extent { bytes, largest, .. } = context.dog.pause(tree.survey()).await?;
            context.progress.event(ProgressEvent::Total(bytes));
            context.whole = Some(Whole { bytes, largest });
            let put = self.put_folder_guarded(&context, tree);
            let put = context.dog.guard(put).await;
            match put.unwrap_or_else(|s| Err(PutError::Stalled { secs: s.secs, doing: s.doing })) {
                Err(PutError::NotCommitted { .. }) if pass < PASSES => pass += 1,
                done => return done,
            }
            tree.rewind();
        }
    }

    async fn put_folder_guarded(&self, context: &PutContext<'_>, tree: &mut dyn Tree) -> Result<PutReport, PutError> {
        let (turns, room) = (Semaphore::new(TURNS), Semaphore::new(ROOM_MIB as usize));
        let (chunks, refs) = Default::default();
        let put = FolderPut { context, turns, room, chunks, refs };
        // Files and nodes travel in the same messages, sent by whoever asked first: neither may stand still while the
        // other is waited for. The turns bound what lies between them.
        let (stored, to_name) = mpsc::channel(TURNS);
        let ((), (folder, mut totals)) =
            futures::try_join!(self.put_groups(&put, tree, stored), self.put_tree(&put, to_name))?;
        let (entries, len) = (folder.entries, folder.total_len);
        let root = if context.is_sealed() {
            let mut refs = put.refs.into_inner().unwrap_or_else(PoisonError::into_inner);
            refs.sort_unstable();
            self.put_sealed(context, len, &SealedBody::Folder(folder), refs.concat(), &mut totals).await?
        } else {
            Root { cid: self.put_root(context, &Manifest::Folder(folder), &mut totals).await?, key: None, len }
        };
        let report = self.finish_put(context, root, totals).await?;
        Ok(PutReport { entries: Some(entries), ..report })
    }

    /// Stores the files, a few groups at once, and hands the groups on in order.
    async fn put_groups<'a>(
        &self,
        put: &'a FolderPut<'_>,
        tree: &mut dyn Tree,
        stored: mpsc::Sender<StoredGroup<'a>>,
    ) -> Result<(), PutError> {
        let groups = groups(put, tree).map_ok(|(_turn, group)| async move {
            let (entries, totals) = self.put_group(put, group).await?;
            Ok(StoredGroup { entries, totals, _turn })
        });
        let mut groups = std::pin::pin!(groups.try_buffered(GROUPS_AT_ONCE));
        while let Some(group) = groups.try_next().await? {
            // There is room for each that has a turn. Nobody takes it only when the nodes have failed, and who waits for
            // both hears of that.
            let _taken = stored.try_send(group);
        }
        Ok(())
    }

    /// Stores the nodes that name what is stored, and gives the top.
    async fn put_tree(
        &self,
        put: &FolderPut<'_>,
        mut to_name: mpsc::Receiver<StoredGroup<'_>>,
    ) -> Result<(Folder, Totals), PutError> {
        let mut totals = Totals::default();
        let mut builder = FolderBuilder::default();
        while let Some(StoredGroup { entries, totals: part, _turn }) = to_name.recv().await {
            totals.join(part);
            for entry in entries {
                let nodes = builder.push(entry);
                self.put_nodes(put, &mut builder, nodes, &mut totals).await?;
            }
        }
        loop {
            match builder.finish() {
                Built::Folder(folder) => return Ok((folder, totals)),
                Built::Nodes(nodes) => self.put_nodes(put, &mut builder, nodes, &mut totals).await?,
            }
        }
    }

    async fn put_group(&self, put: &FolderPut<'_>, group: Group) -> Result<(Vec<Entry>, Totals), PutError> {
        let Group { pack, items } = group;
        let large = items.iter().enumerate().filter_map(|(nth, (_, item))| match item {
            Item::Alone { source, .. } => Some((nth, source.clone())),
            Item::Known(_) | Item::Packed { .. } => None,
        });
        let large = stream::iter(large).map(|(nth, source)| async move {
            let (root, totals) = self.put_alone(put, &source).await?;
            Ok::<_, PutError>((nth, root, totals))
        });
        let large = large.buffered(FILES_AT_ONCE).try_collect::<Vec<_>>();
        let (pack, large) = futures::try_join!(self.put_pack(put, pack), large)?;
        let (pack, mut totals) = pack;
        let mut large = large.into_iter().peekable();
        let mut entries = Vec::with_capacity(items.len());
        for (nth, (path, item)) in items.into_iter().enumerate() {
            let what = match item {
                Item::Known(what) => what,
                Item::Packed { executable, offset, len } => {
                    let pack = pack.clone().expect("a pack with a file in it is not empty");
                    What::File { executable, place: Place::Packed { pack, offset, len } }
                }
                Item::Alone { executable, source } => {
                    let (_, root, part) = large.next_if(|(of, ..)| *of == nth).expect("all of them, in order");
                    totals.join(part);
                    put.refer(Code::Rep, root.cid.0);
                    What::File { executable, place: Place::Alone { cid: root.cid, len: source.len(), key: root.key } }
                }
            };
            entries.push(Entry { path, what });
        }
        Ok((entries, totals))
    }

    async fn put_pack(&self, put: &FolderPut<'_>, bytes: BytesMut) -> Result<(Option<Pack>, Totals), PutError> {
        let mut totals = Totals::default();
        if bytes.is_empty() {
            return Ok((None, totals));
        }
        let len = u32::try_from(bytes.len()).expect("at most 16 MiB");
        let (encoded, key) = self.encode_private(put.context, bytes).await;
        put.context.progress.event(ProgressEvent::Encoded(u64::from(len)));
        self.check_room(put.context, encoded.descriptor.id()).await?;
        let stored = self.store_chunk(put.context, encoded, put.number()).await?;
        put.context.confirm(u64::from(len), &stored);
        put.refer(Code::Rs16Of48, stored.chunk);
        let pack = Pack { chunk: stored.chunk, len, key };
        totals.add_content(u64::from(len), stored);
        Ok((Some(pack), totals))
    }

    /// Stores a large file as if it were put alone.
    async fn put_alone(&self, put: &FolderPut<'_>, source: &Source) -> Result<(Root, Totals), PutError> {
        let chunk_mib = (CHUNK_MAX_BYTES >> 20) as u64;
        let mib = (source.len() >> 20) + 1;
        let mib = if mib > chunk_mib { ROOM_MIB } else { u32::try_from(mib).unwrap_or(ROOM_MIB) };
        let _room = put.room.acquire_many(mib).await.expect("never closed");
        let mut input = source.open()?;
        let mut totals = Totals::default();
        let root = self.put_file(put.context, &mut *input, &mut totals).await?;
        if root.len == source.len() {
            Ok((root, totals))
        } else {
            Err(InputError::Changed { path: source.path() }.into())
        }
    }

    async fn put_nodes(
        &self,
        put: &FolderPut<'_>,
        builder: &mut FolderBuilder,
        nodes: Vec<PlacedNode>,
        totals: &mut Totals,
    ) -> Result<(), PutError> {
        let mut nodes = VecDeque::from(nodes);
        while let Some(node) = nodes.pop_front() {
            let (chunk, key) = self.encode_private(put.context, BytesMut::from(&node.bytes[..])).await;
            let stored = self.store_chunk(put.context, chunk, put.number()).await?;
            put.refer(Code::Rs16Of48, stored.chunk);
            let above = builder.placed(&node, Placed(stored.chunk, key));
            totals.add(stored);
            nodes.extend(above);
        }
        Ok(())
    }
}

/// The entries of a tree, those together whose small files share a pack, each group when it has a turn.
fn groups<'t, 'p: 't>(
    put: &'p FolderPut<'_>,
    tree: &'t mut dyn Tree,
) -> impl Stream<Item = Result<(SemaphorePermit<'p>, Group), PutError>> + 't {
    stream::try_unfold((tree, put.packing(), None), async |(tree, mut packing, mut next)| {
        let turn = put.turns.acquire().await.expect("never closed");
        let mut group = Group::default();
        loop {
            let found = match next.take() {
                Some(found) => Some(found),
                None => put.context.dog.pause(tree.next()).await?,
            };
            let Some(Found { path, what }) = found else {
                let last = (!group.items.is_empty()).then_some(((turn, group), (tree, packing, None)));
                return Ok(last);
            };
            let small: Option<Bytes> = match &what {
                FoundWhat::File { content: Content::Small(bytes), .. } => Some(bytes.clone()),
                _ => None,
            };
            let small = small.unwrap_or_default();
            if packing.ends_before(small.len()) {
                packing.begin();
                return Ok(Some(((turn, group), (tree, packing, Some(Found { path, what })))));
            }
            let item = match what {
                FoundWhat::Folder => Item::Known(What::Folder),
                FoundWhat::Link(target) => Item::Known(What::Link(target)),
                FoundWhat::File { executable, content: Content::Large(source) } => Item::Alone { executable, source },
                FoundWhat::File { executable, .. } if small.is_empty() => {
                    Item::Known(What::File { executable, place: Place::Nowhere })
                }
                FoundWhat::File { executable, .. } => {
                    let len = u32::try_from(small.len()).expect("at most 64 KiB");
                    Item::Packed { executable, offset: packing.lay(small.len()), len }
                }
            };
            group.pack.extend_from_slice(&small);
            group.items.push((path, item));
            if packing.ends_after(&small) {
                packing.begin();
                return Ok(Some(((turn, group), (tree, packing, None))));
            }
        }
    })
}
