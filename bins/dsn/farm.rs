//! `dsn farm`: lends disk space until it is told to stop. Killed and started again it goes on with what it has.

mod lend;
mod questions;
mod store;

use std::{sync::Arc, time::Duration};

use dsn_cli::{Failure, Key, try_print_line};
use dsn_core::{identity::Identity, ports::Network};
use dsn_farmer::{Farmer, FarmerOptions, FarmerParts};
use dsn_net::{NetOptions, Node, address_to_bytes};
use dsn_store::RocksStore;
use futures::{StreamExt, stream::FuturesUnordered};
use serde_json::json;
use tokio::io::AsyncReadExt;

use crate::{
    args::Farm,
    context::Context,
    control::{self, RunningFarmer},
    failures,
    interrupt::Interrupts,
    runtime::{SystemEnvironment, ThreadCompute},
    session,
};

/// Peers are written down this often, for a farmer that is killed.
const REMEMBER_EVERY: Duration = Duration::from_secs(60);

/// Commands on this machine that are answered at once.
const QUESTIONS_AT_ONCE: usize = 16;

/// A farmer and all it runs on.
struct Running {
    farmer: Arc<Farmer>,
    node: Node,
    store: RocksStore,
    /// Held by whoever has everything counted.
    counting: tokio::sync::Mutex<()>,
}

pub(crate) async fn run(context: &Context, args: &Farm) -> Result<(), Failure> {
    let mut interrupts = Interrupts::listen()?;
    context.folder.open()?;
    let options = lend::options(context)?;
    let identity = context.folder.key("farmer.key")?;
    let _lock = context.folder.lock_farmer()?;
    let running = start(context, options, identity).await?;
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

async fn start(context: &Context, options: FarmerOptions, identity: Identity) -> Result<Running, Failure> {
    let bootstrap = context.settings.list(Key::NetworkBootstrap);
    let network_name = context.network_name()?;
    let net = NetOptions {
        serve: true,
        listen: context.settings.list(Key::FarmListen),
        mdns: session::mdns(context, &bootstrap)?,
        bootstrap,
        remembered: session::remembered(context),
        ..NetOptions::new(identity.clone(), network_name.clone())
    };
    let store = store::open(&context.folder.path("store"), options.reserved_bytes).await?;
    let parts = FarmerParts {
        store: Arc::new(store.clone()),
        disk: Arc::new(lend::FolderDisk::of(&context.folder)),
        compute: Arc::new(ThreadCompute::new()),
        environment: Arc::new(SystemEnvironment),
        identity,
        network_name,
    };
    let farmer = Arc::new(Farmer::new(parts, options));
    match Node::start(net, Arc::clone(&farmer) as _).await {
        Ok(node) => Ok(Running { farmer, node, store, counting: tokio::sync::Mutex::default() }),
        Err(error) => {
            farmer.stop();
            store::close(&store).await;
            Err(failures::net(&error))
        }
    }
}

/// Says where the farmer is to be found.
fn announce(context: &Context, running: &Running) -> Result<(), Failure> {
    let listen = running.node.listen_addrs();
    let addresses = listen.iter().filter_map(|address| address_to_bytes(address).ok()).take(8).collect();
    running.farmer.set_addresses(addresses);
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

async fn serve_until(stop: impl Future<Output = ()>, context: &Context, running: &Running) -> Result<(), Failure> {
    let control = control::listen(&context.folder);
    announce(context, running)?;
    let network = context.settings.text(Key::NetworkName);
    let mut stop = std::pin::pin!(stop);
    let mut remember = tokio::time::interval(REMEMBER_EVERY);
    // Not one after the other: a command that says nothing must not keep the farmer from hearing that it should stop.
    let mut questions = FuturesUnordered::new();
    loop {
        tokio::select! {
            biased;
            () = &mut stop => break,
            Some(()) = questions.next() => {}
            Some(stream) = questions::accept(control.as_ref()), if questions.len() < QUESTIONS_AT_ONCE => {
                questions.push(questions::serve(running, stream));
            }
            _ = remember.tick() => {
                session::remember(context, network, &running.node).await;
            }
        }
    }
    session::remember(context, network, &running.node).await;
    Ok(())
}

/// Waits for the end of standard input, when a parent holds its other end.
async fn parent_gone(with_parent: bool) {
    if !with_parent {
        std::future::pending::<()>().await;
    }
    let mut nothing = [0; 1];
    while matches!(tokio::io::stdin().read(&mut nothing).await, Ok(1..)) {}
}
