//! The machine, and what the kernel has counted of a process. Linux tells it in /proc; elsewhere it is not known.

use std::{fmt, fs};

use dsn_cli::human_bytes;
use serde::{Deserialize, Serialize};

/// Linux counts processor time in ticks of this many a second, on all architectures, whatever its timer does.
const TICKS_PER_SECOND: f64 = 100.0;

/// What figures depend on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Machine {
    cpu: String,
    cores: usize,
    memory_bytes: Option<u64>,
    system: String,
}

impl Machine {
    pub(super) fn this() -> Self {
        let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            cpu: model.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, model)| model.trim().to_owned()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_bytes: kilobytes("/proc/meminfo", "MemTotal:"),
            system: format!("{} {}", std::env::consts::OS, release.trim()).trim().to_owned(),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let memory = self.memory_bytes.map_or_else(String::new, |bytes| format!(", {}", human_bytes(bytes)));
        write!(f, "{}, {} cores{memory}, {}", self.cpu, self.cores, self.system)
    }
}

/// A line such as `VmHWM:  1234 kB`, in bytes.
fn kilobytes(file: &str, name: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}

/// User and system time of a process so far.
pub(super) fn cpu_seconds(pid: u32) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let times = stat.get(stat.rfind(')')? + 2..)?.split(' ').skip(11).take(2);
    let ticks: Option<Vec<u32>> = times.map(|ticks| ticks.parse().ok()).collect();
    Some(ticks?.into_iter().map(f64::from).sum::<f64>() / TICKS_PER_SECOND)
}

/// The same of several; none when there are none.
pub(super) fn all_cpu_seconds(pids: &[u32]) -> Option<f64> {
    if pids.is_empty() { None } else { pids.iter().map(|pid| cpu_seconds(*pid)).sum() }
}

/// Most memory that this process had since [`forget_peak`].
pub(super) fn peak_bytes() -> Option<u64> {
    kilobytes("/proc/self/status", "VmHWM:")
}

/// Starts counting anew. Where that is not possible the peak is that of all parts so far.
pub(super) fn forget_peak() {
    let _not_possible = fs::write("/proc/self/clear_refs", "5");
}
