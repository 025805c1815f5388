//! Machines of a small internet, each a network namespace: a switch, hosts with public addresses, hosts behind gateways that
//! translate addresses as home routers do, lines that are slow and lose packets. Needs root, iproute2 and nftables; tests are
//! skipped where they are missing, unless `DSN_MUST_ROUTE` is set, as it is in CI. Everything goes with the test.

use std::{
    env, fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::command::{DSN, isolate, make_up, output, same, shown};

/// Delays and carries what comes to a tunnel; Python, since a tunnel device wants calls that no safe Rust has.
const TUNNEL: &str = include_str!("tunnel.py");

/// Answers questions for names.
const NAMES: &str = include_str!("names.py");

/// Opens ports for who asks by UPnP.
const ROUTER: &str = include_str!("igd.py");

/// Where `ip netns exec` finds what a namespace has instead of the machine's files.
const FILES: &str = "/etc/netns";

static LABS: AtomicUsize = AtomicUsize::new(0);

/// The namespaces of one test.
pub(crate) struct Lab {
    prefix: String,
    namespaces: Vec<String>,
    processes: Vec<Child>,
    /// Whether farmers ask their gateways for ports.
    upnp: bool,
    pub(crate) folder: TempDir,
}

/// How a gateway chooses the port from which it sends.
#[derive(Clone, Copy)]
pub(crate) enum Ports {
    /// The one the host has, while it is free: holes can be punched.
    Kept,
    /// Any, another one for each connection: they cannot.
    Random,
}

/// A farmer at work.
pub(crate) struct LabFarmer {
    pub(crate) host: String,
    pub(crate) dir: PathBuf,
    pub(crate) peer_id: String,
}

fn run(program: &str, args: &[&str], input: &str) -> Result<(), String> {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("{program}: {error}"))?;
    child.stdin.take().expect("piped").write_all(input.as_bytes()).map_err(|error| format!("{program}: {error}"))?;
    let output = child.wait_with_output().map_err(|error| format!("{program}: {error}"))?;
    let told = || format!("{program} {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    if output.status.success() { Ok(()) } else { Err(told()) }
}

fn must(program: &str, args: &[&str], input: &str) {
    run(program, args, input).expect("the lab can be built");
}

impl Lab {
    /// An empty one: a switch and nobody at it; none where that is not possible.
    #[expect(clippy::print_stdout, reason = "a test that was skipped says so")]
    pub(crate) fn open() -> Option<Self> {
        let nth = LABS.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("dsn{}-{nth}", std::process::id());
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut lab = Self { prefix, namespaces: Vec::new(), processes: Vec::new(), upnp: false, folder };
        let possible = run("nft", &["--version"], "").and_then(|()| lab.add("switch"));
        if let Err(reason) = possible {
            assert!(env::var_os("DSN_MUST_ROUTE").is_none(), "network namespaces must be made: {reason}");
            println!("SKIPPED: no network namespaces: {reason}");
            return None;
        }
        lab.ip("switch", "link add br0 type bridge");
        lab.ip("switch", "link set br0 up");
        Some(lab)
    }

    fn name(&self, host: &str) -> String {
        format!("{}-{host}", self.prefix)
    }

    fn add(&mut self, host: &str) -> Result<(), String> {
        let name = self.name(host);
        run("ip", &["netns", "add", &name], "")?;
        self.namespaces.push(name.clone());
        run("ip", &["-n", &name, "link", "set", "lo", "up"], "")
    }

    fn ip(&self, host: &str, words: &str) {
        let name = self.name(host);
        let args: Vec<&str> = ["-n", &name].into_iter().chain(words.split(' ')).collect();
        must("ip", &args, "");
    }

    /// Filter rules of a host, in nft's language.
    pub(crate) fn nft(&self, host: &str, rules: &str) {
        must("ip", &["netns", "exec", &self.name(host), "nft", "-f", "-"], rules);
    }

    fn plug(&self, host: &str, device: &str, address: &str) {
        let peer = self.name(host);
        self.ip("switch", &format!("link add to-{host} type veth peer name {device} netns {peer}"));
        self.ip("switch", &format!("link set to-{host} master br0 up"));
        let nodad = if address.contains(':') { " nodad" } else { "" };
        self.ip(host, &format!("addr add {address} dev {device}{nodad}"));
        self.ip(host, &format!("link set {device} up"));
    }

    /// A host at the switch, with this address and the length of its prefix.
    pub(crate) fn host(&mut self, host: &str, address: &str) {
        self.add(host).expect("the switch was made too");
        self.plug(host, "eth0", address);
    }

    /// A host in a LAN of its own (`192.168.1`, say), behind a gateway with this address, which lets answers in and nothing else.
    pub(crate) fn host_behind(&mut self, host: &str, address: &str, lan: &str, ports: Ports) {
        let gateway = format!("{host}gw");
        self.add(&gateway).expect("the switch was made too");
        self.add(host).expect("the switch was made too");
        self.plug(&gateway, "wan", address);
        let inside = self.name(host);
        self.ip(&gateway, &format!("link add lan type veth peer name eth0 netns {inside}"));
        self.ip(&gateway, &format!("addr add {lan}.1/24 dev lan"));
        self.ip(&gateway, "link set lan up");
        self.ip(host, &format!("addr add {lan}.2/24 dev eth0"));
        self.ip(host, "link set eth0 up");
        self.ip(host, &format!("route add default via {lan}.1"));
        must("ip", &["netns", "exec", &self.name(&gateway), "sysctl", "-qw", "net.ipv4.ip_forward=1"], "");
        let ports = match ports {
            Ports::Kept => "",
            Ports::Random => " fully-random",
        };
        let from_outside = "iifname \"wan\" ct state new drop";
        self.nft(
            &gateway,
            &format!(
                "table ip t {{
                  chain translate {{ type nat hook postrouting priority 100; oifname \"wan\" masquerade{ports}; }}
                  chain through {{ type filter hook forward priority 0; {from_outside}; }}
                  chain into {{ type filter hook input priority 0; {from_outside}; }}
                }}"
            ),
        );
    }

    /// Two hosts on one line with 25 ms each way, on which one packet in a hundred is lost.
    pub(crate) fn bad_line(&mut self, near: (&str, &str), far: (&str, &str)) {
        for (host, address) in [near, far] {
            self.add(host).expect("the switch was made too");
            self.ip(host, "tuntap add dev eth0 mode tun");
            self.ip(host, &format!("addr add {address} dev eth0"));
            self.ip(host, "link set eth0 mtu 32000 up");
            let lose =
                "chain lose { type filter hook input priority 0; iifname \"eth0\" numgen random mod 1000 < 10 drop; };";
            self.nft(host, &format!("table ip t {{ {lose} }}"));
        }
        let mut tunnel = Command::new("python3");
        tunnel.args(["-", &self.name(near.0), &self.name(far.0), "25"]);
        self.script(&mut tunnel, TUNNEL);
    }

    /// A name server on a host: type, name and value of each record.
    pub(crate) fn name_server(&mut self, host: &str, address: &str, records: &[(&str, &str, &str)]) {
        let mut server = Command::new("ip");
        server.args(["netns", "exec", &self.name(host), "python3", "-", address]).stdout(Stdio::piped());
        server.args(records.iter().flat_map(|(kind, name, value)| [kind, name, value]));
        self.script_that_is_ready(&mut server, NAMES);
    }

    /// The gateway of a host opens ports from now on, for who asks by UPnP; and farmers of the lab ask.
    pub(crate) fn gateway_opens_ports(&mut self, host: &str, lan: &str, public: &str) {
        let mut router = Command::new("ip");
        router.args(["netns", "exec", &self.name(&format!("{host}gw")), "python3", "-", lan, public]);
        self.script_that_is_ready(router.stdout(Stdio::piped()), ROUTER);
        self.upnp = true;
    }

    /// Has a host ask this name server and no other.
    pub(crate) fn asks_for_names(&self, host: &str, address: &str) {
        let folder = Path::new(FILES).join(self.name(host));
        fs::create_dir_all(&folder).expect("writable by root");
        fs::write(folder.join("resolv.conf"), format!("nameserver {address}\n")).expect("writable by root");
    }

    fn script_that_is_ready(&mut self, command: &mut Command, script: &str) {
        let child = self.script(command, script);
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("readable");
        assert_eq!(line, "ready\n");
    }

    /// Python reads the script from its input, and runs until the lab ends.
    fn script(&mut self, command: &mut Command, script: &str) -> &mut Child {
        let mut child = command.stdin(Stdio::piped()).spawn().expect("python3 starts");
        child.stdin.take().expect("piped").write_all(script.as_bytes()).expect("it reads");
        self.processes.push(child);
        self.processes.last_mut().expect("just pushed")
    }

    /// `dsn` on a host, without anything of this machine's settings.
    pub(crate) fn dsn(&self, host: &str, dir: &Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name(host), DSN]).arg("--dir").arg(dir);
        isolate(&mut command).env("DSN_UPNP", self.upnp.to_string());
        command
    }

    /// A farmer on a host.
    pub(crate) fn farm(&mut self, host: &str, name: &str, args: &[&str]) -> LabFarmer {
        let dir = self.folder.path().join(name);
        let mut command = self.dsn(host, &dir);
        command
            .args(["farm", "--json", "--storage", "1GiB", "--disk-reserve", "1MiB"])
            .args(args)
            .stdout(Stdio::piped());
        let mut child = command.spawn().expect("the farmer starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("readable");
        self.processes.push(child);
        let ready: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let peer_id = ready["peer_id"].as_str().expect("a text").to_owned();
        LabFarmer { host: host.to_owned(), dir, peer_id }
    }

    /// What a farmer says of itself.
    pub(crate) fn status(&self, farmer: &LabFarmer) -> Value {
        let done = output(self.dsn(&farmer.host, &farmer.dir).args(["status", "--json"]));
        serde_json::from_slice(&done.stdout).unwrap_or_else(|error| panic!("{error}: {}", shown(&done)))
    }

    /// A file of bytes that follow from its name.
    pub(crate) fn file(&self, name: &str, len: usize) -> PathBuf {
        let path = self.folder.path().join(name);
        make_up(&path, len);
        path
    }

    /// Puts a file from a host; gives its CID.
    pub(crate) fn put(&self, host: &str, bootstrap: &str, file: &Path) -> String {
        let mut put = self.dsn(host, &self.folder.path().join(format!("client-{host}")));
        let done = output(put.args(["put", "--bootstrap", bootstrap]).arg(file));
        assert!(done.status.success(), "put at {host}: {}", shown(&done));
        String::from_utf8(done.stdout).expect("UTF-8").trim().to_owned()
    }

    /// Gets a file on a host; tells what went wrong.
    pub(crate) fn get(&self, host: &str, bootstrap: &str, cid: &str, original: &Path) -> Result<(), String> {
        let copy = self.folder.path().join(format!("copy-{host}"));
        let mut get = self.dsn(host, &self.folder.path().join(format!("client-{host}")));
        let done = output(get.args(["get", "--bootstrap", bootstrap, "--force", cid, "-o"]).arg(&copy));
        if !done.status.success() {
            return Err(shown(&done));
        }
        assert!(same(original, &copy), "{} came back as something else", original.display());
        Ok(())
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _gone = process.kill();
            let _gone = process.wait();
        }
        for name in &self.namespaces {
            let _gone = run("ip", &["netns", "del", name], "");
            let _none = fs::remove_dir_all(Path::new(FILES).join(name));
        }
        let _not_empty = fs::remove_dir(FILES);
    }
}
