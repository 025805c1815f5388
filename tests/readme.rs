//! The README's commands work as they stand there. `./x test` runs this very test and `./x demo` is a step of the CI;
//! that both are called by their README names is checked in `tidy.rs`.

#[path = "support/network.rs"]
#[expect(dead_code, reason = "the README starts its network itself")]
mod network;

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

/// The commands of the blocks of one kind, in order.
fn commands(kind: &str) -> Vec<String> {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("readable");
    let blocks =
        readme.split("```").skip(1).step_by(2).filter_map(|block| block.strip_prefix(kind)?.strip_prefix('\n'));
    let prompt = if kind == "console" { "$ " } else { "" };
    let lines = blocks.flat_map(|block| block.lines().map(str::to_owned).collect::<Vec<_>>());
    lines.filter_map(|line| line.strip_prefix(prompt).map(str::to_owned)).collect()
}

/// `devnet` in the background; ends when dropped.
struct Devnet(Child);

impl Drop for Devnet {
    fn drop(&mut self) {
        let pid = Pid::from_raw(i32::try_from(self.0.id()).expect("a pid")).expect("not 0");
        let _gone = kill_process(pid, Signal::TERM);
        let _gone = self.0.wait();
    }
}

/// A shell in the folder, with `dsn` on its path and nothing of this machine's settings.
fn shell(folder: &Path, command: &str) -> Command {
    let bin = Path::new(network::DSN).parent().expect("a folder");
    let mut shell = network::dsn(&folder.join("data"));
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").expect("set"));
    let program = std::mem::replace(&mut shell, Command::new("bash"));
    shell.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell.current_dir(folder).env("PATH", path).args(["-c", &format!("set -e -o pipefail; {command}")]);
    shell
}

fn start_devnet(folder: &Path, command: &str) -> (Devnet, String) {
    let mut child = shell(folder, &format!("exec {command}")).stdout(Stdio::piped()).spawn().expect("it starts");
    let lines = BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok);
    let devnet = Devnet(child);
    let said: Vec<String> = lines.take_while(|line| line != "ready").collect();
    let address =
        said[0].split_whitespace().find(|word| word.starts_with("/ip4/127.0.0.1/tcp/")).expect("an address").to_owned();
    (devnet, address)
}

#[test]
fn the_commands_to_try_it_work() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("photos/2026")).unwrap();
    std::fs::write(folder.path().join("photos/2026/cat.jpg"), "a cat\n").unwrap();
    std::fs::write(folder.path().join("photo.tif"), vec![0xee; 300_000]).unwrap();
    let (mut devnet, mut bootstrap, mut cid, mut ran) = (None, String::new(), String::new(), 0);
    for command in commands("console") {
        ran += 1;
        if command.starts_with("dsn devnet") {
            let (started, address) = start_devnet(folder.path(), &command);
            (devnet, bootstrap) = (Some(started), address);
        } else if command.starts_with("export DSN_BOOTSTRAP=") {
            assert!(bootstrap.starts_with(command.trim_start_matches("export DSN_BOOTSTRAP=").trim_end_matches('…')));
        } else {
            let command = command.replace("bafib4i…", &cid);
            let done = shell(folder.path(), &command).env("DSN_BOOTSTRAP", &bootstrap).output().unwrap();
            assert!(done.status.success(), "{command}: {}", network::shown(&done));
            let printed = String::from_utf8_lossy(&done.stdout).trim().to_owned();
            if printed.starts_with("bafib4i") {
                cid = printed;
            }
            assert!(
                !command.contains("tar t") || done.stdout == b"photos/\nphotos/2026/\nphotos/2026/cat.jpg\n",
                "{}",
                network::shown(&done)
            );
        }
    }
    assert!(ran >= 7 && devnet.is_some(), "the README has lost its commands");
    assert!(network::same(&folder.path().join("photo.tif"), &folder.path().join("copy.tif")));
}

#[test]
fn the_demo_tells_its_story_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    assert!(commands("sh").iter().any(|command| command.starts_with("./x demo ")));
    let done = shell(folder.path(), "dsn demo").env("TMPDIR", folder.path()).output().unwrap();
    assert!(done.status.success(), "{}", network::shown(&done));
    let story = String::from_utf8(done.stdout).unwrap();
    let steps: Vec<&str> = story.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(
        steps,
        ["farmers", "put", "cid", "killed", "get", "compared", "repaired", "killed", "get", "compared"],
        "{story}"
    );
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| name == "data"), "{left:?}");
}
