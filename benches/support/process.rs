//! Processes under measurement: what they took of the processor and of memory, read from `/proc`.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// Ticks of `/proc/PID/stat` in a second, fixed on Linux.
const TICKS_PER_SEC: u64 = 100;

/// How often a running process is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// What a process took.
pub(crate) struct Usage {
    pub(crate) cpu: Duration,
    pub(crate) peak_mib: u64,
    pub(crate) stdout: Vec<u8>,
}

/// Farmers as `dsn devnet` starts them.
pub(crate) struct Devnet {
    child: Child,
    /// All farmers, those killed too.
    pub(crate) pids: Vec<u32>,
    alive: Vec<u32>,
    bootstrap: Vec<String>,
    folder: TempDir,
}

fn status_mib(pid: u32, field: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) / 1024
}

/// Processor time of a process, also of one that has ended and was not waited for.
fn cpu(pid: u32) -> Duration {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    // User and system time, fields 14 and 15 of proc(5); the third is the first after the name.
    Duration::from_millis((ticks(11) + ticks(12)) * 1000 / TICKS_PER_SEC)
}

fn has_ended(pid: u32) -> bool {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    text.rsplit(')').next().is_none_or(|rest| rest.trim_start().starts_with('Z'))
}

/// Runs a command that must succeed; its output must be small.
pub(crate) fn run(command: &mut Command) -> Usage {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("dsn starts");
    let pid = child.id();
    let mut peak_mib = 0;
    while !has_ended(pid) {
        peak_mib = peak_mib.max(status_mib(pid, "VmHWM:"));
        std::thread::sleep(LOOK_EVERY);
    }
    let cpu = cpu(pid);
    let mut stdout = Vec::new();
    child.stdout.take().expect("piped").read_to_end(&mut stdout).expect("readable");
    assert!(child.wait().expect("it ended").success(), "{command:?}: {}", String::from_utf8_lossy(&stdout));
    Usage { cpu, peak_mib, stdout }
}

impl Devnet {
    pub(crate) fn start(dir: &Path, farmers: usize) -> Self {
        let folder = tempfile::tempdir_in(dir).expect("a writable folder");
        let mut command = dsn(folder.path());
        command.args(["devnet", "--json", "--disk-reserve", "16MiB", "--farmers", &farmers.to_string()]);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("devnet starts");
        let (mut pids, mut bootstrap) = (Vec::new(), Vec::new());
        for line in BufReader::new(child.stdout.take().expect("piped")).lines() {
            let line: Value = serde_json::from_str(&line.expect("readable")).expect("JSON");
            if line["event"] == "ready" {
                break;
            }
            pids.push(u32::try_from(line["pid"].as_u64().expect("a pid")).expect("a pid"));
            bootstrap.push(line["listen"][0].as_str().expect("an address").to_owned());
        }
        Self { child, alive: pids.clone(), pids, bootstrap, folder }
    }

    /// `dsn` on this network.
    pub(crate) fn dsn(&self) -> Command {
        let mut command = dsn(&self.folder.path().join("client"));
        command.env("DSN_BOOTSTRAP", self.bootstrap[self.pids.len() - self.alive.len()..].join(","));
        command
    }

    /// Processor time of all farmers that run.
    pub(crate) fn cpu(&self) -> Duration {
        self.alive.iter().map(|pid| cpu(*pid)).sum()
    }

    /// The most memory any farmer ever had.
    pub(crate) fn peak_mib(&self) -> u64 {
        self.alive.iter().map(|pid| status_mib(*pid, "VmHWM:")).max().unwrap_or(0)
    }

    /// The most memory any farmer has now.
    pub(crate) fn resident_mib(&self) -> u64 {
        self.alive.iter().map(|pid| status_mib(*pid, "VmRSS:")).max().unwrap_or(0)
    }

    /// SIGKILL for the first farmers.
    pub(crate) fn kill(&mut self, count: usize) {
        for pid in self.alive.drain(..count) {
            signal(pid, Signal::KILL);
        }
    }
}

fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).expect("a pid")).expect("not 0");
    kill_process(pid, signal).expect("it runs");
}

impl Drop for Devnet {
    fn drop(&mut self) {
        signal(self.child.id(), Signal::TERM);
        self.child.wait().expect("devnet ends");
    }
}

fn dsn(dir: &Path) -> Command {
    let binary: PathBuf = env!("CARGO_BIN_EXE_dsn").into();
    let mut command = Command::new(binary);
    command.env("DSN_DIR", dir).env("DSN_MDNS", "false").env_remove("DSN_CONFIG").stdin(Stdio::null());
    command
}
