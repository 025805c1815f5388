//! Starts one farmer as a child and hears from it that it is ready, or why it is not.

use std::{path::Path, process::Stdio, time::Duration};

use dsn_cli::{Exit, Failure, note};
use serde::Deserialize;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{ChildStderr, Command},
};

use super::{FleetOptions, Member};

/// A farmer is up within this time, or something is wrong.
const READY_WAIT: Duration = Duration::from_secs(60);

#[derive(Deserialize)]
struct Ready {
    peer_id: String,
    listen: Vec<String>,
}

/// Starts the farmer of this number; it finds the others at `bootstrap`.
pub(super) async fn start_one(options: &FleetOptions, index: u16, bootstrap: Option<&str>) -> Result<Member, Failure> {
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
    command.args(["--disk-reserve", &options.disk_reserve]);
    command.args(["--listen", "/ip4/127.0.0.1/tcp/0"]);
    match &options.psk {
        Some(file) => command.args(["--psk", file]), // which covers TCP only
        None => command.args(["--listen", "/ip4/127.0.0.1/udp/0/quic-v1"]),
    };
    if let Some(grace) = &options.absent_grace {
        command.args(["--absent-grace", grace]);
    }
    if let Some(bootstrap) = bootstrap {
        command.args(["--bootstrap", bootstrap]);
    }
    // The children know each other; whatever this shell is set to is not theirs.
    for variable in [
        "DSN_BOOTSTRAP",
        "DSN_LISTEN",
        "DSN_STORAGE",
        "DSN_DISK_RESERVE",
        "DSN_CONFIG",
        "DSN_DIR",
        "DSN_ABSENT_GRACE",
        "DSN_PSK_FILE",
        "DSN_CLOSED",
    ] {
        command.env_remove(variable);
    }
    command.env("DSN_MDNS", "false");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    // Ctrl-C is for the parent, which stops its children in order.
    command.process_group(0);
    Ok(command)
}
