//! AutoNAT's client, which has every address tested once, made to have refuted ones tested again: a port that was closed is
//! forwarded an hour later, a gateway is restarted. The client keeps what it has tested for as long as it lives, so it is
//! renewed. What it must know then is told to it anew: which connections stand, which of their nodes test addresses, and
//! which addresses are in question. Those that came through are in nobody's question any more, and stay with the swarm.
//!
//! Invariant: no more addresses than the gate lets through; a renewal never falls into a test that is going on.

use std::{
    collections::{HashMap, HashSet},
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use libp2p::{
    Multiaddr, PeerId,
    autonat::v2::client,
    core::{ConnectedPoint, Endpoint, transport::PortUse},
    swarm::{
        ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, NewExternalAddrCandidate, THandler,
        THandlerInEvent, THandlerOutEvent, ToSwarm, behaviour::ConnectionEstablished, derive_prelude::Either,
    },
};
use tokio::time::{Sleep, sleep};

use crate::address;

/// Addresses are tested again after at most so many times the first wait: with 15 minutes, every 4 hours.
const WAIT_GROWTH_MAX: u32 = 16;
/// A test ends within this time, by AutoNAT's own time-out.
const TEST_MAX: Duration = Duration::from_secs(12);
/// After a change of this machine's own addresses, refuted ones are tested again once it has settled.
const SETTLED: Duration = Duration::from_secs(10);

/// What a connection's handler of the client says. libp2p makes the type public and does not name it.
trait Reports {
    type Report;
}

impl<L, R> Reports for Either<L, R> {
    type Report = L;
}

type Report = <THandlerOutEvent<client::Behaviour> as Reports>::Report;

/// The client.
pub(crate) struct Retests {
    inner: client::Behaviour,
    config: client::Config,
    links: HashMap<ConnectionId, Link>,
    /// Addresses to test that have not come through.
    questions: HashSet<Multiaddr>,
    refuted: bool,
    asked: Option<Instant>,
    first_wait: Duration,
    wait: Duration,
    next: Option<Pin<Box<Sleep>>>,
}

struct Link {
    peer: PeerId,
    point: ConnectedPoint,
    /// Whether the node there tests addresses.
    tests: bool,
}

fn client(config: client::Config) -> client::Behaviour {
    client::Behaviour::new(rand::make_rng::<rand::rngs::StdRng>(), config)
}

impl Retests {
    /// One whose refuted addresses are tested again after `first_wait`, then after twice as long each time.
    pub(crate) fn new(config: client::Config, first_wait: Duration) -> Self {
        Self {
            inner: client(config),
            config,
            links: HashMap::new(),
            questions: HashSet::new(),
            refuted: false,
            asked: None,
            first_wait,
            wait: first_wait,
            next: None,
        }
    }

    /// Begins anew with what is in question.
    fn renew(&mut self) {
        tracing::debug!(addresses = self.questions.len(), "addresses are tested again");
        self.inner = client(self.config);
        for (id, Link { peer, point, tests }) in &self.links {
            let (peer_id, connection_id, failed_addresses, other_established) = (*peer, *id, &[][..], 0);
            let endpoint = point;
            self.inner.on_swarm_event(FromSwarm::ConnectionEstablished(ConnectionEstablished {
                peer_id,
                connection_id,
                endpoint,
                failed_addresses,
                other_established,
            }));
            if *tests {
                self.inner.on_connection_handler_event(*peer, *id, Either::Left(Report::PeerHasServerSupport));
            }
        }
        for addr in &self.questions {
            self.inner.on_swarm_event(FromSwarm::NewExternalAddrCandidate(NewExternalAddrCandidate { addr }));
        }
        self.refuted = false;
    }

    fn on_tested(&mut self, event: &client::Event) {
        if event.result.is_ok() {
            self.questions.remove(&event.tested_addr);
            self.wait = self.first_wait;
        } else {
            self.refuted = true;
            if self.next.is_none() {
                self.next = Some(Box::pin(sleep(self.wait)));
                self.wait = (self.wait * 2).min(self.first_wait * WAIT_GROWTH_MAX);
            }
        }
    }

    /// This machine has other addresses: what was true of it may not be.
    fn on_moved(&mut self, address: &Multiaddr) {
        if self.refuted && !address::is_circuit(address) {
            self.wait = self.first_wait;
            self.next = Some(Box::pin(sleep(SETTLED.min(self.first_wait))));
        }
    }

    fn poll_renewal(&mut self, cx: &mut Context<'_>) {
        while let Some(next) = &mut self.next
            && next.as_mut().poll(cx).is_ready()
        {
            let is_testing = self.asked.is_some_and(|asked| asked.elapsed() < TEST_MAX.min(self.first_wait));
            self.next = is_testing.then(|| Box::pin(sleep(TEST_MAX.min(self.first_wait))));
            if !is_testing {
                self.renew();
            }
        }
    }
}

impl NetworkBehaviour for Retests {
    type ConnectionHandler = <client::Behaviour as NetworkBehaviour>::ConnectionHandler;
    type ToSwarm = client::Event;

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.inner.handle_established_inbound_connection(id, peer, local, remote)
    }

    fn handle_established_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.inner.handle_established_outbound_connection(id, peer, address, role, port)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match &event {
            FromSwarm::ConnectionEstablished(new) => {
                let (peer, point) = (new.peer_id, new.endpoint.clone());
                self.links.insert(new.connection_id, Link { peer, point, tests: false });
            }
            FromSwarm::ConnectionClosed(closed) => drop(self.links.remove(&closed.connection_id)),
            FromSwarm::NewExternalAddrCandidate(candidate) => drop(self.questions.insert(candidate.addr.clone())),
            FromSwarm::NewListenAddr(listening) => self.on_moved(listening.addr),
            FromSwarm::ExpiredListenAddr(expired) => self.on_moved(expired.addr),
            _ => {}
        }
        self.inner.on_swarm_event(event);
    }

    fn on_connection_handler_event(&mut self, peer: PeerId, id: ConnectionId, event: THandlerOutEvent<Self>) {
        let link = self.links.get_mut(&id);
        match (&event, link) {
            (Either::Left(Report::PeerHasServerSupport), Some(link)) => link.tests = true,
            (Either::Left(Report::TestOutcome { .. }), _) => self.asked = None,
            _ => {}
        }
        self.inner.on_connection_handler_event(peer, id, event);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        self.poll_renewal(cx);
        let order = self.inner.poll(cx);
        match &order {
            Poll::Ready(ToSwarm::GenerateEvent(event)) => self.on_tested(event),
            Poll::Ready(ToSwarm::NotifyHandler { .. }) => self.asked = Some(Instant::now()),
            _ => {}
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use futures::StreamExt;
    use libp2p::{Swarm, SwarmBuilder, autonat::v2::server, identify, noise, swarm::SwarmEvent, tcp, yamux};
    use tokio::time::timeout;

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(30);

    /// Nodes tell each other by identify which protocols they speak.
    #[derive(NetworkBehaviour)]
    struct Told<B: NetworkBehaviour> {
        autonat: B,
        identify: identify::Behaviour,
    }

    fn swarm<B: NetworkBehaviour>(autonat: B) -> Swarm<Told<B>> {
        SwarmBuilder::with_new_identity()
            .with_tokio()
            .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
            .unwrap()
            .with_behaviour(|keys| {
                let identify = identify::Behaviour::new(identify::Config::new("test".into(), keys.public()));
                Told { autonat, identify }
            })
            .unwrap()
            .with_swarm_config(|config| config.with_idle_connection_timeout(DEADLINE))
            .build()
    }

    /// Whether the address came through when it was tested next.
    async fn tested(
        address: &Multiaddr,
        client: &mut Swarm<Told<Retests>>,
        server: &mut Swarm<Told<server::Behaviour>>,
    ) -> bool {
        let ends = async {
            loop {
                tokio::select! {
                    _ = server.select_next_some() => {}
                    event = client.select_next_some() => match event {
                        SwarmEvent::Behaviour(ToldEvent::Autonat(event)) if event.tested_addr == *address => {
                            return event.result.is_ok();
                        }
                        _ => {}
                    }
                }
            }
        };
        timeout(DEADLINE, ends).await.expect("it is tested")
    }

    #[tokio::test]
    async fn an_address_that_nobody_came_through_at_is_tested_again_and_may_come_through() {
        let config = client::Config::default().with_probe_interval(Duration::from_millis(50));
        let mut client = swarm(Retests::new(config, Duration::from_millis(300)));
        let mut server = swarm(server::Behaviour::default());
        server.listen_on("/ip4/127.0.0.1/tcp/0".parse().unwrap()).unwrap();
        let at = loop {
            if let SwarmEvent::NewListenAddr { address, .. } = server.select_next_some().await {
                break address;
            }
        };
        client.dial(at).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address: Multiaddr = format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap();
        let candidate = NewExternalAddrCandidate { addr: &address };
        client.behaviour_mut().on_swarm_event(FromSwarm::NewExternalAddrCandidate(candidate));
        assert!(!tested(&address, &mut client, &mut server).await, "nobody listens there");
        assert!(!tested(&address, &mut client, &mut server).await, "and still not");
        client.listen_on(address.clone()).unwrap();
        while !tested(&address, &mut client, &mut server).await {}
        let known = &client.behaviour().autonat;
        assert!(!known.questions.contains(&address), "it need not be tested any more");
        assert!(client.external_addresses().any(|confirmed| *confirmed == address));
    }
}
