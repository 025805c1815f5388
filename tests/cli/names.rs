//! Names on real farmers, as a user sees them: made, published, resolved, followed, renewed by a farmer, and two folders
//! with one key.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use dsn_core::{
    cid::Cid,
    hash::{ChunkId, Hash},
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::{
    DEADLINE, lines_of,
    network::{TestNetwork, dsn, output, shown},
    refused, soon, until,
};

fn line_of(done: &std::process::Output) -> String {
    assert!(done.status.success(), "{}", shown(done));
    String::from_utf8(done.stdout.clone()).expect("UTF-8").trim().to_owned()
}

fn json_of(done: &std::process::Output) -> Value {
    serde_json::from_str(&line_of(done)).expect("JSON")
}

/// A folder of one file with this text, put on the network; gives its CID.
fn put(network: &TestNetwork, text: &str) -> String {
    let top = network.path(text);
    fs::create_dir_all(top.join("docs")).expect("a folder");
    fs::write(top.join("docs/x"), text).expect("a file");
    line_of(&output(network.dsn().arg("put").arg(&top)))
}

/// The same command in another folder.
fn elsewhere(network: &TestNetwork, dir: &Path) -> Command {
    let mut command = network.dsn();
    command.env("DSN_DIR", dir);
    command
}

#[test]
fn a_name_is_made_published_resolved_read_and_followed() {
    let network = TestNetwork::start(5);
    let (one, two) = (put(&network, "one"), put(&network, "two"));
    let name = line_of(&output(network.dsn().args(["name", "new", "docs"])));
    assert!(name.starts_with("dsn:n1:"), "{name}");
    refused(&output(network.dsn().args(["name", "new", "docs"])), 2, "has a name docs already");
    refused(&output(network.dsn().args(["name", "resolve", "docs"])), 3, "knows the name");
    refused(&output(network.dsn().args(["get", &name])), 3, "knows the name");
    let published = json_of(&output(network.dsn().args(["name", "publish", "docs", &one, "--json"])));
    assert_eq!((published["sequence"].as_u64(), published["confirmed"].as_u64()), (Some(1), Some(5)));

    // A stranger reads it, by name and path, in every way.
    let stranger = network.path("stranger");
    let as_stranger = |args: &[&str]| output(elsewhere(&network, &stranger).args(args));
    let resolved = as_stranger(&["name", "resolve", &name]);
    assert_eq!(line_of(&resolved), one);
    let said = String::from_utf8_lossy(&resolved.stderr).into_owned();
    assert!(said.contains("number 1") && said.contains("5 of 5 custodians answered"), "{said}");
    let path = format!("{name}/docs/x");
    let out = network.path("out");
    line_of(&as_stranger(&["get", &path, "-o", out.to_str().unwrap()]));
    assert_eq!(fs::read_to_string(&out).unwrap(), "one");
    let within = network.path("within");
    line_of(&as_stranger(&["get", &format!("{name}/docs"), "-o", within.to_str().unwrap()]));
    assert_eq!(fs::read_to_string(within.join("x")).unwrap(), "one", "a folder within the folder");
    assert_eq!(line_of(&as_stranger(&["cat", &path])), "one");
    assert!(line_of(&as_stranger(&["ls", &name])).contains("docs/"));
    assert!(line_of(&as_stranger(&["stat", &name])).contains(&one));
    refused(&as_stranger(&["get", &format!("{name}/docs/y")]), 3, "no docs/y");

    let mut follow = elsewhere(&network, &stranger);
    let mut follow =
        follow.args(["name", "follow", &name, "--every", "1s", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(follow.stdout.take().unwrap()).lines();
    let mut version = || {
        let line: Value = serde_json::from_str(&lines.next().expect("a line").unwrap()).unwrap();
        (line["sequence"].as_u64().unwrap(), line["cid"].as_str().unwrap().to_owned())
    };
    assert_eq!(version(), (1, one));
    line_of(&output(network.dsn().args(["name", "publish", "docs", &two])));
    assert_eq!(version(), (2, two.clone()));
    kill_process(Pid::from_raw(i32::try_from(follow.id()).unwrap()).unwrap(), Signal::INT).unwrap();
    assert!(soon(&mut follow, Duration::from_secs(10)).expect("it ends").success(), "Ctrl-C is how it ends");
    assert_eq!(line_of(&as_stranger(&["cat", &path])), "two");
    let list = line_of(&output(network.dsn().args(["name", "list"])));
    assert!(list.contains("docs") && list.contains(&name) && list.contains(&format!("number 2 {two}")), "{list}");
}

/// Follows a name as a stranger with these settings, prints its first version, publishes a second one; gives how long that
/// took to be printed.
fn second_version_after(network: &TestNetwork, every: &str, announcements: &str) -> Duration {
    let (one, two) = (put(network, "one"), put(network, "two"));
    let name = line_of(&output(network.dsn().args(["name", "new", "docs"])));
    line_of(&output(network.dsn().args(["name", "publish", "docs", &one])));
    let mut follow = elsewhere(network, &network.path("stranger"));
    follow.env("DSN_ANNOUNCEMENTS", announcements).args(["name", "follow", &name, "--every", every]);
    let mut follow = follow.stdout(Stdio::piped()).spawn().expect("it starts");
    let lines = lines_of(&mut follow);
    assert_eq!(lines.recv_timeout(DEADLINE), Ok(format!("1 {one}")));
    line_of(&output(network.dsn().args(["name", "publish", "docs", &two])));
    let begin = Instant::now();
    assert_eq!(lines.recv_timeout(DEADLINE), Ok(format!("2 {two}")));
    let took = begin.elapsed();
    follow.kill().expect("it runs");
    follow.wait().expect("it was killed");
    took
}

#[test]
fn a_new_version_is_heard_at_once_when_it_is_announced() {
    let took = second_version_after(&TestNetwork::start(5), "1h", "true");
    assert!(took < Duration::from_secs(20), "{took:?}");
}

#[test]
fn without_announcements_a_new_version_is_seen_when_it_is_asked_for() {
    // The farmers announce nothing, or the follower does not listen.
    let quiet = TestNetwork::with(5, "10GiB", &[("DSN_ANNOUNCEMENTS", "false")]);
    for (network, announcements) in [(quiet, "true"), (TestNetwork::start(5), "false")] {
        let took = second_version_after(&network, "8s", announcements);
        assert!(took < Duration::from_secs(20), "{took:?}");
        assert!(took > Duration::from_secs(1), "nobody told it: {took:?}");
    }
}

/// What is put sealed may have a name, which says its CID to everybody and its key to nobody.
#[test]
fn a_capability_is_never_published_and_its_cid_may_be() {
    let network = TestNetwork::start(3);
    let top = network.path("diary");
    fs::create_dir(&top).unwrap();
    fs::write(top.join("x"), "sealed words").unwrap();
    let capability = line_of(&output(network.dsn().args(["put", "--private"]).arg(&top)));
    let name = line_of(&output(network.dsn().args(["name", "new", "docs"])));
    let done = output(network.dsn().args(["name", "publish", "docs", &capability]));
    refused(&done, 2, "this is a read capability, a secret");
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(said.contains("dsn cap verify") && !said.contains(&capability), "{said}");
    refused(&output(network.dsn().args(["name", "resolve", "docs"])), 3, "knows the name");

    let cid = line_of(&output(network.dsn().args(["cap", "verify", &capability])));
    line_of(&output(network.dsn().args(["name", "publish", "docs", &cid])));
    assert_eq!(line_of(&output(network.dsn().args(["name", "resolve", &name]))), cid);
    refused(&output(network.dsn().args(["cat", &format!("{name}/x")])), 6, "");
    assert_eq!(line_of(&output(network.dsn().args(["cat", &format!("{capability}/x")]))), "sealed words");
    assert!(line_of(&output(network.dsn().args(["stat", &name]))).contains(&cid));
}

#[test]
fn two_folders_with_one_key_are_told_of_each_other() {
    let network = TestNetwork::start(3);
    let (one, two) = (put(&network, "one"), put(&network, "two"));
    line_of(&output(network.dsn().args(["name", "new", "docs"])));
    let other = network.path("other");
    line_of(&output(elsewhere(&network, &other).arg("id")));
    fs::copy(network.path("client/name-docs.key"), other.join("name-docs.key")).unwrap();
    line_of(&output(network.dsn().args(["name", "publish", "docs", &one])));
    let unaware = output(elsewhere(&network, &other).args(["name", "publish", "docs", &two]));
    refused(&unaware, 5, "another writer has published the name");
    let said = String::from_utf8_lossy(&unaware.stderr).into_owned();
    assert!(said.contains(&one) && said.contains(&two) && said.contains("--force"), "{said}");
    assert_eq!(line_of(&output(network.dsn().args(["name", "resolve", "docs"]))), one);
    line_of(&output(elsewhere(&network, &other).args(["name", "publish", "docs", &two, "--force"])));
    assert_eq!(line_of(&output(network.dsn().args(["name", "resolve", "docs"]))), two);
    refused(&output(network.dsn().args(["name", "publish", "docs", &one])), 5, "another writer");
}

#[test]
fn wrong_names_are_mistakes_of_usage_that_say_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let name = line_of(&output(dsn(folder.path()).args(["name", "new", "docs"])));
    let last = if name.ends_with('a') { "b" } else { "a" };
    let slip = format!("{}{last}", &name[..name.len() - 1]);
    let later = name.replace("n1", "n2");
    for (text, says) in [
        (slip.as_str(), "its checksum is wrong"),
        (&name[..name.len() - 3], "characters after"),
        (later.as_str(), "a name of a later version"),
    ] {
        for command in ["get", "cat", "ls", "stat", "repair"] {
            refused(&output(dsn(folder.path()).args([command, text])), 2, says);
        }
        refused(&output(dsn(folder.path()).args(["name", "resolve", text])), 2, says);
    }
    refused(&output(dsn(folder.path()).args(["name", "resolve", "other"])), 3, "has no name other");
    refused(&output(dsn(folder.path()).args(["name", "new", "../x"])), 2, "is no label");
    let cid = Cid(ChunkId(Hash([7; 32]))).to_string();
    refused(&output(dsn(folder.path()).args(["name", "publish", "docs", "x"])), 2, "not a CID");
    refused(
        &output(dsn(folder.path()).args(["name", "publish", "docs", &cid, "--ttl", "91d"])),
        2,
        "holds for longer than",
    );
}

#[test]
fn too_few_custodians_are_an_error_and_a_farmer_renews_the_names_of_its_folder() {
    let mut network = TestNetwork::start(2);
    let dir = network.path("third");
    let third = network.join(&dir, "10GiB", "16MiB");
    let cid = put(&network, "one");
    line_of(&output(elsewhere(&network, &dir).args(["name", "new", "docs"])));
    let publish = |network: &TestNetwork| {
        output(elsewhere(network, &dir).args(["name", "publish", "docs", &cid, "--ttl", "14s", "--json"]))
    };
    let until_at = |done: &std::process::Output| json_of(done)["until"].as_u64().unwrap();
    let first = until_at(&publish(&network));
    // Twice its time: who asks then sees a later end.
    until("the farmer renews it", || {
        let resolved = output(network.dsn().args(["name", "resolve", "--json", &json_name(&dir)]));
        resolved.status.success() && until_at(&resolved) >= first + 14
    });
    network.kill(third);
    until("it ends without a farmer", || {
        output(network.dsn().args(["name", "resolve", &json_name(&dir)])).status.code() == Some(3)
    });
    network.kill(1);
    let alone = publish(&network);
    refused(&alone, 4, "custodians keep the record, at least 2 are needed");
}

fn json_name(dir: &Path) -> String {
    let list = json_of(&output(dsn(dir).args(["name", "list", "--json"])));
    list["names"][0]["name"].as_str().expect("a text").to_owned()
}
