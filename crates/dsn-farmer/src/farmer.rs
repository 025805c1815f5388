//! The farmer itself: its parts, its word about itself, and the dispatch of requests to the rooms that serve them.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use dsn_core::{
    announcement::News,
    hash::ChunkId,
    hello::{Capabilities, Profile, SpaceClass},
    identity::Identity,
    membership::Allowance,
    network_name::NetworkName,
    node_id::NodeId,
    ports::{Compute, Environment, Handler, NameStore, PieceStore, Upkeep},
    record::{FarmerRecord, RecordBody, Role},
    rpc::{FarmerInfo, Refusal, Request, Response, StoreHeader},
    twins::Twin,
};
use tokio::sync::watch;

use crate::{
    custodian::{Custodian, LocatorKeeper},
    names::NameKeeper,
    options::{Disk, FarmerOptions},
    publications::Publications,
    state::{Counters, Damaged, Drain, Grants, Greetings, Intents, Owners, Presences, Queue, Registry},
};

/// What a farmer is made of.
#[derive(Clone)]
pub struct FarmerParts {
    /// Where pieces are kept.
    pub store: Arc<dyn Upkeep>,
    /// The disk under it.
    pub disk: Arc<dyn Disk>,
    /// Where hashing runs.
    pub compute: Arc<dyn Compute>,
    /// Clock and randomness.
    pub environment: Arc<dyn Environment>,
    /// Who it is.
    pub identity: Identity,
    /// The network it is in.
    pub network_name: NetworkName,
}

/// Lends space to a network.
pub struct Farmer {
    pub(crate) parts: FarmerParts,
    pub(crate) options: FarmerOptions,
    pub(crate) grants: Mutex<Grants>,
    pub(crate) owners: Mutex<Owners>,
    pub(crate) custodian: Custodian,
    pub(crate) name_keeper: NameKeeper,
    pub(crate) counters: Counters,
    pub(crate) liveness: Arc<Presences>,
    pub(crate) intents: Mutex<Intents>,
    pub(crate) repairs: Queue,
    pub(crate) damaged: Damaged,
    pub(crate) drain: watch::Sender<Drain>,
    pub(crate) greetings: Mutex<Greetings>,
    pub(crate) registry: Mutex<Registry>,
    /// Whether no look-up finds it.
    pub(crate) hidden: watch::Sender<bool>,
    /// The last twin seen, and when.
    pub(crate) twin: Mutex<Option<(u64, Twin)>>,
    addresses: Mutex<Vec<bytes::Bytes>>,
    record_seq: AtomicU64,
}

impl Farmer {
    /// A farmer on these ports; needs a running tokio runtime.
    pub fn new(parts: FarmerParts, options: FarmerOptions) -> Self {
        let liveness = Arc::new(Presences::new(options.upkeep.absent_grace_secs));
        let custodian = Publications::start(LocatorKeeper::new(
            Arc::clone(&parts.store) as Arc<dyn PieceStore>,
            Arc::clone(&parts.environment),
            options.max_locators,
            Arc::clone(&liveness),
        ));
        let name_keeper = NameKeeper::start(
            Arc::clone(&parts.store) as Arc<dyn NameStore>,
            Arc::clone(&parts.environment),
            parts.network_name.clone(),
        );
        let record_seq = AtomicU64::new(parts.environment.unix_secs());
        let addresses = Mutex::new(options.addresses.clone());
        Self {
            grants: Mutex::default(),
            owners: Mutex::new(Owners::new(options.owner_quota_bytes)),
            custodian,
            name_keeper,
            counters: Counters::default(),
            liveness,
            intents: Mutex::default(),
            repairs: Queue::default(),
            damaged: Damaged::default(),
            drain: watch::Sender::default(),
            greetings: Mutex::default(),
            registry: Mutex::default(),
            hidden: watch::Sender::default(),
            twin: Mutex::default(),
            addresses,
            record_seq,
            parts,
            options,
        }
    }

    /// Tells under which addresses (binary multiaddrs) others reach it from now on, and whether a look-up finds it.
    pub fn set_addresses(&self, addresses: Vec<bytes::Bytes>, is_found: bool) {
        *self.addresses.lock().expect("no panic while locked") = addresses;
        self.record_seq.fetch_add(1, Ordering::Relaxed);
        self.hidden.send_replace(!is_found);
    }

    pub(crate) fn addresses(&self) -> Vec<bytes::Bytes> {
        self.addresses.lock().expect("no panic while locked").clone()
    }

    /// Stops its tasks. Requests that come later are refused; what was acknowledged is durable.
    pub fn stop(&self) {
        self.custodian.stop();
        self.name_keeper.stop();
    }

    /// Takes back the leaves to send pieces of nodes that are no longer let in: their bodies are not read any more.
    pub fn revoke(&self, is_denied: impl Fn(NodeId) -> bool) {
        self.grants.lock().expect("no panic while locked").revoke(is_denied);
    }

    /// Bytes it would still take: its reservation less what is used and granted, and never into the disk's reserve.
    pub(crate) fn free_bytes(&self) -> u64 {
        self.free_beside(&mut self.grants.lock().expect("no panic while locked"))
    }

    /// The same for a caller that holds the grants, so that no two offers get the same room.
    pub(crate) fn free_beside(&self, grants: &mut Grants) -> u64 {
        if self.is_leaving() {
            return 0;
        }
        let granted = grants.sweep(self.parts.environment.unix_secs());
        let used = self.parts.store.space().used_bytes.saturating_add(granted);
        let lent = self.options.reserved_bytes.saturating_sub(used);
        let disk = self.parts.disk.free_bytes().unwrap_or(u64::MAX);
        lent.min(disk.saturating_sub(self.options.disk_reserve_bytes).saturating_sub(granted))
    }

    /// A piece held is no longer what it was, and given up.
    pub(crate) fn found_damaged(&self, chunk: ChunkId, index: u8) {
        tracing::warn!(%chunk, index, "a piece is damaged");
        Counters::add(&self.counters.damaged_pieces, 1);
        self.damaged.note(chunk, index);
    }

    fn hear_intents(&self, from: NodeId, chunks: &[ChunkId]) -> Response {
        let now = self.parts.environment.unix_secs();
        let mut intents = self.intents.lock().expect("no panic while locked");
        Response::Intended(chunks.iter().map(|chunk| intents.hear(*chunk, from, now)).collect())
    }

    /// Its word about itself.
    pub(crate) fn record(&self) -> FarmerRecord {
        let space_class = u8::try_from(self.options.reserved_bytes.max(1).ilog2()).expect("at most 63");
        RecordBody {
            network: self.parts.network_name.clone(),
            node: self.parts.identity.node_id(),
            addresses: self.addresses(),
            space_class,
            domain: self.options.domain.clone(),
            role: Role::Farmer,
            seq: self.record_seq.load(Ordering::Relaxed),
        }
        .sign(&self.parts.identity)
    }

    async fn answer(&self, from: NodeId, allowance: Option<Allowance>, request: Request) -> Response {
        self.liveness.sent(from, self.parts.environment.unix_secs());
        let answer = match request {
            Request::Info => Ok(Response::Info(self.info())),
            Request::Locate(chunks) => self.locate(&chunks).await,
            Request::Publish(locators) => self.publish(locators).await,
            Request::Offer(offer) => self.offer(from, offer, allowance).await,
            Request::Store(parts) => self.store(from, parts).await,
            Request::Fetch(wants) => self.fetch(&wants).await,
            Request::Slices(wants) => self.slices(&wants).await,
            Request::Holds(chunks) => self.holds(&chunks).await,
            Request::Commit(commit) => self.commit(from, commit, allowance).await,
            Request::Audit(items) => self.prove(&items).await,
            Request::Intend(chunks) => Ok(self.hear_intents(from, &chunks)),
            Request::Leases(chunks) => self.leases(&chunks).await,
            Request::Renew(leases) => self.renew(leases).await,
            Request::Compare(marks) => self.compare(&marks).await,
            Request::Greet(greeting) => self.greeted(from, greeting),
            Request::Register(_) if allowance.is_some() => Err(Refusal::Denied), // it lends nothing
            Request::Register(record) => self.registered(from, record),
            Request::Records(query) => Ok(self.records(&query)),
            Request::Names(names) => self.names(&names).await,
            Request::PublishNames(records) => Ok(self.publish_names(from, records).await),
            Request::Hello(_) => Err(Refusal::NotServed), // the network answers it
        };
        answer.unwrap_or_else(Response::Refused)
    }

    fn info(&self) -> FarmerInfo {
        let now = self.parts.environment.unix_secs();
        FarmerInfo {
            record: self.record(),
            reserved_bytes: self.options.reserved_bytes,
            free_bytes: self.free_bytes(),
            leaving: self.is_leaving(),
            registered: self.registry.lock().expect("no panic while locked").count(now),
        }
    }
}

/// A random number.
pub(crate) fn random(environment: &dyn Environment) -> u64 {
    let mut bytes = [0; 8];
    environment.fill_random(&mut bytes);
    u64::from_le_bytes(bytes)
}

#[async_trait]
impl Handler for Farmer {
    fn admit(&self, parts: &[StoreHeader]) -> Result<(), Refusal> {
        let now = self.parts.environment.unix_secs();
        let allowed = self.grants.lock().expect("no panic while locked").allow(parts, now);
        if allowed { Ok(()) } else { Err(Refusal::BadToken) }
    }

    async fn handle(&self, from: NodeId, request: Request) -> Response {
        self.answer(from, None, request).await
    }

    async fn handle_within(&self, from: NodeId, allowance: Allowance, request: Request) -> Response {
        self.answer(from, Some(allowance), request).await
    }

    fn hear(&self, news: &News) -> bool {
        self.note(news)
    }

    fn profile(&self) -> Profile {
        Profile {
            role: Role::Farmer,
            capabilities: Capabilities::PIECES,
            lent: SpaceClass::of(self.options.reserved_bytes),
            free: SpaceClass::of(self.free_bytes()),
            domain: self.options.domain.clone(),
            leaving: self.is_leaving(),
        }
    }
}
