//! What other farmers say of their runs, kept for a few minutes and shown to whoever else speaks with the same key
//! (`dsn_core::greeting`). Nothing of it is believed here.

use std::{cmp::Reverse, collections::BTreeMap};

use dsn_core::{
    greeting::{Greeting, VerifiedGreeting},
    limits::GREETINGS_MAX_PER_NODE,
    node_id::NodeId,
};

/// Nodes whose greetings are kept; each farmer greets three others. A crowd that fills it costs others only this one
/// witness of three.
pub(crate) const GREETERS_MAX: usize = 1024;

/// Seconds for which a greeting is shown: eight times the rest between two, so that a lost one changes nothing, and short,
/// since what stopped longer ago is nobody's twin.
const SHOWN_SECS: u64 = 120;

/// The greetings heard.
#[derive(Debug, Default)]
pub(crate) struct Greetings(BTreeMap<NodeId, Vec<(u64, VerifiedGreeting)>>);

impl Greetings {
    /// Nodes whose greetings are kept.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// A node greets at `now`. Gives the latest greetings of its other runs.
    pub(crate) fn hear(&mut self, greeting: VerifiedGreeting, now: u64) -> Vec<Greeting> {
        let (node, run) = (greeting.body().node, greeting.body().run);
        let is_shown = |at: u64| at.saturating_add(SHOWN_SECS) > now;
        if self.0.len() >= GREETERS_MAX && !self.0.contains_key(&node) {
            self.0.retain(|_, runs| runs.iter().any(|(at, _)| is_shown(*at)));
            if self.0.len() >= GREETERS_MAX {
                return Vec::new();
            }
        }
        let runs = self.0.entry(node).or_default();
        runs.retain(|(at, of)| is_shown(*at) && of.body().run != run);
        let shown = runs.iter().map(|(_, of)| of.as_signed().clone()).take(GREETINGS_MAX_PER_NODE).collect();
        runs.push((now, greeting));
        runs.sort_by_key(|(at, _)| Reverse(*at));
        runs.truncate(GREETINGS_MAX_PER_NODE);
        shown
    }
}

#[cfg(test)]
mod tests {
    use dsn_core::{
        greeting::{GreetingBody, RunId},
        identity::Identity,
    };

    use super::*;

    fn greeting(node: u32, run: u8) -> VerifiedGreeting {
        let mut seed = [0; 32];
        seed[..4].copy_from_slice(&node.to_be_bytes());
        let identity = Identity::from_seed(seed);
        let (network, node) = ("greetings".parse().expect("a name"), identity.node_id());
        GreetingBody { network, node, run: RunId([run; 16]), started: 1, addresses: vec![], heard: vec![] }
            .sign(&identity)
    }

    #[test]
    fn other_runs_of_the_same_node_are_shown_for_a_while_and_a_few_at_most() {
        let mut greetings = Greetings::default();
        assert_eq!(greetings.hear(greeting(1, 1), 0), []);
        assert_eq!(greetings.hear(greeting(2, 2), 0), [], "of another node");
        assert_eq!(greetings.hear(greeting(1, 1), 1), [], "its own");
        assert_eq!(greetings.hear(greeting(1, 2), 2), [greeting(1, 1).as_signed().clone()]);
        assert_eq!(greetings.hear(greeting(1, 1), SHOWN_SECS + 1), [greeting(1, 2).as_signed().clone()]);
        assert_eq!(greetings.hear(greeting(1, 1), SHOWN_SECS + 2), [], "the other has been silent for too long");
        for run in 3..20 {
            assert!(greetings.hear(greeting(1, run), SHOWN_SECS + 3).len() <= GREETINGS_MAX_PER_NODE);
        }
    }

    #[test]
    fn a_crowd_fills_it_until_it_falls_silent() {
        let mut greetings = Greetings::default();
        let crowd = u32::try_from(GREETERS_MAX).expect("small");
        (0..crowd).for_each(|node| drop(greetings.hear(greeting(node, 1), 0)));
        greetings.hear(greeting(crowd, 1), 1);
        assert_eq!(greetings.hear(greeting(crowd, 2), 1), [], "no room for it");
        greetings.hear(greeting(crowd, 1), SHOWN_SECS);
        assert_eq!(greetings.hear(greeting(crowd, 2), SHOWN_SECS).len(), 1);
    }
}
