//! No command hangs: every sign of progress feeds the dog; without one for long enough the operation ends with what it
//! was waiting for.

use std::{collections::BTreeMap, future::Future, sync::Mutex, time::Duration};

use dsn_core::{node_id::NodeId, ports::NetworkError};
use tokio::time::Instant;

/// Nodes listed in the message of a stalled operation.
const LISTED_NODES: usize = 5;

/// A paused dog is looked at again after this long.
const CHECK_AGAIN: Duration = Duration::from_secs(1);

/// Watches over one operation.
pub(crate) struct Watchdog {
    stall_after: Duration,
    inner: Mutex<Inner>,
}

struct Inner {
    fed: Instant,
    /// Waits for something else that are going on.
    pauses: usize,
    last_errors: BTreeMap<NodeId, NetworkError>,
}

/// Lasts as long as something else is waited for.
struct Pause<'a>(&'a Watchdog);

impl Drop for Pause<'_> {
    fn drop(&mut self) {
        let mut inner = self.0.inner.lock().expect("no panic while locked");
        inner.pauses -= 1;
        inner.fed = Instant::now();
    }
}

/// Nothing moved.
pub(crate) struct Stalled {
    pub(crate) secs: u64,
    pub(crate) doing: String,
}

impl Watchdog {
    pub(crate) fn new(stall_after: Duration) -> Self {
        Self { stall_after, inner: Mutex::new(Inner { fed: Instant::now(), pauses: 0, last_errors: BTreeMap::new() }) }
    }

    /// Something moved.
    pub(crate) fn feed(&self) {
        self.inner.lock().expect("no panic while locked").fed = Instant::now();
    }

    /// Waits for something that is not the network (a pipe somebody types into) without counting the time.
    pub(crate) async fn pause<T>(&self, wait: impl Future<Output = T>) -> T {
        self.inner.lock().expect("no panic while locked").pauses += 1;
        let _pause = Pause(self);
        wait.await
    }

    fn starved(&self) -> bool {
        let inner = self.inner.lock().expect("no panic while locked");
        inner.pauses == 0 && inner.fed + self.stall_after <= Instant::now()
    }

    /// A node failed; kept for the message.
    pub(crate) fn note(&self, node: NodeId, error: &NetworkError) {
        self.inner.lock().expect("no panic while locked").last_errors.insert(node, error.clone());
    }

    /// What a firewall said, ours or another's.
    pub(crate) fn firewall(&self) -> Option<NetworkError> {
        let by_firewall = |error: &&NetworkError| {
            matches!(error, NetworkError::Denied { .. } | NetworkError::Refused { .. } | NetworkError::Busy { .. })
        };
        self.inner.lock().expect("no panic while locked").last_errors.values().find(by_firewall).cloned()
    }

    /// Why nobody answered: what a firewall said before what the network did.
    pub(crate) fn why(&self) -> Option<NetworkError> {
        let any = || self.inner.lock().expect("no panic while locked").last_errors.values().next().cloned();
        self.firewall().or_else(any)
    }

    fn fed(&self) -> Instant {
        self.inner.lock().expect("no panic while locked").fed
    }

    fn stalled(&self) -> Stalled {
        let inner = self.inner.lock().expect("no panic while locked");
        let mut doing = if inner.last_errors.is_empty() {
            "waiting for answers".to_owned()
        } else {
            inner.last_errors.values().take(LISTED_NODES).map(ToString::to_string).collect::<Vec<_>>().join("; ")
        };
        if inner.last_errors.len() > LISTED_NODES {
            doing.push_str(&format!("; and {} more", inner.last_errors.len() - LISTED_NODES));
        }
        Stalled { secs: self.stall_after.as_secs(), doing }
    }

    /// Runs `operation` until it ends or nothing moves for too long.
    pub(crate) async fn guard<T>(&self, operation: impl Future<Output = T>) -> Result<T, Stalled> {
        tokio::pin!(operation);
        loop {
            let deadline = (self.fed() + self.stall_after).max(Instant::now() + CHECK_AGAIN);
            tokio::select! {
                biased;
                output = &mut operation => return Ok(output),
                () = tokio::time::sleep_until(deadline) => {
                    if self.starved() {
                        return Err(self.stalled());
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pauses_side_by_side_or_dropped_end_one_by_one() {
        let dog = Watchdog::new(Duration::from_secs(10));
        let pause = |secs| dog.pause(tokio::time::sleep(Duration::from_secs(secs)));
        assert!(dog.guard(async { tokio::join!(pause(1), pause(100)) }).await.is_ok(), "one of them goes on");
        assert!(tokio::time::timeout(Duration::from_secs(1), pause(100)).await.is_err());
        assert!(dog.guard(std::future::pending::<()>()).await.is_err(), "a pause that was dropped is over");
    }
}
