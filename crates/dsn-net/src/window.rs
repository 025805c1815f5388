//! How much may be on its way: a window in bytes per node and a budget for all nodes together. It exists because
//! request-response queues without bound and drops what exceeds its streams. Not here: what is sent. Invariant: permits
//! handed out never exceed the limits, and one message always fits.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use dsn_core::{
    limits::{BODIES_MAX_BYTES, PIECE_MAX_BYTES},
    node_id::NodeId,
    rpc::{Request, frame::Frame},
    slice::slice_max_bytes,
};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

/// Bytes of one permit. 64 MiB in permits of one byte would do too, but a permit count is an `u32`.
const PERMIT_BYTES: usize = 1024;
/// Permits of a window that has shrunk all it may: one full message.
const WINDOW_MIN_PERMITS: usize = PIECE_MAX_BYTES / PERMIT_BYTES;
/// Permits of a new window: 2 MiB fill a LAN.
const WINDOW_START_PERMITS: usize = 2 * WINDOW_MIN_PERMITS;
/// Permits of a window that has grown all it may: 16 MiB fill 200 Mbit/s at 500 ms.
const WINDOW_MAX_PERMITS: usize = 16 * WINDOW_MIN_PERMITS;
/// Requests in flight to one node. Under the streams that it takes at once, in both directions together.
pub(crate) const CALLS_MAX_PER_NODE: usize = 64;
/// Windows remembered. An idle one is forgotten first.
const WINDOWS_MAX: usize = 4096;

const _: () = assert!(BODIES_MAX_BYTES <= WINDOW_MIN_PERMITS * PERMIT_BYTES, "one message always fits");

/// Permits for so many bytes, never more than the smallest window has.
pub(crate) fn permits(bytes: usize) -> u32 {
    let permits = bytes.div_ceil(PERMIT_BYTES).clamp(1, WINDOW_MIN_PERMITS);
    u32::try_from(permits).expect("a window has fewer than 2^32 permits")
}

/// A budget of so many bytes, for use with [`permits`].
pub(crate) fn budget(bytes: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new((bytes / PERMIT_BYTES).max(WINDOW_MIN_PERMITS)))
}

/// What a request counts: its own bytes or those of the answer expected, whichever is more.
pub(crate) fn cost(request: &Request, frame: &Frame) -> u32 {
    permits(answer_bodies_max(request).max(frame.len()))
}

/// The most bytes of pieces that the answer may have.
pub(crate) fn answer_bodies_max(request: &Request) -> usize {
    match request {
        Request::Fetch(wants) => {
            let pieces: usize = wants.iter().map(|want| want.indices.len()).sum();
            BODIES_MAX_BYTES.min(pieces.saturating_mul(PIECE_MAX_BYTES))
        }
        Request::Slices(wants) => {
            let slices = wants.iter().map(|want| slice_max_bytes(want.range.count()));
            BODIES_MAX_BYTES.min(slices.sum())
        }
        _ => 0,
    }
}

/// All windows of a node.
pub(crate) struct Windows {
    all: Arc<Semaphore>,
    nodes: Mutex<HashMap<NodeId, Arc<Window>>>,
}

/// What may be on its way to one node.
struct Window {
    bytes: Arc<Semaphore>,
    calls: Arc<Semaphore>,
    limit: Mutex<Limit>,
}

struct Limit {
    permits: usize,
    /// Permits to be taken back as soon as they return, after the window shrank while they were out.
    owed: usize,
}

/// The leave to send one request; it ends when this is dropped.
pub(crate) struct Lease {
    window: Arc<Window>,
    bytes: OwnedSemaphorePermit,
    _call: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

impl Windows {
    /// Windows that together let `bytes` be on their way.
    pub(crate) fn new(bytes: usize) -> Self {
        Self { all: budget(bytes), nodes: Mutex::new(HashMap::new()) }
    }

    /// Waits until `cost` permits may be on their way to `node`. Dropping the future gives the place in the queue up.
    pub(crate) async fn acquire(&self, node: NodeId, cost: u32) -> Result<Lease, AcquireError> {
        let window = self.window(node);
        let call = Arc::clone(&window.calls).acquire_owned().await?;
        let bytes = Arc::clone(&window.bytes).acquire_many_owned(cost).await?;
        let all = Arc::clone(&self.all).acquire_many_owned(cost).await?;
        Ok(Lease { window, bytes, _call: call, _all: all })
    }

    fn window(&self, node: NodeId) -> Arc<Window> {
        let mut nodes = lock(&self.nodes);
        if nodes.len() >= WINDOWS_MAX && !nodes.contains_key(&node) {
            nodes.retain(|_, window| Arc::strong_count(window) > 1);
        }
        Arc::clone(nodes.entry(node).or_insert_with(|| Arc::new(Window::new())))
    }
}

impl Window {
    fn new() -> Self {
        Self {
            bytes: Arc::new(Semaphore::new(WINDOW_START_PERMITS)),
            calls: Arc::new(Semaphore::new(CALLS_MAX_PER_NODE)),
            limit: Mutex::new(Limit { permits: WINDOW_START_PERMITS, owed: 0 }),
        }
    }

    fn grow(&self, by: usize) {
        let mut limit = lock(&self.limit);
        let by = by.min(WINDOW_MAX_PERMITS - limit.permits);
        let forgiven = by.min(limit.owed);
        limit.owed -= forgiven;
        limit.permits += by;
        self.bytes.add_permits(by - forgiven);
    }

    fn shrink(&self) {
        let mut limit = lock(&self.limit);
        let target = (limit.permits / 2).max(WINDOW_MIN_PERMITS);
        let by = limit.permits - target;
        limit.owed += by - self.bytes.forget_permits(by);
        limit.permits = target;
    }
}

impl Lease {
    /// The answer came: as much again may be on its way, up to the largest window.
    pub(crate) fn succeeded(self) {
        self.window.grow(self.bytes.num_permits());
    }

    /// The answer did not come in time: half as much may be on its way.
    pub(crate) fn timed_out(self) {
        self.window.shrink();
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut limit = lock(&self.window.limit);
        let owed = limit.owed.min(self.bytes.num_permits());
        if let Some(taken) = self.bytes.split(owed) {
            taken.forget();
            limit.owed -= owed;
        }
    }
}

/// The state behind these locks is valid after every statement, so a panic elsewhere does not spoil it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    const NODE: NodeId = NodeId([1; 32]);

    fn full(windows: &Windows) -> Option<Lease> {
        windows.acquire(NODE, permits(PIECE_MAX_BYTES)).now_or_never().map(|lease| lease.unwrap())
    }

    fn fill(windows: &Windows) -> Vec<Lease> {
        std::iter::from_fn(|| full(windows)).collect()
    }

    #[test]
    fn a_window_grows_with_success_and_halves_with_silence() {
        let windows = Windows::new(64 << 20);
        let mut sizes = Vec::new();
        for _ in 0..5 {
            let leases = fill(&windows);
            sizes.push(leases.len());
            leases.into_iter().for_each(Lease::succeeded);
        }
        assert_eq!(sizes, [2, 4, 8, 16, 16]);
        let mut leases = fill(&windows);
        leases.pop().unwrap().timed_out();
        assert_eq!((full(&windows).is_none(), leases.len()), (true, 15));
        drop(leases);
        assert_eq!(fill(&windows).len(), 8);
        for _ in 0..9 {
            full(&windows).unwrap().timed_out();
        }
        assert_eq!(fill(&windows).len(), 1, "one message always fits");
    }

    #[test]
    fn all_windows_share_one_budget_and_a_node_has_a_bounded_number_of_calls() {
        let windows = Windows::new(3 << 20);
        let held: Vec<_> = (0..3u8)
            .map(|i| windows.acquire(NodeId([i; 32]), permits(PIECE_MAX_BYTES)).now_or_never().unwrap().unwrap())
            .collect();
        assert!(windows.acquire(NodeId([9; 32]), 1).now_or_never().is_none());
        drop(held);
        let small: Vec<_> = std::iter::from_fn(|| windows.acquire(NODE, permits(10)).now_or_never()).collect();
        assert_eq!(small.len(), CALLS_MAX_PER_NODE);
    }

    proptest::proptest! {
        #[test]
        fn no_permit_is_lost_or_made_up(steps in proptest::collection::vec((0..3u8, 1..1024u32), 0..200)) {
            let windows = Windows::new(64 << 20);
            let mut held = Vec::new();
            for (step, cost) in steps {
                match (step, held.pop()) {
                    (0, last) => {
                        held.extend(last);
                        held.extend(windows.acquire(NODE, cost).now_or_never().map(|lease| lease.unwrap()));
                    }
                    (1, Some(lease)) => Lease::succeeded(lease),
                    (_, Some(lease)) => Lease::timed_out(lease),
                    (_, None) => {}
                }
            }
            drop(held);
            let window = windows.window(NODE);
            let limit = lock(&window.limit);
            proptest::prop_assert_eq!(limit.owed, 0);
            proptest::prop_assert_eq!(window.bytes.available_permits(), limit.permits);
            proptest::prop_assert!((WINDOW_MIN_PERMITS..=WINDOW_MAX_PERMITS).contains(&limit.permits));
        }
    }
}
