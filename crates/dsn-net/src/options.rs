//! What a node is started with: plain values, already parsed by whoever reads flags and files. Addresses are checked by
//! `Node::start`, which turns a bad one into a typed error.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use dsn_core::{
    hello::Versions,
    identity::Identity,
    limits::BODIES_MAX_BYTES,
    membership::Membership,
    network_name::NetworkName,
    node_id::NodeId,
    ports::{Guard, Open},
    psk::PreSharedKey,
};

use crate::caps::Cap;

/// What a node is started with.
#[derive(Clone, Debug)]
pub struct NetOptions {
    /// The node's key.
    pub identity: Identity,
    /// The network; in every protocol name, so that nodes of two networks never talk.
    pub network: NetworkName,
    /// Whether the node serves the DHT (farmers) or only asks (the command line).
    pub serve: bool,
    /// Where to listen; port 0 lets the system choose. Empty for a node that only dials.
    pub listen: Vec<String>,
    /// Addresses to announce besides those listened on.
    pub external: Vec<String>,
    /// Where the network is found, with or without `/p2p/ID` at the end.
    pub bootstrap: Vec<String>,
    /// Servers known from an earlier run, as [`crate::Node::good_peers`] gave them.
    pub remembered: Vec<(NodeId, Vec<String>)>,
    /// Whether nodes are found by, and served with, the DHT. Without it a node knows whom it was told of and who has said hello
    /// to it, which is enough where all name each other.
    pub dht: bool,
    /// Whether nodes on the same LAN are looked for.
    pub mdns: bool,
    /// Whether the gateway is asked to open a port (UPnP).
    pub upnp: bool,
    /// Whether calls are put through to nodes that nobody can dial, once others can dial this one.
    pub relay: bool,
    /// Whether rendezvous points among the nodes met are used to find others.
    pub rendezvous: bool,
    /// Whether this node is such a point.
    pub rendezvous_point: bool,
    /// Whether it hears announcements and hands them on.
    pub announcements: bool,
    /// Who is asked before a connection stands or a request goes either way.
    pub guard: Arc<dyn Guard>,
    /// In a closed network: for whom the node acts. Then nothing is said to anybody who is no member.
    pub membership: Option<Membership>,
    /// A key that covers all TCP connections below their encryption. Then there is nothing but TCP.
    pub psk: Option<PreSharedKey>,
    /// Certificates (DER) of authorities that are trusted, besides those of the web, to say who a WebSocket server with TLS is.
    /// Which node answers behind it is proved by the node itself.
    pub authorities: Vec<Bytes>,
    /// Which versions of the protocol are spoken; tests name others, to be refused.
    pub versions: Versions,
    /// Time-outs.
    pub waits: Waits,
    /// Bounds on memory.
    pub room: Room,
    /// Bytes of pieces that go out in a second.
    pub upload: Cap,
    /// Bytes of pieces that come in in a second.
    pub download: Cap,
}

/// Time-outs; the tests shorten them.
#[derive(Clone, Copy, Debug)]
pub struct Waits {
    /// For the answer to a request that carries or asks for pieces. 1 MiB at 17 KiB/s.
    pub bulk: Duration,
    /// For the answer to any other request.
    pub control: Duration,
    /// For a connection, handshakes included. Longer than three round trips around the world.
    pub dial: Duration,
    /// After which an unused connection is closed. Long, because redialling costs 3 ms of CPU on each side.
    pub idle: Duration,
    /// A stream with nothing on it is closed after this; the byte-rate floor starts counting here.
    pub silence: Duration,
    /// A first question waits this long for somebody of the network to be there.
    pub seed: Duration,
    /// A node that could not be reached is not dialled again for this long; for twice and then four times as long when
    /// that goes on. A new address or a connection from it ends this.
    pub down: Duration,
    /// Between two pings of a connected node.
    pub ping: Duration,
    /// Between two looks at whether what this node says of itself has changed: it is said anew no more often.
    pub hello: Duration,
    /// After which an address is tested again at which nobody came through; twice as long each time, up to 16 times as long.
    pub retest: Duration,
}

/// Bounds on memory, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Requests on their way, or the answers expected to them, to all nodes together.
    pub outgoing: usize,
    /// Bodies of store requests being received or handled.
    pub incoming: usize,
    /// Answers that carry pieces, being made or sent.
    pub answers: usize,
    /// Connections, in both directions together.
    pub connections: u32,
    /// Of the process: beyond it nobody new is let in.
    pub process: usize,
}

impl NetOptions {
    /// A client that knows nobody: every other field at its usual value.
    pub fn new(identity: Identity, network: NetworkName) -> Self {
        Self {
            identity,
            network,
            serve: false,
            listen: Vec::new(),
            external: Vec::new(),
            bootstrap: Vec::new(),
            remembered: Vec::new(),
            dht: true,
            mdns: true,
            upnp: false,
            relay: false,
            rendezvous: true,
            rendezvous_point: false,
            announcements: false,
            guard: Arc::new(Open),
            membership: None,
            psk: None,
            authorities: Vec::new(),
            versions: Versions::KNOWN,
            waits: Waits::default(),
            room: Room::default(),
            upload: Cap::default(),
            download: Cap::default(),
        }
    }
}

impl Default for Waits {
    fn default() -> Self {
        Self {
            bulk: Duration::from_secs(60),
            control: Duration::from_secs(10),
            dial: Duration::from_secs(3),
            idle: Duration::from_secs(90),
            silence: Duration::from_secs(10),
            seed: Duration::from_secs(10),
            down: Duration::from_secs(3),
            ping: Duration::from_secs(15),
            hello: Duration::from_secs(10),
            retest: Duration::from_secs(15 * 60),
        }
    }
}

impl Default for Room {
    fn default() -> Self {
        const { assert!(BODIES_MAX_BYTES <= 16 << 20, "every budget holds at least one full message") }
        Self { outgoing: 64 << 20, incoming: 32 << 20, answers: 16 << 20, connections: 768, process: 2 << 30 }
    }
}
