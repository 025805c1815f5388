//! The firewall at work between real nodes: who is refused is told so in one answer, everybody else is served as ever.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};

use dsn_core::{
    firewall::{Attempt, Defaults, Firewall, Rules, Verdict, Word},
    node_id::NodeId,
    ports::{Guard, Network, NetworkError},
    rpc::{Refusal, Response},
};
use dsn_net::{NetOptions, Node};

use crate::{caller::Caller, support::*};

/// Nothing that a test waits for takes this long.
const DEADLINE: Duration = Duration::from_secs(20);

/// Rules, on a clock that stands still. Notes the addresses it was shown.
#[derive(Debug)]
struct Fence {
    firewall: Mutex<Firewall>,
    seen: Mutex<Vec<Option<IpAddr>>>,
}

impl Fence {
    fn new(texts: &[&str]) -> Arc<Self> {
        let firewall = Mutex::new(Firewall::new(rules(texts), Duration::from_secs(60)));
        Arc::new(Self { firewall, seen: Mutex::default() })
    }

    fn replace(&self, texts: &[&str]) {
        self.firewall.lock().unwrap().replace_rules(rules(texts));
    }
}

impl Guard for Fence {
    fn decide(&self, attempt: &Attempt) -> Verdict {
        self.seen.lock().unwrap().push(attempt.ip);
        self.firewall.lock().unwrap().decide(attempt, Duration::ZERO)
    }

    fn denies(&self, attempt: &Attempt) -> bool {
        self.firewall.lock().unwrap().denies(attempt, Duration::ZERO)
    }
}

fn rules(texts: &[&str]) -> Rules {
    Rules::new(Defaults::OPEN, texts.iter().map(|text| text.parse().unwrap()).collect()).unwrap()
}

fn fenced(fence: &Arc<Fence>, options: NetOptions) -> NetOptions {
    NetOptions { guard: Arc::clone(fence) as _, ..options }
}

fn id(number: u8) -> NodeId {
    identity(number).node_id()
}

async fn is_connected(node: &Node, to: NodeId) -> bool {
    node.known_nodes().await.unwrap().iter().any(|known| known.node == to && known.connected)
}

/// Waits until two nodes are connected, or are no longer.
async fn until_connected(node: &Node, to: NodeId, wanted: bool) {
    let wait = async {
        while is_connected(node, to).await != wanted {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, wait).await.unwrap_or_else(|_| panic!("connected: not {wanted} in time"));
}

fn is_denied(answer: &Result<Response, NetworkError>) -> bool {
    matches!(answer, Ok(Response::Refused(Refusal::Denied)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_denied_peer_is_told_once_and_everybody_else_is_served() {
    for listen in [TCP, QUIC] {
        let fence = Fence::new(&[&format!("deny in {}", id(2))]);
        let (farmer, shelf) = start_with(fenced(&fence, farmer(1, &[listen])), Shelf::default()).await;
        let (denied, welcome) = (start(towards(&farmer, client(2))).await, start(towards(&farmer, client(3))).await);
        let told = denied.request(farmer.local_id(), holds()).await;
        assert!(is_denied(&told), "{listen}: {told:?}");
        assert_eq!(shelf.handled.load(Ordering::SeqCst), 0, "{listen}");
        until_connected(&farmer, id(2), false).await;
        let again = denied.request(farmer.local_id(), holds()).await;
        assert!(again.is_err(), "{listen}: {again:?}");
        let served = welcome.request(farmer.local_id(), holds()).await;
        assert!(matches!(served, Ok(Response::Held(_))), "{listen}: {served:?}");
        assert!(is_connected(&farmer, id(3)).await);
        farmer.shutdown().await;
    }
}

/// A place at a relay, or a circuit through one: asked for by a peer that speaks the protocols of relays and nothing else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_refuses_place_and_circuit_to_whom_it_is_denied_until_the_rule_is_gone() {
    let fence = Fence::new(&[]);
    let external = vec!["/ip4/203.0.113.1/tcp/1".to_owned()]; // who is not reached by others relays nothing
    let relay = start(fenced(&fence, NetOptions { relay: true, external, ..farmer(1, &[TCP]) })).await;
    let (mut host, mut guest) = (Caller::new(), Caller::new());
    let deny = |caller: &Caller| fence.replace(&[&format!("deny in relay {}", caller.id())]);
    deny(&host);
    assert!(!host.asks_for_place(&relay).await, "a place is denied");
    deny(&guest);
    assert!(host.asks_for_place(&relay).await, "it is somebody else who is denied");
    assert!(!guest.calls(&mut host, &relay).await, "a circuit is denied");
    assert!(is_connected(&relay, guest.id()).await, "and nothing else");
    fence.replace(&[]);
    assert!(guest.calls(&mut host, &relay).await, "nothing is denied");
    relay.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_is_refused_before_the_handshake() {
    let fence = Fence::new(&["deny in 127.0.0.0/8"]);
    let (farmer, shelf) = start_with(fenced(&fence, farmer(1, &[TCP])), Shelf::default()).await;
    let mut options = towards(&farmer, client(2));
    options.waits.seed = Duration::from_millis(200);
    let client = start(options).await;
    let refused = client.request(farmer.local_id(), holds()).await;
    assert!(matches!(refused, Err(NetworkError::Unreachable { .. })), "{refused:?}");
    assert_eq!(shelf.handled.load(Ordering::SeqCst), 0);
    assert!(farmer.known_nodes().await.unwrap().iter().all(|known| known.node != id(2)), "it never said who it is");
    assert!(fence.seen.lock().unwrap().contains(&Some("127.0.0.1".parse().unwrap())));
    farmer.shutdown().await;
    client.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_kind_that_is_denied_nothing_reaches_the_farmer_and_the_rest_does() {
    let fence = Fence::new(&["deny in piece.put 127.0.0.1"]);
    let (farmer, shelf) = start_with(fenced(&fence, farmer(1, &[TCP])), Shelf::default()).await;
    let client = start(towards(&farmer, client(2))).await;
    let put = client.request(farmer.local_id(), store(0, piece(1000))).await;
    assert!(is_denied(&put), "{put:?}");
    assert!(shelf.pieces.lock().unwrap().is_empty());
    assert_eq!(shelf.handled.load(Ordering::SeqCst), 0);
    let held = client.request(farmer.local_id(), holds()).await;
    assert!(matches!(held, Ok(Response::Held(_))), "{held:?}");
    assert!(is_connected(&farmer, id(2)).await);
    farmer.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_denied_peer_whose_bodies_were_not_even_read_is_told_why() {
    let fence = Fence::new(&["deny in piece.put"]);
    let refusing = Shelf { refuses: Some(Refusal::BadToken), ..Shelf::default() };
    let (farmer, shelf) = start_with(fenced(&fence, farmer(1, &[TCP])), refusing).await;
    let client = start(towards(&farmer, client(2))).await;
    let put = client.request(farmer.local_id(), store(0, piece(1 << 20))).await;
    assert!(is_denied(&put), "{put:?}");
    assert_eq!((shelf.admitted.load(Ordering::SeqCst), shelf.handled.load(Ordering::SeqCst)), (1, 0));
    farmer.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_denied_outwards_never_leaves() {
    let (one, shelf) = start_with(farmer(1, &[TCP]), Shelf::default()).await;
    let fence = Fence::new(&[&format!("deny out piece.put {}", id(1))]);
    let client = start(fenced(&fence, towards(&one, client(2)))).await;
    let put = client.request(id(1), store(0, piece(1000))).await;
    assert_eq!(put.map(|_| ()), Err(NetworkError::Denied { node: id(1) }));
    assert_eq!(shelf.admitted.load(Ordering::SeqCst), 0);
    assert!(client.request(id(1), holds()).await.is_ok());
    for rule in [format!("deny out {}", id(1)), "deny out 127.0.0.0/8".into(), "deny out".into()] {
        fence.replace(&[&rule]);
        client.enforce().await.unwrap();
        until_connected(&client, id(1), false).await;
        let asked = client.request(id(1), holds()).await;
        assert_eq!(asked.map(|_| ()), Err(NetworkError::Denied { node: id(1) }), "{rule}");
        fence.replace(&[]);
        assert!(client.request(id(1), holds()).await.is_ok(), "{rule}: and is allowed again at once");
    }
    one.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_rules_end_the_connections_that_they_deny_and_no_others() {
    let fence = Fence::new(&[]);
    let (farmer, shelf) = start_with(fenced(&fence, farmer(1, &[TCP])), Shelf::default()).await;
    let (denied, welcome) = (start(towards(&farmer, client(2))).await, start(towards(&farmer, client(3))).await);
    for client in [&denied, &welcome] {
        client.request(farmer.local_id(), holds()).await.unwrap();
    }
    fence.replace(&[&format!("deny {}", id(2))]);
    farmer.enforce().await.unwrap();
    until_connected(&denied, id(1), false).await;
    let told = denied.request(farmer.local_id(), holds()).await;
    assert!(is_denied(&told), "{told:?}");
    assert!(is_connected(&farmer, id(3)).await, "of whom no rule speaks stays");
    let handled = shelf.handled.load(Ordering::SeqCst);
    fence.replace(&[]);
    until_connected(&farmer, id(2), false).await;
    denied.request(farmer.local_id(), holds()).await.unwrap();
    assert_eq!(shelf.handled.load(Ordering::SeqCst), handled + 1);
    farmer.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_to_wait_for_the_operator_comes_again() {
    let fence = Fence::new(&["ask in audit"]);
    let (farmer, shelf) = start_with(fenced(&fence, farmer(1, &[TCP])), Shelf::default()).await;
    let client = start(towards(&farmer, client(2))).await;
    for _ in 0..3 {
        let busy = client.request(farmer.local_id(), holds()).await;
        assert!(matches!(busy, Ok(Response::Refused(Refusal::Busy { delay_ms: 1.. }))), "{busy:?}");
    }
    let waiting = fence.firewall.lock().unwrap().pending(Duration::ZERO);
    assert_eq!(waiting.iter().map(|ask| ask.scope.peer).collect::<Vec<_>>(), [id(2)]);
    assert_eq!(shelf.handled.load(Ordering::SeqCst), 0);
    fence.firewall.lock().unwrap().answer(waiting[0].number, Word::Allow, Duration::ZERO).unwrap();
    assert!(matches!(client.request(farmer.local_id(), holds()).await, Ok(Response::Held(_))));
    farmer.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_may_have_to_wait_for_the_operator_too() {
    let fence = Fence::new(&["ask in connect"]);
    let (farmer, _) = start_with(fenced(&fence, farmer(1, &[TCP])), Shelf::default()).await;
    let client = start(towards(&farmer, client(2))).await;
    let busy = client.request(farmer.local_id(), holds()).await;
    assert!(matches!(busy, Ok(Response::Refused(Refusal::Busy { .. }))), "{busy:?}");
    until_connected(&farmer, id(2), false).await;
    let waiting = fence.firewall.lock().unwrap().pending(Duration::ZERO);
    fence.firewall.lock().unwrap().answer(waiting[0].number, Word::Allow, Duration::ZERO).unwrap();
    until_connected(&client, id(1), false).await;
    assert!(matches!(client.request(farmer.local_id(), holds()).await, Ok(Response::Held(_))));
    farmer.shutdown().await;
}
