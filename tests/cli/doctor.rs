//! `dsn doctor`: what it says where nothing is well and where all is, to people and to scripts.

use std::process::Output;

use serde_json::Value;

use crate::{
    farmers::Farmer,
    network::{TestNetwork, dsn, output, shown},
    refused, until,
};

/// What it printed, line by line.
fn lines(done: &Output) -> Vec<String> {
    String::from_utf8_lossy(&done.stdout).lines().map(str::to_owned).collect()
}

/// Each thing that `--json` named, whether it is well, and whether there is advice.
fn findings(done: &Output) -> Vec<(String, bool, bool)> {
    let finding = |line: &String| {
        let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(value["says"].as_str().is_some_and(|says| !says.is_empty()), "{line}");
        let what = value["what"].as_str().expect("a text").to_owned();
        (what, value["is_well"].as_bool().expect("yes or no"), value["advice"].is_string())
    };
    lines(done).iter().map(finding).collect()
}

fn found(what: &str, is_well: bool) -> (String, bool, bool) {
    (what.to_owned(), is_well, !is_well)
}

#[test]
fn where_nothing_says_where_the_network_is_it_advises() {
    let folder = tempfile::tempdir().unwrap();
    let done = output(dsn(folder.path()).arg("doctor"));
    refused(&done, 7, "error: 2 of 2 things are not well");
    let said = lines(&done);
    assert_eq!(said[0], "BAD network    network main: nothing says where it is", "{}", shown(&done));
    assert!(said[1].ends_with("name one of its nodes with --bootstrap ADDR, or allow mDNS on the LAN"), "{said:?}");
    assert!(said[2].starts_with("BAD farmers    "), "{said:?}");
    assert!(said[3].ends_with("start the network's farmers, or check the address and the firewall"), "{said:?}");
    let done = output(dsn(folder.path()).args(["doctor", "--json"]));
    refused(&done, 7, r#"{"error":"2 of 2 things are not well""#);
    assert_eq!(findings(&done), [found("network", false), found("farmers", false)]);
}

#[test]
fn an_address_where_nobody_answers_is_one_thing_that_is_not_well() {
    let folder = tempfile::tempdir().unwrap();
    let args = ["doctor", "--bootstrap", "/ip4/127.0.0.1/tcp/1"];
    let done = output(dsn(folder.path()).args(args));
    refused(&done, 7, "error: 1 of 2 things are not well");
    let said = lines(&done);
    let whereabouts = "ok  network    network main, looked for at /ip4/127.0.0.1/tcp/1; 0 nodes remembered";
    assert_eq!(said[0], whereabouts, "{}", shown(&done));
    assert_eq!(said[1], "BAD farmers    the network cannot be reached", "{}", shown(&done));
}

#[test]
fn where_all_is_well_it_says_so_of_a_command_and_of_a_farmer() {
    let network = TestNetwork::start(3);
    let done = output(network.dsn().arg("doctor"));
    assert!(done.status.success() && done.stderr.is_empty(), "{}", shown(&done));
    assert_eq!(lines(&done)[1], "ok  farmers    3 answer; no farmer runs in this folder", "{}", shown(&done));
    let json = output(network.dsn().args(["doctor", "--json"]));
    assert_eq!(findings(&json), [found("network", true), found("farmers", true)]);
    let farmer = &network.farmers[0].dir;
    let ask = || output(dsn(farmer).arg("doctor"));
    until("the farmer has met the others", || ask().status.success());
    let done = ask();
    assert_eq!(lines(&done)[1], "ok  peers      the farmer is connected to 2 nodes", "{}", shown(&done));
    assert!(lines(&done)[2].starts_with("ok  reachable  on this machine and its LAN"), "{}", shown(&done));
    let json = output(dsn(farmer).args(["doctor", "--json"]));
    assert_eq!(findings(&json), [found("network", true), found("peers", true), found("reachable", true)]);
}

#[test]
fn a_farmer_that_knows_nobody_is_not_well() {
    let folder = tempfile::tempdir().unwrap();
    let farmer = Farmer::start(folder.path(), &["--storage", "1GiB"]);
    let done = output(dsn(folder.path()).arg("doctor"));
    refused(&done, 7, "things are not well");
    let said = lines(&done);
    assert_eq!(said[1], "BAD peers      the farmer knows nobody", "{}", shown(&done));
    assert!(said[2].ends_with("check the bootstrap addresses and the firewall"), "{said:?}");
    farmer.end();
}

#[test]
fn a_farmer_whose_bootstrap_node_is_of_another_network_says_so_without_being_asked() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let theirs = Farmer::start(folders[0].path(), &["--storage", "1GiB", "--network", "den"]);
    let address = theirs.status()["listen"][0].as_str().unwrap().to_owned();
    let ours = Farmer::start(folders[1].path(), &["--storage", "1GiB", "--bootstrap", &address]);
    let reason = "it belongs to network den";
    until("it has met it", || ours.status()["problems"].to_string().contains(reason));
    let warned = ours.said().lines().filter(|line| line.contains("WARN") && line.contains(reason)).count();
    assert_eq!(warned, 1, "{}", ours.said());
    let done = output(dsn(folders[1].path()).arg("doctor"));
    let bare = address.split("/p2p/").next().unwrap();
    assert!(shown(&done).contains(&format!("the bootstrap node at {bare}: {reason}")), "{}", shown(&done));
}
