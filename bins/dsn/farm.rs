//! `dsn farm`: lends disk space until it is told to stop. Killed and started again it goes on with what it has.

use std::{path::Path, sync::Arc, time::Duration};

use dsn_cli::{Exit, Failure, Key, note, parse_size, print_json, print_line};
use dsn_core::ports::Network;
use dsn_farmer::{Disk, Farmer, FarmerOptions, FarmerParts};
use dsn_net::{NetOptions, Node, address_to_bytes};
use dsn_store::{OpenError, OpenReport, RocksOptions, RocksStore};
use serde_json::json;
use tokio::{io::AsyncReadExt, net::UnixListener};

use crate::{
    args::Farm,
    context::Context,
    control::{self, RunningFarmer},
    failures,
    interrupt::interrupted,
    peers::PeerJson,
    runtime::{SystemEnvironment, ThreadCompute},
    session,
    status::StatusJson,
};

/// Peers are written down this often, for a farmer that is killed.
const REMEMBER_EVERY: Duration = Duration::from_secs(60);

/// Least space left free on a disk, and its part in a hundred.
const DISK_RESERVE_MIN_BYTES: u64 = 2 << 30;
const DISK_RESERVE_PERCENT: u64 = 5;

/// The disk a folder lies on.
struct FolderDisk {
    folder: std::path::PathBuf,
}

impl Disk for FolderDisk {
    fn free_bytes(&self) -> Option<u64> {
        rustix::fs::statvfs(&self.folder).ok().map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize))
    }
}

/// A farmer and all it runs on.
struct Running {
    farmer: Arc<Farmer>,
    node: Node,
    store: RocksStore,
}

pub(crate) async fn run(context: &Context, args: &Farm) -> Result<(), Failure> {
    context.folder.open()?;
    let options = options(context)?;
    let identity = context.folder.key("farmer.key")?;
    let _lock = context.folder.lock_farmer()?;
    let running = start(context, options, identity.clone()).await?;
    let listen = running.node.listen_addrs();
    let addresses = listen.iter().filter_map(|address| address_to_bytes(address).ok()).take(8).collect();
    running.farmer.set_addresses(addresses);
    let peer_id = identity.node_id().to_string();
    RunningFarmer { peer_id: peer_id.clone(), listen: listen.clone(), pid: std::process::id() }
        .leave(&context.folder)?;
    let control = control::listen(&context.folder);
    if context.json {
        print_json(&json!({"event": "ready", "peer_id": peer_id, "listen": listen}));
    } else {
        print_line(&format!("ready {peer_id} {}", listen.join(" ")));
    }
    serve_until_stopped(context, &running, control, args.with_parent).await?;
    session::remember(context, context.settings.text(Key::NetworkName), &running.node).await;
    running.node.shutdown().await;
    running.farmer.stop();
    running.store.close().await.map_err(|error| Failure::of(Exit::Disk, &error))
}

async fn start(
    context: &Context,
    options: FarmerOptions,
    identity: dsn_core::identity::Identity,
) -> Result<Running, Failure> {
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
    let store = open_store(&context.folder.path("store")).await?;
    let used = dsn_core::ports::PieceStore::space(&store).used_bytes;
    if used > options.reserved_bytes {
        note(&format!("warning: {used} bytes are used already, more than is lent: nothing new is taken"));
    }
    let parts = FarmerParts {
        store: Arc::new(store.clone()),
        disk: Arc::new(FolderDisk { folder: context.folder.root().to_path_buf() }),
        compute: Arc::new(ThreadCompute::new()),
        environment: Arc::new(SystemEnvironment),
        identity,
        network_name,
    };
    let farmer = Arc::new(Farmer::new(parts, options));
    let node = Node::start(net, Arc::clone(&farmer) as _).await.map_err(|error| failures::net(&error))?;
    Ok(Running { farmer, node, store })
}

fn options(context: &Context) -> Result<FarmerOptions, Failure> {
    let size = |key: Key| {
        let value = context.settings.get(key).map(|(value, _)| parse_size(value));
        value.transpose().map_err(|error| Failure::of(Exit::Configuration, &error).named(key.name()))
    };
    let missing = || Failure::new(Exit::Configuration, "how much to lend is not set").hint("dsn farm --storage 100GiB");
    let reserved_bytes = size(Key::FarmStorage)?.ok_or_else(missing)?;
    let disk = rustix::fs::statvfs(context.folder.root()).map_err(|e| Failure::of(Exit::Disk, &e))?;
    let total = disk.f_blocks.saturating_mul(disk.f_frsize);
    if reserved_bytes == 0 || reserved_bytes > total {
        let error = format!("farm.storage is {reserved_bytes} bytes; the disk has {total}");
        return Err(Failure::new(Exit::Configuration, error).hint("lend at least one byte and at most the whole disk"));
    }
    let usual_reserve = (total / 100 * DISK_RESERVE_PERCENT).max(DISK_RESERVE_MIN_BYTES);
    Ok(FarmerOptions {
        disk_reserve_bytes: size(Key::FarmDiskReserve)?.unwrap_or(usual_reserve),
        domain: context.settings.text(Key::FarmDomain).to_owned(),
        ..FarmerOptions::lending(reserved_bytes)
    })
}

async fn open_store(path: &Path) -> Result<RocksStore, Failure> {
    let path = path.to_path_buf();
    let open = tokio::task::spawn_blocking(move || RocksStore::open(path, &RocksOptions::default())).await;
    let store = open.map_err(|error| Failure::of(Exit::Internal, &error))?.map_err(|error| match &error {
        OpenError::Locked { .. } => Failure::of(Exit::AlreadyRunning, &error),
        OpenError::NewerFormat { .. } | OpenError::UnknownFormat { .. } => Failure::of(Exit::Configuration, &error),
        OpenError::Io { .. } | OpenError::Database { .. } => Failure::of(Exit::Disk, &error),
    })?;
    match store.report() {
        OpenReport::Clean => {}
        OpenReport::Damaged => note("warning: the store has damaged files; what they held is lost, the rest is served"),
        OpenReport::SetAside { path } => {
            note(&format!(
                "warning: the store could not be read; it was set aside as {}, an empty one was started",
                path.display()
            ));
        }
    }
    Ok(store)
}

async fn serve_until_stopped(
    context: &Context,
    running: &Running,
    control: Option<UnixListener>,
    with_parent: bool,
) -> Result<(), Failure> {
    let mut remember = tokio::time::interval(REMEMBER_EVERY);
    let mut stop = std::pin::pin!(interrupted());
    let mut orphaned = std::pin::pin!(parent_gone(with_parent));
    loop {
        tokio::select! {
            biased;
            signal = &mut stop => return signal,
            () = &mut orphaned => return Ok(()),
            Some(stream) = accept(control.as_ref()) => {
                control::serve(stream, async |question| answer(running, question).await).await;
            }
            _ = remember.tick() => {
                session::remember(context, context.settings.text(Key::NetworkName), &running.node).await;
            }
        }
    }
}

async fn accept(control: Option<&UnixListener>) -> Option<tokio::net::UnixStream> {
    match control {
        Some(listener) => listener.accept().await.ok().map(|(stream, _)| stream),
        None => std::future::pending().await,
    }
}

/// Waits for the end of standard input, when a parent holds its other end.
async fn parent_gone(with_parent: bool) {
    if !with_parent {
        std::future::pending::<()>().await;
    }
    let mut nothing = [0; 1];
    while matches!(tokio::io::stdin().read(&mut nothing).await, Ok(1..)) {}
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
