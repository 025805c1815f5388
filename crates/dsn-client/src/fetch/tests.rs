//! Whom the state machine asks when holders answer, are late, lose pieces, or are gone.

use bytes::BytesMut;
use dsn_core::{
    descriptor::Code,
    erasure::{EncodedChunk, encode},
    identity::Identity,
    receipt::ReceiptBody,
    redundancy::Class,
};

use super::*;

const LATE: Duration = Duration::from_millis(100);

/// A chunk whose pieces lie on `farmers` farmers, one after the other.
fn spread(len: usize, farmers: usize, place: usize) -> (EncodedChunk, VerifiedLocator, Vec<NodeId>) {
    let encoded = encode(Code::Rs16Of48, BytesMut::zeroed(len));
    let mut locator = VerifiedLocator::new(encoded.descriptor.clone());
    let mut nodes = Vec::new();
    for farmer in 0..farmers {
        let identity = Identity::from_seed([u8::try_from(farmer).expect("few") + 1; 32]);
        let body = ReceiptBody {
            network: "test".parse().expect("a name"),
            chunk: encoded.descriptor.id(),
            farmer: identity.node_id(),
            indices: (0..place).filter(|i| i % farmers == farmer).map(|i| u8::try_from(i).expect("below 48")).collect(),
            class: Class::Normal,
            seq: 1,
            issued: 0,
            until: None,
        };
        nodes.push(identity.node_id());
        locator.insert(body.sign(&identity));
    }
    (encoded, locator, nodes)
}

fn good(_: NodeId) -> Rank {
    Rank { down: false, slow: false, in_flight: 0 }
}

/// The same of a machine for something else than pieces; sorted.
fn ask_all_of(fetch: &mut Fetch<()>, now: Instant) -> Vec<(NodeId, IndexSet)> {
    let next = || match fetch.next(now, LATE, good) {
        Step::Ask { node, indices } => Some((node, indices)),
        _ => None,
    };
    let mut asked: Vec<_> = std::iter::from_fn(next).collect();
    asked.sort_by_key(|(_, indices)| indices.iter().next());
    asked
}

/// Asks until the machine waits; gives what was asked.
fn ask_all(fetch: &mut Fetch, now: Instant, rank: impl Fn(NodeId) -> Rank) -> Vec<(NodeId, IndexSet)> {
    let mut asked = Vec::new();
    while let Step::Ask { node, indices } = fetch.next(now, LATE, &rank) {
        asked.push((node, indices));
    }
    asked
}

#[tokio::test]
async fn healthy_holders_are_asked_for_the_data_pieces_and_nothing_else() {
    let (encoded, locator, _) = spread(16 << 20, 12, 36);
    let (mut fetch, now) = (Fetch::new(&encoded.descriptor), Instant::now());
    fetch.learn(&locator);
    let asked = ask_all(&mut fetch, now, good);
    assert_eq!(asked.len(), 16, "full pieces travel alone");
    let union = asked.iter().fold(IndexSet::EMPTY, |sum, (_, set)| sum.union(*set));
    assert_eq!(union, IndexSet::below(16));
    for (node, set) in asked {
        set.iter().for_each(|i| fetch.came(node, i, encoded.pieces[usize::from(i)].clone()));
    }
    assert_eq!(fetch.next(now, LATE, good), Step::Done);
}

#[tokio::test]
async fn small_pieces_of_one_holder_travel_together() {
    let (encoded, locator, _) = spread(100_000, 3, 48);
    let (mut fetch, now) = (Fetch::new(&encoded.descriptor), Instant::now());
    fetch.learn(&locator);
    assert_eq!(ask_all(&mut fetch, now, good).len(), 3);
}

#[tokio::test]
async fn a_late_or_failed_data_piece_is_replaced_by_parity() {
    let (encoded, locator, _) = spread(16 << 20, 48, 48);
    let (mut fetch, now) = (Fetch::new(&encoded.descriptor), Instant::now());
    fetch.learn(&locator);
    let asked = ask_all(&mut fetch, now, good);
    for (node, set) in &asked[2..] {
        set.iter().for_each(|i| fetch.came(*node, i, encoded.pieces[usize::from(i)].clone()));
    }
    fetch.settled(asked[0].0, asked[0].1, Miss::Absent);
    let again = ask_all(&mut fetch, now, good);
    assert_eq!(again.len(), 1, "one failed, one is still in time");
    assert!(again[0].1.iter().all(|i| i >= 16));
    let later = now + LATE * 2;
    let hedges = ask_all(&mut fetch, later, good);
    assert_eq!(hedges.len(), 2, "both answers that are due are late");
}

#[tokio::test]
async fn holders_that_failed_a_moment_ago_are_asked_last() {
    let (encoded, locator, nodes) = spread(16 << 20, 12, 36);
    let dead = &nodes[..4];
    let rank = |node: NodeId| Rank { down: dead.contains(&node), slow: false, in_flight: 0 };
    let (mut fetch, now) = (Fetch::new(&encoded.descriptor), Instant::now());
    fetch.learn(&locator);
    let asked = ask_all(&mut fetch, now, rank);
    assert_eq!(asked.len(), 16);
    assert!(asked.iter().all(|(node, _)| !dead.contains(node)));
}

fn lost(node: NodeId) -> Miss {
    Miss::Unanswered(NetworkError::ConnectionLost { node })
}

#[tokio::test]
async fn without_enough_holders_it_is_exhausted_and_says_what_it_has() {
    let (encoded, locator, nodes) = spread(16 << 20, 12, 36);
    let (mut fetch, now) = (Fetch::new(&encoded.descriptor), Instant::now());
    fetch.learn(&locator);
    assert!(!fetch.learn(&locator), "nothing new");
    loop {
        match fetch.next(now, LATE, good) {
            Step::Ask { node, indices } if indices.contains(7) => {
                fetch.came(node, 7, encoded.pieces[7].clone());
                fetch.settled(node, indices, lost(node));
            }
            Step::Ask { node, indices } if node == nodes[0] => fetch.settled(node, indices, Miss::Absent),
            Step::Ask { node, indices } => fetch.settled(node, indices, lost(node)),
            step => {
                assert_eq!(step, Step::Exhausted);
                break;
            }
        }
    }
    assert_eq!(fetch.found(), 1);
    let answers = fetch.answers();
    assert_eq!(answers.len(), 12);
    let first = answers.iter().find(|answer| answer.node == nodes[0]).expect("asked");
    assert_eq!(first.to_string(), format!("{} no longer has pieces 0,12,24", nodes[0]));
    let other = answers.iter().find(|answer| answer.node == nodes[7]).expect("asked");
    assert_eq!(other.to_string(), format!("the connection to {} was lost; it is said to hold pieces 19,31", nodes[7]));
    assert!(fetch.retry_unanswered() && !fetch.retry_unanswered());
    assert!(matches!(fetch.next(now, LATE, good), Step::Ask { .. }));
}

#[tokio::test]
async fn of_the_pieces_named_and_no_others_something_is_asked_for() {
    let (encoded, locator, nodes) = spread(16 << 20, 12, 36);
    let among: IndexSet = [3, 4, 15].into_iter().collect();
    let (mut fetch, now) = (Fetch::<()>::some_of(among, 3, 2), Instant::now());
    fetch.learn(&locator);
    let asked = ask_all_of(&mut fetch, now);
    assert_eq!(asked, [(nodes[3], [3, 15].into_iter().collect()), (nodes[4], IndexSet::one(4))], "15 is with 3");
    fetch.came(nodes[4], 4, ());
    assert_eq!(fetch.missing(), [3, 15].into_iter().collect());
    assert_eq!(fetch.next(now + LATE * 2, LATE, good), Step::Wait(None), "late, and nobody else has it");
    fetch.settled(nodes[3], among, Miss::Absent);
    assert_eq!(fetch.next(now, LATE, good), Step::Exhausted);
    assert_eq!(encoded.descriptor.id(), locator.chunk());
}
