//! Messages on a stream: reads and writes the frames of `dsn_core::rpc::frame` within bounds of memory and time. It exists
//! because request-response reads a whole message before anybody sees it, so admission and limits have to be here.
//! Not here: who may ask what, which the handler decides.
//!
//! Invariants: nothing is allocated before its length was checked; bodies of a store request only after the handler
//! admitted them and within the budget; who sends or takes less than [`FLOOR_BYTES_PER_SEC`] is cut off.

use std::{io, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use dsn_core::{
    ports::Handler,
    rpc::{
        Refusal, Request, Response, StoreHeader,
        frame::{
            Frame, LENGTH_BYTES, RequestHead, ResponseHead, bodies_len, fetched_response, header_len, sliced_response,
            store_request,
        },
    },
    wire::WireError,
};
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use libp2p::{StreamProtocol, request_response};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::{caps::Meters, window::permits};

/// A peer must keep this pace after its first silence; 1 MiB may take 74 s. Slower than any line worth storing on.
pub(crate) const FLOOR_BYTES_PER_SEC: u64 = 16 * 1024;
/// A header is read in steps of this size, so that announcing 1 MiB and sending nothing costs us little.
const HEADER_STEP_BYTES: usize = 16 * 1024;
/// Length and header go out as one write up to this size: copying them costs less than a frame of their own.
const JOINED_MAX_BYTES: usize = 16 * 1024;
/// What a sender is told to wait when there is no room for its bodies.
pub(crate) const BUSY_DELAY_MS: u32 = 250;

/// A request on a stream, in either direction.
#[derive(Debug)]
pub(crate) enum Call {
    /// To be sent.
    Outgoing(Frame),
    /// Received; `room` is its share of the budget for bodies, held until it has been handled.
    Received {
        /// The request, validated.
        request: Request,
        /// Kept with the request.
        room: Option<OwnedSemaphorePermit>,
    },
    /// Received, but its bodies were refused and not read.
    Refused(Refusal),
}

/// An answer on a stream, in either direction.
#[derive(Debug)]
pub(crate) enum Answer {
    /// To be sent.
    Outgoing(Frame),
    /// To be sent to somebody whose bodies were not read: the stream is reset after it, or a sender without credit would
    /// go on waiting.
    HangUp(Frame),
    /// Received.
    Received(Response),
}

/// Reads and writes calls and answers.
#[derive(Clone)]
pub(crate) struct Codec {
    pub(crate) handler: Arc<dyn Handler>,
    /// Bodies of store requests being received or handled.
    pub(crate) incoming: Arc<Semaphore>,
    /// The cap of this node's line.
    pub(crate) meters: Arc<Meters>,
    /// How long a stream may be silent before its first byte, and a sender waits for room in memory.
    pub(crate) silence: Duration,
}

impl request_response::Codec for Codec {
    type Protocol = StreamProtocol;
    type Request = Call;
    type Response = Answer;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Call>
    where
        T: AsyncRead + Unpin + Send,
    {
        let first = self.in_time(0, read_length(io)).await?;
        let header = self.in_time(first, read_header(io, first)).await?;
        let (request, room) = match RequestHead::decode(&header).map_err(malformed)? {
            RequestHead::Complete(request) => (request, None),
            RequestHead::Store(parts) => match self.admit(&parts).await {
                Err(refusal) => return Ok(Call::Refused(refusal)),
                Ok(room) => {
                    let bodies = self.read_bodies(io, bodies_len(parts.iter().map(|part| part.len))).await?;
                    (store_request(&parts, bodies), Some(room))
                }
            },
        };
        self.in_time(0, read_end(io)).await?;
        Ok(Call::Received { request, room })
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Answer>
    where
        T: AsyncRead + Unpin + Send,
    {
        let first = read_length(io).await?; // the other side works as long as the request's time-out lets it
        let header = self.in_time(first, read_header(io, first)).await?;
        let response = match ResponseHead::decode(&header).map_err(malformed)? {
            ResponseHead::Complete(response) => response,
            ResponseHead::Fetched(parts) => {
                let bodies = self.read_bodies(io, bodies_len(parts.iter().map(|part| part.len))).await?;
                fetched_response(&parts, bodies)
            }
            ResponseHead::Sliced(lens) => {
                let bodies = self.read_bodies(io, bodies_len(lens.iter().copied())).await?;
                sliced_response(&lens, bodies)
            }
        };
        self.in_time(0, read_end(io)).await?;
        Ok(Answer::Received(response))
    }

    async fn write_request<T>(&mut self, _: &StreamProtocol, io: &mut T, call: Call) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        let Call::Outgoing(frame) = call else { return Err(io::ErrorKind::InvalidInput.into()) };
        write_head(io, &frame).await?;
        // Somebody who refuses the bodies answers and resets the stream: the answer is there to be read.
        let _refused = write_bodies(io, &frame).await;
        Ok(())
    }

    async fn write_response<T>(&mut self, _: &StreamProtocol, io: &mut T, answer: Answer) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        let (frame, hang_up) = match answer {
            Answer::Outgoing(frame) => (frame, false),
            Answer::HangUp(frame) => (frame, true),
            Answer::Received(_) => return Err(io::ErrorKind::InvalidInput.into()),
        };
        let write = async {
            write_head(io, &frame).await?;
            write_bodies(io, &frame).await
        };
        self.in_time(frame.len(), write).await?;
        if hang_up { Err(io::Error::new(io::ErrorKind::ConnectionAborted, "bodies refused")) } else { Ok(()) }
    }
}

impl Codec {
    async fn in_time<T>(&self, bytes: usize, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let allowed = self.silence + Duration::from_millis(bytes.saturating_mul(1000) / FLOOR_BYTES_PER_SEC);
        timeout(allowed, work).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }

    async fn admit(&self, parts: &[StoreHeader]) -> Result<OwnedSemaphorePermit, Refusal> {
        self.handler.admit(parts)?;
        let bytes = bodies_len(parts.iter().map(|part| part.len));
        let room = Arc::clone(&self.incoming).acquire_many_owned(permits(bytes));
        match timeout(self.silence, room).await {
            Ok(Ok(room)) if self.meters.down.take(bytes).await => Ok(room),
            Ok(_) | Err(_) => Err(Refusal::Busy { delay_ms: BUSY_DELAY_MS }),
        }
    }

    async fn read_bodies<T: AsyncRead + Unpin + Send>(&self, io: &mut T, len: usize) -> io::Result<Bytes> {
        let mut bodies = BytesMut::zeroed(len);
        self.in_time(len, io.read_exact(&mut bodies)).await?;
        Ok(bodies.freeze())
    }
}

fn malformed(error: WireError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

async fn read_length<T: AsyncRead + Unpin>(io: &mut T) -> io::Result<usize> {
    let mut length = [0; LENGTH_BYTES];
    io.read_exact(&mut length).await?;
    header_len(length).map_err(malformed)
}

async fn read_header<T: AsyncRead + Unpin>(io: &mut T, len: usize) -> io::Result<Bytes> {
    let mut header = BytesMut::new();
    while header.len() < len {
        let have = header.len();
        header.resize(len.min(have + HEADER_STEP_BYTES.max(have)), 0);
        io.read_exact(&mut header[have..]).await?;
    }
    Ok(header.freeze())
}

async fn read_end<T: AsyncRead + Unpin>(io: &mut T) -> io::Result<()> {
    match io.read(&mut [0]).await? {
        0 => Ok(()),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "bytes after the end of the message")),
    }
}

async fn write_head<T: AsyncWrite + Unpin>(io: &mut T, frame: &Frame) -> io::Result<()> {
    if frame.header.len() <= JOINED_MAX_BYTES {
        return io.write_all(&[&frame.length[..], &frame.header].concat()).await;
    }
    io.write_all(&frame.length).await?;
    io.write_all(&frame.header).await
}

async fn write_bodies<T: AsyncWrite + Unpin>(io: &mut T, frame: &Frame) -> io::Result<()> {
    for body in &frame.bodies {
        io.write_all(body).await?;
    }
    io.flush().await
}

#[cfg(test)]
mod tests;
