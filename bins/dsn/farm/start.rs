//! Puts a farmer together: its store, its ports, its node. Not here: what it does once it runs.

use std::{path::PathBuf, sync::Arc};

use dsn_cli::{Failure, Key, note};
use dsn_core::identity::Identity;
use dsn_farmer::{Farmer, FarmerOptions, FarmerParts};
use dsn_net::{NetOptions, Node, Room};
use dsn_store::RocksStore;

use super::{
    firewall::Gatekeeper,
    lend::{self, FolderDisk, full_disk},
    members, ports, store,
};
use crate::{
    context::Context,
    failures,
    firewall::{Fence, Operator, RuleSet},
    runtime::{SystemEnvironment, ThreadCompute},
    session,
};

/// A farmer and all it runs on.
pub(super) struct Running {
    pub(super) farmer: Arc<Farmer>,
    pub(super) node: Node,
    pub(super) store: RocksStore,
    pub(super) gatekeeper: Gatekeeper,
    disk: Arc<FolderDisk>,
    disk_reserve_bytes: u64,
    /// Held by whoever has everything counted.
    pub(super) counting: tokio::sync::Mutex<()>,
    /// Exists while everything is to be moved off, so that a restart goes on with it.
    draining: PathBuf,
}

impl Running {
    /// What its disk keeps it from.
    pub(super) fn full_disk(&self) -> Option<String> {
        full_disk(&self.disk, self.disk_reserve_bytes)
    }

    /// Remembers whether everything is to be moved off.
    pub(super) fn set_draining(&self, wanted: bool) {
        let done = if wanted { std::fs::write(&self.draining, "") } else { std::fs::remove_file(&self.draining) };
        if let Err(error) = done.or_else(|error| if wanted { Err(error) } else { Ok(()) }) {
            tracing::warn!(%error, "a restart will not go on with the drain");
        }
    }
}

/// Opens the store and starts the node; nothing is left running when that fails.
pub(super) async fn start(context: &Context, options: FarmerOptions, identity: Identity) -> Result<Running, Failure> {
    let network_name = context.network_name()?;
    let rules = RuleSet::load(context)?;
    let fence = Arc::new(Fence::of(&rules, Operator::Present)?);
    let bootstrap = session::bootstrap_without_farmer(context);
    let net = session::net_options(context, identity.clone(), bootstrap)?;
    let net = NetOptions {
        serve: true,
        listen: ports::as_before(members::listen(context, net.psk.is_some())?, &context.folder, &identity),
        external: context.settings.list(Key::FarmExternal),
        upnp: context.yes_or_no(Key::NetworkUpnp)?,
        relay: context.yes_or_no(Key::FarmRelay)?,
        announcements: context.yes_or_no(Key::NetworkAnnouncements)?,
        rendezvous_point: context.yes_or_no(Key::FarmRendezvousServer)?,
        upload: lend::cap(context, Key::FarmUploadCap)?,
        download: lend::cap(context, Key::FarmDownloadCap)?,
        room: Room { process: lend::memory(context)?, ..net.room },
        guard: Arc::clone(&fence) as _,
        ..net
    };
    let store = store::open(&context.folder.path("store"), options.reserved_bytes).await?;
    let disk = Arc::new(FolderDisk::of(&context.folder));
    let disk_reserve_bytes = options.disk_reserve_bytes;
    if let Some(full) = full_disk(&disk, disk_reserve_bytes) {
        note(&format!("warning: {full}"));
    }
    let parts = FarmerParts {
        store: Arc::new(store.clone()),
        disk: Arc::clone(&disk) as _,
        compute: Arc::new(ThreadCompute::new()),
        environment: Arc::new(SystemEnvironment),
        identity,
        network_name,
    };
    let farmer = Arc::new(Farmer::new(parts, options));
    let draining = context.folder.path("draining");
    if draining.exists() {
        farmer.drain();
    }
    match Node::start(net, Arc::clone(&farmer) as _).await {
        Ok(node) => {
            let gatekeeper = Gatekeeper::new(context.folder.clone(), rules, fence);
            let counting = tokio::sync::Mutex::default();
            Ok(Running { farmer, node, store, gatekeeper, disk, disk_reserve_bytes, counting, draining })
        }
        Err(error) => {
            farmer.stop();
            store::close(&store).await;
            Err(failures::net(&error))
        }
    }
}
