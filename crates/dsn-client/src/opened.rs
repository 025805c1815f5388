//! Manifests and chunks as their owner sees them: what is sealed is opened here, with the key that the manifest has
//! committed to. Everything above reads plaintext and does not ask whether it was sealed.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use dsn_core::{
    chunk::Layout,
    descriptor::{Code, Descriptor},
    erasure::is_chunk,
    folder::{Folder, Secrecy},
    hash::ChunkId,
    limits::SEALED_FRAME_BYTES,
    manifest::{ChunkList, Manifest, ManifestError},
    ports::compute,
    seal::{FRAME_BYTES, Key, open, open_frames, seal, sealed_len},
    sealed::{Part, Sealed, SealedBody, references},
    uneven::{Stretch, UnevenList},
};
use futures::TryStreamExt;

use crate::{
    client::Client,
    custodians::Effort,
    download::{GetContext, Wanted},
    error::GetError,
    get::join,
    seed::Guess,
};

/// Bytes of memory that the names of one file's chunks may take: those of more than 100 TiB, of uneven chunks 6 TiB at least.
/// A manifest is short and can claim a hundred times as many, of chunks that are all the same one.
const NAMES_MAX_BYTES: u64 = 256 * 1024 * 1024;

/// Whether names of so many bytes may be held in memory.
pub(crate) fn fits_memory(names_bytes: u64) -> bool {
    names_bytes <= NAMES_MAX_BYTES
}

/// The same for a reader, before the names are fetched.
pub(crate) fn check_names(names_bytes: u64) -> Result<(), GetError> {
    if fits_memory(names_bytes) { Ok(()) } else { Err(GetError::TooManyNames { bytes: names_bytes }) }
}

/// A manifest as its owner sees it.
#[derive(Clone, Debug)]
pub(crate) enum Opened {
    Inline(Bytes),
    /// A public file whose ids may be in chunks of their own.
    List(ChunkList),
    /// The same of one in uneven chunks.
    Uneven(UnevenList),
    /// A sealed file.
    Content(Content),
    Folder(Folder, Secrecy),
}

/// The chunks of a file, or some of them, and how to read them.
#[derive(Clone, Debug)]
pub(crate) struct Content {
    pub(crate) ids: Arc<[ChunkId]>,
    /// Of each chunk of the file, when it is sealed.
    pub(crate) keys: Option<Arc<[Key]>>,
    /// The number of the first.
    pub(crate) first: u64,
    /// Where they are in the file.
    pub(crate) layout: Layout,
}

/// One chunk as its place asks for it.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) chunk: ChunkId,
    /// Its plaintext bytes.
    pub(crate) len: usize,
    pub(crate) key: Option<Key>,
    /// Its place in the file, from 1.
    pub(crate) number: u64,
    /// Chunks of the file.
    pub(crate) of: u64,
}

impl Opened {
    /// Bytes of the file, or of all files.
    pub(crate) fn total_len(&self) -> u64 {
        match self {
            Self::Inline(bytes) => bytes.len() as u64,
            Self::List(list) => list.total_len(),
            Self::Uneven(list) => list.total_len(),
            Self::Content(content) => content.layout.total(),
            Self::Folder(folder, _) => folder.total_len,
        }
    }
}

impl Content {
    /// The chunks of a public file of one size.
    pub(crate) fn public(ids: Vec<ChunkId>, first: u64, total: u64) -> Self {
        Self { ids: ids.into(), keys: None, first, layout: Layout::even(total) }
    }

    /// The chunks from this number on.
    pub(crate) fn places(&self, from: u64) -> impl Iterator<Item = (u64, Place)> + Send + use<> {
        let content = self.clone();
        let known = content.first..content.first + content.ids.len() as u64;
        (from.max(known.start)..known.end).map(move |index| (index, content.place(index)))
    }

    fn place(&self, index: u64) -> Place {
        let nth = usize::try_from(index - self.first).expect("within memory");
        let key = self.keys.as_ref().map(|keys| keys[nth].clone());
        let (len, of) = (self.layout.chunk_len(index), self.layout.count());
        Place { chunk: self.ids[nth], len, key, number: index + 1, of }
    }
}

/// Chunks of a public file whose manifest says how long they are.
impl From<Stretch> for Content {
    fn from(Stretch { ids, first, layout }: Stretch) -> Self {
        Self { ids: ids.into(), keys: None, first, layout }
    }
}

impl Place {
    /// A chunk that is not one of a file.
    pub(crate) fn alone(chunk: ChunkId, len: usize, key: Option<Key>) -> Self {
        Self { chunk, len, key, number: 1, of: 1 }
    }

    /// As it is stored.
    pub(crate) fn wanted(&self) -> Wanted {
        let len = if self.key.is_some() { sealed_len(self.len) } else { self.len };
        Wanted { chunk: self.chunk, code: Code::Rs16Of48, len: Some(len), number: self.number, of: self.of }
    }
}

pub(crate) fn malformed(error: dsn_core::wire::WireError) -> GetError {
    GetError::Manifest(ManifestError(error))
}

impl Client {
    /// Reads a manifest, with its key when it is sealed.
    pub(crate) async fn open_manifest(
        &self,
        context: &GetContext<'_>,
        manifest: Manifest,
        key: Option<&Key>,
    ) -> Result<Opened, GetError> {
        match (manifest, key) {
            (Manifest::Inline(bytes), None) => Ok(Opened::Inline(bytes)),
            (Manifest::List(list), None) => Ok(Opened::List(list)),
            (Manifest::Uneven(list), None) => Ok(Opened::Uneven(list)),
            (Manifest::Folder(folder), None) => Ok(Opened::Folder(folder, Secrecy::Public)),
            (Manifest::Sealed(_), None) => Err(GetError::KeyNeeded),
            (Manifest::Sealed(sealed), Some(key)) if sealed.commitment == key.commitment() => {
                self.open_sealed(context, sealed, key).await
            }
            (_, Some(_)) => Err(GetError::WrongKey),
        }
    }

    async fn open_sealed(&self, context: &GetContext<'_>, sealed: Sealed, key: &Key) -> Result<Opened, GetError> {
        let body = self.part(context, &sealed.body, sealed.body_len).await?;
        let opened = open(key, &body).map_err(|_| GetError::Sealed)?.freeze();
        match SealedBody::decode(&sealed, &opened).map_err(malformed)? {
            SealedBody::Inline(bytes) => Ok(Opened::Inline(bytes)),
            SealedBody::Folder(folder) => Ok(Opened::Folder(folder, Secrecy::Sealed)),
            SealedBody::Keys(keys) => {
                let layout = Layout::sealed(sealed.total_len);
                self.sealed_content(context, &sealed, keys, layout).await
            }
            SealedBody::Uneven(chunks) => {
                let (keys, lens): (Vec<Key>, Vec<u64>) = chunks.into_iter().unzip();
                self.sealed_content(context, &sealed, keys, Layout::uneven(lens)).await
            }
        }
    }

    async fn sealed_content(
        &self,
        context: &GetContext<'_>,
        sealed: &Sealed,
        keys: Vec<Key>,
        layout: Layout,
    ) -> Result<Opened, GetError> {
        let refs = self.refs(context, sealed).await?;
        let is_data = |(chunk, code): (ChunkId, Code)| (code == Code::Rs16Of48).then_some(chunk);
        let ids: Option<Vec<ChunkId>> = refs.into_iter().map(is_data).collect();
        let ids = ids.ok_or_else(|| malformed(dsn_core::wire::WireError::Field { field: "refs" }))?;
        Ok(Opened::Content(Content { ids: ids.into(), keys: Some(keys.into()), first: 0, layout }))
    }

    /// The chunks that a sealed manifest names.
    pub(crate) async fn refs(
        &self,
        context: &GetContext<'_>,
        sealed: &Sealed,
    ) -> Result<Vec<(ChunkId, Code)>, GetError> {
        let raw = self.part(context, &sealed.refs, sealed.refs_len()).await?;
        references(&raw).map_err(malformed)
    }

    /// Bytes that are in a manifest, or in chunks that it names.
    async fn part(&self, context: &GetContext<'_>, part: &Part, len: u64) -> Result<Bytes, GetError> {
        match part {
            Part::Here(bytes) => Ok(bytes.clone()),
            Part::Chunks(_) => {
                check_names(len)?;
                let content = Content::public(part.chunks(), 0, len);
                let parts: Vec<Vec<Bytes>> = self.contents(context, &content, 0).try_collect().await?;
                Ok(join(parts.into_iter().flatten().collect()))
            }
        }
    }

    /// Fetches a chunk and opens it.
    pub(crate) async fn fetch_opened(&self, context: &GetContext<'_>, place: Place) -> Result<Vec<Bytes>, GetError> {
        let parts = self.fetch_chunk(context, place.wanted()).await?;
        let Some(key) = place.key else { return Ok(parts) };
        let opened = compute(&*self.parts.compute, move || open(&key, &join(parts)));
        Ok(vec![opened.await.map_err(|_| GetError::Sealed)?.freeze()])
    }

    /// Reads some bytes of a chunk: of a sealed one, the frames that have them.
    pub(crate) async fn read_opened(
        &self,
        context: &GetContext<'_>,
        place: Place,
        range: Range<u64>,
    ) -> Result<Vec<Bytes>, GetError> {
        let wanted = place.wanted();
        let Some(key) = place.key else { return self.read_within(context, wanted, range).await };
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let stored_len = sealed_len(place.len);
        let first = range.start / SEALED_FRAME_BYTES as u64;
        let last = (range.end - 1) / SEALED_FRAME_BYTES as u64;
        let frames = first * FRAME_BYTES as u64..((last + 1) * FRAME_BYTES as u64).min(stored_len as u64);
        let sealed = self.read_within(context, wanted, frames).await?;
        let nth = usize::try_from(first).expect("a chunk has few frames");
        let opened = compute(&*self.parts.compute, move || open_frames(&key, stored_len, nth, &join(sealed))).await;
        let opened = opened.map_err(|_| GetError::Sealed)?.freeze();
        let skipped = usize::try_from(range.start - first * SEALED_FRAME_BYTES as u64).expect("less than a frame");
        let len = usize::try_from(range.end - range.start).expect("at most a chunk");
        opened.get(skipped..skipped + len).map(|_| vec![opened.slice(skipped..skipped + len)]).ok_or(GetError::Sealed)
    }

    /// Whether these bytes, sealed if it is, are a chunk: without fetching it.
    pub(crate) async fn is_opened(
        &self,
        context: &GetContext<'_>,
        place: Place,
        plaintext: Bytes,
    ) -> Result<bool, GetError> {
        let locator = self.find(context, place.wanted(), &[Effort::All, Effort::LookUp]).await?;
        Ok(self.is_of(locator.descriptor(), place.key, plaintext).await)
    }

    async fn is_of(&self, descriptor: &Descriptor, key: Option<Key>, plaintext: Bytes) -> bool {
        let descriptor = descriptor.clone();
        let work = move || match &key {
            Some(key) => is_chunk(&descriptor, &seal(key, &plaintext)),
            None => is_chunk(&descriptor, &plaintext),
        };
        compute(&*self.parts.compute, work).await
    }

    /// A chunk as it is found at the first of these places that has it; none when none has.
    pub(crate) async fn take_opened(
        &self,
        context: &GetContext<'_>,
        place: &Place,
        guesses: Vec<Guess>,
    ) -> Result<Option<Bytes>, GetError> {
        if guesses.is_empty() {
            return Ok(None);
        }
        let locator = self.find(context, place.wanted(), &[Effort::All, Effort::LookUp]).await?;
        for guess in guesses {
            let Some(bytes) = guess.read(place.len).await else { continue };
            if self.is_of(locator.descriptor(), place.key.clone(), bytes.clone()).await {
                context.dog.feed();
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }
}
