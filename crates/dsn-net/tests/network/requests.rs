//! Requests between two nodes: every transport, full bodies, refusals, limits, the end of a node.

use std::time::{Duration, Instant};

use dsn_core::{
    limits::PIECE_MAX_BYTES,
    ports::{Network, NetworkError},
    rpc::{Refusal, Response},
};
use dsn_net::{Cap, NetError, NetOptions, Node};

use crate::support::*;

async fn pieces_travel_over(listen: &[&str]) {
    let (farmer, shelf) = start_with(farmer(1, listen), Shelf::default()).await;
    let client = start(towards(&farmer, client(2))).await;
    assert!(matches!(client.request(farmer.local_id(), holds()).await, Ok(Response::Held(sets)) if sets.len() == 1));
    for (index, len) in [(0, 1), (1, 65_537), (2, PIECE_MAX_BYTES)] {
        let bytes = piece(len);
        let stored = client.request(farmer.local_id(), store(index, bytes.clone())).await;
        assert!(matches!(stored, Ok(Response::Stored(_))), "{stored:?}");
        assert_eq!(shelf.pieces.lock().unwrap()[&index], bytes);
        assert_eq!(body(client.request(farmer.local_id(), fetch(index)).await.unwrap()), bytes);
    }
    client.shutdown().await;
    farmer.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pieces_travel_over_tcp() {
    pieces_travel_over(&[TCP]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pieces_travel_over_quic() {
    pieces_travel_over(&[QUIC]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pieces_travel_over_websocket() {
    pieces_travel_over(&["/ip4/127.0.0.1/tcp/0/ws"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pieces_travel_over_ipv6() {
    pieces_travel_over(&["/ip6/::1/tcp/0"]).await;
    pieces_travel_over(&["/ip6/::1/udp/0/quic-v1"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bootstrap_address_may_be_a_name() {
    let (farmer, _) = start_with(farmer(1, &[TCP]), Shelf::default()).await;
    let named = farmer.listen_addrs()[0].replace("/ip4/127.0.0.1/", "/dns4/localhost/");
    let client = start(NetOptions { bootstrap: vec![named], ..client(2) }).await;
    assert!(client.request(farmer.local_id(), holds()).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cap_slows_pieces_down_and_nothing_else() {
    let cap = |bytes_per_sec| Cap { spans: Vec::new(), otherwise: Some(bytes_per_sec) };
    let capped = NetOptions { upload: cap(1 << 20), download: cap(8 << 20), ..farmer(1, &[TCP]) };
    let (farmer, _) = start_with(capped, Shelf::default()).await;
    let client = start(towards(&farmer, client(2))).await;
    client.request(farmer.local_id(), store(0, piece(1 << 20))).await.unwrap();
    let begin = Instant::now();
    let fetched = async {
        for _ in 0..3 {
            body(client.request(farmer.local_id(), fetch(0)).await.unwrap());
        }
        begin.elapsed()
    };
    let asked = async {
        client.request(farmer.local_id(), holds()).await.unwrap();
        begin.elapsed()
    };
    let (fetched, asked) = tokio::join!(fetched, asked);
    assert!((Duration::from_millis(1900)..Duration::from_secs(10)).contains(&fetched), "{fetched:?}");
    assert!(asked < Duration::from_millis(900), "{asked:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_cap_would_keep_for_too_long_is_told_to_come_back() {
    let mut capped = farmer(1, &[TCP]);
    capped.upload = Cap { spans: Vec::new(), otherwise: Some(64 << 10) };
    capped.waits.bulk = Duration::from_secs(8);
    let (farmer, _) = start_with(capped, Shelf::default()).await;
    let client = start(towards(&farmer, client(2))).await;
    client.request(farmer.local_id(), store(0, piece(1 << 20))).await.unwrap();
    let begin = Instant::now();
    let answer = client.request(farmer.local_id(), fetch(0)).await.unwrap();
    assert!(matches!(answer, Response::Refused(Refusal::Busy { .. })), "{answer:?}");
    assert!(begin.elapsed() < Duration::from_secs(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_without_memory_lets_nobody_in() {
    let mut options = farmer(1, &[TCP]);
    options.room.process = 1;
    let full = start(options).await;
    let client = start(towards(&full, client(2))).await;
    assert!(client.request(full.local_id(), holds()).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_bodies_get_their_answer_at_once() {
    for listen in [TCP, QUIC] {
        let refusing = Shelf { refuses: Some(Refusal::BadToken), ..Shelf::default() };
        let (farmer, shelf) = start_with(farmer(1, &[listen]), refusing).await;
        let client = start(towards(&farmer, client(2))).await;
        for len in [1, PIECE_MAX_BYTES] {
            let begin = Instant::now();
            let answer = client.request(farmer.local_id(), store(0, piece(len))).await;
            assert!(begin.elapsed() < Duration::from_secs(2), "{listen} {len}: {:?}", begin.elapsed());
            assert!(matches!(answer, Ok(Response::Refused(Refusal::BadToken))), "{listen} {len}: {answer:?}");
        }
        assert!(shelf.pieces.lock().unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_request_to_oneself_is_served_by_ones_own_handler() {
    let (node, _) = start_with(farmer(1, &[TCP]), Shelf::default()).await;
    node.request(node.local_id(), store(0, piece(100))).await.unwrap();
    assert_eq!(body(node.request(node.local_id(), fetch(0)).await.unwrap()), piece(100));
    let refusing = Shelf { refuses: Some(Refusal::BadToken), ..Shelf::default() };
    let (node, _) = start_with(farmer(2, &[TCP]), refusing).await;
    let answer = node.request(node.local_id(), store(0, piece(100))).await;
    assert!(matches!(answer, Ok(Response::Refused(Refusal::BadToken))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_node_is_a_timeout_and_a_stopped_one_is_stopped() {
    let slow = Shelf { delay: Duration::from_secs(60), ..Shelf::default() };
    let (farmer, _) = start_with(farmer(1, &[TCP]), slow).await;
    let mut options = towards(&farmer, client(2));
    options.waits.control = Duration::from_millis(300);
    let client = start(options).await;
    let late = client.request(farmer.local_id(), holds()).await;
    assert!(matches!(late, Err(NetworkError::Timeout { .. })), "{late:?}");
    let waiting = tokio::spawn({
        let (client, farmer) = (client.clone(), farmer.local_id());
        async move { client.request(farmer, fetch(0)).await }
    });
    tokio::task::yield_now().await;
    let begin = Instant::now();
    client.shutdown().await;
    assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
    assert!(matches!(waiting.await.unwrap(), Err(NetworkError::Stopped)));
    assert!(matches!(client.request(farmer.local_id(), holds()).await, Err(NetworkError::Stopped)));
    assert!(matches!(client.snapshot(false).await, Err(NetworkError::Stopped)));
    client.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_requests_at_once_are_all_answered() {
    let (farmer, shelf) = start_with(farmer(1, &[TCP]), Shelf::default()).await;
    shelf.pieces.lock().unwrap().insert(0, piece(PIECE_MAX_BYTES));
    let client = start(towards(&farmer, client(2))).await;
    let calls = (0..400).map(|i| {
        let (client, farmer) = (client.clone(), farmer.local_id());
        tokio::spawn(async move { client.request(farmer, if i % 2 == 0 { fetch(0) } else { holds() }).await })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap().unwrap();
    }
    assert!(shelf.most_at_once.load(std::sync::atomic::Ordering::SeqCst) <= 64);
}

#[tokio::test]
async fn what_cannot_be_listened_on_is_a_typed_error() {
    let first = start(farmer(1, &[TCP])).await;
    let taken = first.listen_addrs().remove(0);
    let shelf = std::sync::Arc::new(Shelf::default());
    let error = Node::start(farmer(2, &[&taken]), shelf.clone()).await.err().unwrap();
    assert!(
        matches!(&error, NetError::Listen { source, .. } if source.kind() == std::io::ErrorKind::AddrInUse),
        "{error:?}"
    );
    for bad in ["/ip4/1.2.3.4", "nonsense"] {
        let error = Node::start(farmer(2, &[bad]), shelf.clone()).await.err().unwrap();
        assert!(matches!(error, NetError::BadAddress { .. }), "{error:?}");
        let bootstrap = NetOptions { bootstrap: vec![bad.into()], ..client(2) };
        let error = Node::start(bootstrap, shelf.clone()).await.err().unwrap();
        assert!(matches!(error, NetError::BadAddress { .. }), "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_with_pieces_stay_within_their_budget() {
    let slow = Shelf { delay: Duration::from_millis(20), ..Shelf::default() };
    let mut options = farmer(1, &[TCP]);
    options.room.answers = 2 * PIECE_MAX_BYTES;
    let (farmer, shelf) = start_with(options, slow).await;
    shelf.pieces.lock().unwrap().insert(0, piece(PIECE_MAX_BYTES));
    let mut calls = tokio::task::JoinSet::new();
    for number in 2..6 {
        let client = start(towards(&farmer, client(number))).await;
        for _ in 0..4 {
            let (client, farmer) = (client.clone(), farmer.local_id());
            calls.spawn(async move { client.request(farmer, fetch(0)).await });
        }
    }
    while let Some(call) = calls.join_next().await {
        assert_eq!(body(call.unwrap().unwrap()).len(), PIECE_MAX_BYTES);
    }
    let most = shelf.most_at_once.load(std::sync::atomic::Ordering::SeqCst);
    assert!((1..=2).contains(&most), "{most}");
}
