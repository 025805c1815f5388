//! The step between a connection that is encrypted and the swarm, in closed networks: on the first stream of every
//! connection, whatever carries it, both nodes show for whom they act. Who does not is gone before any other protocol is
//! spoken. Open networks have no such step.
//!
//! The one that opens writes who it is, the other answers with who it is or why not, the first says whether that will do.
//! Four bytes of length, big-endian, precede each. Not here: who is a member (`club`).
//!
//! Invariant: it ends in time, since the transport's time-out is around it; nothing is allocated before its length was
//! checked; credentials are compared with the key that encryption has proved.

use std::{
    future::poll_fn,
    io,
    pin::pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use dsn_core::{
    limits::ADMISSION_MAX_BYTES,
    membership::{
        Refused,
        admission::{Admission, Word},
        revocations::Revocations,
    },
    node_id::NodeId,
};
use futures::{
    AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt,
    future::{Either, select},
};
use libp2p::{
    PeerId,
    core::{
        Endpoint,
        muxing::{StreamMuxerBox, StreamMuxerExt},
    },
};
use thiserror::Error;
use tokio::time::timeout;

use crate::{club::Club, identity::node_id};

/// Whoever was refused gets this long to read why, before the connection ends under it.
const FAREWELL: Duration = Duration::from_secs(1);

/// Why a connection of a closed network does not come about.
#[derive(Debug, Error)]
pub(crate) enum AdmissionError {
    /// The other node says so.
    #[error("the network does not let this node in: {0}")]
    NotLetIn(Refused),
    /// This node says so of the other.
    #[error("the node there is not let in: {0}")]
    NotTaken(Refused),
    /// It says something else than members do.
    #[error("the node there is none of this closed network")]
    Stranger(#[source] io::Error),
}

impl AdmissionError {
    /// Whether one of the two said no: asking again soon is no use.
    pub(crate) fn is_final(&self) -> bool {
        matches!(self, Self::NotLetIn(_) | Self::NotTaken(_))
    }
}

/// Lets both sides show who they are; `role` is who opens the stream: of two nodes that dial each other at once, one does.
/// Dropping the future ends the connection.
pub(crate) async fn admit(
    club: &Club,
    peer: PeerId,
    mut muxer: StreamMuxerBox,
    role: Endpoint,
) -> Result<(PeerId, StreamMuxerBox), AdmissionError> {
    match converse(club, &peer, &mut muxer, role).await {
        Ok(()) => Ok((peer, muxer)),
        Err(error) => {
            tracing::debug!(%peer, %error, "a connection was not made");
            Err(error)
        }
    }
}

async fn converse(
    club: &Club,
    peer: &PeerId,
    muxer: &mut StreamMuxerBox,
    role: Endpoint,
) -> Result<(), AdmissionError> {
    let stream = match role {
        Endpoint::Dialer => driven(muxer, |muxer, cx| muxer.poll_outbound_unpin(cx)).await,
        Endpoint::Listener => driven(muxer, |muxer, cx| muxer.poll_inbound_unpin(cx)).await,
    };
    let mut stream = stream.map_err(AdmissionError::Stranger)?;
    let node = node_id(peer).ok_or(AdmissionError::NotTaken(Refused::Forged))?;
    let talk = async {
        match role {
            Endpoint::Dialer => ask(club, node, &mut stream).await,
            Endpoint::Listener => answer(club, node, &mut stream).await,
        }
    };
    // A connection moves only while somebody looks at it.
    let moved = poll_fn(|cx| {
        while muxer.poll_unpin(cx)?.is_ready() {}
        Poll::<io::Result<()>>::Pending
    });
    match select(pin!(talk), pin!(moved)).await {
        Either::Left((said, _)) => said,
        Either::Right((Ok(()), _)) => unreachable!("it never ends well"),
        Either::Right((Err(error), _)) => Err(AdmissionError::Stranger(error)),
    }
}

/// Waits for a stream while the connection moves.
async fn driven<T>(
    muxer: &mut StreamMuxerBox,
    mut wanted: impl FnMut(&mut StreamMuxerBox, &mut Context<'_>) -> Poll<io::Result<T>>,
) -> io::Result<T> {
    poll_fn(|cx| {
        if let Poll::Ready(done) = wanted(muxer, cx) {
            return Poll::Ready(done);
        }
        while muxer.poll_unpin(cx)?.is_ready() {}
        Poll::Pending
    })
    .await
}

async fn ask<S: AsyncRead + AsyncWrite + Unpin>(club: &Club, node: NodeId, io: &mut S) -> Result<(), AdmissionError> {
    let (own, seq) = club.own();
    write(io, Word::Shown(Box::new(own)), seq, None).await?;
    let answer = read(io).await?;
    learn(club, answer.revocations);
    match answer.word {
        Word::Shown(shown) => match club.admit(node, *shown) {
            Ok(()) => write(io, Word::Welcome, club.own().1, club.list_after(answer.seq)).await,
            Err(why) => refuse(io, why).await,
        },
        Word::Refused(why) => Err(AdmissionError::NotLetIn(why)),
        Word::Welcome => Err(stranger("a welcome before anything was shown")),
    }
}

async fn answer<S: AsyncRead + AsyncWrite + Unpin>(
    club: &Club,
    node: NodeId,
    io: &mut S,
) -> Result<(), AdmissionError> {
    let asked = match read(io).await {
        Ok(asked) => asked,
        Err(error) => {
            let _told = refuse(io, Refused::NoCredentials).await;
            return Err(error);
        }
    };
    let Word::Shown(shown) = asked.word else { return refuse(io, Refused::NoCredentials).await };
    if let Err(why) = club.admit(node, *shown) {
        return refuse(io, why).await;
    }
    let (own, seq) = club.own();
    write(io, Word::Shown(Box::new(own)), seq, club.list_after(asked.seq)).await?;
    let last = read(io).await?;
    learn(club, last.revocations);
    match last.word {
        Word::Welcome => match club.check(&node) {
            Ok(()) => Ok(()),
            Err(why) => Err(AdmissionError::NotTaken(why)), // by the list that it brought itself
        },
        Word::Refused(why) => Err(AdmissionError::NotLetIn(why)),
        Word::Shown(_) => Err(stranger("credentials twice")),
    }
}

/// Says why not, and waits until it has been read.
async fn refuse<S: AsyncRead + AsyncWrite + Unpin>(io: &mut S, why: Refused) -> Result<(), AdmissionError> {
    write(io, Word::Refused(why), 0, None).await?;
    let mut nothing = [0; 1];
    let _gone = timeout(FAREWELL, async { while matches!(io.read(&mut nothing).await, Ok(1..)) {} }).await;
    Err(AdmissionError::NotTaken(why))
}

/// A list of the founder is taken from whoever has it. One that is not the founder's is nobody's.
fn learn(club: &Club, list: Option<Revocations>) {
    if let Some(Err(error)) = list.map(|list| club.learn(list)) {
        tracing::debug!(%error, "a list of revocations is not the founder's");
    }
}

fn stranger(what: &'static str) -> AdmissionError {
    AdmissionError::Stranger(io::Error::new(io::ErrorKind::InvalidData, what))
}

async fn write<S: AsyncWrite + Unpin>(
    io: &mut S,
    word: Word,
    seq: u64,
    revocations: Option<Revocations>,
) -> Result<(), AdmissionError> {
    let step = frame(&Admission { word, seq, revocations });
    io.write_all(&step).await.map_err(AdmissionError::Stranger)?;
    io.flush().await.map_err(AdmissionError::Stranger)
}

async fn read<S: AsyncRead + Unpin>(io: &mut S) -> Result<Admission, AdmissionError> {
    read_frame(io).await.map_err(AdmissionError::Stranger)
}

/// A step with its length before it.
pub(crate) fn frame(step: &Admission) -> Vec<u8> {
    let bytes = step.encode();
    let length = u32::try_from(bytes.len()).expect("at most ADMISSION_MAX_BYTES");
    [&length.to_be_bytes()[..], &bytes].concat()
}

/// A step with its length before it. Dropping the future leaves the stream somewhere in it.
pub(crate) async fn read_frame<S: AsyncRead + Unpin>(io: &mut S) -> io::Result<Admission> {
    let invalid = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    let mut length = [0; 4];
    io.read_exact(&mut length).await?;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > ADMISSION_MAX_BYTES {
        return Err(invalid(format!("a step of {length} bytes; the longest has {ADMISSION_MAX_BYTES}")));
    }
    let mut bytes = vec![0; length];
    io.read_exact(&mut bytes).await?;
    Admission::decode(&Bytes::from(bytes)).map_err(|error| invalid(error.to_string()))
}
