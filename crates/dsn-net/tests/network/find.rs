//! Finding nodes: snapshots, look-ups, nodes that move, nodes that are gone, other networks.

use std::{
    sync::atomic::{AtomicU16, Ordering},
    time::{Duration, Instant},
};

use dsn_core::{
    node_id::{NodeId, Position, closest},
    ports::{Network, NetworkError, PeerEvidence},
};
use dsn_net::{NetOptions, Node};

use crate::support::*;

/// Asks until every node's snapshot shows all of them.
async fn settled(nodes: &[Node]) {
    let deadline = Instant::now() + Duration::from_secs(10);
    for node in nodes {
        while node.snapshot(true).await.unwrap().nodes.len() < nodes.len() {
            assert!(Instant::now() < deadline, "the nodes did not find each other");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cold_client_sees_the_whole_network() {
    let nodes = farmers(12).await;
    settled(&nodes).await;
    let ids: Vec<_> = nodes.iter().map(Network::local_id).collect();
    let begin = Instant::now();
    let client = start(towards(&nodes[0], client(1))).await;
    let started = begin.elapsed();
    let snapshot = client.snapshot(false).await.unwrap();
    eprintln!("cold client: started after {started:?}, snapshot of 12 after {:?}", begin.elapsed());
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
    assert_eq!(snapshot.nodes, ids.iter().copied().collect());
    assert!(snapshot.complete);
    for key in [[0; 32], [1; 32], [0xfe; 32]] {
        let begin = Instant::now();
        let found = client.look_up(key).await.unwrap();
        eprintln!("look-up: {:?}", begin.elapsed());
        assert_eq!(found, closest(ids.iter().copied(), Position::of_key(&key), 20));
        assert_eq!(nodes[3].look_up(key).await.unwrap(), found, "a server counts itself");
    }
    let begin = Instant::now();
    client.snapshot(false).await.unwrap();
    assert!(begin.elapsed() < Duration::from_millis(50), "a known picture is given at once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_servers_are_left_out_of_a_complete_picture() {
    let nodes = farmers(8).await;
    settled(&nodes).await;
    for node in &nodes[5..] {
        node.shutdown().await;
    }
    let client = start(towards(&nodes[0], client(1))).await;
    let begin = Instant::now();
    let snapshot = client.snapshot(false).await.unwrap();
    eprintln!("snapshot with 3 of 8 dead: {:?}", begin.elapsed());
    assert_eq!(snapshot.nodes, nodes[..5].iter().map(Network::local_id).collect());
    assert!(snapshot.complete);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_farmer_back_on_another_port_is_found_by_its_id() {
    let nodes = farmers(5).await;
    settled(&nodes).await;
    let client = start(towards(&nodes[0], client(1))).await;
    let moved = nodes[4].local_id();
    client.request(moved, holds()).await.unwrap();
    let before = nodes[4].listen_addrs();
    nodes[4].shutdown().await;
    let back = start(towards(&nodes[1], farmer(104, &[TCP]))).await;
    assert_ne!(back.listen_addrs(), before);
    assert!(back.snapshot(false).await.unwrap().nodes.len() >= 4);
    let begin = Instant::now();
    // Its neighbours hear of the new port a moment after they are connected to it.
    while let Err(error) = client.request(moved, holds()).await {
        assert!(begin.elapsed() < Duration::from_secs(5), "{error}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    eprintln!("found again after {:?}", begin.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreachable_node_is_an_error_soon() {
    let nodes = farmers(3).await;
    settled(&nodes).await;
    let client = start(towards(&nodes[0], client(1))).await;
    client.request(nodes[2].local_id(), holds()).await.unwrap();
    nodes[2].shutdown().await;
    for (node, times) in [(nodes[2].local_id(), 2), (identity(77).node_id(), 2)] {
        for _ in 0..times {
            let begin = Instant::now();
            let error = client.request(node, holds()).await.unwrap_err();
            eprintln!("{error} after {:?}", begin.elapsed());
            assert!(matches!(error, NetworkError::Unreachable { .. }), "{error:?}");
            assert!(begin.elapsed() < Duration::from_secs(1));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn networks_of_other_names_do_not_talk() {
    let here = start(farmer(1, &[TCP])).await;
    let there = NetOptions { network: "other".parse().unwrap(), ..farmer(2, &[TCP]) };
    let mut there = towards(&here, there);
    there.waits.seed = Duration::from_millis(500);
    let there = start(there).await;
    let error = there.request(here.local_id(), holds()).await.unwrap_err();
    assert!(matches!(error, NetworkError::Unreachable { .. } | NetworkError::ConnectionLost { .. }), "{error:?}");
    assert_eq!(there.snapshot(true).await.unwrap().nodes, [there.local_id()].into());
    assert_eq!(here.snapshot(true).await.unwrap().nodes, [here.local_id()].into());
}

#[tokio::test]
async fn nobody_there_is_an_error_for_a_client_and_a_network_of_one_for_a_farmer() {
    let alone = start(farmer(1, &[TCP])).await;
    let snapshot = alone.snapshot(false).await.unwrap();
    assert_eq!((snapshot.nodes, snapshot.complete), ([alone.local_id()].into(), true));
    assert_eq!(alone.look_up([0; 32]).await.unwrap(), [alone.local_id()]);
    let lost = start(client(2)).await;
    assert!(matches!(lost.snapshot(false).await, Err(NetworkError::NoPeers)));
    let mut options = NetOptions { bootstrap: vec!["/ip4/127.0.0.1/tcp/1".into()], ..client(3) };
    options.waits.seed = Duration::from_millis(300);
    let lost = start(options).await;
    let begin = Instant::now();
    assert!(matches!(lost.look_up([0; 32]).await, Err(NetworkError::NoPeers)));
    assert!(begin.elapsed() < Duration::from_secs(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bootstrap_node_that_comes_late_is_still_found() {
    let (address, silent) = (free_address(), Silent::new());
    let early = start(NetOptions { bootstrap: vec![address.clone(), silent.address()], ..client(2) }).await;
    let (asked, place) = tokio::join!(early.snapshot(false), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        start(farmer(1, &[&address])).await
    });
    assert_eq!(asked.unwrap().nodes, [place.local_id()].into());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_all_addresses_refuse_knows_at_once_and_one_is_worth_waiting_for() {
    let closed = || "/ip4/127.0.0.1/tcp/1".to_owned();
    let remembered = (50..70).map(|number| (identity(number).node_id(), vec![closed()])).collect::<Vec<_>>();
    for (bootstrap, remembered) in [
        (vec![closed()], vec![]),
        (vec![closed(), format!("/ip4/127.0.0.1/tcp/2/p2p/{}", identity(9).node_id())], vec![]),
        (vec![], remembered.clone()),
        (vec![closed()], remembered),
    ] {
        let client = start(NetOptions { bootstrap, remembered, ..client(1) }).await;
        let begin = Instant::now();
        assert!(matches!(client.snapshot(false).await, Err(NetworkError::NoPeers)));
        assert!(matches!(client.look_up([0; 32]).await, Err(NetworkError::NoPeers)));
        assert!(begin.elapsed() < Duration::from_millis(1500), "{:?}", begin.elapsed());
    }
    let silent = Silent::new();
    let mut options = NetOptions { bootstrap: vec![closed(), silent.address()], ..client(1) };
    options.waits.seed = Duration::from_secs(1);
    let client = start(options).await;
    let begin = Instant::now();
    assert!(matches!(client.snapshot(false).await, Err(NetworkError::NoPeers)));
    assert!(begin.elapsed() >= Duration::from_secs(1), "{:?}", begin.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn known_nodes_say_how_they_were_found_and_how_far_they_are() {
    let nodes = farmers(3).await;
    settled(&nodes).await;
    let asker = start(towards(&nodes[0], client(1))).await;
    asker.snapshot(false).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(5);
    let known = loop {
        let known = asker.known_nodes().await.unwrap();
        if known.len() == 3 && known.iter().all(|node| node.round_trip.is_some()) {
            break known;
        }
        assert!(Instant::now() < deadline, "{known:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    for node in &known {
        let bootstrap = node.node == nodes[0].local_id();
        assert_eq!(node.found_by, if bootstrap { "bootstrap" } else { "dht" });
        assert_eq!(node.agent.as_deref(), Some(concat!("dsn/", env!("CARGO_PKG_VERSION"))));
        assert!(node.connected && !node.addresses.is_empty());
    }
    asker.report(nodes[1].local_id(), PeerEvidence::WrongBytes);
    let good: Vec<NodeId> = asker.good_peers().await.unwrap().into_iter().map(|(node, _)| node).collect();
    assert!(good.contains(&nodes[0].local_id()) && !good.contains(&nodes[1].local_id()), "{good:?}");
    let remembered = asker.good_peers().await.unwrap();
    asker.shutdown().await;
    let again = start(NetOptions { remembered, ..client(2) }).await;
    assert_eq!(again.snapshot(false).await.unwrap().nodes.len(), 3, "remembered servers suffice");
}

/// Takes connections and says nothing.
struct Silent(std::net::TcpListener);

impl Silent {
    fn new() -> Self {
        Self(std::net::TcpListener::bind("127.0.0.1:0").expect("a free port"))
    }

    fn address(&self) -> String {
        format!("/ip4/127.0.0.1/tcp/{}", self.0.local_addr().expect("bound").port())
    }
}

/// A port that is free now, and below those that the system gives to others.
fn free_address() -> String {
    let first = 20_000 + u16::try_from(std::process::id() * 16 % 10_000).unwrap();
    let is_free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    let port = (first..).skip(usize::from(TAKEN.fetch_add(1, Ordering::SeqCst))).find(is_free).unwrap();
    format!("/ip4/127.0.0.1/tcp/{port}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_that_dial_each_other_at_once_lose_no_request() {
    let (one, two) = (free_address(), free_address());
    let remember = |number: u8, address: &str, options: NetOptions| NetOptions {
        remembered: vec![(identity(number).node_id(), vec![address.to_owned()])],
        ..options
    };
    let (one, two) =
        tokio::join!(start(remember(2, &two, farmer(1, &[&one]))), start(remember(1, &one, farmer(2, &[&two]))),);
    let end = Instant::now() + Duration::from_secs(4); // an extra connection is closed after two
    let ask = |from: Node, to: NodeId| async move {
        while Instant::now() < end {
            from.request(to, holds()).await.unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::join!(ask(one.clone(), two.local_id()), ask(two.clone(), one.local_id()));
    tokio::join!(one.shutdown(), two.shutdown());
}

/// Whether this machine lets multicast packets through at all; some containers do not.
fn multicast_works() -> bool {
    let group = std::net::Ipv4Addr::new(224, 0, 0, 251);
    let try_it = || {
        let socket = std::net::UdpSocket::bind("0.0.0.0:0")?;
        socket.join_multicast_v4(&group, &std::net::Ipv4Addr::UNSPECIFIED)?;
        socket.set_read_timeout(Some(Duration::from_secs(1)))?;
        socket.send_to(b"hello", (group, socket.local_addr()?.port()))?;
        socket.recv_from(&mut [0; 8])
    };
    try_it().is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neighbours_find_each_other_by_mdns() {
    if !multicast_works() {
        eprintln!("skipped: no multicast on this machine");
        return;
    }
    let network = format!("mdns-{}", std::process::id());
    let local = |number: u8| NetOptions {
        mdns: true,
        network: network.parse().unwrap(),
        ..farmer(number, &["/ip4/0.0.0.0/tcp/0"])
    };
    let one = start(local(1)).await;
    let two = start(local(2)).await;
    let deadline = Instant::now() + Duration::from_secs(8);
    while two.snapshot(true).await.unwrap().nodes.len() < 2 {
        assert!(Instant::now() < deadline, "not found");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let known = two.known_nodes().await.unwrap();
    let found_by = known.iter().find(|node| node.node == one.local_id()).unwrap().found_by;
    assert!(["mdns", "inbound"].contains(&found_by), "{found_by}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_larger_than_one_look_up_is_seen_as_a_whole() {
    let nodes = farmers(40).await;
    let ids: Vec<_> = nodes.iter().map(Network::local_id).collect();
    let deadline = Instant::now() + Duration::from_secs(20);
    let client = start(towards(&nodes[0], client(1))).await;
    loop {
        let begin = Instant::now();
        let snapshot = client.snapshot(true).await.unwrap();
        if snapshot.nodes.len() == ids.len() {
            eprintln!("snapshot of 40: {:?}", begin.elapsed());
            assert!(snapshot.complete);
            break;
        }
        assert!(Instant::now() < deadline, "{} of {}", snapshot.nodes.len(), ids.len());
    }
    let found = client.look_up([3; 32]).await.unwrap();
    assert_eq!(found, closest(ids, Position::of_key(&[3; 32]), 20));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_takes_connections_and_says_nothing_is_unreachable_soon() {
    let stuck = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("/ip4/127.0.0.1/tcp/{}", stuck.local_addr().unwrap().port());
    let nodes = farmers(2).await;
    let mut options = towards(&nodes[0], client(1));
    options.waits.dial = Duration::from_millis(300);
    options.remembered = vec![(identity(9).node_id(), vec![address])];
    let client = start(options).await;
    let begin = Instant::now();
    let error = client.request(identity(9).node_id(), holds()).await.unwrap_err();
    eprintln!("{error} after {:?}", begin.elapsed());
    assert!(matches!(&error, NetworkError::Unreachable { reason, .. } if reason.contains("timed out")), "{error:?}");
    assert!(begin.elapsed() < Duration::from_secs(3));
}

/// A client asks nobody for the whole network unless it has to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_meet_at_a_rendezvous_point() {
    let point = start(NetOptions { rendezvous_point: true, ..farmer(1, &[TCP]) }).await;
    let early = start(towards(&point, farmer(2, &[TCP]))).await;
    let late = start(towards(&point, client(3))).await;
    let found_by = async |node: &Node| {
        let known = node.known_nodes().await.unwrap();
        known.into_iter().find(|known| known.node == early.local_id()).map(|known| known.found_by)
    };
    let deadline = Instant::now() + Duration::from_secs(30);
    while found_by(&late).await != Some("rendezvous") {
        assert!(Instant::now() < deadline, "the late one does not hear of the early one");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let apart = start(NetOptions { rendezvous: false, ..towards(&point, client(4)) }).await;
    assert!(apart.request(point.local_id(), holds()).await.is_ok());
    assert_eq!(found_by(&apart).await, None, "it does not ask");
}
