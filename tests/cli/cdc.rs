//! `dsn put --chunking cdc` on real farmers: what is sent again after a change, and that files put so are read, in whole
//! and in part, stopped and gone on with, carried on a stick and refused like all others.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Output, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::{
    MIB,
    network::{TestNetwork, output, shown},
    refused, until,
};

fn json(done: &Output) -> Value {
    assert!(done.status.success(), "{}", shown(done));
    serde_json::from_slice(&done.stdout).unwrap_or_else(|_| panic!("no JSON: {}", shown(done)))
}

fn put(network: &TestNetwork, path: &Path, args: &[&str]) -> Value {
    json(&output(network.dsn().args(["--json", "put", "--chunking", "cdc"]).args(args).arg(path)))
}

fn number(json: &Value, field: &str) -> u64 {
    json[field].as_u64().unwrap_or_else(|| panic!("{field} is missing: {json}"))
}

fn text<'a>(json: &'a Value, field: &str) -> &'a str {
    json[field].as_str().unwrap_or_else(|| panic!("{field} is missing: {json}"))
}

/// The same file with a byte before it.
fn with_a_byte_before(network: &TestNetwork, file: &Path) -> PathBuf {
    let changed = network.path("changed");
    fs::write(&changed, [b"x", &fs::read(file).expect("readable")[..]].concat()).expect("writable");
    changed
}

#[test]
fn after_a_byte_at_the_front_nearly_all_is_there_already() {
    let network = TestNetwork::start(5);
    let file = network.file("file", 96 * MIB);
    let first = put(&network, &file, &[]);
    let changed = with_a_byte_before(&network, &file);
    let again = output(network.dsn().args(["put", "--chunking", "cdc"]).arg(&changed));
    let said = String::from_utf8_lossy(&again.stderr).into_owned();
    let counts = said.split_once(" chunks were there already").and_then(|(before, _)| before.rsplit_once(", "));
    let (kept, all) = counts.and_then(|(_, counts)| counts.split_once(" of ")).unwrap_or_else(|| panic!("{said}"));
    let (kept, all): (u64, u64) = (kept.parse().unwrap(), all.parse().unwrap());
    assert!(all > 10 && all - kept <= 4, "{said}");
    let cid = String::from_utf8(again.stdout).unwrap().trim().to_owned();
    assert_ne!(cid, text(&first, "cid"));
    network.get_same(&cid, &changed);
    network.get_same(text(&first, "cid"), &file);
}

#[test]
fn the_cid_is_that_of_a_pipe_and_not_that_of_fixed_chunks() {
    let network = TestNetwork::start(3);
    let (large, small) = (network.file("large", 21 * MIB), network.file("small", 65_536));
    for (file, is_same) in [(&large, false), (&small, true)] {
        let cdc = put(&network, file, &[]);
        let stdin = Stdio::from(fs::File::open(file).unwrap());
        let piped = output(network.dsn().args(["put", "--chunking", "cdc", "-"]).stdin(stdin));
        assert_eq!(String::from_utf8_lossy(&piped.stdout).trim(), text(&cdc, "cid"), "{}", shown(&piped));
        assert_eq!(network.put(file)["cid"] == cdc["cid"], is_same);
        let by_variable = output(network.dsn().args(["--json", "put"]).arg(file).env("DSN_CHUNKING", "cdc"));
        assert_eq!(json(&by_variable)["cid"], cdc["cid"]);
    }
}

#[test]
fn a_part_across_chunks_is_what_it_was_sealed_or_not() {
    let network = TestNetwork::start(5);
    let file = network.file("file", 24 * MIB);
    let bytes = fs::read(&file).unwrap();
    for args in [&[][..], &["--private"]] {
        let put = put(&network, &file, args);
        let name = put["capability"].as_str().unwrap_or_else(|| text(&put, "cid"));
        let whole = output(network.dsn().args(["cat", name]));
        assert!(whole.stdout == bytes, "{}", String::from_utf8_lossy(&whole.stderr));
        for (offset, length) in [(0, 1), (MIB - 5, 9 * MIB), (24 * MIB - 100, 100), (13 * MIB, 64 * 1024)] {
            let (offset_text, length_text) = (offset.to_string(), length.to_string());
            let part = output(network.dsn().args(["cat", name, "--offset", &offset_text, "--length", &length_text]));
            assert!(part.stdout == bytes[offset..offset + length], "{offset}+{length}: {}", part.stdout.len());
        }
        let stat = json(&output(network.dsn().args(["--json", "stat", text(&put, "cid")])));
        assert_eq!((text(&stat, "health"), &stat["chunks"]), ("healthy", &put["chunks"]));
    }
}

#[test]
fn put_and_get_go_on_after_a_kill() {
    let network = TestNetwork::start(5);
    let file = network.file("file", 160 * MIB);
    let killed = |args: &[&str], path: &Path, begun: &dyn Fn() -> bool| {
        let mut command = network.dsn();
        command.args(args).arg(path).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        until("it has begun", begun);
        kill_process(Pid::from_child(&child), Signal::KILL).unwrap();
        assert!(!child.wait().unwrap().success(), "it was done before it was killed");
    };
    killed(&["put", "--chunking", "cdc"], &file, &|| network.used_bytes() > 60 * MIB as u64);
    let again = put(&network, &file, &[]);
    assert!(number(&again, "resumed_chunks") > 0, "{again}");
    let cid = text(&again, "cid");
    let (copy, part) = (network.path("copy"), network.path("copy.dsn-part"));
    let fetched = || fs::metadata(&part).map_or(0, |meta| meta.len()) > 40 * MIB as u64;
    killed(&["get", cid, "-o"], &copy, &fetched);
    assert!(!copy.exists() && part.exists());
    let done = json(&output(network.dsn().args(["--json", "get", cid, "-o"]).arg(&copy)));
    assert!(number(&done, "resumed_bytes") > 20 * MIB as u64, "{done}");
    assert!(crate::network::same(&copy, &file));
}

#[test]
fn a_file_is_repaired_carried_on_a_stick_and_given_up() {
    let mut network = TestNetwork::start(5);
    let file = network.file("file", 21 * MIB);
    let stored = put(&network, &file, &[]);
    let cid = text(&stored, "cid");
    let stick = network.path("stick");
    fs::create_dir(&stick).unwrap();
    let exported = json(&output(network.dsn().args(["--json", "export", cid, "--pieces", "0-15"]).arg(&stick)));
    assert_eq!(exported["chunks"], stored["chunks"], "{exported}");
    let imported = output(network.dsn().arg("import").arg(&stick).arg("-o").arg(network.path("copy")));
    assert!(imported.status.success(), "{}", shown(&imported));
    assert!(crate::network::same(&network.path("copy"), &file));
    network.kill(0);
    let repaired = output(network.dsn().args(["repair", cid]));
    assert!(repaired.status.success(), "{}", shown(&repaired));
    network.get_same(cid, &file);
    let given_up = output(network.dsn().args(["rm", cid]));
    assert!(given_up.status.success(), "{}", shown(&given_up));
}

#[test]
fn a_folder_sends_again_what_changed_within_its_large_files() {
    let network = TestNetwork::start(5);
    let top = network.path("tree");
    fs::create_dir(&top).unwrap();
    let file = network.file("file", 48 * MIB);
    fs::rename(&file, top.join("large")).unwrap();
    fs::write(top.join("small"), "hello\n").unwrap();
    put(&network, &top, &[]);
    fs::rename(with_a_byte_before(&network, &top.join("large")), top.join("large")).unwrap();
    let again = put(&network, &top, &[]);
    assert!(number(&again, "chunks") - number(&again, "resumed_chunks") <= 4, "{again}");
    let copy = network.path("copy");
    let got = output(network.dsn().args(["get", text(&again, "cid"), "-o"]).arg(&copy));
    assert!(got.status.success() && crate::folders::same(&top, &copy), "{}", shown(&got));
}

#[test]
fn another_word_is_refused_with_those_there_are() {
    let network = TestNetwork::start(3);
    let file = network.file("file", 10);
    let says = "put.chunking: chunking \"rabin\" is neither fixed nor cdc";
    refused(&output(network.dsn().args(["put", "--chunking", "rabin"]).arg(&file)), 2, says);
    refused(&output(network.dsn().arg("put").arg(&file).env("DSN_CHUNKING", "rabin")), 9, says);
}
