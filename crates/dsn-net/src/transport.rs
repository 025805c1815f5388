//! How connections are made: TCP, QUIC, WebSocket and circuits through a relay, each authenticated and multiplexed before
//! anything else sees it. Not here: which addresses are dialled (`address`, `book`) and what is spoken on a connection
//! (`behaviour`). Invariant: every connection of every transport passes through [`build`]'s last step.

mod ports;
mod security;

use std::{io, time::Duration};

use libp2p::{
    PeerId, Transport,
    core::{
        muxing::StreamMuxerBox,
        transport::{Boxed, timeout::TransportTimeout},
        upgrade::Version,
    },
    dns,
    identity::Keypair,
    quic, relay, tcp, websocket, yamux,
};

use self::{ports::OwnPortNearby, security::Security};
use crate::error::NetError;

/// All transports, and the protocol by which circuits are asked for.
pub(crate) fn build(
    keys: &Keypair,
    patience: Duration,
) -> Result<(Boxed<(PeerId, StreamMuxerBox)>, relay::client::Behaviour), NetError> {
    let failed = |error: &dyn std::fmt::Display| NetError::Transport { reason: error.to_string() };
    let security = Security::new(keys).map_err(|error| failed(&error))?;
    let (circuits, circuit_client) = relay::client::new(keys.public().to_peer_id());
    let muxed = |(peer, muxer), _| (peer, StreamMuxerBox::new(muxer));
    let circuits =
        circuits.upgrade(Version::V1Lazy).authenticate(security.clone()).multiplex(yamux::Config::default()).map(muxed);
    let streams = || OwnPortNearby::new(tcp::tokio::Transport::new(tcp::Config::default().nodelay(true)));
    let direct = streams()
        .upgrade(Version::V1Lazy)
        .authenticate(security.clone())
        .multiplex(yamux::Config::default())
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)));
    let web = websocket::Config::new(dns(streams()).map_err(|error| failed(&error))?)
        .upgrade(Version::V1Lazy)
        .authenticate(security)
        .multiplex(yamux::Config::default())
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)));
    let datagrams = OwnPortNearby::new(quic::tokio::Transport::new(quic::Config::new(keys)))
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)));
    let named = dns(datagrams.or_transport(direct).map(|either, _| either.into_inner())).map_err(|e| failed(&e))?;
    let all = circuits
        .or_transport(web)
        .map(|either, _| either.into_inner())
        .or_transport(named)
        .map(|either, _| either.into_inner());
    Ok((TransportTimeout::new(all, patience).boxed(), circuit_client))
}

/// Names are looked up as the system does it.
fn dns<T: Transport>(inner: T) -> io::Result<dns::tokio::Transport<T>> {
    dns::tokio::Transport::system(inner)
}
