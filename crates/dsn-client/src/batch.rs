//! Natural batching: calls for the same node join one message while an earlier one is on its way, so that locators and
//! offers travel in batches without anybody waiting for a batch to fill. The first caller leads: it sends for all, and
//! hands the lead on once its own answer has come. No task is spawned.

use std::{
    collections::{BTreeMap, VecDeque},
    mem,
    sync::Mutex,
};

use dsn_core::node_id::NodeId;
use tokio::sync::oneshot;

/// Joins calls of items `I`, answered by `O`, node by node.
pub(crate) struct Batcher<I, O> {
    most: usize,
    queues: Mutex<BTreeMap<NodeId, Queue<I, O>>>,
}

struct Queue<I, O> {
    waiting: VecDeque<Waiting<I, O>>,
    led: bool,
}

struct Waiting<I, O> {
    item: I,
    answer: oneshot::Sender<Signal<O>>,
}

enum Signal<O> {
    Done(O),
    /// Take the lead: the item goes back to the head of the queue.
    Lead,
}

/// Hands the lead on when the leader is done or dropped.
struct Lead<'a, I, O> {
    batcher: &'a Batcher<I, O>,
    node: NodeId,
}

/// A caller's place in the queue. Dropped with the lead in hand but not taken up, it hands the lead on.
struct Place<'a, I, O> {
    batcher: &'a Batcher<I, O>,
    node: NodeId,
    receive: oneshot::Receiver<Signal<O>>,
}

impl<I: Clone, O> Batcher<I, O> {
    /// Batches of at most `most` items.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, queues: Mutex::default() }
    }

    /// Sends `item` to `node` together with what others want to send there. `send` answers a prefix of the items it is
    /// given, at least one. Dropping the future withdraws the item unless it is on its way.
    pub(crate) async fn call<F>(&self, node: NodeId, item: I, send: F) -> O
    where
        F: AsyncFn(Vec<I>) -> Vec<O>,
    {
        loop {
            let (answer, receive) = oneshot::channel();
            let leading = self.enqueue(node, Waiting { item: item.clone(), answer });
            let mut place = Place { batcher: self, node, receive };
            let signal = if leading { Ok(Signal::Lead) } else { (&mut place.receive).await };
            match signal {
                Ok(Signal::Done(output)) => return output,
                Ok(Signal::Lead) => {
                    if let Some(output) = self.lead(node, &mut place.receive, &item, !leading, &send).await {
                        return output;
                    }
                }
                Err(_) => {} // The leader was dropped with the message on its way: ask again.
            }
        }
    }

    async fn lead<F>(
        &self,
        node: NodeId,
        receive: &mut oneshot::Receiver<Signal<O>>,
        item: &I,
        requeue: bool,
        send: &F,
    ) -> Option<O>
    where
        F: AsyncFn(Vec<I>) -> Vec<O>,
    {
        let _lead = Lead { batcher: self, node };
        if requeue {
            let (answer, fresh) = oneshot::channel();
            *receive = fresh;
            self.with_queue(node, |q| q.waiting.push_front(Waiting { item: item.clone(), answer }));
        }
        // Whoever is ready to call now joins this message.
        tokio::task::yield_now().await;
        loop {
            let batch: Vec<_> = self.with_queue(node, |q| {
                let most = self.most.min(q.waiting.len());
                q.waiting.drain(..most).collect()
            });
            let outputs = send(batch.iter().map(|w| w.item.clone()).collect()).await;
            let answered = outputs.len();
            let mut batch = batch.into_iter();
            for (waiting, output) in batch.by_ref().take(answered).zip(outputs) {
                // A caller that no longer waits needs no answer.
                let _gone = waiting.answer.send(Signal::Done(output));
            }
            self.with_queue(node, |q| batch.rev().for_each(|waiting| q.waiting.push_front(waiting)));
            match receive.try_recv() {
                Ok(Signal::Done(output)) => return Some(output),
                Ok(Signal::Lead) | Err(oneshot::error::TryRecvError::Closed) => return None,
                Err(oneshot::error::TryRecvError::Empty) => {}
            }
        }
    }
}

impl<I, O> Batcher<I, O> {
    /// Says whether the caller leads.
    fn enqueue(&self, node: NodeId, waiting: Waiting<I, O>) -> bool {
        self.with_queue(node, |q| {
            q.waiting.push_back(waiting);
            !mem::replace(&mut q.led, true)
        })
    }

    fn with_queue<T>(&self, node: NodeId, work: impl FnOnce(&mut Queue<I, O>) -> T) -> T {
        let mut queues = self.queues.lock().expect("no panic while locked");
        work(queues.entry(node).or_insert_with(|| Queue { waiting: VecDeque::new(), led: false }))
    }
}

impl<I, O> Drop for Place<'_, I, O> {
    fn drop(&mut self) {
        if let Ok(Signal::Lead) = self.receive.try_recv() {
            drop(Lead { batcher: self.batcher, node: self.node });
        }
    }
}

impl<I, O> Drop for Lead<'_, I, O> {
    fn drop(&mut self) {
        let mut queues = self.batcher.queues.lock().expect("no panic while locked");
        let Some(queue) = queues.get_mut(&self.node) else { return };
        while let Some(waiting) = queue.waiting.pop_front() {
            if waiting.answer.send(Signal::Lead).is_ok() {
                return;
            }
        }
        queues.remove(&self.node);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::future::join_all;

    use super::*;

    #[tokio::test(flavor = "current_thread", start_paused = true)]
    async fn concurrent_calls_share_messages_and_each_gets_its_own_answer() {
        let batcher = Batcher::new(8);
        let messages = AtomicUsize::new(0);
        let send = async |items: Vec<u32>| {
            messages.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            items.into_iter().map(|i| i * 10).take(6).collect()
        };
        let calls = (0..20).map(|i| batcher.call(NodeId([1; 32]), i, send));
        assert_eq!(join_all(calls).await, (0..20).map(|i| i * 10).collect::<Vec<u32>>());
        assert_eq!(messages.load(Ordering::Relaxed), 4, "6 + 6 + 6 + 2");
        assert!(batcher.queues.lock().expect("unlocked").is_empty());
    }

    #[tokio::test(flavor = "current_thread", start_paused = true)]
    async fn a_dropped_leader_takes_nobody_with_it() {
        let batcher = Batcher::new(8);
        let send = async |items: Vec<u32>| {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            items
        };
        let node = NodeId([1; 32]);
        let leader = tokio::time::timeout(std::time::Duration::from_millis(5), batcher.call(node, 1, send));
        let others = join_all((2..5).map(|i| batcher.call(node, i, send)));
        let (dropped, answers) = tokio::join!(leader, others);
        assert!(dropped.is_err());
        assert_eq!(answers, [2, 3, 4]);
    }
}
