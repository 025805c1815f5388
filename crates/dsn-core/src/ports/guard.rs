//! Who is asked before a connection stands or a request goes either way: the firewall, seen from the network.

use std::fmt;

use crate::firewall::{Attempt, Verdict};

/// Decides. Called for every connection and every request, from tasks that must not wait: answers come from memory.
pub trait Guard: fmt::Debug + Send + Sync + 'static {
    /// Decides, and sees to it that the operator is asked where only he can.
    fn decide(&self, attempt: &Attempt) -> Verdict;

    /// Whether it is denied as things are, without asking anybody: for what stands already.
    fn denies(&self, attempt: &Attempt) -> bool;
}

/// Lets everything be.
#[derive(Clone, Copy, Debug, Default)]
pub struct Open;

impl Guard for Open {
    fn decide(&self, _attempt: &Attempt) -> Verdict {
        Verdict::Allow
    }

    fn denies(&self, _attempt: &Attempt) -> bool {
        false
    }
}
