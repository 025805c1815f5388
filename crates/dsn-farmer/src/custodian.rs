//! Keeps locators for others. One task owns the merging, so that two publications of one chunk never lose each other's
//! receipts, and whatever waits is merged and written with one fsync.

use std::{collections::BTreeMap, sync::Arc};

use dsn_core::{
    canary::{Bug, planted},
    hash::ChunkId,
    locator::{Locator, VerifiedLocator},
    ports::{Environment, PieceStore, StoreError},
};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use crate::state::Presences;

/// Publications waiting; each is one request, and requests are bounded by the network adapter already.
const QUEUE: usize = 256;

/// Locators merged into one write.
const GROUP_MAX: usize = 256;

struct Publication {
    locators: Vec<VerifiedLocator>,
    kept: oneshot::Sender<Vec<bool>>,
}

/// Hands locators to the task that keeps them.
#[derive(Debug)]
pub(crate) struct Custodian {
    queue: mpsc::Sender<Publication>,
    task: JoinHandle<()>,
}

struct Keeper {
    store: Arc<dyn PieceStore>,
    environment: Arc<dyn Environment>,
    max_locators: u64,
    seen: Arc<Presences>,
}

impl Custodian {
    /// Starts the task; needs a running tokio runtime.
    pub(crate) fn start(
        store: Arc<dyn PieceStore>,
        environment: Arc<dyn Environment>,
        max_locators: u64,
        seen: Arc<Presences>,
    ) -> Self {
        let (queue, receive) = mpsc::channel(QUEUE);
        let keeper = Keeper { store, environment, max_locators, seen };
        Self { queue, task: tokio::spawn(keeper.run(receive)) }
    }

    /// Keeps locators; says of each whether it is durable now. Dropping the future may leave them kept.
    pub(crate) async fn keep(&self, locators: Vec<VerifiedLocator>) -> Vec<bool> {
        let given = locators.len();
        let (kept, receive) = oneshot::channel();
        let sent = self.queue.send(Publication { locators, kept }).await;
        let kept = if sent.is_ok() { receive.await.ok() } else { None };
        kept.unwrap_or_else(|| vec![false; given])
    }

    /// Stops the task; what is acknowledged is durable already.
    pub(crate) fn stop(&self) {
        self.task.abort();
    }
}

impl Keeper {
    async fn run(self, mut queue: mpsc::Receiver<Publication>) {
        let mut group = Vec::new();
        while queue.recv_many(&mut group, GROUP_MAX).await > 0 {
            let locators = group.iter().flat_map(|publication| publication.locators.iter().cloned()).collect();
            let kept = self.merge(locators).await.unwrap_or_else(|error| {
                tracing::warn!(%error, "locators could not be kept");
                BTreeMap::new()
            });
            for publication in group.drain(..) {
                let answer = publication.locators.iter().map(|l| kept.get(&l.chunk()).copied().unwrap_or(false));
                let _gone_when_nobody_waits = publication.kept.send(answer.collect());
            }
        }
    }

    async fn merge(&self, locators: Vec<VerifiedLocator>) -> Result<BTreeMap<ChunkId, bool>, StoreError> {
        let now = self.environment.unix_secs();
        let proved = |node| self.seen.with(|seen| seen.has_proved(node, now));
        let mut merged: BTreeMap<ChunkId, VerifiedLocator> = BTreeMap::new();
        for locator in locators {
            match merged.get_mut(&locator.chunk()) {
                Some(known) => {
                    known.merge_beside(&locator, &proved);
                }
                None => {
                    merged.insert(locator.chunk(), locator);
                }
            }
        }
        let chunks: Vec<ChunkId> = merged.keys().copied().collect();
        let known = self.store.locators(&chunks).await?;
        let mut room = self.max_locators.saturating_sub(self.store.space().locators);
        let (mut kept, mut writes) = (BTreeMap::new(), Vec::new());
        for ((chunk, mut locator), old) in merged.into_iter().zip(known) {
            let is_new = old.is_none();
            let full = is_new && room == 0;
            let useful = locator.receipts().next().is_some();
            kept.insert(chunk, useful && !full);
            if full || !useful {
                continue;
            }
            room -= u64::from(is_new);
            let old = old.map(|old| (old.clone(), old.kept(now)));
            if let Some((_, verified)) = &old
                && !planted(Bug::MergeForgets)
            {
                locator.merge_beside(verified, &proved);
            }
            let fresh: Locator = locator.to_locator();
            if old.is_none_or(|(stored, _)| stored != fresh) {
                writes.push(fresh);
            }
        }
        if !writes.is_empty() && !planted(Bug::PublishNotKept) {
            self.store.put_locators(writes).await?;
        }
        Ok(kept)
    }
}
