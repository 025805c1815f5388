//! Whether the network has room for all that is put, asked once and before anything is sent: a folder of a thousand files is
//! not refused at the last one. What is there already needs none, and how much that is shows only as it goes on: when room is
//! short, what was put before, or most of it, is known by its first chunk or by its largest files.

use dsn_core::{chunk::Layout, descriptor::Code, hash::ChunkId, redundancy::target};

use crate::{
    client::Client, custodians::Effort, cutting::Cutting, error::PutError, options::Privacy, tree::Source,
    upload::PutContext,
};

/// What is put.
#[derive(Clone, Debug, Default)]
pub(crate) struct Whole {
    /// Bytes of all files.
    pub(crate) bytes: u64,
    /// A folder's largest files: when any is on the network, this is a folder of which something was put before.
    pub(crate) largest: Vec<Source>,
}

impl Client {
    /// Says before the upload that the network is too full for it. `first` is the first chunk that was coded; whoever codes
    /// another one waits for the same answer.
    pub(crate) async fn check_room(&self, context: &PutContext<'_>, first: ChunkId) -> Result<(), PutError> {
        let Some(whole) = &context.whole else { return Ok(()) };
        context.has_room.get_or_try_init(|| self.find_room(context, whole, first)).await.copied()
    }

    async fn find_room(&self, context: &PutContext<'_>, whole: &Whole, first: ChunkId) -> Result<(), PutError> {
        let place = target(Code::Rs16Of48, context.options.class, context.directory.with_room().len()).place;
        let layout = Layout::even(whole.bytes);
        let piece_bytes = |index| Code::Rs16Of48.piece_len(layout.chunk_len(index)) as u64;
        let last = layout.count().saturating_sub(1);
        let needs = (last.saturating_mul(piece_bytes(0)) + piece_bytes(last)).saturating_mul(place as u64);
        let offers = context.directory.free_bytes();
        if needs <= offers || self.is_there(context, first).await? {
            return Ok(());
        }
        // With keys at random nothing is ever there.
        let looks = if matches!(context.options.privacy, Privacy::SealedAtRandom) { &[] } else { &whole.largest[..] };
        for source in looks {
            let mut input = source.open()?;
            let mut cutting = Cutting::begin(&context.dog, &mut *input, context.cut).await?;
            let Some(chunk) = cutting.next(&context.dog, &*self.parts.compute).await? else { continue };
            let (encoded, _) = self.encode_private(context, chunk).await;
            if self.is_there(context, encoded.descriptor.id()).await? {
                return Ok(());
            }
        }
        Err(PutError::NeedsSpace { needs, offers })
    }

    async fn is_there(&self, context: &PutContext<'_>, chunk: ChunkId) -> Result<bool, PutError> {
        Ok(self.locate(chunk, Effort::Quick, &context.dog).await?.locator.is_some())
    }
}
