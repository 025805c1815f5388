//! The firewall at work: the rules behind a lock and on a clock, as the network asks them.

use std::{
    sync::{Mutex, MutexGuard},
    time::{Duration, Instant},
};

use dsn_cli::Failure;
use dsn_core::{
    firewall::{Ask, Attempt, Firewall, NoSuchAsk, Rules, Verdict, Word},
    ports::Guard,
};

use super::RuleSet;

/// Whether somebody could be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    /// Through the control socket.
    Present,
    /// A command has none: what would wait is denied.
    Absent,
}

/// Rules in effect.
#[derive(Debug)]
pub(crate) struct Fence {
    firewall: Mutex<Firewall>,
    operator: Operator,
    started: Instant,
}

impl Fence {
    pub(crate) fn of(rules: &RuleSet, operator: Operator) -> Result<Self, Failure> {
        let firewall = Mutex::new(Firewall::new(rules.rules()?, rules.ask_timeout()));
        Ok(Self { firewall, operator, started: Instant::now() })
    }

    fn firewall(&self) -> MutexGuard<'_, Firewall> {
        self.firewall.lock().expect("no panic while locked")
    }

    /// What is waited for is counted from the start of this.
    pub(crate) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    pub(crate) fn replace(&self, rules: Rules) {
        self.firewall().replace_rules(rules);
    }

    pub(crate) fn pending(&self) -> Vec<Ask> {
        let now = self.now();
        self.firewall().pending(now)
    }

    pub(crate) fn answer(&self, number: u64, word: Word) -> Result<Ask, NoSuchAsk> {
        let now = self.now();
        self.firewall().answer(number, word, now)
    }
}

impl Guard for Fence {
    fn decide(&self, attempt: &Attempt) -> Verdict {
        let now = self.now();
        match (self.firewall().decide(attempt, now), self.operator) {
            (Verdict::Later { .. }, Operator::Absent) => Verdict::Deny,
            (verdict, _) => verdict,
        }
    }

    fn denies(&self, attempt: &Attempt) -> bool {
        let now = self.now();
        self.firewall().denies(attempt, now)
    }
}
