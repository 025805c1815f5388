//! What the network port costs over its baselines, in one run: raw TCP, bare request-response of libp2p, and our own node
//! fetching and storing, each moving 1 MiB messages over one connection on loopback. Client and server share the process,
//! so the CPU seconds are those of both sides. `cargo bench --profile dev -p dsn-net`; ends by itself within a minute.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench prints, and fails by panicking")]

use std::{
    collections::HashMap,
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use dsn_core::{
    hash::ChunkId,
    identity::Identity,
    index_set::IndexSet,
    node_id::NodeId,
    ports::{Handler, Network},
    rpc::{FetchedPart, Refusal, Request, Response, StoreHeader, StorePart, Token, Want},
};
use dsn_net::{NetOptions, Node};
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, StreamExt};
use libp2p::{
    PeerId, StreamProtocol, Swarm, SwarmBuilder, noise,
    request_response::{self, Config, Event, Message, ProtocolSupport},
    swarm::SwarmEvent,
    tcp, yamux,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

const MESSAGE: usize = 1 << 20;
/// Messages of one measurement.
const MESSAGES: usize = 384;
const ROUNDS: usize = 3;
/// A farmer gives one node 512 MiB at once and 256 MiB a second: after this long one measurement's are there again.
const REST: Duration = Duration::from_secs(2);
const TCP: &str = "/ip4/127.0.0.1/tcp/0";

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut raw = RawSwarms::start().await;
        let ours = Ours::start().await;
        let mut table: Vec<(&str, Vec<Figure>)> = Vec::new();
        for _ in 0..ROUNDS {
            note(&mut table, "raw TCP, one stream", figure(raw_tcp()).await);
            note(&mut table, "libp2p request-response, 4 in flight", figure(raw.fetch(4)).await);
            note(&mut table, "node fetch, 4 in flight", figure(ours.run(4, fetch)).await);
            note(&mut table, "node fetch, 16 in flight", figure(ours.run(16, fetch)).await);
            note(&mut table, "node store, 4 in flight", figure(ours.run(4, store)).await);
        }
        print(&table);
        ours.stop().await;
    });
}

/// One measurement of [`MESSAGES`] messages.
#[derive(Clone, Copy)]
struct Figure {
    seconds: f64,
    cpu_seconds: f64,
}

async fn figure(work: impl Future<Output = ()>) -> Figure {
    let (begin, cpu) = (Instant::now(), cpu_seconds());
    work.await;
    let figure = Figure { seconds: begin.elapsed().as_secs_f64(), cpu_seconds: cpu_seconds() - cpu };
    tokio::time::sleep(REST).await;
    figure
}

/// User and system time of this process, from the kernel, in ticks of 10 ms.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let after_name = &stat[stat.rfind(')').unwrap() + 2..];
    let ticks: u32 = after_name.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u32>().unwrap()).sum();
    f64::from(ticks) / 100.0
}

fn note<'a>(table: &mut Vec<(&'a str, Vec<Figure>)>, name: &'a str, figure: Figure) {
    match table.iter_mut().find(|(known, _)| *known == name) {
        Some((_, figures)) => figures.push(figure),
        None => table.push((name, vec![figure])),
    }
}

fn print(table: &[(&str, Vec<Figure>)]) {
    let messages = f64::from(u32::try_from(MESSAGES).unwrap());
    let (megabytes, gibibytes) = (messages * 1.048_576, messages / 1024.0);
    let median = |figures: &[Figure], value: fn(&Figure) -> f64| {
        let mut values: Vec<f64> = figures.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let baseline = median(&table[1].1, |figure| figure.seconds);
    println!("{:40} {:>8} {:>12} {:>22}", "", "MB/s", "CPU s/GiB", "x request-response");
    for (name, figures) in table {
        let seconds = median(figures, |figure| figure.seconds);
        let cpu = median(figures, |figure| figure.cpu_seconds) / gibibytes;
        println!("{name:40} {:>8.0} {cpu:>12.2} {:>22.2}", megabytes / seconds, baseline / seconds);
    }
}

async fn raw_tcp() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let message = vec![7; MESSAGE];
        for _ in 0..MESSAGES {
            stream.write_all(&message).await.unwrap();
        }
    });
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut message = vec![0; MESSAGE];
    for _ in 0..MESSAGES {
        stream.read_exact(&mut message).await.unwrap();
    }
    server.await.unwrap();
}

/// The leanest codec there can be: no lengths, no checks.
#[derive(Clone, Default)]
struct Lean;

impl request_response::Codec for Lean {
    type Protocol = StreamProtocol;
    type Request = u8;
    type Response = Bytes;

    async fn read_request<T: AsyncRead + Unpin + Send>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<u8> {
        let mut byte = [0];
        io.read_exact(&mut byte).await?;
        Ok(byte[0])
    }

    async fn read_response<T: AsyncRead + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
    ) -> io::Result<Bytes> {
        let mut message = vec![0; MESSAGE];
        io.read_exact(&mut message).await?;
        Ok(message.into())
    }

    async fn write_request<T: AsyncWrite + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        request: u8,
    ) -> io::Result<()> {
        io.write_all(&[request]).await
    }

    async fn write_response<T: AsyncWrite + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        message: Bytes,
    ) -> io::Result<()> {
        io.write_all(&message).await
    }
}

type LeanSwarm = Swarm<request_response::Behaviour<Lean>>;

struct RawSwarms {
    client: LeanSwarm,
    server: PeerId,
    _serving: JoinSet<()>,
}

impl RawSwarms {
    fn swarm() -> LeanSwarm {
        let config = Config::default().with_request_timeout(Duration::from_secs(60)).with_max_concurrent_streams(256);
        let protocol = StreamProtocol::new("/raw/1");
        SwarmBuilder::with_new_identity()
            .with_tokio()
            .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, yamux::Config::default)
            .unwrap()
            .with_behaviour(|_| request_response::Behaviour::new([(protocol, ProtocolSupport::Full)], config))
            .unwrap()
            .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(60)))
            .build()
    }

    async fn start() -> Self {
        let mut swarm = Self::swarm();
        swarm.listen_on(TCP.parse().unwrap()).unwrap();
        let address = loop {
            if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
                break address;
            }
        };
        let server = *swarm.local_peer_id();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let message = Bytes::from(vec![7; MESSAGE]);
            loop {
                if let SwarmEvent::Behaviour(Event::Message { message: Message::Request { channel, .. }, .. }) =
                    swarm.select_next_some().await
                {
                    swarm.behaviour_mut().send_response(channel, message.clone()).unwrap();
                }
            }
        });
        let mut client = Self::swarm();
        client.dial(address).unwrap();
        while !client.is_connected(&server) {
            client.select_next_some().await;
        }
        Self { client, server, _serving: serving }
    }

    async fn fetch(&mut self, in_flight: usize) {
        let (mut asked, mut got) = (0, 0);
        while got < MESSAGES {
            while asked < MESSAGES && asked - got < in_flight {
                self.client.behaviour_mut().send_request(&self.server, 1);
                asked += 1;
            }
            match self.client.select_next_some().await {
                SwarmEvent::Behaviour(Event::Message { message: Message::Response { response, .. }, .. }) => {
                    assert_eq!(response.len(), MESSAGE);
                    got += 1;
                }
                SwarmEvent::Behaviour(event @ Event::OutboundFailure { .. }) => panic!("{event:?}"),
                _ => {}
            }
        }
    }
}

/// Holds 48 pieces, takes any.
struct Shelf {
    pieces: HashMap<u8, Bytes>,
}

#[async_trait]
impl Handler for Shelf {
    fn admit(&self, _: &[StoreHeader]) -> Result<(), Refusal> {
        Ok(())
    }

    async fn handle(&self, _: NodeId, request: Request) -> Response {
        match request {
            Request::Fetch(wants) => {
                let part = |want: &Want| {
                    let index = want.indices.iter().next()?;
                    Some(FetchedPart { chunk: want.chunk, index, bytes: self.pieces.get(&index)?.clone() })
                };
                Response::Fetched(wants.iter().filter_map(part).collect())
            }
            Request::Store(_) => Response::Stored(Vec::new()),
            _ => Response::Refused(Refusal::NotServed),
        }
    }
}

struct Ours {
    farmer: Node,
    client: Node,
}

fn fetch(index: u8) -> Request {
    Request::Fetch(vec![Want { chunk: ChunkId::from_slice(&[1; 32]).unwrap(), indices: IndexSet::one(index) }])
}

fn store(index: u8) -> Request {
    static PIECE: std::sync::LazyLock<Bytes> = std::sync::LazyLock::new(|| Bytes::from(vec![7; MESSAGE]));
    Request::Store(vec![StorePart { token: Token([1; 16]), index, bytes: PIECE.clone() }])
}

impl Ours {
    async fn start() -> Self {
        let pieces = (0..48).map(|index| (index, Bytes::from(vec![index; MESSAGE]))).collect();
        let shelf = Arc::new(Shelf { pieces });
        let options = |number: u8| NetOptions {
            mdns: false,
            ..NetOptions::new(Identity::from_seed([number; 32]), "bench".parse().unwrap())
        };
        let farmer = NetOptions { serve: true, listen: vec![TCP.into()], ..options(1) };
        let farmer = Node::start(farmer, Arc::clone(&shelf) as Arc<dyn Handler>).await.unwrap();
        let client = NetOptions { bootstrap: farmer.listen_addrs(), ..options(2) };
        let client = Node::start(client, shelf).await.unwrap();
        Self { farmer, client }
    }

    async fn run(&self, in_flight: usize, request: fn(u8) -> Request) {
        let mut calls = JoinSet::new();
        for message in 0..MESSAGES {
            if calls.len() >= in_flight {
                calls.join_next().await.unwrap().unwrap();
            }
            let (client, farmer) = (self.client.clone(), self.farmer.local_id());
            calls.spawn(async move {
                let answer = client.request(farmer, request(u8::try_from(message % 48).unwrap())).await.unwrap();
                assert!(matches!(answer, Response::Fetched(_) | Response::Stored(_)), "{answer:?}");
            });
        }
        while let Some(call) = calls.join_next().await {
            call.unwrap();
        }
    }

    async fn stop(self) {
        self.client.shutdown().await;
        self.farmer.shutdown().await;
    }
}
