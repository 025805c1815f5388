//! A network of real processes for tests: `dsn devnet` as a user would start it, farmers killed and brought back one by one,
//! commands run against it. Everything ends with the test, however that ends.

#[path = "command.rs"]
mod command;

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

pub(crate) use self::command::{DSN, output, same, shown};
use self::command::{isolate, make_up};

/// A farmer of the network.
pub(crate) struct TestFarmer {
    pub(crate) pid: u32,
    pub(crate) peer_id: String,
    pub(crate) dir: PathBuf,
    pub(crate) address: String,
    /// Set once the test itself has started it again.
    child: Option<Child>,
    alive: bool,
}

/// Farmers on loopback.
pub(crate) struct TestNetwork {
    pub(crate) farmers: Vec<TestFarmer>,
    pub(crate) folder: TempDir,
    /// None when its farmers have joined one by one.
    devnet: Option<Child>,
    settings: Vec<(&'static str, &'static str)>,
}

/// `dsn` without anything of this machine's settings.
pub(crate) fn dsn(dir: &Path) -> Command {
    let mut command = Command::new(DSN);
    isolate(&mut command).env("DSN_DIR", dir);
    command
}

fn json_of(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

fn text_of(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

impl TestNetwork {
    pub(crate) fn start(farmers: usize) -> Self {
        Self::lending(farmers, "10GiB")
    }

    pub(crate) fn lending(farmers: usize, storage: &str) -> Self {
        Self::with(farmers, storage, &[])
    }

    /// Farmers that wait only so long for one that is silent, with these settings in their environment.
    pub(crate) fn with(farmers: usize, storage: &str, settings: &[(&'static str, &'static str)]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut command = dsn(&folder.path().join("net"));
        command.args(["devnet", "--json", "--disk-reserve", "16MiB", "--storage", storage]);
        for (name, value) in settings {
            match *name {
                "DSN_ABSENT_GRACE" => command.args(["--absent-grace", value]),
                "DSN_PSK_FILE" => command.args(["--psk", value]),
                _ => command.env(name, value),
            };
        }
        command.args(["--farmers", &farmers.to_string()]).stdout(Stdio::piped());
        let mut devnet = command.spawn().expect("devnet starts");
        let mut lines = BufReader::new(devnet.stdout.take().expect("piped")).lines();
        let mut network = Self { farmers: Vec::new(), folder, devnet: Some(devnet), settings: settings.to_vec() };
        loop {
            let line = json_of(&lines.next().expect("devnet says ready").expect("readable"));
            match line["event"].as_str() {
                Some("farmer") => network.farmers.push(TestFarmer {
                    pid: u32::try_from(line["pid"].as_u64().expect("a number")).expect("a pid"),
                    peer_id: text_of(&line["peer_id"]),
                    dir: text_of(&line["dir"]).into(),
                    address: text_of(&line["listen"][0]),
                    child: None,
                    alive: true,
                }),
                _ => return network,
            }
        }
    }

    /// A network that has no farmers yet; they join with these settings in their environment.
    pub(crate) fn of_nobody(settings: &[(&'static str, &'static str)]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self { farmers: Vec::new(), folder, devnet: None, settings: settings.to_vec() }
    }

    /// `dsn` on this network.
    pub(crate) fn dsn(&self) -> Command {
        let mut command = dsn(&self.folder.path().join("client"));
        let alive: Vec<&str> = self.farmers.iter().filter(|f| f.alive).map(|f| f.address.as_str()).collect();
        command.env("DSN_BOOTSTRAP", alive.join(","));
        command
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Bytes of pieces on the first farmer.
    pub(crate) fn used_bytes(&self) -> u64 {
        let status = output(dsn(&self.farmers[0].dir).args(["status", "--json"]));
        json_of(&String::from_utf8(status.stdout).expect("UTF-8"))["used_bytes"].as_u64().expect("a number")
    }

    /// A file of bytes that follow from its name.
    pub(crate) fn file(&self, name: &str, len: usize) -> PathBuf {
        let path = self.path(name);
        make_up(&path, len);
        path
    }

    /// Puts a file, which must succeed; gives what `--json` printed.
    pub(crate) fn put(&self, path: &Path) -> Value {
        let done = output(self.dsn().args(["put", "--json"]).arg(path));
        assert!(done.status.success(), "put {}: {}", path.display(), shown(&done));
        json_of(&String::from_utf8(done.stdout).expect("UTF-8"))
    }

    /// Gets a file, which must succeed and be the one that was put; gives what `--json` printed.
    pub(crate) fn get_same(&self, cid: &str, original: &Path) -> Value {
        let copy = self.path("copy");
        let done = output(self.dsn().args(["get", "--json", "--force", cid, "-o"]).arg(&copy));
        assert!(done.status.success(), "get of {}: {}", original.display(), shown(&done));
        assert!(same(original, &copy), "{} came back as something else", original.display());
        std::fs::remove_file(copy).expect("it is there");
        json_of(&String::from_utf8(done.stdout).expect("UTF-8"))
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self, index: usize) {
        let farmer = &mut self.farmers[index];
        let pid = Pid::from_raw(i32::try_from(farmer.pid).expect("a pid")).expect("not 0");
        kill_process(pid, Signal::KILL).expect("it runs");
        farmer.alive = false;
        if let Some(mut child) = farmer.child.take() {
            child.wait().expect("it was killed");
        }
        // A signal takes its time; what it leaves last is the farmer's lock.
        let lock = std::fs::File::open(farmer.dir.join("farmer.lock")).expect("it has run");
        lock.lock_shared().expect("nobody else holds it for long");
    }

    /// Starts a killed farmer again, on another port.
    pub(crate) fn restart(&mut self, index: usize) {
        let bootstrap = self.farmers.iter().find(|f| f.alive).expect("somebody is left").address.clone();
        let dir = self.farmers[index].dir.clone();
        std::fs::remove_file(dir.join("farmer.json")).expect("it has said where it listens");
        let again = self.farm(&dir, "10GiB", "16MiB", Some(&bootstrap));
        assert_eq!(again.peer_id, self.farmers[index].peer_id, "a farmer keeps its identity");
        self.farmers[index] = again;
    }

    /// One more farmer, in this folder; gives its place among the others.
    pub(crate) fn join(&mut self, dir: &Path, storage: &str, disk_reserve: &str) -> usize {
        let bootstrap = self.farmers.iter().find(|f| f.alive).map(|farmer| farmer.address.as_str());
        self.farmers.push(self.farm(dir, storage, disk_reserve, bootstrap));
        self.farmers.len() - 1
    }

    fn farm(&self, dir: &Path, storage: &str, disk_reserve: &str, bootstrap: Option<&str>) -> TestFarmer {
        let mut command = dsn(dir);
        command.args(["farm", "--json", "--storage", storage, "--disk-reserve", disk_reserve]);
        command.args(["--listen", "/ip4/127.0.0.1/tcp/0"]).stdout(Stdio::piped());
        bootstrap.iter().for_each(|address| {
            command.args(["--bootstrap", address]);
        });
        command.envs(self.settings.iter().copied());
        let mut child = command.spawn().expect("the farmer starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("readable");
        let ready = json_of(&line);
        TestFarmer {
            pid: child.id(),
            peer_id: text_of(&ready["peer_id"]),
            dir: dir.into(),
            address: text_of(&ready["listen"][0]),
            child: Some(child),
            alive: true,
        }
    }
}

impl Drop for TestNetwork {
    fn drop(&mut self) {
        for farmer in &mut self.farmers {
            if let Some(mut child) = farmer.child.take() {
                let _gone = child.kill();
                let _gone = child.wait();
            }
        }
        // The farmers of devnet end with it, since it holds their pipes.
        if let Some(devnet) = &mut self.devnet {
            let pid = Pid::from_raw(i32::try_from(devnet.id()).expect("a pid")).expect("not 0");
            let _gone = kill_process(pid, Signal::TERM);
            let _gone = devnet.wait();
        }
    }
}
