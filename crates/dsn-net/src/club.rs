//! What a node of a closed network knows of its members while it runs: the latest list of revocations, and which nodes have
//! shown for whom they act. Here is the clock that dates are compared with. Not here: what is said on a connection
//! (`admission`), and closing those of members who are none any more (`driver/members.rs`).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use dsn_core::{
    firewall::Principal,
    membership::{
        Admitted, Allowance, Credentials, Membership, Refused,
        revocations::{Revocations, RevocationsError, VerifiedRevocations},
    },
    node_id::NodeId,
};
use tokio::sync::watch;

use crate::clock::unix_secs;

/// Nodes that were let in and are remembered at once: more than a node has connections, so that only a flood of handshakes
/// of one member meets it.
const INSIDE_MAX: usize = 4096;
/// A node that was let in has its connection within this time, or never.
const ARRIVAL: Duration = Duration::from_secs(60);

/// A closed network as one of its nodes sees it.
#[derive(Debug)]
pub(crate) struct Club {
    local: NodeId,
    membership: Mutex<Membership>,
    inside: Mutex<HashMap<NodeId, Inside>>,
    /// The number of the latest list.
    seq: watch::Sender<u64>,
}

#[derive(Debug)]
struct Inside {
    admitted: Admitted,
    at: Instant,
}

/// Nothing that is done under these locks can panic half-way.
fn locked<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// For whom a node acts as far as is known here, in the network that may be closed.
pub(crate) fn principal(club: Option<&Arc<Club>>, node: Option<&NodeId>) -> Principal {
    let Some(club) = club else { return Principal::Itself };
    node.and_then(|node| club.member(node)).map_or(Principal::Unknown, Principal::Member)
}

impl Club {
    pub(crate) fn new(local: NodeId, membership: Membership) -> Self {
        let seq = watch::Sender::new(membership.seq());
        Self { local, membership: Mutex::new(membership), inside: Mutex::default(), seq }
    }

    /// What this node shows of itself, and the number of its list.
    pub(crate) fn own(&self) -> (Credentials, u64) {
        let membership = locked(&self.membership);
        (membership.credentials(self.local, unix_secs()), membership.seq())
    }

    /// Lets a node in that has shown this. `node` is who it has proved to be.
    pub(crate) fn admit(&self, node: NodeId, shown: Credentials) -> Result<(), Refused> {
        let admitted = locked(&self.membership).admit(node, shown, unix_secs())?;
        let mut inside = locked(&self.inside);
        if inside.len() >= INSIDE_MAX && !inside.contains_key(&node) {
            tracing::warn!(%node, label = admitted.label, "too many nodes at once of members");
            return Err(Refused::NoCredentials);
        }
        tracing::debug!(%node, label = admitted.label, "let in");
        inside.insert(node, Inside { admitted, at: Instant::now() });
        Ok(())
    }

    /// Whether a node has shown for whom it acts, and that counts still.
    pub(crate) fn check(&self, node: &NodeId) -> Result<(), Refused> {
        let membership = locked(&self.membership);
        let inside = locked(&self.inside);
        inside.get(node).ok_or(Refused::NoCredentials)?.admitted.check(membership.revocations(), unix_secs())
    }

    /// For whom a node acts, where that has been shown.
    pub(crate) fn member(&self, node: &NodeId) -> Option<NodeId> {
        locked(&self.inside).get(node).map(|entry| entry.admitted.member)
    }

    /// What a farmer keeps of the member for whom a node acts, if that is bounded.
    pub(crate) fn allowance(&self, node: &NodeId) -> Result<Option<Allowance>, Refused> {
        let inside = locked(&self.inside);
        Ok(inside.get(node).ok_or(Refused::NoCredentials)?.admitted.allowance())
    }

    /// The nodes that have to go, and why. Those that are not `connected` are forgotten after a while.
    pub(crate) fn sort_out(&self, connected: impl Fn(&NodeId) -> bool) -> Vec<(NodeId, Refused)> {
        let (membership, now) = (locked(&self.membership), unix_secs());
        let mut inside = locked(&self.inside);
        inside.retain(|node, entry| connected(node) || entry.at.elapsed() < ARRIVAL);
        let why = |entry: &Inside| entry.admitted.check(membership.revocations(), now).err();
        inside.iter().filter_map(|(node, entry)| Some((*node, why(entry)?))).collect()
    }

    /// Takes a list over when it is newer; tells whether it was.
    pub(crate) fn learn(&self, list: Revocations) -> Result<bool, RevocationsError> {
        let mut membership = locked(&self.membership);
        let is_newer = membership.learn(list)?;
        if is_newer {
            tracing::info!(seq = membership.seq(), "members were revoked");
            self.seq.send_replace(membership.seq());
        }
        Ok(is_newer)
    }

    /// The latest list, if its number is higher than this.
    pub(crate) fn list_after(&self, seq: u64) -> Option<Revocations> {
        self.verified_after(seq).map(VerifiedRevocations::into_signed)
    }

    pub(crate) fn verified_after(&self, seq: u64) -> Option<VerifiedRevocations> {
        locked(&self.membership).revocations().filter(|list| list.body().seq > seq).cloned()
    }

    /// The number of the latest list, and whenever it changes.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.seq.subscribe()
    }
}
