//! What waits to be kept for others: publications of records go to one task, which merges all that wait and writes them
//! together, so that two of one thing never lose each other's records and many share one fsync. How they are merged is its
//! keeper's business: `custodian` and `names`.

use std::future::Future;

use dsn_core::ports::StoreError;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

/// Merges records and keeps them durably.
pub(crate) trait Keeper: Send + 'static {
    /// What is published, verified.
    type Record: Clone + Send + 'static;
    /// What came of it.
    type Kept: Default + Send;

    /// What the records are, for messages.
    const WHAT: &'static str;

    /// Publications waiting; each is one request, and requests are bounded by the network adapter already.
    const QUEUE: usize;

    /// Publications merged into one write.
    const GROUP_MAX: usize;

    /// Called once, before anything is merged.
    fn begin(&mut self) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Merges records with those that are kept already.
    fn merge(&mut self, records: Vec<Self::Record>) -> impl Future<Output = Result<Self::Kept, StoreError>> + Send;

    /// Whether a record that was given is kept now.
    fn is_kept(kept: &Self::Kept, record: &Self::Record) -> bool;
}

struct Publication<T> {
    records: Vec<T>,
    /// Who wants to know what is kept: nobody, when everybody was told.
    kept: Option<oneshot::Sender<Vec<bool>>>,
}

/// Hands records to the task that keeps them.
#[derive(Debug)]
pub(crate) struct Publications<T> {
    queue: mpsc::Sender<Publication<T>>,
    task: JoinHandle<()>,
}

impl<T: Clone + Send + 'static> Publications<T> {
    /// Starts the task; needs a running tokio runtime.
    pub(crate) fn start<K: Keeper<Record = T>>(keeper: K) -> Self {
        let (queue, receive) = mpsc::channel(K::QUEUE);
        Self { queue, task: tokio::spawn(run(keeper, receive)) }
    }

    /// Keeps records; says of each whether it is durable now. Dropping the future may leave them kept.
    pub(crate) async fn keep(&self, records: Vec<T>) -> Vec<bool> {
        let given = records.len();
        let (kept, receive) = oneshot::channel();
        let sent = self.queue.send(Publication { records, kept: Some(kept) }).await;
        let kept = if sent.is_ok() { receive.await.ok() } else { None };
        kept.unwrap_or_else(|| vec![false; given])
    }

    /// Keeps records if there is not too much to do; nobody hears of it.
    pub(crate) fn try_keep(&self, records: Vec<T>) {
        let _dropped_when_busy = self.queue.try_send(Publication { records, kept: None });
    }

    /// Stops the task; what is acknowledged is durable already.
    pub(crate) fn stop(&self) {
        self.task.abort();
    }
}

async fn run<K: Keeper>(mut keeper: K, mut queue: mpsc::Receiver<Publication<K::Record>>) {
    if let Err(error) = keeper.begin().await {
        tracing::warn!(%error, "which {} are kept is not known yet", K::WHAT);
    }
    let mut group = Vec::new();
    while queue.recv_many(&mut group, K::GROUP_MAX).await > 0 {
        let records = group.iter().flat_map(|publication| publication.records.iter().cloned()).collect();
        let kept = keeper.merge(records).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "{} could not be kept", K::WHAT);
            K::Kept::default()
        });
        for Publication { records, kept: told } in group.drain(..) {
            let Some(told) = told else { continue };
            let _gone_when_nobody_waits = told.send(records.iter().map(|record| K::is_kept(&kept, record)).collect());
        }
    }
}
