//! A peer that keeps no rule: it puts any bytes on a stream, at any pace, and answers with any bytes.

use std::{io, time::Duration};

use bytes::Bytes;
use dsn_core::{
    node_id::NodeId,
    rpc::{
        Refusal, Response,
        frame::{Frame, ResponseHead},
    },
};
use dsn_net::Node;
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, StreamExt};
use libp2p::{
    Multiaddr, PeerId, StreamProtocol, Swarm, SwarmBuilder, noise,
    request_response::{self, Config, Event, Message, OutboundFailure, ProtocolSupport},
    swarm::{SwarmEvent, dial_opts::DialOpts},
    tcp, yamux,
};

/// What to put on a stream.
#[derive(Clone, Debug)]
pub(crate) struct Put {
    pub(crate) bytes: Vec<u8>,
    /// Pause after each byte.
    pub(crate) pause: Duration,
    /// Whether the stream is then left open, with nothing more on it.
    pub(crate) hold: bool,
}

impl Put {
    pub(crate) fn all(bytes: Vec<u8>) -> Self {
        Self { bytes, pause: Duration::ZERO, hold: false }
    }

    pub(crate) fn hold(bytes: Vec<u8>) -> Self {
        Self { hold: true, ..Self::all(bytes) }
    }
}

/// A request as it travels.
pub(crate) fn flat(frame: &Frame) -> Vec<u8> {
    let bodies = frame.bodies.iter().flat_map(|body| body.iter().copied());
    frame.length.into_iter().chain(frame.header.iter().copied()).chain(bodies).collect()
}

/// Why a request was refused, if it was.
pub(crate) fn refusal(bytes: &[u8]) -> Option<Refusal> {
    match response(bytes)? {
        Response::Refused(refusal) => Some(refusal),
        _ => None,
    }
}

/// An answer without pieces.
pub(crate) fn response(bytes: &[u8]) -> Option<Response> {
    match ResponseHead::decode(&Bytes::copy_from_slice(bytes.get(4..)?)).ok()? {
        ResponseHead::Complete(response) => Some(response),
        ResponseHead::Fetched(_) | ResponseHead::Sliced(_) => None,
    }
}

#[derive(Clone)]
struct Raw;

impl request_response::Codec for Raw {
    type Protocol = StreamProtocol;
    type Request = Put;
    type Response = Vec<u8>;

    async fn read_request<T: AsyncRead + Unpin + Send>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Put> {
        let mut bytes = Vec::new();
        io.read_to_end(&mut bytes).await?;
        Ok(Put::all(bytes))
    }

    async fn read_response<T: AsyncRead + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
    ) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        io.read_to_end(&mut bytes).await?;
        Ok(bytes)
    }

    async fn write_request<T: AsyncWrite + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        put: Put,
    ) -> io::Result<()> {
        if put.pause.is_zero() {
            io.write_all(&put.bytes).await?;
        } else {
            for byte in put.bytes {
                io.write_all(&[byte]).await?;
                io.flush().await?;
                tokio::time::sleep(put.pause).await;
            }
        }
        io.flush().await?;
        if put.hold {
            // Until the other side ends the stream: writing, even of nothing, is then an error.
            while io.write(&[]).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        Ok(())
    }

    async fn write_response<T: AsyncWrite + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        bytes: Vec<u8>,
    ) -> io::Result<()> {
        io.write_all(&bytes).await
    }
}

pub(crate) struct Stranger {
    swarm: Swarm<request_response::Behaviour<Raw>>,
}

impl Stranger {
    /// A stranger who has met a node, or listens for one that will come.
    pub(crate) fn new() -> Self {
        let protocol = StreamProtocol::new("/dsn/test/rpc/1");
        let config = Config::default().with_max_concurrent_streams(4096).with_request_timeout(Duration::from_secs(20));
        let raw = request_response::Behaviour::with_codec(Raw, [(protocol, ProtocolSupport::Full)], config);
        let swarm = SwarmBuilder::with_new_identity()
            .with_tokio()
            .with_tcp(tcp::Config::default(), noise::Config::new, || {
                let mut config = yamux::Config::default();
                config.set_max_num_streams(4096);
                config
            })
            .unwrap()
            .with_behaviour(|_| raw)
            .unwrap()
            .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(30)))
            .build();
        Self { swarm }
    }

    pub(crate) fn id(&self) -> NodeId {
        self.swarm.local_peer_id().to_string().parse().unwrap()
    }

    pub(crate) fn meet(&mut self, node: &Node) -> PeerId {
        self.reach(&node.listen_addrs()[0])
    }

    /// By an address that ends with the node's id.
    pub(crate) fn reach(&mut self, address: &str) -> PeerId {
        let peer = address.rsplit('/').next().unwrap().parse().unwrap();
        let address: Multiaddr = address.parse().unwrap();
        self.swarm.dial(DialOpts::peer_id(peer).addresses(vec![address]).build()).unwrap();
        peer
    }

    pub(crate) fn put(&mut self, peer: PeerId, put: Put) {
        self.swarm.behaviour_mut().send_request(&peer, put);
    }

    /// What came back on the next stream to end, or how it ended.
    pub(crate) async fn next_end(&mut self) -> Result<Vec<u8>, String> {
        loop {
            match self.swarm.select_next_some().await {
                SwarmEvent::Behaviour(Event::Message { message: Message::Response { response, .. }, .. }) => {
                    return Ok(response);
                }
                SwarmEvent::Behaviour(Event::OutboundFailure { error: OutboundFailure::Io(error), .. }) => {
                    return Err(error.to_string());
                }
                SwarmEvent::Behaviour(Event::OutboundFailure {
                    error: error @ (OutboundFailure::ConnectionClosed | OutboundFailure::DialFailure),
                    ..
                }) => return Err(error.to_string()),
                SwarmEvent::Behaviour(Event::OutboundFailure { error, .. }) => panic!("{error}"),
                _ => {}
            }
        }
    }

    pub(crate) async fn listen(&mut self) -> (NodeId, String) {
        self.swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse().unwrap()).unwrap();
        let peer = *self.swarm.local_peer_id();
        loop {
            if let SwarmEvent::NewListenAddr { address, .. } = self.swarm.select_next_some().await {
                return (peer.to_string().parse().unwrap(), format!("{address}/p2p/{peer}"));
            }
        }
    }

    /// Answers every request with the same bytes; does not end.
    pub(crate) async fn answer_all(mut self, answer: Vec<u8>) {
        loop {
            if let SwarmEvent::Behaviour(Event::Message { message: Message::Request { channel, .. }, .. }) =
                self.swarm.select_next_some().await
            {
                let _ = self.swarm.behaviour_mut().send_response(channel, answer.clone());
            }
        }
    }
}
