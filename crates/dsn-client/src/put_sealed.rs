//! `put` of what only its owner is to read: chunks are sealed before they are coded, their keys and all names go into a
//! sealed body, and the manifest says in clear what finding, auditing and repairing needs.

use bytes::{Bytes, BytesMut};
use dsn_core::{
    descriptor::Code,
    erasure::{EncodedChunk, encode},
    limits::{INLINE_MAX_BYTES, SEALED_CHUNK_BYTES},
    manifest::{Manifest, ids},
    ports::compute,
    seal::{Key, seal},
    sealed::{Part, REF_BYTES, Sealed, SealedBody, in_chunks, reference},
};

use crate::{
    client::Client,
    error::PutError,
    input::Input,
    options::Privacy,
    put::{As, Root, Totals},
    upload::PutContext,
};

impl Client {
    /// Stores a file sealed, without its end of the upload.
    pub(crate) async fn put_sealed_file(
        &self,
        context: &PutContext<'_>,
        input: &mut dyn Input,
        totals: &mut Totals,
    ) -> Result<Root, PutError> {
        let first = context.dog.pause(input.read_chunk(SEALED_CHUNK_BYTES)).await?;
        if first.len() <= INLINE_MAX_BYTES {
            input.finish()?;
            let len = first.len() as u64;
            return self.put_sealed(context, len, &SealedBody::Inline(first.freeze()), Vec::new(), totals).await;
        }
        let stored = self.put_content(context, As::Sealed, input, first, totals).await?;
        let refs = ids(&stored.ids).flat_map(|chunk| reference(Code::Rs16Of48, chunk)).collect();
        self.put_sealed(context, stored.len, &SealedBody::Keys(stored.keys), refs, totals).await
    }

    /// Seals a body and stores the manifest with it, and what is too long for that.
    pub(crate) async fn put_sealed(
        &self,
        context: &PutContext<'_>,
        total_len: u64,
        body: &SealedBody,
        refs: Vec<u8>,
        totals: &mut Totals,
    ) -> Result<Root, PutError> {
        let plaintext = body.encode();
        let key = match &context.options.privacy {
            Privacy::Sealed(secret) => secret.file_key(&plaintext),
            Privacy::Public | Privacy::SealedAtRandom => self.random_key(),
        };
        let sealing = key.clone();
        let body = compute(&*self.parts.compute, move || seal(&sealing, &plaintext)).await.freeze();
        let (chunks, body_len) = ((refs.len() / REF_BYTES) as u64, body.len() as u64);
        let [refs_out, body_out] = in_chunks(refs.len(), body.len());
        let refs = self.sealed_part(context, refs.into(), refs_out, totals).await?;
        let body = self.sealed_part(context, body, body_out, totals).await?;
        let manifest = Sealed { total_len, commitment: key.commitment(), chunks, refs, body_len, body };
        let cid = self.put_root(context, &Manifest::Sealed(manifest), totals).await?;
        Ok(Root { cid, key: Some(key), len: total_len })
    }

    async fn sealed_part(
        &self,
        context: &PutContext<'_>,
        bytes: Bytes,
        is_in_chunks: bool,
        totals: &mut Totals,
    ) -> Result<Part, PutError> {
        if !is_in_chunks {
            return Ok(Part::Here(bytes));
        }
        Ok(Part::Chunks(self.put_part(context, bytes, totals).await?.into()))
    }

    /// Codes a chunk, sealed if what is put is.
    pub(crate) async fn encode_private(
        &self,
        context: &PutContext<'_>,
        chunk: BytesMut,
    ) -> (EncodedChunk, Option<Key>) {
        if context.is_sealed() {
            return self.encode_sealed(context, chunk).await;
        }
        (self.encode(context, Code::Rs16Of48, chunk).await, None)
    }

    /// Seals and codes a chunk.
    pub(crate) async fn encode_sealed(
        &self,
        context: &PutContext<'_>,
        plaintext: BytesMut,
    ) -> (EncodedChunk, Option<Key>) {
        let privacy = context.options.privacy.clone();
        let drawn = self.random_key();
        let work = move || {
            let key = match privacy {
                Privacy::Sealed(secret) => secret.chunk_key(&plaintext),
                Privacy::Public | Privacy::SealedAtRandom => drawn,
            };
            (encode(Code::Rs16Of48, seal(&key, &plaintext)), Some(key))
        };
        let encoded = compute(&*self.parts.compute, work).await;
        context.dog.feed();
        encoded
    }

    fn random_key(&self) -> Key {
        let mut bytes = [0; 32];
        self.parts.environment.fill_random(&mut bytes);
        Key::new(bytes)
    }
}
