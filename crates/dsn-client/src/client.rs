//! The client: the ports it works on and what it shares between its operations.

use std::sync::Arc;

use dsn_core::{
    hash::ChunkId,
    identity::Identity,
    index_set::IndexSet,
    limits::{IDS_MAX_PER_REQUEST, PUBLISH_MAX_LOCATORS},
    locator::Locator,
    network_name::NetworkName,
    node_id::NodeId,
    ports::{Compute, Environment, Network, NetworkError},
};

use crate::{batch::Batcher, options::ClientOptions, scores::Scores};

/// Chunk ids in one locate request: 64 locators of 12 receipts fit one message.
const LOCATE_BATCH: usize = 64;

/// What a client is made of.
#[derive(Clone)]
pub struct ClientParts {
    /// The network.
    pub network: Arc<dyn Network>,
    /// Where coding and hashing run.
    pub compute: Arc<dyn Compute>,
    /// Clock and randomness.
    pub environment: Arc<dyn Environment>,
    /// Whose leases puts make.
    pub owner: Identity,
    /// The network's name: receipts of others do not count.
    pub network_name: NetworkName,
}

/// Puts and gets files. Cheap to share behind an `Arc`; every operation is a future that may be dropped at any time: what
/// it has stored stays and is found again.
pub struct Client {
    pub(crate) parts: ClientParts,
    pub(crate) options: ClientOptions,
    pub(crate) scores: Scores,
    pub(crate) locates: Batcher<ChunkId, Result<Option<Locator>, NetworkError>>,
    pub(crate) holds: Batcher<ChunkId, Result<IndexSet, NetworkError>>,
    pub(crate) publishes: Batcher<Locator, Result<bool, NetworkError>>,
}

impl Client {
    /// A client on these ports.
    pub fn new(parts: ClientParts, options: ClientOptions) -> Self {
        Self {
            parts,
            options,
            scores: Scores::default(),
            locates: Batcher::new(LOCATE_BATCH),
            holds: Batcher::new(IDS_MAX_PER_REQUEST),
            publishes: Batcher::new(PUBLISH_MAX_LOCATORS),
        }
    }

    pub(crate) fn now(&self) -> u64 {
        self.parts.environment.unix_secs()
    }

    pub(crate) fn network(&self) -> &dyn Network {
        &*self.parts.network
    }

    pub(crate) fn bad_answer(node: NodeId) -> NetworkError {
        NetworkError::BadAnswer { node }
    }
}
