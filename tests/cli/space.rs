//! `dsn status --verify-space`: by a real farmer, and by stand-ins at its socket for what no real one shows soon enough.

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    process::Output,
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    MIB,
    network::{TestNetwork, dsn, output, shown},
    refused,
};

const COUNT: [&str; 2] = ["status", "--verify-space"];

fn json_of(done: &Output) -> Value {
    assert!(done.status.success(), "{}", shown(done));
    serde_json::from_slice(&done.stdout).expect("JSON")
}

#[test]
fn a_farmer_counts_what_it_holds_and_answers_others_meanwhile() {
    let network = TestNetwork::start(3);
    network.put(&network.file("file", 40 * MIB));
    let dir = &network.farmers[0].dir;
    thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| assert_eq!(json_of(&output(dsn(dir).args(COUNT).arg("--json")))["space_exact"], true));
        }
        for _ in 0..4 {
            assert!(json_of(&output(dsn(dir).args(["status", "--json"]))).get("space_exact").is_none());
        }
    });
    let counted = json_of(&output(dsn(dir).args(COUNT).arg("--json")));
    assert!(counted["pieces"].as_u64().unwrap() > 0, "{counted}");
    assert_eq!(counted["counted_pieces"], counted["pieces"], "{counted}");
    assert_eq!(counted["counted_bytes"], counted["used_bytes"], "{counted}");
    let table = output(dsn(dir).args(COUNT));
    let line = format!("space         exact, {} pieces, ", counted["pieces"]);
    assert!(String::from_utf8_lossy(&table.stdout).contains(&line), "{}", shown(&table));
}

/// Stands at the farmer's socket, hears one question, and gives it to `answer`.
fn stand_in(dir: &Path, answer: impl FnOnce(&str, &mut UnixStream) + Send + 'static) -> thread::JoinHandle<()> {
    let socket = UnixListener::bind(dir.join("control.sock")).expect("a free name");
    thread::spawn(move || {
        let (mut stream, _) = socket.accept().expect("somebody asks");
        let mut question = String::new();
        BufReader::new(stream.try_clone().expect("a socket")).read_line(&mut question).expect("readable");
        answer(question.trim(), &mut stream);
    })
}

fn status(exact: bool) -> Value {
    json!({"peer_id": "x", "reserved_bytes": 9, "used_bytes": 5, "free_bytes": 4, "pieces": 2, "locators": 0, "peers": 0,
        "received_bytes": 0, "served_bytes": 0, "damaged_pieces": 0,
        "healed_pieces": 0, "scrubbed_pieces": 0, "audits_passed": 0, "audits_failed": 0, "repairs": 0,
        "repair_queue": 0, "repair_bytes": 0, "listen": [], "problems": [], "counted_bytes": 3,
        "counted_pieces": 1, "space_exact": exact})
}

#[test]
fn counters_that_are_wrong_are_shown_and_end_with_the_code_of_integrity() {
    for json in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let farmer = stand_in(folder.path(), |question, stream| {
            assert_eq!(question, "status --verify-space");
            writeln!(stream, "{}", status(false)).unwrap();
        });
        let done = output(dsn(folder.path()).args(COUNT).args(json.then_some("--json")));
        farmer.join().unwrap();
        refused(&done, 5, "the farmer's store does not hold what its counters say");
        let says = if json { r#""space_exact":false"# } else { "space         not exact, 1 piece, 3 B counted" };
        assert!(String::from_utf8_lossy(&done.stdout).contains(says), "{}", shown(&done));
    }
}

#[test]
fn a_count_that_takes_long_is_waited_for_and_one_that_fails_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let farmer = stand_in(folder.path(), |_, stream| {
        for _ in 0..3 {
            writeln!(stream).unwrap();
        }
        writeln!(stream, "{}", status(true)).unwrap();
    });
    let done = output(dsn(folder.path()).args(COUNT));
    farmer.join().unwrap();
    refused(&done, 0, "the farmer is still at it; Ctrl-C gives up");
    assert_eq!(String::from_utf8_lossy(&done.stderr).lines().count(), 1, "said once: {}", shown(&done));
    let folder = tempfile::tempdir().unwrap();
    let farmer = stand_in(folder.path(), |_, stream| {
        writeln!(stream, "{}", json!({"uncounted": "the store is closed"})).unwrap();
    });
    let done = output(dsn(folder.path()).args(COUNT));
    farmer.join().unwrap();
    refused(&done, 8, "error: the farmer could not count its space\ncaused by: the store is closed");
}

#[test]
fn one_owner_gets_its_quota_of_each_farmer_and_what_it_gives_up_is_free_again() {
    let network = TestNetwork::with(5, "10GiB", &[("DSN_OWNER_QUOTA", "2MiB")]);
    let (small, large) = (network.file("small", 3 * MIB), network.file("large", 3 * MIB));
    let put = |dir: &str, file: &Path| output(network.dsn().env("DSN_DIR", network.path(dir)).arg("put").arg(file));
    let first = put("alice", &small);
    assert!(first.status.success(), "{}", shown(&first));
    refused(&put("alice", &large), 4, "5 farmers answer, 5 have no room for more");
    let other = put("bob", &large);
    assert!(other.status.success(), "each owner has its own: {}", shown(&other));
    let cid = String::from_utf8_lossy(&first.stdout).trim().to_owned();
    let given_up = output(network.dsn().env("DSN_DIR", network.path("alice")).args(["rm", &cid]));
    assert!(given_up.status.success(), "{}", shown(&given_up));
    thread::sleep(Duration::from_secs(11)); // an owner without room is counted again after 10 s
    let again = put("alice", &large);
    assert!(again.status.success(), "{}", shown(&again));
    let nonsense =
        output(dsn(&network.path("farm")).env("DSN_OWNER_QUOTA", "much").args(["farm", "--storage", "1GiB"]));
    refused(&nonsense, 9, "much");
}
