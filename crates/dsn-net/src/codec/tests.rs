//! Messages on streams in memory: what is written is read again, and nothing that a stream carries, or fails to carry,
//! does more than end it.

use std::{
    pin::Pin,
    sync::atomic::{AtomicUsize, Ordering},
    task::{Context, Poll},
    time::Instant,
};

use async_trait::async_trait;
use dsn_core::{
    hash::ChunkId,
    index_set::IndexSet,
    limits::{HEADER_MAX_BYTES, PIECE_MAX_BYTES},
    node_id::NodeId,
    rpc::{FetchedPart, StorePart, Token, Want},
};
use futures::io::Cursor;
use libp2p::request_response::Codec as _;
use proptest::prelude::*;
use tokio::time::{Sleep, sleep};

use super::*;
use crate::Cap;

const PROTOCOL: StreamProtocol = StreamProtocol::new("/dsn/test/rpc/1");
const SILENCE: Duration = Duration::from_millis(150);
const BUDGET_PERMITS: usize = 4096;

#[derive(Default)]
struct Door {
    refuses: bool,
    asked: AtomicUsize,
}

#[async_trait]
impl Handler for Door {
    fn admit(&self, _: &[StoreHeader]) -> Result<(), Refusal> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if self.refuses { Err(Refusal::BadToken) } else { Ok(()) }
    }

    async fn handle(&self, _: NodeId, _: Request) -> Response {
        unreachable!("a codec handles nothing")
    }
}

fn codec(door: Door) -> (Codec, Arc<Door>) {
    let door = Arc::new(door);
    let handler = Arc::clone(&door) as Arc<dyn Handler>;
    let uncapped = Cap::default();
    let (incoming, meters) = (Arc::new(Semaphore::new(BUDGET_PERMITS)), Meters::new(&uncapped, &uncapped, SILENCE));
    (Codec { handler, incoming, meters: Arc::new(meters), silence: SILENCE }, door)
}

fn piece(len: usize) -> Bytes {
    (0..len).map(|i| u8::try_from(i % 251).unwrap()).collect()
}

fn store(lens: &[usize]) -> Request {
    let part = |len: &usize| StorePart { token: Token([1; 16]), index: 0, bytes: piece(*len) };
    Request::Store(lens.iter().map(part).collect())
}

fn chunk() -> ChunkId {
    ChunkId::from_slice(&[7; 32]).unwrap()
}

async fn request_bytes(request: &Request) -> Vec<u8> {
    let mut stream = Cursor::new(Vec::new());
    let call = Call::Outgoing(Frame::from(request));
    codec(Door::default()).0.write_request(&PROTOCOL, &mut stream, call).await.unwrap();
    stream.into_inner()
}

async fn response_bytes(response: &Response) -> Vec<u8> {
    let mut stream = Cursor::new(Vec::new());
    let answer = Answer::Outgoing(Frame::from(response));
    codec(Door::default()).0.write_response(&PROTOCOL, &mut stream, answer).await.unwrap();
    stream.into_inner()
}

/// Gives `bytes` one at a time with a pause before each, then nothing ever again.
struct Trickle {
    bytes: Vec<u8>,
    given: usize,
    pause: Duration,
    wait: Pin<Box<Sleep>>,
}

impl Trickle {
    fn new(bytes: Vec<u8>, pause: Duration) -> Self {
        Self { bytes, given: 0, pause, wait: Box::pin(sleep(pause)) }
    }
}

impl AsyncRead for Trickle {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let Some(byte) = self.bytes.get(self.given).copied() else { return Poll::Pending };
        futures::ready!(self.wait.as_mut().poll(cx));
        self.given += 1;
        self.wait = Box::pin(sleep(self.pause));
        buf[0] = byte;
        Poll::Ready(Ok(1))
    }
}

/// Takes nothing.
struct Stuck;

impl AsyncWrite for Stuck {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Pending
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

#[tokio::test]
async fn what_is_written_is_read_again() {
    let wants = vec![Want { chunk: chunk(), indices: IndexSet::below(16) }];
    let many_ids = (0..200).map(|i| ChunkId::from_slice(&[i; 32]).unwrap()).collect();
    for request in [
        Request::Info,
        Request::Holds(many_ids),
        Request::Fetch(wants),
        store(&[1]),
        store(&[1000, 1, 70_000]),
        store(&[PIECE_MAX_BYTES]),
    ] {
        let bytes = request_bytes(&request).await;
        let (mut codec, _) = codec(Door::default());
        let call = codec.read_request(&PROTOCOL, &mut Cursor::new(bytes)).await.unwrap();
        let Call::Received { request: read, room } = call else { panic!("{call:?}") };
        assert_eq!(format!("{read:?}"), format!("{request:?}"));
        assert_eq!(room.is_some(), matches!(request, Request::Store(_)));
        assert_eq!(codec.incoming.available_permits() < BUDGET_PERMITS, room.is_some());
        drop(room);
        assert_eq!(codec.incoming.available_permits(), BUDGET_PERMITS);
    }
    let part = |index, len| FetchedPart { chunk: chunk(), index, bytes: piece(len) };
    for response in [
        Response::Refused(Refusal::Busy { delay_ms: 5 }),
        Response::Fetched(Vec::new()),
        Response::Fetched(vec![part(3, 100), part(4, 70_000)]),
        Response::Fetched(vec![part(0, PIECE_MAX_BYTES)]),
        Response::Sliced(vec![Some(Bytes::from(vec![5; 70_000])), None, Some(Bytes::from(vec![6; 100]))]),
    ] {
        let bytes = response_bytes(&response).await;
        let answer = codec(Door::default()).0.read_response(&PROTOCOL, &mut Cursor::new(bytes)).await.unwrap();
        let Answer::Received(read) = answer else { panic!("{answer:?}") };
        assert_eq!(format!("{read:?}"), format!("{response:?}"));
    }
}

#[tokio::test]
async fn malformed_messages_end_the_stream() {
    let whole = request_bytes(&store(&[1000])).await;
    let too_long = u32::try_from(HEADER_MAX_BYTES + 1).unwrap().to_be_bytes();
    let cases: [(&str, Vec<u8>, io::ErrorKind); 9] = [
        ("nothing", vec![], io::ErrorKind::UnexpectedEof),
        ("length of 2^32 - 1", vec![0xff; 4], io::ErrorKind::InvalidData),
        ("length over the limit", too_long.to_vec(), io::ErrorKind::InvalidData),
        ("length of zero", vec![0; 4], io::ErrorKind::InvalidData),
        ("half a length", vec![0, 0], io::ErrorKind::UnexpectedEof),
        ("half a header", [&[0, 0, 0, 9][..], &[1; 4]].concat(), io::ErrorKind::UnexpectedEof),
        ("a varint of 11 bytes", [&[0, 0, 0, 12][..], &[0xff; 12]].concat(), io::ErrorKind::InvalidData),
        ("half a body", whole[..whole.len() - 1].to_vec(), io::ErrorKind::UnexpectedEof),
        ("a byte too many", [&whole[..], &[0]].concat(), io::ErrorKind::InvalidData),
    ];
    for (name, bytes, kind) in cases {
        let (mut codec, _) = codec(Door::default());
        let error = codec.read_request(&PROTOCOL, &mut Cursor::new(bytes.clone())).await.err();
        assert_eq!(error.map(|error| error.kind()), Some(kind), "{name}");
        assert_eq!(codec.incoming.available_permits(), BUDGET_PERMITS, "{name}");
        assert!(codec.read_response(&PROTOCOL, &mut Cursor::new(bytes)).await.is_err(), "{name}");
    }
}

#[tokio::test]
async fn bodies_nobody_gave_leave_for_are_neither_read_nor_made_room_for() {
    let bytes = request_bytes(&store(&[PIECE_MAX_BYTES])).await;
    let head = bytes.len() - PIECE_MAX_BYTES;
    let (mut codec, door) = codec(Door { refuses: true, ..Door::default() });
    let mut stream = Cursor::new(bytes);
    let call = codec.read_request(&PROTOCOL, &mut stream).await.unwrap();
    assert!(matches!(call, Call::Refused(Refusal::BadToken)));
    assert_eq!((stream.position(), door.asked.load(Ordering::SeqCst)), (u64::try_from(head).unwrap(), 1));
    assert_eq!(codec.incoming.available_permits(), BUDGET_PERMITS);
}

#[tokio::test]
async fn bodies_wait_for_room_and_are_told_to_come_back() {
    let (mut codec, _) = codec(Door::default());
    let _all = Arc::clone(&codec.incoming).try_acquire_many_owned(u32::try_from(BUDGET_PERMITS).unwrap());
    let bytes = request_bytes(&store(&[1000])).await;
    let call = codec.read_request(&PROTOCOL, &mut Cursor::new(bytes)).await.unwrap();
    assert!(matches!(call, Call::Refused(Refusal::Busy { .. })));
}

#[tokio::test]
async fn silence_and_dawdling_are_cut_off() {
    let (mut codec, _) = codec(Door::default());
    let whole = request_bytes(&store(&[1000])).await;
    for (bytes, pause) in [(vec![], SILENCE), (whole[..6].to_vec(), Duration::ZERO), (whole, SILENCE / 10)] {
        let begin = Instant::now();
        let error = codec.read_request(&PROTOCOL, &mut Trickle::new(bytes, pause)).await.err();
        assert_eq!(error.map(|error| error.kind()), Some(io::ErrorKind::TimedOut));
        assert!(begin.elapsed() < 6 * SILENCE, "{:?}", begin.elapsed());
    }
    let answer = Answer::Outgoing(Frame::from(&Response::Refused(Refusal::Storage)));
    let error = codec.write_response(&PROTOCOL, &mut Stuck, answer).await.err();
    assert_eq!(error.map(|error| error.kind()), Some(io::ErrorKind::TimedOut));
}

#[tokio::test]
async fn whoever_is_hung_up_on_has_got_the_answer() {
    let (mut codec, _) = codec(Door::default());
    let mut stream = Cursor::new(Vec::new());
    let refused = Frame::from(&Response::Refused(Refusal::BadToken));
    let end = codec.write_response(&PROTOCOL, &mut stream, Answer::HangUp(refused)).await;
    assert!(end.is_err(), "so that the stream is reset");
    let answer = codec.read_response(&PROTOCOL, &mut Cursor::new(stream.into_inner())).await.unwrap();
    assert!(matches!(answer, Answer::Received(Response::Refused(Refusal::BadToken))));
}

proptest! {
    #[test]
    fn no_bytes_make_the_codec_panic(
        announced in 0..200u32,
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        cut in 0..1100usize,
        flip in 0..1100usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let (mut codec, _) = codec(Door::default());
            let noise = [&announced.to_be_bytes()[..], &bytes].concat();
            let mut spoilt = request_bytes(&store(&[900, 100])).await;
            let at = flip % spoilt.len();
            spoilt[at] ^= 0x55;
            spoilt.truncate(cut);
            for bytes in [noise, spoilt] {
                drop(codec.read_request(&PROTOCOL, &mut Cursor::new(bytes.clone())).await);
                drop(codec.read_response(&PROTOCOL, &mut Cursor::new(bytes)).await);
                assert_eq!(codec.incoming.available_permits(), BUDGET_PERMITS);
            }
        });
    }
}
