//! What a farmer costs when nobody asks it for anything: farmers as `dsn devnet` starts them, in a network namespace of their
//! own where root may make one, and a line a minute. `cargo bench --profile dev --bench at_rest`; `-- 3 5` is three farmers for five
//! minutes. Ends by itself, with the figures of the last quarter of an hour. Not here: the network without its farmers
//! (the bench `idle` of `dsn-net`).
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

#[path = "support/process.rs"]
#[expect(dead_code, reason = "this bench runs no commands")]
mod process;
#[path = "../tests/support/spent.rs"]
#[expect(dead_code, reason = "the farmers are other processes")]
mod spent;

use std::{
    collections::HashSet,
    env, fs,
    os::unix::process::CommandExt,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use process::Devnet;
use spent::Spent;

const FARMERS: usize = 50;

/// All farmers meet all others anew every quarter of an hour: two such meetings.
const MINUTES: usize = 34;

/// Minutes of the summary: one meeting is among them.
const WINDOW: usize = 15;

/// Set where the namespace is a new one.
const ALONE: &str = "DSN_BENCH_ALONE";

/// One minute of one farmer.
struct Minute {
    connections: f64,
    /// Of the farmer that has most.
    most: usize,
    bytes_per_sec: f64,
    core_percent: f64,
    /// Of the largest farmer.
    resident_mib: u64,
}

fn main() {
    let args: Vec<String> = env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    if env::var_os(ALONE).is_none() {
        // Returns only where no namespace can be made.
        let error = Command::new("unshare")
            .args(["--net", "sh", "-c", "ip link set lo up && exec \"$0\" \"$@\""])
            .arg(env::current_exe().expect("Linux"))
            .args(&args)
            .env(ALONE, "1")
            .exec();
        println!("not in a namespace of its own ({error}): what others send over loopback counts too");
    }
    let number = |at: usize, usual| args.get(at).map_or(usual, |text| text.parse().expect("a number"));
    let (farmers, minutes) = (number(0, FARMERS), number(1, MINUTES));
    let devnet = Devnet::start(&env::temp_dir(), farmers);
    println!("{farmers} farmers\n");
    println!(
        "| minute | connections, mean (most) | bytes/s sent | % of a core | largest, MiB |\n|---|---|---|---|---|"
    );
    let played: Vec<Minute> = (1..=minutes).map(|nth| print(&nth.to_string(), measure(&devnet))).collect();
    let last = &played[minutes.saturating_sub(WINDOW)..];
    let mean = |figure: fn(&Minute) -> f64| {
        last.iter().map(figure).sum::<f64>() / f64::from(u32::try_from(last.len()).expect("minutes"))
    };
    let summary = Minute {
        connections: mean(|minute| minute.connections),
        most: last.iter().map(|minute| minute.most).max().unwrap_or(0),
        bytes_per_sec: mean(|minute| minute.bytes_per_sec),
        core_percent: mean(|minute| minute.core_percent),
        resident_mib: last.iter().map(|minute| minute.resident_mib).max().unwrap_or(0),
    };
    print(&format!("the last {}", last.len()), summary);
}

fn print(minute: &str, figures: Minute) -> Minute {
    let Minute { connections, most, bytes_per_sec, core_percent, resident_mib } = figures;
    println!("| {minute} | {connections:.1} ({most}) | {bytes_per_sec:.0} | {core_percent:.2} | {resident_mib} |");
    figures
}

/// Waits for a minute.
fn measure(devnet: &Devnet) -> Minute {
    let (begin, sent, cpu) = (Instant::now(), Spent::so_far().sent_bytes, devnet.cpu());
    thread::sleep(Duration::from_secs(60)); // what is measured is that nothing happens
    let counts = connections(&devnet.pids);
    let each = 1.0 / f64::from(u32::try_from(counts.len()).expect("farmers"));
    let per_sec = each / begin.elapsed().as_secs_f64();
    Minute {
        connections: f64::from(u32::try_from(counts.iter().sum::<usize>()).expect("connections")) * each,
        most: counts.into_iter().max().unwrap_or(0),
        bytes_per_sec: (Spent::so_far().sent_bytes - sent) * per_sec,
        core_percent: (devnet.cpu() - cpu).as_secs_f64() * per_sec * 100.0,
        resident_mib: devnet.resident_mib(),
    }
}

/// Established TCP connections of each process.
fn connections(pids: &[u32]) -> Vec<usize> {
    let established: HashSet<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .into_iter()
        .flat_map(|table| fs::read_to_string(table).unwrap_or_default().lines().map(str::to_owned).collect::<Vec<_>>())
        .filter_map(|line| {
            // The state and the inode, fields 4 and 10 of proc(5); 01 is established.
            let mut fields = line.split_whitespace().skip(3);
            (fields.next()? == "01").then(|| fields.nth(5).map(|inode| format!("socket:[{inode}]")))?
        })
        .collect();
    let is_connection = |link: &Path| link.to_str().is_some_and(|link| established.contains(link));
    let open = |pid: &u32| {
        let open = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        open.filter(|entry| fs::read_link(entry.path()).is_ok_and(|link| is_connection(&link))).count()
    };
    pids.iter().map(open).collect()
}
