//! What this client has seen of each holder: how long a piece takes, whether the last requests failed, how many are on
//! their way. Used to choose whom to ask first; only own observations, forgotten with the process.

use std::{collections::BTreeMap, sync::Mutex, time::Duration};

use dsn_core::node_id::NodeId;
use tokio::time::Instant;

/// A holder that failed is asked last for this long, doubling with each failure in a row.
const DOWN_BASE: Duration = Duration::from_secs(5);

/// At most 2^5 times [`DOWN_BASE`].
const DOWN_MAX_DOUBLINGS: u32 = 5;

/// Weight of a new observation in the running mean: 1/8, as in TCP's round-trip estimate (RFC 6298).
const MEAN_SHIFT: u32 = 8;

#[derive(Clone, Copy, Debug, Default)]
struct Score {
    mean: Option<Duration>,
    failures: u32,
    down_until: Option<Instant>,
    in_flight: usize,
}

/// How good it would be to ask a node now; smaller is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    /// It failed a moment ago.
    pub(crate) down: bool,
    /// It takes more than three times as long as the others.
    pub(crate) slow: bool,
    /// Requests on their way to it.
    pub(crate) in_flight: usize,
}

#[derive(Debug, Default)]
struct Inner {
    nodes: BTreeMap<NodeId, Score>,
    mean: Option<Duration>,
}

/// Scores of all holders, shared by the chunks of a client.
#[derive(Debug, Default)]
pub(crate) struct Scores {
    inner: Mutex<Inner>,
}

fn blend(mean: Option<Duration>, seen: Duration) -> Option<Duration> {
    Some(mean.map_or(seen, |mean| (mean * (MEAN_SHIFT - 1) + seen) / MEAN_SHIFT))
}

impl Scores {
    fn with<T>(&self, work: impl FnOnce(&mut Inner) -> T) -> T {
        work(&mut self.inner.lock().expect("no panic while locked"))
    }

    pub(crate) fn asked(&self, node: NodeId) {
        self.with(|inner| inner.nodes.entry(node).or_default().in_flight += 1);
    }

    /// A request is no longer waited for.
    pub(crate) fn settled(&self, node: NodeId) {
        self.with(|inner| {
            let score = inner.nodes.entry(node).or_default();
            score.in_flight = score.in_flight.saturating_sub(1);
        });
    }

    pub(crate) fn succeeded(&self, node: NodeId, took: Duration) {
        self.with(|inner| {
            inner.mean = blend(inner.mean, took);
            let score = inner.nodes.entry(node).or_default();
            score.mean = blend(score.mean, took);
            (score.failures, score.down_until) = (0, None);
        });
    }

    pub(crate) fn failed(&self, node: NodeId, now: Instant) {
        self.with(|inner| {
            let score = inner.nodes.entry(node).or_default();
            score.down_until = Some(now + DOWN_BASE * 2u32.pow(score.failures.min(DOWN_MAX_DOUBLINGS)));
            score.failures = score.failures.saturating_add(1);
        });
    }

    pub(crate) fn rank(&self, node: NodeId, now: Instant) -> Rank {
        self.with(|inner| {
            let score = inner.nodes.get(&node).copied().unwrap_or_default();
            let slow = score.mean.zip(inner.mean).is_some_and(|(own, all)| own > all * 3);
            Rank { down: score.down_until.is_some_and(|until| until > now), slow, in_flight: score.in_flight }
        })
    }

    /// How long a piece usually takes.
    pub(crate) fn usual(&self) -> Option<Duration> {
        self.with(|inner| inner.mean)
    }
}
