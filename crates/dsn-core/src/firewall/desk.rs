//! What the operator is asked and has answered. A question that gets no answer in time counts as answered with no. Sans
//! I/O: told the time, asked what holds. Invariant: bounded whatever peers do; nothing is allowed without a word.

use std::{collections::BTreeMap, time::Duration};

use thiserror::Error;

use super::{Attempt, Direction, Kind};
use crate::{
    limits::{FIREWALL_ASKS_MAX, FIREWALL_ASKS_MAX_PER_NODE, FIREWALL_WORD_SECS, FIREWALL_WORDS_MAX},
    node_id::NodeId,
};

/// An operator's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// Let it.
    Allow,
    /// Do not.
    Deny,
}

/// What a word is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope {
    /// The other node, or the member for whom it acts.
    pub peer: NodeId,
    /// Who does it to whom.
    pub direction: Direction,
    /// What; none where the rule that asks is about everything.
    pub kind: Option<Kind>,
}

/// A question that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Its number, never used again.
    pub number: u64,
    /// What the answer will be about.
    pub scope: Scope,
    /// What was wanted first, by whom and from where.
    pub attempt: Attempt,
    /// Since when it waits, by the caller's clock.
    pub since: Duration,
    /// When it counts as denied.
    pub until: Duration,
}

/// Nothing waits under this number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("nothing waits under the number {number}")]
pub struct NoSuchAsk {
    /// The number.
    pub number: u64,
}

/// What waits, and what was said.
#[derive(Clone, Debug)]
pub(super) struct Desk {
    timeout: Duration,
    next: u64,
    asks: Vec<Ask>,
    /// Each with the time at which it is forgotten.
    words: BTreeMap<Scope, (Word, Duration)>,
}

impl Desk {
    pub(super) fn new(timeout: Duration) -> Self {
        Self { timeout, next: 1, asks: Vec::new(), words: BTreeMap::new() }
    }

    /// The word that holds; none while the question waits.
    pub(super) fn ask(&mut self, scope: Scope, attempt: &Attempt, now: Duration) -> Option<Word> {
        self.expire(now);
        if let Some(word) = self.word(&scope, now) {
            return Some(word);
        }
        if self.asks.iter().any(|ask| ask.scope == scope) {
            return None;
        }
        let of_peer = self.asks.iter().filter(|ask| ask.scope.peer == scope.peer).count();
        if self.asks.len() >= FIREWALL_ASKS_MAX || of_peer >= FIREWALL_ASKS_MAX_PER_NODE {
            return Some(Word::Deny);
        }
        let (attempt, until) = (*attempt, now + self.timeout);
        self.asks.push(Ask { number: self.next, scope, attempt, since: now, until });
        self.next += 1;
        None
    }

    /// The word given, or what silence has become.
    pub(super) fn word(&self, scope: &Scope, now: Duration) -> Option<Word> {
        let given = self.words.get(scope).filter(|(_, until)| now < *until).map(|(word, _)| *word);
        let silence = |ask: &Ask| (ask.until..ask.until + self.timeout).contains(&now);
        let late = || self.asks.iter().any(|ask| ask.scope == *scope && silence(ask)).then_some(Word::Deny);
        given.or_else(late)
    }

    pub(super) fn pending(&mut self, now: Duration) -> Vec<Ask> {
        self.expire(now);
        self.asks.clone()
    }

    pub(super) fn answer(&mut self, number: u64, word: Word, now: Duration) -> Result<Ask, NoSuchAsk> {
        self.expire(now);
        let place = self.asks.iter().position(|ask| ask.number == number).ok_or(NoSuchAsk { number })?;
        let ask = self.asks.remove(place);
        self.remember(ask.scope, word, now + Duration::from_secs(FIREWALL_WORD_SECS));
        Ok(ask)
    }

    /// Drops the questions that need not be asked any more.
    pub(super) fn keep(&mut self, is_asked: impl Fn(&Ask) -> bool) {
        self.asks.retain(is_asked);
    }

    /// Silence holds as long as the question was open, so that nobody asks without pause; then it may be asked again.
    fn expire(&mut self, now: Duration) {
        for ask in self.asks.extract_if(.., |ask| ask.until <= now).collect::<Vec<_>>() {
            self.remember(ask.scope, Word::Deny, ask.until + self.timeout);
        }
        self.words.retain(|_, (_, until)| now < *until);
    }

    fn remember(&mut self, scope: Scope, word: Word, until: Duration) {
        if self.words.len() >= FIREWALL_WORDS_MAX
            && let Some(soonest) = self.words.iter().min_by_key(|(_, (_, until))| *until).map(|(scope, _)| *scope)
        {
            self.words.remove(&soonest);
        }
        self.words.insert(scope, (word, until));
    }
}
