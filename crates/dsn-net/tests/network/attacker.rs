//! A process that attacks one farmer with everything at once, or one of a closed network with false members. It is the test
//! binary once more, told by the environment what to be; the tests of whole networks include this file too. Not here: what
//! the farmer has to make of it.

use std::{
    io::{BufRead, BufReader, Lines},
    process::{Child, ChildStderr, Command, Stdio},
    time::{Duration, Instant},
};

use dsn_core::{
    hash::ChunkId,
    hello::{Hello, Profile, Versions},
    identity::Identity,
    membership::{
        Membership, Refused, admission::Word, certificate::CertificateBody, closed_network, invitation::Invitation,
    },
    rpc::{Request, Response, frame::Frame},
};
use futures::{StreamExt, future, stream};
use libp2p::{
    Multiaddr, PeerId, StreamProtocol, Swarm, SwarmBuilder, identify,
    identity::Keypair,
    kad, noise,
    swarm::{NetworkBehaviour, SwarmEvent},
    tcp, yamux,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    task::JoinSet,
    time::{sleep, timeout, timeout_at},
};

use crate::{
    intruder::{Answer, framed, intrude, shown},
    stranger::{Put, Stranger, flat, refusal, response},
};

const ROLE: &str = "DSN_TEST_ROLE";
const TARGET: &str = "DSN_TEST_TARGET";

/// Attacks an open farmer: TARGET is its address.
pub(crate) const ATTACKER: &str = "attacker::attacks";
/// Shows a closed farmer false credentials: TARGET is its address, a space, and a real member's invitation.
pub(crate) const IMPOSTOR: &str = "attacker::pretends";

/// An attack lasts as long as this.
pub(crate) const ATTACK: Duration = Duration::from_secs(8);

/// Connections on which no handshake ends.
const CONNECTIONS: usize = 10_000;
/// Of them on their way at once: the backlog of a listener holds more.
const DIALS: usize = 200;
/// Silent streams on one connection.
const STREAMS: usize = 1_000;
/// Handshakes that the farmer begins with those who knock and say something: 128 at once, each for the three seconds that a
/// dial may take, half of them with a hello, so at most three times 64. Without that bound it is half of the 512 at once that
/// the rate of handshakes lets through.
const BEGUN_MAX: usize = 224;
/// Silent streams that the farmer ends at once: it keeps 256 of a connection. Without that bound the multiplexer ends them all
/// with the connection.
const ENDED_MIN: usize = (STREAMS - 256) * 9 / 10;
/// Streams with a byte a second.
const SLOW: usize = 64;
/// Nodes that flood, one after the other.
const FLOODERS: usize = 4;
/// Nodes that say they are at a hundred places, and name others that do not exist.
pub(crate) const POISONERS: u8 = 8;
/// Others that each of them names.
const INVENTED: u8 = 20;
/// Between two hellos that a parrot says.
const PARROT_PAUSE: Duration = Duration::from_millis(20);
/// Each of so many false members waits so long before it comes again.
const IMPOSTORS: u8 = 4;
const IMPOSTOR_PAUSE: Duration = Duration::from_millis(100);

/// A process of a test; it ends with the test.
pub(crate) struct Role {
    pub(crate) child: Child,
    says: Lines<BufReader<ChildStderr>>,
}

impl Role {
    /// `role` is the test that plays it.
    pub(crate) fn start(role: &str, target: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", role, "--nocapture"]).env(ROLE, role).env(TARGET, target);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let says = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, says }
    }

    /// The rest of the next line that begins with this word.
    pub(crate) fn hear(&mut self, word: &str) -> String {
        for line in &mut self.says {
            let line = line.unwrap();
            match line.strip_prefix(word) {
                Some(rest) => return rest.trim().to_owned(),
                None => eprintln!("{line}"),
            }
        }
        panic!("it ended without a word of {word}");
    }

    pub(crate) fn number(&mut self, word: &str) -> usize {
        self.hear(word).parse().unwrap()
    }

    /// Waits for the end of an attack, which must have been one; says what came of it.
    pub(crate) fn hear_of_attack(&mut self) {
        let words = ["CONNECTED", "BEGUN", "STREAMS", "ENDED", "SLOW", "BUSY", "SHUT", "ECHOED", "POISONERS"];
        let said = words.map(|word| self.number(word));
        eprintln!("{words:?}: {said:?}");
        let [connected, begun, streams, ended, slow, busy, shut, echoed, poisoners] = said;
        assert!(connected >= CONNECTIONS * 9 / 10 && streams == STREAMS && slow == SLOW, "no attack");
        assert!(busy > 400 && shut >= 1 && echoed >= 10 && poisoners == usize::from(POISONERS), "no attack");
        assert!((1..=BEGUN_MAX).contains(&begun), "{begun} handshakes were begun");
        assert!((ENDED_MIN..streams).contains(&ended), "{ended} of {streams} silent streams were ended");
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

/// The most memory that a process had, in KiB.
pub(crate) fn most_memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// What this process is to do in this role, if it has it.
pub(crate) fn part_of(role: &str) -> Option<String> {
    let is_it = std::env::var(ROLE).is_ok_and(|told| told == role);
    is_it.then(|| {
        let most = getrlimit(Resource::Nofile).maximum;
        setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most }).unwrap();
        std::env::var(TARGET).unwrap()
    })
}

/// Does nothing unless started by another test. All of them meet the farmer first, as those who knock would leave no room
/// for it; then everything at once, and what came of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attacks() {
    let Some(target) = part_of(ATTACKER) else { return };
    let (silent, slow, parrot) = (met(&target).await, met(&target).await, met(&target).await);
    let mut flooders = Vec::new();
    for _ in 0..FLOODERS {
        flooders.push(met(&target).await);
    }
    let liars = poison(&target).await;
    let poisoners = liars.len();
    eprintln!("BEGINS");
    let end = Instant::now() + ATTACK;
    let late = Put { pause: Duration::from_secs(1), ..question() };
    let ((connected, begun), (streams, ended), (slow, _), (busy, shut), echoed, ()) = tokio::join!(
        knock(&target, end),
        hold(silent, end, STREAMS, Put::hold(vec![0])),
        hold(slow, end, SLOW, late),
        flood(flooders, end),
        echo(parrot, end),
        go_on_lying(liars, end),
    );
    eprintln!("CONNECTED {connected}\nBEGUN {begun}\nSTREAMS {streams}\nENDED {ended}\nSLOW {slow}");
    eprintln!("BUSY {busy}\nSHUT {shut}\nECHOED {echoed}\nPOISONERS {poisoners}");
}

/// A request that every farmer answers.
fn question() -> Put {
    Put::all(flat(&Frame::from(&Request::Holds(vec![ChunkId::from_slice(&[8; 32]).unwrap()]))))
}

/// A stranger whom the farmer has answered.
async fn met(target: &str) -> (Stranger, PeerId) {
    let mut stranger = Stranger::new();
    let peer = stranger.reach(target);
    stranger.put(peer, question());
    stranger.next_end().await.unwrap();
    (stranger, peer)
}

/// Opens connections, says half of a hello on every second one, and keeps them all. Gives how many, and how many hellos were
/// answered.
async fn knock(target: &str, end: Instant) -> (usize, usize) {
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
    let is_answered = |line: &&TcpStream| line.try_read(&mut [0; 20]).is_ok_and(|read| read > 0);
    (lines.len(), lines.iter().filter(is_answered).count())
}

/// Streams of one connection at once. Gives how many were asked for, and how many the farmer has ended.
async fn hold((mut stranger, peer): (Stranger, PeerId), end: Instant, count: usize, put: Put) -> (usize, usize) {
    (0..count).for_each(|_| stranger.put(peer, put.clone()));
    let mut ended = 0;
    while timeout_at(end.into(), stranger.next_end()).await.is_ok() {
        ended += 1;
    }
    (count, ended)
}

/// Requests as fast as they are answered, until shut out; then another goes on. Gives how often they were told to wait
/// and how many were shut out.
async fn flood(flooders: Vec<(Stranger, PeerId)>, end: Instant) -> (u32, u32) {
    let (mut busy, mut shut) = (0, 0);
    for (mut stranger, peer) in flooders {
        'asking: while Instant::now() < end {
            (0..100).for_each(|_| stranger.put(peer, question()));
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

/// Says to the farmer, again and again, what the farmer has said of itself. Gives how often that was answered.
async fn echo((mut stranger, peer): (Stranger, PeerId), end: Instant) -> usize {
    let network = "test".parse().unwrap();
    let mut hello = Hello { versions: Versions::KNOWN, network, profile: Some(Profile::client()) };
    let mut answered = 0;
    while Instant::now() < end {
        stranger.put(peer, Put::all(flat(&Frame::from(&Request::Hello(hello.clone())))));
        match timeout_at(end.into(), stranger.next_end()).await {
            Ok(Ok(bytes)) => {
                if let Some(Response::Hello(ack)) = response(&bytes) {
                    hello = ack.hello;
                    answered += 1;
                }
            }
            Ok(Err(_)) | Err(_) => break,
        }
        sleep(PARROT_PAUSE).await;
    }
    answered
}

#[derive(NetworkBehaviour)]
struct Lies {
    identify: identify::Behaviour,
    kad: kad::Behaviour<kad::store::MemoryStore>,
}

type Liar = Swarm<Lies>;

/// Nodes that have told the farmer a hundred addresses: of nobody, of groups, of machines at home, and the farmer's own. They
/// say that they are servers, and name servers that do not exist.
async fn poison(target: &str) -> Vec<Liar> {
    let mut liars = JoinSet::new();
    for number in 0..POISONERS {
        liars.spawn(tell_lies(number, target.parse().unwrap()));
    }
    liars.join_all().await.into_iter().flatten().collect()
}

async fn tell_lies(number: u8, target: Multiaddr) -> Option<Liar> {
    let lies = |keys: &Keypair| {
        let (id, protocol) = (keys.public().to_peer_id(), StreamProtocol::new("/dsn/test/kad/1"));
        let mut kad = kad::Behaviour::with_config(id, kad::store::MemoryStore::new(id), kad::Config::new(protocol));
        kad.set_mode(Some(kad::Mode::Server));
        for invented in 0..INVENTED {
            let nobody = Keypair::generate_ed25519().public().to_peer_id();
            let net = if invented.is_multiple_of(2) { [203, number] } else { [224, 0] };
            kad.add_address(&nobody, format!("/ip4/{}.{}.113.{invented}/tcp/4100", net[0], net[1]).parse().unwrap());
        }
        Lies { identify: identify::Behaviour::new(identify::Config::new("/dsn/test/id/1".into(), keys.public())), kad }
    };
    let mut swarm = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_behaviour(lies)
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
            SwarmEvent::Behaviour(LiesEvent::Identify(identify::Event::Sent { .. })) => return Some(swarm),
            SwarmEvent::OutgoingConnectionError { .. } => return None,
            _ => {}
        }
    }
}

/// They answer whoever asks them.
async fn go_on_lying(liars: Vec<Liar>, end: Instant) {
    let lie = async |mut liar: Liar| {
        loop {
            liar.select_next_some().await;
        }
    };
    let all = future::join_all(liars.into_iter().map(lie));
    let _end: Result<Vec<()>, _> = timeout_at(end.into(), all).await;
}

/// Does nothing unless started by another test. Credentials of nobody, of another network, and those that a member's node
/// shows, replayed by another: again and again, and how often each was refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pretends() {
    let Some(target) = part_of(IMPOSTOR) else { return };
    let (address, invitation) = target.split_once(' ').unwrap();
    let member = invitation.parse::<Invitation>().unwrap().membership();
    let (thief, victim) = (Identity::from_seed([77; 32]), Identity::from_seed([78; 32]));
    let stolen = shown(&member, victim.node_id());
    let foreign = shown(&elsewhere(member.certificate().body(), &thief), thief.node_id());
    let nothing = framed(b"let me in");
    let cases = [(&nothing, Refused::NoCredentials), (&foreign, Refused::OtherNetwork), (&stolen, Refused::Forged)];
    eprintln!("BEGINS");
    let end = Instant::now() + ATTACK;
    let come = async |_| {
        let mut refused = [0; 3];
        while Instant::now() < end {
            for ((papers, why), refused) in cases.iter().zip(&mut refused) {
                match intrude(address, &thief, papers).await {
                    Answer::Step(step) if step.word == Word::Refused(*why) => *refused += 1,
                    Answer::Step(step) => panic!("let in, or refused for another reason: {step:?}"),
                    Answer::Ended | Answer::Nothing => {} // too many at once
                }
                sleep(IMPOSTOR_PAUSE).await;
            }
        }
        refused
    };
    let all: Vec<[usize; 3]> = future::join_all((0..IMPOSTORS).map(come)).await;
    let [nobody, foreign, stolen] = [0, 1, 2].map(|case| all.iter().map(|refused| refused[case]).sum::<usize>());
    eprintln!("NOBODY {nobody}\nFOREIGN {foreign}\nSTOLEN {stolen}");
}

/// The thief's membership of a network of its own that has the same name.
fn elsewhere(like: &CertificateBody, thief: &Identity) -> Membership {
    let network = closed_network(thief.node_id(), "club").unwrap();
    let body = CertificateBody { network, founder: thief.node_id(), member: thief.node_id(), ..like.clone() };
    Membership::new(thief.clone(), body.sign(thief)).unwrap()
}
