//! Closed networks as their users make them: a founder, invitations, members that come and one that has to go, outsiders.

use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Output, Stdio},
};

use dsn_core::{
    identity::Identity,
    membership::{certificate::CertificateBody, closed_network, invitation::Invitation},
};
use serde_json::Value;

use crate::{
    MIB,
    farmers::Farmer,
    network::{TestNetwork, dsn, output, shown},
    refused, until,
};

/// Runs a command that must succeed; gives its stdout without the line's end.
pub(crate) fn run(dir: &Path, args: &[&str]) -> String {
    let done = output(dsn(dir).args(args));
    assert!(done.status.success(), "{args:?}: {}", shown(&done));
    String::from_utf8(done.stdout).expect("UTF-8").trim_end().to_owned()
}

/// Runs a command as somebody who knows one node of the network.
fn run_at(address: &str, dir: &Path, args: &[&str]) -> Output {
    output(dsn(dir).env("DSN_BOOTSTRAP", address).args(args))
}

fn join_by_stdin(dir: &Path, invitation: &str) {
    let mut child =
        dsn(dir).args(["join", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("dsn starts");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(format!("  {invitation}\n").as_bytes()).expect("it reads");
    drop(stdin);
    assert!(child.wait_with_output().expect("it ends").status.success());
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").permissions().mode() & 0o777
}

pub(crate) const LENDING: [&str; 2] = ["--storage", "1GiB"];

#[test]
fn a_closed_network_from_its_first_invitation_to_a_revocation() {
    let folder = tempfile::tempdir().unwrap();
    let [anna, bob, carol, dave, outsider] =
        ["anna", "bob", "carol", "dave", "outsider"].map(|name| folder.path().join(name));
    let network = run(&anna, &["network", "new", "club"]);
    assert!(network.starts_with("club.") && network.len() == "club.".len() + 26, "{network}");
    for secret in ["founder.key", "membership"] {
        assert_eq!(mode(&anna.join(secret)), 0o600, "{secret}");
    }
    let founder = Farmer::start(&anna, &LENDING);
    assert!(founder.said().contains("warning: nobody has been invited yet"), "{}", founder.said());

    let invite = |more: &[&str]| run(&anna, &[&["network", "invite"], more].concat());
    let text = invite(&["--name", "bob"]);
    assert_eq!(run(&bob, &["join", &text]), network);
    assert_eq!(mode(&bob.join("membership")), 0o600);
    join_by_stdin(&carol, &invite(&["--name", "carol"]));
    let file = folder.path().join("invitation");
    fs::write(&file, invite(&["--name", "dave", "--expires", "30d"])).unwrap();
    assert_eq!(run(&dave, &["join", file.to_str().unwrap()]), network);
    let (_second, third) = (Farmer::start(&bob, &LENDING), Farmer::start(&carol, &LENDING));
    assert!(!third.said().contains("warning"), "{}", third.said());

    let original = folder.path().join("original");
    let mut bytes = vec![0; MIB];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    fs::write(&original, &bytes).unwrap();
    let put: Value = serde_json::from_str(&run(&dave, &["put", "--json", original.to_str().unwrap()])).unwrap();
    let cid = put["cid"].as_str().unwrap();
    assert_eq!(put["farmers"], 3);
    let copy = folder.path().join("copy");
    run(&anna, &["get", cid, "-o", copy.to_str().unwrap()]);
    assert!(fs::read(&copy).unwrap() == bytes);

    let address = third.status()["listen"][0].as_str().unwrap().to_owned();
    for name in [network.as_str(), "club", "main"] {
        for command in [&["get", cid, "-o", "-"][..], &["put", original.to_str().unwrap()]] {
            let done = run_at(&address, &outsider, &[&["--network", name], command].concat());
            refused(&done, 6, "hint: this network is closed: ask the founder of the network for an invitation");
        }
    }

    let members = run(&anna, &["network", "members", "--json"]);
    let dave_id = members.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let dave_id = dave_id.filter(|one| one["label"] == "dave").map(|one| one["member"].clone()).next().unwrap();
    let revoked: Value = serde_json::from_str(&run(&anna, &["network", "revoke", "dave", "--json"])).unwrap();
    assert_eq!((&revoked["member"], revoked["told"].as_u64().unwrap() > 0), (&dave_id, true), "{revoked}");
    until("carol's folder knows", || carol.join("revocations").exists());
    let done = run_at(&address, &dave, &["get", cid, "-o", "-"]);
    refused(&done, 6, "the network does not let this node in: the membership was revoked");
    let members = run(&anna, &["network", "members"]);
    assert!(members.lines().any(|line| line.contains("revoked") && line.ends_with("dave")), "{members}");
    assert_eq!(run_at(&address, &bob, &["get", cid, "-o", "-"]).stdout, bytes, "the others go on");
}

/// The farmer is down while the founder revokes: another node of the network has to be told.
#[test]
fn a_revocation_needs_no_farmer_in_the_founders_folder() {
    let folder = tempfile::tempdir().unwrap();
    let [anna, bob, carol] = ["anna", "bob", "carol"].map(|name| folder.path().join(name));
    run(&anna, &["network", "new", "club"]);
    let nowhere = ["--bootstrap", "/ip4/127.0.0.1/tcp/1"];
    let invite = |name: &str| run(&anna, &[&["network", "invite", "--name", name][..], &nowhere].concat());
    run(&bob, &["join", &invite("bob")]);
    run(&carol, &["join", &invite("carol")]);
    let farmer = Farmer::start(&bob, &LENDING);
    let address = farmer.status()["listen"][0].as_str().unwrap().to_owned();
    assert!(run_at(&address, &carol, &["peers"]).status.success());
    let done = run_at(&address, &anna, &["network", "revoke", "carol"]);
    assert!(done.status.success() && String::from_utf8_lossy(&done.stderr).contains("told: 1"), "{}", shown(&done));
    refused(&run_at(&address, &carol, &["peers"]), 6, "the membership was revoked");
    refused(&run_at(&address, &anna, &["network", "revoke", "nobody"]), 3, "nobody was invited as");
    let alone = output(dsn(&anna).args(["network", "invite"]));
    refused(&alone, 7, "an invitation needs an address");
}

/// Three farmers and low redundancy: each holds 9 pieces of 16 that would do, so one file of 3 MiB fits and a second does not.
#[test]
fn a_member_with_a_quota_puts_no_more_than_that_from_whatever_folder() {
    let folder = tempfile::tempdir().unwrap();
    let [anna, bob, carol, dave, again] =
        ["anna", "bob", "carol", "dave", "again"].map(|name| folder.path().join(name));
    run(&anna, &["network", "new", "club"]);
    let _first = Farmer::start(&anna, &LENDING);
    let invite = |more: &[&str]| run(&anna, &[&["network", "invite"], more].concat());
    for dir in [&bob, &carol] {
        run(dir, &["join", &invite(&[])]);
    }
    let (_second, _third) = (Farmer::start(&bob, &LENDING), Farmer::start(&carol, &LENDING));
    let text = invite(&["--name", "dave", "--quota", "2560KiB"]);
    for dir in [&dave, &again] {
        run(dir, &["join", &text]);
    }
    let members = run(&anna, &["network", "members"]);
    assert!(members.lines().any(|line| line.contains("2.6 MB") && line.ends_with("dave")), "{members}");

    let file = |seed: u8| {
        let (path, mut bytes) = (folder.path().join(format!("file{seed}")), vec![0; 3 * MIB]);
        blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut bytes);
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let put = |dir: &Path, file: &str| output(dsn(dir).args(["put", "--redundancy", "low", file]));
    let first = run(&dave, &["put", "--redundancy", "low", &file(1)]);
    for dir in [&dave, &again] {
        fs::remove_file(dir.join("owner.key")).ok(); // another owner's key is no new quota
        refused(&put(dir, &file(2)), 4, "your membership has a quota of 2.6 MB at each farmer");
    }
    refused(&output(dsn(&dave).args(["farm", "--storage", "1GiB"])), 6, "this membership has a quota");
    refused(&output(dsn(&dave).args(["repair", &first])), 6, "farmers repair them by themselves");
    assert!(put(&carol, &file(3)).status.success(), "who has none is not limited");
    run(&dave, &["rm", &first]);
    // A farmer counts again ten seconds after it has said no.
    until("the quota is free again", || put(&again, &file(2)).status.success());
}

/// An invitation whose time is over, as only time makes one.
fn ended() -> String {
    let (founder, member) = (Identity::from_seed([1; 32]), Identity::from_seed([2; 32]));
    let body = CertificateBody {
        network: closed_network(founder.node_id(), "club").expect("a name"),
        founder: founder.node_id(),
        member: member.node_id(),
        label: "late".into(),
        issued: 1_000_000_000,
        until: Some(1_100_000_000),
        quota: None,
    };
    Invitation::new(member, body.sign(&founder), []).expect("for this key").to_text()
}

#[test]
fn invitations_that_are_spoilt_or_for_others_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let [anna, bob, eve] = ["anna", "bob", "eve"].map(|name| folder.path().join(name));
    run(&anna, &["network", "new", "club"]);
    run(&eve, &["network", "new", "club"]);
    let invite = |dir| run(dir, &["network", "invite", "--bootstrap", "/ip4/127.0.0.1/tcp/1"]);
    let (ours, theirs) = (invite(&anna), invite(&eve));
    let join = |dir: &Path, text: &str| output(dsn(dir).args(["join", text]));
    refused(&join(&bob, &ours[..ours.len() - 9]), 2, "it was cut short or something was added");
    let changed = if ours.ends_with('a') { "b" } else { "a" };
    let mistyped = format!("{}{changed}{}", &ours[..100], &ours[101..]);
    let mistyped = if mistyped == ours { format!("{}c{}", &ours[..100], &ours[101..]) } else { mistyped };
    refused(&join(&bob, &mistyped), 2, "checksum is wrong");
    refused(&join(&bob, &ended()), 6, "the membership has ended");
    assert!(!bob.join("membership").exists());
    let by_variable = output(dsn(&bob).env("DSN_INVITATION", &ours).arg("join"));
    assert!(by_variable.status.success(), "{}", shown(&by_variable));
    assert!(join(&bob, &ours).status.success(), "again, to the same network");
    refused(&join(&bob, &theirs), 2, "belongs to the closed network club.");
    refused(&join(&anna, &ours), 2, "as its founder's");
    refused(&output(dsn(&bob).args(["network", "new", "den"])), 2, "hint: use another folder with --dir DIR");
    refused(&output(dsn(&bob).args(["--network", "den", "peers"])), 9, "not to den");
    refused(&output(dsn(&bob).args(["network", "invite"])), 6, "only the founder's folder");
    let config = run(&bob, &["config"]);
    assert!(config.contains("\"club.") && config.contains("network.closed         = \"true\""), "{config}");
    for spoilt in ["", "hello"] {
        fs::write(bob.join("membership"), spoilt).unwrap();
        refused(&output(dsn(&bob).arg("id")), 6, "is damaged");
    }
}

#[test]
fn a_member_of_a_namesake_is_no_member() {
    let folder = tempfile::tempdir().unwrap();
    let [anna, eve] = ["anna", "eve"].map(|name| folder.path().join(name));
    run(&anna, &["network", "new", "club"]);
    run(&eve, &["network", "new", "club"]);
    let farmer = Farmer::start(&anna, &LENDING);
    let address = farmer.status()["listen"][0].as_str().unwrap().to_owned();
    let done = run_at(&address, &eve, &["peers"]);
    refused(&done, 6, "this node is a member of another network");
}

#[test]
fn a_pre_shared_key_opens_a_network_and_its_lack_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let key = |name: &str, digits: &str| {
        let path = folder.path().join(name);
        fs::write(&path, format!("/key/swarm/psk/1.0.0/\n/base16/\n{}\n", digits.repeat(32))).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (ours, other) = (key("ours.key", "ab"), key("other.key", "cd"));
    let farm = folder.path().join("farm");
    fs::create_dir(&farm).unwrap();
    fs::write(farm.join("config.toml"), format!("[network]\npsk_file = \"{ours}\"\n")).unwrap();
    let farmer = Farmer::start(&farm, &LENDING);
    let address = farmer.status()["listen"][0].as_str().unwrap().to_owned();
    let client = folder.path().join("client");
    let peers = |key: &str, flag: &[&str]| {
        let mut dsn = dsn(&client);
        output(dsn.env("DSN_PSK_FILE", key).args(["--bootstrap", &address, "peers", "--json"]).args(flag))
    };
    for (variable, flag) in [(ours.as_str(), &[][..]), ("", &["--psk", &ours]), (&other, &["--psk", &ours])] {
        let done = peers(variable, flag);
        assert!(done.status.success(), "{}", shown(&done));
    }
    for (variable, flag) in
        [(other.as_str(), &[][..]), ("", &[]), ("", &["--psk", &other]), (&ours, &["--psk", &other])]
    {
        refused(&peers(variable, flag), 7, "the network cannot be reached");
    }
}

#[test]
fn a_file_is_put_and_got_on_a_devnet_with_a_pre_shared_key_by_those_who_name_it() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("swarm.key");
    fs::write(&key, format!("/key/swarm/psk/1.0.0/\n/base16/\n{}\n", "7e".repeat(32))).unwrap();
    let key: &'static str = key.to_str().unwrap().to_owned().leak();
    let network = TestNetwork::with(3, "10GiB", &[("DSN_PSK_FILE", key)]);
    let file = network.file("file", MIB);
    let put = output(network.dsn().args(["--psk", key, "put"]).arg(&file));
    assert!(put.status.success(), "{}", shown(&put));
    let cid = String::from_utf8(put.stdout).unwrap();
    let get = |more: &[&str]| output(network.dsn().args(["get", cid.trim(), "-o", "-"]).args(more));
    assert!(get(&["--psk", key]).stdout == fs::read(&file).unwrap());
    refused(&get(&[]), 7, "the network cannot be reached");
}
