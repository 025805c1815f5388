//! What one node may ask of this one: a rate, beyond which it is told to come back, and an end when it does not listen.
//! Only what this node itself has seen counts, and only so many are shut out in an hour: nobody can be talked into shunning
//! a whole network, and no mistake of ours can shun it either. Sans I/O but for the rate limiter's clock.

use std::{
    collections::{HashMap, VecDeque},
    num::NonZeroU32,
    time::{Duration, Instant},
};

use dsn_core::node_id::NodeId;
use governor::{DefaultKeyedRateLimiter, Quota};

/// Requests of one node in a second, on average. An uploader at 500 MB/s sends as many, of 1 MiB each.
const REQUESTS_PER_SEC: NonZeroU32 = NonZeroU32::new(512).expect("not 0");
/// And at once, as a put of many small files begins.
const REQUESTS_BURST: NonZeroU32 = NonZeroU32::new(2048).expect("not 0");
/// Requests beyond its rate within [`STRIKES_FOR`] after which a node is shut out: it was told to wait so many times.
const STRIKES_MAX: u32 = 512;
/// For how long requests beyond the rate are counted together.
const STRIKES_FOR: Duration = Duration::from_secs(10);
/// For how long a node is shut out.
const BAN: Duration = Duration::from_secs(60);
/// Nodes shut out in an hour at most.
const BANS_PER_HOUR: usize = 16;
const HOUR: Duration = Duration::from_secs(3600);
/// Nodes whose rate is known; when there are more, those that were quiet are forgotten.
const NODES_MAX: usize = 4096;

/// Bytes of pieces of one node in a second, on average, in KiB, each way: more than a 1-Gbit/s line carries.
const KIB_PER_SEC: NonZeroU32 = NonZeroU32::new(256 * 1024).expect("not 0");
/// And at once.
const KIB_BURST: NonZeroU32 = NonZeroU32::new(512 * 1024).expect("not 0");

/// What comes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Serve,
    /// It is told to come back later.
    TooMany,
    /// Its connection ends, and it is not let in for a while.
    ShutOut,
}

/// How nodes behave.
pub(crate) struct Manners {
    requests: DefaultKeyedRateLimiter<NodeId>,
    strikes: HashMap<NodeId, (Instant, u32)>,
    bans: HashMap<NodeId, Instant>,
    recent: VecDeque<Instant>,
}

impl Default for Manners {
    fn default() -> Self {
        let quota = Quota::per_second(REQUESTS_PER_SEC).allow_burst(REQUESTS_BURST);
        Self {
            requests: DefaultKeyedRateLimiter::keyed(quota),
            strikes: HashMap::new(),
            bans: HashMap::new(),
            recent: VecDeque::new(),
        }
    }
}

impl Manners {
    /// A node asks for something.
    pub(crate) fn request(&mut self, from: NodeId, now: Instant) -> Verdict {
        if self.requests.len() > NODES_MAX {
            self.requests.retain_recent();
        }
        if self.requests.check_key(&from).is_ok() {
            return Verdict::Serve;
        }
        if self.strikes.len() > NODES_MAX {
            self.strikes.retain(|_, (since, _)| now < *since + STRIKES_FOR);
        }
        let (since, count) = self.strikes.entry(from).or_insert((now, 0));
        if now >= *since + STRIKES_FOR {
            (*since, *count) = (now, 0);
        }
        *count += 1;
        if *count >= STRIKES_MAX && self.ban(from, now) { Verdict::ShutOut } else { Verdict::TooMany }
    }

    /// Shuts a node out, unless that was done too often lately.
    fn ban(&mut self, node: NodeId, now: Instant) -> bool {
        while self.recent.front().is_some_and(|at| now >= *at + HOUR) {
            self.recent.pop_front();
        }
        if self.is_banned(&node, now) {
            return true; // what it had sent before
        }
        if self.recent.len() >= BANS_PER_HOUR {
            return false;
        }
        self.recent.push_back(now);
        self.strikes.remove(&node);
        self.bans.retain(|_, until| now < *until);
        self.bans.insert(node, now + BAN);
        true
    }

    /// Whether a node is shut out.
    pub(crate) fn is_banned(&self, node: &NodeId, now: Instant) -> bool {
        self.bans.get(node).is_some_and(|until| now < *until)
    }
}

/// How many bytes of pieces each node sends and fetches.
pub(crate) struct Portions(DefaultKeyedRateLimiter<NodeId>);

impl Default for Portions {
    fn default() -> Self {
        Self(DefaultKeyedRateLimiter::keyed(Quota::per_second(KIB_PER_SEC).allow_burst(KIB_BURST)))
    }
}

impl Portions {
    /// Counts so many bytes, and tells whether they are within the node's portion; if not, nothing is counted.
    pub(crate) fn take(&self, node: NodeId, bytes: usize) -> bool {
        if self.0.len() > NODES_MAX {
            self.0.retain_recent();
        }
        let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX);
        NonZeroU32::new(kib).is_none_or(|kib| matches!(self.0.check_key_n(&node, kib), Ok(Ok(()))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_does_not_listen_is_shut_out_for_a_minute_and_others_are_not() {
        let (mut manners, now) = (Manners::default(), Instant::now());
        let (loud, quiet) = (NodeId([1; 32]), NodeId([2; 32]));
        let verdicts: Vec<_> = (0..4000).map(|_| manners.request(loud, now)).collect();
        let count = |wanted| verdicts.iter().filter(|verdict| **verdict == wanted).count();
        let burst = usize::try_from(REQUESTS_BURST.get()).unwrap();
        assert!(verdicts[..burst].iter().all(|verdict| *verdict == Verdict::Serve));
        assert!(count(Verdict::TooMany) > 500 && count(Verdict::ShutOut) >= 1);
        assert!(manners.is_banned(&loud, now) && !manners.is_banned(&loud, now + BAN));
        assert_eq!(manners.request(quiet, now), Verdict::Serve);
    }

    #[test]
    fn one_node_takes_only_its_portion_of_the_bytes() {
        let (portions, hungry, modest) = (Portions::default(), NodeId([1; 32]), NodeId([2; 32]));
        let taken = (0..4096).filter(|_| portions.take(hungry, 1 << 20)).count();
        let burst = usize::try_from(KIB_BURST.get()).unwrap() / 1024;
        assert!((burst..burst + 200).contains(&taken), "{taken} MiB at once");
        assert!(portions.take(hungry, 0), "small messages always go");
        assert!(portions.take(modest, 1 << 20));
    }

    #[test]
    fn only_so_many_are_shut_out_in_an_hour() {
        let (mut manners, now) = (Manners::default(), Instant::now());
        for number in 0..40 {
            for _ in 0..4000 {
                manners.request(NodeId([number; 32]), now);
            }
        }
        assert_eq!(manners.bans.len(), BANS_PER_HOUR);
        assert!(manners.ban(NodeId([99; 32]), now + HOUR), "the hour is over");
    }
}
