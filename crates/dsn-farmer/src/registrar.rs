//! Registers a farmer that nobody can dial, and that no look-up finds therefore, with the servers nearest to its id: where
//! it can be called through a relay, others hear from them.

use std::{sync::Arc, time::Duration};

use dsn_core::{
    limits::REGISTERED_SECS,
    ports::Network,
    rpc::{Request, Response},
};
use tokio::sync::watch;

use crate::farmer::Farmer;

/// Three times in the life of a registration, so that two may be lost.
const AGAIN: Duration = Duration::from_secs(REGISTERED_SECS as u64 / 3);

/// When nobody took the record.
const SOON: Duration = Duration::from_secs(10);

/// Registers whenever there is need.
pub(crate) struct Registrar {
    pub(crate) farmer: Arc<Farmer>,
    pub(crate) network: Arc<dyn Network>,
    /// Whether no look-up finds it; told anew with each change of its addresses.
    pub(crate) hidden: watch::Receiver<bool>,
}

impl Registrar {
    /// Runs until it is dropped.
    pub(crate) async fn run(mut self) {
        loop {
            if !*self.hidden.borrow_and_update() {
                if self.hidden.changed().await.is_err() {
                    return;
                }
                continue;
            }
            let rest = if self.register().await { AGAIN } else { SOON };
            let _changed_or_time = tokio::time::timeout(rest, self.hidden.changed()).await;
        }
    }

    /// Tells the servers nearest to this farmer's id; says whether any keeps its record.
    async fn register(&self) -> bool {
        let node = self.farmer.parts.identity.node_id();
        let Ok(servers) = self.network.look_up(node.0).await else { return false };
        let record = self.farmer.record();
        let told = servers.into_iter().filter(|server| *server != node).map(|server| {
            let request = Request::Register(record.clone());
            async move { self.network.request(server, request).await }
        });
        let answers = futures::future::join_all(told).await;
        let kept = answers.iter().filter(|answer| matches!(answer, Ok(Response::Registered { secs: 1.. }))).count();
        tracing::debug!(kept, asked = answers.len(), "registered");
        kept > 0
    }
}
