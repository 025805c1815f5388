//! A peer that speaks the protocols of relays and nothing else: it asks for a place at a relay, and calls others through one.

use std::time::Duration;

use dsn_core::node_id::NodeId;
use dsn_net::Node;
use futures::{
    FutureExt, StreamExt,
    future::{Either, select},
};
use libp2p::{
    Multiaddr, Swarm, SwarmBuilder, identify,
    multiaddr::Protocol,
    noise, relay,
    swarm::{NetworkBehaviour, SwarmEvent},
    tcp, yamux,
};

/// Nothing that it asks for takes this long.
const DEADLINE: Duration = Duration::from_secs(20);

#[derive(NetworkBehaviour)]
struct Protocols {
    relay: relay::client::Behaviour,
    identify: identify::Behaviour,
}

pub(crate) struct Caller {
    swarm: Swarm<Protocols>,
}

impl Caller {
    pub(crate) fn new() -> Self {
        let swarm = SwarmBuilder::with_new_identity()
            .with_tokio()
            .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
            .expect("keys are good")
            .with_relay_client(noise::Config::new, yamux::Config::default)
            .expect("keys are good")
            .with_behaviour(|keys, relay| Protocols {
                relay,
                identify: identify::Behaviour::new(identify::Config::new("/dsn/test/id/1".into(), keys.public())),
            })
            .expect("nothing to fail")
            .with_swarm_config(|config| config.with_idle_connection_timeout(DEADLINE))
            .build();
        Self { swarm }
    }

    pub(crate) fn id(&self) -> NodeId {
        self.swarm.local_peer_id().to_string().parse().expect("an Ed25519 key")
    }

    /// Whether a relay gives it a place.
    pub(crate) async fn asks_for_place(&mut self, at: &Node) -> bool {
        let listener = self.swarm.listen_on(way(at)).expect("circuits are spoken");
        let answer = async {
            loop {
                match self.swarm.select_next_some().await {
                    SwarmEvent::NewListenAddr { listener_id, .. } if listener_id == listener => return true,
                    SwarmEvent::ListenerClosed { listener_id, .. } if listener_id == listener => return false,
                    _ => {}
                }
            }
        };
        tokio::time::timeout(DEADLINE, answer).await.expect("an answer in time")
    }

    /// Whether a relay puts it through to another, who has a place there.
    pub(crate) async fn calls(&mut self, other: &mut Self, by: &Node) -> bool {
        let peer = *other.swarm.local_peer_id();
        self.swarm.dial(way(by).with(Protocol::P2p(peer))).expect("circuits are spoken");
        let answer = async {
            loop {
                match self.swarm.select_next_some().await {
                    SwarmEvent::ConnectionEstablished { peer_id, .. } if peer_id == peer => return true,
                    SwarmEvent::OutgoingConnectionError { .. } => return false,
                    _ => {}
                }
            }
        };
        let answered = async {
            loop {
                other.swarm.select_next_some().await;
            }
        };
        let both = select(answer.boxed_local(), answered.boxed_local());
        match tokio::time::timeout(DEADLINE, both).await.expect("an answer in time") {
            Either::Left((is_through, _)) => is_through,
            Either::Right(_) => unreachable!("it never ends"),
        }
    }
}

/// Through this node.
fn way(relay: &Node) -> Multiaddr {
    let address: Multiaddr = relay.listen_addrs()[0].parse().expect("an address");
    address.with(Protocol::P2pCircuit)
}
