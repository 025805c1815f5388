//! Keeps records of names for others. Records of one name are merged, so that a conflict between two writers stays visible. A record is verified before it is
//! kept and again when it is read. A new version is passed on to be announced, and one that others announce is kept when
//! its name is.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use dsn_core::{
    name::{KnownName, Name, NameRecord, NameRecords, VerifiedName},
    network_name::NetworkName,
    node_id::NodeId,
    ports::{Environment, NameStore, StoreError, compute},
    rpc::{Refusal, Response},
};
use tokio::sync::broadcast;

use crate::{
    farmer::Farmer,
    publications::{Keeper, Publications},
    state::{NameIndex, Newcomers},
};

/// Names read in one go at the start.
const PAGE: usize = 1024;

/// New versions that wait to be announced; those that have waited longest are never announced when there are more.
const FRESH: usize = 64;

/// Hands records of names to the task that keeps them.
#[derive(Debug)]
pub(crate) struct NameKeeper {
    queue: Publications<VerifiedName>,
    index: Arc<Mutex<NameIndex>>,
    newcomers: Mutex<Newcomers>,
    fresh: broadcast::Sender<NameRecord>,
}

struct RecordKeeper {
    store: Arc<dyn NameStore>,
    environment: Arc<dyn Environment>,
    network: NetworkName,
    index: Arc<Mutex<NameIndex>>,
    fresh: broadcast::Sender<NameRecord>,
    /// Whether the index has all that the store has.
    is_loaded: bool,
}

impl NameKeeper {
    /// Starts the task; needs a running tokio runtime.
    pub(crate) fn start(store: Arc<dyn NameStore>, environment: Arc<dyn Environment>, network: NetworkName) -> Self {
        let index = Arc::<Mutex<NameIndex>>::default();
        let (fresh, _) = broadcast::channel(FRESH);
        let keeper = RecordKeeper {
            store,
            environment,
            network,
            index: Arc::clone(&index),
            fresh: fresh.clone(),
            is_loaded: false,
        };
        Self { queue: Publications::start(keeper), index, newcomers: Mutex::default(), fresh }
    }

    /// Keeps what somebody has announced, if its name is kept here; not when there is too much to do, since who asks finds out.
    pub(crate) fn hear(&self, record: VerifiedName) {
        if self.knows(record.body().name) {
            self.queue.try_keep(vec![record]);
        }
    }

    /// New versions that were published here, to be announced.
    pub(crate) fn fresh(&self) -> broadcast::Receiver<NameRecord> {
        self.fresh.subscribe()
    }

    fn knows(&self, name: Name) -> bool {
        self.index.lock().expect("no panic while locked").contains(name)
    }

    /// Whether this node may bring this name: one that is kept already, or not too many others lately.
    fn is_welcome(&self, from: NodeId, name: Name, now: u64) -> bool {
        self.knows(name) || self.newcomers.lock().expect("no panic while locked").welcome(from, now)
    }

    /// Names kept.
    pub(crate) fn len(&self) -> usize {
        self.index.lock().expect("no panic while locked").len()
    }

    /// Nodes that have brought names lately.
    pub(crate) fn bringers(&self) -> usize {
        self.newcomers.lock().expect("no panic while locked").len()
    }

    /// Stops the task; what is acknowledged is durable already.
    pub(crate) fn stop(&self) {
        self.queue.stop();
    }
}

impl Keeper for RecordKeeper {
    type Record = VerifiedName;
    /// What is kept of these names now.
    type Kept = BTreeMap<Name, KnownName>;

    const WHAT: &'static str = "records of names";
    const QUEUE: usize = 64;
    const GROUP_MAX: usize = 16;

    async fn begin(&mut self) -> Result<(), StoreError> {
        self.load().await
    }

    fn is_kept(kept: &Self::Kept, record: &VerifiedName) -> bool {
        kept.get(&record.body().name).is_some_and(|known| known.records().contains(record))
    }

    async fn merge(&mut self, records: Vec<VerifiedName>) -> Result<Self::Kept, StoreError> {
        self.load().await?;
        let now = self.environment.unix_secs();
        let mut merged: BTreeMap<Name, KnownName> = BTreeMap::new();
        for record in records.into_iter().filter(|record| !record.body().is_forgotten_at(now)) {
            merged.entry(record.body().name).or_default().merge(record);
        }
        let names: Vec<Name> = merged.keys().copied().collect();
        let (room, going) = self.index.lock().expect("no panic while locked").make_room(&names, now);
        merged.retain(|name, _| room.contains(name));
        let names: Vec<Name> = merged.keys().copied().collect();
        let (mut writes, mut news) = (Vec::new(), Vec::new());
        for ((_, fresh), old) in merged.iter_mut().zip(self.store.names(&names).await?) {
            let old = old.map(|old| old.verify(&self.network, now)).unwrap_or_default();
            fresh.merge_all(&old);
            news.extend(newer(fresh, &old).filter(|record| record.body().is_news_at(now)).cloned());
            writes.extend(fresh.to_records().filter(|_| *fresh != old));
        }
        if !going.is_empty() {
            self.store.drop_names(going.clone()).await?;
        }
        if !writes.is_empty() {
            self.store.put_names(writes).await?;
        }
        for record in news {
            let _nobody_announces = self.fresh.send(record.as_signed().clone());
        }
        let mut index = self.index.lock().expect("no panic while locked");
        going.into_iter().for_each(|name| index.remove(name));
        merged.iter().for_each(|(name, known)| index.set(*name, known.until()));
        Ok(merged)
    }
}

impl RecordKeeper {
    /// Learns which names the store has, once.
    async fn load(&mut self) -> Result<(), StoreError> {
        let mut after = None;
        while !self.is_loaded {
            let page = self.store.names_after(after, PAGE).await?;
            after = page.last().map(NameRecords::name);
            self.is_loaded = after.is_none();
            let mut index = self.index.lock().expect("no panic while locked");
            for records in page {
                let ends = records.records().iter().map(|record| record.body().until);
                index.set(records.name(), ends.max().unwrap_or(0));
            }
        }
        Ok(())
    }
}

/// The records of a new version, or of one that somebody else has given the same number; a version renewed is none.
fn newer<'a>(fresh: &'a KnownName, old: &'a KnownName) -> impl Iterator<Item = &'a VerifiedName> {
    let is_newer = fresh.sequence() > old.sequence() || fresh.records().len() > old.records().len();
    fresh.records().iter().filter(move |record| is_newer && !old.records().contains(record))
}

impl Farmer {
    /// What is kept of these names and is still true.
    pub(crate) async fn names(&self, names: &[Name]) -> Result<Response, Refusal> {
        let found = self.parts.store.names(names).await.map_err(|e| Self::storage(&e))?;
        let (network, now) = (self.parts.network_name.clone(), self.parts.environment.unix_secs());
        let verify = move |records: NameRecords| {
            let known = records.verify(&network, now);
            known.to_records().filter(|_| !known.is_forgotten_at(now))
        };
        let checked = move || found.into_iter().map(|records| records.and_then(&verify)).collect();
        Ok(Response::Names(compute(&*self.parts.compute, checked).await))
    }

    /// Keeps records of names; those that are not true are not kept, nor those of new names when there are too many.
    pub(crate) async fn publish_names(&self, from: NodeId, records: Vec<NameRecord>) -> Response {
        let (network, now) = (self.parts.network_name.clone(), self.parts.environment.unix_secs());
        let verify = move || records.into_iter().map(|record| record.verify(&network, now).ok()).collect();
        let mut verified: Vec<Option<VerifiedName>> = compute(&*self.parts.compute, verify).await;
        for record in &mut verified {
            record.take_if(|record| !self.name_keeper.is_welcome(from, record.body().name, now));
        }
        let mut kept = self.name_keeper.queue.keep(verified.iter().flatten().cloned().collect()).await.into_iter();
        let answer = verified.iter().map(|record| record.is_some() && kept.next().unwrap_or(false));
        Response::NamesPublished(answer.collect())
    }
}
