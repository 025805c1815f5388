//! Which farmer gets which piece. Holders that have pieces keep them; the rest goes to farmers in the order of weighted
//! rendezvous hashing, which is the same on every run and machine, with caps per farmer and per failure domain. Pure: the
//! caller asks the farmers, and calls again with what changed when one refuses.
//!
//! Weighted rendezvous: a farmer's score is -ln(h) / w with h the hash of (chunk, farmer) as a fraction and w its weight;
//! the lowest scores win, and a farmer of twice the weight wins twice as often (Schindelhauer and Schomaker, "Weighted
//! distributed hash tables", SPAA 2005). Vectors: `tests/vectors/preferences.txt`.

use std::{collections::BTreeMap, net::IpAddr};

use crate::{
    canary::{Bug, planted},
    descriptor::Code,
    hash::ChunkId,
    index_set::IndexSet,
    node_id::NodeId,
    redundancy::Target,
};

/// A farmer that may get pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The farmer.
    pub node: NodeId,
    /// Its reservation, as floor(log2(bytes)).
    pub space_class: u8,
    /// What fails together with it; none when nothing is known to.
    pub domain: Option<FailureDomain>,
}

/// Farmers that fail together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FailureDomain {
    /// The operator says so.
    Tag(String),
    /// The same /24 of IPv4.
    V4([u8; 3]),
    /// The same /48 of IPv6.
    V6([u8; 6]),
}

impl FailureDomain {
    /// The domain of a farmer with this tag (may be empty) and address. Private and loopback addresses are none: there,
    /// neighbours in a subnet are the normal case.
    pub fn of(tag: &str, address: Option<IpAddr>) -> Option<Self> {
        if !tag.is_empty() {
            return Some(Self::Tag(tag.into()));
        }
        match address? {
            IpAddr::V4(v4) if v4.is_loopback() || v4.is_private() || v4.is_link_local() => None,
            IpAddr::V4(v4) => Some(Self::V4([v4.octets()[0], v4.octets()[1], v4.octets()[2]])),
            IpAddr::V6(v6) if v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local() => None,
            IpAddr::V6(v6) => v6.octets()[..6].try_into().ok().map(Self::V6),
        }
    }
}

/// Candidates in the order in which `chunk` prefers them.
pub fn rendezvous(chunk: ChunkId, candidates: &[Candidate]) -> Vec<&Candidate> {
    let mut scored: Vec<_> = candidates.iter().map(|c| (score(chunk, c), c.node, c)).collect();
    scored.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    scored.into_iter().map(|(_, _, candidate)| candidate).collect()
}

/// Smaller is better; the order of magnitude is free.
fn score(chunk: ChunkId, candidate: &Candidate) -> f64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(chunk.as_bytes()).update(&candidate.node.0);
    let hash: [u8; 4] = hasher.finalize().as_bytes()[..4].try_into().expect("32 bytes");
    let fraction = (f64::from(u32::from_be_bytes(hash)) + 0.5) / 4_294_967_296.0;
    -fraction.ln() / f64::from(candidate.space_class).exp2()
}

/// What to send to whom of the pieces `given`, so that `target` is reached as far as they and `candidates` allow. `existing`
/// are pieces known to be held by live farmers; they are counted and never sent again. Farmers of `existing` that are no
/// candidates get no more.
pub fn plan(
    chunk: ChunkId,
    code: Code,
    given: IndexSet,
    target: Target,
    candidates: &[Candidate],
    existing: &BTreeMap<NodeId, IndexSet>,
) -> BTreeMap<NodeId, IndexSet> {
    let mut plan = Plan { target, held: existing.clone(), domains: BTreeMap::new(), sends: BTreeMap::new() };
    let (holders, others): (Vec<_>, Vec<_>) =
        rendezvous(chunk, candidates).into_iter().partition(|c| existing.contains_key(&c.node));
    let order: Vec<&Candidate> = holders.into_iter().chain(others).collect();
    for candidate in &order {
        *plan.domain_count(candidate) += existing.get(&candidate.node).map_or(0, |set| set.len());
    }
    match code {
        Code::Rep => plan.place_copies(&order),
        Code::Rs16Of48 => plan.place_pieces(given, &order),
    }
    plan.sends
}

struct Plan {
    target: Target,
    held: BTreeMap<NodeId, IndexSet>,
    domains: BTreeMap<FailureDomain, usize>,
    sends: BTreeMap<NodeId, IndexSet>,
}

impl Plan {
    /// Pieces counted in the candidate's failure domain; a throw-away count when it has none.
    fn domain_count(&mut self, candidate: &Candidate) -> &mut usize {
        let domain = candidate.domain.clone().unwrap_or_else(|| FailureDomain::Tag(candidate.node.to_string()));
        self.domains.entry(domain).or_insert(0)
    }

    fn give(&mut self, candidate: &Candidate, index: u8) {
        self.held.entry(candidate.node).or_default().insert(index);
        self.sends.entry(candidate.node).or_default().insert(index);
        *self.domain_count(candidate) += 1;
    }

    /// A farmer's room under its caps. A domain may hold a quarter of the pieces, or its even share when there are fewer
    /// than four.
    fn has_room(&mut self, candidate: &Candidate, domain_cap: usize) -> bool {
        let held = self.held.get(&candidate.node).map_or(0, |set| set.len());
        held < self.target.per_farmer && *self.domain_count(candidate) < domain_cap
    }

    fn domain_cap(&self) -> usize {
        if planted(Bug::DomainsIgnored) {
            return usize::MAX;
        }
        self.target.place.div_ceil(self.domains.len().clamp(1, 4)).max(self.target.per_farmer)
    }

    /// Piece after piece goes round the farmers in order, so that neighbours of the code, and the data pieces that a
    /// reader asks for first, lie on different machines.
    fn place_pieces(&mut self, given: IndexSet, order: &[&Candidate]) {
        let live = self.held.values().fold(IndexSet::EMPTY, |sum, set| sum.union(*set));
        let mut wanted = given.minus(live).first(self.target.place.saturating_sub(live.len()));
        for domain_cap in [self.domain_cap(), usize::MAX] {
            let mut given = true;
            while given && !wanted.is_empty() {
                given = false;
                for candidate in order {
                    let Some(index) = wanted.iter().next() else { break };
                    if self.has_room(candidate, domain_cap) {
                        self.give(candidate, index);
                        wanted.remove(index);
                        given = true;
                    }
                }
            }
        }
    }

    fn place_copies(&mut self, order: &[&Candidate]) {
        for domain_cap in [self.domain_cap(), usize::MAX] {
            for candidate in order {
                let copies = self.held.values().filter(|set| !set.is_empty()).count();
                if copies < self.target.place && self.has_room(candidate, domain_cap) {
                    self.give(candidate, 0);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
