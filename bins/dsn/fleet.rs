//! Farmers as child processes on this machine, for `devnet` and `demo`. A child ends with its parent, however that ends:
//! it watches a pipe that the parent holds.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use dsn_cli::{Exit, Failure, note};
use serde::Deserialize;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStderr, Command},
};

/// A farmer is up within this time, or something is wrong.
const READY_WAIT: Duration = Duration::from_secs(60);

/// A farmer told to stop gets this long to do so.
const STOP_WAIT: Duration = Duration::from_secs(5);

/// One child.
pub(crate) struct Member {
    pub(crate) dir: PathBuf,
    pub(crate) peer_id: String,
    pub(crate) listen: Vec<String>,
    child: Child,
}

/// How the children are started.
#[derive(Clone, Debug)]
pub(crate) struct FleetOptions {
    pub(crate) root: PathBuf,
    pub(crate) farmers: u16,
    pub(crate) storage: String,
    pub(crate) disk_reserve: Option<String>,
    pub(crate) network: String,
}

#[derive(Deserialize)]
struct Ready {
    peer_id: String,
    listen: Vec<String>,
}

impl Member {
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Kills it at once (SIGKILL).
    pub(crate) async fn kill(&mut self) -> Result<(), Failure> {
        self.child.kill().await.map_err(|error| Failure::of(Exit::Internal, &error))
    }

    /// Asks it to stop (by closing its pipe), and kills it if it does not.
    async fn stop(&mut self) {
        drop(self.child.stdin.take());
        if tokio::time::timeout(STOP_WAIT, self.child.wait()).await.is_err() {
            // It is gone in either case.
            let _gone = self.child.kill().await;
        }
    }
}

/// Starts the farmers: the first alone, the others with its address.
pub(crate) async fn start(options: &FleetOptions) -> Result<Vec<Member>, Failure> {
    let mut members = vec![start_one(options, 0, None).await?];
    let first = members[0].listen.first().cloned();
    let others = (1..options.farmers).map(|index| start_one(options, index, first.as_deref()));
    for member in futures::future::join_all(others).await {
        members.push(member?);
    }
    Ok(members)
}

/// Stops all that still run.
pub(crate) async fn stop(members: &mut [Member]) {
    futures::future::join_all(members.iter_mut().map(Member::stop)).await;
}

async fn start_one(options: &FleetOptions, index: u16, bootstrap: Option<&str>) -> Result<Member, Failure> {
    let dir = options.root.join(format!("farmer-{index:03}"));
    let failed = |error: String| Failure::new(Exit::Internal, error).named(format!("farmer {index} did not start"));
    let mut command = command(options, &dir, bootstrap).map_err(|error| failed(error.to_string()))?;
    let mut child = command.spawn().map_err(|error| failed(error.to_string()))?;
    let (output, errors) = (child.stdout.take(), child.stderr.take());
    let (output, errors) = output.zip(errors).ok_or_else(|| failed("it has no output".into()))?;
    let mut line = String::new();
    let read = tokio::time::timeout(READY_WAIT, BufReader::new(output).read_line(&mut line)).await;
    read.map_err(|_| failed(format!("it said nothing for {} s", READY_WAIT.as_secs())))?
        .map_err(|error| failed(error.to_string()))?;
    let mut errors = BufReader::new(errors).lines();
    if let Ok(Ready { peer_id, listen }) = serde_json::from_str(&line) {
        tokio::spawn(async move { while pass_on(&mut errors).await.is_ok_and(|line| line.is_some()) {} });
        return Ok(Member { dir, peer_id, listen, child });
    }
    while let Ok(Some(line)) = pass_on(&mut errors).await {
        if let Some(failure) = Failure::from_json(&line) {
            return Err(failure.named(format!("farmer {index} did not start")));
        }
    }
    Err(failed("it did not say why".into()))
}

/// What a farmer says to people is said here too; an error it ends with is for its parent to tell.
async fn pass_on(errors: &mut Lines<BufReader<ChildStderr>>) -> std::io::Result<Option<String>> {
    let line = errors.next_line().await?;
    if let Some(line) = line.as_deref().filter(|line| Failure::from_json(line).is_none()) {
        note(line);
    }
    Ok(line)
}

fn command(options: &FleetOptions, dir: &Path, bootstrap: Option<&str>) -> std::io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("farm").arg("--json").arg("--with-parent");
    command.arg("--dir").arg(dir).args(["--storage", &options.storage, "--network", &options.network]);
    command.args(["--listen", "/ip4/127.0.0.1/tcp/0", "--listen", "/ip4/127.0.0.1/udp/0/quic-v1"]);
    if let Some(reserve) = &options.disk_reserve {
        command.args(["--disk-reserve", reserve]);
    }
    if let Some(bootstrap) = bootstrap {
        command.args(["--bootstrap", bootstrap]);
    }
    // The children know each other; whatever this shell is set to is not theirs.
    for variable in ["DSN_BOOTSTRAP", "DSN_LISTEN", "DSN_STORAGE", "DSN_DISK_RESERVE", "DSN_CONFIG", "DSN_DIR"] {
        command.env_remove(variable);
    }
    command.env("DSN_MDNS", "false");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    // Ctrl-C is for the parent, which stops its children in order.
    command.process_group(0);
    Ok(command)
}
