//! What a network at rest costs each of its nodes: farmers in one process on loopback find each other, then nobody asks
//! for anything. A process for each size, so that one does not count for the next. Not here: what a farmer adds on top
//! (rounds, greetings), which `dsn devnet` shows. `cargo bench --profile dev -p dsn-net --bench idle`; ends by itself
//! within half an hour; `-- 50 20` is one network of 50, at rest for 20 s.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench prints, and fails by panicking")]

#[path = "../../../tests/support/spent.rs"]
mod spent;

use std::{
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use dsn_core::{
    identity::Identity,
    ports::{Network, NoService},
};
use dsn_net::{NetOptions, Node};
use futures::{StreamExt, stream};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use spent::Spent;

/// The sizes to compare. More than about 140 nodes want more descriptors than a limit of 20,000 allows: at first each is
/// connected with all others, and both ends are here.
const NODES: [&str; 3] = ["3", "50", "100"];
/// Until unused connections are closed, so that those of the search do not count, and the window.
const REST_SECS: &str = "420";
/// The figures at rest are those of so much of its end. A third of such windows holds the refresh of the routing table, which is
/// nearly all that happens at rest.
const WINDOW: Duration = Duration::from_secs(300);
/// All have found each other by then, or something is wrong.
const FIND_MAX: Duration = Duration::from_secs(120);
/// Nodes that look at the whole network, the others only for their neighbours.
const LOOKING: usize = 16;
/// Of them at once.
const LOOKING_AT_ONCE: usize = 4;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    match &args[..] {
        [nodes, rest] => one(nodes.parse().unwrap(), Duration::from_secs(rest.parse().unwrap())),
        _ => NODES.iter().for_each(|nodes| {
            let ended = Command::new(std::env::current_exe().unwrap()).args([nodes, REST_SECS]).status().unwrap();
            assert!(ended.success(), "{nodes} nodes: {ended}");
        }),
    }
}

fn one(nodes: u16, rest: Duration) {
    let most = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most }).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let (begin, before) = (Instant::now(), Spent::so_far());
        let network = start(nodes).await;
        let started = begin.elapsed();
        find(&network).await;
        let (took, found) = (begin.elapsed(), Spent::so_far());
        let per_node = 1.0 / f64::from(nodes);
        println!(
            "{nodes} nodes started in {:.1} s, found in {:.1} s: {:.0} ms CPU and {:.0} KiB a node",
            started.as_secs_f64(),
            took.as_secs_f64(),
            (found.cpu_secs - before.cpu_secs) * 1000.0 * per_node,
            (found.sent_bytes - before.sent_bytes) / 1024.0 * per_node,
        );
        print_connections("then", &network).await;
        tokio::time::sleep(rest.saturating_sub(WINDOW)).await; // what is measured is that nothing happens
        let window = WINDOW.min(rest);
        let (begin, before) = (Instant::now(), Spent::so_far());
        tokio::time::sleep(window).await;
        let (secs, after) = (begin.elapsed().as_secs_f64(), Spent::so_far());
        print_connections("at rest", &network).await;
        println!(
            "  at rest, {window:?}: {:.3} % of a core, {:.0} bytes/s sent, {:.2} MiB, each node",
            (after.cpu_secs - before.cpu_secs) / secs * 100.0 * per_node,
            (after.sent_bytes - before.sent_bytes) / secs * per_node,
            resident_mib() * per_node,
        );
        futures::future::join_all(network.iter().map(Node::shutdown)).await;
    });
}

async fn start(nodes: u16) -> Vec<Node> {
    let mut network: Vec<Node> = Vec::new();
    for number in 0..nodes {
        let mut seed = [9; 32];
        seed[..2].copy_from_slice(&number.to_le_bytes());
        let options = NetOptions {
            mdns: false,
            serve: true,
            listen: vec!["/ip4/127.0.0.1/tcp/0".into()],
            bootstrap: network.first().map(Node::listen_addrs).unwrap_or_default(),
            ..NetOptions::new(Identity::from_seed(seed), "bench".parse().unwrap())
        };
        network.push(Node::start(options, Arc::new(NoService)).await.unwrap());
    }
    network
}

/// Until each of those that look has seen all.
async fn find(network: &[Node]) {
    let deadline = Instant::now() + FIND_MAX;
    let look = async |node: &Node| {
        loop {
            let seen = node.snapshot(true).await.unwrap().nodes.len();
            if seen >= network.len() {
                break;
            }
            assert!(Instant::now() < deadline, "a node sees {seen} of {}", network.len());
        }
    };
    let some = network.iter().step_by(network.len().div_ceil(LOOKING));
    stream::iter(some).for_each_concurrent(LOOKING_AT_ONCE, look).await;
}

async fn print_connections(when: &str, network: &[Node]) {
    let mut counts = Vec::new();
    for node in network {
        counts.push(node.known_nodes().await.unwrap().iter().filter(|node| node.connected).count());
    }
    counts.sort_unstable();
    println!("  {when}: connections {} (median), {} (most)", counts[counts.len() / 2], counts[counts.len() - 1]);
}

fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1024.0
}
