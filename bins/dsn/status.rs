//! `dsn status`: the farmer that runs in this folder.

use dsn_cli::{Exit, Failure, human_bytes, print_line};
use dsn_farmer::FarmerStatus;
use serde::{Deserialize, Serialize};

use crate::{context::Context, control};

/// A farmer's state as it crosses its socket and as `--json` shows it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StatusJson {
    peer_id: String,
    reserved_bytes: u64,
    used_bytes: u64,
    free_bytes: u64,
    pieces: u64,
    locators: u64,
    peers: usize,
    received_bytes: u64,
    served_bytes: u64,
    damaged_pieces: u64,
    listen: Vec<String>,
}

impl StatusJson {
    pub(crate) fn new(peer_id: String, peers: usize, listen: Vec<String>, status: &FarmerStatus) -> Self {
        Self {
            peer_id,
            reserved_bytes: status.reserved_bytes,
            used_bytes: status.used_bytes,
            free_bytes: status.free_bytes,
            pieces: status.pieces,
            locators: status.locators,
            peers,
            received_bytes: status.received_bytes,
            served_bytes: status.served_bytes,
            damaged_pieces: status.damaged_pieces,
            listen,
        }
    }
}

/// No farmer runs in the folder.
fn no_farmer(context: &Context) -> Failure {
    Failure::new(Exit::Network, format!("no farmer runs in {}", context.folder.root().display()))
        .hint("start one with `dsn farm --storage SIZE`, or name its folder with --dir DIR")
}

pub(crate) async fn run(context: &Context) -> Result<(), Failure> {
    let answer = control::ask(&context.folder, "status").await.ok_or_else(|| no_farmer(context))?;
    if context.json {
        print_line(&answer);
        return Ok(());
    }
    let status: StatusJson = serde_json::from_str(&answer).map_err(|error| Failure::of(Exit::Internal, &error))?;
    let rows = [
        ("peer id", status.peer_id),
        ("lent", human_bytes(status.reserved_bytes)),
        ("used", format!("{} in {} pieces", human_bytes(status.used_bytes), status.pieces)),
        ("free", human_bytes(status.free_bytes)),
        ("locators", status.locators.to_string()),
        ("peers", status.peers.to_string()),
        ("received", format!("{} since the start", human_bytes(status.received_bytes))),
        ("served", format!("{} since the start", human_bytes(status.served_bytes))),
        ("damaged", format!("{} pieces since the start", status.damaged_pieces)),
        ("listening on", status.listen.join(" ")),
    ];
    rows.iter().for_each(|(name, value)| print_line(&format!("{name:<13} {value}")));
    Ok(())
}
