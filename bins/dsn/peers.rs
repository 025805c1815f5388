//! `dsn peers`: the nodes that the farmer in this folder knows; without one, those that a new node finds.

use dsn_cli::{Exit, Failure, human_bytes, print_line};
use dsn_core::{
    hello::Acquaintance,
    ports::{KnownNode, Network},
    record::Role,
};
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
    #[serde(flatten)]
    said: Option<Said>,
}

/// What a node says of itself; nothing before it has.
#[derive(Debug, Serialize, Deserialize)]
struct Said {
    role: String,
    /// At least so many, and less than twice as many.
    free_bytes: u64,
    domain: String,
    leaving: bool,
    protocol_version: u32,
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
            said: known.hello.map(Said::from),
        }
    }
}

impl From<Acquaintance> for Said {
    fn from(known: Acquaintance) -> Self {
        let Acquaintance { version, profile } = known;
        let role = match profile.role {
            Role::Client => "client",
            Role::Farmer => "farmer",
        };
        Self {
            role: role.into(),
            free_bytes: profile.free.at_least_bytes(),
            domain: profile.domain,
            leaving: profile.leaving,
            protocol_version: version,
        }
    }
}

impl Said {
    /// Its role, its room and its failure domain in a few words.
    fn in_words(&self) -> [String; 3] {
        let free = match (self.role.as_str(), self.free_bytes) {
            ("client", _) => "-".into(),
            (_, _) if self.leaving => "leaving".into(),
            (_, 0) => "full".into(),
            (_, bytes) => format!("over {}", human_bytes(bytes)),
        };
        let domain = if self.domain.is_empty() { "-" } else { &self.domain };
        [format!("{} v{}", self.role, self.protocol_version), free, domain.into()]
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
    print_line(&row("PEER", "CONNECTED", "FOUND BY", "TRIP", ["ROLE", "FREE", "DOMAIN"], "ADDRESS"));
    for peer in peers {
        let trip = peer.round_trip_ms.map_or_else(|| "-".into(), |ms| format!("{ms:.1} ms"));
        let connected = if peer.connected { "yes" } else { "no" };
        let said = peer.said.map_or_else(|| ["-"; 3].map(String::from), |said| said.in_words());
        let address = peer.addresses.first().map_or("-", String::as_str);
        print_line(&row(&peer.peer_id, connected, &peer.found_by, &trip, said.each_ref().map(String::as_str), address));
    }
    Ok(())
}

fn row(peer: &str, connected: &str, found_by: &str, trip: &str, said: [&str; 3], address: &str) -> String {
    let [role, free, domain] = said;
    format!("{peer:<52} {connected:<9} {found_by:<10} {trip:>9}  {role:<9} {free:<14} {domain:<12} {address}")
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
