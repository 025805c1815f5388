//! One rule, and the text that it is in the configuration, on the command line, in the file of rules and in every list:
//!
//! ```text
//! ACTION [in|out] [KIND] [PEER] [RANGE]      deny in piece.put 203.0.113.0/24
//! ```
//!
//! The words after the action may come in any order and at least one must; what is not said matches all. Invariant: a rule
//! printed and read is the same rule, and there is one text for a rule.

use std::{fmt, net::IpAddr, str::FromStr};

use ipnet::IpNet;
use thiserror::Error;

use super::{Attempt, Kind};
use crate::node_id::NodeId;

/// What a rule does with what it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Lets it be.
    Allow,
    /// Refuses it.
    Deny,
    /// Asks the operator.
    Ask,
}

/// Who does it to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// Others to this node.
    In,
    /// This node to others.
    Out,
}

/// Addresses that share a prefix. IPv4 addresses written as IPv6 ones are IPv4 addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Range(IpNet);

/// What a rule is about. What is none matches all; at least one is some.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject {
    /// Only in this direction.
    pub direction: Option<Direction>,
    /// Only this kind.
    pub kind: Option<Kind>,
    /// Only this peer: a node, or the member for whom it acts.
    pub peer: Option<NodeId>,
    /// Only peers that are there.
    pub range: Option<Range>,
}

/// A rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rule {
    /// What it does.
    pub action: Action,
    /// With what.
    pub subject: Subject,
}

/// Why a text is no rule.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RuleError {
    /// It does not start with an action.
    #[error("a rule starts with allow, deny or ask, not with {word:?}")]
    Action {
        /// What it starts with.
        word: String,
    },
    /// It says nothing after the action.
    #[error("a rule names a direction (in, out), a kind of request, a peer or an address range")]
    Nothing,
    /// A word that is nothing a rule can name.
    #[error(
        "{word:?} is neither in nor out, nor a kind ({}), nor a peer id, nor an address range such as 203.0.113.0/24",
        Kind::ALL.map(Kind::name).join(", ")
    )]
    Word {
        /// The word.
        word: String,
    },
    /// A second direction, kind, peer or range.
    #[error("{word:?}: a rule has one direction, one kind, one peer and one address range at most")]
    Twice {
        /// The second one.
        word: String,
    },
    /// An address with a prefix shorter than itself: it is not clear which of the two is meant.
    #[error("{word} has bits set beyond its prefix: {meant} or {address}?")]
    HostBits {
        /// What was given.
        word: String,
        /// The range it lies in.
        meant: String,
        /// The address alone.
        address: IpAddr,
    },
}

impl Action {
    /// Its word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Ask => "ask",
        }
    }

    /// The action of this word.
    pub fn named(word: &str) -> Option<Self> {
        [Self::Allow, Self::Deny, Self::Ask].into_iter().find(|action| action.name() == word)
    }
}

impl Direction {
    /// Its word.
    pub fn name(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Range {
    /// All addresses that share the first bits of this one; an IPv4-mapped one is taken as what it maps, when the prefix
    /// leaves nothing else.
    pub fn of(net: IpNet) -> Self {
        let net = net.trunc();
        match net {
            IpNet::V6(v6) if v6.prefix_len() >= 96 => match v6.addr().to_ipv4_mapped() {
                Some(ip) => Self(IpNet::new_assert(IpAddr::V4(ip), v6.prefix_len() - 96)),
                None => Self(net),
            },
            _ => Self(net),
        }
    }

    /// Whether the address lies in it.
    pub fn contains(&self, ip: IpAddr) -> bool {
        self.0.contains(&ip.to_canonical())
    }

    fn parse(word: &str) -> Option<Result<Self, RuleError>> {
        let net = word.parse::<IpNet>().ok().or_else(|| word.parse::<IpAddr>().ok().map(IpNet::from))?;
        if net.trunc() == net {
            return Some(Ok(Self::of(net)));
        }
        let meant = Self::of(net).to_string();
        Some(Err(RuleError::HostBits { word: word.into(), meant, address: net.addr() }))
    }
}

/// One address is shown without a prefix.
impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.prefix_len() == self.0.max_prefix_len() { self.0.addr().fmt(f) } else { self.0.fmt(f) }
    }
}

impl Subject {
    /// Whether it is about this, whoever does it.
    pub(super) fn may_match(&self, attempt: &Attempt) -> bool {
        self.direction.is_none_or(|direction| direction == attempt.direction)
            && self.kind.is_none_or(|kind| kind == attempt.kind)
            && self.range.is_none_or(|range| attempt.ip.is_some_and(|ip| range.contains(ip)))
    }

    fn read(&mut self, word: &str) -> Result<(), RuleError> {
        let twice = |is_set: bool| if is_set { Err(RuleError::Twice { word: word.into() }) } else { Ok(()) };
        if let Some(direction) = [Direction::In, Direction::Out].into_iter().find(|known| known.name() == word) {
            twice(self.direction.replace(direction).is_some())
        } else if let Some(kind) = Kind::ALL.into_iter().find(|known| known.name() == word) {
            twice(self.kind.replace(kind).is_some())
        } else if let Ok(peer) = word.parse() {
            twice(self.peer.replace(peer).is_some())
        } else if let Some(range) = Range::parse(word) {
            twice(self.range.replace(range?).is_some())
        } else {
            Err(RuleError::Word { word: word.chars().take(80).collect() })
        }
    }
}

impl FromStr for Subject {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let mut subject = Self::default();
        text.split_whitespace().try_for_each(|word| subject.read(word))?;
        if subject == Self::default() { Err(RuleError::Nothing) } else { Ok(subject) }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = [
            self.direction.map(|direction| direction.to_string()),
            self.kind.map(|kind| kind.to_string()),
            self.peer.map(|peer| peer.to_string()),
            self.range.map(|range| range.to_string()),
        ];
        f.write_str(&words.into_iter().flatten().collect::<Vec<_>>().join(" "))
    }
}

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let text = text.trim();
        let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let no_action = || RuleError::Action { word: word.chars().take(80).collect() };
        Ok(Self { action: Action::named(word).ok_or_else(no_action)?, subject: rest.parse()? })
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.action, self.subject)
    }
}
