//! Requests in both directions. Outgoing ones are remembered until their answer, incoming ones are handled in tasks of
//! their own. Not here: what the answers are (the handler), windows and time-outs (the handle and the codec).
//! Invariant: at most [`TASKS_MAX`] requests of others, and the bytes of answers being made or sent stay within their budget.

mod serve;

use std::{
    collections::HashMap,
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use dsn_core::{
    firewall::Kind,
    node_id::NodeId,
    ports::{Handler, NetworkError, PeerEvidence},
    rpc::{Refusal, Request, Response, frame::Frame, kind},
};
use libp2p::{
    PeerId,
    request_response::{
        Event, InboundFailure, InboundRequestId, Message, OutboundFailure, OutboundRequestId, ResponseChannel,
    },
    swarm::ConnectionId,
};
use tokio::{
    sync::{OwnedSemaphorePermit, oneshot},
    task::{AbortHandle, Id, JoinError, JoinSet},
};

use self::serve::Means;
pub(super) use self::serve::Served;
use super::Driver;
use crate::{
    caps::Meters,
    codec::{Answer, BUSY_DELAY_MS, Call},
    identity::{node_id, peer_id},
    manners::{Portions, Verdict},
    window::{CALLS_MAX_PER_NODE, Lease, budget},
};

/// Requests being handled or answered at once. Above it senders are told to come back.
const TASKS_MAX: usize = 256;
/// Of those, for one node: twice what an honest one has in flight, so that no single node takes all.
const TASKS_MAX_PER_NODE: usize = 2 * CALLS_MAX_PER_NODE;

const _: () = assert!(TASKS_MAX_PER_NODE <= TASKS_MAX / 2, "one node leaves room for others");

/// A request on its way out.
pub(super) struct Outgoing {
    pub(super) to: NodeId,
    pub(super) kind: Kind,
    pub(super) frame: Frame,
    pub(super) lease: Lease,
    /// Whether it may be sent once more when the connection is lost.
    pub(super) repeatable: bool,
    /// Whether it carries or asks for pieces, which are not for somebody else's line.
    pub(super) bulk: bool,
    pub(super) reply: oneshot::Sender<Result<Response, NetworkError>>,
}

/// Requests that wait for an answer. Bounded by the windows that let them through.
#[derive(Default)]
pub(super) struct Calls {
    in_flight: HashMap<OutboundRequestId, Outgoing>,
}

/// Requests of others that are being handled or answered.
pub(super) struct Serving {
    means: Arc<Means>,
    pub(super) tasks: JoinSet<Served>,
    /// Which request a task works on.
    working: HashMap<Id, InboundRequestId>,
    requests: HashMap<InboundRequestId, Incoming>,
    per_node: HashMap<NodeId, usize>,
}

struct Incoming {
    from: NodeId,
    link: ConnectionId,
    channel: Option<ResponseChannel<Answer>>,
    task: AbortHandle,
    /// The answer's share of the budget, until it has been sent.
    _room: Option<OwnedSemaphorePermit>,
}

impl Outgoing {
    /// Nobody may be waiting any more; then the answer is dropped.
    fn finish(self, result: Result<Response, NetworkError>) {
        match &result {
            Ok(_) => self.lease.succeeded(),
            Err(NetworkError::Timeout { .. }) => self.lease.timed_out(),
            Err(_) => drop(self.lease),
        }
        let _nobody_waits = self.reply.send(result);
    }

    pub(super) fn fail(self, error: NetworkError) {
        self.finish(Err(error));
    }
}

impl Calls {
    pub(super) fn in_flight_to(&self, node: &NodeId) -> bool {
        self.in_flight.values().any(|outgoing| outgoing.to == *node)
    }
}

impl Serving {
    pub(super) fn new(handler: Arc<dyn Handler>, answers: usize, patience: Duration, meters: Arc<Meters>) -> Self {
        let (answers, portions) = (budget(answers), Portions::default());
        Self {
            means: Arc::new(Means { handler, answers, patience, meters, portions }),
            tasks: JoinSet::new(),
            working: HashMap::new(),
            requests: HashMap::new(),
            per_node: HashMap::new(),
        }
    }

    pub(super) fn handler(&self) -> &dyn Handler {
        &*self.means.handler
    }

    pub(super) fn in_flight_on(&self, link: ConnectionId) -> bool {
        self.requests.values().any(|incoming| incoming.link == link)
    }

    fn is_full_for(&self, node: &NodeId) -> bool {
        self.requests.len() >= TASKS_MAX || self.per_node.get(node).is_some_and(|count| *count >= TASKS_MAX_PER_NODE)
    }

    fn finish(&mut self, id: InboundRequestId) {
        let Some(incoming) = self.requests.remove(&id) else { return };
        incoming.task.abort(); // without effect on a task that has ended
        if let Some(count) = self.per_node.get_mut(&incoming.from) {
            *count -= 1;
            if *count == 0 {
                self.per_node.remove(&incoming.from);
            }
        }
    }
}

impl Driver {
    /// Sends a request to a node that is connected, unless the firewall denies it or its member lends nothing.
    pub(super) fn send(&mut self, outgoing: Outgoing) {
        if self.has_quota(&outgoing.to) || !self.may_send(&outgoing) {
            let node = outgoing.to;
            return outgoing.fail(NetworkError::Denied { node });
        }
        let call = Call::Outgoing(outgoing.frame.clone());
        let id = self.swarm.behaviour_mut().protocols.rpc.send_request(&peer_id(&outgoing.to), call);
        self.calls.in_flight.insert(id, outgoing);
    }

    pub(super) fn on_rpc_event(&mut self, event: Event<Call, Answer>) {
        match event {
            Event::Message { peer, connection_id, message: Message::Request { request_id, request, channel } } => {
                self.on_call(peer, connection_id, request_id, request, channel);
            }
            Event::Message { message: Message::Response { request_id, response }, .. } => {
                self.on_answer(request_id, response);
            }
            Event::OutboundFailure { request_id, error, .. } => self.on_call_failed(request_id, &error),
            Event::InboundFailure { request_id, error, .. } => self.on_answer_failed(request_id, &error),
            Event::ResponseSent { request_id, .. } => self.serving.finish(request_id),
        }
    }

    fn on_answer(&mut self, id: OutboundRequestId, answer: Answer) {
        if let Some(node) = self.hellos.asked.remove(&id) {
            return self.on_hello_answered(node, answer);
        }
        let Some(outgoing) = self.calls.in_flight.remove(&id) else { return };
        match answer {
            Answer::Received(response) => outgoing.finish(Ok(response)),
            Answer::Outgoing(_) | Answer::HangUp(_) => unreachable!("the codec reads received answers only"),
        }
    }

    fn on_call_failed(&mut self, id: OutboundRequestId, error: &OutboundFailure) {
        if let Some(node) = self.hellos.asked.remove(&id) {
            return self.on_hello_failed(node, error);
        }
        let Some(mut outgoing) = self.calls.in_flight.remove(&id) else { return };
        let node = outgoing.to;
        tracing::debug!(%node, %error, "a request failed");
        let lost = match error {
            OutboundFailure::Timeout => NetworkError::Timeout { node, after: self.waits.bulk },
            OutboundFailure::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
                NetworkError::BadAnswer { node }
            }
            OutboundFailure::Io(error) if error.kind() == io::ErrorKind::TimedOut => {
                NetworkError::Timeout { node, after: self.waits.silence }
            }
            OutboundFailure::UnsupportedProtocols => {
                NetworkError::Unreachable { node, reason: "it does not speak this network's protocol".into() }
            }
            OutboundFailure::ConnectionClosed | OutboundFailure::DialFailure if outgoing.repeatable => {
                outgoing.repeatable = false;
                return self.call(outgoing);
            }
            OutboundFailure::ConnectionClosed | OutboundFailure::DialFailure | OutboundFailure::Io(_) => {
                NetworkError::ConnectionLost { node }
            }
        };
        outgoing.fail(lost);
    }

    fn on_call(
        &mut self,
        peer: PeerId,
        link: ConnectionId,
        id: InboundRequestId,
        call: Call,
        channel: ResponseChannel<Answer>,
    ) {
        let Some(from) = node_id(&peer) else { return };
        let verdict = self.swarm.behaviour_mut().manners.request(from, Instant::now());
        if verdict == Verdict::ShutOut {
            tracing::info!(%from, "a node that does not listen is shut out for a while");
            let _gone_already = self.swarm.disconnect_peer_id(peer);
            return;
        }
        let (request, room) = match call {
            Call::Received { request, room } => (request, room),
            Call::Refused(refusal) => {
                let refusal = self.refusal(from, link, Kind::PiecePut).unwrap_or(refusal);
                return self.answer(channel, Answer::HangUp(Frame::from(&Response::Refused(refusal))));
            }
            Call::Outgoing(_) => unreachable!("the codec reads received calls only"),
        };
        if verdict == Verdict::Serve
            && let Request::Hello(hello) = &request
        {
            let answer = self.on_hello(from, link, hello);
            return self.answer(channel, Answer::Outgoing(Frame::from(&answer)));
        }
        if verdict == Verdict::Serve
            && let Some(refusal) = self.refusal(from, link, Kind::of(&request))
        {
            return self.answer(channel, Answer::Outgoing(Frame::from(&Response::Refused(refusal))));
        }
        if verdict == Verdict::TooMany || self.serving.is_full_for(&from) {
            tracing::debug!(%from, kind = kind(&request), "busy: request refused");
            let busy = Response::Refused(Refusal::Busy { delay_ms: BUSY_DELAY_MS });
            return self.answer(channel, Answer::Outgoing(Frame::from(&busy)));
        }
        let Ok(allowance) = self.allowance(&from) else {
            return self.answer(channel, Answer::Outgoing(Frame::from(&Response::Refused(Refusal::Denied))));
        };
        let serving = &mut self.serving;
        let means = Arc::clone(&serving.means);
        let task = serving.tasks.spawn(async move {
            let served = means.serve(from, allowance, request).await;
            drop(room);
            served
        });
        serving.working.insert(task.id(), id);
        serving.requests.insert(id, Incoming { from, link, channel: Some(channel), task, _room: None });
        *serving.per_node.entry(from).or_default() += 1;
    }

    pub(super) fn on_served(&mut self, served: Result<(Id, Served), JoinError>) {
        let (task, served) = match served {
            Ok((task, served)) => (task, Some(served)),
            Err(error) => {
                if error.is_panic() {
                    tracing::error!(%error, "a request's handler failed");
                }
                (error.id(), None)
            }
        };
        let Some(id) = self.serving.working.remove(&task) else { return };
        let Some(incoming) = self.serving.requests.get_mut(&id) else { return };
        let breaker = served.as_ref().filter(|served| served.broke_rule).map(|_| incoming.from);
        let channel = incoming.channel.take(); // dropped without an answer, the stream is closed
        if let (Some(channel), Some(served)) = (channel, served) {
            incoming._room = served.room;
            self.answer(channel, Answer::Outgoing(served.frame));
        }
        if let Some(node) = breaker {
            self.on_report(node, PeerEvidence::WrongBytes);
        }
    }

    fn answer(&mut self, channel: ResponseChannel<Answer>, answer: Answer) {
        let sent = self.swarm.behaviour_mut().protocols.rpc.send_response(channel, answer);
        if sent.is_err() {
            tracing::debug!("the asker of a request is gone");
        }
    }

    fn on_answer_failed(&mut self, id: InboundRequestId, error: &InboundFailure) {
        tracing::debug!(%error, "an answer was not sent");
        self.serving.finish(id);
    }
}
