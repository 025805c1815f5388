//! Whether another process runs with this farmer's key: the decision, without I/O. It is fed the greetings that others were
//! sent in this node's name (`greeting`) and says what to make of them. Not here: whom to greet and when.

use bytes::Bytes;

use crate::{
    greeting::{GreetingBody, RunId, VerifiedGreeting},
    limits::GREETING_MAX_HEARD,
};

/// Another process with this node's key, seen to be alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Twin {
    /// When it began, in Unix seconds of its own clock.
    pub started: u64,
    /// Where it listens: binary multiaddrs.
    pub addresses: Vec<Bytes>,
}

/// What greetings in this node's name showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing new.
    Nothing,
    /// A run not heard of before. It may be over: whether it answers is to be seen.
    Unknown,
    /// A twin that began later. It is the one to stop.
    Younger(Twin),
    /// A twin that began earlier: this run is the one to stop.
    Older(Twin),
}

/// What one run of a farmer knows of others.
#[derive(Clone, Debug)]
pub struct Twins {
    run: RunId,
    started: u64,
    heard: Vec<RunId>,
}

impl Twins {
    /// Of the run of this number, which began at `started` (Unix seconds).
    pub fn new(run: RunId, started: u64) -> Self {
        Self { run, started, heard: Vec::new() }
    }

    /// This run.
    pub fn run(&self) -> RunId {
        self.run
    }

    /// When it began.
    pub fn started(&self) -> u64 {
        self.started
    }

    /// The runs to name in the next greeting.
    pub fn heard(&self) -> &[RunId] {
        &self.heard
    }

    /// A greeting in this node's name was shown. Of two twins both find the same one to be the older, also when they began in
    /// the same second or their clocks differ.
    pub fn hear(&mut self, greeting: &VerifiedGreeting) -> Verdict {
        let GreetingBody { run, started, addresses, heard, .. } = greeting.body();
        if *run == self.run {
            return Verdict::Nothing;
        }
        let is_new = !self.heard.contains(run);
        if is_new {
            if self.heard.len() == GREETING_MAX_HEARD {
                self.heard.remove(0);
            }
            self.heard.push(*run);
        }
        let twin = || Twin { started: *started, addresses: addresses.clone() };
        match heard.contains(&self.run) {
            true if (*started, *run) < (self.started, self.run) => Verdict::Older(twin()),
            true => Verdict::Younger(twin()),
            false if is_new => Verdict::Unknown,
            false => Verdict::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{identity::Identity, testing};

    fn says(twins: &Twins) -> VerifiedGreeting {
        let identity = Identity::from_seed([1; 32]);
        let (network, node) = (testing::network(), identity.node_id());
        let (run, started, heard) = (twins.run(), twins.started(), twins.heard().to_vec());
        GreetingBody { network, node, run, started, addresses: Vec::new(), heard }.sign(&identity)
    }

    fn run(n: u8, started: u64) -> Twins {
        Twins::new(RunId([n; 16]), started)
    }

    #[test]
    fn two_that_run_find_each_other_and_agree_who_is_older() {
        for (older_at, newer_at, older, newer) in [(10, 20, 9, 1), (10, 10, 1, 9)] {
            let (mut older, mut newer) = (run(older, older_at), run(newer, newer_at));
            assert_eq!(newer.hear(&says(&older)), Verdict::Unknown);
            assert!(matches!(older.hear(&says(&newer)), Verdict::Younger(Twin { started, .. }) if started == newer_at));
            assert!(matches!(newer.hear(&says(&older)), Verdict::Older(Twin { started, .. }) if started == older_at));
        }
    }

    #[test]
    fn runs_that_are_over_are_no_twins_however_often_they_are_shown() {
        let (mut first, mut second, mut third) = (run(1, 10), run(2, 20), run(3, 30));
        first.hear(&says(&second));
        let (of_first, of_second) = (says(&first), says(&second));
        assert_eq!(third.hear(&of_first), Verdict::Unknown);
        assert_eq!(third.hear(&of_first), Verdict::Nothing, "it named the second, not the third");
        assert_eq!(third.hear(&of_second), Verdict::Unknown);
        assert_eq!(second.hear(&says(&second)), Verdict::Nothing, "its own");
    }

    #[test]
    fn a_farmer_that_was_started_again_and_again_remembers_few_runs() {
        let mut last = run(255, 300);
        for n in 0..200 {
            last.hear(&says(&run(n, u64::from(n))));
        }
        assert_eq!(last.heard().len(), GREETING_MAX_HEARD);
        assert_eq!(last.heard().last(), Some(&RunId([199; 16])));
    }
}
