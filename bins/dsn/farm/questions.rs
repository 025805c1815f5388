//! What other commands on this machine ask a running farmer.

use dsn_core::ports::Network;
use dsn_net::Stray;
use tokio::net::{UnixListener, UnixStream};

use super::{Running, firewall, members, twin};
use crate::{
    context::Context,
    control,
    drain::{self, DrainJson},
    membership,
    peers::PeerJson,
    status::{self, SpaceCount, StatusAnswer, StatusJson},
};

/// Waits for a command; without a socket, for ever. Safe to drop.
pub(super) async fn accept(control: Option<&UnixListener>) -> Option<UnixStream> {
    match control {
        Some(listener) => listener.accept().await.ok().map(|(stream, _)| stream),
        None => std::future::pending().await,
    }
}

/// Answers a command. Others are answered meanwhile.
pub(super) async fn serve(context: &Context, running: &Running, stream: UnixStream) {
    control::serve(stream, async |question| answer(context, running, question).await).await;
}

async fn answer(context: &Context, running: &Running, question: &str) -> String {
    match question {
        status::QUESTION => serde_json::to_string(&status_now(running).await),
        status::COUNT_QUESTION => serde_json::to_string(&counted(running).await),
        drain::START | drain::CANCEL | drain::STATE => serde_json::to_string(&drained(running, question)),
        "peers" => {
            let known = running.node.known_nodes().await.unwrap_or_default();
            serde_json::to_string(&known.into_iter().map(PeerJson::from).collect::<Vec<_>>())
        }
        membership::REVOKED_QUESTION => Ok(members::apply_revocations(context, &running.node).await.to_string()),
        _ => return firewall::answer(running, question).await.unwrap_or_else(|| "null".to_owned()),
    }
    .expect("numbers and texts are JSON")
}

/// Begins or ends a drain, and says how far it is.
fn drained(running: &Running, question: &str) -> DrainJson {
    match question {
        drain::START => {
            running.set_draining(true);
            running.farmer.drain();
        }
        drain::CANCEL => {
            running.set_draining(false);
            running.farmer.cancel_drain();
        }
        _ => {}
    }
    running.farmer.drain_state().into()
}

async fn status_now(running: &Running) -> StatusJson {
    let known = running.node.known_nodes().await.unwrap_or_default();
    let local = running.node.local_id();
    let peers = known.iter().filter(|node| node.connected && node.node != local).count();
    let twins = running.farmer.twin().iter().map(twin::problem).collect::<Vec<_>>();
    let failure = running.store.failure().map(|error| format!("the store takes no writes: {error}"));
    let status = StatusJson::new(
        local.to_string(),
        peers,
        running.node.listen_addrs(),
        &running.node.reach().borrow(),
        &running.farmer.status(),
    );
    let strays = running.node.strays();
    let strays = strays.iter().map(|Stray { address, reason }| format!("the bootstrap node at {address}: {reason}"));
    let troubles = twins.into_iter().chain(failure).chain(running.full_disk()).chain(running.gatekeeper.problem());
    status.troubled_by(troubles.chain(strays).collect())
}

/// One count at a time: each takes one of the store's few reads for as long as it lasts.
async fn counted(running: &Running) -> StatusAnswer {
    let _only_one = running.counting.lock().await;
    match running.store.verify_space().await {
        Ok(check) => StatusAnswer::Status(Box::new(status_now(running).await.with(SpaceCount::from(check)))),
        Err(error) => StatusAnswer::Uncounted { uncounted: error.to_string() },
    }
}
