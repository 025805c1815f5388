//! `dsn status --verify-space`: by a real farmer, and by stand-ins at its socket for what no real one shows soon enough.

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    process::Output,
    thread,
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
        let says = if json { r#""space_exact":false"# } else { "space         not exact, 1 pieces, 3 B counted" };
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
