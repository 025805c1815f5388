//! `put`: a file to a CID. Chunks are read in order, a few of them coded and placed at once, their ids collected into the
//! list, the list into the root chunk. Exit 0 of the command means: every chunk reached the rule of `place`, its locator
//! is kept, and the farmers know that the upload is complete. Interrupted, it goes on where it was: what farmers hold is
//! found again and not sent twice.

use std::{collections::BTreeSet, sync::Arc};

use bytes::{Bytes, BytesMut};
use dsn_core::{
    chunk::Layout,
    cid::Cid,
    cutter::Cutter,
    descriptor::Code,
    erasure::{EncodedChunk, encode},
    limits::{CDC_MIN_BYTES, OFFER_MAX_CHUNKS},
    manifest::{ChunkList, Manifest, TooLongError, level_for},
    node_id::NodeId,
    ports::compute,
    redundancy::must_vanish,
    rpc::{Commit, OwnerProof, PutId},
    seal::Key,
    sealed::REF_BYTES,
    uneven,
};
use futures::{StreamExt, TryStreamExt, stream};
use tokio::sync::OnceCell;

use crate::{
    batch::Batcher,
    client::Client,
    cutting::{Cut, Cutting},
    error::PutError,
    input::{Input, InputError, MemoryInput},
    opened::fits_memory,
    options::{Chunking, Privacy, PutOptions, Safety},
    progress::{Progress, ProgressEvent},
    room::Whole,
    upload::{PutContext, StoredChunk},
    watchdog::Watchdog,
};

/// How often a file is gone through when farmers vanish after chunks on them were finished: what is still there is found
/// and not sent again, what was lost goes to the farmers that are left.
pub(crate) const PASSES: usize = 3;

/// What a put has reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutReport {
    /// The file's name from now on.
    pub cid: Cid,
    /// Bytes of the file.
    pub bytes: u64,
    /// Its chunks, manifests included.
    pub chunks: u64,
    /// Pieces on farmers.
    pub pieces: u64,
    /// Bytes of those.
    pub stored_bytes: u64,
    /// Farmers that hold them.
    pub farmers: usize,
    /// Farmers that may vanish, whichever they are, before a chunk cannot be read.
    pub may_vanish: usize,
    /// Chunks of which nothing had to be sent.
    pub resumed_chunks: u64,
    /// Bytes of the file, or of the folder's files, of which nothing had to be sent.
    pub resumed_bytes: u64,
    /// Bytes of pieces sent.
    pub wire_bytes: u64,
    /// Entries of a folder; none for a file.
    pub entries: Option<u64>,
    /// What opens it, when it is sealed: with the CID its read capability.
    pub key: Option<Key>,
}

/// A file or folder whose root chunk is stored.
pub(crate) struct Root {
    pub(crate) cid: Cid,
    pub(crate) key: Option<Key>,
    /// Bytes of the file, or of all files.
    pub(crate) len: u64,
}

/// Bytes of a file: stored as they are, or sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum As {
    Plain,
    Sealed,
}

/// What has been stored of a content.
#[derive(Default)]
pub(crate) struct StoredContent {
    /// The raw ids of its chunks.
    pub(crate) ids: Vec<u8>,
    /// Of each, when it is sealed.
    pub(crate) keys: Vec<Key>,
    /// Of each, its bytes.
    pub(crate) lens: Vec<u64>,
    /// All its bytes.
    pub(crate) len: u64,
}

/// What the chunks of a put come to.
#[derive(Default)]
pub(crate) struct Totals {
    pub(crate) chunks: u64,
    pieces: u64,
    stored_bytes: u64,
    sent_bytes: u64,
    resumed_chunks: u64,
    resumed_bytes: u64,
    may_vanish: Option<usize>,
    holders: BTreeSet<NodeId>,
}

impl Totals {
    pub(crate) fn add(&mut self, stored: StoredChunk) {
        self.chunks += 1;
        self.pieces += stored.pieces as u64;
        self.stored_bytes += stored.stored_bytes;
        self.sent_bytes += stored.sent_bytes;
        self.resumed_chunks += u64::from(stored.sent_bytes == 0);
        self.bears(stored.may_vanish);
        self.holders.extend(stored.holders);
    }

    /// Adds bytes of a file that were confirmed, by the chunk that has them.
    pub(crate) fn add_content(&mut self, len: u64, stored: StoredChunk) {
        self.resumed_bytes += if stored.sent_bytes == 0 { len } else { 0 };
        self.add(stored);
    }

    /// Adds those of another part.
    pub(crate) fn join(&mut self, other: Self) {
        self.chunks += other.chunks;
        self.pieces += other.pieces;
        self.stored_bytes += other.stored_bytes;
        self.sent_bytes += other.sent_bytes;
        self.resumed_chunks += other.resumed_chunks;
        self.resumed_bytes += other.resumed_bytes;
        other.may_vanish.into_iter().for_each(|may_vanish| self.bears(may_vanish));
        self.holders.extend(other.holders);
    }

    fn bears(&mut self, may_vanish: usize) {
        self.may_vanish = Some(self.may_vanish.map_or(may_vanish, |least| least.min(may_vanish)));
    }
}

impl Client {
    /// Stores what `input` gives and names it. Dropping the future keeps what is stored so far.
    ///
    /// # Errors
    /// See [`PutError`]; chunks finished before the error stay published.
    pub async fn put(
        &self,
        input: &mut dyn Input,
        options: PutOptions,
        progress: &dyn Progress,
    ) -> Result<PutReport, PutError> {
        let mut pass = 1;
        loop {
            match self.put_once(input, options.clone(), progress).await {
                Err(PutError::NotCommitted { .. }) if pass < PASSES && input.rewind()? => pass += 1,
                done => return done,
            }
        }
    }

    async fn put_once(
        &self,
        input: &mut dyn Input,
        options: PutOptions,
        progress: &dyn Progress,
    ) -> Result<PutReport, PutError> {
        let whole = input.size().map(|bytes| Whole { bytes, largest: Vec::new() });
        let context = PutContext { whole, ..self.put_context(options, progress).await? };
        let put = self.put_guarded(&context, input);
        context.dog.guard(put).await.unwrap_or_else(|s| Err(PutError::Stalled { secs: s.secs, doing: s.doing }))
    }

    /// Finds farmers for a put.
    pub(crate) async fn put_context<'a>(
        &self,
        options: PutOptions,
        progress: &'a dyn Progress,
    ) -> Result<PutContext<'a>, PutError> {
        let dog = Watchdog::new(self.options.stall_after);
        let directory = self.directory(&dog).await.map_err(|error| PutError::NoFarmers(Some(error)))?;
        let farmers = directory.answering().len();
        let need = if options.safety == Safety::Waived { 1 } else { 2 };
        if farmers == 0 {
            return Err(PutError::NoFarmers(dog.why()));
        }
        if farmers < need {
            return Err(PutError::TooFewFarmers { have: farmers, need });
        }
        let mut put_id = PutId([0; 16]);
        self.parts.environment.fill_random(&mut put_id.0);
        let owner = OwnerProof::sign(&self.parts.owner, put_id, self.network().local_id());
        let (offers, cut) = (Batcher::new(OFFER_MAX_CHUNKS), self.cut(&options));
        let (directory, has_room) = (Arc::new(directory), OnceCell::new());
        Ok(PutContext { put_id, owner, options, cut, directory, whole: None, has_room, offers, progress, dog })
    }

    fn cut(&self, options: &PutOptions) -> Cut {
        match (options.chunking, &options.privacy) {
            (Chunking::Fixed, Privacy::Public) => Cut::PLAIN,
            (Chunking::Fixed, Privacy::Sealed(_) | Privacy::SealedAtRandom) => Cut::SEALED,
            (Chunking::ByContent, Privacy::Public) => Cut::Content(Cutter::public()),
            (Chunking::ByContent, Privacy::Sealed(secret)) => Cut::Content(Cutter::seeded(secret.cut_seed())),
            (Chunking::ByContent, Privacy::SealedAtRandom) => {
                let mut seed = [0; 8];
                self.parts.environment.fill_random(&mut seed);
                Cut::Content(Cutter::seeded(u64::from_le_bytes(seed)))
            }
        }
    }

    async fn put_guarded(&self, context: &PutContext<'_>, input: &mut dyn Input) -> Result<PutReport, PutError> {
        if let Some(size) = input.size() {
            context.progress.event(ProgressEvent::Total(size));
            check_len(size, context.options.chunking)?;
        }
        let mut totals = Totals::default();
        let root = self.put_file(context, input, &mut totals).await?;
        self.finish_put(context, root, totals).await
    }

    /// Stores a file without its end of the upload.
    pub(crate) async fn put_file(
        &self,
        context: &PutContext<'_>,
        input: &mut dyn Input,
        totals: &mut Totals,
    ) -> Result<Root, PutError> {
        if context.is_sealed() {
            return self.put_sealed_file(context, input, totals).await;
        }
        let mut cutting = Cutting::begin(&context.dog, input, context.cut).await?;
        let (manifest, len) = if let Some(short) = cutting.short()? {
            let len = short.len() as u64;
            (Manifest::Inline(short.freeze()), len)
        } else {
            let stored = self.put_content(context, As::Plain, &mut cutting, totals).await?;
            let len = stored.len;
            (self.put_list(context, stored, totals).await?, len)
        };
        Ok(Root { cid: self.put_root(context, &manifest, totals).await?, key: None, len })
    }

    /// Stores a manifest; gives the name of the file or folder.
    pub(crate) async fn put_root(
        &self,
        context: &PutContext<'_>,
        manifest: &Manifest,
        totals: &mut Totals,
    ) -> Result<Cid, PutError> {
        let root = self.encode(context, Code::Rep, BytesMut::from(&manifest.encode()[..])).await;
        let root = self.store_chunk(context, root, totals.chunks + 1).await?;
        let cid = Cid(root.chunk);
        totals.add(root);
        Ok(cid)
    }

    /// Tells all holders that the put is complete.
    pub(crate) async fn finish_put(
        &self,
        context: &PutContext<'_>,
        Root { cid, key, len: bytes }: Root,
        totals: Totals,
    ) -> Result<PutReport, PutError> {
        let may_vanish = self.commit(context, cid, &totals).await?;
        Ok(PutReport {
            cid,
            bytes,
            chunks: totals.chunks,
            pieces: totals.pieces,
            stored_bytes: totals.stored_bytes,
            farmers: totals.holders.len(),
            may_vanish,
            resumed_chunks: totals.resumed_chunks,
            resumed_bytes: totals.resumed_bytes,
            wire_bytes: totals.sent_bytes,
            entries: None,
            key,
        })
    }

    /// Stores a content of any length.
    pub(crate) async fn put_content(
        &self,
        context: &PutContext<'_>,
        how: As,
        cutting: &mut Cutting<'_>,
        totals: &mut Totals,
    ) -> Result<StoredContent, PutError> {
        let start = totals.chunks;
        let mut content = StoredContent::default();
        {
            let chunks = stream::try_unfold(&mut *cutting, async |cutting| {
                let chunk = cutting.next(&context.dog, &*self.parts.compute).await?;
                Ok::<_, PutError>(chunk.map(|chunk| (chunk, cutting)))
            });
            let numbered = chunks.enumerate().map(|(i, chunk)| chunk.map(|chunk| (start + i as u64 + 1, chunk)));
            let stored = numbered.map_ok(|(number, chunk)| self.put_data_chunk(context, how, number, chunk));
            let mut stored = std::pin::pin!(stored.try_buffered(self.options.put_chunks_in_flight));
            while let Some((stored, len, key)) = stored.try_next().await? {
                content.ids.extend_from_slice(stored.chunk.as_bytes());
                content.keys.extend(key);
                content.lens.push(len);
                content.len += len;
                totals.add_content(len, stored);
            }
        }
        cutting.finish()?;
        Ok(content)
    }

    async fn put_data_chunk(
        &self,
        context: &PutContext<'_>,
        how: As,
        number: u64,
        chunk: BytesMut,
    ) -> Result<(StoredChunk, u64, Option<Key>), PutError> {
        let len = chunk.len() as u64;
        let (encoded, key) = match how {
            As::Plain => (self.encode(context, Code::Rs16Of48, chunk).await, None),
            As::Sealed => self.encode_sealed(context, chunk).await,
        };
        context.progress.event(ProgressEvent::Encoded(len));
        self.check_room(context, encoded.descriptor.id()).await?;
        let stored = self.store_chunk(context, encoded, number).await?;
        context.confirm(len, &stored);
        Ok((stored, len, key))
    }

    pub(crate) async fn encode(&self, context: &PutContext<'_>, code: Code, chunk: BytesMut) -> EncodedChunk {
        let encoded = compute(&*self.parts.compute, move || encode(code, chunk)).await;
        context.dog.feed();
        encoded
    }

    /// A list names the chunks; when it is too long, what names them is itself a content.
    async fn put_list(
        &self,
        context: &PutContext<'_>,
        stored: StoredContent,
        totals: &mut Totals,
    ) -> Result<Manifest, PutError> {
        if context.options.chunking == Chunking::ByContent {
            return Ok(Manifest::Uneven(self.put_uneven_list(context, stored, totals).await?));
        }
        check_len(stored.len, Chunking::Fixed)?;
        let level = level_for(stored.len)?;
        let mut ids = Bytes::from(stored.ids);
        for _ in 0..level {
            ids = Box::pin(self.put_part(context, ids, totals)).await?.into();
        }
        debug_assert_eq!(ids.len() as u64 % 32, 0);
        Ok(Manifest::List(ChunkList::new(level, stored.len, ids)))
    }

    /// Stores bytes that a manifest has no room for; gives the raw ids of their chunks.
    pub(crate) async fn put_part(
        &self,
        context: &PutContext<'_>,
        bytes: Bytes,
        totals: &mut Totals,
    ) -> Result<Vec<u8>, PutError> {
        let mut input = MemoryInput::new(bytes);
        let mut cutting = Cutting::begin(&context.dog, &mut input, Cut::PLAIN).await?;
        Ok(self.put_content(context, As::Plain, &mut cutting, totals).await?.ids)
    }

    /// Tells every holder that the upload is complete. Says how many farmers may vanish: those that did not confirm may
    /// drop their pieces after a day, so they count as gone.
    async fn commit(&self, context: &PutContext<'_>, root: Cid, totals: &Totals) -> Result<usize, PutError> {
        let leases = vec![self.lease(root, context.options.ttl).into_signed()];
        let commit = Commit { put_id: context.put_id, owner: context.owner, root, leases };
        let asked = totals.holders.iter().map(|farmer| self.commit_at(*farmer, commit.clone(), &context.dog));
        let answers = futures::future::join_all(asked).await;
        context.dog.feed();
        let (farmers, confirmed) = (answers.len(), answers.iter().filter(|confirmed| **confirmed).count());
        let vanish = totals.may_vanish.unwrap_or(0);
        let left = vanish.checked_sub(farmers - confirmed);
        let needed = if context.options.safety == Safety::Waived { 0 } else { must_vanish(farmers) };
        left.filter(|left| *left >= needed).ok_or(PutError::NotCommitted { confirmed, farmers })
    }
}

/// Whether a manifest can name a file of so many bytes, however it is cut, and its readers can hold these names.
fn check_len(total_len: u64, chunking: Chunking) -> Result<(), TooLongError> {
    let names_bytes = match chunking {
        Chunking::Fixed => level_for(total_len).map(|_| Layout::sealed(total_len).count() * REF_BYTES as u64)?,
        Chunking::ByContent => {
            uneven::check_total(total_len)?;
            total_len.div_ceil(CDC_MIN_BYTES as u64) * uneven::ROW_BYTES as u64
        }
    };
    if fits_memory(names_bytes) { Ok(()) } else { Err(TooLongError { total_len }) }
}

impl From<InputError> for PutError {
    fn from(error: InputError) -> Self {
        Self::Input(error)
    }
}
