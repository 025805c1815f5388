//! Folders on real farmers, as a user sees them: there and back, odd names, what cannot be kept, what is interrupted, and
//! folders that somebody made wrong on purpose.

use std::{
    ffi::OsStr,
    fs,
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, PermissionsExt, symlink},
        net::UnixListener,
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::Command,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    forged::Forger,
    network::{TestNetwork, output, shown},
    refused, until,
};

/// The same names, bytes, links and executable bits.
pub(crate) fn same(a: &Path, b: &Path) -> bool {
    let executable = |path: &Path| fs::symlink_metadata(path).expect("readable").permissions().mode() & 0o100;
    let names = |path: &Path| {
        let mut names: Vec<_> =
            fs::read_dir(path).expect("readable").map(|entry| entry.expect("readable").file_name()).collect();
        names.sort();
        names
    };
    match (
        fs::symlink_metadata(a).expect("readable").file_type(),
        fs::symlink_metadata(b).expect("readable").file_type(),
    ) {
        (x, y) if x.is_symlink() && y.is_symlink() => {
            fs::read_link(a).expect("readable") == fs::read_link(b).expect("readable")
        }
        (x, y) if x.is_file() && y.is_file() => {
            fs::read(a).expect("readable") == fs::read(b).expect("readable") && executable(a) == executable(b)
        }
        (x, y) if x.is_dir() && y.is_dir() => {
            names(a) == names(b) && names(a).iter().all(|name| same(&a.join(name), &b.join(name)))
        }
        _ => false,
    }
}

/// Bytes that follow from their number.
fn made(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(&len.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

fn tree(network: &TestNetwork, name: &str) -> PathBuf {
    let top = network.path(name);
    fs::create_dir_all(top.join("a/b")).expect("writable");
    fs::create_dir(top.join("empty")).expect("writable");
    fs::write(top.join("zero"), "").expect("writable");
    fs::write(top.join("a/x"), "hello\n").expect("writable");
    fs::write(top.join(OsStr::from_bytes(b"odd\nname \xff\x1b[2J")), "odd").expect("writable");
    fs::write(top.join("a/run"), "#!/bin/sh\n").expect("writable");
    fs::set_permissions(top.join("a/run"), fs::Permissions::from_mode(0o750)).expect("writable");
    symlink("loop", top.join("a/loop")).expect("writable");
    symlink("/etc", top.join("outside")).expect("writable");
    fs::write(top.join("a/b/large"), made(300_000)).expect("writable");
    (0..50).for_each(|nth| fs::write(top.join(format!("a/b/{nth}")), made(1000 + nth)).expect("writable"));
    top
}

fn cid_of(done: &std::process::Output) -> String {
    assert!(done.status.success(), "{}", shown(done));
    String::from_utf8(done.stdout.clone()).expect("UTF-8").trim().to_owned()
}

#[test]
fn a_folder_comes_back_whole_in_part_and_file_by_file() {
    let network = TestNetwork::start(5);
    let top = tree(&network, "tree");
    let put = output(network.dsn().arg("put").arg(&top));
    let cid = cid_of(&put);
    let said = String::from_utf8_lossy(&put.stderr);
    assert!(said.starts_with("60 entries, ") && said.contains("any 2 may vanish"), "{said}");
    let copy = network.path("copy");
    let got = output(network.dsn().args(["get", &cid, "-o"]).arg(&copy));
    assert!(got.status.success() && same(&top, &copy), "{}", shown(&got));
    assert!(fs::symlink_metadata(network.path("copy.dsn-part")).is_err(), "nothing is left behind");
    let get = |what: &str, name: &str| {
        let to = network.path(name);
        let done = output(network.dsn().arg("get").arg(format!("{cid}/{what}")).arg("-o").arg(&to));
        assert!(done.status.success(), "{}", shown(&done));
        to
    };
    assert!(same(&get("a/b", "part"), &top.join("a/b")));
    assert!(same(&get("a/b/large", "large"), &top.join("a/b/large")));
    assert!(same(&get("a/b/7", "seven"), &top.join("a/b/7")));
    assert_eq!(output(network.dsn().arg("cat").arg(format!("{cid}/a/x"))).stdout, b"hello\n");
    refused(&output(network.dsn().arg("cat").arg(format!("{cid}/a"))), 2, "error: it is a folder");
    refused(&output(network.dsn().arg("get").arg(format!("{cid}/no"))), 3, "error: the folder has no no");
    refused(&output(network.dsn().arg("get").arg(format!("{cid}/outside"))), 2, "error: it is a link that says /etc");
    refused(&output(network.dsn().arg("get").arg(format!("{cid}/outside/passwd"))), 3, "hint: `dsn ls CID`");
    refused(&output(network.dsn().arg("get").arg(format!("{cid}/../x"))), 2, "caused by: a name in it is . or ..");
    refused(&output(network.dsn().args(["get", &cid, "-o"]).arg(&copy)), 2, "hint: choose another name");
    fs::write(copy.join("a/x"), "changed").unwrap();
    let forced = output(network.dsn().args(["get", &cid, "--force", "-o"]).arg(&copy));
    assert!(forced.status.success() && same(&top, &copy), "{}", shown(&forced));
}

#[test]
fn a_listing_tells_kinds_sizes_and_odd_names() {
    let network = TestNetwork::start(3);
    let cid = cid_of(&output(network.dsn().arg("put").arg(tree(&network, "tree"))));
    let list = |args: &[&str]| String::from_utf8(output(network.dsn().arg("ls").args(args)).stdout).unwrap();
    assert_eq!(
        list(&[&cid]),
        "folder              -  a/\nfolder              -  empty/\n\
         file              3 B  odd\\nname \\xff\\u{1b}[2J\nlink                -  outside -> /etc\n\
         file              0 B  zero\n"
    );
    let within = list(&[&format!("{cid}/a")]);
    assert!(within.contains("executable       10 B  run\n") && within.contains("loop -> loop\n"), "{within}");
    assert_eq!(list(&["-r", &cid]).lines().count(), 60);
    let json: serde_json::Value = serde_json::from_str(&list(&["--json", &cid])).unwrap();
    let entries = json["entries"].as_array().unwrap();
    assert_eq!((entries.len(), &json["cid"], &entries[0]["kind"]), (5, &cid.as_str().into(), &"folder".into()));
    assert_eq!(entries[2]["path_hex"], "6f64640a6e616d6520ff1b5b324a");
}

#[test]
fn the_same_tree_is_the_same_cid_whatever_its_times_owners_and_place() {
    let network = TestNetwork::start(3);
    let top = tree(&network, "tree");
    let other = network.path("other");
    let copied = Command::new("cp").arg("-r").arg("--preserve=mode").arg(&top).arg(&other).status().unwrap();
    assert!(copied.success());
    assert_ne!(fs::metadata(top.join("a/x")).unwrap().ino(), fs::metadata(other.join("a/x")).unwrap().ino());
    let cid = cid_of(&output(network.dsn().arg("put").arg(&top)));
    let again = output(network.dsn().arg("put").arg(&other));
    assert_eq!(cid_of(&again), cid);
    assert!(String::from_utf8_lossy(&again.stderr).contains("were there already"), "{}", shown(&again));
    fs::set_permissions(other.join("a/x"), fs::Permissions::from_mode(0o744)).unwrap();
    assert_ne!(cid_of(&output(network.dsn().arg("put").arg(&other))), cid, "it is executable now");
}

#[test]
fn what_no_folder_can_keep_is_named_and_skipped_only_when_asked() {
    let network = TestNetwork::start(3);
    let top = tree(&network, "tree");
    let cid = cid_of(&output(network.dsn().arg("put").arg(&top)));
    let socket = top.join("a/socket");
    let _listener = UnixListener::bind(&socket).unwrap();
    let done = output(network.dsn().arg("put").arg(&top));
    refused(&done, 8, &format!("links: {}", socket.display()));
    assert!(done.stdout.is_empty(), "no CID");
    let skipped = output(network.dsn().args(["put", "--skip-special"]).arg(&top));
    assert_eq!(cid_of(&skipped), cid);
    let said = String::from_utf8_lossy(&skipped.stderr);
    assert!(said.contains(&format!("left out: {}", socket.display())), "{said}");
}

/// Runs a command as somebody whom permissions stop, whoever runs the tests.
fn as_nobody(command: &Command, home: &Path) -> std::process::Output {
    let binary = home.join("dsn");
    fs::copy(command.get_program(), &binary).expect("writable");
    let mut other = Command::new(binary);
    other.args(command.get_args()).env("DSN_DIR", home.join("dir"));
    for (name, value) in command.get_envs().filter(|(name, _)| *name != "DSN_DIR") {
        match value {
            Some(value) => other.env(name, value),
            None => other.env_remove(name),
        };
    }
    if rustix::process::geteuid().is_root() {
        assert!(Command::new("chown").args(["-R", "65534:65534"]).arg(home).status().expect("it runs").success());
        other.uid(65534).gid(65534);
    }
    output(&mut other)
}

#[test]
fn an_unreadable_file_is_named_and_there_is_no_cid() {
    let network = TestNetwork::start(3);
    let home = tempfile::tempdir().unwrap();
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let top = tree(&network, "tree");
    let top_of_nobody = home.path().join("tree");
    assert!(Command::new("cp").arg("-r").args([&top, &top_of_nobody]).status().unwrap().success());
    for name in ["a/x", "a/b/large", "a/b"] {
        let path = top_of_nobody.join(name);
        let mode = fs::metadata(&path).unwrap().permissions();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
        let done = as_nobody(network.dsn().arg("put").arg(&top_of_nobody), home.path());
        refused(&done, 8, &path.display().to_string());
        assert!(done.stdout.is_empty(), "no CID");
        fs::set_permissions(&path, mode).unwrap();
    }
    let done = as_nobody(network.dsn().arg("put").arg(&top_of_nobody), home.path());
    assert!(done.status.success(), "{}", shown(&done));
}

/// Runs a command that must succeed; gives the most memory it was seen to have, in MiB.
fn peak_mib(command: &mut Command) -> u64 {
    let mut child = command.stdout(std::process::Stdio::null()).spawn().expect("dsn starts");
    let (status, mut peak) = (format!("/proc/{}/status", child.id()), 0);
    loop {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        peak = peak.max(kib.unwrap_or(0) / 1024);
        if let Some(ended) = child.try_wait().expect("a child") {
            assert!(ended.success());
            return peak;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

#[test]
fn a_hundred_thousand_entries_go_there_and_back_in_little_memory() {
    let network = TestNetwork::start(3);
    let top = network.path("tree");
    for folder in 0..50 {
        let within = top.join(format!("{folder:02}"));
        fs::create_dir_all(&within).unwrap();
        (0..2000).for_each(|nth| fs::write(within.join(format!("{nth:04}")), format!("{folder} {nth}")).unwrap());
    }
    let cid = cid_of(&output(network.dsn().arg("put").arg(&top)));
    let put = peak_mib(network.dsn().arg("put").arg(&top));
    let copy = network.path("copy");
    let get = peak_mib(network.dsn().args(["get", &cid, "-o"]).arg(&copy));
    assert!(same(&top, &copy));
    assert!(put < 256 && get < 256, "{put} and {get} MiB");
}

/// Empty files with long names: then the names of one folder are the most that a put has to hold.
#[test]
fn a_folder_of_any_number_of_names_takes_the_same_memory_and_leaves_no_file_of_them() {
    let network = TestNetwork::start(3);
    let (few, many, temporary) = (network.path("few"), network.path("many"), network.path("tmp"));
    for (top, names) in [(&few, 80_000), (&many, 400_000)] {
        fs::create_dir(top).unwrap();
        (0..names).for_each(|nth| drop(fs::File::create(top.join(format!("{nth:0240}"))).unwrap()));
    }
    let put = |top: &Path| {
        let mut command = network.dsn();
        command.env("TMPDIR", &temporary).arg("put").arg(top);
        command
    };
    refused(&output(&mut put(&few)), 8, "hint: name a folder on a disk with room with TMPDIR");
    fs::create_dir(&temporary).unwrap();
    let (few, many) = (peak_mib(&mut put(&few)), peak_mib(&mut put(&many)));
    assert!(many < few + 56, "{few} MiB, and {many} MiB with five times as many names");
    assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0);
}

#[test]
fn one_entry_is_not_called_entries() {
    let network = TestNetwork::start(2);
    let top = network.path("top");
    fs::create_dir(&top).unwrap();
    fs::write(top.join("only"), "one").unwrap();
    let put = output(network.dsn().arg("put").arg(&top));
    let cid = cid_of(&put);
    refused(&put, 0, "1 entry, 3 B in ");
    refused(&output(network.dsn().args(["get", &cid, "-o"]).arg(network.path("copy"))), 0, "1 entry, 3 B in ");
}

/// Each file alone would fit, so that nothing but the size of the whole says so before the disks are full.
#[test]
fn a_folder_for_which_there_is_no_room_is_refused_at_once_and_one_of_which_most_is_there_is_not() {
    const FILE_BYTES: usize = 12 << 20;
    let network = TestNetwork::lending(3, "100MiB");
    let (large, known) = (network.path("large"), network.path("known"));
    fs::create_dir(&large).unwrap();
    (0..10).for_each(|nth| fs::write(large.join(nth.to_string()), made(FILE_BYTES + nth)).unwrap());
    let put = |top: &Path, more: &[&str]| output(network.dsn().arg("put").arg(top).args(more));
    refused(&put(&large, &[]), 4, "error: the file needs 377.5 MB, the network offers 314.6 MB\nhint: lend more");
    assert_eq!(network.used_bytes(), 0, "nothing was sent");
    fs::create_dir(&known).unwrap();
    (1..7).for_each(|nth| fs::write(known.join(nth.to_string()), made(FILE_BYTES + nth)).unwrap());
    cid_of(&put(&known, &[]));
    fs::write(known.join("0"), made(FILE_BYTES)).unwrap();
    refused(&put(&known, &["--private"]), 4, "error: the file needs ");
    cid_of(&put(&known, &[]));
}

#[test]
fn a_get_that_was_stopped_goes_on_and_leaves_nothing_that_looks_complete() {
    let network = TestNetwork::start(3);
    let top = network.path("tree");
    fs::create_dir(&top).unwrap();
    (0..12).for_each(|nth| fs::write(top.join(format!("{nth:02}")), made(20_000_000 + nth)).unwrap());
    let cid = cid_of(&output(network.dsn().arg("put").arg(&top)));
    let copy = network.path("copy");
    let part = network.path("copy.dsn-part");
    let mut child = network.dsn().args(["get", &cid, "-o"]).arg(&copy).spawn().unwrap();
    let arrived = || {
        let found = Command::new("du").arg("-sb").arg(&part).output().unwrap();
        let text = String::from_utf8_lossy(&found.stdout).into_owned();
        text.split_whitespace().next().and_then(|bytes| bytes.parse::<u64>().ok()).unwrap_or(0)
    };
    until("some files are here", || arrived() > 45_000_000);
    kill_process(Pid::from_child(&child), Signal::KILL).unwrap();
    child.wait().unwrap();
    assert!(!copy.exists() && part.exists());
    let done = output(network.dsn().args(["--json", "get", &cid, "-o"]).arg(&copy));
    let json: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap_or_else(|_| panic!("{}", shown(&done)));
    assert!(json["resumed_bytes"].as_u64().unwrap() >= 16 << 20, "{json}");
    assert!(same(&top, &copy) && !part.exists());
}

/// A field of a protobuf message with bytes in it.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let len = bytes.len();
    let varint = if len < 128 {
        vec![u8::try_from(len).expect("a short one")]
    } else {
        vec![u8::try_from(len % 128).expect("a short one") | 128, u8::try_from(len / 128).expect("a short one")]
    };
    [&[number << 3 | 2][..], &varint, bytes].concat()
}

/// An entry of a leaf as anybody may write it.
fn entry(path: &str, kind: u8, target: &str) -> Vec<u8> {
    let target = if target.is_empty() { Vec::new() } else { field(8, target.as_bytes()) };
    field(2, &[field(2, path.as_bytes()), vec![0x18, kind], target].concat())
}

fn folder(entries: &[Vec<u8>]) -> Vec<u8> {
    let count = u8::try_from(entries.len()).expect("a short one");
    [vec![0x08, 1], field(4, &[vec![0x10, count], field(4, &entries.concat())].concat())].concat()
}

#[test]
fn a_folder_that_leads_elsewhere_is_malformed_and_writes_nothing() {
    const FOLDER: u8 = 1;
    const FILE: u8 = 2;
    const LINK: u8 = 4;
    let network = TestNetwork::start(2);
    let forger = Forger::join(&network);
    let copy = network.path("copy");
    let get = |manifest: &[u8]| {
        let cid = forger.root(manifest).to_string();
        output(network.dsn().args(["get", &cid, "-o"]).arg(&copy))
    };
    let good = get(&folder(&[entry("a", FOLDER, ""), entry("b", LINK, "/etc")]));
    assert!(good.status.success() && copy.join("a").is_dir(), "the forger writes folders: {}", shown(&good));
    fs::remove_dir_all(&copy).unwrap();
    let bad: [(&str, Vec<Vec<u8>>); 9] = [
        ("up", vec![entry("../x", FILE, "")]),
        ("from the root", vec![entry("/etc/x", FILE, "")]),
        ("down and up", vec![entry("a/../../b", FILE, "")]),
        ("here", vec![entry(".", FOLDER, "")]),
        ("no name", vec![entry("a//b", FILE, "")]),
        ("twice", vec![entry("a", FILE, ""), entry("a", FILE, "")]),
        ("through a link", vec![entry("a", LINK, "/tmp"), entry("a/escaped", FILE, "")]),
        ("through a file", vec![entry("a", FILE, ""), entry("a/b", FILE, "")]),
        ("in no folder", vec![entry("a/b", FILE, "")]),
    ];
    for (name, entries) in bad {
        let done = get(&folder(&entries));
        assert_eq!(done.status.code(), Some(5), "{name}: {}", shown(&done));
        refused(&done, 5, "hint: whoever put this f");
        assert!(!copy.exists(), "{name}");
    }
    assert!(!Path::new("/tmp/escaped").exists());
}
