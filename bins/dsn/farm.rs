//! `dsn farm`: lends disk space until it is told to stop. Killed and started again it goes on with what it has.

mod firewall;
mod lend;
mod members;
mod ports;
mod questions;
mod start;
mod store;
mod twin;

use std::{sync::Arc, time::Duration};

use dsn_cli::{Failure, Key, try_print_line};
use dsn_core::{limits::RECORD_MAX_ADDRESSES, ports::Network};
use dsn_net::{Reachability, address_to_bytes};
use futures::{StreamExt, stream::FuturesUnordered};
use serde_json::json;
use tokio::io::AsyncReadExt;

use self::{start::Running, twin::other_farmer};
use crate::{
    args::Farm,
    context::Context,
    control::{self, RunningFarmer},
    interrupt::Interrupts,
    own_names::OwnNames,
    owned::Owned,
    session,
};

/// Peers are written down this often, for a farmer that is killed.
const REMEMBER_EVERY: Duration = Duration::from_secs(60);

/// Leases are looked at this often.
const RENEW_EVERY: Duration = Duration::from_secs(3600);

/// Names are looked at this often: the list of them is short, and one may have been published for a minute.
const RENEW_NAMES_EVERY: Duration = Duration::from_secs(5);

/// Commands on this machine that are answered at once.
const QUESTIONS_AT_ONCE: usize = 16;

pub(crate) async fn run(context: &Context, args: &Farm) -> Result<(), Failure> {
    let mut interrupts = Interrupts::listen()?;
    context.folder.open()?;
    members::check(context)?;
    context.without_quota("not for lending space")?;
    let options = lend::options(context)?;
    let identity = context.folder.key("farmer.key")?;
    let _lock = context.folder.lock_farmer()?;
    let running = start::start(context, options, identity).await?;
    let stop = async {
        tokio::select! {
            () = interrupts.wait() => {}
            () = parent_gone(args.with_parent) => {}
        }
    };
    let served = serve_until(stop, context, &running).await;
    running.node.shutdown().await;
    running.farmer.stop();
    store::close(&running.store).await;
    served
}

/// Says where the farmer is to be found.
fn announce(context: &Context, running: &Running) -> Result<(), Failure> {
    let listen = running.node.listen_addrs();
    tell_farmer(running);
    let peer_id = running.node.local_id().to_string();
    RunningFarmer { peer_id: peer_id.clone(), listen: listen.clone(), pid: std::process::id() }
        .leave(&context.folder)?;
    let ready = if context.json {
        json!({"event": "ready", "peer_id": peer_id, "listen": listen}).to_string()
    } else {
        format!("ready {peer_id} {}", listen.join(" "))
    };
    Ok(try_print_line(&ready)?)
}

/// The farmer's own record follows how others reach it.
fn tell_farmer(running: &Running) {
    let reach = running.node.reach();
    let reach = reach.borrow();
    let is_found = reach.reachability != Reachability::Relayed;
    let addresses = reach.addresses.iter().filter_map(|address| address_to_bytes(address).ok());
    running.farmer.set_addresses(addresses.take(RECORD_MAX_ADDRESSES).collect(), is_found);
}

async fn serve_until(stop: impl Future<Output = ()>, context: &Context, running: &Running) -> Result<(), Failure> {
    let control = control::listen(&context.folder);
    announce(context, running)?;
    let network = context.settings.text(Key::NetworkName);
    let mut reach = running.node.reach();
    let mut stop = std::pin::pin!(stop);
    let mut remember = tokio::time::interval(REMEMBER_EVERY);
    // Dropped with this function: what is going on is taken up again by the next start.
    let mut upkeep = std::pin::pin!(Arc::clone(&running.farmer).look_after(Arc::new(running.node.clone())));
    let mut twin = std::pin::pin!(Arc::clone(&running.farmer).watch_for_twins(Arc::new(running.node.clone())));
    let mut renewal = std::pin::pin!(renew_leases(context, running));
    let mut revocations = std::pin::pin!(members::remember_revocations(context, &running.node));
    // Not one after the other: a command that says nothing must not keep the farmer from hearing that it should stop.
    let mut questions = FuturesUnordered::new();
    let ended = loop {
        tokio::select! {
            biased;
            () = &mut stop => break Ok(()),
            older = &mut twin => break Err(other_farmer(&older)),
            Some(()) = questions.next() => {}
            () = &mut upkeep => {}
            () = &mut renewal => {}
            () = &mut revocations => {}
            Some(stream) = questions::accept(control.as_ref()), if questions.len() < QUESTIONS_AT_ONCE => {
                questions.push(questions::serve(context, running, stream));
            }
            Ok(()) = reach.changed() => tell_farmer(running),
            _ = remember.tick() => {
                session::remember(context, network, &running.node).await;
            }
        }
    };
    session::remember(context, network, &running.node).await;
    ended
}

/// Renews the leases of what this folder's owner has put, and its names. Never ends.
async fn renew_leases(context: &Context, running: &Running) {
    let network = Arc::new(running.node.clone());
    let owner = context.owner();
    let client = match owner.and_then(|owner| session::client(network, owner, context)) {
        Ok(client) => client,
        Err(failure) => {
            tracing::warn!(error = failure.error, "leases of this folder are not renewed");
            return std::future::pending().await;
        }
    };
    let leases = async {
        loop {
            tokio::time::sleep(RENEW_EVERY).await;
            Owned::renew(&context.folder, &client).await;
        }
    };
    let names = async {
        loop {
            tokio::time::sleep(RENEW_NAMES_EVERY).await;
            OwnNames::renew(&context.folder, &client).await;
        }
    };
    tokio::join!(leases, names);
}

/// Waits for the end of standard input, when a parent holds its other end.
async fn parent_gone(with_parent: bool) {
    if !with_parent {
        std::future::pending::<()>().await;
    }
    let mut nothing = [0; 1];
    while matches!(tokio::io::stdin().read(&mut nothing).await, Ok(1..)) {}
}
