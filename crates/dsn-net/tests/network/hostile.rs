//! Peers that break the rules: their streams end, and nobody else notices.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use dsn_core::{
    limits::PIECE_MAX_BYTES,
    ports::{Network, NetworkError},
    rpc::{Refusal, Response, frame::Frame},
};
use dsn_net::{NetOptions, Node};
use futures::StreamExt;

use crate::{
    stranger::{Put, Stranger, flat, refusal},
    support::*,
};

const SILENCE: Duration = Duration::from_millis(400);

async fn impatient_farmer(shelf: Shelf) -> (Node, Arc<Shelf>) {
    let mut options = farmer(1, &[TCP]);
    options.waits.silence = SILENCE;
    start_with(options, shelf).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_streams_are_closed_and_others_served() {
    let (farmer, shelf) = impatient_farmer(Shelf::default()).await;
    let client = start(towards(&farmer, client(2))).await;
    let mut stranger = Stranger::new();
    let peer = stranger.meet(&farmer);
    let whole = flat(&Frame::from(&holds()));
    let piece = flat(&Frame::from(&store(0, piece(1000))));
    let dawdling = Put { pause: SILENCE / 8, ..Put::all(whole.clone()) };
    let cases = [
        ("length of 2^32 - 1", Put::hold(vec![0xff; 4])),
        ("length of zero", Put::hold(vec![0; 4])),
        ("half a header", Put::all(whole[..whole.len() / 2].to_vec())),
        ("half a header, then silence", Put::hold(whole[..whole.len() / 2].to_vec())),
        ("trailing bytes", Put::all([&whole[..], &[0]].concat())),
        ("half a body", Put::all(piece[..500].to_vec())),
        ("no header at all", Put::all(vec![0, 0, 0, 4, 0xff, 0xff, 0xff, 0xff])),
        ("nothing, closed", Put::all(vec![])),
        ("nothing, silent", Put::hold(vec![])),
        ("a byte now and then", dawdling),
        ("never closed", Put::hold(whole.clone())),
    ];
    for (name, put) in cases {
        let begin = Instant::now();
        let slow = !put.pause.is_zero();
        stranger.put(peer, put);
        let end = tokio::time::timeout(4 * SILENCE, stranger.next_end()).await;
        let end = end.unwrap_or_else(|_| panic!("{name}: still open"));
        assert!(end.as_ref().map_or(true, Vec::is_empty), "{name}: {end:?}");
        assert!(slow || begin.elapsed() < 3 * SILENCE, "{name}: {:?}", begin.elapsed());
        client.request(farmer.local_id(), holds()).await.unwrap();
    }
    assert!(shelf.pieces.lock().unwrap().is_empty(), "nothing was stored");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_without_leave_are_refused_unread() {
    let refusing = Shelf { refuses: Some(Refusal::BadToken), ..Shelf::default() };
    let (farmer, shelf) = impatient_farmer(refusing).await;
    let mut stranger = Stranger::new();
    let peer = stranger.meet(&farmer);
    let frame = Frame::from(&store(0, piece(PIECE_MAX_BYTES)));
    let head = flat(&Frame { bodies: Vec::new(), ..frame });
    let begin = Instant::now();
    stranger.put(peer, Put::all(head));
    let answer = stranger.next_end().await.unwrap();
    assert!(begin.elapsed() < SILENCE, "nobody waited for the bodies: {:?}", begin.elapsed());
    assert_eq!(refusal(&answer), Some(Refusal::BadToken));
    assert_eq!((shelf.admitted.load(Ordering::SeqCst), shelf.handled.load(Ordering::SeqCst)), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_silent_streams_hurt_nobody_else() {
    let (farmer, _) = impatient_farmer(Shelf::default()).await;
    let client = start(towards(&farmer, client(2))).await;
    let mut stranger = Stranger::new();
    let peer = stranger.meet(&farmer);
    for _ in 0..1000 {
        stranger.put(peer, Put::hold(vec![0]));
    }
    let flood = tokio::spawn(async move {
        let _ends = tokio::time::timeout(3 * SILENCE, async {
            loop {
                let _end = stranger.next_end().await;
            }
        })
        .await;
        stranger
    });
    let (mut served, mut pace) = (0, tokio::time::interval(Duration::from_millis(5)));
    while !flood.is_finished() {
        pace.tick().await;
        let begin = Instant::now();
        client.request(farmer.local_id(), holds()).await.unwrap();
        assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
        served += 1;
    }
    assert!(served > 20, "{served}");
    drop(flood.await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_requests_is_told_to_come_back_and_others_are_served() {
    let slow = Shelf { delay: Duration::from_millis(200), ..Shelf::default() };
    let (farmer, shelf) = impatient_farmer(slow).await;
    let client = start(towards(&farmer, client(2))).await;
    client.request(farmer.local_id(), holds()).await.unwrap();
    let mut stranger = Stranger::new();
    let peer = stranger.meet(&farmer);
    let whole = flat(&Frame::from(&holds()));
    for _ in 0..250 {
        stranger.put(peer, Put::all(whole.clone()));
    }
    let flood = async {
        let ends: Vec<_> = futures::stream::unfold(&mut stranger, |stranger| async {
            let end = stranger.next_end().await;
            Some((end, stranger))
        })
        .take(250)
        .collect()
        .await;
        ends.into_iter()
            .filter(|end| matches!(end, Ok(bytes) if matches!(refusal(bytes), Some(Refusal::Busy { .. }))))
            .count()
    };
    let (busy, served) = tokio::join!(flood, client.request(farmer.local_id(), holds()));
    served.unwrap();
    let most = shelf.most_at_once.load(Ordering::SeqCst);
    assert!(busy > 50 && most <= 129, "busy {busy}, at once {most}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_a_thousand_times_a_second_is_told_to_wait_then_closed_and_others_are_served() {
    let (farmer, _) = impatient_farmer(Shelf::default()).await;
    let client = start(towards(&farmer, client(2))).await;
    client.request(farmer.local_id(), holds()).await.unwrap();
    let mut stranger = Stranger::new();
    let peer = stranger.meet(&farmer);
    let whole = flat(&Frame::from(&holds()));
    let flood = async {
        let (mut busy, mut asked) = (0, 0);
        loop {
            for _ in 0..100 {
                stranger.put(peer, Put::all(whole.clone()));
                asked += 1;
            }
            for _ in 0..100 {
                match stranger.next_end().await {
                    Ok(bytes) => busy += u32::from(matches!(refusal(&bytes), Some(Refusal::Busy { .. }))),
                    Err(_) => return (busy, asked),
                }
            }
            assert!(asked < 20_000, "it is served for ever");
        }
    };
    let honest = async {
        for _ in 0..100 {
            client.request(farmer.local_id(), holds()).await.unwrap();
        }
    };
    let ((busy, asked), ()) = tokio::join!(flood, honest);
    assert!(busy >= 400 && asked >= 2500, "told to wait {busy} times of {asked}");
    let back = stranger.meet(&farmer);
    stranger.put(back, Put::all(whole));
    assert!(stranger.next_end().await.is_err(), "it is let in again at once");
    client.request(farmer.local_id(), holds()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_break_the_protocol_are_an_error() {
    let wrong_kind = flat(&Frame::from(&Response::Published(vec![true])));
    let mut trailing = flat(&Frame::from(&Response::Held(Vec::new())));
    trailing.push(0);
    for answer in [vec![0xff; 4], vec![0; 4], vec![0, 0, 0, 2, 0xff, 0xff], trailing, wrong_kind] {
        let mut stranger = Stranger::new();
        let (id, address) = stranger.listen().await;
        let client = start(NetOptions { remembered: vec![(id, vec![address])], ..client(2) }).await;
        let asked = client.request(id, holds());
        let error = tokio::select! {
            error = asked => error.unwrap_err(),
            () = stranger.answer_all(answer.clone()) => unreachable!(),
        };
        assert!(matches!(error, NetworkError::BadAnswer { .. }), "{answer:?}: {error:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_an_answer_is_a_lost_connection() {
    let mut stranger = Stranger::new();
    let (id, address) = stranger.listen().await;
    let client = start(NetOptions { remembered: vec![(id, vec![address])], ..client(2) }).await;
    let error = tokio::select! {
        error = client.request(id, holds()) => error.unwrap_err(),
        () = stranger.answer_all(vec![0, 0, 0, 9, 1]) => unreachable!(),
    };
    assert!(matches!(error, NetworkError::ConnectionLost { .. }), "{error:?}");
}
