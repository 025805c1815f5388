//! `dsn doctor`: what it says where nothing is well and where all is, to people and to scripts.

use std::{process::Output, sync::Arc};

use dsn_core::{hello::Versions, identity::Identity, ports::NoService};
use dsn_net::{NetOptions, Node};
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

/// A farmer that knows nobody but the node at this address says this of it: in its log once, in its status and to the doctor.
fn says_of_its_bootstrap_node(address: &str, reason: &str) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let farmer = Farmer::start(folder.path(), &["--storage", "1GiB", "--bootstrap", address]);
    until("it has met it", || farmer.status()["problems"].to_string().contains(reason));
    let warned = farmer.said().lines().filter(|line| line.contains("WARN") && line.contains(reason)).count();
    assert_eq!(warned, 1, "{}", farmer.said());
    let bare = address.split("/p2p/").next().expect("an address");
    let says = format!("the bootstrap node at {bare}: {reason}");
    for command in ["status", "doctor"] {
        let done = output(dsn(folder.path()).arg(command));
        assert!(shown(&done).contains(&says), "{command}: {}", shown(&done));
    }
}

#[test]
fn a_farmer_whose_bootstrap_node_is_of_another_network_says_so_without_being_asked() {
    let folder = tempfile::tempdir().unwrap();
    let theirs = Farmer::start(folder.path(), &["--storage", "1GiB", "--network", "den"]);
    let address = theirs.status()["listen"][0].as_str().unwrap().to_owned();
    says_of_its_bootstrap_node(&address, "it belongs to network den");
}

#[test]
fn a_farmer_whose_bootstrap_node_is_of_another_version_says_so_without_being_asked() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let options = NetOptions {
        serve: true,
        listen: vec!["/ip4/127.0.0.1/tcp/0".into()],
        mdns: false,
        versions: Versions::new(7, 9).unwrap(),
        ..NetOptions::new(Identity::from_seed([7; 32]), "main".parse().unwrap())
    };
    let theirs = runtime.block_on(Node::start(options, Arc::new(NoService))).unwrap();
    says_of_its_bootstrap_node(
        &theirs.listen_addrs()[0],
        "it speaks versions 7 to 9 of the protocol, this node version 1",
    );
}
