//! What other commands on this machine ask a running farmer.

use dsn_core::ports::Network;
use tokio::net::{UnixListener, UnixStream};

use super::Running;
use crate::{control, peers::PeerJson, status::StatusJson};

/// Waits for a command; without a socket, for ever. Safe to drop.
pub(super) async fn accept(control: Option<&UnixListener>) -> Option<UnixStream> {
    match control {
        Some(listener) => listener.accept().await.ok().map(|(stream, _)| stream),
        None => std::future::pending().await,
    }
}

/// Answers a command.
pub(super) async fn serve(running: &Running, stream: UnixStream) {
    control::serve(stream, async |question| answer(running, question).await).await;
}

async fn answer(running: &Running, question: &str) -> String {
    let known = running.node.known_nodes().await.unwrap_or_default();
    let local = running.node.local_id();
    match question {
        "status" => {
            let peers = known.iter().filter(|node| node.connected && node.node != local).count();
            let (listen, status) = (running.node.listen_addrs(), running.farmer.status());
            serde_json::to_string(&StatusJson::new(local.to_string(), peers, listen, &status))
        }
        "peers" => serde_json::to_string(&known.into_iter().map(PeerJson::from).collect::<Vec<_>>()),
        _ => Ok("null".to_owned()),
    }
    .expect("numbers and texts are JSON")
}
