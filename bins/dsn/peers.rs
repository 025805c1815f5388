//! `dsn peers`: the nodes that the farmer in this folder knows; without one, those that a new node finds.

use dsn_cli::{Exit, Failure, print_line};
use dsn_core::ports::{KnownNode, Network};
use serde::{Deserialize, Serialize};

use crate::{context::Context, control, failures, session::Session};

/// A node as it crosses the farmer's socket and as `--json` shows it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PeerJson {
    peer_id: String,
    connected: bool,
    found_by: String,
    round_trip_ms: Option<f64>,
    agent: Option<String>,
    addresses: Vec<String>,
}

impl From<KnownNode> for PeerJson {
    fn from(known: KnownNode) -> Self {
        Self {
            peer_id: known.node.to_string(),
            connected: known.connected,
            found_by: known.found_by.into(),
            round_trip_ms: known.round_trip.map(|trip| trip.as_secs_f64() * 1000.0),
            agent: known.agent,
            addresses: known.addresses,
        }
    }
}

pub(crate) async fn run(context: &Context) -> Result<(), Failure> {
    let peers: Vec<PeerJson> = match control::ask(&context.folder, "peers").await {
        Some(answer) => serde_json::from_str(&answer).map_err(|error| Failure::of(Exit::Internal, &error))?,
        None => discover(context).await?,
    };
    if context.json {
        for peer in &peers {
            dsn_cli::print_json(peer);
        }
        return Ok(());
    }
    print_line(&format!("{:<52} {:<9} {:<10} {:>9}  {}", "PEER", "CONNECTED", "FOUND BY", "TRIP", "ADDRESS"));
    for peer in peers {
        let trip = peer.round_trip_ms.map_or_else(|| "-".into(), |ms| format!("{ms:.1} ms"));
        let connected = if peer.connected { "yes" } else { "no" };
        let address = peer.addresses.first().map_or("-", String::as_str);
        print_line(&format!("{:<52} {connected:<9} {:<10} {trip:>9}  {address}", peer.peer_id, peer.found_by));
    }
    Ok(())
}

async fn discover(context: &Context) -> Result<Vec<PeerJson>, Failure> {
    let session = Session::open(context).await?;
    let found = match session.node.snapshot(true).await {
        Ok(_) => session.node.known_nodes().await,
        Err(error) => Err(error),
    };
    session.close(context).await;
    Ok(found.map_err(|error| failures::network(&error))?.into_iter().map(PeerJson::from).collect())
}
