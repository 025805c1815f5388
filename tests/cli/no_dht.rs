//! A small network that has its DHT switched off: whoever is named, or says hello, is known, and nobody else.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::Value;

use crate::{
    MIB,
    farmers::Farmer,
    network::{dsn, output, shown},
    until,
};

/// A folder of somebody who names these nodes.
fn settle(dir: &Path, named: &[String]) {
    fs::create_dir(dir).expect("a new folder");
    let settings = format!("[network]\ndht = false\nmdns = false\nremember = false\nbootstrap = {named:?}\n");
    fs::write(dir.join("config.toml"), settings).expect("it is written");
}

fn run(dir: &Path, args: &[&str]) -> Vec<u8> {
    let done = output(dsn(dir).args(args));
    assert!(done.status.success(), "{args:?}: {}", shown(&done));
    done.stdout
}

/// By which ways the farmers were found that are known, and how many they are.
fn found(dir: &Path) -> (BTreeSet<String>, usize) {
    let text = String::from_utf8(run(dir, &["peers", "--json"])).expect("UTF-8");
    let peers: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let peers: Vec<&Value> = peers.iter().filter(|peer| peer["role"] == "farmer").collect();
    (peers.iter().map(|peer| peer["found_by"].as_str().expect("a text").to_owned()).collect(), peers.len())
}

#[test]
fn friends_who_name_each_other_need_no_dht() {
    let folder = tempfile::tempdir().unwrap();
    let mut named: Vec<String> = Vec::new();
    let mut farmers = Vec::new();
    for number in 0..4 {
        let dir = folder.path().join(format!("farmer{number}"));
        settle(&dir, &named);
        farmers.push(Farmer::start(&dir, &["--storage", "1GiB"]));
        named.push(farmers[number].status()["listen"][0].as_str().unwrap().to_owned());
    }
    for farmer in &farmers {
        until("all have met", || farmer.status()["peers"] == 3);
    }
    let [client, lonely] = ["client", "lonely"].map(|name| folder.path().join(name));
    settle(&client, &named);
    settle(&lonely, &named[..1]);
    let original = folder.path().join("original");
    let mut bytes = vec![0; MIB];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    fs::write(&original, &bytes).unwrap();
    let put: Value = serde_json::from_slice(&run(&client, &["put", "--json", original.to_str().unwrap()])).unwrap();
    assert_eq!(put["farmers"], 4, "{put}");
    let cid = put["cid"].as_str().unwrap();
    assert_eq!(run(&client, &["get", cid, "-o", "-"]), bytes);
    // One of them, asked in its folder, knows the first by its address and the third by its hello.
    assert_eq!(found(&farmers[1].dir), (["bootstrap", "inbound"].map(str::to_owned).into(), 3));
    assert_eq!(found(&client).1, 4);
    assert_eq!(found(&lonely).1, 1, "nobody tells of the others");
    drop(farmers.remove(2));
    assert_eq!(run(&client, &["get", cid, "-o", "-"]), bytes, "one of them is dead");
    let last = &farmers.last().unwrap().dir;
    assert_eq!(run(last, &["get", cid, "-o", "-"]), bytes, "whom its folder names, and the farmer there");
}
