//! The farmers of one put: who answers, who has room, what fails together. Filled once from the network's snapshot; then
//! only what the put itself sees changes it, so that t and r follow from the farmers still answering.

use std::{collections::BTreeMap, sync::Mutex, time::Duration};

use dsn_core::{
    node_id::NodeId,
    placement::{Candidate, FailureDomain},
    ports::NetworkError,
    record::Role,
    rpc::{FarmerInfo, Request, Response},
};
use futures::{StreamExt, stream};

use crate::{client::Client, watchdog::Watchdog};

/// Farmers asked at once who they are.
const ASKED_AT_ONCE: usize = 64;

/// A farmer that takes longer than this to say who it is gets no pieces of this put.
const INFO_WAIT: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Up,
    Full,
    /// Everything is being moved off it: it answers, and what it holds is not to be counted on.
    Leaving,
    Down,
}

#[derive(Clone, Debug)]
struct Entry {
    candidate: Candidate,
    free_bytes: u64,
    state: State,
}

/// The farmers of one put.
#[derive(Debug)]
pub(crate) struct Directory {
    farmers: Mutex<BTreeMap<NodeId, Entry>>,
}

impl Directory {
    fn with<T>(&self, work: impl FnOnce(&mut BTreeMap<NodeId, Entry>) -> T) -> T {
        work(&mut self.farmers.lock().expect("no panic while locked"))
    }

    fn in_state(&self, wanted: &[State]) -> Vec<Candidate> {
        self.with(|farmers| {
            farmers.values().filter(|e| wanted.contains(&e.state)).map(|e| e.candidate.clone()).collect()
        })
    }

    /// Farmers that answer and have room.
    pub(crate) fn with_room(&self) -> Vec<Candidate> {
        self.in_state(&[State::Up])
    }

    /// Farmers that answer, full ones too.
    pub(crate) fn answering(&self) -> Vec<Candidate> {
        self.in_state(&[State::Up, State::Full])
    }

    /// Bytes free on all farmers with room.
    pub(crate) fn free_bytes(&self) -> u64 {
        self.with(|farmers| {
            let free = farmers.values().filter(|e| e.state == State::Up).map(|e| e.free_bytes);
            free.fold(0, u64::saturating_add)
        })
    }

    /// Whether everything is being moved off it.
    pub(crate) fn is_leaving(&self, node: NodeId) -> bool {
        self.with(|farmers| farmers.get(&node).is_some_and(|entry| entry.state == State::Leaving))
    }

    fn set(&self, node: NodeId, state: State) {
        self.with(|farmers| {
            if let Some(entry) = farmers.get_mut(&node) {
                entry.state = state;
            }
        });
    }

    /// It has no room.
    pub(crate) fn full(&self, node: NodeId) {
        self.set(node, State::Full);
    }

    /// It does not answer.
    pub(crate) fn down(&self, node: NodeId) {
        self.set(node, State::Down);
    }
}

impl Client {
    /// Asks every server of the network who it is.
    pub(crate) async fn directory(&self, dog: &Watchdog) -> Result<Directory, NetworkError> {
        let snapshot = self.network().snapshot(false).await?;
        let ask = |node: NodeId| async move { (node, self.info_of(node).await) };
        let answers: Vec<_> = stream::iter(snapshot.nodes).map(ask).buffer_unordered(ASKED_AT_ONCE).collect().await;
        let mut farmers = BTreeMap::new();
        for (node, answer) in answers {
            match answer {
                Ok(Some(entry)) => {
                    farmers.insert(node, entry);
                }
                Ok(None) => {}
                Err(error) => dog.note(node, &error),
            }
        }
        dog.feed();
        Ok(Directory { farmers: Mutex::new(farmers) })
    }

    /// A farmer's own word of itself; none when the node is no farmer.
    async fn info_of(&self, node: NodeId) -> Result<Option<Entry>, NetworkError> {
        let asked = tokio::time::timeout(INFO_WAIT, self.network().request(node, Request::Info)).await;
        let Ok(answer) = asked else { return Err(NetworkError::Timeout { node, after: INFO_WAIT }) };
        let Response::Info(FarmerInfo { record, free_bytes, leaving, .. }) = answer? else {
            return Err(Self::bad_answer(node));
        };
        let body = record.verify(&self.parts.network_name, node).map_err(|_| Self::bad_answer(node))?;
        let domain = FailureDomain::of(&body.domain, body.ip());
        let candidate = Candidate { node, space_class: body.space_class, domain };
        let state = match free_bytes {
            _ if leaving => State::Leaving,
            0 => State::Full,
            _ => State::Up,
        };
        Ok((body.role == Role::Farmer).then_some(Entry { candidate, free_bytes, state }))
    }
}
