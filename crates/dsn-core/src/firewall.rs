//! The firewall: who may do what here, and what this node does to others. Rules by peer, address range, kind of request and
//! direction; what no rule decides, the default of the direction does. Pure: the time is an argument. Not here: where rules
//! are kept and how they get here (the binary), who has to ask before it acts (the network adapter).
//!
//! **The first rule that matches decides**, from the top of the list as it is shown, not the most specific one: with four
//! things to be specific about, nobody can tell by looking which of two rules wins; who reads from the top can. Rules made
//! by command stand above those of the configuration, the newest on top, so that what was said last holds.
//!
//! **A connection** is decided before anything is known of the requests on it. A rule of the kind `connect` decides it as
//! such. Without one it is refused only when every kind of request would be: then nothing is lost and a handshake gained. It
//! is looked at before the handshake, when its address is all that is known, and again when the peer is.
//!
//! **A peer** in a rule is a node, or in a closed network the member for whom a node acts: the nodes of commands are new
//! ones each time, the member stays.
//!
//! **To ask** takes no task and holds no body: a request that waits for the operator is answered "busy, come again" until
//! there is a word or the time is over, and each word is remembered for a while, for a put is many requests. Silence denies.
//!
//! Invariant: whatever cannot be decided is denied; everything peers can make grow has a bound in `limits`.

mod desk;
mod rule;
mod rule_book;
mod rules;
#[cfg(test)]
mod tests;

use std::{fmt, net::IpAddr, time::Duration};

use self::desk::Desk;
pub use self::{
    desk::{Ask, NoSuchAsk, Scope, Word},
    rule::{Action, Direction, Range, Rule, RuleError, Subject},
    rule_book::{RuleBook, RuleBookError},
    rules::{Defaults, Rules, TooManyRulesError},
};
use crate::{node_id::NodeId, rpc::Request};

/// What a peer wants, coarse enough to have a rule for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A connection, whatever for; finding nodes too.
    Connect,
    /// Pieces.
    PieceGet,
    /// To leave pieces: the offer, the pieces, the end of the put.
    PiecePut,
    /// Locators: asked for, left and compared.
    Locator,
    /// Which pieces are held, and proof of it.
    Audit,
    /// Leases: shown and renewed.
    Lease,
    /// Leave to repair a chunk.
    Repair,
    /// Who the node is, and who is registered with it.
    Info,
    /// A connection through a relay, besides being a connection; and to be a relay.
    Relay,
}

/// For whom a node acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Principal {
    /// For nobody else: its network is open.
    Itself,
    /// For a member of its closed network, which it has yet to show.
    Unknown,
    /// For this member.
    Member(NodeId),
}

/// Something that somebody is about to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The other node; none before the handshake.
    pub peer: Option<NodeId>,
    /// For whom that node acts.
    pub principal: Principal,
    /// Where it is. None where no address of it is to be seen, as behind a relay or a name; then no range matches.
    pub ip: Option<IpAddr>,
    /// Who does it to whom.
    pub direction: Direction,
    /// What.
    pub kind: Kind,
}

/// What becomes of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may be.
    Allow,
    /// It may not.
    Deny,
    /// The operator is asked.
    Later {
        /// Milliseconds after which to try again.
        delay_ms: u32,
    },
}

/// How long somebody who has to wait for the operator waits before the next try: a word that has come is not waited for
/// much longer, and one who asks this often costs nothing.
const COME_AGAIN_MS: u32 = 2_000;

/// Rules in effect, and what the operator was asked and has answered.
#[derive(Clone, Debug)]
pub struct Firewall {
    rules: Rules,
    desk: Desk,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::Connect,
        Self::PieceGet,
        Self::PiecePut,
        Self::Locator,
        Self::Audit,
        Self::Lease,
        Self::Repair,
        Self::Info,
        Self::Relay,
    ];

    /// Of a request.
    pub fn of(request: &Request) -> Self {
        match request {
            Request::Fetch(_) | Request::Slices(_) => Self::PieceGet,
            Request::Offer(_) | Request::Store(_) | Request::Commit(_) => Self::PiecePut,
            Request::Locate(_) | Request::Publish(_) | Request::Compare(_) => Self::Locator,
            Request::Names(_) | Request::PublishNames(_) => Self::Locator,
            Request::Audit(_) | Request::Holds(_) => Self::Audit,
            Request::Leases(_) | Request::Renew(_) => Self::Lease,
            Request::Intend(_) => Self::Repair,
            Request::Info | Request::Greet(_) | Request::Register(_) | Request::Records(_) | Request::Hello(_) => {
                Self::Info
            }
        }
    }

    /// Its word in a rule.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::PieceGet => "piece.get",
            Self::PiecePut => "piece.put",
            Self::Locator => "locator",
            Self::Audit => "audit",
            Self::Lease => "lease",
            Self::Repair => "repair",
            Self::Info => "info",
            Self::Relay => "relay",
        }
    }
}

impl Principal {
    /// The member, where there is one and it is known.
    pub fn member(self) -> Option<NodeId> {
        match self {
            Self::Member(member) => Some(member),
            Self::Itself | Self::Unknown => None,
        }
    }
}

impl Attempt {
    /// Whether it is by this node, or for this member.
    fn is_of(&self, name: &NodeId) -> bool {
        self.peer.as_ref() == Some(name) || self.principal == Principal::Member(*name)
    }

    /// Whether it is known by whom and for whom it is.
    fn is_by_known(&self) -> bool {
        self.peer.is_some() && self.principal != Principal::Unknown
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Firewall {
    /// A firewall whose questions wait so long for the operator.
    pub fn new(rules: Rules, ask_timeout: Duration) -> Self {
        Self { rules, desk: Desk::new(ask_timeout) }
    }

    /// The rules in effect.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Puts other rules into effect. Questions that they answer are no longer asked; words given hold on where they ask.
    pub fn replace_rules(&mut self, rules: Rules) {
        self.rules = rules;
        let rules = &self.rules;
        self.desk.keep(|ask| {
            let judgement = rules.judge(&ask.attempt);
            judgement.action == Action::Ask && judgement.scope(&ask.attempt) == Some(ask.scope)
        });
    }

    /// Decides; asks the operator where a rule says so. `now` is any clock that only goes forward.
    pub fn decide(&mut self, attempt: &Attempt, now: Duration) -> Verdict {
        let judgement = self.rules.judge(attempt);
        match (judgement.action, judgement.scope(attempt)) {
            (Action::Allow, _) => Verdict::Allow,
            (Action::Deny, _) => Verdict::Deny,
            // Who it is comes with the handshake; then it is asked.
            (Action::Ask, None) => Verdict::Allow,
            (Action::Ask, Some(scope)) => match self.desk.ask(scope, attempt, now) {
                Some(Word::Allow) => Verdict::Allow,
                Some(Word::Deny) => Verdict::Deny,
                None => Verdict::Later { delay_ms: COME_AGAIN_MS },
            },
        }
    }

    /// Whether it is denied as things are. Asks nobody.
    pub fn denies(&self, attempt: &Attempt, now: Duration) -> bool {
        let judgement = self.rules.judge(attempt);
        match judgement.action {
            Action::Allow => false,
            Action::Deny => true,
            Action::Ask => {
                judgement.scope(attempt).is_some_and(|scope| self.desk.word(&scope, now) == Some(Word::Deny))
            }
        }
    }

    /// What waits for the operator, oldest first.
    pub fn pending(&mut self, now: Duration) -> Vec<Ask> {
        self.desk.pending(now)
    }

    /// The operator's word on what waits under this number.
    ///
    /// # Errors
    /// When nothing does.
    pub fn answer(&mut self, number: u64, word: Word, now: Duration) -> Result<Ask, NoSuchAsk> {
        self.desk.answer(number, word, now)
    }
}
