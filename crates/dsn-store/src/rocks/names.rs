//! Records of names in RocksDB: read beside everything else, written by the writer with whatever else waits.

use async_trait::async_trait;
use bytes::Bytes;
use dsn_core::{
    hash::{ChunkId, Hash},
    name::{Name, NameRecords},
    ports::{NameStore, StoreError},
};

use super::{
    RocksStore,
    database::Database,
    group::Group,
    layout::{NAME_TAG, name_key},
    walk,
    writer::{Command, Grouped},
};

/// What a group does with names.
pub(super) enum NameChange {
    /// Keeps these records.
    Put(Vec<NameRecords>),
    /// Forgets these names.
    Drop(Vec<Name>),
}

impl NameChange {
    /// About how many bytes this adds to a group.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Put(records) => records.len() * 2048,
            Self::Drop(names) => names.len() * 64,
        }
    }

    /// Whether it takes room.
    pub(super) fn grows(&self) -> bool {
        matches!(self, Self::Put(_))
    }

    /// Adds it to a group.
    pub(super) fn join(&self, group: &mut Group<'_>) {
        match self {
            Self::Put(records) => {
                records.iter().for_each(|records| group.put_meta(&name_key(records.name()), &records.encode()));
            }
            Self::Drop(names) => names.iter().for_each(|name| group.delete_meta(&name_key(*name))),
        }
    }
}

fn decode(name: Name, value: &[u8]) -> Option<NameRecords> {
    NameRecords::decode(&Bytes::copy_from_slice(value)).ok().filter(|records| records.name() == name)
}

fn after(database: &Database, after: Option<Name>, max: usize) -> Result<Vec<NameRecords>, StoreError> {
    // The walk goes by chunk ids, which are 32 bytes as names are.
    let after = after.map(|name| ChunkId(Hash(*name.as_bytes())));
    walk::page(database, NAME_TAG, after, max, |key, value| {
        Ok(Name::from_slice(key.as_bytes()).and_then(|name| decode(name, value)))
    })
}

#[async_trait]
impl NameStore for RocksStore {
    async fn put_names(&self, records: Vec<NameRecords>) -> Result<(), StoreError> {
        let change = NameChange::Put(records);
        self.command(|reply| Command::Grouped(Grouped::Names { change, reply })).await
    }

    async fn names(&self, names: &[Name]) -> Result<Vec<Option<NameRecords>>, StoreError> {
        let names = names.to_vec();
        let read = |database: &Database, name| database.decoded(&name_key(name), |value| decode(name, value));
        self.read(move |database| names.into_iter().map(|name| read(database, name)).collect()).await
    }

    async fn names_after(&self, name: Option<Name>, max: usize) -> Result<Vec<NameRecords>, StoreError> {
        self.read(move |database| after(database, name, max)).await
    }

    async fn drop_names(&self, names: Vec<Name>) -> Result<(), StoreError> {
        let change = NameChange::Drop(names);
        self.command(|reply| Command::Grouped(Grouped::Names { change, reply })).await
    }
}
