//! What a put and a get cost from end to end: real processes, 12 farmers, a client per command. Prints a table row for
//! each size and redundancy, with the baselines of the same run first: raw TCP, bare libp2p request-response, `cp` with fsync.
//!
//! `cargo bench --profile dev --bench put_get` measures on the RAM disk and on the temporary folder's disk;
//! `DSN_BENCH_DIRS=/dev/shm` chooses the folders, `DSN_BENCH_MIB=1,64` the sizes, `DSN_BENCH_PARTS=folder,private` what is
//! measured (also baselines, small, large). Bounded: about ten minutes.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]
#![expect(clippy::cast_precision_loss, reason = "figures of three digits")]

#[path = "support/process.rs"]
mod process;

use std::{
    env, fs,
    io::{self, Read},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use process::{Devnet, Usage, run};
use serde_json::Value;

const FARMERS: usize = 12;
const KILLED: usize = 4;
const SMALL_PUTS: u32 = 100;
const GIB: f64 = 1024.0 * 1024.0 * 1024.0;
const MB: f64 = 1e6;

/// Files of a folder, and bytes of each.
const FOLDER_FILES: usize = 1000;
const FOLDER_FILE_BYTES: usize = 16 * 1024;

/// Runs of which the median is told.
const RUNS: usize = 5;

fn main() {
    let parts = env::var("DSN_BENCH_PARTS").unwrap_or_else(|_| "baselines,small,large,folder,private".into());
    let wants = |part| parts.split(',').any(|wanted| wanted == part);
    if wants("baselines") {
        baselines();
    }
    let dirs = env::var("DSN_BENCH_DIRS").unwrap_or_else(|_| format!("/dev/shm,{}", env::temp_dir().display()));
    for dir in dirs.split(',') {
        let scratch = tempfile::Builder::new().prefix("dsn-bench").tempdir_in(dir).expect("a writable folder");
        println!("\nFarmers in {dir}");
        if wants("baselines") {
            cp_baseline(scratch.path());
        }
        if wants("small") {
            small(scratch.path());
        }
        for redundancy in ["low", "normal", "high"].into_iter().filter(|_| wants("large")) {
            large(scratch.path(), redundancy);
        }
        if wants("folder") {
            folder(scratch.path());
        }
        if wants("private") {
            private(scratch.path());
        }
    }
}

/// Raw TCP and bare libp2p, measured by the network crate's own bench.
fn baselines() {
    let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let bench = ["bench", "--quiet", "--profile", "dev", "-p", "dsn-net", "--bench", "raw"];
    let status = Command::new(cargo).args(bench).status().expect("cargo runs");
    assert!(status.success(), "the baselines failed");
}

fn sizes_mib() -> Vec<usize> {
    let text = env::var("DSN_BENCH_MIB").unwrap_or_else(|_| "1,64,1024".into());
    text.split(',').map(|size| size.parse().expect("DSN_BENCH_MIB is numbers of MiB")).collect()
}

fn made_up(dir: &Path, bytes: usize) -> PathBuf {
    let path = dir.join(format!("file-{bytes}"));
    if !path.exists() {
        let mut content = vec![0; bytes];
        blake3::Hasher::new().update(&bytes.to_le_bytes()).finalize_xof().fill(&mut content);
        fs::write(&path, content).expect("room for the file");
    }
    path
}

fn megabytes_per_sec(bytes: usize, took: Duration) -> f64 {
    bytes as f64 / MB / took.as_secs_f64()
}

fn cp_baseline(dir: &Path) {
    let bytes = sizes_mib().into_iter().max().unwrap_or(1) << 20;
    let (from, to) = (made_up(dir, bytes), dir.join("cp"));
    let started = Instant::now();
    fs::copy(&from, &to).and_then(|_| fs::File::open(&to)?.sync_all()).expect("room for a copy");
    println!("cp + fsync: {:.0} MB/s", megabytes_per_sec(bytes, started.elapsed()));
    fs::remove_file(to).expect("it is there");
}

/// Small puts in a row, and the first byte of a get.
fn small(dir: &Path) {
    let net = Devnet::start(dir, FARMERS);
    println!("a farmer at rest: {} MiB", net.resident_mib());
    let mut times = Vec::new();
    for nth in 0..SMALL_PUTS {
        let file = dir.join("small");
        fs::write(&file, [&nth.to_le_bytes()[..], &[7; 16 * 1024 - 4]].concat()).expect("room");
        let started = Instant::now();
        run(net.dsn().arg("put").arg(&file));
        times.push(started.elapsed());
    }
    times.sort();
    println!("put of 16 KiB: median {:.0?}, longest {:.0?}", times[times.len() / 2], times[times.len() - 1]);
    let file = made_up(dir, 64 << 20);
    let cid = put(&net, &file, "normal").0["cid"].as_str().expect("a CID").to_owned();
    let mut firsts: Vec<Duration> = (0..5).map(|_| first_byte(&net, &cid)).collect();
    firsts.sort();
    println!("first byte of 64 MiB: median {:.0?} after the start of the process", firsts[2]);
}

fn first_byte(net: &Devnet, cid: &str) -> Duration {
    let started = Instant::now();
    let mut cat = net.dsn().args(["cat", cid]).stdout(Stdio::piped()).spawn().expect("dsn starts");
    let mut out = cat.stdout.take().expect("piped");
    out.read_exact(&mut [0; 1]).expect("a byte");
    let took = started.elapsed();
    io::copy(&mut out, &mut io::sink()).expect("the rest");
    cat.wait().expect("dsn ends");
    took
}

fn put(net: &Devnet, file: &Path, redundancy: &str) -> (Value, Usage) {
    let usage = run(net.dsn().args(["put", "--json", "--redundancy", redundancy]).arg(file));
    (serde_json::from_slice(&usage.stdout).expect("JSON"), usage)
}

/// One row: bytes, wall time, processor time of all processes, memory, bytes on the wire.
fn row(what: &str, bytes: usize, report: &Value, usage: &Usage, farmers_cpu: Duration, net: &Devnet) {
    let took = Duration::from_secs_f64(report["seconds"].as_f64().expect("seconds"));
    let cpu = (usage.cpu + farmers_cpu).as_secs_f64() / (bytes as f64 / GIB);
    let wire = report["wire_bytes"].as_f64().expect("bytes") / bytes as f64;
    println!(
        "| {what} | {} MiB | {:.0} | {cpu:.1} | {} | {} | {wire:.2} |",
        bytes >> 20,
        megabytes_per_sec(bytes, took),
        usage.peak_mib,
        net.peak_mib(),
    );
}

fn large(dir: &Path, redundancy: &str) {
    println!("\n| | size | MB/s | CPU s/GiB, all processes | client MiB | largest farmer MiB | wire/file |");
    println!("|---|---|---|---|---|---|---|");
    let mut net = Devnet::start(dir, FARMERS);
    let mut files = Vec::new();
    for mib in sizes_mib() {
        let (file, bytes) = (made_up(dir, mib << 20), mib << 20);
        let before = net.cpu();
        let (report, usage) = put(&net, &file, redundancy);
        row(&format!("put {redundancy}"), bytes, &report, &usage, net.cpu() - before, &net);
        files.push((bytes, report["cid"].as_str().expect("a CID").to_owned()));
    }
    gets(&net, dir, "get", &files);
    net.kill(KILLED);
    gets(&net, dir, &format!("get, {KILLED} of {FARMERS} killed"), &files);
}

fn gets(net: &Devnet, dir: &Path, what: &str, files: &[(usize, String)]) {
    for (bytes, cid) in files {
        let out = dir.join("out");
        let before = net.cpu();
        let usage = run(net.dsn().args(["get", "--json", "--force", cid, "-o"]).arg(&out));
        let report = serde_json::from_slice(&usage.stdout).expect("JSON");
        row(what, *bytes, &report, &usage, net.cpu() - before, net);
        assert_eq!(fs::metadata(&out).expect("it is there").len(), *bytes as u64);
        fs::remove_file(out).expect("it is there");
    }
}

fn median<T: Ord + Copy>(mut of: Vec<T>) -> T {
    of.sort();
    of[of.len() / 2]
}

/// A folder of small files, put and got as a process each; other bytes every time.
fn folder(dir: &Path) {
    let net = Devnet::start(dir, FARMERS);
    let (mut puts, mut gets) = (Vec::new(), Vec::new());
    for round in 0..RUNS {
        let (top, copy) = (dir.join(format!("folder-{round}")), dir.join(format!("copy-{round}")));
        fs::create_dir(&top).expect("room");
        for nth in 0..FOLDER_FILES {
            let mut bytes = vec![0; FOLDER_FILE_BYTES];
            blake3::Hasher::new().update(format!("{round} {nth}").as_bytes()).finalize_xof().fill(&mut bytes);
            fs::write(top.join(format!("{nth:04}")), bytes).expect("room");
        }
        let started = Instant::now();
        let report = put(&net, &top, "normal").0;
        puts.push(started.elapsed());
        let started = Instant::now();
        run(net.dsn().args(["get", "--json", report["cid"].as_str().expect("a CID"), "-o"]).arg(&copy));
        gets.push(started.elapsed());
        assert_eq!(fs::read_dir(&copy).expect("it is there").count(), FOLDER_FILES);
        [top, copy].iter().for_each(|folder| fs::remove_dir_all(folder).expect("it is there"));
    }
    let (put, get) = (median(puts), median(gets));
    println!("folder of {FOLDER_FILES} files of 16 KiB, medians of {RUNS}: put {put:.2?}, get {get:.2?}");
}

/// The processor time of the same bytes put private and public, one after the other; other bytes every time.
fn private(dir: &Path) {
    let net = Devnet::start(dir, FARMERS);
    let mib = sizes_mib().into_iter().filter(|mib| *mib <= 256).max().unwrap_or(64);
    let mut ratios = Vec::new();
    for round in 0..RUNS {
        let file = made_up(dir, (mib << 20) + round);
        let cpu = |args: &[&str]| {
            let before = net.cpu();
            let usage = run(net.dsn().args(["put", "--json"]).args(args).arg(&file));
            (usage.cpu + net.cpu() - before).as_secs_f64()
        };
        // Who comes second must not always be the same.
        let (public, private) = if round % 2 == 0 {
            let public = cpu(&[]);
            (public, cpu(&["--private"]))
        } else {
            let private = cpu(&["--private"]);
            (cpu(&[]), private)
        };
        println!("put of {mib} MiB: public {public:.2} CPU s, private {private:.2}");
        ratios.push(private / public);
        fs::remove_file(file).expect("it is there");
    }
    ratios.sort_by(f64::total_cmp);
    println!("private to public, median of {RUNS}: {:.2} of the processor time", ratios[RUNS / 2]);
}
