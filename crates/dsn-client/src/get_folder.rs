//! `get` of a folder, or of something within one. Folders and links are made as they come; packs and large files are
//! fetched several at once. What an earlier run left behind is compared with the descriptors and kept.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use dsn_core::{
    cid::Cid,
    folder::{EntryPath, Pack, Place, What},
    seal::Key,
};
use futures::{Stream, TryStreamExt, stream};
use tokio::sync::Semaphore;

use crate::{
    client::Client,
    download::GetContext,
    error::GetError,
    folder::{FileSource, FolderWalk, NamedFile, NamedFolder},
    get::{GetReport, join},
    opened::{self, Opened},
    output::Output,
    progress::{Progress, ProgressEvent},
    tree::{SmallFile, TreeOutput},
};

/// Packs and large files on their way at once.
const JOBS_AT_ONCE: usize = 8;

/// What they may take together, in MiB of their bytes.
const ROOM_MIB: u32 = 64;

/// Files of a chunk's length or less are fetched beside others.
const CHUNK_MIB: u64 = 16;

/// What has to be fetched.
enum Job {
    Pack { pack: Pack, files: Vec<(SmallFile, u32)> },
    Large { path: EntryPath, executable: bool, cid: Cid, len: u64, key: Option<Key> },
}

/// What the jobs of one get share.
struct FolderGet<'a> {
    context: &'a GetContext<'a>,
    output: &'a dyn TreeOutput,
    base: Option<EntryPath>,
    room: Semaphore,
    /// Many files can share few chunks: without a bound little that is stored would fill any disk.
    stated_bytes: u64,
    entries: AtomicU64,
    bytes: AtomicU64,
    resumed_bytes: AtomicU64,
}

impl FolderGet<'_> {
    /// Where an entry goes.
    fn place(&self, path: &EntryPath) -> EntryPath {
        self.base.as_ref().and_then(|base| path.below(base)).unwrap_or_else(|| path.clone())
    }
}

impl Client {
    /// Fetches a file that was found into `output`. Dropping the future leaves in `output` what was written so far.
    ///
    /// # Errors
    /// See [`GetError`]. `output` is finished only after the last byte was checked.
    pub async fn get_file(
        &self,
        cid: Cid,
        file: NamedFile,
        output: &mut dyn Output,
        progress: &dyn Progress,
    ) -> Result<GetReport, GetError> {
        let context = self.get_context(progress);
        let len = file.len();
        context.progress.event(ProgressEvent::Total(len));
        let write = self.write_source(&context, file.source, output);
        let resumed = context.dog.guard(write).await.unwrap_or_else(|stalled| Err(stalled.into()))?;
        Ok(GetReport::new(&context, cid, len, resumed))
    }

    async fn write_source(
        &self,
        context: &GetContext<'_>,
        source: FileSource,
        output: &mut dyn Output,
    ) -> Result<u64, GetError> {
        let (pack, offset, len) = match source {
            FileSource::Root(file) => return self.write_file(context, file, output).await,
            FileSource::Place(Place::Alone { cid, len, key }) => {
                let file = self.open_alone(context, cid, len, key.as_ref()).await?;
                return self.write_file(context, file, output).await;
            }
            FileSource::Place(Place::Nowhere) => {
                output.begin(0).await?;
                output.finish().await?;
                return Ok(0);
            }
            FileSource::Place(Place::Packed { pack, offset, len }) => (pack, u64::from(offset), u64::from(len)),
        };
        let parts = self.read_opened(context, place(&pack), offset..offset + len).await?;
        output.begin(len).await?;
        output.write(parts).await?;
        context.progress.event(ProgressEvent::Written(len));
        output.finish().await?;
        Ok(0)
    }

    /// Reads the manifest of a file that a folder names.
    pub(crate) async fn open_alone(
        &self,
        context: &GetContext<'_>,
        cid: Cid,
        len: u64,
        key: Option<&Key>,
    ) -> Result<Opened, GetError> {
        let manifest = self.manifest(context, cid).await?;
        let file = self.open_manifest(context, manifest, key).await?;
        let is_one = file.total_len() == len && !matches!(file, Opened::Folder(..));
        if is_one { Ok(file) } else { Err(GetError::WrongChunk { chunk: cid.0 }) }
    }

    async fn pack(&self, context: &GetContext<'_>, pack: &Pack) -> Result<Bytes, GetError> {
        Ok(join(self.fetch_opened(context, place(pack)).await?))
    }

    /// Fetches a folder that was found into `output`. Dropping the future leaves in `output` what was written so far.
    ///
    /// # Errors
    /// See [`GetError`]. `output` is finished only after the last byte was checked.
    pub async fn get_folder(
        &self,
        cid: Cid,
        folder: &NamedFolder,
        output: &mut dyn TreeOutput,
        progress: &dyn Progress,
    ) -> Result<(GetReport, u64), GetError> {
        let context = self.get_context(progress);
        let get = self.get_folder_guarded(&context, folder, output);
        let (entries, bytes, resumed) = context.dog.guard(get).await.unwrap_or_else(|stalled| Err(stalled.into()))?;
        Ok((GetReport::new(&context, cid, bytes, resumed), entries))
    }

    async fn get_folder_guarded(
        &self,
        context: &GetContext<'_>,
        folder: &NamedFolder,
        output: &mut dyn TreeOutput,
    ) -> Result<(u64, u64, u64), GetError> {
        let stated = folder.extent().map(|(_, bytes)| bytes);
        if let Some(bytes) = stated {
            context.progress.event(ProgressEvent::Total(bytes));
        }
        output.begin(stated).await?;
        let (entries, bytes, resumed_bytes) = Default::default();
        let (room, base, stated_bytes) = (Semaphore::new(ROOM_MIB as usize), folder.base.clone(), folder.most_bytes());
        let get = FolderGet { context, output, base, room, stated_bytes, entries, bytes, resumed_bytes };
        {
            let jobs = self.jobs(&get, FolderWalk::new(folder)).map_ok(|job| self.work(&get, job));
            let mut done = std::pin::pin!(jobs.try_buffer_unordered(JOBS_AT_ONCE));
            while done.try_next().await?.is_some() {}
        }
        let (entries, bytes) = (get.entries.into_inner(), get.bytes.into_inner());
        if stated.is_some_and(|stated| bytes != stated) {
            return Err(GetError::NotAsStated { stated: get.stated_bytes });
        }
        let resumed = get.resumed_bytes.into_inner();
        context.dog.pause(output.finish()).await?;
        Ok((entries, bytes, resumed))
    }

    /// What has to be fetched, in the order of the folder. Everything else is made as it comes.
    fn jobs<'a>(&'a self, get: &'a FolderGet<'a>, walk: FolderWalk) -> impl Stream<Item = Result<Job, GetError>> + 'a {
        let state = (walk, Vec::new(), None);
        stream::try_unfold(state, async |(mut walk, mut files, mut pack): (_, Vec<_>, Option<Pack>)| {
            loop {
                let Some(entry) = self.next_guarded(get.context, &mut walk).await? else {
                    let last = pack.take().map(|pack| (Job::Pack { pack, files }, (walk, Vec::new(), None)));
                    return Ok(last);
                };
                get.entries.fetch_add(1, Ordering::Relaxed);
                let before = get.bytes.fetch_add(entry.len(), Ordering::Relaxed);
                if before.checked_add(entry.len()).is_none_or(|bytes| bytes > get.stated_bytes) {
                    return Err(GetError::NotAsStated { stated: get.stated_bytes });
                }
                let path = get.place(&entry.path);
                let (executable, place) = match entry.what {
                    What::Folder => {
                        get.output.folder(&path).await?;
                        continue;
                    }
                    What::Link(target) => {
                        get.output.link(&path, target).await?;
                        continue;
                    }
                    What::File { executable, place } => (executable, place),
                };
                match place {
                    Place::Nowhere => {
                        get.output.small(vec![(SmallFile { path, executable, len: 0 }, Bytes::new())]).await?;
                    }
                    Place::Alone { cid, len, key } => {
                        let job = Job::Large { path, executable, cid, len, key };
                        return Ok(Some((job, (walk, files, pack))));
                    }
                    Place::Packed { pack: of, offset, len } => {
                        let before = pack.replace(of.clone()).filter(|before| *before != of);
                        let full = before.map(|pack| Job::Pack { pack, files: std::mem::take(&mut files) });
                        files.push((SmallFile { path, executable, len }, offset));
                        if let Some(job) = full {
                            return Ok(Some((job, (walk, files, pack))));
                        }
                    }
                }
            }
        })
    }

    async fn work(&self, get: &FolderGet<'_>, job: Job) -> Result<(), GetError> {
        match job {
            Job::Pack { pack, files } => {
                let mib = (pack.len >> 20) + 1;
                let _room = get.room.acquire_many(mib).await.expect("never closed");
                let path = files.first().map(|(file, _)| file.path.clone());
                let done = self.get_pack(get, pack, files).await;
                match path {
                    Some(path) => done.map_err(|error| within(path, error)),
                    None => done,
                }
            }
            Job::Large { path, executable, cid, len, key } => {
                let mib = (len >> 20) + 1;
                let mib = if mib > CHUNK_MIB { ROOM_MIB } else { u32::try_from(mib).unwrap_or(ROOM_MIB) };
                let _room = get.room.acquire_many(mib).await.expect("never closed");
                let get_it = async {
                    let mut output = get.output.large(&path, executable, len)?;
                    let source = FileSource::Place(Place::Alone { cid, len, key });
                    self.write_source(get.context, source, &mut *output).await
                };
                let resumed = get_it.await.map_err(|error| within(path.clone(), error))?;
                get.resumed_bytes.fetch_add(resumed, Ordering::Relaxed);
                Ok(())
            }
        }
    }

    async fn get_pack(&self, get: &FolderGet<'_>, pack: Pack, files: Vec<(SmallFile, u32)>) -> Result<(), GetError> {
        let len = files.iter().map(|(file, _)| u64::from(file.len)).sum();
        if self.has_pack(get, &pack, &files).await? {
            get.resumed_bytes.fetch_add(len, Ordering::Relaxed);
            get.context.progress.event(ProgressEvent::Resumed(len));
            return Ok(());
        }
        let bytes = self.pack(get.context, &pack).await?;
        let of = |(file, offset): (SmallFile, u32)| {
            let (start, len) = (offset as usize, file.len as usize);
            (file, bytes.slice(start..start + len))
        };
        get.output.small(files.into_iter().map(of).collect()).await?;
        get.context.dog.feed();
        get.context.progress.event(ProgressEvent::Written(len));
        Ok(())
    }

    /// Whether an earlier run left all files of a pack as they should be.
    async fn has_pack(&self, get: &FolderGet<'_>, pack: &Pack, files: &[(SmallFile, u32)]) -> Result<bool, GetError> {
        let mut end = 0;
        for (file, offset) in files {
            if *offset != end {
                return Ok(false);
            }
            end += file.len;
        }
        if end != pack.len {
            return Ok(false);
        }
        let files = files.iter().map(|(file, _)| file.clone()).collect();
        let Some(bytes) = get.output.existing(files).await? else { return Ok(false) };
        self.is_opened(get.context, place(pack), bytes).await
    }
}

fn place(pack: &Pack) -> opened::Place {
    opened::Place::alone(pack.chunk, pack.len as usize, pack.key.clone())
}

fn within(path: EntryPath, error: GetError) -> GetError {
    GetError::Within { path, error: Box::new(error) }
}
