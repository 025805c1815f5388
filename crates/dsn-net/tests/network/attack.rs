//! A farmer under attack: three processes, the farmer, the attacker, and this one, which asks the farmer at its own pace
//! before and during the attack. The two others are this test binary once more, told by the environment what to be.
//! Not here: attacks on closed networks (`intruder`) and what each single kind of bad stream comes to (`hostile`).

use std::{
    io::{BufRead, BufReader, Lines},
    process::{Child, ChildStderr, Command, Stdio},
    time::{Duration, Instant},
};

use dsn_core::ports::Network;
use dsn_net::NetOptions;
use futures::{StreamExt, stream};
use libp2p::{Multiaddr, PeerId, Swarm, SwarmBuilder, identify, noise, swarm::SwarmEvent, tcp, yamux};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{io::AsyncWriteExt, net::TcpStream, task::JoinSet, time::timeout};

use crate::{
    hostile::{flat, refusal},
    stranger::{Put, Stranger},
    support::*,
};

const ROLE: &str = "DSN_TEST_ROLE";
const TARGET: &str = "DSN_TEST_TARGET";

/// Connections on which no handshake ends.
const CONNECTIONS: usize = 10_000;
/// Of them on their way at once: the backlog of a listener holds more.
const DIALS: usize = 200;
/// Silent streams on one connection.
const STREAMS: usize = 1_000;
/// Streams with a byte a second.
const SLOW: usize = 64;
/// Nodes that flood, one after the other.
const FLOODERS: usize = 4;
/// Nodes that say they are at a hundred places.
const POISONERS: u8 = 8;
/// The attack lasts as long as this.
const ATTACK: Duration = Duration::from_secs(8);
/// What honest traffic is measured for before it.
const BEFORE: Duration = Duration::from_secs(4);
/// Honest requests: so many callers, each with this pause. Within what one node may ask.
const CALLERS: usize = 4;
const PACE: Duration = Duration::from_millis(20);
/// What the farmer's memory may come to at its highest. At rest it is a tenth of this.
const MEMORY_MAX_KIB: u64 = 256 << 10;

/// A process of this test; it ends with the test.
struct Role {
    child: Child,
    says: Lines<BufReader<ChildStderr>>,
}

impl Role {
    fn start(role: &str, target: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "attack::a_role_of_another_test", "--nocapture"]);
        command.env(ROLE, role).env(TARGET, target);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let says = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, says }
    }

    /// The rest of the next line that begins with this word.
    fn hear(&mut self, word: &str) -> String {
        for line in &mut self.says {
            let line = line.unwrap();
            match line.strip_prefix(word) {
                Some(rest) => return rest.trim().to_owned(),
                None => eprintln!("{line}"),
            }
        }
        panic!("it ended without a word of {word}");
    }

    fn number(&mut self, word: &str) -> usize {
        self.hear(word).parse().unwrap()
    }

    /// The most memory it had, in KiB.
    fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

/// Does nothing unless started by the test below.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_of_another_test() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let most = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most }).unwrap();
    match role.as_str() {
        "farmer" => be_the_farmer().await,
        _ => attack(&std::env::var(TARGET).unwrap()).await,
    }
}

/// Serves until its input ends; then says what it believes about others.
async fn be_the_farmer() {
    let (node, shelf) = start_with(farmer(1, &[TCP]), Shelf::default()).await;
    shelf.pieces.lock().unwrap().insert(0, piece(64 << 10));
    eprintln!("LISTENS {}", node.listen_addrs()[0]);
    tokio::task::spawn_blocking(|| std::io::stdin().lines().for_each(drop)).await.unwrap();
    let own = node.listen_addrs()[0].rsplit_once("/p2p/").unwrap().0.to_owned();
    let known = node.known_nodes().await.unwrap();
    let is_poison = |address: &&String| address.starts_with("/ip4/224.") || address.starts_with(&own);
    eprintln!("KNOWN {}", known.len());
    eprintln!("MOST {}", known.iter().map(|node| node.addresses.len()).max().unwrap_or_default());
    eprintln!("POISON {}", known.iter().flat_map(|node| &node.addresses).filter(is_poison).count());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_farmer_under_attack_serves_the_honest_at_half_their_rate_at_least() {
    let mut farmer = Role::start("farmer", "");
    let address = farmer.hear("LISTENS");
    let id = address.rsplit('/').next().unwrap().parse().unwrap();
    let client = start(NetOptions { bootstrap: vec![address.clone()], ..client(2) }).await;
    client.request(id, fetch(0)).await.unwrap();
    let rate = async |length: Duration| {
        let begin = Instant::now();
        let caller = async || {
            let (mut served, mut pace) = (0_u32, tokio::time::interval(PACE));
            pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            while begin.elapsed() < length {
                pace.tick().await;
                served += u32::from(client.request(id, fetch(0)).await.is_ok());
            }
            served
        };
        let served: u32 = futures::future::join_all((0..CALLERS).map(|_| caller())).await.iter().sum();
        f64::from(served) / begin.elapsed().as_secs_f64()
    };
    let (quiet, calm) = (rate(BEFORE).await, farmer.memory());
    let mut attacker = Role::start("attacker", &address);
    attacker.hear("BEGINS");
    let attacked = rate(ATTACK).await;
    let said = ["CONNECTED", "STREAMS", "SLOW", "BUSY", "SHUT", "POISONED"].map(|word| attacker.number(word));
    let memory = farmer.memory();
    client.request(id, fetch(0)).await.unwrap();
    drop(farmer.child.stdin.take());
    let known = ["KNOWN", "MOST", "POISON"].map(|word| farmer.number(word));
    eprintln!("honest requests/s: {quiet:.0} before, {attacked:.0} during; KiB: {calm} before, {memory} at most");
    eprintln!(
        "connections, silent streams, slow, told to wait, shut out, poisoners: {said:?}; known, most, poison: {known:?}"
    );
    let [connected, streams, slow, busy, shut, poisoners] = said;
    assert!(connected >= CONNECTIONS * 9 / 10 && streams == STREAMS && slow == SLOW, "no attack");
    assert!(busy > 400 && shut >= 1 && poisoners == usize::from(POISONERS), "no attack");
    assert!(quiet > 50.0, "nothing to compare with: {quiet:.0}");
    assert!(attacked >= quiet / 2.0, "{attacked:.0} of {quiet:.0} requests/s are left");
    assert!(memory < MEMORY_MAX_KIB, "{memory} KiB");
    let [known, most, poison] = known;
    assert!(known > usize::from(POISONERS), "the liars left before they were looked at: {known}");
    assert!(most <= 8 && poison == 0, "{most} addresses of one node, {poison} of them somebody else's");
}

/// All of them meet the farmer, as those who knock would leave no room for it; then everything at once, and what came of
/// it.
async fn attack(target: &str) {
    let (silent, slow) = (met(target).await, met(target).await);
    let mut flooders = Vec::new();
    for _ in 0..FLOODERS {
        flooders.push(met(target).await);
    }
    let poisoners = poison(target).await;
    eprintln!("BEGINS");
    let end = Instant::now() + ATTACK;
    let late = Put { pause: Duration::from_secs(1), ..Put::all(flat(&(&holds()).into())) };
    let (connected, streams, slow, (busy, shut)) = tokio::join!(
        knock(target, end),
        hold(silent, end, STREAMS, Put::hold(vec![0])),
        hold(slow, end, SLOW, late),
        flood(flooders, end),
    );
    let poisoned = poisoners.len();
    eprintln!("CONNECTED {connected}\nSTREAMS {streams}\nSLOW {slow}\nBUSY {busy}\nSHUT {shut}\nPOISONED {poisoned}");
}

/// A stranger whom the farmer has answered.
async fn met(target: &str) -> (Stranger, PeerId) {
    let mut stranger = Stranger::new();
    let peer = stranger.reach(target);
    stranger.put(peer, Put::all(flat(&(&holds()).into())));
    stranger.next_end().await.unwrap();
    (stranger, peer)
}

/// Opens connections, says half of a hello on every second one, and keeps them all.
async fn knock(target: &str, end: Instant) -> usize {
    let port: u16 = target.split('/').nth(4).unwrap().parse().unwrap();
    let dial = |number: usize| async move {
        let mut line = timeout(Duration::from_secs(3), TcpStream::connect(("127.0.0.1", port))).await.ok()?.ok()?;
        if number.is_multiple_of(2) {
            let _closed_already = line.write_all(b"\x13/multistream/1.0.0\n\x07/noi").await;
        }
        Some(line)
    };
    let dials = stream::iter(0..CONNECTIONS).map(dial).buffer_unordered(DIALS).filter_map(async |line| line);
    let lines: Vec<TcpStream> = dials.collect().await;
    tokio::time::sleep_until(end.into()).await;
    lines.len()
}

/// Streams of one connection at once. Gives how many were asked for.
async fn hold((mut stranger, peer): (Stranger, PeerId), end: Instant, count: usize, put: Put) -> usize {
    (0..count).for_each(|_| stranger.put(peer, put.clone()));
    let _end = tokio::time::timeout_at(end.into(), async {
        loop {
            let _ended = stranger.next_end().await;
        }
    })
    .await;
    count
}

/// Requests as fast as they are answered, until shut out; then another goes on. Gives how often they were told to wait
/// and how many were shut out.
async fn flood(flooders: Vec<(Stranger, PeerId)>, end: Instant) -> (u32, u32) {
    let whole = flat(&(&holds()).into());
    let (mut busy, mut shut) = (0, 0);
    for (mut stranger, peer) in flooders {
        'asking: while Instant::now() < end {
            (0..100).for_each(|_| stranger.put(peer, Put::all(whole.clone())));
            for _ in 0..100 {
                match timeout(Duration::from_secs(3), stranger.next_end()).await {
                    Ok(Ok(bytes)) => busy += u32::from(refusal(&bytes).is_some()),
                    Ok(Err(_)) => {
                        shut += 1;
                        break 'asking;
                    }
                    Err(_) => break 'asking,
                }
            }
        }
    }
    (busy, shut)
}

type Liar = Swarm<identify::Behaviour>;

/// Nodes that have told the farmer a hundred addresses: of nobody, of groups, of machines at home, and the farmer's own.
/// They stay connected as long as they are kept.
async fn poison(target: &str) -> Vec<Liar> {
    let mut liars = JoinSet::new();
    for number in 0..POISONERS {
        liars.spawn(tell_lies(number, target.parse().unwrap()));
    }
    liars.join_all().await.into_iter().flatten().collect()
}

async fn tell_lies(number: u8, target: Multiaddr) -> Option<Liar> {
    let mut swarm = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_behaviour(|keys| identify::Behaviour::new(identify::Config::new("/dsn/test/id/1".into(), keys.public())))
        .unwrap()
        .with_swarm_config(|config| config.with_idle_connection_timeout(2 * ATTACK))
        .build();
    let bare: Multiaddr = target.iter().take(2).collect();
    swarm.add_external_address(bare);
    for host in 0..33 {
        for net in [format!("224.0.0.{host}"), format!("10.{number}.0.{host}"), format!("203.{number}.113.{host}")] {
            swarm.add_external_address(format!("/ip4/{net}/tcp/4100").parse().unwrap());
        }
    }
    swarm.dial(target).unwrap();
    loop {
        match swarm.select_next_some().await {
            SwarmEvent::Behaviour(identify::Event::Sent { .. }) => return Some(swarm),
            SwarmEvent::OutgoingConnectionError { .. } => return None,
            _ => {}
        }
    }
}
