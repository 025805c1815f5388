//! What this farmer has seen of the others, shared by those of its tasks that see and those that decide, and kept in its
//! store so that a restart forgets nothing.

use std::{collections::BTreeSet, sync::Mutex};

use dsn_core::{liveness::Liveness, node_id::NodeId};
use tokio::sync::Notify;

/// The observations of one farmer.
#[derive(Debug)]
pub(crate) struct Presences {
    seen: Mutex<Liveness>,
    /// Nodes that were silent and have sent something.
    back: Mutex<BTreeSet<NodeId>>,
    is_back: Notify,
}

impl Presences {
    pub(crate) fn new(grace_secs: u64) -> Self {
        let seen = Mutex::new(Liveness::new(grace_secs));
        Self { seen, back: Mutex::default(), is_back: Notify::new() }
    }

    /// Looks or notes; never across an await.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut Liveness) -> T) -> T {
        work(&mut self.seen.lock().expect("no panic while locked"))
    }

    /// A node has sent something at `now`: if it was silent, it is to be asked soon.
    pub(crate) fn sent(&self, node: NodeId, now: u64) {
        if self.with(|seen| seen.may_be_back(node, now)) {
            self.back.lock().expect("no panic while locked").insert(node);
            self.is_back.notify_one();
        }
    }

    /// Waits for nodes that may be back.
    pub(crate) async fn back(&self) -> BTreeSet<NodeId> {
        self.is_back.notified().await;
        std::mem::take(&mut self.back.lock().expect("no panic while locked"))
    }
}
