//! Farmers that start badly, end well, and go on with what damage has left them.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::{
    MIB, folder,
    network::{TestNetwork, dsn, output, shown},
    refused, soon, until,
};

/// A farmer ends within this time when it is told to.
const END: Duration = Duration::from_secs(5);

/// A real farmer whose messages are kept.
pub(crate) struct Farmer {
    pub(crate) dir: PathBuf,
    address: String,
    said: Arc<Mutex<String>>,
    pub(crate) child: Child,
}

impl Farmer {
    pub(crate) fn start(dir: &Path, more: &[&str]) -> Self {
        let mut command = dsn(dir);
        command.args(["farm", "--json", "--listen", "/ip4/127.0.0.1/tcp/0"]).args(more);
        if !more.contains(&"--disk-reserve") {
            command.args(["--disk-reserve", "16MiB"]);
        }
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        let said = Arc::new(Mutex::new(String::new()));
        let (stderr, keep) = (child.stderr.take().expect("piped"), Arc::clone(&said));
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                keep.lock().expect("no panic while locked").push_str(&format!("{line}\n"));
            }
        });
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("readable");
        let ready: Value =
            serde_json::from_str(&line).unwrap_or_else(|_| panic!("{}", said.lock().expect("no panic while locked")));
        let address = ready["listen"][0].as_str().expect("a text").to_owned();
        Self { dir: dir.into(), address, said, child }
    }

    pub(crate) fn said(&self) -> String {
        self.said.lock().expect("no panic while locked").clone()
    }

    pub(crate) fn status(&self) -> Value {
        serde_json::from_slice(&output(dsn(&self.dir).args(["status", "--json"])).stdout).expect("JSON")
    }

    /// SIGTERM; it must end in order.
    pub(crate) fn end(mut self) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).expect("a pid")).expect("not 0");
        kill_process(pid, Signal::TERM).expect("it runs");
        let status = soon(&mut self.child, END).unwrap_or_else(|| panic!("still there after {} s", END.as_secs()));
        assert_eq!(status.code(), Some(0), "{}", self.said());
    }
}

impl Drop for Farmer {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

#[test]
fn one_farmer_a_folder_and_one_listener_a_port() {
    let folder = tempfile::tempdir().unwrap();
    let farmer = Farmer::start(folder.path(), &["--storage", "1GiB"]);
    let again = output(dsn(folder.path()).args(["farm", "--storage", "1GiB"]));
    refused(&again, 10, &format!("a farmer already runs in {} (pid {})", folder.path().display(), farmer.child.id()));
    let devnet = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(folder.path(), devnet.path().join("farmer-000")).unwrap();
    let again = output(dsn(devnet.path()).args(["devnet", "--farmers", "1"]));
    refused(&again, 10, "error: farmer 0 did not start\ncaused by: a farmer already runs in ");
    let other = tempfile::tempdir().unwrap();
    let taken = output(dsn(other.path()).args(["farm", "--storage", "1GiB", "--listen", &farmer.address]));
    refused(&taken, 7, "hint: another program listens there");
    farmer.end();
}

#[test]
fn a_farmer_started_again_is_where_it_was_unless_somebody_else_is() {
    let folder = tempfile::tempdir().unwrap();
    let start = || Farmer::start(folder.path(), &["--storage", "1GiB"]);
    let first = start();
    let address = first.address.clone();
    first.end();
    let killed = start();
    assert_eq!(killed.address, address);
    drop(killed);
    let port = address.split('/').nth(4).and_then(|port| port.parse().ok()).expect("a port");
    let _somebody_else = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let moved = start();
    assert_ne!(moved.address, address);
    moved.end();
}

#[test]
fn a_farmer_told_to_stop_ends_in_order_whoever_talks_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let farmer = Farmer::start(folder.path(), &["--storage", "1GiB"]);
    let _silent = std::os::unix::net::UnixStream::connect(folder.path().join("control.sock")).unwrap();
    assert_eq!(farmer.status()["pieces"], 0, "a silent visitor keeps nobody else from being answered");
    farmer.end();
    let status = output(dsn(folder.path()).arg("status"));
    refused(&status, 7, "error: no farmer runs in");
}

#[test]
fn a_farmer_that_nobody_hears_ends_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let (reader, stdout) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = dsn(folder.path());
    command.args(["farm", "--storage", "1GiB", "--log", "info", "--listen", "/ip4/127.0.0.1/tcp/0"]).stdout(stdout);
    let done = command.stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
    // What the farmer does last before it closes its store.
    refused(&done, 141, "network stopped");
    assert!(!String::from_utf8_lossy(&done.stderr).contains("error"), "{}", shown(&done));
}

#[test]
fn a_command_that_finds_only_another_network_is_told_which() {
    let folder = tempfile::tempdir().unwrap();
    let farmer = Farmer::start(&folder.path().join("farmer"), &["--storage", "1GiB"]);
    let file = folder.path().join("file");
    fs::write(&file, "content").unwrap();
    let cid = "bafib4ihzwadxh5lhuz5u377bawdntumdtuzjf4guitv2jshgiv4fogdr2a";
    for command in [&["put", file.to_str().unwrap()][..], &["get", cid, "-o", "-"], &["stat", cid], &["peers"]] {
        let started = Instant::now();
        let mut dsn = dsn(&folder.path().join("client"));
        let done = output(dsn.args(["--network", "lab", "--bootstrap", &farmer.address]).args(command));
        refused(
            &done,
            7,
            "cannot be talked to: it belongs to network main\nhint: name the network with --network main",
        );
        assert!(started.elapsed() < END, "{command:?} took {:?}", started.elapsed());
    }
}

#[test]
fn a_farmer_whose_bootstrap_addresses_are_down_warns_and_finds_them_later() {
    let (early, late) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("/ip4/127.0.0.1/tcp/{port}");
    let first = Farmer::start(early.path(), &["--storage", "1GiB", "--bootstrap", &address]);
    until("it warns", || first.said().contains("bootstrap address cannot be reached"));
    let second = Farmer::start(late.path(), &["--storage", "1GiB", "--listen", &address]);
    until("they have met", || first.status()["peers"] == 1 && second.status()["peers"] == 1);
    first.end();
    second.end();
}

#[test]
fn dsn_peers_tells_who_the_others_are_and_what_room_they_have() {
    let network = TestNetwork::start(3);
    let dir = &network.farmers[0].dir;
    let peers = || -> Vec<Value> {
        let done = output(dsn(dir).args(["peers", "--json"]));
        assert!(done.status.success(), "{}", shown(&done));
        done.stdout.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
    };
    let is_known = |peer: &Value| peer["role"] == "farmer" && peer["protocol_version"] == 1 && peer["domain"] == "";
    let has_room = |peer: &Value| peer["free_bytes"].as_u64().is_some_and(u64::is_power_of_two);
    until("both others are known", || {
        peers().iter().filter(|peer| is_known(peer) && has_room(peer) && peer["leaving"] == false).count() == 2
    });
    let table = output(dsn(dir).arg("peers"));
    let text = String::from_utf8_lossy(&table.stdout).into_owned();
    assert!(text.contains("ROLE") && text.matches("farmer v1 over ").count() == 2, "{}", shown(&table));
}

#[test]
fn a_command_that_all_addresses_refuse_says_so_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let cid = "bafib4ihzwadxh5lhuz5u377bawdntumdtuzjf4guitv2jshgiv4fogdr2a";
    let addresses = ["--bootstrap", "/ip4/127.0.0.1/tcp/1", "--bootstrap", "/ip4/127.0.0.1/tcp/2"];
    let begin = Instant::now();
    refused(&output(dsn(folder.path()).args(["get", cid]).args(addresses)), 7, "error: the network cannot be reached");
    assert!(begin.elapsed() < Duration::from_millis(1500), "{:?}", begin.elapsed());
}

#[test]
fn a_farmer_that_lends_less_than_it_holds_starts_and_serves() {
    let mut network = TestNetwork::start(3);
    let file = network.file("file", 8 * MIB);
    let cid = network.put(&file)["cid"].as_str().unwrap().to_owned();
    let others = network.farmers[1].address.clone();
    network.kill(0);
    let farmer = Farmer::start(&network.farmers[0].dir, &["--storage", "1MiB", "--bootstrap", &others]);
    until("it warns", || farmer.said().contains("warning: ") && farmer.said().contains("only 1.0 MB lent"));
    assert_eq!(farmer.status()["free_bytes"], 0);
    let pieces = farmer.status()["pieces"].as_u64().unwrap();
    // It has to be known to somebody else before the only one who knows it goes.
    until("it has met both others", || farmer.status()["peers"] == 2);
    network.kill(1);
    network.get_same(&cid, &file);
    assert!(farmer.status()["served_bytes"].as_u64().unwrap() > 0, "{}", farmer.status());
    assert_eq!(farmer.status()["pieces"], pieces);
    farmer.end();
}

#[test]
fn a_farmer_whose_disk_is_full_to_its_reserve_says_why_it_takes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let farmer = Farmer::start(dir.path(), &["--storage", "1GiB", "--disk-reserve", "4EiB"]);
    until("it warns", || {
        farmer.said().contains("warning: the disk has ") && farmer.said().contains("nothing new is taken")
    });
    let status = farmer.status();
    let problems = status["problems"].as_array().unwrap();
    assert!(problems.iter().any(|problem| problem.as_str().unwrap().contains("--disk-reserve")), "{status}");
    let file = dir.path().join("file");
    fs::write(&file, vec![7; 300_000]).unwrap();
    let done = output(
        dsn(&dir.path().join("client")).args(["put", "--allow-unsafe", "--bootstrap", &farmer.address]).arg(&file),
    );
    refused(&done, 4, "the network offers 0 B");
    assert!(shown(&done).contains("`dsn status` of a farmer says what keeps it"), "{}", shown(&done));
    farmer.end();
}

/// The largest of a store's files of a kind.
fn largest(dir: &Path, kind: &str) -> PathBuf {
    let files = fs::read_dir(dir.join("store/db")).expect("readable").map(|entry| entry.expect("readable").path());
    let files = files.filter(|path| path.extension().is_some_and(|extension| extension == kind));
    files.max_by_key(|path| fs::metadata(path).expect("readable").len()).unwrap_or_else(|| panic!("no .{kind} file"))
}

fn flip_bytes(path: &Path) {
    let mut bytes = Vec::new();
    fs::File::open(path).expect("readable").read_to_end(&mut bytes).expect("readable");
    bytes.iter_mut().step_by(4096).for_each(|byte| *byte ^= 1);
    fs::write(path, bytes).expect("writable");
}

fn cut_in_half(path: &Path) {
    let file = fs::OpenOptions::new().write(true).open(path).expect("writable");
    file.set_len(file.metadata().expect("readable").len() / 2).expect("readable");
}

fn remove(path: &Path) {
    fs::remove_file(path).expect("writable");
}

#[test]
fn a_damaged_farmer_starts_warns_and_the_files_stay_readable() {
    let mut network = TestNetwork::start(5);
    let file = network.file("file", 40 * MIB);
    let cid = network.put(&file)["cid"].as_str().unwrap().to_owned();
    let others = network.farmers[1].address.clone();
    let dir = network.farmers[0].dir.clone();
    network.kill(0);
    let start = || Farmer::start(&dir, &["--storage", "1GiB", "--bootstrap", &others]);
    // Ends in order, so that all of it is in files; that is what each kind of damage starts from.
    start().end();
    let (store, whole) = (dir.join("store"), network.path("whole"));
    folder::copy(&store, &whole);
    for (name, kind, damage) in [
        ("flipped bytes among the pieces", "blob", flip_bytes as fn(&Path)),
        ("pieces cut short", "blob", cut_in_half),
        ("no pieces", "blob", remove),
        ("an index with flipped bytes", "sst", flip_bytes),
        ("no index", "sst", remove),
    ] {
        fs::remove_dir_all(&store).unwrap();
        folder::copy(&whole, &store);
        damage(&largest(&dir, kind));
        let farmer = start();
        network.get_same(&cid, &file);
        until(name, || ["damaged", "lost", "set aside"].iter().any(|word| farmer.said().contains(word)));
        // Where the index is damaged, the store may meet that damage once more when it is closed: no error, a warning.
        farmer.end();
    }
    let stat = output(network.dsn().args(["stat", &cid]));
    assert!(stat.status.success(), "{}", shown(&stat));
}
