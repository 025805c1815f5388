//! `dsn firewall`, with real farmers: rules that hold at once and over restarts, questions answered and not, files that
//! nobody should go by.

use std::{
    fs,
    path::Path,
    process::{Child, Output, Stdio},
};

use bytes::BytesMut;
use dsn_core::{
    descriptor::Code,
    erasure::{EncodedChunk, encode},
    index_set::IndexSet,
    ports::Network,
    rpc::{Refusal, Request, Response, StorePart},
};
use serde_json::Value;

use crate::{
    MIB,
    closed::{LENDING, run},
    farmers::Farmer,
    forged::Forger,
    network::{TestNetwork, dsn, output, shown},
    refused, until,
};

const FILE: &str = "firewall.rules";

/// `dsn firewall …`, which must succeed.
fn firewall(dir: &Path, words: &[&str]) -> Output {
    let done = output(dsn(dir).arg("firewall").args(words));
    assert!(done.status.success(), "firewall {words:?}: {}", shown(&done));
    done
}

fn json_of(done: &Output) -> Value {
    serde_json::from_slice(&done.stdout).unwrap_or_else(|error| panic!("{error}: {}", shown(done)))
}

fn rules(dir: &Path) -> Vec<String> {
    let list = json_of(&firewall(dir, &["list", "--json"]));
    let texts =
        list["rules"].as_array().expect("a list").iter().map(|rule| rule["rule"].as_str().expect("a text").into());
    texts.collect()
}

fn pending(dir: &Path) -> Vec<Value> {
    json_of(&firewall(dir, &["pending", "--json"]))["pending"].as_array().expect("a list").clone()
}

fn pieces(dir: &Path) -> u64 {
    json_of(&output(dsn(dir).args(["status", "--json"])))["pieces"].as_u64().expect("a number")
}

fn start_put(network: &TestNetwork, name: &str) -> Child {
    let file = network.file(name, MIB);
    let mut command = network.dsn();
    command.arg("put").arg(file).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("dsn starts")
}

fn succeeds(put: Child) {
    let done = put.wait_with_output().expect("a child of ours");
    assert!(done.status.success(), "{}", shown(&done));
}

#[test]
fn a_farmer_that_takes_nothing_gets_nothing_at_once_and_after_a_restart() {
    let mut network = TestNetwork::start(4);
    let dir = network.farmers[0].dir.clone();
    let made = firewall(&dir, &["deny", "in", "piece.put"]);
    assert_eq!(String::from_utf8_lossy(&made.stdout), "1 deny in piece.put\n");
    let file = network.file("one", MIB);
    let cid = network.put(&file)["cid"].as_str().unwrap().to_owned();
    assert_eq!(pieces(&dir), 0);
    assert!(pieces(&network.farmers[1].dir) > 0, "the pieces went elsewhere");
    network.kill(0);
    assert_eq!(rules(&dir), ["deny in piece.put", "allow in", "allow out"], "read without a farmer");
    network.restart(0);
    assert_eq!(rules(&dir), ["deny in piece.put", "allow in", "allow out"], "told by the farmer");
    network.put(&network.file("two", MIB));
    assert_eq!(pieces(&dir), 0);
    firewall(&dir, &["remove", "1"]);
    network.put(&network.file("three", MIB));
    assert!(pieces(&dir) > 0, "what is allowed again is done at once");
    network.get_same(&cid, &file);
}

#[test]
fn a_connection_of_a_peer_that_is_denied_ends_at_once() {
    let network = TestNetwork::start(2);
    let (dir, other) = (&network.farmers[0].dir, &network.farmers[1].peer_id);
    let peers = || json_of(&output(dsn(dir).args(["status", "--json"])))["peers"].as_u64();
    until("they have met", || peers() == Some(1));
    firewall(dir, &["deny", other]);
    until("the connection ends", || peers() == Some(0));
}

/// A leave that was given is taken back, not only refused when it is used: the rule is gone again by then.
#[test]
fn who_may_no_more_send_pieces_from_where_it_is_has_no_leave_either() {
    let network = TestNetwork::start(1);
    let (dir, forger) = (&network.farmers[0].dir, Forger::join(&network));
    let farmer = forger.farmers[0];
    forger.runtime.block_on(forger.node.snapshot(true)).expect("it answers");
    let chunk = |bytes: &[u8]| encode(Code::Rep, BytesMut::from(bytes));
    let token =
        |chunk: &EncodedChunk| forger.runtime.block_on(forger.token(farmer, &chunk.descriptor, IndexSet::one(0)));
    let send = |token, chunk: &EncodedChunk| {
        let part = StorePart { token, index: 0, bytes: chunk.pieces[0].bytes().clone() };
        forger.runtime.block_on(forger.node.request(farmer, Request::Store(vec![part])))
    };
    let (one, other) = (chunk(b"one"), chunk(b"other"));
    let spared = token(&one);
    firewall(dir, &["deny", "198.51.100.0/24", "in", "piece.put"]);
    assert!(matches!(send(spared, &one), Ok(Response::Stored(_))), "that is somebody else's range");
    let revoked = token(&other);
    firewall(dir, &["deny", "127.0.0.0/8", "in", "piece.put"]);
    for number in [1, 2] {
        firewall(dir, &["remove", &number.to_string()]);
    }
    let answer = send(revoked, &other);
    assert!(matches!(answer, Ok(Response::Refused(Refusal::BadToken))), "{answer:?}");
}

#[test]
fn what_waits_is_shown_and_done_when_it_is_approved() {
    let network = TestNetwork::start(3);
    let dir = &network.farmers[0].dir;
    assert!(pending(dir).is_empty());
    firewall(dir, &["ask", "piece.put", "in"]);
    let put = start_put(&network, "file");
    until("it is asked", || !pending(dir).is_empty());
    let asked = pending(dir).remove(0);
    assert_eq!(
        (&asked["address"], &asked["wants"], &asked["direction"]),
        (&"127.0.0.1".into(), &"piece.put".into(), &"in".into())
    );
    let status = json_of(&output(dsn(dir).args(["status", "--json"])));
    assert!(status["problems"].to_string().contains("1 wait for your word"), "{status}");
    let number = asked["number"].to_string();
    firewall(dir, &["approve", &number]);
    succeeds(put);
    assert!(pieces(dir) > 0);
    assert!(pending(dir).is_empty());
    let again = output(dsn(dir).args(["firewall", "approve", &number]));
    refused(&again, 3, &format!("nothing waits under the number {number}"));
}

#[test]
fn what_is_rejected_for_ever_becomes_a_rule_and_the_put_goes_on_without() {
    let network = TestNetwork::start(4);
    let dir = &network.farmers[0].dir;
    firewall(dir, &["ask", "in", "piece.put"]);
    let put = start_put(&network, "file");
    until("it is asked", || !pending(dir).is_empty());
    let asked = pending(dir).remove(0);
    let peer = asked["peer_id"].as_str().unwrap();
    firewall(dir, &["reject", &asked["number"].to_string(), "--always"]);
    succeeds(put);
    assert_eq!(pieces(dir), 0);
    assert_eq!(rules(dir)[..2], [format!("deny in piece.put {peer}"), "ask in piece.put".into()]);
}

#[test]
fn silence_denies_when_its_time_is_over() {
    let network = TestNetwork::with(4, "1GiB", &[("DSN_FIREWALL_ASK_TIMEOUT", "1s")]);
    let dir = &network.farmers[0].dir;
    firewall(dir, &["ask", "in", "piece.put"]);
    let put = start_put(&network, "file");
    until("it is asked", || !pending(dir).is_empty());
    succeeds(put);
    until("nothing waits", || pending(dir).is_empty());
    assert_eq!(pieces(dir), 0);
}

#[test]
fn a_network_that_asks_before_it_lets_anybody_in_can_be_used() {
    let network = TestNetwork::start(2);
    for farmer in &network.farmers {
        firewall(&farmer.dir, &["ask", "in"]);
        firewall(&farmer.dir, &["allow", &network.farmers[0].peer_id]);
        firewall(&farmer.dir, &["allow", &network.farmers[1].peer_id]);
    }
    let put = start_put(&network, "file");
    for farmer in &network.farmers {
        until("it is asked", || !pending(&farmer.dir).is_empty());
        let number = pending(&farmer.dir)[0]["number"].to_string();
        firewall(&farmer.dir, &["approve", &number]);
    }
    succeeds(put);
}

#[test]
fn a_command_keeps_to_the_rules_of_its_own_folder() {
    let network = TestNetwork::start(4);
    let client = network.path("client");
    firewall(&client, &["deny", "out", "piece.put", &network.farmers[0].peer_id]);
    network.put(&network.file("file", MIB));
    assert_eq!(pieces(&network.farmers[0].dir), 0);
    firewall(&client, &["deny", "out", "info"]);
    let put = output(network.dsn().arg("put").arg(network.path("file")));
    refused(&put, 7, "caused by: the firewall of this node denies requests to 12D3KooW");
}

#[test]
fn who_is_let_in_nowhere_is_told_whose_firewall_it_is() {
    let network = TestNetwork::start(2);
    let file = network.file("file", MIB);
    let cid = network.put(&file)["cid"].as_str().unwrap().to_owned();
    network.farmers.iter().for_each(|farmer| drop(firewall(&farmer.dir, &["deny", "in", "piece.put"])));
    let put = output(network.dsn().arg("put").arg(network.file("other", MIB)));
    refused(&put, 4, "refuses: its firewall denies the request");
    for farmer in &network.farmers {
        firewall(&farmer.dir, &["deny", "in", "info", "127.0.0.1"]);
        firewall(&farmer.dir, &["deny", "in", "locator", "127.0.0.1"]);
    }
    for done in [output(network.dsn().arg("put").arg(&file)), output(network.dsn().args(["cat", &cid]))] {
        refused(&done, 7, "refuses: its firewall denies the request");
        refused(&done, 7, "hint: ask an operator to let you in");
    }
}

/// The nodes of its commands are other ones each time; the member is the same.
#[test]
fn a_member_of_a_closed_network_is_denied_by_its_id_and_nobody_else_is() {
    let folder = tempfile::tempdir().unwrap();
    let [anna, bob, carol, dave] = ["anna", "bob", "carol", "dave"].map(|name| folder.path().join(name));
    run(&anna, &["network", "new", "club"]);
    let _first = Farmer::start(&anna, &LENDING);
    for (dir, name) in [(&bob, "bob"), (&carol, "carol"), (&dave, "dave")] {
        run(dir, &["join", &run(&anna, &["network", "invite", "--name", name])]);
    }
    let _second = Farmer::start(&bob, &LENDING);
    let members = run(&anna, &["network", "members"]);
    let id = members.lines().find(|line| line.ends_with(" carol")).and_then(|line| line.split(' ').next()).unwrap();
    let put = |dir: &Path, text: &str| {
        let file = folder.path().join(text);
        fs::write(&file, text).unwrap();
        output(dsn(dir).arg("put").arg(file))
    };
    let farmers = [&anna, &bob];
    for dir in farmers {
        firewall(dir, &["deny", "in", "piece.put", id]);
    }
    for text in ["first", "second"] {
        refused(&put(&carol, text), 4, "refuses: its firewall denies the request");
    }
    let done = put(&dave, "third");
    assert!(done.status.success(), "{}", shown(&done));
    for dir in farmers {
        firewall(dir, &["remove", "1"]);
    }
    let done = put(&carol, "first");
    assert!(done.status.success(), "{}", shown(&done));

    for dir in farmers {
        firewall(dir, &["ask", "in", "piece.put"]);
    }
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| put(&carol, "fourth"));
        for dir in farmers {
            until("it is asked", || !pending(dir).is_empty());
            let asked = pending(dir).remove(0);
            assert_eq!(asked["member"], id, "{asked}");
            assert_ne!(asked["peer_id"], id, "{asked}");
            let list = firewall(dir, &["pending"]);
            assert!(String::from_utf8_lossy(&list.stdout).contains(id), "{}", shown(&list));
            firewall(dir, &["reject", &asked["number"].to_string(), "--always"]);
            assert_eq!(rules(dir)[0], format!("deny in piece.put {id}"));
        }
        refused(&asking.join().unwrap(), 4, "refuses: its firewall denies the request");
    });
}

#[test]
fn rules_that_cannot_be_read_stop_everything_that_needs_them() {
    let network = TestNetwork::start(1);
    let client = network.path("client");
    firewall(&client, &["deny", "in", "audit"]);
    firewall(&client, &["deny", "out", "audit"]);
    let whole = fs::read_to_string(client.join(FILE)).unwrap();
    let cut = whole.strip_suffix("1 deny in audit\n").expect("the oldest rule comes last");
    let file = network.file("file", 100);
    for (text, line) in [(cut, 1), ("", 1), (&whole.replace("2 deny out", "2 deny uot"), 2)] {
        fs::write(client.join(FILE), text).unwrap();
        let says = format!("caused by: line {line}: ");
        let commands: [&[&str]; 4] = [
            &["firewall", "list"],
            &["firewall", "deny", "in"],
            &["put", file.to_str().unwrap()],
            &["farm", "--storage", "1MiB"],
        ];
        for command in commands {
            refused(&output(network.dsn().args(command)), 9, &says);
        }
        assert_eq!(fs::read_to_string(client.join(FILE)).unwrap(), text, "it is left as it was");
    }
    // One that runs goes on as it was.
    let dir = &network.farmers[0].dir;
    firewall(dir, &["deny", "in", "piece.put"]);
    fs::write(dir.join(FILE), "nonsense").unwrap();
    refused(&output(dsn(dir).args(["firewall", "remove", "1"])), 9, "caused by: line 1: ");
    assert_eq!(rules(dir)[0], "deny in piece.put");
}

#[test]
fn commands_at_once_lose_no_rule() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    std::thread::scope(|scope| {
        for low in 0..8 {
            scope.spawn(move || firewall(dir, &["deny", &format!("192.0.2.{low}")]));
        }
    });
    assert_eq!(rules(dir).len(), 8 + 2);
}
