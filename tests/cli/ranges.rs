//! Parts of files, of real farmers: what they are, what travels for them, and what is no part of a file.

use std::{fs, path::Path, process::Output};

use serde_json::Value;

use crate::{
    MIB,
    network::{TestNetwork, output, shown},
    refused,
};

const KIB: usize = 1024;

/// What the JSON on standard error says of a part that was written to standard output.
fn report(done: &Output) -> Value {
    assert!(done.status.success(), "{}", shown(done));
    serde_json::from_slice(&done.stderr).unwrap_or_else(|_| panic!("no JSON: {}", shown(done)))
}

fn cat(network: &TestNetwork, cid: &str, offset: usize, length: usize) -> Output {
    let (offset, length) = (offset.to_string(), length.to_string());
    output(network.dsn().args(["cat", "--json", cid, "--offset", &offset, "--length", &length]))
}

fn put(network: &TestNetwork, file: &Path) -> String {
    network.put(file)["cid"].as_str().expect("a text").to_owned()
}

#[test]
fn a_part_of_a_file_is_what_it_was_and_little_more_travels() {
    let network = TestNetwork::start(5);
    let file = network.file("file", 17 * MIB + 5);
    let (cid, bytes) = (put(&network, &file), fs::read(&file).unwrap());
    for (offset, length) in [
        (0, 64 * KIB),
        (MIB - 30_000, 64 * KIB),
        (16 * MIB - 7, 14),
        (17 * MIB - 64 * KIB + 5, 64 * KIB),
        (3, 0),
        (17 * MIB + 5, 0),
    ] {
        let done = cat(&network, &cid, offset, length);
        let report = report(&done);
        assert!(done.stdout == bytes[offset..offset + length], "{offset} {length}: {report}");
        assert_eq!(report["bytes"], length);
        assert!(report["wire_bytes"].as_u64().unwrap() <= 256 * KIB as u64, "{report}");
    }
    let args = |args: &[&str]| output(network.dsn().args(["cat", &cid]).args(args));
    assert!(args(&["--offset", "17MiB"]).stdout == bytes[17 * MIB..], "to the end");
    assert!(args(&["--length", "1KiB"]).stdout == bytes[..KIB], "from the start");
}

#[test]
fn a_part_of_a_small_file_is_in_its_manifest() {
    let network = TestNetwork::start(5);
    let file = network.file("file", 64 * KIB);
    let (cid, bytes) = (put(&network, &file), fs::read(&file).unwrap());
    assert!(cat(&network, &cid, 100, 1000).stdout == bytes[100..1100]);
    refused(&cat(&network, &cid, 64 * KIB, 1), 2, "the range is not within the file, which has 65536 bytes");
}

#[test]
fn a_part_is_computed_when_the_farmers_with_its_piece_are_gone() {
    let mut network = TestNetwork::start(12);
    let file = network.file("file", 33 * MIB);
    let (cid, bytes) = (put(&network, &file), fs::read(&file).unwrap());
    (0..4).for_each(|farmer| network.kill(farmer));
    let mut computed = 0;
    for piece in 0..16 {
        let offset = 16 * MIB + piece * MIB + 77 * KIB;
        let done = cat(&network, &cid, offset, 64 * KIB);
        let report = report(&done);
        assert!(done.stdout == bytes[offset..offset + 64 * KIB], "{offset}: {report}");
        let most = if report["decoded_chunks"] == 0 { 256 * KIB } else { 2 * MIB };
        assert!(report["wire_bytes"].as_u64().unwrap() <= most as u64, "{report}");
        computed += report["decoded_chunks"].as_u64().unwrap();
    }
    assert!((1..16).contains(&computed), "{computed} of 16 were computed");
}

#[test]
fn what_is_no_part_of_the_file_is_refused_with_its_size_and_leaves_nothing() {
    let network = TestNetwork::start(5);
    let cid = put(&network, &network.file("file", MIB));
    let copy = network.path("copy");
    let get = |args: &[&str]| output(network.dsn().args(["get", &cid, "-o"]).arg(&copy).args(args));
    for args in [
        &["--offset", "1048577"][..],
        &["--offset", "1MiB", "--length", "1"],
        &["--length", "1048577"],
        &["--offset", "-1"],
        &["--length", "-5KiB"],
        &["--offset", "16000000TiB", "--length", "16000000TiB"],
    ] {
        refused(&get(args), 2, "error: the range is not within the file, which has 1048576 bytes");
        assert!(!copy.exists() && !network.path("copy.dsn-part").exists());
    }
    for args in [&["--offset", "ten"][..], &["--length="], &["--offset=--1"]] {
        refused(&get(args), 2, "is not a size such as 10GiB, 500MB or 4096");
    }
}

#[test]
fn a_part_goes_to_a_file_that_is_not_taken_for_the_whole_one() {
    let network = TestNetwork::start(5);
    let file = network.file("file", MIB);
    let (cid, bytes) = (put(&network, &file), fs::read(&file).unwrap());
    let get = |args: &[&str]| output(network.dsn().args(["get", &cid]).args(args).current_dir(network.folder.path()));
    assert!(get(&["--offset", "1KiB", "--length", "2KiB"]).status.success());
    assert!(fs::read(network.path(&format!("{cid}.1024+2048"))).unwrap() == bytes[KIB..3 * KIB]);
    assert!(get(&["--offset", "1000000"]).status.success());
    assert!(fs::read(network.path(&format!("{cid}.1000000+"))).unwrap() == bytes[1_000_000..]);
    assert!(!network.path(&cid).exists());
    refused(&get(&["--offset", "1000000"]), 2, "hint: choose another name with -o OUT, or replace it with --force");
    // What an interrupted get of the whole file has left there is no part of it.
    fs::write(network.path("copy.dsn-part"), vec![7; 2 * MIB]).unwrap();
    assert!(get(&["--length", "10", "-o", "copy"]).status.success());
    assert!(fs::read(network.path("copy")).unwrap() == bytes[..10]);
    assert!(get(&["--length", "11", "-o", "copy", "--force"]).status.success());
    assert!(fs::read(network.path("copy")).unwrap() == bytes[..11]);
}
