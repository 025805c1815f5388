//! The client: the ports it works on and what it shares between its operations.

use std::{sync::Arc, time::Duration};

use dsn_core::{
    hash::ChunkId,
    identity::Identity,
    index_set::IndexSet,
    limits::{IDS_MAX_PER_REQUEST, PUBLISH_MAX_LOCATORS},
    locator::Locator,
    network_name::NetworkName,
    node_id::NodeId,
    ports::{Compute, Environment, Network, NetworkError},
    rpc::{Refusal, Request, Response},
};

use crate::{batch::Batcher, options::ClientOptions, scores::Scores};

/// Chunk ids in one locate request: 64 locators of 12 receipts fit one message.
const LOCATE_BATCH: usize = 64;

/// Longest delay of a busy node that is waited for, in milliseconds.
const BUSY_MAX_MS: u32 = 5_000;

/// How often a busy node is asked. One whose operator is to decide says two seconds: a person who sees it has time to.
pub(crate) const BUSY_TRIES: usize = 8;

/// How often busy nodes are asked when nobody else can answer; short of the time after which a command that gets nowhere
/// ends.
pub(crate) const LAST_HOPE_TRIES: usize = 20;

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

    /// Sends one request. That a node is busy, or refuses whatever is asked, is an error which says so: who asks goes on to
    /// another one.
    pub(crate) async fn request(&self, node: NodeId, request: Request) -> Result<Response, NetworkError> {
        match self.network().request(node, request).await? {
            Response::Refused(Refusal::Denied) => Err(NetworkError::Refused { node }),
            Response::Refused(Refusal::Busy { delay_ms }) => Err(NetworkError::Busy { node, delay_ms }),
            response => Ok(response),
        }
    }

    /// Waits as long as a busy node wants, within reason.
    pub(crate) async fn wait_for_busy(delay_ms: u32) {
        tokio::time::sleep(Duration::from_millis(delay_ms.min(BUSY_MAX_MS).into())).await;
    }

    pub(crate) fn bad_answer(node: NodeId) -> NetworkError {
        NetworkError::BadAnswer { node }
    }
}
