//! Networks of real processes while one of their farmers is attacked by another process: honest puts and gets go on at half
//! their rate at least, the farmer keeps to its memory, and a newcomer who knows nobody else finds all who are honest.
//! What the attacker does is in dsn-net's tests, which attack a node of the library and look at what it believes.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "tests fail by panicking and say what they measured")]

#[path = "../crates/dsn-net/tests/network/attacker.rs"]
mod attacker;
#[path = "../crates/dsn-net/tests/network/intruder.rs"]
mod intruder;
#[path = "support/network.rs"]
#[expect(dead_code, reason = "other tests kill farmers")]
mod network;
#[path = "../crates/dsn-net/tests/network/stranger.rs"]
#[expect(dead_code, reason = "dsn-net's tests have it listen, too")]
mod stranger;

use std::{
    process::Command,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use attacker::{ATTACK, ATTACKER, IMPOSTOR, Role, most_memory};
use network::{TestNetwork, dsn, output, shown};
use serde_json::Value;

/// Farmers that are honest: all of them.
const FARMERS: usize = 4;
/// Of each honest file.
const FILE_BYTES: usize = 1 << 20;
/// Honest users begin a put and a get this often.
const PACE: Duration = Duration::from_millis(250);
/// What they do is measured for so long before the attack.
const BEFORE: Duration = Duration::from_secs(5);
/// A newcomer has put and got its file within this time, though those who knock leave little room at the door.
const NEWCOMER_MAX: Duration = Duration::from_secs(20);
/// The farmers' `farm.memory`, and what the one that is attacked may come to.
const MEMORY: (&str, &str) = ("DSN_MEMORY", "256MiB");
const MEMORY_MAX_KIB: u64 = 256 << 10;

/// Measuring is for one at a time.
static TURN: Mutex<()> = Mutex::new(());

/// `dsn` as somebody runs it.
type Run<'a> = &'a (dyn Fn() -> Command + Sync);

/// Puts a file of this name and gets it back; gives what the put said.
fn put_and_get(network: &TestNetwork, name: &str, dsn: Run) -> Value {
    let file = network.file(name, FILE_BYTES);
    let put = output(dsn().args(["put", "--json"]).arg(&file));
    assert!(put.status.success(), "put of {name}: {}", shown(&put));
    let put: Value = serde_json::from_slice(&put.stdout).unwrap();
    let get = output(dsn().args(["get", put["cid"].as_str().unwrap(), "-o", "-"]));
    assert!(get.status.success(), "get of {name}: {}", shown(&get));
    assert!(get.stdout == std::fs::read(&file).unwrap(), "{name} came back as something else");
    put
}

/// Puts and gets a second, at an honest pace.
fn rate(network: &TestNetwork, name: &str, length: Duration, dsn: Run) -> f64 {
    let (begin, mut done) = (Instant::now(), 0);
    while PACE * done < length && begin.elapsed() < length {
        std::thread::sleep((PACE * done).saturating_sub(begin.elapsed()));
        put_and_get(network, &format!("{name}-{done}"), dsn);
        done += 1;
    }
    f64::from(done) / begin.elapsed().max(length).as_secs_f64()
}

/// Attacks the first farmer, and holds what honest users and a newcomer meet meanwhile against what is promised.
fn withstand(network: &TestNetwork, mut attacker: Role, honest: Run, newcomer: Run, calm: f64) -> Role {
    let target = &network.farmers[0];
    let memory = most_memory(target.pid);
    attacker.hear("BEGINS");
    let (attacked, came, found) = std::thread::scope(|scope| {
        let honest = scope.spawn(|| rate(network, "during", ATTACK, honest));
        let begin = Instant::now();
        let put = put_and_get(network, "newcomers", newcomer);
        let came = begin.elapsed();
        let peers = output(newcomer().args(["peers", "--json"]));
        let told = String::from_utf8_lossy(&peers.stdout);
        assert!(network.farmers.iter().all(|farmer| told.contains(&farmer.peer_id)), "{}", shown(&peers));
        assert!(!told.contains("/ip4/224."), "an address of nobody was handed on: {}", shown(&peers));
        (honest.join().unwrap(), came, put["farmers"].clone())
    });
    let most = most_memory(target.pid);
    eprintln!("honest puts and gets/s: {calm:.2} before, {attacked:.2} during; KiB: {memory} before, {most} at most");
    eprintln!("the newcomer had put and got after {came:?}, on {found} farmers");
    assert!(attacked >= calm / 2.0, "{attacked:.2} of {calm:.2} puts and gets a second are left");
    assert!(most < MEMORY_MAX_KIB, "{most} KiB");
    assert_eq!(found, FARMERS, "the newcomer did not find all who are honest");
    assert!(came < NEWCOMER_MAX, "the newcomer waited for {came:?}");
    attacker
}

#[test]
fn an_open_network_goes_on_while_one_of_its_farmers_is_attacked() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let network = TestNetwork::with(FARMERS, "1GiB", &[("DSN_NETWORK", "test"), MEMORY]);
    let target = &network.farmers[0].address;
    let honest = || {
        let mut command = network.dsn();
        command.env("DSN_NETWORK", "test");
        command
    };
    let newcomer = || {
        let mut command = dsn(&network.path("newcomer"));
        command.env("DSN_NETWORK", "test").env("DSN_BOOTSTRAP", target);
        command
    };
    let calm = rate(&network, "before", BEFORE, &honest);
    let attacker = Role::start(ATTACKER, target);
    withstand(&network, attacker, &honest, &newcomer, calm).hear_of_attack();
}

#[test]
fn a_closed_network_goes_on_while_false_members_press_in() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut network = TestNetwork::of_nobody(&[MEMORY]);
    let home = network.folder.path().to_owned();
    let run = |name: &str, args: &[&str]| {
        let done = output(dsn(&home.join(name)).args(args));
        assert!(done.status.success(), "{args:?}: {}", shown(&done));
        String::from_utf8(done.stdout).unwrap().trim_end().to_owned()
    };
    let invite = |name: &str| run("farmer-0", &["network", "invite", "--name", name]);
    run("farmer-0", &["network", "new", "club"]);
    network.join(&home.join("farmer-0"), "1GiB", "16MiB");
    let mut stolen = String::new();
    for nth in 1..FARMERS {
        let name = format!("farmer-{nth}");
        stolen = invite(&name);
        run(&name, &["join", &stolen]);
        network.join(&home.join(name), "1GiB", "16MiB");
    }
    ["honest", "newcomer"].iter().for_each(|name| drop(run(name, &["join", &invite(name)])));
    let target = network.farmers[0].address.clone();
    let of = |name: &str| {
        let mut command = dsn(&home.join(name));
        command.env("DSN_BOOTSTRAP", &target);
        command
    };
    let honest = || of("honest");
    let calm = rate(&network, "before", BEFORE, &honest);
    let attacker = Role::start(IMPOSTOR, &format!("{target} {stolen}"));
    let mut attacker = withstand(&network, attacker, &honest, &|| of("newcomer"), calm);
    let refused = ["NOBODY", "FOREIGN", "STOLEN"].map(|word| attacker.number(word));
    eprintln!("refused: nobody's, another network's, another node's credentials: {refused:?}");
    assert!(refused.iter().all(|count| *count >= 10), "no attack: {refused:?}");
}
