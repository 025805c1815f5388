//! What a custodian has to repair: one chunk at a time, urgent ones first, within its budget.

use std::collections::VecDeque;

use dsn_core::repair::{Budget, Health};

/// A chunk that waits. The ticket says whether this is still where and why it waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Job {
    pub(super) chunk: u32,
    pub(super) ticket: u32,
}

/// One custodian's work.
pub(super) struct Queue {
    pub(super) budget: Budget,
    /// What it is at.
    pub(super) serving: Option<Job>,
    /// Whether an event will wake it when there is budget again.
    pub(super) sleeps: bool,
    urgent: VecDeque<Job>,
    lazy: VecDeque<Job>,
}

impl Queue {
    pub(super) fn new(budget: Budget) -> Self {
        Self { budget, serving: None, sleeps: false, urgent: VecDeque::new(), lazy: VecDeque::new() }
    }

    pub(super) fn push(&mut self, job: Job, health: Health) {
        if health <= Health::Urgent { self.urgent.push_back(job) } else { self.lazy.push_back(job) }
    }

    pub(super) fn pop(&mut self) -> Option<Job> {
        self.urgent.pop_front().or_else(|| self.lazy.pop_front())
    }

    /// Chunks before one of this health that would come now.
    pub(super) fn ahead(&self, health: Health) -> usize {
        let lazy = if health <= Health::Urgent { 0 } else { self.lazy.len() };
        self.urgent.len() + lazy + usize::from(self.serving.is_some())
    }

    /// Everything that will not be done here any more.
    pub(super) fn drain(&mut self) -> Vec<Job> {
        let waiting = self.urgent.drain(..).chain(self.lazy.drain(..));
        self.serving.take().into_iter().chain(waiting).collect()
    }
}
