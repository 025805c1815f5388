//! The libp2p protocols a node speaks and how they are set up. Also the gate through which all dialling passes, that of
//! Kademlia's look-ups too: it drops addresses that lead nowhere and all but the best way. Not here: what is done with
//! events, which is the driver's business; whom the firewall lets through (`doorman`).

mod gossip;
mod meeting;
mod subnets;
mod traversal;

use std::{
    collections::HashSet,
    num::NonZeroUsize,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use dsn_core::{membership::Refused, network_name::NetworkName, ports::Handler};
use libp2p::{
    Multiaddr, PeerId, StreamProtocol, Swarm,
    connection_limits::{self, ConnectionLimits},
    core::{Endpoint, transport::PortUse},
    identify, kad, mdns, memory_connection_limits, ping, relay,
    request_response::{self, ProtocolSupport},
    swarm::{
        self, ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent, THandlerOutEvent,
        ToSwarm, behaviour::toggle::Toggle,
    },
};

use self::{gossip::Quiet, meeting::Meeting, subnets::Subnets, traversal::Traversal};
pub(crate) use self::{
    gossip::topic,
    meeting::{MeetingEvent, PROTOCOL as RENDEZVOUS},
    traversal::TraversalEvent,
};
use crate::{
    address,
    caps::Meters,
    club::Club,
    codec::Codec,
    crawl::LOOK_UP_RESULTS,
    doorman::{Doorman, Firewalled},
    error::NetError,
    identity::{keypair, node_id},
    lists::{self, Lists},
    manners::Manners,
    options::NetOptions,
    transport,
    window::{CALLS_MAX_PER_NODE, budget},
};

/// Streams of our protocol on one connection, both directions together. Above the calls that two honest nodes have in
/// flight to each other; what exceeds it is dropped.
const STREAMS_MAX_PER_CONNECTION: usize = 256;
/// Connections to one node: one, and those of a moment in which both sides dialled.
const CONNECTIONS_MAX_PER_NODE: u32 = 4;
/// Handshakes in progress with strangers, so that a flood of them leaves memory and CPU.
const HANDSHAKES_MAX: u32 = 128;
/// A look-up that takes longer is given up; one hop is bounded by the dial time-out.
const LOOK_UP_TIMEOUT: Duration = Duration::from_secs(20);
/// Nodes that a look-up asks at once: half of what it wants to find, so that a small network answers in two round trips.
const LOOK_UP_PARALLELISM: NonZeroUsize = NonZeroUsize::new(8).expect("8 is not 0");

/// Addresses of this node that others are asked to try. More are told by a gateway that gives every connection another
/// port, or by liars.
const CANDIDATES_MAX: usize = 32;

const _: () = assert!(2 * CALLS_MAX_PER_NODE <= STREAMS_MAX_PER_CONNECTION);
const _: () = assert!(LOOK_UP_RESULTS == kad::K_VALUE.get());

/// The protocols. The limits come first: what they deny, the others must not have counted already.
#[derive(NetworkBehaviour)]
pub(crate) struct Protocols {
    limits: connection_limits::Behaviour,
    memory: memory_connection_limits::Behaviour,
    pub(crate) rpc: request_response::Behaviour<Codec>,
    pub(crate) kad: Toggle<kad::Behaviour<kad::store::MemoryStore>>,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    mdns: Toggle<mdns::tokio::Behaviour>,
    pub(crate) traversal: Traversal,
    pub(crate) meeting: Meeting,
    /// In closed networks.
    pub(crate) lists: Toggle<request_response::Behaviour<Lists>>,
    pub(crate) gossip: Toggle<Quiet>,
}

/// The protocols behind the gate.
pub(crate) struct Gate {
    pub(crate) protocols: Protocols,
    /// Addresses that others say this node has.
    candidates: HashSet<Multiaddr>,
    subnets: Subnets,
    pub(crate) manners: Manners,
    pub(crate) doorman: Doorman,
    club: Option<Arc<Club>>,
}

/// The names of a network's protocols.
pub(crate) struct Names {
    pub(crate) kad: StreamProtocol,
    pub(crate) rpc: StreamProtocol,
    pub(crate) identify: String,
    lists: StreamProtocol,
}

impl Names {
    pub(crate) fn new(network: &NetworkName) -> Self {
        let name = |kind: &str| format!("/dsn/{network}/{kind}/1");
        let protocol = |kind| StreamProtocol::try_from_owned(name(kind)).expect("the name starts with a slash");
        Self { kad: protocol("kad"), rpc: protocol("rpc"), identify: name("id"), lists: protocol("members") }
    }
}

/// The network that a node's word of itself names.
pub(crate) fn network_of(identify: &str) -> Option<NetworkName> {
    identify.strip_prefix("/dsn/")?.strip_suffix("/id/1")?.parse().ok()
}

/// Sets everything up; nothing listens or dials yet.
pub(crate) fn build(
    options: &NetOptions,
    handler: Arc<dyn Handler>,
    club: Option<Arc<Club>>,
    meters: &Arc<Meters>,
) -> Result<Swarm<Gate>, NetError> {
    let keys = keypair(&options.identity);
    let (transport, circuits) = transport::build(&keys, options, club.clone())?;
    let (meters, silence) = (Arc::clone(meters), options.waits.silence);
    let codec = Codec { handler, incoming: budget(options.room.incoming), meters, silence };
    let gate = Gate {
        protocols: protocols(options, codec, circuits, club.clone()),
        candidates: HashSet::new(),
        subnets: Subnets::default(),
        manners: Manners::default(),
        doorman: Doorman::new(Arc::clone(&options.guard), club.clone()),
        club,
    };
    let config = swarm::Config::with_tokio_executor().with_idle_connection_timeout(options.waits.idle);
    Ok(Swarm::new(transport, gate, keys.public().to_peer_id(), config))
}

fn protocols(
    options: &NetOptions,
    codec: Codec,
    circuits: relay::client::Behaviour,
    club: Option<Arc<Club>>,
) -> Protocols {
    let names = Names::new(&options.network);
    let keys = keypair(&options.identity);
    let local = keys.public().to_peer_id();
    let rpc = request_response::Config::default()
        .with_request_timeout(options.waits.bulk)
        .with_max_concurrent_streams(STREAMS_MAX_PER_CONNECTION);
    let identify = identify::Config::new(names.identify, keys.public())
        .with_agent_version(concat!("dsn/", env!("CARGO_PKG_VERSION")).into())
        .with_push_listen_addr_updates(true)
        .with_cache_size(0); // it would keep addresses that nobody filtered
    Protocols {
        limits: connection_limits::Behaviour::new(limits(options)),
        memory: memory_connection_limits::Behaviour::with_max_bytes(options.room.process),
        rpc: request_response::Behaviour::with_codec(codec, [(names.rpc, ProtocolSupport::Full)], rpc),
        kad: options.dht.then(|| kademlia(names.kad, local, options)).into(),
        identify: identify::Behaviour::new(identify),
        ping: ping::Behaviour::new(ping::Config::new().with_interval(options.waits.ping)),
        mdns: multicast(options, local).into(),
        traversal: Traversal::new(options, local, circuits, club),
        meeting: Meeting::new(keys, options.rendezvous_point),
        lists: options.membership.as_ref().map(|_| lists::behaviour(names.lists)).into(),
        gossip: options.announcements.then(|| gossip::gossip(&options.network)).into(),
    }
}

fn limits(options: &NetOptions) -> ConnectionLimits {
    ConnectionLimits::default()
        .with_max_pending_incoming(Some(HANDSHAKES_MAX))
        .with_max_established(Some(options.room.connections))
        .with_max_established_per_peer(Some(CONNECTIONS_MAX_PER_NODE))
}

/// Kademlia finds nodes and keeps nothing: no records, no providers, no timer of its own.
fn kademlia(name: StreamProtocol, local: PeerId, options: &NetOptions) -> kad::Behaviour<kad::store::MemoryStore> {
    let mut config = kad::Config::new(name);
    config
        .set_query_timeout(LOOK_UP_TIMEOUT)
        .set_parallelism(LOOK_UP_PARALLELISM)
        .set_substreams_timeout(options.waits.dial)
        .set_kbucket_inserts(kad::BucketInserts::Manual)
        .set_record_filtering(kad::StoreInserts::FilterBoth)
        .set_replication_interval(None)
        .set_publication_interval(None)
        .set_provider_publication_interval(None)
        .set_periodic_bootstrap_interval(None)
        .set_caching(kad::Caching::Disabled);
    let nothing = kad::store::MemoryStoreConfig {
        max_records: 0,
        max_value_bytes: 0,
        max_providers_per_key: 0,
        max_provided_keys: 0,
    };
    let store = kad::store::MemoryStore::with_config(local, nothing);
    let mut behaviour = kad::Behaviour::with_config(local, store, config);
    behaviour.set_mode(Some(if options.serve { kad::Mode::Server } else { kad::Mode::Client }));
    behaviour
}

fn multicast(options: &NetOptions, local: PeerId) -> Option<mdns::tokio::Behaviour> {
    if !options.mdns {
        return None;
    }
    mdns::tokio::Behaviour::new(mdns::Config::default(), local)
        .inspect_err(|error| tracing::warn!(%error, "mDNS is not available"))
        .ok()
}

impl Gate {
    fn is_worth_probing(&mut self, candidate: &Multiaddr) -> bool {
        let (bare, _) = address::split(candidate);
        if self.candidates.contains(&bare) {
            return true;
        }
        let is_worth_it = address::is_public(&bare) && self.candidates.len() < CANDIDATES_MAX;
        is_worth_it && self.candidates.insert(bare)
    }

    /// Whatever way a connection came: in a closed network nobody is spoken to who has not shown to be a member.
    fn check(&self, peer: &PeerId) -> Result<(), ConnectionDenied> {
        let Some(club) = &self.club else { return Ok(()) };
        let checked = node_id(peer).ok_or(Refused::Forged).and_then(|node| club.check(&node));
        checked.map_err(ConnectionDenied::new)
    }
}

impl NetworkBehaviour for Gate {
    type ConnectionHandler = <Protocols as NetworkBehaviour>::ConnectionHandler;
    type ToSwarm = ProtocolsEvent;

    fn handle_pending_inbound_connection(
        &mut self,
        id: ConnectionId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        if !self.subnets.may_begin(remote) {
            return Err(ConnectionDenied::new("too many of this subnet"));
        }
        self.doorman.knock(remote)?;
        self.protocols.handle_pending_inbound_connection(id, local, remote)
    }

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        if node_id(&peer).is_some_and(|node| self.manners.is_banned(&node, Instant::now())) {
            return Err(ConnectionDenied::new("shut out for a while"));
        }
        self.check(&peer)?;
        let entry = self.doorman.enter(&peer, remote)?;
        let handler = self.protocols.handle_established_inbound_connection(id, peer, local, remote)?;
        self.subnets.stands(id, remote);
        self.doorman.entered(id, entry);
        Ok(handler)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: Option<PeerId>,
        addresses: &[Multiaddr],
        role: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        let mut known = self.protocols.handle_pending_outbound_connection(id, peer, addresses, role)?;
        known.retain(|known| address::is_routable(&address::split(known).0));
        let node = peer.as_ref().and_then(node_id);
        let may_dial = |address: &Multiaddr| self.doorman.may_dial(node, address);
        let had = addresses.len() + known.len();
        known.retain(may_dial);
        if had > 0 && known.is_empty() && !addresses.iter().any(may_dial) {
            return Err(ConnectionDenied::new(Firewalled));
        }
        Ok(address::best_way(known))
    }

    fn handle_established_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        if !self.doorman.may_dial(node_id(&peer), address) {
            return Err(ConnectionDenied::new(Firewalled));
        }
        self.check(&peer)?;
        self.protocols.handle_established_outbound_connection(id, peer, address, role, port)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        if let FromSwarm::ConnectionClosed(closed) = &event {
            self.subnets.ended(closed.connection_id);
            self.doorman.left(closed.connection_id);
        }
        if let FromSwarm::NewExternalAddrCandidate(candidate) = &event
            && !self.is_worth_probing(candidate.addr)
        {
            return;
        }
        self.protocols.on_swarm_event(event);
    }

    fn on_connection_handler_event(&mut self, peer: PeerId, id: ConnectionId, event: THandlerOutEvent<Self>) {
        self.protocols.on_connection_handler_event(peer, id, event);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        self.protocols.poll(cx)
    }
}
