//! Finding nodes that no look-up finds, since nobody can dial them: the servers nearest to such a node's id keep its signed
//! record, which says through which relays it can be called.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use dsn_core::{
    limits::CUSTODIANS,
    node_id::NodeId,
    ports::{Network, Snapshot, newest_words, registered_with},
    record::RecordBody,
    rpc::{RecordQuery, Request, Response},
};

use super::Node;

/// A node that nobody knew is not asked about again for this long.
const UNKNOWN_FOR: Duration = Duration::from_secs(30);
/// Nodes of which that is remembered.
const UNKNOWN_MAX: usize = 4096;

/// Servers asked who has registered with them; in a network so small each knows all, and two may not answer.
const WITNESSES: usize = 3;
/// Who has registered is asked anew after this long.
const HIDDEN_FOR: Duration = Duration::from_secs(30);

/// What was asked in vain.
#[derive(Default)]
pub(super) struct Unknown(Mutex<HashMap<NodeId, Instant>>);

impl Unknown {
    /// Whether it is worth asking about a node; if so, it is not until a while has passed.
    fn is_worth_asking(&self, node: NodeId, now: Instant) -> bool {
        let mut unknown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if unknown.get(&node).is_some_and(|until| *until > now) {
            return false;
        }
        if unknown.len() >= UNKNOWN_MAX {
            unknown.retain(|_, until| *until > now);
        }
        if unknown.len() < UNKNOWN_MAX {
            unknown.insert(node, now + UNKNOWN_FOR);
        }
        true
    }

    fn found(&self, node: NodeId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&node);
    }
}

impl Node {
    /// Asks the servers near a node's id where it is; tells whether that is known now.
    pub(super) async fn find_hidden(&self, node: NodeId) -> bool {
        if self.is_not_hidden(&node) || !self.inner.unknown.is_worth_asking(node, Instant::now()) {
            return false;
        }
        let Ok(servers) = self.look_up(node.0).await else { return false };
        let asked = servers.into_iter().filter(|server| *server != node).map(|server| async move {
            match self.request_once(server, &Request::Records(RecordQuery::Of(vec![node]))).await {
                Ok(Response::Records(records)) => records,
                _ => Vec::new(),
            }
        });
        let answers = futures::future::join_all(asked).await;
        let signed = answers.into_iter().flatten().filter_map(|record| record.verify(&self.inner.network, node).ok());
        let Some(RecordBody { addresses, .. }) = signed.max_by_key(|body| body.seq) else { return false };
        tracing::debug!(%node, addresses = addresses.len(), "found where it has registered");
        self.inner.unknown.found(node);
        self.tell(node, &addresses).await;
        true
    }

    /// Adds the registered nodes to a picture of a small network. Where there are fewer servers than custodians of a chunk,
    /// those behind gateways are custodians too: among friends, one may be the only one with a public address.
    pub(super) async fn add_hidden(&self, mut snapshot: Snapshot) -> Snapshot {
        if snapshot.nodes.len() >= CUSTODIANS {
            return snapshot;
        }
        let now = Instant::now();
        let known = self.hidden().clone();
        if let Some((_, nodes)) = known.filter(|(until, _)| *until > now) {
            snapshot.nodes.extend(nodes);
            return snapshot;
        }
        let servers = snapshot.nodes.iter().filter(|node| **node != self.inner.local).take(WITNESSES);
        let asked = servers.map(|server| registered_with(self, &self.inner.network, *server));
        let words = futures::future::join_all(asked).await;
        let mut newest = newest_words(words.into_iter().flatten());
        newest.remove(&self.inner.local);
        for (node, body) in &newest {
            self.tell(*node, &body.addresses).await;
        }
        let nodes: BTreeSet<NodeId> = newest.into_keys().collect();
        *self.hidden() = Some((now + HIDDEN_FOR, nodes.clone()));
        snapshot.nodes.extend(nodes);
        snapshot
    }

    /// Whether a node is known not to have registered with any server: in a small network, those who have are known.
    fn is_not_hidden(&self, node: &NodeId) -> bool {
        let now = Instant::now();
        self.hidden().as_ref().is_some_and(|(until, nodes)| *until > now && !nodes.contains(node))
    }

    fn hidden(&self) -> MutexGuard<'_, Option<(Instant, BTreeSet<NodeId>)>> {
        self.inner.hidden.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers where a node is.
    pub(super) async fn tell(&self, node: NodeId, addresses: &[Bytes]) {
        let command = crate::driver::Command::Introduce { node, addresses: crate::address::of_record(addresses) };
        let _stopped = self.inner.commands.send(command).await;
    }
}
