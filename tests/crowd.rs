//! Farmers by the hundred in one process, each with a real node on loopback: a small and a large network work, and what each
//! more costs. `DSN_CROWD=3,50,200 cargo test --test crowd -- --nocapture` prints the table of benches/README.md. They speak QUIC, which
//! takes one socket a node: with TCP, 200 farmers of one process take more descriptors than most systems give. They do not
//! go their rounds: if all do at once, all meet each other, over 20,000 connections. `upkeep.rs` shows those.
#![expect(clippy::print_stderr, reason = "it says what it measured")]

#[path = "support/spent.rs"]
mod spent;

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use dsn_client::{
    Client, ClientOptions, ClientParts, NoProgress, PutOptions, input::MemoryInput, output::MemoryOutput,
};
use dsn_core::{
    identity::Identity,
    network_name::NetworkName,
    ports::{Environment, Handler, InlineCompute, Network},
};
use dsn_farmer::{Farmer, FarmerOptions, FarmerParts, UnlimitedDisk};
use dsn_net::{NetOptions, Node, Room, address_to_bytes};
use dsn_store::MemoryStore;
use spent::Spent;

const FILE_BYTES: usize = 40 << 20;

struct System;

impl Environment for System {
    fn unix_secs(&self) -> u64 {
        std::time::UNIX_EPOCH.elapsed().expect("after 1970").as_secs()
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        rand::fill(bytes);
    }
}

fn network_name() -> NetworkName {
    "crowd".parse().expect("a valid name")
}

fn identity(number: u16) -> Identity {
    let mut seed = [7; 32];
    seed[..2].copy_from_slice(&number.to_le_bytes());
    Identity::from_seed(seed)
}

fn net_options(number: u16, first: Option<&Node>) -> NetOptions {
    let bootstrap = first.map(Node::listen_addrs).unwrap_or_default();
    let room = Room { process: usize::MAX, ..Room::default() }; // it is the process of all of them
    NetOptions { mdns: false, bootstrap, room, ..NetOptions::new(identity(number), network_name()) }
}

async fn farmer(number: u16, first: Option<&Node>) -> Node {
    let parts = FarmerParts {
        store: Arc::new(MemoryStore::new()),
        disk: Arc::new(UnlimitedDisk),
        compute: Arc::new(InlineCompute),
        environment: Arc::new(System),
        identity: identity(number),
        network_name: network_name(),
    };
    let farmer = Arc::new(Farmer::new(parts, FarmerOptions::lending(1 << 30)));
    let options = NetOptions {
        serve: true,
        listen: vec!["/ip4/127.0.0.1/udp/0/quic-v1".into()],
        announcements: true,
        ..net_options(number, first)
    };
    let node = Node::start(options, Arc::clone(&farmer) as Arc<dyn Handler>).await.expect("it starts");
    let addresses = node.listen_addrs();
    let addresses = addresses.iter().map(|address| address_to_bytes(address).expect("an address"));
    farmer.set_addresses(addresses.collect(), true);
    node
}

/// Starts so many, puts a file and gets it again.
async fn works(count: u16) {
    let (begin, before) = (Instant::now(), Spent::so_far());
    let mut town: Vec<Node> = Vec::new();
    for number in 0..count {
        // Each knows one of those before it, as people do who are invited.
        town.push(farmer(number, town.get(usize::from(number) / 2).or(town.first())).await);
    }
    let node =
        Node::start(net_options(count, town.first()), Arc::new(dsn_core::ports::NoService)).await.expect("starts");
    let parts = ClientParts {
        network: Arc::new(node.clone()),
        compute: Arc::new(InlineCompute),
        environment: Arc::new(System),
        owner: identity(count),
        network_name: network_name(),
    };
    let client = Client::new(parts, ClientOptions::default());
    let mut seen = 0;
    while seen < usize::from(count) {
        assert!(begin.elapsed().as_secs() < 300, "a client sees {seen} of {count} farmers");
        // While all farmers meet each other, the first one may be too busy to answer.
        seen = node.snapshot(true).await.map_or(0, |snapshot| snapshot.nodes.len());
    }
    let (found, after) = (begin.elapsed(), Spent::so_far());
    let file: Bytes = (0..FILE_BYTES).map(|at| u8::try_from(at * 31 % 251).expect("under 251")).collect();
    let put = Instant::now();
    let report =
        client.put(&mut MemoryInput::new(file.clone()), PutOptions::default(), &NoProgress).await.expect("put");
    assert!(report.farmers >= usize::from(count).min(36), "of each of three chunks, 36 pieces: {report:?}");
    let (put, get) = (put.elapsed(), Instant::now());
    let mut copy = MemoryOutput::default();
    client.get(report.cid, &mut copy, &NoProgress).await.expect("get");
    assert!(copy.bytes == file, "it is the same file");
    eprintln!(
        "{count:3} farmers: found by a client after {:.1} s; {:.0} ms CPU and {:.0} KiB a farmer; put {:.2} s, get {:.2} s",
        found.as_secs_f64(),
        (after.cpu_secs - before.cpu_secs) * 1000.0 / f64::from(count),
        (after.sent_bytes - before.sent_bytes) / 1024.0 / f64::from(count),
        put.as_secs_f64(),
        get.elapsed().as_secs_f64(),
    );
    node.shutdown().await;
    for farmer in town {
        farmer.shutdown().await;
    }
}

#[test]
fn networks_of_3_and_of_200_farmers_work() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let sizes = std::env::var("DSN_CROWD").unwrap_or_else(|_| "3,200".into());
    runtime.block_on(async {
        for count in sizes.split(',') {
            works(count.parse().expect("DSN_CROWD is numbers of farmers, with commas")).await;
        }
    });
}
