//! Real processes on loopback: what a user sees while farmers are killed, come back elsewhere, lie, or are too few.

#[path = "support/liar.rs"]
mod liar;
#[path = "support/network.rs"]
#[expect(dead_code, reason = "other tests let farmers join")]
mod network;

use std::{
    io::{Read, Write},
    process::Stdio,
    time::{Duration, Instant},
};

use dsn_core::{
    cid::Cid,
    hash::{ChunkId, Hash},
};
use network::{TestNetwork, dsn, output, shown};

const MIB: usize = 1 << 20;

/// Checks an exit code and that the message says what it should.
fn refused(done: &std::process::Output, exit: i32, says: &str) {
    assert_eq!(done.status.code(), Some(exit), "{}", shown(done));
    assert!(String::from_utf8_lossy(&done.stderr).contains(says), "{says:?} is missing: {}", shown(done));
}

#[test]
fn files_of_every_size_survive_the_loss_of_a_third_of_the_farmers() {
    let mut network = TestNetwork::start(12);
    let sizes = [0, 1, 65_536, 65_537, 16 * MIB - 1, 16 * MIB, 16 * MIB + 1, 200 * MIB];
    let files: Vec<_> = sizes.iter().map(|size| network.file(&format!("file-{size}"), *size)).collect();
    let puts: Vec<_> = files.iter().map(|file| network.put(file)).collect();
    let cids: Vec<&str> = puts.iter().map(|put| put["cid"].as_str().unwrap()).collect();
    assert_eq!(cids[0], "bafib4ihzwadxh5lhuz5u377bawdntumdtuzjf4guitv2jshgiv4fogdr2a", "the empty file's CID is fixed");
    for (file, put) in files.iter().zip(&puts) {
        assert_eq!(put["farmers"], 12, "{}", file.display());
        network.get_same(put["cid"].as_str().unwrap(), file);
    }
    (0..4).for_each(|index| network.kill(index));
    let decoded: Vec<u64> =
        files.iter().zip(&cids).map(|(f, cid)| network.get_same(cid, f)["decoded_chunks"].as_u64().unwrap()).collect();
    assert!(decoded[7] > 0, "some data pieces were on the farmers that are gone");
    // The four come back on other ports with their data; four others go: only by peer id can they be found.
    (0..4).for_each(|index| network.restart(index));
    (4..8).for_each(|index| network.kill(index));
    files.iter().zip(&cids).for_each(|(file, cid)| {
        network.get_same(cid, file);
    });
    let stat = output(network.dsn().args(["stat", "--json", cids[6]]));
    let stat: serde_json::Value = serde_json::from_slice(&stat.stdout).unwrap();
    assert_eq!((&stat["health"], &stat["live_min"]), (&"repairing".into(), &24.into()), "{stat}");
}

#[test]
fn one_piece_too_few_is_said_and_leaves_no_file() {
    let mut network = TestNetwork::start(12);
    let file = network.file("file", 2 * MIB);
    let cid = network.put(&file)["cid"].as_str().unwrap().to_owned();
    (0..7).for_each(|index| network.kill(index));
    let copy = network.path("copy");
    let done = output(network.dsn().args(["get", &cid, "-o"]).arg(&copy));
    refused(&done, 4, "cannot rebuild chunk 1 of 1: 15 of 16 pieces found; 7 known holders offline");
    for gone in &network.farmers[..7] {
        let said = shown(&done);
        let told = said.lines().find(|line| line.starts_with("caused by: ") && line.contains(&gone.peer_id));
        assert!(told.is_some_and(|line| line.contains("it is said to hold pieces ")), "{said}");
    }
    assert!(!copy.exists());
    let stat = output(network.dsn().args(["stat", "--json", &cid]));
    assert_eq!(stat.status.code(), Some(4), "{}", shown(&stat));
    network.restart(0);
    network.get_same(&cid, &file);
}

#[test]
fn flipped_bytes_are_found_and_fetched_elsewhere() {
    let network = TestNetwork::start(11);
    let liar = liar::Liar::join(&network.farmers[0].address);
    let file = network.file("file", 40 * MIB);
    let put = network.put(&file);
    assert_eq!(put["farmers"], 12, "the liar takes its share");
    let cid = put["cid"].as_str().unwrap();
    let get = network.get_same(cid, &file);
    assert!(get["pieces_bad"].as_u64().unwrap() > 0, "{get}");
    let (lies, bytes) = (liar.lies(), std::fs::read(&file).unwrap());
    assert!(lies > 0);
    for piece in 0..16 {
        let offset = (16 + piece) * MIB + 99_999;
        let part = output(network.dsn().args(["cat", cid, "--length", "64KiB", "--offset", &offset.to_string()]));
        assert!(part.status.success() && part.stdout == bytes[offset..offset + 65_536], "{offset}: {:?}", part.status);
    }
    assert!(liar.lies() > lies, "of slices too");
}

#[test]
fn too_few_farmers_are_refused_unless_the_user_insists() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, vec![7; 100_000]).unwrap();
    let nobody = output(dsn(folder.path()).args(["put", "--bootstrap", "/ip4/127.0.0.1/tcp/1"]).arg(&file));
    refused(&nobody, 7, "hint: ");
    let one = TestNetwork::start(1);
    refused(&output(one.dsn().arg("put").arg(&file)), 4, "--allow-unsafe");
    let insisted = output(one.dsn().args(["put", "--allow-unsafe"]).arg(&file));
    assert!(insisted.status.success(), "{}", shown(&insisted));
    assert!(shown(&insisted).contains("warning: if any of these farmers vanishes"), "{}", shown(&insisted));
    let cid = String::from_utf8(insisted.stdout).unwrap();
    one.get_same(cid.trim(), &file);
    let two = TestNetwork::start(2);
    let warned = output(two.dsn().arg("put").arg(&file));
    assert!(warned.status.success() && shown(&warned).contains("warning: if two"), "{}", shown(&warned));
    assert_eq!(String::from_utf8(warned.stdout).unwrap(), cid, "the same bytes, the same CID on any network");
}

#[test]
fn a_file_larger_than_the_network_is_refused_before_the_upload() {
    let network = TestNetwork::lending(5, "8MiB");
    let file = network.file("file", 40 * MIB);
    let done = output(network.dsn().arg("put").arg(&file));
    refused(&done, 4, "the file needs 78.6 MB, the network offers 41.9 MB");
}

#[test]
fn a_put_that_was_killed_goes_on_where_it_was() {
    let network = TestNetwork::start(6);
    let file = network.file("file", 160 * MIB);
    let mut first = network.dsn().arg("put").arg(&file).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // Some chunks are finished once the farmers hold so many bytes.
    let deadline = Instant::now() + Duration::from_secs(60);
    while network.used_bytes() < 30 * MIB as u64 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
    first.kill().unwrap();
    first.wait().unwrap();
    let second = network.put(&file);
    assert!(second["resumed_chunks"].as_u64().unwrap() > 0, "{second}");
    network.get_same(second["cid"].as_str().unwrap(), &file);
    let third = network.put(&file);
    assert_eq!(third["wire_bytes"], 0, "everything is there: {third}");
    assert_eq!(third["cid"], second["cid"]);
}

#[test]
fn a_get_that_was_killed_goes_on_where_it_was() {
    let network = TestNetwork::start(6);
    let file = network.file("file", 160 * MIB);
    let cid = network.put(&file)["cid"].as_str().unwrap().to_owned();
    let (copy, part) = (network.path("copy"), network.path("copy.dsn-part"));
    let mut first = network.dsn().args(["get", &cid, "-o"]).arg(&copy).stderr(Stdio::null()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while std::fs::metadata(&part).map_or(0, |meta| meta.len()) < 20 * MIB as u64 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(1));
    }
    first.kill().unwrap();
    first.wait().unwrap();
    assert!(!copy.exists() && part.exists(), "nothing that looks complete");
    let done = output(network.dsn().args(["get", "--json", &cid, "-o"]).arg(&copy));
    let done: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    assert!(done["resumed_bytes"].as_u64().unwrap() >= 16 * MIB as u64, "{done}");
    assert!(network::same(&file, &copy) && !part.exists());
}

#[test]
fn farmers_that_die_during_a_put_are_replaced() {
    let mut network = TestNetwork::start(12);
    let file = network.file("file", 200 * MIB);
    let put = network.dsn().args(["put", "--json"]).arg(&file).stdout(Stdio::piped()).spawn().unwrap();
    // Some chunks are finished then: 36 pieces of each lie on twelve farmers, of which six are about to go.
    let deadline = Instant::now() + Duration::from_secs(60);
    while network.used_bytes() < 15 * MIB as u64 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    (0..6).for_each(|index| network.kill(index));
    let done = put.wait_with_output().unwrap();
    assert!(done.status.success(), "{}", shown(&done));
    let put: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    assert!(put["may_vanish"].as_u64().unwrap() >= 2, "{put}");
    network.get_same(put["cid"].as_str().unwrap(), &file);
}

#[test]
fn two_puts_of_one_file_at_once_both_succeed() {
    let network = TestNetwork::start(6);
    let file = network.file("file", 40 * MIB);
    let start = || network.dsn().arg("put").arg(&file).stdout(Stdio::piped()).spawn().unwrap();
    let (first, second) = (start(), start());
    let (first, second) = (first.wait_with_output().unwrap(), second.wait_with_output().unwrap());
    assert!(first.status.success() && second.status.success(), "{}\n{}", shown(&first), shown(&second));
    assert_eq!(first.stdout, second.stdout);
}

#[test]
fn pipes_work_in_both_directions_and_may_close_early() {
    let network = TestNetwork::start(5);
    let file = network.file("file", 40 * MIB);
    let mut put = network.dsn().args(["put", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    put.stdin.take().unwrap().write_all(&std::fs::read(&file).unwrap()).unwrap();
    let put = put.wait_with_output().unwrap();
    let cid = String::from_utf8(put.stdout).unwrap().trim().to_owned();
    assert_eq!(cid, network.put(&file)["cid"].as_str().unwrap(), "a pipe and a file give the same CID");
    let cat = output(network.dsn().args(["cat", &cid]));
    assert!(cat.stdout == std::fs::read(&file).unwrap());
    let mut early = network.dsn().args(["cat", &cid]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut byte = [0; 1];
    early.stdout.take().unwrap().read_exact(&mut byte).unwrap();
    let early = early.wait_with_output().unwrap();
    assert!(early.stderr.is_empty(), "a quiet end: {}", shown(&early));
}

#[test]
fn an_unknown_cid_is_not_found_within_half_a_minute() {
    let network = TestNetwork::start(3);
    let started = Instant::now();
    let unknown = Cid(ChunkId(Hash::of(b"nobody put this"))).to_string();
    let done = output(network.dsn().args(["get", &unknown]));
    refused(&done, 3, "none of the 3 nodes asked knows it");
    assert!(started.elapsed() < Duration::from_secs(30));
}
