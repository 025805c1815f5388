//! Somebody who goes up to the first stream of a connection and puts any bytes on it, with a key of its own.

use std::{
    future::poll_fn,
    io,
    pin::pin,
    task::Poll,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use dsn_core::{
    identity::Identity,
    membership::{
        Membership,
        admission::{Admission, Word},
    },
    node_id::NodeId,
};
use futures::{
    AsyncReadExt, AsyncWriteExt,
    future::{Either, select},
};
use libp2p::{
    Multiaddr, PeerId, Transport,
    core::{
        Endpoint,
        muxing::{StreamMuxerBox, StreamMuxerExt},
        transport::{Boxed, DialOpts, PortUse},
        upgrade::Version,
    },
    identity::Keypair,
    multiaddr::Protocol,
    noise, quic, tcp, yamux,
};

/// Longer than any node waits for a stranger.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a node does about it.
#[derive(Debug)]
pub(crate) enum Answer {
    /// It answers.
    Step(Admission),
    /// It ends the stream or the connection.
    Ended,
    /// It does nothing for a long time.
    Nothing,
}

/// The bytes of a step as they travel.
pub(crate) fn framed(step: &[u8]) -> Vec<u8> {
    [&u32::try_from(step.len()).unwrap().to_be_bytes()[..], step].concat()
}

/// The first step of a member's node, as it travels.
pub(crate) fn shown(by: &Membership, node: NodeId) -> Vec<u8> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let word = Word::Shown(Box::new(by.credentials(node, now)));
    framed(&Admission { word, seq: 0, revocations: None }.encode())
}

fn transport(keys: &Keypair) -> Boxed<(PeerId, StreamMuxerBox)> {
    let quic = quic::tokio::Transport::new(quic::Config::new(keys));
    tcp::tokio::Transport::new(tcp::Config::default())
        .upgrade(Version::V1Lazy)
        .authenticate(noise::Config::new(keys).unwrap())
        .multiplex(yamux::Config::default())
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)))
        .or_transport(quic.map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer))))
        .map(|either, _| either.into_inner())
        .boxed()
}

/// Puts these bytes on the first stream of a new connection, and waits for what comes of it.
pub(crate) async fn intrude(address: &str, key: &Identity, bytes: &[u8]) -> Answer {
    let keys = Keypair::ed25519_from_bytes(key.seed()).unwrap();
    let mut address: Multiaddr = address.parse().unwrap();
    if matches!(address.iter().last(), Some(Protocol::P2p(_))) {
        address.pop();
    }
    let mut transport = transport(&keys);
    let dial = transport.dial(address, DialOpts { role: Endpoint::Dialer, port_use: PortUse::New }).unwrap();
    // A QUIC connection moves while its transport is looked at.
    let listening = poll_fn(|cx| {
        while std::pin::Pin::new(&mut transport).poll(cx).is_ready() {}
        Poll::<()>::Pending
    });
    let talk = async {
        let Ok((_, mut muxer)) = dial.await else { return Ok(Err(io::ErrorKind::ConnectionRefused.into())) };
        tokio::time::timeout(PATIENCE, converse(&mut muxer, bytes)).await
    };
    match select(pin!(talk), pin!(listening)).await {
        Either::Left((Ok(Ok(step)), _)) => Answer::Step(step),
        Either::Left((Ok(Err(_)), _)) => Answer::Ended,
        Either::Left((Err(_), _)) => Answer::Nothing,
        Either::Right(_) => unreachable!("it never ends"),
    }
}

async fn converse(muxer: &mut StreamMuxerBox, bytes: &[u8]) -> io::Result<Admission> {
    let mut stream = poll_fn(|cx| {
        if let Poll::Ready(stream) = muxer.poll_outbound_unpin(cx) {
            return Poll::Ready(stream);
        }
        while muxer.poll_unpin(cx)?.is_ready() {}
        Poll::Pending
    })
    .await?;
    let talk = async {
        stream.write_all(bytes).await?;
        stream.flush().await?;
        let mut length = [0; 4];
        stream.read_exact(&mut length).await?;
        let mut step = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap()];
        stream.read_exact(&mut step).await?;
        Ok(Admission::decode(&step.into()).expect("a node of ours answers in form"))
    };
    let moving = poll_fn(|cx| {
        while muxer.poll_unpin(cx)?.is_ready() {}
        Poll::<io::Result<()>>::Pending
    });
    match select(pin!(talk), pin!(moving)).await {
        Either::Left((done, _)) => done,
        Either::Right((ended, _)) => Err(ended.expect_err("it never ends well")),
    }
}
