//! Peers that know one way of securing a TCP stream only, Noise or TLS: a node talks with each, whoever has dialled.

use std::time::Duration;

use dsn_core::node_id::NodeId;
use dsn_net::NetOptions;
use futures::StreamExt;
use libp2p::{
    Multiaddr, Swarm, SwarmBuilder, identify, noise, ping,
    swarm::{NetworkBehaviour, SwarmEvent},
    tcp, tls, yamux,
};

use crate::support::*;

const DEADLINE: Duration = Duration::from_secs(20);

#[derive(Clone, Copy, Debug)]
enum Security {
    Noise,
    Tls,
}

#[derive(NetworkBehaviour)]
struct Talk {
    identify: identify::Behaviour,
    ping: ping::Behaviour,
}

struct Peer(Swarm<Talk>);

impl Peer {
    fn speaking(security: Security) -> Self {
        let (builder, tcp) = (SwarmBuilder::with_new_identity().with_tokio(), tcp::Config::default());
        let talk = |keys: &libp2p::identity::Keypair| Talk {
            identify: identify::Behaviour::new(identify::Config::new("/dsn/test/id/1".into(), keys.public())),
            ping: ping::Behaviour::default(),
        };
        let muxer = yamux::Config::default;
        Self(match security {
            Security::Noise => {
                builder.with_tcp(tcp, noise::Config::new, muxer).unwrap().with_behaviour(talk).unwrap().build()
            }
            Security::Tls => {
                builder.with_tcp(tcp, tls::Config::new, muxer).unwrap().with_behaviour(talk).unwrap().build()
            }
        })
    }

    async fn listen(&mut self) -> String {
        self.0.listen_on(TCP.parse().unwrap()).unwrap();
        loop {
            if let SwarmEvent::NewListenAddr { address, .. } = self.0.select_next_some().await {
                return format!("{address}/p2p/{}", self.0.local_peer_id());
            }
        }
    }

    /// Waits until this node has said what it is and has answered a ping.
    async fn talk_to(&mut self, node: NodeId) {
        let (mut said, mut answered) = (false, false);
        while !(said && answered) {
            match self.0.select_next_some().await {
                SwarmEvent::Behaviour(TalkEvent::Identify(identify::Event::Received { peer_id, info, .. })) => {
                    assert_eq!(peer_id.to_string(), node.to_string());
                    assert_eq!(info.protocol_version, "/dsn/test/id/1");
                    said = true;
                }
                SwarmEvent::Behaviour(TalkEvent::Ping(ping::Event { result, .. })) => {
                    result.expect("it comes back");
                    answered = true;
                }
                SwarmEvent::OutgoingConnectionError { error, .. } => panic!("{error}"),
                SwarmEvent::IncomingConnectionError { error, .. } => panic!("{error}"),
                _ => {}
            }
        }
    }
}

async fn soon(what: &str, security: Security, done: impl Future<Output = ()>) {
    tokio::time::timeout(DEADLINE, done).await.unwrap_or_else(|_| panic!("{security:?}: {what} comes to nothing"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_talks_by_noise_and_by_tls_whoever_has_dialled() {
    let node = start(farmer(1, &[TCP])).await;
    for (number, security) in (10..).zip([Security::Noise, Security::Tls]) {
        let mut dialling = Peer::speaking(security);
        dialling.0.dial(node.listen_addrs()[0].parse::<Multiaddr>().unwrap()).unwrap();
        soon("a call to the node", security, dialling.talk_to(dsn_core::ports::Network::local_id(&node))).await;

        let mut called = Peer::speaking(security);
        let options = NetOptions { bootstrap: vec![called.listen().await], ..farmer(number, &[TCP]) };
        let caller = options.identity.node_id();
        let _node = start(options).await;
        soon("a call by the node", security, called.talk_to(caller)).await;
    }
}
