//! How connections are made: TCP, QUIC, WebSocket and circuits through a relay, each authenticated and multiplexed before
//! anything else sees it. Not here: which addresses are dialled (`address`, `book`) and what is spoken on a connection
//! (`behaviour`). Invariant: every connection of every transport passes through [`build`]'s last step.

mod covered;
mod ports;
mod security;

use std::{io, sync::Arc};

use bytes::Bytes;
use libp2p::{
    PeerId, Transport,
    core::{
        ConnectedPoint, Endpoint,
        muxing::{StreamMuxer, StreamMuxerBox},
        transport::{Boxed, OptionalTransport, timeout::TransportTimeout},
        upgrade::Version,
    },
    dns,
    identity::Keypair,
    quic, relay, tcp, websocket, yamux,
};

use self::{covered::covered, ports::OwnPortNearby, security::Security};
use crate::{
    admission::{self, AdmissionError},
    club::Club,
    error::NetError,
    options::NetOptions,
};

/// All transports, and the protocol by which circuits are asked for. A pre-shared key leaves TCP, and circuits over it.
pub(crate) fn build(
    keys: &Keypair,
    options: &NetOptions,
    club: Option<Arc<Club>>,
) -> Result<(Boxed<(PeerId, StreamMuxerBox)>, relay::client::Behaviour), NetError> {
    let failed = |error: &dyn std::fmt::Display| NetError::Transport { reason: error.to_string() };
    let security = Security::new(keys).map_err(|error| failed(&error))?;
    let (circuits, circuit_client) = relay::client::new(keys.public().to_peer_id());
    let circuits =
        circuits.upgrade(Version::V1Lazy).authenticate(security.clone()).multiplex(yamux::Config::default()).map(boxed);
    let streams = || OwnPortNearby::new(tcp::tokio::Transport::new(tcp::Config::default().nodelay(true)));
    let psk = options.psk.clone();
    let is_bare = psk.is_none();
    let direct = streams()
        .and_then(move |stream, _| covered(stream, psk))
        .upgrade(Version::V1Lazy)
        .authenticate(security.clone())
        .multiplex(yamux::Config::default())
        .map(boxed);
    let mut web = websocket::Config::new(dns(streams()).map_err(|error| failed(&error))?);
    web.set_tls_config(web_tls(&options.authorities).map_err(|error| failed(&error))?);
    let web = web.upgrade(Version::V1Lazy).authenticate(security).multiplex(yamux::Config::default()).map(boxed);
    let web = if is_bare { OptionalTransport::some(web) } else { OptionalTransport::none() };
    let datagrams = || quic::tokio::Transport::new(quic::Config::new(keys)).map(boxed);
    let datagrams = if is_bare { OptionalTransport::some(datagrams()) } else { OptionalTransport::none() };
    let named = dns(datagrams.or_transport(direct).map(|either, _| either.into_inner())).map_err(|e| failed(&e))?;
    let all = circuits
        .or_transport(web)
        .map(|either, _| either.into_inner())
        .or_transport(named)
        .map(|either, _| either.into_inner())
        .and_then(move |connection, point| let_in(club, connection, point));
    Ok((TransportTimeout::new(all, options.waits.dial).boxed(), circuit_client))
}

/// Connections of all transports are one type from here on.
fn boxed<M>((peer, muxer): (PeerId, M), _: ConnectedPoint) -> (PeerId, StreamMuxerBox)
where
    M: StreamMuxer + Send + 'static,
    M::Substream: Send + 'static,
    M::Error: Send + Sync + 'static,
{
    (peer, StreamMuxerBox::new(muxer))
}

/// The last step: in a closed network, both sides show that they are members.
async fn let_in(
    club: Option<Arc<Club>>,
    (peer, muxer): (PeerId, StreamMuxerBox),
    point: ConnectedPoint,
) -> Result<(PeerId, StreamMuxerBox), Wrapped> {
    let Some(club) = club else { return Ok((peer, muxer)) };
    // Of two nodes that dial each other at once to get through their gateways, one is told to act as the listener.
    let role = match point {
        ConnectedPoint::Dialer { role_override, .. } => role_override,
        ConnectedPoint::Listener { .. } => Endpoint::Listener,
    };
    admission::admit(&club, peer, muxer, role).await.map_err(Wrapped)
}

/// Keeps the error of an admission findable: libp2p's wrappings skip the outermost one.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Wrapped(#[source] AdmissionError);

/// Whom to believe that a WebSocket server with TLS is who it says: the authorities of the web, and these.
fn web_tls(authorities: &[Bytes]) -> Result<websocket::tls::Config, websocket::tls::Error> {
    let mut tls = websocket::tls::Config::builder();
    for authority in authorities {
        tls.add_trust(&websocket::tls::Certificate::new(authority.to_vec()))?;
    }
    Ok(tls.finish())
}

/// Whether these bytes (DER) are a certificate whose owner may be trusted to vouch for others.
///
/// # Errors
/// [`NetError::BadAuthority`].
pub fn check_authority(certificate: &Bytes) -> Result<(), NetError> {
    let checked = web_tls(std::slice::from_ref(certificate));
    checked.map(|_| ()).map_err(|error| NetError::BadAuthority { reason: error.to_string() })
}

/// Names are looked up as the system does it.
fn dns<T: Transport>(inner: T) -> io::Result<dns::tokio::Transport<T>> {
    dns::tokio::Transport::system(inner)
}
