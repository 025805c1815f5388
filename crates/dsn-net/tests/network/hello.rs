//! Hellos between real nodes: what they learn of each other, who is refused and hears why, what is said anew and when.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use dsn_core::{
    firewall::{Attempt, Kind, Verdict},
    hello::{Acquaintance, Capabilities, Hello, HelloAck, HelloError, HelloRefusal, Profile, SpaceClass, Versions},
    node_id::NodeId,
    ports::{Guard, KnownNode, Network, NetworkError},
    record::Role,
    rpc::{Refusal, Request, Response, frame::Frame},
};
use dsn_net::{NetOptions, Node};

use crate::{
    stranger::{Put, Stranger, flat, response},
    support::{self, *},
};

/// Nothing that a test waits for takes this long.
const DEADLINE: Duration = Duration::from_secs(20);
/// How often the nodes here look whether they have news of themselves.
const OFTEN: Duration = Duration::from_millis(50);

fn lending(bytes: u64) -> Profile {
    Profile {
        role: Role::Farmer,
        capabilities: Capabilities::PIECES,
        lent: SpaceClass::of(1 << 40),
        free: SpaceClass::of(bytes),
        domain: "cellar".into(),
        leaving: false,
    }
}

fn shelf(profile: Profile) -> Shelf {
    Shelf { profile: Some(profile).into(), ..Shelf::default() }
}

fn attentive(options: NetOptions) -> NetOptions {
    let mut options = options;
    options.waits.hello = OFTEN;
    options
}

fn later(options: NetOptions) -> NetOptions {
    NetOptions { versions: Versions::new(7, 9).unwrap(), ..options }
}

async fn known(node: &Node, other: NodeId) -> Option<KnownNode> {
    node.known_nodes().await.unwrap().into_iter().find(|known| known.node == other)
}

/// Waits until what a node knows of another is so, and gives it.
async fn until(node: &Node, other: NodeId, what: &str, so: impl Fn(&KnownNode) -> bool) -> KnownNode {
    let wait = async {
        loop {
            if let Some(known) = known(node, other).await.filter(&so) {
                return known;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, wait).await.unwrap_or_else(|_| panic!("never {what}"))
}

async fn acquainted(node: &Node, other: NodeId) -> Acquaintance {
    until(node, other, "acquainted", |known| known.hello.is_some()).await.hello.unwrap()
}

/// Asks until a node says why it does not talk to another. Requests that come before the hellos are served.
async fn refused(node: &Node, other: &Node) -> String {
    let wait = async {
        loop {
            match node.request(other.local_id(), holds()).await {
                Err(NetworkError::Unreachable { reason, .. }) if reason.starts_with("it speaks") => return reason,
                _ => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    tokio::time::timeout(DEADLINE, wait).await.expect("never refused")
}

fn hello(versions: Versions, network: &str) -> Hello {
    Hello { versions, network: network.parse().unwrap(), profile: Some(Profile::client()) }
}

fn said(hello: &Hello) -> Put {
    Put::all(flat(&Frame::from(&Request::Hello(hello.clone()))))
}

async fn answered(stranger: &mut Stranger) -> Response {
    let answer = tokio::time::timeout(DEADLINE, stranger.next_end()).await.unwrap().unwrap();
    response(&answer).expect("nothing was fetched")
}

async fn acked(stranger: &mut Stranger) -> HelloAck {
    match answered(stranger).await {
        Response::Hello(ack) => ack,
        other => panic!("no answer to a hello: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_learn_role_room_and_version_of_each_other() {
    let (farmer, served) = start_with(farmer(1, &[TCP]), shelf(lending(3 << 30))).await;
    let client = start(towards(&farmer, client(2))).await;
    client.request(farmer.local_id(), holds()).await.unwrap();
    let found = acquainted(&client, farmer.local_id()).await;
    assert_eq!(found.version, 1);
    let Profile { role, capabilities, lent, free, ref domain, leaving } = found.profile;
    assert_eq!((role, domain.as_str(), leaving), (Role::Farmer, "cellar", false));
    assert_eq!((lent.at_least_bytes(), free.at_least_bytes()), (1 << 40, 2 << 30), "room, to a power of two");
    assert!(capabilities.has(Capabilities::PIECES.with(Capabilities::DHT)) && !capabilities.has(Capabilities::RELAY));
    let found = acquainted(&farmer, client.local_id()).await;
    assert_eq!(found, Acquaintance { version: 1, profile: Profile::client() });
    assert_eq!(served.handled.load(Ordering::SeqCst), 1, "the handler is not asked to answer hellos");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changes_is_said_anew_and_nothing_else_is() {
    let (farmer, shelf) = start_with(attentive(farmer(1, &[TCP])), shelf(lending(3 << 30))).await;
    let client = start(attentive(towards(&farmer, client(2)))).await;
    let first = acquainted(&client, farmer.local_id()).await;
    // Within its power of two: nothing to be said.
    *shelf.profile.lock().unwrap() = Some(lending((3 << 30) - 1));
    let (farmer_id, client_id) = (farmer.local_id(), client.local_id());
    client.request(farmer_id, holds()).await.unwrap();
    tokio::time::sleep(10 * OFTEN).await; // several looks: what is checked is that nothing happens
    assert_eq!(known(&client, farmer_id).await.unwrap().hello.unwrap(), first);
    let changed = Profile { leaving: true, domain: "attic".into(), ..lending(1) };
    *shelf.profile.lock().unwrap() = Some(changed);
    let is_new = |known: &KnownNode| known.hello.as_ref().is_some_and(|hello| hello.profile.leaving);
    let now = until(&client, farmer_id, "told of the change", is_new).await.hello.unwrap().profile;
    assert_eq!((now.free, now.domain.as_str()), (SpaceClass::of(1), "attic"));
    assert!(now.capabilities.has(Capabilities::DHT), "what the network adds is there still");
    assert_eq!(acquainted(&farmer, client_id).await.profile, Profile::client());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_of_later_versions_is_told_why_and_its_connection_closed() {
    let farmer = start(farmer(1, &[TCP])).await;
    let mut stranger = Stranger::new();
    let peer = stranger.meet(&farmer);
    stranger.put(peer, said(&hello(Versions::new(7, 9).unwrap(), "test")));
    let ack = acked(&mut stranger).await;
    assert_eq!(ack.outcome, Err(HelloRefusal::NoCommonVersion));
    assert_eq!(ack.hello.versions, Versions::KNOWN, "and which would do");
    let id = stranger.id();
    until(&farmer, id, "closed", |known| !known.connected && known.hello.is_none()).await;
    let error = farmer.request(id, holds()).await.unwrap_err();
    let reason = "it speaks versions 7 to 9 of the protocol, this node version 1".to_owned();
    assert_eq!(error, NetworkError::Unreachable { node: id, reason });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_without_a_common_version_both_say_so() {
    let old = start(farmer(1, &[TCP])).await;
    let new = start(later(towards(&old, farmer(2, &[TCP])))).await;
    assert_eq!(refused(&old, &new).await, "it speaks versions 7 to 9 of the protocol, this node version 1");
    assert_eq!(refused(&new, &old).await, "it speaks version 1 of the protocol, this node versions 7 to 9");
    let third = start(towards(&old, client(3))).await;
    third.request(old.local_id(), holds()).await.unwrap();
}

/// Why a client finds nobody whose only way in is this node; by a look-up, and by a crawl.
async fn left_outside(node: &Node, options: impl Fn(NetOptions) -> NetOptions) -> HelloError {
    let (looking, crawling) =
        (start(options(towards(node, client(2)))).await, start(options(towards(node, client(3)))).await);
    let (by_look_up, by_crawl) = tokio::join!(looking.look_up([0; 32]), crawling.snapshot(false));
    match (by_look_up.unwrap_err(), by_crawl.unwrap_err()) {
        (
            NetworkError::Incompatible { node: one, reason },
            NetworkError::Incompatible { node: other, reason: again },
        ) => {
            assert_eq!((one, other, &again), (node.local_id(), node.local_id(), &reason));
            reason
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_finds_only_nodes_of_other_versions_says_so() {
    let farmer = start(farmer(1, &[TCP])).await;
    let theirs = HelloError::NoCommonVersion { ours: Versions::new(7, 9).unwrap(), theirs: Versions::KNOWN };
    assert_eq!(left_outside(&farmer, later).await, theirs);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_finds_only_nodes_of_another_network_says_which() {
    let farmer = start(farmer(1, &[TCP])).await;
    let elsewhere = |options| NetOptions { network: "lab".parse().unwrap(), ..options };
    for _ in 0..5 {
        let theirs = HelloError::OtherNetwork { theirs: "test".parse().unwrap() };
        assert_eq!(left_outside(&farmer, elsewhere).await, theirs);
    }
    // A client that also knows its own network finds it.
    let own = start(elsewhere(support::farmer(4, &[TCP]))).await;
    let bootstrap = [farmer.listen_addrs(), own.listen_addrs()].concat();
    let client = start(elsewhere(NetOptions { bootstrap, ..client(5) })).await;
    assert_eq!(client.snapshot(false).await.unwrap().nodes, [own.local_id()].into());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hellos_again_and_again_change_nothing() {
    let (farmer, shelf) = start_with(farmer(1, &[TCP]), shelf(lending(5))).await;
    let mut stranger = Stranger::new();
    let peer = stranger.meet(&farmer);
    let hello = hello(Versions::new(1, 4).unwrap(), "test");
    for _ in 0..20 {
        stranger.put(peer, said(&hello));
        let ack = acked(&mut stranger).await;
        assert_eq!((ack.outcome, ack.hello.profile.unwrap().free), (Ok(1), SpaceClass::of(5)));
    }
    let nodes = farmer.known_nodes().await.unwrap();
    assert!(nodes.len() == 1 && nodes[0].connected, "{nodes:?}");
    assert_eq!(shelf.handled.load(Ordering::SeqCst), 0);
    stranger.put(peer, Put::all(flat(&Frame::from(&holds()))));
    assert!(matches!(answered(&mut stranger).await, Response::Held(_)), "and it is served");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_refused_once_is_welcome_when_it_has_learned_the_version() {
    let farmer = start(farmer(1, &[TCP])).await;
    let refused = start(later(towards(&farmer, client(2)))).await;
    let id = refused.local_id();
    until(&farmer, id, "met", |_| true).await;
    until(&farmer, id, "refused", |known| !known.connected).await;
    refused.shutdown().await;
    let updated = start(towards(&farmer, client(2))).await;
    updated.request(farmer.local_id(), holds()).await.unwrap();
    acquainted(&farmer, id).await;
    // It is asked again: a client has no such piece, and says so.
    let answer = farmer.request(id, holds()).await;
    assert!(matches!(answer, Ok(Response::Held(_))), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_of_another_network_and_one_with_nonsense_are_no_acquaintances() {
    let farmer = start(farmer(1, &[TCP])).await;
    let mut stranger = Stranger::new();
    let peer = stranger.meet(&farmer);
    let mut nonsense = Frame::from(&Request::Hello(hello(Versions::KNOWN, "test")));
    let len = nonsense.header.len();
    nonsense.header = [&nonsense.header[..len - 1], &[9]].concat().into(); // role 9
    stranger.put(peer, Put::all(flat(&nonsense)));
    assert!(stranger.next_end().await.as_ref().map_or(true, Vec::is_empty), "closed without an answer");
    stranger.put(peer, said(&hello(Versions::KNOWN, "other")));
    assert_eq!(acked(&mut stranger).await.outcome, Err(HelloRefusal::OtherNetwork));
    until(&farmer, stranger.id(), "closed", |known| !known.connected && known.hello.is_none()).await;
}

/// Denies everybody to know who this node is.
#[derive(Debug)]
struct Discreet;

impl Guard for Discreet {
    fn decide(&self, attempt: &Attempt) -> Verdict {
        if self.denies(attempt) { Verdict::Deny } else { Verdict::Allow }
    }

    fn denies(&self, attempt: &Attempt) -> bool {
        attempt.kind == Kind::Info
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_not_know_who_a_node_is_gets_no_hello_and_is_served() {
    let options = NetOptions { guard: Arc::new(Discreet), ..farmer(1, &[TCP]) };
    let (farmer, _) = start_with(options, shelf(lending(5))).await;
    let mut stranger = Stranger::new();
    let peer = stranger.meet(&farmer);
    stranger.put(peer, said(&hello(Versions::KNOWN, "test")));
    assert!(matches!(answered(&mut stranger).await, Response::Refused(Refusal::Denied)));
    stranger.put(peer, Put::all(flat(&Frame::from(&holds()))));
    assert!(matches!(answered(&mut stranger).await, Response::Held(_)));
}
