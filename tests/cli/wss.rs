//! Farmers behind a web server with TLS whose certificate an authority of the club's own has signed: a setting names it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::{
    MIB,
    farmers::Farmer,
    network::{dsn, output, shown},
    proxy::{proxy, web_port},
    refused, until,
};

/// The commands of somebody who knows this address of the network and nothing else.
struct Member<'a> {
    dir: PathBuf,
    address: &'a str,
}

impl Member<'_> {
    fn run(&self, args: &[&str]) -> std::process::Output {
        output(dsn(&self.dir).args(["--bootstrap", self.address]).args(args))
    }
}

/// Where a farmer listens.
fn listening(farmer: &Farmer) -> Vec<String> {
    let listen: Value = farmer.status()["listen"].clone();
    listen.as_array().expect("a list").iter().map(|address| address.as_str().expect("a text").to_owned()).collect()
}

fn configure(dir: &Path, text: &str) {
    fs::create_dir_all(dir).expect("writable");
    fs::write(dir.join("config.toml"), text).expect("writable");
}

#[test]
fn an_authority_of_ones_own_vouches_for_a_farmer_behind_a_web_server() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let web = ["--storage", "1GiB", "--listen", "/ip4/127.0.0.1/tcp/0/ws"];
    let first = Farmer::start(&folder.path().join("first"), &web);
    let (port, authority) = runtime.block_on(proxy(web_port(&listening(&first))));
    let pem = folder.path().join("authority.pem");
    fs::write(&pem, format!("what the club trusts\n{}", authority.pem())).unwrap();
    let pem = pem.to_str().unwrap();
    let address = format!("/dns4/localhost/tcp/{port}/wss");

    let second = folder.path().join("second");
    configure(&second, &format!("[network]\nauthorities = \"{pem}\"\n"));
    let second = Farmer::start(&second, &["--storage", "1GiB", "--bootstrap", &address]);
    until("the farmers have met", || [&first, &second].iter().all(|farmer| farmer.status()["peers"] == 1));

    let member = Member { dir: folder.path().join("client"), address: &address };
    let file = folder.path().join("file");
    fs::write(&file, vec![7; MIB]).unwrap();
    refused(&member.run(&["put", file.to_str().unwrap()]), 7, "no node of the network can be reached");
    let put = member.run(&["--authorities", pem, "put", "--allow-unsafe", file.to_str().unwrap()]);
    assert!(put.status.success(), "{}", shown(&put));
    let cid = String::from_utf8(put.stdout).unwrap();
    let got = output(dsn(&folder.path().join("other")).env("DSN_AUTHORITIES", pem).args([
        "--bootstrap",
        &address,
        "cat",
        cid.trim(),
    ]));
    assert!(got.stdout == vec![7; MIB], "{}", shown(&got));
}

#[test]
fn a_file_that_holds_no_authority_stops_what_would_dial() {
    let folder = tempfile::tempdir().unwrap();
    let member = Member { dir: folder.path().join("client"), address: "/ip4/127.0.0.1/tcp/1" };
    let path = folder.path().join("authority.pem");
    let name = path.to_str().unwrap();
    let cut = "-----BEGIN CERTIFICATE-----\nAAAA\n";
    let nonsense = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    for (text, says) in [
        (None, "No such file"),
        (Some(""), "there is no certificate in it"),
        (Some(key), "there is no certificate in it"),
        (Some(cut), "certificate 1 is not whole"),
        (Some(nonsense), "certificate 1: it is no certificate of an authority"),
    ] {
        text.iter().for_each(|text| fs::write(&path, text).unwrap());
        let done = member.run(&["--authorities", name, "peers"]);
        refused(&done, 9, "error: network.authorities: ");
        refused(&done, 9, says);
    }
}
