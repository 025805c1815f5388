//! Hellos: the side that dialled says its own once a connection's peer is known to be of this network, the other answers,
//! and both know then which version they speak and what the other does. Said anew to everybody when it changes; addresses
//! are not part of it, identify tells those anew itself. Not here: what follows from two hellos (`dsn_core::hello`).
//!
//! A node with which no version is common hears why before its connections end, and is shunned for a while. A node that
//! does not answer hellos at all is left as it is. The firewall is looked up and its operator never asked: nobody waits for
//! a hello. Invariant: a node is sent one at most every [`crate::Waits::hello`], but for one a connection.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use dsn_core::{
    firewall::{Direction, Kind},
    hello::{Acquaintance, Capabilities, Hello, HelloError, Profile},
    node_id::NodeId,
    ports::NetworkError,
    rpc::{Refusal, Request, Response, frame::Frame},
};
use libp2p::{
    identify,
    request_response::{OutboundFailure, OutboundRequestId},
    swarm::ConnectionId,
};

use super::Driver;
use crate::{
    behaviour,
    book::Entry,
    codec::{Answer, Call},
    identity::peer_id,
    options::NetOptions,
};

/// A node of another network, or with which no version is common, is not dialled again for this long: it takes an update, or
/// another setting, and a restart.
const SHUNNED: Duration = Duration::from_secs(300);
/// Who was told why it is refused has this long to read it, and to end the connection itself.
const READING: Duration = Duration::from_secs(1);

/// A client's first questions wait no longer than this for the first answer to a hello.
const FIRST_ANSWER: Duration = Duration::from_secs(1);

/// What this node says, and to whom.
pub(super) struct Hellos {
    ours: Hello,
    /// What this node does for others besides what the handler says, where others reach it.
    relays: bool,
    is_point: bool,
    next_look: Instant,
    first: First,
    /// Hellos that wait for an answer.
    pub(super) asked: HashMap<OutboundRequestId, NodeId>,
    /// Who was refused, until when it may stay: no more than the rate of connections allows in a second.
    leaving: HashMap<NodeId, Instant>,
}

/// The first hello.
#[derive(Clone, Copy)]
enum First {
    Unsaid,
    /// And waited for so long.
    Said(Instant),
    /// Or was lost.
    Answered,
}

impl Hellos {
    pub(super) fn new(options: &NetOptions, profile: Profile) -> Self {
        let ours = Hello { versions: options.versions, network: options.network.clone(), profile: Some(profile) };
        Self {
            ours,
            relays: options.relay,
            is_point: options.rendezvous_point,
            next_look: Instant::now(), // the first look sees where others reach this node
            first: First::Unsaid,
            asked: HashMap::new(),
            leaving: HashMap::new(),
        }
    }

    /// Whether a node was told that it is refused, and is about to go.
    pub(super) fn is_refused(&self, node: &NodeId) -> bool {
        self.leaving.contains_key(node)
    }
}

impl Driver {
    /// Says hello to a connected node, if the firewall lets it know who this node is.
    pub(super) fn say_hello(&mut self, node: NodeId) {
        if self.keeps_quiet(node, Direction::Out) || self.hellos.is_refused(&node) {
            return;
        }
        let call = Call::Outgoing(Frame::from(&Request::Hello(self.hellos.ours.clone())));
        let id = self.swarm.behaviour_mut().protocols.rpc.send_request(&peer_id(&node), call);
        self.hellos.asked.insert(id, node);
        if matches!(self.hellos.first, First::Unsaid) {
            self.hellos.first = First::Said(Instant::now() + FIRST_ANSWER);
        }
        if let Some(entry) = self.book.get_mut(&node) {
            entry.hello_due = false;
        }
    }

    /// The answer to another's hello.
    pub(super) fn on_hello(&mut self, from: NodeId, link: ConnectionId, hello: &Hello) -> Response {
        if let Some(refusal) = self.swarm.behaviour().doorman.farewell(link) {
            return Response::Refused(refusal);
        }
        if self.keeps_quiet(from, Direction::In) {
            return Response::Refused(Refusal::Denied);
        }
        let met = self.hellos.ours.meet(hello);
        let ack = self.hellos.ours.answer(&met);
        let now = Instant::now();
        if self.on_met(from, met, now) {
            self.hellos.leaving.remove(&from);
        } else {
            self.hellos.leaving.entry(from).or_insert(now + READING);
        }
        Response::Hello(ack)
    }

    pub(super) fn on_hello_answered(&mut self, node: NodeId, answer: Answer) {
        match answer {
            Answer::Received(Response::Hello(ack)) => {
                let met = self.hellos.ours.conclude(&ack);
                if !self.on_met(node, met, Instant::now()) {
                    let _gone_already = self.swarm.disconnect_peer_id(peer_id(&node));
                }
            }
            Answer::Received(Response::Refused(Refusal::Busy { .. })) => self.hello_again(node),
            Answer::Received(_) => tracing::debug!(%node, "a node does not answer hellos"),
            Answer::Outgoing(_) | Answer::HangUp(_) => unreachable!("the codec reads received answers only"),
        }
        self.first_hello_ended();
    }

    pub(super) fn on_hello_failed(&mut self, node: NodeId, error: &OutboundFailure) {
        tracing::debug!(%node, %error, "a hello was not answered");
        if matches!(error, OutboundFailure::ConnectionClosed | OutboundFailure::DialFailure) {
            self.hello_again(node); // there may be another connection
        }
        self.first_hello_ended();
    }

    fn first_hello_ended(&mut self) {
        self.hellos.first = First::Answered;
        self.ask_when_settled(Instant::now());
    }

    /// Whether a client has yet to hear whether whom it met first speaks its version: what it asked before, it would ask
    /// somebody who may not be of its network.
    pub(super) fn is_greeting(&self, now: Instant) -> bool {
        !self.serve && matches!(self.hellos.first, First::Said(until) if now < until)
    }

    /// At the next look.
    fn hello_again(&mut self, node: NodeId) {
        if let Some(entry) = self.book.get_mut(&node).filter(|entry| entry.is_connected()) {
            entry.hello_due = true;
        }
    }

    /// Hellos have been exchanged, in whichever direction; tells whether the two can talk.
    fn on_met(&mut self, node: NodeId, met: Result<Acquaintance, HelloError>, now: Instant) -> bool {
        match met {
            Ok(known) => {
                self.book.get_mut(&node).into_iter().for_each(|entry| entry.met(known.clone()));
                self.judge_seed(node, None);
                self.on_acquainted(node, &known);
                true
            }
            Err(reason) => {
                self.shun(node, reason, now);
                false
            }
        }
    }

    /// A node says that it is of another network: the two do not even have a language for hellos. The one that dialled goes
    /// at once, the other leaves it the time to read with whom it has to do.
    pub(super) fn on_stranger(&mut self, node: NodeId, link: ConnectionId, info: &identify::Info) {
        let theirs = behaviour::network_of(&info.protocol_version);
        let reason = theirs.map_or(HelloError::OtherProtocol, |theirs| HelloError::OtherNetwork { theirs });
        let now = Instant::now();
        let mut is_ours = true;
        if let Some(entry) = self.book.get_mut(&node) {
            entry.identified(&info.agent_version, false);
            is_ours = entry.links.iter().any(|known| known.id == link && known.dialled);
        }
        self.shun(node, reason, now);
        if is_ours {
            let _gone_already = self.swarm.disconnect_peer_id(peer_id(&node));
        } else {
            self.hellos.leaving.entry(node).or_insert(now + READING);
        }
    }

    /// A node is none that this one can talk to.
    fn shun(&mut self, node: NodeId, reason: HelloError, now: Instant) {
        tracing::info!(%node, %reason, "a node cannot be talked to");
        if let Some(entry) = self.book.get_mut(&node) {
            entry.shun(now + SHUNNED, reason.to_string());
        }
        self.forget_server(peer_id(&node), node);
        self.turned_away(node, NetworkError::Incompatible { node, reason });
    }

    /// Ends the connections of those who were refused, and says anew what has changed.
    pub(super) fn look_after_hellos(&mut self, now: Instant) {
        for (node, _) in self.hellos.leaving.extract_if(|_, until| now >= *until) {
            let _gone_already = self.swarm.disconnect_peer_id(peer_id(&node));
        }
        if now < self.hellos.next_look {
            return;
        }
        self.hellos.next_look = now + self.waits.hello;
        let profile = Some(self.profile());
        let changed = self.hellos.ours.profile != profile;
        self.hellos.ours.profile = profile;
        let due = |(node, entry): (&NodeId, &Entry)| (entry.hello_due || (changed && entry.listens())).then_some(*node);
        for node in self.book.iter().filter_map(due).collect::<Vec<_>>() {
            self.say_hello(node);
        }
    }

    /// What this node says of itself now.
    fn profile(&self) -> Profile {
        let mut profile = self.serving.handler().profile();
        let does = [
            (self.dht && self.serves(), Capabilities::DHT),
            (self.hellos.relays && self.nat.evidence.is_public(), Capabilities::RELAY),
            (self.hellos.is_point, Capabilities::RENDEZVOUS),
        ];
        for (_, capability) in does.into_iter().filter(|(does, _)| *does) {
            profile.capabilities = profile.capabilities.with(capability);
        }
        profile
    }

    /// Whether the firewall denies it to tell the node who this one is. What waits for the operator's word is not told
    /// either way: a hello is no question of its own.
    fn keeps_quiet(&self, node: NodeId, direction: Direction) -> bool {
        let link = self.book.get(&node).and_then(|entry| entry.links.first());
        self.guard.denies(&self.attempt(node, link, direction, Kind::Info))
    }
}
