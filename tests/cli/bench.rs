//! `dsn bench` as a user and a script see it: every figure is there, the plot is a drawing, and nothing stays behind.

use std::{fs, path::Path};

use serde_json::Value;

use crate::{
    network::{TestNetwork, dsn, output, shown},
    refused, until,
};

fn json(done: &std::process::Output) -> Value {
    assert!(done.status.success(), "{}", shown(done));
    serde_json::from_slice(&done.stdout).unwrap_or_else(|_| panic!("{}", shown(done)))
}

/// Each tag of an XML text is closed in its turn, and there is one outermost element.
fn is_well_formed(text: &str) -> bool {
    let mut open = Vec::new();
    for tag in text.split('<').skip(1) {
        let Some((tag, _)) = tag.split_once('>') else { return false };
        match tag.strip_prefix('/') {
            Some(name) if open.pop() != Some(name) => return false,
            Some(_) => {}
            None if tag.ends_with('/') || tag.starts_with(['?', '!']) => {}
            None => open.push(tag.split_whitespace().next().unwrap_or_default()),
        }
    }
    open.is_empty() && text.trim_end().ends_with("</svg>")
}

/// Whether a process runs that was started with this folder.
fn anybody_in(folder: &Path) -> bool {
    let name = folder.to_str().expect("UTF-8");
    let processes = fs::read_dir("/proc").expect("Linux").flatten();
    processes
        .filter_map(|p| fs::read(p.path().join("cmdline")).ok())
        .any(|c| String::from_utf8_lossy(&c).contains(name))
}

#[test]
fn a_bench_on_this_machine_tells_all_figures_draws_them_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let (temporary, plot) = (folder.path().join("tmp"), folder.path().join("rate.svg"));
    fs::create_dir(&temporary).unwrap();
    let mut bench = dsn(&folder.path().join("data"));
    bench.env("TMPDIR", &temporary).args(["bench", "--json", "--local", "3", "--size", "20MiB", "--plot"]).arg(&plot);
    let told = json(&output(&mut bench));
    for (of, keys) in [
        ("", &["version", "machine", "parameters", "phases"][..]),
        ("/machine", &["cpu", "cores", "memory_bytes", "system"]),
        ("/parameters", &["bytes", "redundancy", "local_farmers", "farmers", "stored_bytes", "chunks"]),
    ] {
        let there = told.pointer(of).unwrap();
        keys.iter().for_each(|key| assert!(!there[*key].is_null(), "{key}: {told}"));
    }
    let parameters = &told["parameters"];
    assert_eq!((&parameters["bytes"], &parameters["farmers"]), (&(20 << 20).into(), &3.into()), "{told}");
    let phases = told["phases"].as_array().unwrap();
    let names: Vec<_> = phases.iter().map(|phase| phase["phase"].as_str().unwrap()).collect();
    assert_eq!(names, ["encode", "decode", "put", "get"]);
    for phase in phases {
        let network = ["put", "get"].contains(&phase["phase"].as_str().unwrap());
        for key in ["bytes", "seconds", "mb_per_s", "cpu_seconds", "peak_memory_bytes"] {
            assert!(phase[key].as_f64().is_some_and(|figure| figure > 0.0), "{key}: {phase}");
        }
        for key in ["farmers_cpu_seconds", "wire_bytes"] {
            assert_eq!(phase[key].as_f64().is_some_and(|figure| figure > 0.0), network, "{key}: {phase}");
        }
    }
    assert!(phases[2]["wire_bytes"].as_u64() >= parameters["stored_bytes"].as_u64(), "a made-up file is new: {told}");
    let svg = fs::read_to_string(&plot).unwrap();
    assert!(is_well_formed(&svg) && svg.contains("put: ") && svg.contains("get: "), "{svg}");
    assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0, "the temporary folder is gone");
    assert!(!anybody_in(&temporary), "the farmers are gone");
}

#[test]
fn a_bench_is_compared_with_an_earlier_one_of_the_same_machine_and_file_only() {
    let folder = tempfile::tempdir().unwrap();
    let bench = |size: &str, more: &[&str]| {
        output(dsn(&folder.path().join("data")).args(["bench", "--local", "3", "--size", size]).args(more))
    };
    let first = bench("1MiB", &["--json"]);
    let mut told = json(&first);
    assert!(told.get("compared").is_none(), "{told}");
    let old = folder.path().join("old.json");
    let old = old.to_str().unwrap();
    told["phases"][2]["seconds"] = 0.001.into();
    told["version"] = "0.0.9".into();
    fs::write(old, told.to_string()).unwrap();
    let compared = json(&bench("1MiB", &["--json", "--compare", old]));
    let figures = compared["compared"]["figures"].as_array().unwrap();
    assert_eq!(figures.len(), 4 * 4 + 2 * 2, "{compared}");
    let put = figures.iter().find(|figure| figure["phase"] == "put" && figure["figure"] == "seconds").unwrap();
    let new = compared["phases"][2]["seconds"].as_f64().unwrap();
    assert_eq!((put["old"].as_f64(), put["new"].as_f64()), (Some(0.001), Some(new)));
    assert!((put["ratio"].as_f64().unwrap() - new / 0.001).abs() < 0.001, "{put}");
    let table = bench("1MiB", &["--compare", old]);
    let text = String::from_utf8_lossy(&table.stdout);
    assert!(text.contains("dsn 0.0.9") && text.contains("put      seconds"), "{}", shown(&table));
    let says = "error: the old bench cannot be compared: bytes was 1048576 and is 2097152";
    refused(&bench("2MiB", &["--compare", old]), 2, says);
    told["machine"]["cores"] = 1000.into();
    fs::write(old, told.to_string()).unwrap();
    refused(&bench("1MiB", &["--json", "--compare", old]), 2, "cannot be compared: cores was 1000 and is ");
    fs::write(old, "{}").unwrap();
    refused(&bench("1MiB", &["--compare", old]), 2, "old.json is not what a bench has told");
    refused(&bench("1MiB", &["--compare", "/nonexistent"]), 8, "error: cannot read /nonexistent");
}

#[test]
fn a_bench_of_a_network_gives_up_what_it_has_put() {
    let network = TestNetwork::with(3, "1GiB", &[("DSN_ABSENT_GRACE", "24s"), ("DSN_TRASH", "1s")]);
    let told = json(&output(network.dsn().args(["bench", "--json", "--size", "1MiB"])));
    assert!(told["parameters"]["local_farmers"].is_null() && told["phases"][2]["farmers_cpu_seconds"].is_null());
    until("what was put is gone", || network.used_bytes() == 0);
}

#[test]
fn what_no_bench_can_do_is_said_before_anything_is_measured() {
    let folder = tempfile::tempdir().unwrap();
    let bench = |args: &[&str]| output(dsn(folder.path()).arg("bench").args(args));
    refused(&bench(&["--size", "many"]), 2, "is not a size such as");
    refused(&bench(&["--plot", "rate.png"]), 2, "rate.png is not called .svg");
    refused(&bench(&["--plot", "/nonexistent/rate.svg"]), 8, "cannot write /nonexistent/rate.svg");
    refused(&bench(&["--local", "2"]), 2, "2 is not in 3..=48");
    refused(&bench(&["--redundancy", "some"]), 2, "error: put.redundancy: ");
    assert!(is_well_formed("<svg a=\"b\"><g><p/></g></svg>\n") && !is_well_formed("<svg><g></svg></g>"));
}
