//! What a user sees of the real binary: every message, exit code and refusal.

#[path = "cli/archive.rs"]
mod archive;
#[path = "cli/bench.rs"]
mod bench;
#[path = "cli/cdc.rs"]
mod cdc;
#[path = "cli/closed.rs"]
mod closed;
#[path = "support/disk.rs"]
#[expect(dead_code, reason = "other tests fill it")]
mod disk;
#[path = "cli/doctor.rs"]
mod doctor;
#[path = "cli/farmers.rs"]
mod farmers;
#[path = "cli/firewall.rs"]
mod firewall;
#[path = "support/folder.rs"]
mod folder;
#[path = "cli/folders.rs"]
mod folders;
#[path = "cli/forged.rs"]
mod forged;
#[path = "cli/identity.rs"]
mod identity;
#[path = "cli/names.rs"]
mod names;
#[path = "support/network.rs"]
#[expect(dead_code, reason = "other tests ask for more")]
mod network;
#[path = "cli/no_dht.rs"]
mod no_dht;
#[path = "../crates/dsn-net/tests/network/proxy.rs"]
mod proxy;
#[path = "cli/ranges.rs"]
mod ranges;
#[path = "cli/read_only.rs"]
mod read_only;
#[path = "cli/remember.rs"]
mod remember;
#[path = "cli/sealed.rs"]
mod sealed;
#[path = "cli/snapshots.rs"]
mod snapshots;
#[path = "cli/space.rs"]
mod space;
#[path = "cli/sync.rs"]
mod sync;
#[path = "cli/terminal.rs"]
mod terminal;
#[path = "cli/transfer.rs"]
mod transfer;
#[path = "cli/twins.rs"]
mod twins;
#[path = "cli/wss.rs"]
mod wss;

use std::{
    io::{BufRead, BufReader},
    process::{Child, ExitStatus, Output},
    sync::mpsc::{Receiver, sync_channel},
    time::{Duration, Instant},
};

const MIB: usize = 1 << 20;

/// Nothing that a test waits for takes this long.
const DEADLINE: Duration = Duration::from_secs(60);

const POLL: Duration = Duration::from_millis(5);

/// Checks an exit code and that the message says what it should.
fn refused(done: &Output, exit: i32, says: &str) {
    assert_eq!(done.status.code(), Some(exit), "{}", network::shown(done));
    let text = String::from_utf8_lossy(&done.stderr);
    assert!(text.contains(says), "{says:?} is missing: {}", network::shown(done));
}

/// Waits until something is so.
fn until(what: &str, so: impl Fn() -> bool) {
    let started = Instant::now();
    while !so() {
        assert!(started.elapsed() < DEADLINE, "not within {} s: {what}", DEADLINE.as_secs());
        std::thread::sleep(POLL);
    }
}

/// The lines that a process prints, as they come.
fn lines_of(child: &mut Child) -> Receiver<String> {
    let (said, lines) = sync_channel(64);
    let stdout = child.stdout.take().expect("piped");
    std::thread::spawn(move || {
        // It ends with the process, or when nobody listens.
        BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|line| said.send(line))
    });
    lines
}

/// The exit status of a process that ends within this time.
fn soon(child: &mut Child, within: Duration) -> Option<ExitStatus> {
    let started = Instant::now();
    while started.elapsed() < within {
        if let Some(status) = child.try_wait().expect("a child of ours") {
            return Some(status);
        }
        std::thread::sleep(POLL);
    }
    None
}
