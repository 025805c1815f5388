//! A put's input in chunks: of one size, or cut where the content says. Where it is cut follows from the bytes alone, not
//! from how they could be read. At most one chunk of the longest kind is in memory here.

use bytes::{Buf, BytesMut};
use dsn_core::{
    cutter::Cutter,
    limits::{CDC_MAX_BYTES, CHUNK_MAX_BYTES, INLINE_MAX_BYTES, SEALED_CHUNK_BYTES},
    ports::{Compute, compute},
};

use crate::{error::PutError, input::Input, watchdog::Watchdog};

/// Where to cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// After so many bytes.
    Every(usize),
    /// Where the content says.
    Content(Cutter),
}

impl Cut {
    /// Into chunks of one size.
    pub(crate) const PLAIN: Self = Self::Every(CHUNK_MAX_BYTES);

    /// The same of what will be sealed.
    pub(crate) const SEALED: Self = Self::Every(SEALED_CHUNK_BYTES);

    fn max(self) -> usize {
        match self {
            Self::Every(len) => len,
            Self::Content(_) => CDC_MAX_BYTES,
        }
    }
}

/// What is left of an input.
pub(crate) struct Cutting<'a> {
    input: &'a mut dyn Input,
    cut: Cut,
    /// Read and not yet cut.
    read: BytesMut,
    has_ended: bool,
}

impl<'a> Cutting<'a> {
    /// Reads the beginning.
    pub(crate) async fn begin(dog: &Watchdog, input: &'a mut dyn Input, cut: Cut) -> Result<Self, PutError> {
        let mut cutting = Self { input, cut, read: BytesMut::new(), has_ended: false };
        cutting.fill(dog).await?;
        Ok(cutting)
    }

    /// All of it, when it is short enough to be in a manifest.
    pub(crate) fn short(&mut self) -> Result<Option<BytesMut>, PutError> {
        if self.read.len() > INLINE_MAX_BYTES {
            return Ok(None);
        }
        self.finish()?;
        Ok(Some(std::mem::take(&mut self.read)))
    }

    /// Whether what was read is what there was.
    pub(crate) fn finish(&mut self) -> Result<(), PutError> {
        Ok(self.input.finish()?)
    }

    /// The next chunk; none after the last.
    pub(crate) async fn next(
        &mut self,
        dog: &Watchdog,
        processors: &dyn Compute,
    ) -> Result<Option<BytesMut>, PutError> {
        self.fill(dog).await?;
        if self.read.is_empty() {
            return Ok(None);
        }
        let len = match self.cut {
            Cut::Every(_) => self.read.len(),
            Cut::Content(cutter) => {
                let read = std::mem::take(&mut self.read);
                let (len, read) = compute(processors, move || (cutter.first_len(&read), read)).await;
                self.read = read;
                len
            }
        };
        if len == self.read.len() {
            return Ok(Some(std::mem::take(&mut self.read)));
        }
        // A part of the buffer would keep all of it in memory.
        let chunk = BytesMut::from(&self.read[..len]);
        self.read.advance(len);
        Ok(Some(chunk))
    }

    async fn fill(&mut self, dog: &Watchdog) -> Result<(), PutError> {
        let room = self.cut.max() - self.read.len();
        if room == 0 || self.has_ended {
            return Ok(());
        }
        let more = dog.pause(self.input.read_chunk(room)).await?;
        self.has_ended = more.len() < room;
        if self.read.is_empty() {
            self.read = more;
        } else {
            self.read.extend_from_slice(&more);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Read, time::Duration};

    use bytes::Bytes;
    use dsn_core::ports::InlineCompute;

    use super::*;
    use crate::input::{MemoryInput, PipeInput};

    /// Gives as many bytes at a time as a pipe may.
    struct Dribble {
        rest: Bytes,
        step: usize,
    }

    impl Read for Dribble {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            self.step = self.step * 7 % 65_537 + 1;
            let len = self.step.min(buffer.len()).min(self.rest.len());
            buffer[..len].copy_from_slice(&self.rest.split_to(len));
            Ok(len)
        }
    }

    fn made(len: usize) -> Bytes {
        let mut state = 1u64;
        let byte = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state.to_le_bytes()[7]
        };
        (0..len).map(byte).collect()
    }

    async fn chunks(input: &mut dyn Input, cut: Cut) -> Vec<BytesMut> {
        let dog = Watchdog::new(Duration::from_secs(60));
        let mut cutting = Cutting::begin(&dog, input, cut).await.expect("readable");
        let mut chunks = Vec::new();
        while let Some(chunk) = cutting.next(&dog, &InlineCompute).await.expect("readable") {
            chunks.push(chunk);
        }
        chunks
    }

    #[tokio::test]
    async fn where_it_is_cut_does_not_depend_on_how_it_is_read() {
        for len in [0, 1, CHUNK_MAX_BYTES, CHUNK_MAX_BYTES + 1, 2 * CDC_MAX_BYTES + 77] {
            let bytes = made(len);
            for cut in [Cut::PLAIN, Cut::SEALED, Cut::Content(Cutter::public()), Cut::Content(Cutter::seeded(9))] {
                let whole = chunks(&mut MemoryInput::new(bytes.clone()), cut).await;
                let dribbled = chunks(&mut PipeInput::new(Dribble { rest: bytes.clone(), step: len }), cut).await;
                assert!(whole == dribbled, "{len} {cut:?}");
                assert!(whole.concat() == bytes, "{len} {cut:?}");
            }
        }
    }

    #[tokio::test]
    async fn chunks_are_the_cutters() {
        let bytes = made(30 << 20);
        let mut rest = &bytes[..];
        for chunk in chunks(&mut MemoryInput::new(bytes.clone()), Cut::Content(Cutter::public())).await {
            let len = Cutter::public().first_len(&rest[..rest.len().min(CDC_MAX_BYTES)]);
            assert!(chunk == rest[..len]);
            assert!(len == rest.len() || chunk.capacity() < len + 4096, "no more than the chunk stays in memory");
            rest = &rest[len..];
        }
        assert!(rest.is_empty());
    }
}
