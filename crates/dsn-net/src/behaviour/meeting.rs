//! Rendezvous: a node that everybody knows keeps the addresses of those who register with it, and tells them to those who
//! ask, by network. Not here: when to ask (`driver/rendezvous`).

use dsn_core::network_name::NetworkName;
use libp2p::{
    identity::Keypair,
    rendezvous::{self, Namespace},
    swarm::{NetworkBehaviour, behaviour::toggle::Toggle},
};

/// The protocol's name.
pub(crate) const PROTOCOL: libp2p::StreamProtocol = rendezvous::PROTOCOL_NAME;
/// Registrations that a point keeps.
const REGISTRATIONS_MAX: usize = 4096;
/// Of one node: it is in one network.
const REGISTRATIONS_MAX_PER_NODE: usize = 2;
/// Nodes told in one answer.
const ASKED_MAX: u64 = 64;

/// Both sides of it.
#[derive(NetworkBehaviour)]
pub(crate) struct Meeting {
    client: rendezvous::client::Behaviour,
    point: Toggle<rendezvous::server::Behaviour>,
}

impl Meeting {
    pub(super) fn new(keys: Keypair, is_point: bool) -> Self {
        let config = rendezvous::server::Config::default()
            .with_max_registration_total(REGISTRATIONS_MAX)
            .with_max_registration_per_peer(REGISTRATIONS_MAX_PER_NODE)
            .with_max_stored_cookies(REGISTRATIONS_MAX);
        Self {
            client: rendezvous::client::Behaviour::new(keys),
            point: is_point.then(|| rendezvous::server::Behaviour::new(config)).into(),
        }
    }

    /// Has the point keep this node's addresses; nothing happens while it has none.
    pub(crate) fn register(&mut self, network: &NetworkName, point: libp2p::PeerId) {
        if let Err(error) = self.client.register(namespace(network), point, None) {
            tracing::debug!(%point, %error, "not registered with a rendezvous point");
        }
    }

    /// Asks who has registered.
    pub(crate) fn discover(&mut self, network: &NetworkName, point: libp2p::PeerId) {
        self.client.discover(Some(namespace(network)), None, Some(ASKED_MAX), point);
    }
}

fn namespace(network: &NetworkName) -> Namespace {
    Namespace::new(format!("/dsn/{network}")).expect("a network's name is short")
}
