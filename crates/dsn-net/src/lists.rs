//! How members of a closed network hand on a new list of revocations to those they are connected with: a request that
//! carries it, answered with a newer one if there is one. Nothing else is asked by this protocol, and open networks do not
//! speak it.

use std::{io, time::Duration};

use dsn_core::membership::admission::{Admission, Word};
use futures::{AsyncRead, AsyncWrite, AsyncWriteExt};
use libp2p::{
    StreamProtocol,
    request_response::{self, ProtocolSupport},
};

use crate::admission::{frame, read_frame};

/// A list is small and its answer is at hand.
const ANSWER_WAIT: Duration = Duration::from_secs(10);
/// Lists on one connection at once: each node hands one on, once.
const STREAMS_MAX: usize = 8;

/// Puts steps of an admission on a stream that only ever welcome, with a list or without.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lists;

/// The protocol of that name.
pub(crate) fn behaviour(name: StreamProtocol) -> request_response::Behaviour<Lists> {
    let config =
        request_response::Config::default().with_request_timeout(ANSWER_WAIT).with_max_concurrent_streams(STREAMS_MAX);
    request_response::Behaviour::with_codec(Lists, [(name, ProtocolSupport::Full)], config)
}

/// What is said: the number of the sender's list, and the list.
pub(crate) fn said(seq: u64, revocations: Option<dsn_core::membership::revocations::Revocations>) -> Admission {
    Admission { word: Word::Welcome, seq, revocations }
}

async fn write<T: AsyncWrite + Unpin>(io: &mut T, step: &Admission) -> io::Result<()> {
    io.write_all(&frame(step)).await?;
    io.close().await
}

impl request_response::Codec for Lists {
    type Protocol = StreamProtocol;
    type Request = Admission;
    type Response = Admission;

    async fn read_request<T: AsyncRead + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
    ) -> io::Result<Admission> {
        read_frame(io).await
    }

    async fn read_response<T: AsyncRead + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
    ) -> io::Result<Admission> {
        read_frame(io).await
    }

    async fn write_request<T: AsyncWrite + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        step: Admission,
    ) -> io::Result<()> {
        write(io, &step).await
    }

    async fn write_response<T: AsyncWrite + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        step: Admission,
    ) -> io::Result<()> {
        write(io, &step).await
    }
}
