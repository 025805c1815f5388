//! All rules in their order, so arranged that a decision looks at few of them: a peer's own, its member's and those of no peer. Not here:
//! where they come from. Invariant: the answer is that of going through the list from the top.

use std::collections::BTreeMap;

use thiserror::Error;

use super::{Action, Attempt, Direction, Kind, Rule, Scope};
use crate::{limits::FIREWALL_RULES_MAX, node_id::NodeId};

/// What is done with what no rule matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Defaults {
    /// What others do to this node.
    pub inbound: Action,
    /// What this node does to others.
    pub outbound: Action,
}

/// Rules in effect.
#[derive(Clone, Debug)]
pub struct Rules {
    defaults: Defaults,
    listed: Vec<Rule>,
    /// Places in the list, ascending.
    of_peer: BTreeMap<NodeId, Vec<usize>>,
    of_all: Vec<usize>,
}

/// More rules than are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{count} rules, at most {FIREWALL_RULES_MAX} are kept")]
pub struct TooManyRulesError {
    /// How many there would be.
    pub count: usize,
}

/// What the rules say of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Judgement {
    pub(super) action: Action,
    /// The kind that what decided is about; none: all.
    pub(super) kind: Option<Kind>,
    /// Whom it names; none: nobody.
    pub(super) peer: Option<NodeId>,
}

impl Judgement {
    /// What the operator's word would be about: who is named by the rule that asks, else the member, else the node. None
    /// until that is known.
    pub(super) fn scope(&self, attempt: &Attempt) -> Option<Scope> {
        let own = || attempt.principal.member().or(attempt.peer).filter(|_| attempt.is_by_known());
        let peer = self.peer.map_or_else(own, |name| attempt.is_of(&name).then_some(name))?;
        Some(Scope { peer, direction: attempt.direction, kind: self.kind })
    }
}

impl Defaults {
    /// Everything is allowed that no rule is about.
    pub const OPEN: Self = Self { inbound: Action::Allow, outbound: Action::Allow };

    fn of(self, direction: Direction) -> Action {
        match direction {
            Direction::In => self.inbound,
            Direction::Out => self.outbound,
        }
    }
}

impl Rules {
    /// These, the first on top.
    ///
    /// # Errors
    /// When there are more than [`FIREWALL_RULES_MAX`].
    pub fn new(defaults: Defaults, listed: Vec<Rule>) -> Result<Self, TooManyRulesError> {
        if listed.len() > FIREWALL_RULES_MAX {
            return Err(TooManyRulesError { count: listed.len() });
        }
        let mut rules = Self { defaults, listed, of_peer: BTreeMap::new(), of_all: Vec::new() };
        for (place, rule) in rules.listed.iter().enumerate() {
            match rule.subject.peer {
                Some(peer) => rules.of_peer.entry(peer).or_default().push(place),
                None => rules.of_all.push(place),
            }
        }
        Ok(rules)
    }

    /// What is done with what no rule matches.
    pub fn defaults(&self) -> Defaults {
        self.defaults
    }

    /// What the first rule that matches says; of a connection, as told in `firewall`.
    pub(super) fn judge(&self, attempt: &Attempt) -> Judgement {
        let judgement = self.first(attempt);
        if attempt.kind != Kind::Connect || judgement.kind == Some(Kind::Connect) {
            return judgement;
        }
        let requests = Kind::ALL.into_iter().filter(|kind| *kind != Kind::Connect);
        let is_useless = judgement.action == Action::Deny
            && requests.map(|kind| self.first(&Attempt { kind, ..*attempt })).all(|of| of.action == Action::Deny);
        let action = if is_useless { Action::Deny } else { Action::Allow };
        Judgement { action, kind: None, peer: None }
    }

    fn first(&self, attempt: &Attempt) -> Judgement {
        let found = if attempt.is_by_known() { self.first_for_known(attempt) } else { self.first_for_anybody(attempt) };
        match found {
            Some(Rule { action, subject }) => Judgement { action: *action, kind: subject.kind, peer: subject.peer },
            None => Judgement { action: self.defaults.of(attempt.direction), kind: None, peer: None },
        }
    }

    fn first_for_known(&self, attempt: &Attempt) -> Option<&Rule> {
        let names = [attempt.peer, attempt.principal.member()].into_iter().flatten();
        let of_names = names.filter_map(|name| self.of_peer.get(&name));
        let first =
            |places: &Vec<usize>| places.iter().copied().find(|place| self.listed[*place].subject.may_match(attempt));
        let place = of_names.chain([&self.of_all]).filter_map(first).min()?;
        Some(&self.listed[place])
    }

    /// The first rule that could decide for whoever it turns out to be: one that denies a single peer says nothing about
    /// the others, one that lets a single peer in keeps the door open until it is known who comes.
    fn first_for_anybody(&self, attempt: &Attempt) -> Option<&Rule> {
        let names_it = |rule: &Rule| rule.subject.peer.is_none_or(|name| attempt.is_of(&name));
        let settles = |rule: &&Rule| names_it(rule) || rule.action != Action::Deny;
        self.listed.iter().filter(settles).find(|rule| rule.subject.may_match(attempt))
    }
}
