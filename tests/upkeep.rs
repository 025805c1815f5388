//! Real processes over time: what was put comes back to its full redundancy without its uploader, whatever happens to
//! farmers; what is given up is deleted, and nothing else.

#[path = "upkeep/disks.rs"]
mod disks;
#[path = "support/folder.rs"]
mod folder;
#[path = "support/network.rs"]
#[expect(dead_code, reason = "other tests ask for less")]
mod network;
#[path = "upkeep/restarts.rs"]
mod restarts;

use std::{
    path::Path,
    process::Output,
    time::{Duration, Instant},
};

use network::{TestNetwork, dsn, output, shown};
use serde_json::Value;

const MIB: usize = 1 << 20;

/// Nothing that a test waits for takes this long.
const DEADLINE: Duration = Duration::from_secs(120);

/// Waits until something is so; says what it last was when it never is.
fn until(what: &str, mut state: impl FnMut() -> (bool, String)) {
    let started = Instant::now();
    loop {
        let (so, last) = state();
        if so {
            return;
        }
        assert!(started.elapsed() < DEADLINE, "not within {} s: {what}; {last}", DEADLINE.as_secs());
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn json(done: &Output) -> Value {
    serde_json::from_slice(&done.stdout).unwrap_or_else(|error| panic!("{error}: {}", shown(done)))
}

fn stat(network: &TestNetwork, cid: &str) -> Value {
    json(&output(network.dsn().args(["stat", "--json", cid])))
}

fn status(dir: &Path) -> Value {
    json(&output(dsn(dir).args(["status", "--json"])))
}

/// Waits until so many farmers may vanish again.
fn until_safe(network: &TestNetwork, cid: &str, vanish: u64) {
    until("repaired", || {
        let stat = stat(network, cid);
        (stat["may_vanish"].as_u64().is_some_and(|v| v >= vanish) && stat["health"] == "healthy", stat.to_string())
    });
}

#[test]
fn pieces_come_back_by_themselves_and_nothing_is_moved_for_a_short_absence() {
    let mut network = TestNetwork::with(12, "10GiB", &[("DSN_ABSENT_GRACE", "6s")]);
    let file = network.file("file", 20 * MIB);
    let cid = network.put(&file)["cid"].as_str().unwrap().to_owned();
    // Away for less than the grace: nothing happens.
    (0..4).for_each(|index| network.kill(index));
    (0..4).for_each(|index| network.restart(index));
    std::thread::sleep(Duration::from_secs(8));
    let repairs = |network: &TestNetwork| -> u64 {
        network.farmers[4..].iter().map(|farmer| status(&farmer.dir)["repairs"].as_u64().unwrap()).sum()
    };
    assert_eq!(repairs(&network), 0, "they came back in time");
    (0..4).for_each(|index| network.kill(index));
    until_safe(&network, &cid, 4);
    assert!(repairs(&network) > 0);
    (4..8).for_each(|index| network.kill(index));
    network.get_same(&cid, &file);
}

#[test]
fn repair_on_demand_does_not_wait() {
    let mut network = TestNetwork::start(12);
    let file = network.file("file", 20 * MIB);
    let cid = network.put(&file)["cid"].as_str().unwrap().to_owned();
    let nothing = output(network.dsn().args(["repair", &cid]));
    assert_eq!(String::from_utf8_lossy(&nothing.stdout), "all 3 chunks have all their pieces\n", "{}", shown(&nothing));
    (0..4).for_each(|index| network.kill(index));
    let done = output(network.dsn().args(["repair", "--json", &cid]));
    assert!(done.status.success(), "{}", shown(&done));
    let report = json(&done);
    assert_eq!((&report["chunks"], &report["lost"]), (&3.into(), &0.into()), "{report}");
    assert!(report["pieces_placed"].as_u64().unwrap() >= 16, "{report}");
    until_safe(&network, &cid, 4);
    let unknown = output(network.dsn().args(["repair", "bafib4ihzwadxh5lhuz5u377bawdntumdtuzjf4guitv2jshgiv4fogdr2a"]));
    assert_eq!(unknown.status.code(), Some(3), "{}", shown(&unknown));
}

#[test]
fn what_one_owner_gives_up_stays_for_the_other_and_goes_when_nobody_wants_it() {
    let settings = [("DSN_ABSENT_GRACE", "24s"), ("DSN_TRASH", "2s")];
    let network = TestNetwork::with(5, "10GiB", &settings);
    let (both, mine) = (network.file("both", 3 * MIB), network.file("mine", 3 * MIB));
    let cid = network.put(&both)["cid"].as_str().unwrap().to_owned();
    let own = network.put(&mine)["cid"].as_str().unwrap().to_owned();
    let other = |args: &[&str]| output(network.dsn().env("DSN_DIR", network.path("other")).args(args));
    assert!(other(&["put", &both.to_string_lossy()]).status.success());
    let stranger = other(&["rm", &own]);
    assert_eq!(stranger.status.code(), Some(6), "only the owner gives up: {}", shown(&stranger));
    let fresh = output(network.dsn().env("DSN_DIR", network.path("fresh")).args(["rm", &own]));
    assert_eq!(fresh.status.code(), Some(6), "a folder that never put anything: {}", shown(&fresh));
    for file in [&cid, &own] {
        let done = output(network.dsn().args(["rm", "--json", file]));
        assert_eq!(json(&done)["released"], 5, "{}", shown(&done));
    }
    let used = || -> u64 { network.farmers.iter().map(|f| status(&f.dir)["used_bytes"].as_u64().unwrap()).sum() };
    let before = used();
    until("what nobody wants is deleted", || {
        let used = used();
        (used * 3 < before * 2, format!("{used} of {before} bytes used"))
    });
    network.get_same(&cid, &both);
    let gone = output(network.dsn().args(["get", &own, "-o"]).arg(network.path("gone")));
    assert!([Some(3), Some(4)].contains(&gone.status.code()), "{}", shown(&gone));
    assert!(other(&["rm", &cid]).status.success());
    until("all of it is deleted", || (used() == 0, format!("{} bytes used", used())));
    for farmer in &network.farmers {
        let exact = json(&output(dsn(&farmer.dir).args(["status", "--json", "--verify-space"])));
        assert_eq!(exact["space_exact"], true, "{exact}");
    }
}

#[test]
fn a_lease_with_an_end_ends() {
    let settings = [("DSN_ABSENT_GRACE", "24s"), ("DSN_TRASH", "1s")];
    let network = TestNetwork::with(5, "10GiB", &settings);
    let file = network.file("file", MIB);
    let done = output(network.dsn().args(["put", "--ttl", "2s"]).arg(&file));
    assert!(done.status.success(), "{}", shown(&done));
    until("deleted", || {
        let used: u64 = network.farmers.iter().map(|f| status(&f.dir)["used_bytes"].as_u64().unwrap()).sum();
        (used == 0, format!("{used} bytes used"))
    });
    let wrong = output(network.dsn().args(["put", "--ttl", "soon"]).arg(&file));
    assert_eq!(wrong.status.code(), Some(2), "{}", shown(&wrong));
}

#[test]
fn a_drained_farmer_can_go_and_a_killed_one_goes_on_draining() {
    let mut network = TestNetwork::with(12, "10GiB", &[("DSN_ABSENT_GRACE", "60s")]);
    let file = network.file("file", 40 * MIB);
    let cid = network.put(&file)["cid"].as_str().unwrap().to_owned();
    let before = stat(&network, &cid);
    let drain = |network: &TestNetwork, index: usize, args: &[&str]| {
        output(dsn(&network.farmers[index].dir).arg("drain").args(args))
    };
    // Begun, killed, started again: it goes on by itself.
    assert!(drain(&network, 0, &["--no-wait"]).status.success());
    network.kill(0);
    network.restart(0);
    for index in 0..3 {
        let done = drain(&network, index, &["--json"]);
        assert!(done.status.success(), "{}", shown(&done));
        let last = String::from_utf8_lossy(&done.stdout).lines().last().unwrap_or_default().to_owned();
        assert!(last.contains(r#""state":"done""#), "{last}");
    }
    (0..3).for_each(|index| network.kill(index));
    let after = stat(&network, &cid);
    assert_eq!(after["health"], "healthy", "{before} {after}");
    network.get_same(&cid, &file);
    // Called off, a farmer takes pieces again.
    assert!(drain(&network, 3, &["--no-wait"]).status.success());
    assert_eq!(status(&network.farmers[3].dir)["free_bytes"], 0);
    assert!(drain(&network, 3, &["--cancel"]).status.success());
    assert!(status(&network.farmers[3].dir)["free_bytes"].as_u64().unwrap() > 0);
    let none = output(dsn(&network.path("nowhere")).arg("drain"));
    assert_eq!(none.status.code(), Some(7), "{}", shown(&none));
}

#[test]
fn who_has_said_that_it_leaves_and_dies_is_not_waited_for() {
    // So slow a line that the drain is not over when its farmer dies.
    let settings = [("DSN_ABSENT_GRACE", "120s"), ("DSN_UPLOAD_CAP", "256KiB")];
    let mut network = TestNetwork::with(12, "10GiB", &settings);
    let file = network.file("file", 8 * MIB);
    let cid = network.put(&file)["cid"].as_str().unwrap().to_owned();
    for index in 0..4 {
        let begun = output(dsn(&network.farmers[index].dir).args(["drain", "--no-wait"]));
        assert!(begun.status.success(), "{}", shown(&begun));
    }
    (0..4).for_each(|index| network.kill(index));
    let died = Instant::now();
    let hurt = stat(&network, &cid);
    assert!(hurt["may_vanish"].as_u64().is_some_and(|vanish| vanish < 4), "nothing was to be moved yet: {hurt}");
    until_safe(&network, &cid, 4);
    assert!(died.elapsed() < Duration::from_secs(100), "repaired after {:?}, as if nobody had said", died.elapsed());
}
