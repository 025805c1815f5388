//! A farmer under attack: three processes, the farmer, the attacker, and this one, which asks the farmer at its own pace
//! before and during the attack. Not here: what the attacker does (`attacker`), attacks on closed networks (`intruder`) and
//! what each single kind of bad stream comes to (`hostile`).

use std::time::{Duration, Instant};

use dsn_core::ports::Network;
use dsn_net::NetOptions;

use crate::{
    attacker::{ATTACK, ATTACKER, POISONERS, Role, most_memory, part_of},
    support::*,
};

/// The role of the farmer.
const FARMER: &str = "attack::serves";
/// What honest traffic is measured for before it.
const BEFORE: Duration = Duration::from_secs(4);
/// Honest requests: so many callers, each with this pause. Within what one node may ask.
const CALLERS: usize = 4;
const PACE: Duration = Duration::from_millis(20);
/// What the farmer's memory may come to at its highest. At rest it is a tenth of this.
const MEMORY_MAX_KIB: u64 = 256 << 10;

/// Does nothing unless started by the test below. Serves until its input ends; then says what it believes about others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn serves() {
    if part_of(FARMER).is_none() {
        return;
    }
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
    let mut farmer = Role::start(FARMER, "");
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
    let (quiet, calm) = (rate(BEFORE).await, most_memory(farmer.child.id()));
    let mut attacker = Role::start(ATTACKER, &address);
    attacker.hear("BEGINS");
    let attacked = rate(ATTACK).await;
    attacker.hear_of_attack();
    let memory = most_memory(farmer.child.id());
    client.request(id, fetch(0)).await.unwrap();
    drop(farmer.child.stdin.take());
    let known = ["KNOWN", "MOST", "POISON"].map(|word| farmer.number(word));
    eprintln!("honest requests/s: {quiet:.0} before, {attacked:.0} during; KiB: {calm} before, {memory} at most");
    eprintln!("known, most, poison: {known:?}");
    assert!(quiet > 50.0, "nothing to compare with: {quiet:.0}");
    assert!(attacked >= quiet / 2.0, "{attacked:.0} of {quiet:.0} requests/s are left");
    assert!(memory < MEMORY_MAX_KIB, "{memory} KiB");
    let [known, most, poison] = known;
    assert!(known > usize::from(POISONERS), "the liars left before they were looked at: {known}");
    assert!(most <= 8 && poison == 0, "{most} addresses of one node, {poison} of them somebody else's");
}
