//! Two farmers with one key, as a copied folder makes them, and what must not be taken for that.

use std::time::{Duration, Instant};

use crate::{
    farmers::Farmer,
    folder,
    network::{TestNetwork, dsn, output},
    soon, until,
};

/// A twin is found within this time: two of the rests between greetings, and a busy machine.
const FOUND: Duration = Duration::from_secs(45);

const SAYS: &str = "another farmer was started with this one's key";

#[test]
fn of_two_farmers_with_one_key_the_older_warns_and_the_newer_ends() {
    let network = TestNetwork::start(3);
    let others = network.farmers[0].address.clone();
    let (dir, copy) = (network.path("farmer"), network.path("copy-of-farmer"));
    let start = |dir| Farmer::start(dir, &["--storage", "1GiB", "--bootstrap", &others]);
    let first = start(&dir);
    until("it is in", || first.status()["peers"] == 3);
    first.end();
    folder::copy(&dir, &copy);
    let older = start(&dir);
    until("it is in again", || older.status()["peers"] == 3);
    let begun = Instant::now();
    until("a second later", || begun.elapsed() > Duration::from_millis(1100));
    let mut newer = start(&copy);
    let status = soon(&mut newer.child, FOUND).unwrap_or_else(|| panic!("both run on: {}", newer.said()));
    assert_eq!(status.code(), Some(10), "{}", newer.said());
    for says in ["another farmer runs with the key of this one", "listens on /ip4/127.0.0.1/tcp/", "copied folder"] {
        until(says, || newer.said().contains(says));
    }
    until("the older warns", || older.said().contains(SAYS));
    let problems = older.status()["problems"].clone();
    assert!(problems[0].as_str().is_some_and(|text| text.contains(SAYS)), "{problems}");
    let table = output(dsn(&older.dir).arg("status"));
    assert!(String::from_utf8_lossy(&table.stdout).contains(SAYS));
    older.end();
}

#[test]
fn a_farmer_started_again_on_another_port_is_not_taken_for_its_own_twin() {
    let network = TestNetwork::start(3);
    let others = network.farmers[0].address.clone();
    let dir = network.path("farmer");
    let start = || {
        // It would take the port it had, were it known.
        let _first_time = std::fs::remove_file(dir.join("farmer.json"));
        Farmer::start(&dir, &["--storage", "1GiB", "--bootstrap", &others, "--log", "dsn_farmer=debug"])
    };
    for _ in 0..3 {
        // Killed, so that nobody hears that it is gone, once those it has met have heard from it.
        let farmer = start();
        until("others have been greeted", || farmer.said().contains("greeted"));
        drop(farmer);
    }
    let mut last = start();
    until("it has been shown its earlier runs", || last.said().contains("another run"));
    assert!(soon(&mut last.child, Duration::from_secs(3)).is_none(), "{}", last.said());
    assert!(!last.said().contains(SAYS), "{}", last.said());
    assert_eq!(last.status()["problems"], serde_json::json!([]));
    last.end();
}
