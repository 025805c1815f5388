//! Announcements over real sockets: everybody hears them once, whoever does not want to does not, and what is forged or old
//! goes nowhere.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use dsn_core::{
    announcement::Announcement,
    cid::Cid,
    departure::DepartureBody,
    hash::{ChunkId, Hash},
    identity::Identity,
    name::{Name, NameBody},
    node_id::NodeId,
    ports::Network,
};
use dsn_net::{NetOptions, Node};

use crate::support::*;

/// Nothing that is waited for takes this long.
const DEADLINE: Duration = Duration::from_secs(20);

/// After which connections that nothing uses are closed.
const IDLE: Duration = Duration::from_secs(2);

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn departure(node: &Identity, signer: &Identity, said: u64) -> Announcement {
    let body = DepartureBody { network: "test".parse().unwrap(), node: node.node_id(), leaving: true, said };
    Announcement::Departure(body.sign(signer).into_signed())
}

/// Farmers that know each other and listen to announcements, or do not.
async fn town(listens: &[bool]) -> Vec<(Node, Arc<Shelf>)> {
    let mut nodes: Vec<(Node, Arc<Shelf>)> = Vec::new();
    for (number, announcements) in (100..).zip(listens) {
        let mut options = NetOptions { announcements: *announcements, ..farmer(number, &[TCP]) };
        options.waits.idle = IDLE;
        let options = nodes.first().map_or(options.clone(), |(first, _)| towards(first, options));
        nodes.push(start_with(options, Shelf::default()).await);
    }
    for (node, _) in &nodes {
        let begin = Instant::now();
        while node.snapshot(true).await.unwrap().nodes.len() < nodes.len() {
            assert!(begin.elapsed() < DEADLINE, "the nodes did not find each other");
        }
    }
    nodes
}

/// Announces until all of them have heard it: the first word may come before the others are ready to listen.
async fn tell(from: &Node, who: u8, all: &[&Arc<Shelf>]) {
    let (begin, who) = (Instant::now(), identity(who));
    let has_heard = |shelf: &&Arc<Shelf>| shelf.departed.lock().unwrap().contains(&who.node_id());
    for attempt in 0.. {
        from.announce(departure(&who, &who, now() - attempt)).await;
        let attempt_begin = Instant::now();
        while attempt_begin.elapsed() < Duration::from_secs(1) {
            if all.iter().all(has_heard) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(begin.elapsed() < DEADLINE, "not everybody heard it");
    }
}

async fn everybody_hears(count: usize) {
    let nodes = town(&vec![true; count]).await;
    let others: Vec<_> = nodes[1..].iter().map(|(_, shelf)| shelf).collect();
    tell(&nodes[0].0, 1, &others).await;
    // Once all have heard one, each hears the next one once.
    let begin = Instant::now();
    tell(&nodes[count - 1].0, 2, &nodes[..count - 1].iter().map(|(_, shelf)| shelf).collect::<Vec<_>>()).await;
    eprintln!("{count} nodes: all have heard it after {:?}", begin.elapsed());
    tokio::time::sleep(Duration::from_millis(300)).await;
    let second = identity(2).node_id();
    for (_, shelf) in &nodes[..count - 1] {
        let heard = shelf.departed.lock().unwrap().iter().filter(|node| **node == second).count();
        assert_eq!(heard, 1);
    }
    assert!(nodes[0].1.departed.lock().unwrap().iter().all(|node| *node == second), "one's own words come not back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_three_nodes_each_hears_the_others() {
    everybody_hears(3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_hears_an_announcement_once() {
    everybody_hears(24).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_at_rest_keeps_few_connections_and_is_heard_by_all() {
    let nodes = town(&[true; 24]).await;
    let begin = Instant::now();
    loop {
        let mut connections = 0;
        for (node, _) in &nodes {
            connections += node.known_nodes().await.unwrap().iter().filter(|node| node.connected).count();
        }
        // Each hands on to 8 at most.
        if connections <= nodes.len() * 8 {
            eprintln!("24 nodes at rest have {connections} connections after {:?}", begin.elapsed());
            break;
        }
        assert!(begin.elapsed() < DEADLINE, "{connections} connections");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    tell(&nodes[5].0, 1, &nodes[6..].iter().map(|(_, shelf)| shelf).collect::<Vec<_>>()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_listen_hears_nothing_and_is_served_all_the_same() {
    let nodes = town(&[true, false, true, true]).await;
    let shelf = |index: usize| &nodes[index].1;
    tell(&nodes[0].0, 1, &[shelf(2), shelf(3)]).await;
    nodes[1].0.announce(departure(&identity(2), &identity(2), now())).await;
    tell(&nodes[0].0, 3, &[shelf(2), shelf(3)]).await;
    assert!(shelf(1).departed.lock().unwrap().is_empty());
    let unheard = identity(2).node_id();
    assert!(!shelf(2).departed.lock().unwrap().contains(&unheard));
    assert!(nodes[1].0.request(nodes[2].0.local_id(), holds()).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_and_old_announcements_go_nowhere() {
    let nodes = town(&[true; 4]).await;
    let shelves: Vec<_> = nodes[1..].iter().map(|(_, shelf)| shelf).collect();
    tell(&nodes[0].0, 1, &shelves).await;
    nodes[0].0.announce(departure(&identity(2), &identity(9), now())).await;
    nodes[0].0.announce(departure(&identity(2), &identity(2), now() - 2 * 3600)).await;
    tell(&nodes[1].0, 3, &[&nodes[2].1, &nodes[3].1]).await;
    let forged: NodeId = identity(2).node_id();
    assert!(shelves.iter().all(|shelf| !shelf.departed.lock().unwrap().contains(&forged)));
}

fn name(key: &Identity, signer: &Identity, sequence: u64, issued: u64) -> Announcement {
    let (network, root) = ("test".parse().unwrap(), Cid(ChunkId(Hash([7; 32]))));
    let body = NameBody { network, name: Name::of(key), sequence, root, issued, until: issued + 3600 };
    Announcement::Name(body.sign(signer).into_signed())
}

/// A client that only listens hears a new version once, although several tell it; what is forged, old or overtaken goes
/// nowhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_version_of_a_name_is_heard_by_all_and_by_a_client_that_listens() {
    let nodes = town(&[true; 4]).await;
    let options = NetOptions { announcements: true, ..towards(&nodes[0].0, client(50)) };
    let (listener, ear) = start_with(options, Shelf::default()).await;
    listener.snapshot(true).await.unwrap();
    let mut all: Vec<_> = nodes[1..].iter().map(|(_, shelf)| shelf).collect();
    all.push(&ear);
    tell(&nodes[0].0, 1, &all).await;
    let (key, other) = (identity(2), identity(3));
    for (from, announcement) in [
        (0, name(&key, &other, 9, now())),
        (0, name(&key, &key, 8, now() - 2 * 3600)),
        (0, name(&key, &key, 2, now())),
        (1, name(&key, &key, 2, now())),
        (2, name(&key, &key, 3, now())),
        (3, name(&other, &other, 1, now())),
    ] {
        nodes[from].0.announce(announcement).await;
    }
    let wanted = [(Name::of(&key), 3), (Name::of(&other), 1)];
    let begin = Instant::now();
    while !wanted.iter().all(|one| ear.named.lock().unwrap().contains(one)) {
        assert!(begin.elapsed() < DEADLINE, "{:?}", ear.named.lock().unwrap());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Whatever was announced before these has gone its way by now.
    let named = ear.named.lock().unwrap().clone();
    for number in [8, 9] {
        assert!(!named.contains(&(Name::of(&key), number)), "{named:?}");
    }
    for one in &named {
        assert_eq!(named.iter().filter(|other| *other == one).count(), 1, "{named:?}");
    }
}
