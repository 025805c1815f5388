//! The rules of the house that a compiler does not check: which crate may know which, where I/O and clocks may be, how long
//! files and functions may get, and that every file says what it is.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

const FILE_MAX_LINES: usize = 500;
const FUNCTION_MAX_LINES: usize = 70;

/// Crate edges: who may depend on whom, outside of tests.
const EDGES: [(&str, &[&str]); 8] = [
    ("dsn-proto", &[]),
    ("dsn-core", &["dsn-proto"]),
    ("dsn-store", &["dsn-core"]),
    ("dsn-net", &["dsn-core", "dsn-proto"]),
    ("dsn-client", &["dsn-core"]),
    ("dsn-farmer", &["dsn-core", "dsn-client"]),
    ("dsn-cli", &["dsn-core"]),
    ("dsn-sim", &["dsn-core", "dsn-client", "dsn-farmer", "dsn-store"]),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(under: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(under) else { return Vec::new() };
    let mut files = Vec::new();
    for entry in entries.map(|entry| entry.expect("a readable folder").path()) {
        let name = entry.file_name().expect("a name").to_string_lossy().into_owned();
        if entry.is_dir() && name != "target" && !name.starts_with('.') {
            files.extend(rust_files(&entry));
        } else if name.ends_with(".rs") && name != "dsn.v1.rs" {
            files.push(entry);
        }
    }
    files.sort();
    files
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).expect("a path of this project").display().to_string()
}

/// A file without its `#[cfg(test)] mod tests { … }` at the end.
fn code_of(text: &str) -> Vec<&str> {
    let lines: Vec<&str> = text.lines().collect();
    let tests = lines.windows(2).position(|w| w[0].starts_with("#[cfg(test)]") && w[1].starts_with("mod tests {"));
    lines[..tests.unwrap_or(lines.len())].to_vec()
}

fn is_test(path: &Path) -> bool {
    let shown = shown(path);
    shown.contains("tests/") || shown.ends_with("tests.rs") || shown.contains("benches/")
}

/// Functions longer than the limit: from the line of `fn` to the closing brace of the same indentation.
fn long_functions(lines: &[&str]) -> Vec<String> {
    let starts =
        ["fn ", "pub fn ", "pub(crate) fn ", "pub(super) fn ", "async fn ", "pub async fn ", "pub(crate) async fn "];
    let mut long = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let text = line.trim_start();
        if !starts.iter().any(|start| text.starts_with(start)) {
            continue;
        }
        let signature_ends = lines[index..].iter().find(|l| l.ends_with(['{', ';', '}']));
        if signature_ends.is_some_and(|l| l.ends_with(';')) {
            continue;
        }
        let indent = &line[..line.len() - text.len()];
        let end = lines[index..].iter().position(|l| *l == format!("{indent}}}")).unwrap_or(0);
        if end + 1 > FUNCTION_MAX_LINES {
            long.push(format!("{}: {} lines", text.split('(').next().unwrap_or(text), end + 1));
        }
    }
    long
}

#[test]
fn files_and_functions_are_short_and_say_what_they_are() {
    let mut wrong = Vec::new();
    for path in ["crates", "bins", "tests", "benches"].iter().flat_map(|dir| rust_files(&root().join(dir))) {
        let text = fs::read_to_string(&path).unwrap();
        let lines = code_of(&text);
        let shown = shown(&path);
        if lines.len() > FILE_MAX_LINES {
            wrong.push(format!("{shown}: {} lines, at most {FILE_MAX_LINES}", lines.len()));
        }
        if !text.starts_with("//!") {
            wrong.push(format!("{shown}: no //! header"));
        }
        if path.file_name().is_some_and(|name| name == "mod.rs") {
            wrong.push(format!("{shown}: mod.rs"));
        }
        wrong.extend(long_functions(&lines).into_iter().map(|long| format!("{shown}: {long}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The `dsn-*` dependencies of a manifest, and all others, those of tests left out.
fn dependencies(manifest: &Path) -> (Vec<String>, Vec<String>) {
    let text = fs::read_to_string(manifest).expect("a readable manifest");
    let section = text.split("\n[").find_map(|part| part.strip_prefix("dependencies]\n")).unwrap_or_default();
    let names = section.lines().filter_map(|line| line.split(['.', ' ', '=']).next()).filter(|name| !name.is_empty());
    names.map(str::to_owned).partition(|name| name.starts_with("dsn-"))
}

#[test]
fn crates_know_only_whom_they_may() {
    let edges: BTreeMap<_, _> = EDGES.into_iter().collect();
    for entry in fs::read_dir(root().join("crates")).unwrap().map(|entry| entry.unwrap().path()) {
        if !entry.is_dir() {
            continue;
        }
        let name = entry.file_name().unwrap().to_string_lossy().into_owned();
        let may = edges.get(name.as_str()).unwrap_or_else(|| panic!("{name} is in no rule"));
        let (ours, others) = dependencies(&entry.join("Cargo.toml"));
        for dependency in ours {
            assert!(may.contains(&dependency.as_str()), "{name} must not know {dependency}");
        }
        let only = |dependency: &str, homes: &[&str]| {
            let has = others.iter().any(|other| other.starts_with(dependency));
            assert!(!has || homes.contains(&name.as_str()), "{name} must not know {dependency}");
        };
        only("libp2p", &["dsn-net"]);
        only("rocksdb", &["dsn-store"]);
        only("prost", &["dsn-proto", "dsn-core", "dsn-net"]);
        only("reed-solomon", &["dsn-core"]);
        only("clap", &[]);
        only("indicatif", &["dsn-cli"]);
        if name == "dsn-core" {
            ["tokio", "rand", "socket2"].iter().for_each(|dependency| only(dependency, &[]));
        }
    }
}

/// Lines of non-test code that name something.
fn naming(under: &str, words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for path in rust_files(&root().join(under)).into_iter().filter(|path| !is_test(path)) {
        let text = fs::read_to_string(&path).expect("a readable file");
        for (number, line) in code_of(&text).iter().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            if words.iter().any(|word| code.contains(word)) {
                found.push(format!("{}:{}: {}", shown(&path), number + 1, line.trim()));
            }
        }
    }
    found
}

fn nowhere(under: &str, words: &[&str]) {
    let found = naming(under, words);
    assert!(found.is_empty(), "{under} must not use {words:?}:\n{}", found.join("\n"));
}

#[test]
fn the_core_has_no_io_clock_runtime_or_randomness() {
    nowhere(
        "crates/dsn-core/src",
        &[
            "std::fs",
            "std::io",
            "TcpStream",
            "UdpSocket",
            "SystemTime",
            "Instant::now",
            "tokio::",
            "std::env",
            "std::thread",
            "rand::",
        ],
    );
}

#[test]
fn only_the_edge_prints_and_reads_the_environment() {
    for crate_name in ["dsn-core", "dsn-client", "dsn-farmer", "dsn-net", "dsn-store", "dsn-sim"] {
        let sources = format!("crates/{crate_name}/src");
        nowhere(&sources, &["println!", "eprintln!", "print!(", "std::env::", "process::exit"]);
    }
}

#[test]
fn policy_names_no_adapter() {
    for crate_name in ["dsn-client", "dsn-farmer"] {
        nowhere(
            &format!("crates/{crate_name}/src"),
            &["libp2p", "rocksdb", "dsn_net", "dsn_store", "dsn_sim", "prost", "SystemTime::now"],
        );
    }
}

#[test]
fn the_erasure_library_has_one_door() {
    let found = naming("crates", &["reed_solomon_erasure"]);
    assert!(found.iter().all(|line| line.starts_with("crates/dsn-core/src/erasure.rs")), "{found:?}");
}

#[test]
fn lints_are_expected_with_a_reason_and_never_allowed() {
    for under in ["crates", "bins"] {
        nowhere(under, &["#[allow(", "#![allow(", "todo!(", "unimplemented!("]);
        let bare: Vec<_> = naming(under, &["#[expect("]).into_iter().filter(|l| !l.contains("reason")).collect();
        assert!(bare.is_empty(), "{bare:?}");
    }
}

#[test]
fn the_ci_runs_the_readmes_test_command() {
    let ci = fs::read_to_string(root().join(".ci/run")).unwrap();
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    assert!(readme.contains("\n./x test ") && ci.contains("\nstep ./x test\n"));
    assert!(readme.contains("\n./x demo ") && ci.contains("\nstep ./x demo\n"));
}

/// What builds something here: settings of Cargo and of the compilers, scripts, manifests.
fn build_files() -> Vec<PathBuf> {
    let within = |folder: &str| {
        let entries = fs::read_dir(root().join(folder)).expect("a readable folder");
        entries.map(|entry| entry.expect("a readable folder").path())
    };
    let mut files: Vec<PathBuf> = [".cargo/config.toml", ".ci/run", "x", "Cargo.toml", "rust-toolchain.toml"]
        .iter()
        .map(|name| root().join(name))
        .chain(within("packaging"))
        .collect();
    for entry in within("crates") {
        files.extend([entry.join("Cargo.toml"), entry.join("build.rs")]);
    }
    files.retain(|file| file.is_file());
    files
}

#[test]
fn nothing_is_built_for_the_building_machine_alone() {
    const RAISED: &str = "CXXFLAGS_x86_64_unknown_linux_gnu = \"-msse4.2 -mpclmul\"";
    for file in build_files() {
        let text = fs::read_to_string(&file).unwrap().replace(RAISED, "");
        for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
            for word in ["target-cpu", "target-feature", "-march", "-mtune", "-mcpu", "-msse", "-mavx", "RUSTFLAGS="] {
                let is_doc = word == "RUSTFLAGS=" && line.contains("RUSTDOCFLAGS=");
                assert!(!line.contains(word) || is_doc, "{}: {word}: {line}", shown(&file));
            }
        }
    }
    assert!(build_files().iter().any(|file| file.ends_with("crates/dsn-store/Cargo.toml")), "all crates are looked at");
}
