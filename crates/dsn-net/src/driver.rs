//! The one task that owns the swarm. It only dispatches: connections are in `driver/peers.rs`, requests in both directions
//! in `driver/rpc.rs`, what the firewall says of them in `driver/guard.rs`, who speaks which version in `driver/hello.rs`,
//! look-ups and snapshots in `driver/kad.rs`, gateways and relays in `driver/nat.rs`, what everybody is told in
//! `driver/announcements.rs`. Invariant: nothing here waits; what takes time is a spawned task held in a set, or state
//! that a later event finds.

mod announcements;
mod guard;
mod hello;
mod kad;
mod members;
mod nat;
mod peers;
mod rendezvous;
mod rpc;

use std::{
    collections::HashMap,
    net::{IpAddr, TcpListener},
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use dsn_core::{
    announcement::Announcement,
    firewall::Kind,
    network_name::NetworkName,
    node_id::NodeId,
    ports::{Guard, Handler, KnownNode, NetworkError, PeerEvidence, Snapshot},
    rpc::{Response, frame::Frame},
};
use futures::StreamExt;
use libp2p::{Multiaddr, Swarm, TransportError, core::transport::ListenerId, swarm::SwarmEvent};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
    time::{MissedTickBehavior, interval, timeout},
};

use crate::{
    address,
    behaviour::{self, Gate, Names, ProtocolsEvent},
    book::Book,
    caps::Meters,
    club::Club,
    error::NetError,
    options::{NetOptions, Waits},
    reach::{Evidence, Reach},
    window::Lease,
};

/// Between two looks at deadlines, duplicate connections and missing bootstrap nodes.
const TICK: Duration = Duration::from_millis(250);
/// For listeners to report the address they got from the system.
const LISTEN_TIMEOUT: Duration = Duration::from_secs(5);
/// For one that has reported an address to report its next.
const MORE_ADDRESSES: Duration = Duration::from_millis(10);

/// What the handle asks of the driver.
pub(crate) enum Command {
    Request {
        to: NodeId,
        kind: Kind,
        frame: Frame,
        lease: Lease,
        /// Whether it does no harm twice, so that a lost connection may be made up for.
        repeatable: bool,
        /// Whether it carries or asks for pieces.
        bulk: bool,
        reply: oneshot::Sender<Result<Response, NetworkError>>,
    },
    Snapshot {
        fresh: bool,
        reply: oneshot::Sender<Result<Snapshot, NetworkError>>,
    },
    LookUp {
        key: [u8; 32],
        reply: oneshot::Sender<Result<Vec<NodeId>, NetworkError>>,
    },
    KnownNodes {
        reply: oneshot::Sender<Vec<KnownNode>>,
    },
    GoodPeers {
        reply: oneshot::Sender<Vec<(NodeId, Vec<String>)>>,
    },
    Origins {
        reply: oneshot::Sender<Vec<(NodeId, IpAddr)>>,
    },
    Introduce {
        node: NodeId,
        addresses: Vec<Multiaddr>,
    },
    Report {
        node: NodeId,
        evidence: PeerEvidence,
    },
    Announce(Announcement),
    /// Other rules hold.
    Enforce {
        reply: oneshot::Sender<()>,
    },
    Shutdown,
}

/// What the handle reads without asking.
#[derive(Debug)]
pub(crate) struct Shared {
    local: NodeId,
    listening: RwLock<Vec<Multiaddr>>,
    pub(crate) reach: watch::Sender<Reach>,
    pub(crate) meters: Arc<Meters>,
    /// Bootstrap addresses at which a node was met that is none of this network, and what it is.
    pub(crate) strays: RwLock<Vec<Stray>>,
    /// In a closed network.
    pub(crate) club: Option<Arc<Club>>,
}

impl Shared {
    pub(crate) fn listen_addrs(&self) -> Vec<String> {
        let listening = self.listening.read().unwrap_or_else(PoisonError::into_inner);
        let mut listening: Vec<_> = listening.iter().collect();
        listening.sort_by_key(|address| address::way(address)); // the first is what people copy
        listening.into_iter().map(|address| address::with_id(address, &self.local)).collect()
    }
}

/// A bootstrap address that leads to somebody else's network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stray {
    /// The address, as it was given.
    pub address: String,
    /// What the node there is, or says of this one.
    pub reason: String,
}

/// A driver at work.
pub(crate) struct Started {
    pub(crate) shared: Arc<Shared>,
    pub(crate) driver: JoinHandle<()>,
}

struct Driver {
    local: NodeId,
    serve: bool,
    /// Whether there is Kademlia.
    dht: bool,
    waits: Waits,
    network: NetworkName,
    guard: Arc<dyn Guard>,
    names: Names,
    swarm: Swarm<Gate>,
    inbox: mpsc::Receiver<Command>,
    shared: Arc<Shared>,
    /// Listeners, and what was asked for, until each has reported an address.
    silent_listeners: HashMap<ListenerId, String>,
    book: Book,
    /// The number of the list of revocations that was last handed on.
    list_told: u64,
    dials: peers::Dials,
    calls: rpc::Calls,
    serving: rpc::Serving,
    hellos: hello::Hellos,
    finder: kad::Finder,
    nat: nat::Nat,
    visits: rendezvous::Visits,
    ears: announcements::Ears,
}

/// Starts listening, then the driver's task. Dropping the future stops everything.
pub(crate) async fn start(
    options: NetOptions,
    handler: Arc<dyn Handler>,
    inbox: mpsc::Receiver<Command>,
) -> Result<Started, NetError> {
    let mut driver = Driver::new(&options, handler, inbox)?;
    for address in &options.listen {
        match driver.listen(address) {
            // Where there is no IPv6, listening on all of its addresses is asked for by those who do not care.
            Err(error @ NetError::Listen { .. }) if address.starts_with("/ip6/::/") && driver.has_listeners() => {
                tracing::info!(%error, "no IPv6 here");
            }
            listening => listening?,
        }
    }
    for address in &options.external {
        let address = address::split(&address::parse(address)?).0;
        driver.nat.evidence.claimed(address.clone());
        driver.swarm.add_external_address(address);
    }
    if timeout(LISTEN_TIMEOUT, driver.listeners_up()).await.is_err() {
        let address = driver.silent_listeners.into_values().next().unwrap_or_default();
        return Err(NetError::ListenTimeout { address, after: LISTEN_TIMEOUT });
    }
    driver.reach_changed();
    Ok(Started { shared: Arc::clone(&driver.shared), driver: tokio::spawn(driver.run()) })
}

impl Driver {
    fn new(options: &NetOptions, handler: Arc<dyn Handler>, inbox: mpsc::Receiver<Command>) -> Result<Self, NetError> {
        let local = options.identity.node_id();
        let dials = peers::Dials::new(options)?;
        let patience = options.waits.bulk / 2; // the other half is for the way
        let meters = Arc::new(Meters::new(&options.upload, &options.download, patience));
        let reach = watch::Sender::new(Evidence::default().reach(&local));
        let club = options.membership.clone().map(|membership| Arc::new(Club::new(local, membership)));
        let shared = Shared {
            local,
            listening: RwLock::default(),
            strays: RwLock::default(),
            reach,
            club: club.clone(),
            meters: Arc::clone(&meters),
        };
        Ok(Self {
            local,
            serve: options.serve,
            dht: options.dht,
            waits: options.waits,
            network: options.network.clone(),
            guard: Arc::clone(&options.guard),
            names: Names::new(&options.network),
            swarm: behaviour::build(options, Arc::clone(&handler), club.clone(), &meters)?,
            inbox,
            shared: Arc::new(shared),
            silent_listeners: HashMap::new(),
            book: Book::default(),
            list_told: options.membership.as_ref().map_or(0, dsn_core::membership::Membership::seq),
            dials,
            hellos: hello::Hellos::new(options, handler.profile()),
            calls: rpc::Calls::default(),
            serving: rpc::Serving::new(handler, options.room.answers, options.waits.silence, meters),
            finder: kad::Finder::default(),
            nat: nat::Nat::default(),
            visits: rendezvous::Visits { enabled: options.rendezvous, ..rendezvous::Visits::default() },
            ears: announcements::Ears::default(),
        })
    }

    fn listen(&mut self, text: &str) -> Result<(), NetError> {
        let address = address::split(&address::parse(text)?).0;
        if let Some(socket) = address::tcp_socket(&address) {
            // libp2p shares TCP ports, so a second node on this one would take half of its connections unnoticed.
            let free = TcpListener::bind(socket);
            drop(free.map_err(|source| NetError::Listen { address: text.to_owned(), source })?);
        }
        let listener = self.swarm.listen_on(address).map_err(|error| match error {
            TransportError::Other(source) => NetError::Listen { address: text.to_owned(), source },
            TransportError::MultiaddrNotSupported(_) => {
                NetError::BadAddress { address: text.to_owned(), reason: "it cannot be listened on" }
            }
        })?;
        self.silent_listeners.insert(listener, text.to_owned());
        Ok(())
    }

    fn has_listeners(&self) -> bool {
        self.swarm.listeners().next().is_some() || !self.silent_listeners.is_empty()
    }

    async fn listeners_up(&mut self) {
        while !self.silent_listeners.is_empty() {
            let event = self.swarm.select_next_some().await;
            self.on_swarm_event(event);
        }
        // A listener on all interfaces reports one after the other.
        while let Ok(event) = timeout(MORE_ADDRESSES, self.swarm.select_next_some()).await {
            self.on_swarm_event(event);
        }
    }

    async fn run(mut self) {
        self.seed(Instant::now()); // before any question, so that what was remembered is known
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                command = self.inbox.recv() => match command {
                    None | Some(Command::Shutdown) => break,
                    Some(command) => self.on_command(command),
                },
                event = self.swarm.select_next_some() => self.on_swarm_event(event),
                Some(served) = self.serving.tasks.join_next_with_id() => self.on_served(served),
                _ = tick.tick() => self.on_tick(Instant::now()),
            }
        }
        self.serving.tasks.shutdown().await;
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Request { to, kind, frame, lease, repeatable, bulk, reply } => {
                self.call(rpc::Outgoing { to, kind, frame, lease, repeatable, bulk, reply });
            }
            Command::Snapshot { fresh, reply } => self.snapshot(fresh, reply),
            Command::LookUp { key, reply } => self.look_up(key, reply),
            Command::KnownNodes { reply } => drop(reply.send(self.book.known())),
            Command::Origins { reply } => drop(reply.send(self.book.origins())),
            Command::GoodPeers { reply } => drop(reply.send(self.book.good())),
            Command::Introduce { node, addresses } => self.on_introduced(node, &addresses),
            Command::Report { node, evidence } => self.on_report(node, evidence),
            Command::Announce(announcement) => self.announce(&announcement),
            Command::Enforce { reply } => {
                self.enforce();
                let _nobody_waits = reply.send(());
            }
            Command::Shutdown => unreachable!("the loop has ended"),
        }
    }

    fn on_swarm_event(&mut self, event: SwarmEvent<ProtocolsEvent>) {
        match event {
            SwarmEvent::Behaviour(event) => self.on_protocol_event(event),
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, concurrent_dial_errors, .. } => {
                self.on_connected(peer_id, connection_id, &endpoint, concurrent_dial_errors.unwrap_or_default());
            }
            SwarmEvent::ConnectionClosed { peer_id, connection_id, .. } => self.on_disconnected(peer_id, connection_id),
            SwarmEvent::OutgoingConnectionError { connection_id, peer_id, error } => {
                self.on_dial_error(connection_id, peer_id, &error);
            }
            SwarmEvent::NewListenAddr { listener_id, address } => self.on_listening(listener_id, address),
            SwarmEvent::ExpiredListenAddr { address, .. } => self.on_not_listening(&[address]),
            SwarmEvent::ListenerClosed { listener_id, addresses, .. } => {
                self.on_not_listening(&addresses);
                self.on_listener_closed(listener_id);
            }
            SwarmEvent::ExternalAddrConfirmed { address } => self.on_address_confirmed(&address),
            SwarmEvent::ExternalAddrExpired { address } => self.on_address_expired(&address),
            SwarmEvent::ListenerError { error, .. } => tracing::warn!(%error, "a listener has trouble"),
            _ => {}
        }
    }

    fn on_protocol_event(&mut self, event: ProtocolsEvent) {
        match event {
            ProtocolsEvent::Rpc(event) => self.on_rpc_event(event),
            ProtocolsEvent::Kad(event) => self.on_kad_event(event),
            ProtocolsEvent::Identify(event) => self.on_identify_event(event),
            ProtocolsEvent::Ping(event) => self.on_ping_event(&event),
            ProtocolsEvent::Mdns(event) => self.on_mdns_event(event),
            ProtocolsEvent::Limits(event) | ProtocolsEvent::Memory(event) => match event {},
            ProtocolsEvent::Traversal(event) => self.on_traversal_event(event),
            ProtocolsEvent::Meeting(event) => self.on_meeting_event(event),
            ProtocolsEvent::Lists(event) => self.on_lists_event(event),
            ProtocolsEvent::Gossip(event) => self.on_gossip_event(event),
        }
    }

    fn on_listening(&mut self, listener: ListenerId, address: Multiaddr) {
        tracing::info!(%address, "listening");
        self.silent_listeners.remove(&listener);
        if self.on_circuit_granted(listener, &address) {
            return;
        }
        if address::is_routable(&address) {
            self.swarm.add_external_address(address.clone());
            self.nat.evidence.listening(address.clone());
            self.reach_changed();
        }
        self.listening(|listening| listening.push(address));
    }

    fn on_not_listening(&mut self, addresses: &[Multiaddr]) {
        for address in addresses {
            tracing::info!(%address, "no longer listening");
            self.swarm.remove_external_address(address);
        }
        self.nat.evidence.not_listening(addresses);
        self.listening(|listening| listening.retain(|address| !addresses.contains(address)));
    }

    fn listening(&self, change: impl FnOnce(&mut Vec<Multiaddr>)) {
        change(&mut self.shared.listening.write().unwrap_or_else(PoisonError::into_inner));
    }

    fn on_report(&mut self, node: NodeId, evidence: PeerEvidence) {
        if evidence == PeerEvidence::WrongBytes {
            tracing::info!(%node, "a node sent wrong bytes");
        }
        if let Some(entry) = self.book.get_mut(&node) {
            entry.judge(evidence);
        }
    }

    fn on_tick(&mut self, now: Instant) {
        self.seed(now);
        self.give_up_late_dials(now);
        self.close_extra_links(now);
        self.close_mute_links(now);
        self.show_out(now);
        self.ask_when_settled(now);
        self.introduce_again(now);
        self.give_up_unseeded(now);
        self.keep_relays(now);
        self.visit_points(now);
        self.give_up_punching(now);
        self.keep_sounding(now);
        self.look_after_members();
        self.look_after_hellos(now);
    }
}
