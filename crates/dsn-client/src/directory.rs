//! The farmers of one put: who answers, who has room, what fails together. Filled once from the network's snapshot; then
//! only what the put itself sees changes it, so that t and r follow from the farmers still answering.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
    time::Duration,
};

use dsn_core::{
    node_id::NodeId,
    placement::{Candidate, FailureDomain},
    ports::{NetworkError, newest_words, registered_with},
    record::{RecordBody, Role},
    rpc::{FarmerInfo, Request, Response},
};
use futures::{StreamExt, stream};

use crate::{
    client::{Client, LAST_HOPE_TRIES},
    watchdog::Watchdog,
};

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

/// What a node says of itself.
struct Told {
    /// None when it is no farmer.
    farmer: Option<Entry>,
    /// Nodes that no look-up finds and that have registered with it.
    registered: u32,
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
    /// Asks every server of the network who it is, and those that they name because no look-up finds them. Busy ones are
    /// waited for only when no other one answers.
    pub(crate) async fn directory(&self, dog: &Watchdog) -> Result<Directory, NetworkError> {
        let mut nodes = self.network().snapshot(false).await?.nodes;
        let mut farmers = BTreeMap::new();
        for _ in 0..LAST_HOPE_TRIES {
            let mut busy = BTreeMap::new();
            for (node, answer) in self.answers_of(nodes).await {
                match answer {
                    Ok(told) => farmers.extend(told.farmer.map(|entry| (node, entry))),
                    Err(error) => {
                        dog.note(node, &error);
                        if let NetworkError::Busy { delay_ms, .. } = error {
                            busy.insert(node, delay_ms);
                        }
                    }
                }
            }
            match busy.values().max() {
                Some(delay_ms) if farmers.is_empty() => Self::wait_for_busy(*delay_ms).await,
                _ => break,
            }
            nodes = busy.into_keys().collect();
        }
        dog.feed();
        Ok(Directory { farmers: Mutex::new(farmers) })
    }

    /// What these nodes, and those registered with them, say of themselves.
    async fn answers_of(&self, nodes: BTreeSet<NodeId>) -> Vec<(NodeId, Result<Told, NetworkError>)> {
        let ask = |node: NodeId| async move { (node, self.info_of(node).await) };
        let mut answers: Vec<_> = stream::iter(nodes).map(ask).buffer_unordered(ASKED_AT_ONCE).collect().await;
        let known: BTreeSet<NodeId> = answers.iter().map(|(node, _)| *node).collect();
        let with_records = answers.iter().filter(|(_, answer)| answer.as_ref().is_ok_and(|told| told.registered > 0));
        let hidden = self.registered_with(with_records.map(|(node, _)| *node).collect(), &known).await;
        let hidden: Vec<_> = stream::iter(hidden).map(ask).buffer_unordered(ASKED_AT_ONCE).collect().await;
        answers.extend(hidden);
        answers
    }

    /// Nodes that no look-up finds and that have registered with these servers, introduced to the network.
    async fn registered_with(&self, servers: Vec<NodeId>, known: &BTreeSet<NodeId>) -> BTreeSet<NodeId> {
        let (network, name) = (self.network(), &self.parts.network_name);
        let asked = stream::iter(servers).map(|server| registered_with(network, name, server));
        let words: Vec<Vec<RecordBody>> = asked.buffer_unordered(ASKED_AT_ONCE).collect().await;
        let newest = newest_words(words.into_iter().flatten().filter(|body| !known.contains(&body.node)));
        for (node, body) in &newest {
            self.network().introduce(*node, body.addresses.clone()).await;
        }
        newest.into_keys().collect()
    }

    /// A node's own word of itself.
    async fn info_of(&self, node: NodeId) -> Result<Told, NetworkError> {
        let asked = tokio::time::timeout(INFO_WAIT, self.request(node, Request::Info)).await;
        let Ok(answer) = asked else { return Err(NetworkError::Timeout { node, after: INFO_WAIT }) };
        let Response::Info(FarmerInfo { record, free_bytes, leaving, registered, .. }) = answer? else {
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
        let farmer = (body.role == Role::Farmer).then_some(Entry { candidate, free_bytes, state });
        Ok(Told { farmer, registered })
    }
}
