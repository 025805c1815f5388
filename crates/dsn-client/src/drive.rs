//! Drives the state machine of `fetch`: sends what it says, tells it what came back, keeps the scores. Whether pieces or
//! slices of them travel is the caller's choice, who also checks them.

use std::sync::atomic::Ordering;

use dsn_core::{
    canary::{Bug, planted},
    index_set::IndexSet,
    node_id::NodeId,
    ports::{NetworkError, PeerEvidence},
    rpc::{Request, Response},
};
use futures::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use tokio::time::Instant;

use crate::{
    client::{BUSY_TRIES, Client},
    download::GetContext,
    fetch::{Fetch, Miss, Step},
    progress::ProgressEvent,
};

/// An answer is late after this many times the usual time.
const LATE_FACTOR: u32 = 4;

/// What a holder answered.
pub(crate) struct Answer<T> {
    pub(crate) node: NodeId,
    /// The pieces it was asked about.
    pub(crate) indices: IndexSet,
    pub(crate) asked: Instant,
    pub(crate) came: Result<Arrivals<T>, NetworkError>,
}

/// What came of it, checked.
pub(crate) struct Arrivals<T> {
    pub(crate) good: Vec<Arrived<T>>,
    /// Others, whose bytes were wrong.
    pub(crate) bad: u64,
}

/// What was wanted of one piece.
pub(crate) struct Arrived<T> {
    pub(crate) index: u8,
    pub(crate) what: T,
    /// What of it travelled.
    pub(crate) wire_bytes: u64,
}

/// Requests on their way.
pub(crate) type Answers<'a, T> = FuturesUnordered<BoxFuture<'a, Answer<T>>>;

/// How long to wait for holders when nobody is left to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Until the last answer is late.
    Short,
    /// Until each has answered, or will not.
    Long,
}

/// What came of it all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Enough.
    Enough,
    /// Not enough yet: some answers are late, and patience is short.
    Late,
    /// Not enough, and no answer is due.
    TooFew,
}

impl Client {
    /// Runs the state machine. Dropping the future leaves the requests in `answers` as they are.
    pub(crate) async fn drive<'a, T>(
        &self,
        context: &GetContext<'_>,
        fetch: &mut Fetch<T>,
        answers: &mut Answers<'a, T>,
        ask: impl Fn(NodeId, IndexSet) -> BoxFuture<'a, Answer<T>>,
        patience: Patience,
    ) -> Outcome {
        loop {
            let late_after = self.options.hedge_after.max(self.scores.usual().unwrap_or_default() * LATE_FACTOR);
            match fetch.next(Instant::now(), late_after, |node| self.scores.rank(node, Instant::now())) {
                Step::Ask { node, indices } => {
                    self.scores.asked(node);
                    answers.push(ask(node, indices));
                }
                Step::Wait(None) if patience == Patience::Short => return Outcome::Late,
                Step::Wait(until) => {
                    let answer = match until {
                        Some(until) => tokio::time::timeout_at(until, answers.next()).await.ok().flatten(),
                        None => answers.next().await,
                    };
                    if let Some(answer) = answer {
                        let is_wrong = answer.came.as_ref().is_ok_and(|came| came.bad > 0);
                        self.take(context, fetch, answer);
                        if is_wrong && planted(Bug::StopsAtWrong) {
                            return Outcome::TooFew;
                        }
                    }
                }
                Step::Done => return Outcome::Enough,
                Step::Exhausted => return Outcome::TooFew,
            }
        }
    }

    /// Asks a holder. What it answered is for `check`: what came, and none when it breaks the protocol.
    pub(crate) async fn ask_holder<T>(
        &self,
        context: &GetContext<'_>,
        node: NodeId,
        indices: IndexSet,
        request: Request,
        check: impl AsyncFnOnce(Response) -> Option<Arrivals<T>>,
    ) -> Answer<T> {
        let (asked, settle) = (Instant::now(), self.settle(node));
        let came = match self.ask_patiently(node, request).await {
            Ok(response) => check(response).await.ok_or_else(|| Self::bad_answer(node)),
            Err(error) => Err(error),
        };
        if let Ok(Arrivals { bad: bad @ 1.., .. }) = &came {
            self.network().report(node, PeerEvidence::WrongBytes);
            context.counters.pieces_bad.fetch_add(*bad, Ordering::Relaxed);
        }
        drop(settle);
        Answer { node, indices, asked, came }
    }

    /// Asks a busy holder again; others are asked meanwhile.
    async fn ask_patiently(&self, node: NodeId, request: Request) -> Result<Response, NetworkError> {
        let mut tries = 1;
        loop {
            match self.request(node, request.clone()).await {
                Err(NetworkError::Busy { delay_ms, .. }) if tries < BUSY_TRIES => Self::wait_for_busy(delay_ms).await,
                result => return result,
            }
            tries += 1;
        }
    }

    fn take<T>(&self, context: &GetContext<'_>, fetch: &mut Fetch<T>, answer: Answer<T>) {
        let Answer { node, indices, asked, came } = answer;
        let miss = match came {
            Ok(Arrivals { good, bad }) => {
                if bad > 0 || good.is_empty() {
                    self.scores.failed(node, Instant::now());
                } else {
                    self.scores.succeeded(node, asked.elapsed());
                }
                for Arrived { index, what, wire_bytes } in good {
                    context.counters.pieces_fetched.fetch_add(1, Ordering::Relaxed);
                    context.counters.fetched_bytes.fetch_add(wire_bytes, Ordering::Relaxed);
                    context.progress.event(ProgressEvent::Fetched(wire_bytes));
                    context.dog.feed();
                    fetch.came(node, index, what);
                }
                if bad > 0 { Miss::Wrong } else { Miss::Absent }
            }
            Err(error) => {
                tracing::debug!(%node, %error, "a holder did not answer");
                context.dog.note(node, &error);
                self.scores.failed(node, Instant::now());
                Miss::Unanswered(error)
            }
        };
        fetch.settled(node, indices, miss);
    }

    /// Counts a request as no longer in flight once this is dropped.
    fn settle(&self, node: NodeId) -> Settle<'_> {
        Settle { client: self, node }
    }
}

/// Counts a request as no longer in flight, also when it is given up.
struct Settle<'a> {
    client: &'a Client,
    node: NodeId,
}

impl Drop for Settle<'_> {
    fn drop(&mut self) {
        self.client.scores.settled(self.node);
    }
}
