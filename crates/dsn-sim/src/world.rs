//! A network of farmers and a client, on virtual time: what a scenario acts on.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use dsn_client::{Client, ClientOptions, ClientParts};
use dsn_core::{
    hash::ChunkId,
    identity::Identity,
    index_set::IndexSet,
    locator::Locator,
    network_name::NetworkName,
    node_id::NodeId,
    ports::{Handler, InlineCompute, Network, Upkeep},
    rpc::Request,
};
use dsn_farmer::{Farmer, FarmerOptions, FarmerParts, FarmerStatus, Occupancy, UnlimitedDisk, UpkeepOptions};
use dsn_store::{FaultyStore, MemoryStore, Operation};
use tokio::{task::JoinHandle, time::Instant};

use crate::{
    disk::SyncedDisk,
    environment::SimEnvironment,
    fault::{Fault, FaultCounts, Lie},
    net::{Link, SimNet, SimPort},
};

/// Milliseconds from one fsync of a disk to the next: solid state to a busy spinning disk.
const SYNC_MS_MIN: u64 = 2;
const SYNC_MS_RANGE: u64 = 60;

struct SimFarmer {
    identity: Identity,
    disk: MemoryStore,
    synced: SyncedDisk,
    /// That, or what fails on purpose around it.
    store: Arc<dyn Upkeep>,
    environment: Arc<SimEnvironment>,
    reserved_bytes: u64,
    domain: String,
    port: Arc<SimPort>,
    running: Option<Running>,
}

struct Running {
    farmer: Arc<Farmer>,
    upkeep: JoinHandle<()>,
}

/// Farmers, a client, and the network between them.
pub struct World {
    net: Arc<SimNet>,
    name: NetworkName,
    farmers: BTreeMap<NodeId, SimFarmer>,
    client_identity: Identity,
    client_port: Arc<SimPort>,
    client_environment: Arc<SimEnvironment>,
    upkeep: UpkeepOptions,
    start: Instant,
    seed: u64,
}

impl World {
    /// A network of `farmers` farmers, each lending `reserved_bytes`, all running.
    ///
    /// # Panics
    /// Outside [`crate::run`].
    pub fn new(seed: u64, farmers: usize, reserved_bytes: u64, link: Link) -> Self {
        Self::with_upkeep(seed, farmers, reserved_bytes, link, UpkeepOptions::default())
    }

    /// The same with farmers that look after things in this way.
    ///
    /// # Panics
    /// Outside [`crate::run`].
    pub fn with_upkeep(seed: u64, farmers: usize, reserved_bytes: u64, link: Link, upkeep: UpkeepOptions) -> Self {
        let start = Instant::now();
        let net = SimNet::new(seed, link, start);
        let client = Identity::from_seed(*blake3::hash(&[b"client", &seed.to_le_bytes()[..]].concat()).as_bytes());
        let client_port = net.join(client.node_id(), false);
        let client_environment = Arc::new(SimEnvironment::new(start, seed));
        let name = "sim".parse().expect("a valid name");
        let mut world = Self {
            net,
            name,
            farmers: BTreeMap::new(),
            client_identity: client,
            client_port,
            client_environment,
            upkeep,
            start,
            seed,
        };
        for _ in 0..farmers {
            world.add_farmer(reserved_bytes);
        }
        world
    }

    /// A new farmer joins.
    pub fn add_farmer(&mut self, reserved_bytes: u64) -> NodeId {
        self.add_farmer_at(reserved_bytes, "")
    }

    /// A new farmer joins, with this failure-domain tag.
    pub fn add_farmer_at(&mut self, reserved_bytes: u64, domain: &str) -> NodeId {
        let (seed, nth) = (self.seed, self.farmers.len() as u64);
        let secret = blake3::hash(&[seed.to_le_bytes(), nth.to_le_bytes()].concat());
        let identity = Identity::from_seed(*secret.as_bytes());
        let environment =
            Arc::new(SimEnvironment::new(self.start, seed ^ (nth + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        let disk = MemoryStore::new();
        let sync = Duration::from_millis(SYNC_MS_MIN + (seed ^ nth.wrapping_mul(0x9e37_79b9)) % SYNC_MS_RANGE);
        let synced = SyncedDisk::new(disk.clone(), Arc::clone(&self.net), self.start, sync);
        let store = Arc::new(synced.clone()) as Arc<dyn Upkeep>;
        let id = identity.node_id();
        let port = self.net.join(id, true);
        let domain = domain.to_owned();
        let farmer =
            SimFarmer { identity, disk, synced, store, environment, reserved_bytes, domain, port, running: None };
        self.farmers.insert(id, farmer);
        self.start(id);
        id
    }

    /// All farmers, running or not.
    pub fn farmers(&self) -> Vec<NodeId> {
        self.farmers.keys().copied().collect()
    }

    /// A client with a fresh view of the network.
    pub fn client(&self, options: ClientOptions) -> Client {
        let parts = ClientParts {
            network: Arc::clone(&self.client_port) as _,
            compute: Arc::new(InlineCompute),
            environment: Arc::clone(&self.client_environment) as _,
            owner: self.client_identity.clone(),
            network_name: self.name.clone(),
        };
        Client::new(parts, options)
    }

    fn start(&mut self, id: NodeId) {
        let Some(farmer) = self.farmers.get_mut(&id) else { return };
        let parts = FarmerParts {
            store: Arc::clone(&farmer.store),
            disk: Arc::new(UnlimitedDisk),
            compute: Arc::new(InlineCompute),
            environment: Arc::clone(&farmer.environment) as _,
            identity: farmer.identity.clone(),
            network_name: self.name.clone(),
        };
        farmer.disk.reopen();
        let options = FarmerOptions {
            upkeep: self.upkeep.clone(),
            domain: farmer.domain.clone(),
            ..FarmerOptions::lending(farmer.reserved_bytes)
        };
        let running = Arc::new(Farmer::new(parts, options));
        self.net.start(id, Arc::clone(&running) as Arc<dyn Handler>);
        let upkeep = Arc::clone(&running).look_after(Arc::clone(&farmer.port) as Arc<dyn Network>);
        farmer.running = Some(Running { farmer: running, upkeep: tokio::task::spawn_local(upkeep) });
    }

    fn stop(&mut self, id: NodeId, fault: Fault) {
        self.net.stop(id);
        self.net.record(format_args!("{fault:?} {id}"));
        let Some(farmer) = self.farmers.get_mut(&id) else { return };
        if let Some(running) = farmer.running.take() {
            farmer.synced.crash();
            running.upkeep.abort();
            running.farmer.stop();
            self.net.count(fault);
        }
    }

    /// The farmer is told to move everything off.
    pub fn drain(&self, id: NodeId) {
        if let Some(running) = self.farmers.get(&id).and_then(|farmer| farmer.running.as_ref()) {
            running.farmer.drain();
        }
    }

    /// The farmer stops at once; its disk stays.
    pub fn crash(&mut self, id: NodeId) {
        self.stop(id, Fault::Crash);
    }

    /// The farmer stops for good, with its disk.
    pub fn leave(&mut self, id: NodeId) {
        self.stop(id, Fault::Leave);
        if let Some(farmer) = self.farmers.get(&id) {
            farmer.disk.lose_everything();
        }
    }

    /// The farmer stops, and comes back at once with an empty disk.
    pub fn wipe(&mut self, id: NodeId) {
        self.stop(id, Fault::Wipe);
        if let Some(farmer) = self.farmers.get(&id) {
            farmer.disk.lose_everything();
        }
        self.start(id);
    }

    /// A farmer that is away will be for longer than the grace.
    pub fn count_return(&self) {
        self.net.count(Fault::Return);
    }

    /// A farmer tells all others that it is about to repair these chunks, and is not.
    pub async fn forge_intents(&self, id: NodeId, chunks: &[ChunkId]) {
        let Some(liar) = self.farmers.get(&id) else { return };
        for node in self.farmers.keys().filter(|node| **node != id) {
            let _whatever = liar.port.request(*node, Request::Intend(chunks.to_vec())).await;
        }
        self.net.count(Fault::Lied(Lie::ForgesIntents));
    }

    /// What lies readable on a farmer's disk, whether it runs or not.
    pub fn on_disk(&self, id: NodeId) -> Vec<(ChunkId, IndexSet)> {
        self.farmers.get(&id).map(|farmer| farmer.disk.list_sound()).unwrap_or_default()
    }

    /// What lies on a farmer's disk, readable or not.
    pub fn listed(&self, id: NodeId) -> Vec<(ChunkId, IndexSet)> {
        self.farmers.get(&id).map(|farmer| farmer.disk.list()).unwrap_or_default()
    }

    /// Chunks on a farmer's disk that no lease of an owner names.
    pub fn without_lease(&self, id: NodeId) -> Vec<ChunkId> {
        self.farmers.get(&id).map(|farmer| farmer.disk.list_without_lease()).unwrap_or_default()
    }

    /// Farmers on which a running farmer does not rely.
    pub fn distrusted_by(&self, id: NodeId) -> Vec<NodeId> {
        let running = self.farmers.get(&id).and_then(|farmer| farmer.running.as_ref());
        running.map(|running| running.farmer.distrusted()).unwrap_or_default()
    }

    /// How full what a running farmer keeps for others in memory is.
    pub(crate) fn occupancies(&self, id: NodeId) -> Vec<Occupancy> {
        let running = self.farmers.get(&id).and_then(|farmer| farmer.running.as_ref());
        running.map(|running| running.farmer.occupancies().to_vec()).unwrap_or_default()
    }

    pub(crate) fn name(&self) -> &NetworkName {
        &self.name
    }

    /// A stranger's way into the network.
    pub(crate) fn join_as(&self, identity: &Identity) -> Arc<SimPort> {
        self.net.join(identity.node_id(), false)
    }

    /// Whose files the clients put.
    pub(crate) fn uploader(&self) -> &Identity {
        &self.client_identity
    }

    /// What a running farmer says of itself.
    pub fn status(&self, id: NodeId) -> Option<FarmerStatus> {
        self.farmers.get(&id)?.running.as_ref().map(|running| running.farmer.status())
    }

    /// A crashed farmer comes back with its disk.
    pub fn restart(&mut self, id: NodeId) {
        if self.farmers.get(&id).is_some_and(|farmer| farmer.running.is_none()) {
            self.net.record(format_args!("restart {id}"));
            self.net.count(Fault::Restart);
            self.start(id);
        }
    }

    /// The farmer takes requests and never answers.
    pub fn hang(&mut self, id: NodeId) {
        self.net.hang(id);
    }

    /// The farmer lies from now on, or no longer.
    pub fn lie(&mut self, id: NodeId, lie: Option<Lie>) {
        self.net.lie(id, lie);
    }

    /// The farmer takes so much longer over every request from now on.
    pub fn slow(&mut self, id: NodeId, by: Duration) {
        self.net.slow(id, by);
    }

    /// The farmer's clock is wrong by so much from now on.
    pub fn skew(&mut self, id: NodeId, secs: i64) {
        if let Some(farmer) = self.farmers.get(&id) {
            farmer.environment.skew(secs);
            self.net.count(Fault::ClockSkew);
        }
    }

    /// The locators a farmer keeps.
    pub fn locators_of(&self, id: NodeId) -> Vec<Locator> {
        self.farmers.get(&id).map(|farmer| farmer.disk.list_locators()).unwrap_or_default()
    }

    /// Nobody keeps the locator of this chunk any more.
    pub async fn lose_locator(&self, chunk: ChunkId) {
        for farmer in self.farmers.values() {
            farmer.disk.drop_locators(vec![chunk]).await.expect("memory does not fail");
        }
    }

    /// Cuts these farmers off from everybody else, or joins them again.
    pub fn partition(&mut self, ids: &[NodeId], apart: bool) {
        ids.iter().for_each(|id| self.net.set_group(*id, u8::from(apart)));
    }

    /// One of the farmer's pieces, chosen by `pick`, rots on its disk; says which.
    pub fn rot(&mut self, id: NodeId, pick: usize) -> Option<(ChunkId, u8)> {
        let farmer = self.farmers.get(&id)?;
        let held: Vec<_> = farmer
            .disk
            .list()
            .into_iter()
            .flat_map(|(chunk, set)| set.iter().map(move |i| (chunk, i)).collect::<Vec<_>>())
            .collect();
        let (chunk, index) = *held.get(pick % held.len().max(1))?;
        farmer.disk.flip_bit(chunk, index).then(|| {
            self.net.count(Fault::BitRot);
            (chunk, index)
        })
    }

    /// Every write of pieces fails from the farmer's next start on.
    pub fn break_disk(&mut self, id: NodeId) {
        self.break_writes(id, Operation::Put);
    }

    /// Every write of locators fails from the farmer's next start on.
    pub fn break_locators(&mut self, id: NodeId) {
        self.break_writes(id, Operation::PutLocators);
    }

    /// Every write and read of names fails from the farmer's next start on.
    pub fn break_names(&mut self, id: NodeId) {
        self.break_writes(id, Operation::Names);
    }

    /// The farmer's disk takes everything again.
    pub fn mend(&mut self, id: NodeId) {
        if !self.is_up(id) {
            return;
        }
        self.stop(id, Fault::Crash);
        if let Some(farmer) = self.farmers.get_mut(&id) {
            farmer.store = Arc::new(farmer.synced.clone());
        }
        self.start(id);
    }

    fn break_writes(&mut self, id: NodeId, broken: Operation) {
        let net = Arc::clone(&self.net);
        self.stop(id, Fault::Crash);
        if let Some(farmer) = self.farmers.get_mut(&id) {
            let faulty = FaultyStore::new(farmer.synced.clone(), move |operation| {
                (operation == broken).then(|| {
                    net.count(Fault::WriteError);
                    dsn_store::Fault::DiskFull
                })
            });
            farmer.store = Arc::new(faulty);
        }
        self.start(id);
    }

    /// The farmer lends next to nothing from its next start on.
    pub fn fill(&mut self, id: NodeId) {
        self.stop(id, Fault::Full);
        if let Some(farmer) = self.farmers.get_mut(&id) {
            farmer.reserved_bytes = 1;
        }
        self.start(id);
    }

    /// Whether the farmer answers.
    pub fn is_up(&self, id: NodeId) -> bool {
        self.net.is_up(id)
    }

    /// Whether others see the farmer in the network, though it may not answer.
    pub fn is_served(&self, id: NodeId) -> bool {
        self.farmers.get(&id).is_some_and(|farmer| farmer.running.is_some())
    }

    /// How often each fault happened.
    pub fn faults(&self) -> FaultCounts {
        self.net.faults()
    }

    /// The hash of everything that happened, and the number of events in it.
    pub fn trace_hash(&self) -> (String, u64) {
        self.net.trace_hash()
    }
}
