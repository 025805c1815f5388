//! Placement is even, stable between runs, and keeps its caps.

use super::*;
use crate::{
    descriptor::Code,
    hash::Hash,
    redundancy::{Class, target},
};

fn farmers(count: u8) -> Vec<Candidate> {
    (0..count).map(|i| Candidate { node: NodeId([i; 32]), space_class: 33, domain: None }).collect()
}

fn chunk(seed: u32) -> ChunkId {
    ChunkId(Hash::of(&seed.to_be_bytes()))
}

fn rs_plan(seed: u32, candidates: &[Candidate], existing: &BTreeMap<NodeId, IndexSet>) -> BTreeMap<NodeId, IndexSet> {
    let target = target(Code::Rs16Of48, Class::Normal, candidates.len());
    plan(chunk(seed), Code::Rs16Of48, IndexSet::below(48), target, candidates, existing)
}

#[test]
fn small_networks_hold_equal_numbers() {
    for count in [2u8, 3, 5, 6, 12, 19] {
        let placed = rs_plan(1, &farmers(count), &BTreeMap::new());
        let target = target(Code::Rs16Of48, Class::Normal, count.into());
        assert!(placed.values().all(|set| set.len() == target.per_farmer), "{count} farmers: {placed:?}");
        let union = placed.values().fold(IndexSet::EMPTY, |all, set| all.union(*set));
        assert_eq!(union, IndexSet::below(target.place));
    }
}

#[test]
fn data_pieces_lie_on_as_many_farmers_as_possible() {
    let placed = rs_plan(2, &farmers(12), &BTreeMap::new());
    let data = IndexSet::below(16);
    assert!(placed.values().all(|set| (1..=2).contains(&set.and(data).len())), "{placed:?}");
}

#[test]
fn what_is_held_is_not_sent_again() {
    let all = farmers(12);
    let first = rs_plan(3, &all, &BTreeMap::new());
    assert!(rs_plan(3, &all, &first).is_empty());
    let mut partial = first.clone();
    let (gone, lost) = partial.pop_first().expect("12 farmers");
    let rest: Vec<_> = all.into_iter().filter(|c| c.node != gone).collect();
    let again = rs_plan(3, &rest, &partial);
    let sent = again.values().fold(IndexSet::EMPTY, |sum, set| sum.union(*set));
    // Eleven farmers: t = 33, all of them held.
    assert!(sent.is_subset(lost), "{again:?}");
}

#[test]
fn half_of_the_farmers_vanish_during_a_put() {
    let all = farmers(12);
    let first = rs_plan(4, &all, &BTreeMap::new());
    let survivors: Vec<_> = all.into_iter().take(6).collect();
    let held = first.into_iter().filter(|(node, _)| survivors.iter().any(|c| c.node == *node)).collect();
    let again = rs_plan(4, &survivors, &held);
    let total: usize = again.values().chain(held.values()).map(|set| set.len()).sum();
    assert_eq!(total, 36);
    assert!(survivors.iter().all(|c| again[&c.node].len() + held[&c.node].len() == 6));
}

#[test]
fn double_the_space_gets_double_the_pieces_in_a_large_network() {
    let mut all = farmers(200);
    all.iter_mut().take(100).for_each(|c| c.space_class = 34);
    let mut counts = [0usize; 2];
    for seed in 0..400 {
        for (node, set) in rs_plan(seed, &all, &BTreeMap::new()) {
            counts[usize::from(node.0[0] >= 100)] += set.len();
        }
    }
    // Not quite 2: nobody gets two pieces of one chunk.
    assert!((16 * counts[1]..21 * counts[1]).contains(&(10 * counts[0])), "{counts:?}");
}

#[test]
fn a_failure_domain_holds_a_quarter_at_most() {
    let mut all = farmers(40);
    all.iter_mut().for_each(|c| c.domain = FailureDomain::of("", Some([203, 0, c.node.0[0] % 5, 1].into())));
    all.iter_mut().skip(8).take(20).for_each(|c| c.domain = FailureDomain::of("cellar", None));
    for seed in 0..50 {
        let placed = rs_plan(seed, &all, &BTreeMap::new());
        let cellar: usize = placed.iter().filter(|(n, _)| (8..28).contains(&n.0[0])).map(|(_, set)| set.len()).sum();
        let total: usize = placed.values().map(|set| set.len()).sum();
        assert!(total == 40, "caps give way before redundancy does");
        assert!(cellar <= 20, "{cellar}");
    }
    assert_eq!(FailureDomain::of("", Some([192, 168, 1, 1].into())), None);
}

#[test]
fn copies_go_to_different_farmers() {
    let target = target(Code::Rep, Class::Normal, 30);
    let placed = plan(chunk(5), Code::Rep, IndexSet::below(1), target, &farmers(30), &BTreeMap::new());
    assert_eq!(placed.len(), 12);
}

#[test]
fn the_order_is_a_golden_one() {
    let all = farmers(8);
    let order: Vec<u8> = rendezvous(chunk(6), &all).into_iter().map(|c| c.node.0[0]).collect();
    let again: Vec<u8> =
        rendezvous(chunk(6), &all.iter().rev().cloned().collect::<Vec<_>>()).into_iter().map(|c| c.node.0[0]).collect();
    assert_eq!(order, again);
    assert_ne!(order, rendezvous(chunk(7), &all).into_iter().map(|c| c.node.0[0]).collect::<Vec<_>>());
}
