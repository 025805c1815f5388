//! Which keys to look up so that every server of the network shows itself, and what has been seen so far. Sans I/O: it is
//! asked for the next key and told the result. Not here: the look-ups.
//!
//! A look-up gives the servers closest to a key. When the farthest of them shares c leading bits with the key, every
//! server that shares more than c was among them, so that region of the key space needs no other look-up; what it leaves
//! of the region asked for is split and asked for in turn. 50 servers take 6 look-ups or so.

use std::collections::BTreeSet;

use dsn_core::{limits::SNAPSHOT_MAX_NODES, node_id::NodeId};
use libp2p::kad::KBucketKey;

use crate::identity::peer_id;

/// Servers that a look-up gives: as many as Kademlia's buckets hold.
pub(crate) const LOOK_UP_RESULTS: usize = 20;
/// Regions are not split deeper: 2^12 of them hold far more servers than a snapshot may. Finding a key takes 2^12 hashes.
const DEPTH_MAX: u8 = 12;
/// Look-ups of one crawl. 2,000 servers take about 300.
const LOOK_UPS_MAX: usize = 600;

const _: () = assert!(SNAPSHOT_MAX_NODES < LOOK_UPS_MAX * LOOK_UP_RESULTS / 4);

/// The part of the key space whose hashes start with the first `len` bits of `bits`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Region {
    bits: u32,
    len: u8,
}

/// The state of one crawl.
#[derive(Debug)]
pub(crate) struct Crawl {
    pending: Vec<Region>,
    asked: usize,
    nodes: BTreeSet<NodeId>,
    complete: bool,
}

impl Crawl {
    /// A crawl of the whole key space.
    pub(crate) fn new() -> Self {
        let all = Region { bits: 0, len: 0 };
        Self { pending: vec![all], asked: 0, nodes: BTreeSet::new(), complete: true }
    }

    /// The next region to look into, and a key in it.
    pub(crate) fn next(&mut self) -> Option<(Region, [u8; 32])> {
        let region = self.pending.pop()?;
        self.asked += 1;
        if self.asked > LOOK_UPS_MAX || self.nodes.len() > SNAPSHOT_MAX_NODES {
            self.pending.clear();
            self.complete = false;
            return None;
        }
        Some((region, region.key()))
    }

    /// What a look-up of a key in `region` gave: servers that answered.
    pub(crate) fn on_found(&mut self, region: Region, key: [u8; 32], found: &[NodeId]) {
        self.nodes.extend(found);
        if found.len() < LOOK_UP_RESULTS {
            self.pending.clear(); // a look-up that finds fewer than it may has found all there are
            return;
        }
        let key = hash(KBucketKey::new(key.to_vec()).hashed_bytes());
        let shared = found.iter().map(|node| (key ^ position(node)).leading_zeros()).min().unwrap_or(0);
        let covered = u8::try_from(shared + 1).unwrap_or(u8::MAX);
        if covered > DEPTH_MAX {
            self.complete = false;
        }
        for len in region.len..covered.min(DEPTH_MAX) {
            self.pending.push(Region::sibling(key, len + 1));
        }
    }

    /// A look-up did not come to an end: the picture has a hole.
    pub(crate) fn on_failed(&mut self, found: &[NodeId]) {
        self.nodes.extend(found);
        self.complete = false;
    }

    /// A server answered.
    pub(crate) fn on_answered(&mut self, node: NodeId) {
        self.nodes.insert(node);
    }

    /// A server was named that stands but did not answer.
    pub(crate) fn on_silent(&mut self) {
        self.complete = false;
    }

    /// Whether this server has answered.
    pub(crate) fn has(&self, node: &NodeId) -> bool {
        self.nodes.contains(node)
    }

    /// Whether nothing is left to look up.
    pub(crate) fn is_drained(&self) -> bool {
        self.pending.is_empty()
    }

    /// The servers that answered and whether those are all.
    pub(crate) fn finish(self) -> (BTreeSet<NodeId>, bool) {
        let complete = self.complete && self.nodes.len() <= SNAPSHOT_MAX_NODES;
        (self.nodes, complete)
    }
}

impl Region {
    /// The region that shares `len - 1` bits with a hash and differs in the next.
    fn sibling(hash: u32, len: u8) -> Self {
        let kept = u32::MAX << (32 - u32::from(len));
        Self { bits: (hash ^ (1 << (32 - u32::from(len)))) & kept, len }
    }

    fn contains(self, hash: u32) -> bool {
        self.len == 0 || (self.bits ^ hash) >> (32 - u32::from(self.len)) == 0
    }

    /// Kademlia hashes the keys it is given, so one whose hash lies here has to be searched for.
    fn key(self) -> [u8; 32] {
        let candidate = |counter: u64| {
            let mut key = [0; 32];
            key[..8].copy_from_slice(&counter.to_be_bytes());
            key
        };
        let lies_here = |key: &[u8; 32]| self.contains(hash(KBucketKey::new(key.to_vec()).hashed_bytes()));
        (0..).map(candidate).find(lies_here).expect("every region of at most 2^12 holds one of 2^64 hashes")
    }
}

fn position(node: &NodeId) -> u32 {
    hash(KBucketKey::from(peer_id(node)).hashed_bytes())
}

/// The first 32 bits: more than any region is deep.
fn hash(bytes: &[u8]) -> u32 {
    bytes.iter().take(4).fold(0, |bits, byte| bits << 8 | u32::from(*byte))
}

#[cfg(test)]
mod tests {
    use dsn_core::{
        identity::Identity,
        node_id::{Position, closest},
    };

    use super::*;

    fn network(count: usize) -> Vec<NodeId> {
        let seed = |i: usize| std::array::from_fn(|byte| if byte < 8 { i.to_le_bytes()[byte] } else { 1 });
        (0..count).map(|i| Identity::from_seed(seed(i)).node_id()).collect()
    }

    /// Crawls a network in which every look-up finds what it should; gives what was found and the look-ups it took.
    fn crawl(nodes: &[NodeId]) -> (BTreeSet<NodeId>, bool, usize) {
        let mut crawl = Crawl::new();
        while let Some((region, key)) = crawl.next() {
            let found = closest(nodes.iter().copied(), Position::of_key(&key), LOOK_UP_RESULTS);
            crawl.on_found(region, key, &found);
        }
        let asked = crawl.asked;
        let (found, complete) = crawl.finish();
        (found, complete, asked)
    }

    #[test]
    fn every_server_is_found_with_few_look_ups() {
        for (count, at_most) in [(0, 1), (1, 1), (12, 1), (19, 1), (20, 4), (50, 12), (200, 45), (1000, 220)] {
            let nodes = network(count);
            let (found, complete, asked) = crawl(&nodes);
            assert_eq!(found, nodes.into_iter().collect(), "{count}");
            assert!(complete && asked <= at_most, "{count}: {asked}");
        }
    }

    #[test]
    fn a_network_that_is_too_large_is_not_complete() {
        let (found, complete, asked) = crawl(&network(3000));
        assert!(!complete && found.len() > SNAPSHOT_MAX_NODES && asked <= LOOK_UPS_MAX);
    }

    #[test]
    fn servers_crowded_around_a_key_do_not_make_the_crawl_endless() {
        let mut crawl = Crawl::new();
        let nodes = network(200_000);
        let (region, key) = crawl.next().unwrap();
        let crowd = closest(nodes, Position::of_key(&key), LOOK_UP_RESULTS);
        crawl.on_found(region, key, &crowd);
        assert!(crawl.pending.len() <= usize::from(DEPTH_MAX));
        assert!(!crawl.finish().1);
    }
}
