//! Puts and gets that work, word for word, and those that are stopped: by Ctrl-C, by a file that changes, by a disk that
//! fills up.

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    MIB,
    disk::{SKIPPED, SmallDisk},
    network::{TestNetwork, output, same, shown},
    refused, soon, until,
};

/// Compares what a command printed with a text in which `[..]` stands for anything within a line.
fn printed(done: &Output, stdout: &str, stderr: &str) {
    assert!(done.status.success(), "{}", shown(done));
    let check = |bytes: &[u8], wanted: &str| {
        let text = String::from_utf8(bytes.to_vec()).expect("UTF-8");
        check_lines(&text, wanted).unwrap_or_else(|line| panic!("{line:?}, wanted {wanted:?}: {}", shown(done)));
    };
    check(&done.stdout, stdout);
    check(&done.stderr, stderr);
}

fn check_lines(text: &str, wanted: &str) -> Result<(), String> {
    let (lines, wanted): (Vec<_>, Vec<_>) = (text.lines().collect(), wanted.lines().collect());
    match lines.iter().zip(&wanted).find(|(line, pattern)| !fits(line, pattern)) {
        Some((line, _)) => Err((*line).to_owned()),
        None if lines.len() == wanted.len() => Ok(()),
        None => Err(format!("{} lines", lines.len())),
    }
}

fn fits(line: &str, pattern: &str) -> bool {
    match pattern.split_once("[..]") {
        None => line == pattern,
        Some((start, rest)) => line
            .strip_prefix(start)
            .is_some_and(|line| line.char_indices().any(|(at, _)| fits(&line[at..], rest)) || fits("", rest)),
    }
}

#[test]
fn what_works_is_told_in_few_words() {
    let network = TestNetwork::start(5);
    let file = network.file("file", 3 * MIB);
    let put = output(network.dsn().arg("put").arg(&file));
    let promise =
        "3.1 MB in [..] s: [..] pieces on 5 farmers; any 2 may vanish; public: whoever has the CID can read it";
    printed(&put, "bafib4i[..]", promise);
    let cid = String::from_utf8(put.stdout).unwrap().trim().to_owned();
    let copy = network.path("copy");
    let get = output(network.dsn().args(["get", &cid, "-o"]).arg(&copy));
    printed(&get, "", &format!("3.1 MB in [..] s: {}", copy.display()));
    printed(
        &output(network.dsn().args(["stat", &cid])),
        &format!(
            "cid            {cid}\nsize           3.1 MB (3145728 bytes)\nchunks         2\n\
             weakest chunk  [..] of [..] pieces live, 16 needed\nfarmers        5\nmay vanish     any 2\n\
             health         healthy\nloss a year    [..], for farmers that live a year and repair within a day"
        ),
        "",
    );
    let farmer = |command: &str| output(network.dsn().arg("--dir").arg(&network.farmers[0].dir).arg(command));
    printed(
        &farmer("status"),
        "peer id       12D3Koo[..]\nlent          10.7 GB\nused          [..] in [..] pieces\nfree          [..]\n\
         locators      [..]\npeers         [..]\nreceived      [..] since the start\nserved        [..] since the start\n\
         damaged       0 pieces since the start, 0 healed\nscrubbed      [..] pieces since the start\n\
         audits        [..] passed, 0 failed since the start\nrepairs       0 since the start (0 B), 0 chunks wait\n\
         listening on  /ip4/127.0.0.1/tcp/[..] /ip4/127.0.0.1/udp/[..]/quic-v1/p2p/[..]\n\
         reachable     on this machine and its LAN; nobody from outside was met",
        "",
    );
    let peers = farmer("peers");
    let text = String::from_utf8_lossy(&peers.stdout).into_owned();
    assert!(text.starts_with("PEER ") && text.lines().count() >= 5, "{}", shown(&peers));
    assert!(network.farmers[1..].iter().all(|farmer| text.contains(&farmer.peer_id)), "{text}");
}

#[test]
fn what_works_is_told_as_json() {
    let network = TestNetwork::start(5);
    let file = network.file("file", MIB);
    let put = network.put(&file);
    let cid = put["cid"].as_str().unwrap();
    let keys = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ");
    let json = |args: &[&str]| serde_json::from_slice(&output(network.dsn().args(args)).stdout).unwrap();
    assert_eq!(keys(&put), "bytes chunks cid farmers may_vanish pieces resumed_chunks seconds stored_bytes wire_bytes");
    assert_eq!(
        keys(&network.get_same(cid, &file)),
        "bytes cid decoded_chunks path pieces_bad pieces_fetched resumed_bytes seconds wire_bytes"
    );
    assert_eq!(
        keys(&json(&["stat", "--json", cid])),
        "bytes chunks cid farmers health k live_max live_min loss_per_year may_vanish placed"
    );
    let piped = output(network.dsn().args(["cat", "--json", cid]));
    assert_eq!(piped.stdout, fs::read(&file).unwrap(), "the bytes and nothing else");
    assert!(String::from_utf8(piped.stderr).unwrap().starts_with('{'), "the result is on stderr");
}

#[test]
fn a_get_never_replaces_what_it_should_not() {
    let network = TestNetwork::start(5);
    let file = network.file("file", MIB);
    let cid = network.put(&file)["cid"].as_str().unwrap().to_owned();
    let get = |out: &Path, more: &[&str]| output(network.dsn().args(["get", &cid, "-o"]).arg(out).args(more));
    let taken = network.path("taken");
    fs::write(&taken, "mine").unwrap();
    refused(&get(&taken, &[]), 2, "hint: choose another name with -o OUT, or replace it with --force");
    assert_eq!(fs::read(&taken).unwrap(), b"mine");
    assert!(get(&taken, &["--force"]).status.success() && same(&taken, &file));
    refused(&get(network.folder.path(), &["--force"]), 2, "hint: it is a folder");
    refused(&get(&network.path("missing/copy"), &[]), 8, "hint: check that the folder exists");
    let done = output(network.dsn().args(["get", &cid]).current_dir(network.folder.path()));
    assert!(done.status.success() && same(&network.path(&cid), &file), "without -o the CID is the name");
}

#[test]
fn a_cid_with_a_changed_character_is_not_found() {
    let network = TestNetwork::start(5);
    let cid = network.put(&network.file("file", 10))["cid"].as_str().unwrap().to_owned();
    let other = if cid.as_bytes()[20] == b'a' { "b" } else { "a" };
    let changed = [&cid[..20], other, &cid[21..]].concat();
    let done = output(network.dsn().args(["get", &changed]).current_dir(network.folder.path()));
    refused(&done, 3, "error: not found: none of the 5 nodes asked knows it\nhint: check the CID");
    assert!(!network.path(&changed).exists());
}

fn interrupt(child: &Child) {
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("a pid")).expect("not 0");
    kill_process(pid, Signal::INT).expect("it runs");
}

/// Sends SIGINT once `begun`, which must end the command within 2 s.
fn interrupted(command: &mut Command, begun: impl Fn() -> bool) {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
    until("it has begun", begun);
    interrupt(&child);
    let ended = soon(&mut child, Duration::from_secs(2));
    assert!(ended.is_some(), "still there 2 s after Ctrl-C");
    let done = child.wait_with_output().expect("it ends");
    refused(&done, 130, "error: interrupted\nhint: run the same command again");
}

#[test]
fn an_interrupted_put_ends_at_once_and_goes_on_when_run_again() {
    let network = TestNetwork::start(5);
    let file = network.file("file", 160 * MIB);
    interrupted(network.dsn().arg("put").arg(&file), || network.used_bytes() > 30 * MIB as u64);
    let again = network.put(&file);
    assert!(again["resumed_chunks"].as_u64().unwrap() > 0, "{again}");
    network.get_same(again["cid"].as_str().unwrap(), &file);
}

#[test]
fn an_interrupted_get_ends_at_once_and_goes_on_when_run_again() {
    let network = TestNetwork::start(5);
    let file = network.file("file", 160 * MIB);
    let cid = network.put(&file)["cid"].as_str().unwrap().to_owned();
    let (copy, part) = (network.path("copy"), network.path("copy.dsn-part"));
    let fetched = || fs::metadata(&part).map_or(0, |meta| meta.len()) > 20 * MIB as u64;
    interrupted(network.dsn().args(["get", &cid, "-o"]).arg(&copy), fetched);
    assert!(!copy.exists() && part.exists());
    let done = output(network.dsn().args(["get", "--json", &cid, "-o"]).arg(&copy));
    let done: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    assert!(done["resumed_bytes"].as_u64().unwrap() > 0, "{done}");
    assert!(same(&copy, &file) && !part.exists());
}

#[test]
fn a_put_of_a_pipe_that_waits_for_input_can_be_interrupted() {
    let network = TestNetwork::start(5);
    let mut child = network.dsn().args(["put", "-"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut pipe = child.stdin.take().unwrap();
    // More than the pipe itself holds: once it is written, the put is reading.
    pipe.write_all(&vec![7; 2 * MIB]).unwrap();
    interrupt(&child);
    assert!(soon(&mut child, Duration::from_secs(2)).is_some(), "still there 2 s after Ctrl-C");
    refused(&child.wait_with_output().unwrap(), 130, "error: interrupted");
    drop(pipe);
}

#[test]
fn a_file_that_changes_while_it_is_put_gets_no_cid() {
    let network = TestNetwork::start(5);
    for (name, change) in [("grows", 1), ("shrinks", -1)] {
        let file = network.file(name, 160 * MIB);
        let before = network.used_bytes();
        let put = network.dsn().arg("put").arg(&file).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        until("some of it is stored", || network.used_bytes() > before + 10 * MIB as u64);
        let open = fs::OpenOptions::new().write(true).open(&file).unwrap();
        open.set_len((160 * MIB as u64).checked_add_signed(change).unwrap()).unwrap();
        let done = put.wait_with_output().unwrap();
        refused(&done, 8, &format!("error: {} changed during put\nhint: put it again", file.display()));
        assert!(done.stdout.is_empty(), "no CID: {}", shown(&done));
    }
}

#[test]
fn a_full_disk_is_said_and_gets_its_space_back() {
    let Some(disk) = SmallDisk::mount(8) else {
        eprintln!("{SKIPPED}");
        return;
    };
    let network = TestNetwork::start(5);
    let file = network.file("file", 20 * MIB);
    let cid = network.put(&file)["cid"].as_str().unwrap().to_owned();
    let (copy, part) = (disk.path().join("copy"), disk.path().join("copy.dsn-part"));
    let get = |more: &[&str]| output(network.dsn().args(["get", &cid, "-o"]).arg(&copy).args(more));
    let says = format!("error: no room for {}: 20971520 bytes are needed\nhint: free some space", copy.display());
    refused(&get(&[]), 8, &says);
    assert!(!copy.exists() && !part.exists(), "the part file gives its space back");
    refused(&get(&["--keep-partial"]), 8, &says);
    assert!(!copy.exists() && part.exists());
}

#[test]
fn what_is_not_a_file_is_not_put() {
    let network = TestNetwork::start(2);
    let fifo = network.path("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let put = |path: &Path| output(network.dsn().arg("put").arg(path));
    refused(&put(&fifo), 2, "is not a regular file\nhint: to store what it gives, pipe it: dsn put - <");
    refused(&put(&network.path("missing")), 8, "caused by: No such file or directory");
    if !rustix::process::geteuid().is_root() {
        let secret = network.file("secret", 10);
        fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o000)).unwrap();
        refused(&put(&secret), 8, "caused by: Permission denied");
    }
    // Root may read any file, but nobody may read the memory of a process at its address 0.
    refused(&put(Path::new("/proc/self/mem")), 8, "error: cannot read /proc/self/mem");
}
