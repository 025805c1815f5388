//! Folders kept in step on real farmers, as a user sees them: pushed and followed, a git repository, two writers, changes on
//! both sides, and a follower that is killed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::{
    DEADLINE,
    folders::same,
    lines_of,
    network::{TestNetwork, output, shown},
    refused, soon, until,
};

fn line_of(done: &Output) -> String {
    assert!(done.status.success(), "{}", shown(done));
    String::from_utf8(done.stdout.clone()).expect("UTF-8").trim().to_owned()
}

fn json_of(done: &Output) -> Value {
    serde_json::from_str(&line_of(done)).expect("JSON")
}

/// Bytes that follow from their number.
fn made(number: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(&number.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// A folder with small files and large ones, of which little will change.
fn site(network: &TestNetwork) -> PathBuf {
    let top = network.path("site");
    fs::create_dir_all(top.join("pages/empty")).expect("a folder");
    fs::write(top.join("index"), "one\n").expect("writable");
    fs::write(top.join("video"), made(1, 3_000_000)).expect("writable");
    for number in 0..40 {
        fs::write(top.join(format!("pages/{number}")), made(number, 60_000)).expect("writable");
    }
    std::os::unix::fs::symlink("pages/3", top.join("latest")).expect("writable");
    top
}

fn new_name(network: &TestNetwork) -> String {
    line_of(&output(network.dsn().args(["name", "new", "site"])))
}

fn push(network: &TestNetwork, folder: &Path) -> Output {
    output(network.dsn().args(["sync", "push", "--json"]).arg(folder).arg("site"))
}

/// `dsn` of somebody else.
fn stranger(network: &TestNetwork) -> Command {
    let mut command = network.dsn();
    command.env("DSN_DIR", network.path("stranger"));
    command
}

fn follow_once(network: &TestNetwork, name: &str, copy: &Path, more: &[&str]) -> Output {
    output(stranger(network).args(["sync", "follow", name, "--once", "--json"]).arg(copy).args(more))
}

fn number(value: &Value, key: &str) -> u64 {
    value[key].as_u64().unwrap_or_else(|| panic!("{key}: {value}"))
}

/// What lies beside a folder and begins with its name.
fn beside(folder: &Path) -> Vec<String> {
    let own = folder.file_name().expect("a name").to_str().expect("UTF-8");
    let names = fs::read_dir(folder.parent().expect("a folder")).expect("readable");
    let names = names.map(|entry| entry.expect("readable").file_name().into_string().expect("UTF-8"));
    names.filter(|name| name.starts_with(own) && name != own).collect()
}

#[test]
fn what_is_pushed_is_followed_and_only_what_changed_travels() {
    let network = TestNetwork::start(5);
    let (top, copy) = (site(&network), network.path("copy"));
    refused(&push(&network, &top), 3, "has no name site");
    let name = new_name(&network);
    let first = json_of(&push(&network, &top));
    assert_eq!((number(&first, "sequence"), number(&first, "entries")), (1, 45));

    // Asked for so rarely that only an announcement brings the second version in time.
    let mut follow = stranger(&network);
    follow.args(["sync", "follow", &name, "--every", "1h", "--json"]).arg(&copy).stdout(Stdio::piped());
    let mut follow = follow.spawn().unwrap();
    let lines = lines_of(&mut follow);
    let synced = || serde_json::from_str::<Value>(&lines.recv_timeout(DEADLINE).expect("a line")).unwrap();
    let line = synced();
    assert_eq!((number(&line, "sequence"), line["cid"].as_str()), (1, first["cid"].as_str()));
    assert!(same(&top, &copy));

    fs::write(top.join("index"), "two\n").unwrap();
    fs::remove_file(top.join("pages/7")).unwrap();
    let second = json_of(&push(&network, &top));
    assert_eq!(number(&second, "sequence"), 2);
    let (bytes, there) = (number(&second, "bytes"), number(&second, "resumed_bytes"));
    assert!(there >= 3_000_000 && there < bytes, "{there} of {bytes} were there already");
    let line = synced();
    assert_eq!((number(&line, "sequence"), number(&line, "entries")), (2, 44));
    assert!(same(&top, &copy), "what was deleted is gone too");
    assert!(number(&line, "resumed_bytes") >= 3_000_000, "{line}");
    assert!(number(&line, "wire_bytes") < 3_000_000, "{line}");
    assert_eq!(beside(&copy), Vec::<String>::new());
    kill_process(Pid::from_raw(i32::try_from(follow.id()).unwrap()).unwrap(), Signal::INT).unwrap();
    assert!(soon(&mut follow, Duration::from_secs(10)).expect("it ends").success(), "Ctrl-C is how it ends");

    let again = json_of(&follow_once(&network, &name, &copy, &[]));
    assert_eq!(again["changed"].as_bool(), Some(false), "{again}");
}

#[test]
fn of_large_files_that_were_moved_or_changed_only_new_chunks_travel() {
    const CHUNK: u64 = 16 << 20;
    let network = TestNetwork::start(5);
    let (top, copy) = (network.path("films"), network.path("copy"));
    fs::create_dir_all(top.join("old")).unwrap();
    let mut film = made(1, 50_000_000);
    fs::write(top.join("film"), &film).unwrap();
    let name = new_name(&network);
    // Bytes that were fetched of what is new.
    let step = |chunking: &str| {
        let mut push = network.dsn();
        push.env("DSN_CHUNKING", chunking).args(["sync", "push", "--json"]).arg(&top).arg("site");
        json_of(&output(&mut push));
        let followed = json_of(&follow_once(&network, &name, &copy, &[]));
        assert!(same(&top, &copy), "{followed}");
        let (bytes, there) = (number(&followed, "bytes"), number(&followed, "resumed_bytes"));
        let wire = number(&followed, "wire_bytes");
        assert!((bytes - there..bytes - there + 500_000).contains(&wire), "{followed}");
        bytes - there
    };
    assert_eq!(step("fixed"), 50_000_000);
    fs::rename(top.join("film"), top.join("old/film of last year")).unwrap();
    assert_eq!(step("fixed"), 0, "it was moved");
    film[20_000_000] ^= 1;
    fs::write(top.join("film"), &film).unwrap();
    assert_eq!(step("fixed"), CHUNK, "another one, of which the second chunk is new");
    fs::rename(top.join("film"), top.join("new")).unwrap();
    fs::rename(top.join("old/film of last year"), top.join("film")).unwrap();
    fs::rename(top.join("new"), top.join("old/film of last year")).unwrap();
    assert_eq!(step("fixed"), 0, "they changed places");
    assert_eq!(step("cdc"), 0, "it is only cut elsewhere");
    film.splice(30_000_000..30_000_000, *b"put in").for_each(drop);
    fs::write(top.join("film"), &film).unwrap();
    let fetched = step("cdc");
    assert!((1..=2 * CHUNK).contains(&fetched), "{fetched} bytes where something was put in");
}

fn git(folder: &Path, args: &[&str]) -> String {
    let identity = ["-c", "user.name=n", "-c", "user.email=n@example.org", "-c", "safe.directory=*"];
    // Looking at it must not write to it.
    let done = Command::new("git")
        .current_dir(folder)
        .env("GIT_OPTIONAL_LOCKS", "0")
        .args(identity)
        .args(args)
        .output()
        .expect("git is there");
    assert!(done.status.success(), "git {args:?}: {}", shown(&done));
    String::from_utf8(done.stdout).expect("UTF-8")
}

#[test]
fn a_git_repository_is_the_same_repository_on_the_other_side() {
    let network = TestNetwork::start(3);
    let (top, copy) = (network.path("repository"), network.path("clone"));
    fs::create_dir(&top).unwrap();
    git(&top, &["init", "-q", "-b", "main"]);
    let commit = |text: &str| {
        fs::write(top.join("notes"), text).unwrap();
        git(&top, &["add", "notes"]);
        git(&top, &["commit", "-q", "-m", text]);
    };
    let name = new_name(&network);
    for text in ["one", "two"] {
        commit(text);
        line_of(&push(&network, &top));
        line_of(&follow_once(&network, &name, &copy, &[]));
        assert_eq!(git(&copy, &["log", "--oneline"]), git(&top, &["log", "--oneline"]));
        assert_eq!(git(&copy, &["status", "--porcelain"]), "", "the same files");
        git(&copy, &["fsck", "--strict"]);
    }
}

#[test]
fn two_folders_that_push_under_one_name_are_told_of_each_other() {
    let network = TestNetwork::start(3);
    let top = site(&network);
    new_name(&network);
    let other = network.path("stranger");
    line_of(&output(stranger(&network).arg("id")));
    fs::copy(network.path("client/name-site.key"), other.join("name-site.key")).unwrap();
    let first = json_of(&push(&network, &top));
    let theirs = network.path("theirs");
    fs::create_dir(&theirs).unwrap();
    fs::write(theirs.join("index"), "theirs\n").unwrap();
    let push_theirs =
        |more: &[&str]| output(stranger(&network).args(["sync", "push"]).arg(&theirs).arg("site").args(more));
    let unaware = push_theirs(&[]);
    refused(&unaware, 5, "another writer has published the name");
    let said = String::from_utf8_lossy(&unaware.stderr).into_owned();
    assert!(said.contains(first["cid"].as_str().unwrap()) && said.contains("--force"), "{said}");
    let resolved = json_of(&output(network.dsn().args(["name", "resolve", "site", "--json"])));
    assert_eq!(resolved["cid"], first["cid"], "nothing was overruled");

    // Who has followed what the other one said may push on top of it.
    line_of(&follow_once(&network, "site", &theirs, &["--force"]));
    assert!(same(&top, &theirs));
    fs::write(theirs.join("index"), "theirs, on top\n").unwrap();
    line_of(&push_theirs(&[]));
    let mine = push(&network, &top);
    refused(&mine, 5, "another writer has published the name");
    line_of(&output(network.dsn().args(["sync", "push", "--force"]).arg(&top).arg("site")));
}

#[test]
fn what_was_changed_where_it_is_followed_is_not_given_up_unasked() {
    let network = TestNetwork::start(3);
    let (top, copy) = (site(&network), network.path("copy"));
    let name = new_name(&network);
    line_of(&push(&network, &top));
    fs::create_dir(&copy).unwrap();
    fs::write(copy.join("mine"), "mine").unwrap();
    refused(&follow_once(&network, &name, &copy, &[]), 2, "not what the last sync left");
    fs::remove_file(copy.join("mine")).unwrap();
    line_of(&follow_once(&network, &name, &copy, &[])); // an empty folder is nobody's

    fs::write(top.join("index"), "two\n").unwrap();
    line_of(&push(&network, &top));
    fs::write(copy.join("index"), "my own words\n").unwrap();
    let kept = follow_once(&network, &name, &copy, &[]);
    refused(&kept, 2, "not what the last sync left");
    let said = String::from_utf8_lossy(&kept.stderr).into_owned();
    assert!(said.contains("--force") && said.contains("nothing was touched"), "{said}");
    assert_eq!(fs::read_to_string(copy.join("index")).unwrap(), "my own words\n");
    assert_eq!(fs::read(copy.join("pages/3")).unwrap(), made(3, 60_000));
    line_of(&follow_once(&network, &name, &copy, &["--force"]));
    assert!(same(&top, &copy));
    assert_eq!(beside(&copy), Vec::<String>::new());

    // A file under a name is no folder to keep in step; a folder of this machine that is a file neither.
    refused(&follow_once(&network, &name, &top.join("index"), &[]), 2, "is no folder");
    let file = line_of(&output(network.dsn().arg("put").arg(top.join("video"))));
    line_of(&output(network.dsn().args(["name", "publish", "site", &file])));
    refused(&follow_once(&network, &name, &network.path("new"), &[]), 2, "which is no folder");
    assert!(!network.path("new").exists());
    let private = output(network.dsn().env("DSN_PRIVATE", "true").args(["sync", "push"]).arg(&top).arg("site"));
    refused(&private, 2, "what is pushed is public");
}

#[test]
fn a_folder_that_has_not_changed_gets_no_new_number() {
    let network = TestNetwork::start(3);
    let top = site(&network);
    new_name(&network);
    let first = json_of(&push(&network, &top));
    assert_eq!((number(&first, "sequence"), first["changed"].as_bool()), (1, Some(true)));
    let again = json_of(&push(&network, &top));
    assert_eq!((number(&again, "sequence"), again["changed"].as_bool()), (1, Some(false)));
    assert_eq!(first["cid"], again["cid"]);
    let shown = output(network.dsn().args(["sync", "push"]).arg(&top).arg("site"));
    refused(&shown, 0, &format!("nothing has changed: number 1 stands for {}", first["cid"].as_str().unwrap()));
    let resolved = json_of(&output(network.dsn().args(["name", "resolve", "site", "--json"])));
    assert_eq!(number(&resolved, "sequence"), 1, "{resolved}");
    fs::write(top.join("index"), "two\n").unwrap();
    assert_eq!(number(&json_of(&push(&network, &top)), "sequence"), 2);
    fs::write(top.join("index"), "one\n").unwrap();
    assert_eq!(number(&json_of(&push(&network, &top)), "sequence"), 3, "what it was before is new again");
}

#[test]
fn old_versions_are_given_up_but_the_newest_and_what_these_share_with_them_stays() {
    let network = TestNetwork::with(3, "1GiB", &[("DSN_ABSENT_GRACE", "24s"), ("DSN_TRASH", "1s")]);
    let top = site(&network);
    new_name(&network);
    let mut versions = Vec::new();
    for text in ["one", "two", "three", "four", "five", "six"] {
        fs::write(top.join("index"), text).unwrap();
        fs::write(top.join("only"), made(versions.len() as u64 + 1000, 2_000_000)).unwrap();
        let pushed = output(network.dsn().args(["sync", "push"]).arg(&top).arg("site"));
        let hint = String::from_utf8_lossy(&pushed.stderr).contains("5 old versions are kept: push with --keep N");
        assert_eq!(hint, text == "six", "{}", shown(&pushed));
        versions.push(json_of(&output(network.dsn().args(["name", "resolve", "site", "--json"])))["cid"].clone());
    }
    let before = network.used_bytes();
    let pushed = json_of(&output(network.dsn().args(["sync", "push", "--json", "--keep", "2"]).arg(&top).arg("site")));
    assert_eq!((number(&pushed, "given_up"), number(&pushed, "old_versions")), (4, 1), "{pushed}");
    // Each given up had 2 MB that no other has. They go one after the other.
    until("what was given up is gone", || network.used_bytes() + 7_500_000 < before);
    let copy = network.path("copy");
    let get = |cid: &Value| output(network.dsn().args(["get", cid.as_str().unwrap(), "--force", "-o"]).arg(&copy));
    versions[..4].iter().for_each(|cid| until("each version given up is gone", || !get(cid).status.success()));
    line_of_get(&get(&versions[4]), &copy, "five");
    line_of_get(&get(&versions[5]), &copy, "six");
    assert!(same(&copy, &top));
    let none = output(network.dsn().args(["sync", "push", "--keep", "0"]).arg(&top).arg("site"));
    refused(&none, 2, "0 is not in 1..");
}

fn line_of_get(done: &Output, copy: &Path, index: &str) {
    assert!(done.status.success(), "{}", shown(done));
    assert_eq!(fs::read_to_string(copy.join("index")).expect("readable"), index);
    assert_eq!(fs::read(copy.join("video")).expect("readable"), made(1, 3_000_000), "shared with all versions");
}

fn begin(network: &TestNetwork, name: &str, copy: &Path) -> Child {
    let mut follow = stranger(network);
    follow.args(["sync", "follow", name, "--once"]).arg(copy).stdout(Stdio::null()).stderr(Stdio::null());
    follow.spawn().expect("it starts")
}

#[test]
fn a_follower_that_is_killed_leaves_the_old_version_or_the_new_one() {
    let network = TestNetwork::start(3);
    let (top, copy) = (site(&network), network.path("copy"));
    let name = new_name(&network);
    line_of(&push(&network, &top));
    line_of(&follow_once(&network, &name, &copy, &[]));
    let (mut killed, mut wait) = (0, Duration::ZERO);
    // Ever later, until one gets through; then from the start with the next version.
    for number in 101..141 {
        let before = network.path("before");
        drop(fs::remove_dir_all(&before));
        assert!(Command::new("cp").arg("-a").arg(&copy).arg(&before).status().unwrap().success());
        fs::write(top.join("pages/1"), made(number, 60_000)).unwrap();
        fs::write(top.join(format!("pages/{number}")), made(number, 60_000)).unwrap();
        line_of(&push(&network, &top));
        let mut follow = begin(&network, &name, &copy);
        if soon(&mut follow, wait).is_none() {
            follow.kill().unwrap();
            follow.wait().unwrap();
            killed += 1;
        }
        assert!(same(&copy, &before) || same(&copy, &top), "after {wait:?}");
        wait = if same(&copy, &top) { Duration::ZERO } else { wait + Duration::from_millis(20) };
        if killed >= 12 && same(&copy, &top) {
            break;
        }
    }
    assert!(killed >= 5, "{killed} were killed");
    line_of(&follow_once(&network, &name, &copy, &[]));
    assert!(same(&copy, &top));
    assert_eq!(beside(&copy), Vec::<String>::new());
}
