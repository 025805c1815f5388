//! What must hold of a network at any time, looked up on the disks themselves: what clients and farmers think of it does
//! not count here.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{Bytes, BytesMut};
use dsn_client::PutReport;
use dsn_core::{
    chunk::Layout,
    descriptor::Code,
    erasure::encode,
    hash::ChunkId,
    index_set::IndexSet,
    limits::INLINE_MAX_BYTES,
    manifest::{ChunkList, Manifest},
    node_id::NodeId,
    redundancy::{may_vanish, must_vanish},
};

use crate::{violation::Violation, world::World};

/// The chunks of a file, the root chunk last.
pub(crate) fn chunks_of(bytes: &Bytes) -> Vec<(ChunkId, Code)> {
    let layout = Layout::even(bytes.len() as u64);
    let (manifest, mut chunks) = if bytes.len() <= INLINE_MAX_BYTES {
        (Manifest::Inline(bytes.clone()), Vec::new())
    } else {
        let chunk = |nth: u64| {
            let start = usize::try_from(layout.offset(nth)).expect("a small file");
            encode(Code::Rs16Of48, BytesMut::from(&bytes[start..start + layout.chunk_len(nth)])).descriptor.id()
        };
        let ids: Vec<ChunkId> = (0..layout.count()).map(chunk).collect();
        let raw: Vec<u8> = ids.iter().flat_map(|id| *id.as_bytes()).collect();
        let list = ChunkList::new(0, layout.total(), raw.into());
        (Manifest::List(list), ids.into_iter().map(|id| (id, Code::Rs16Of48)).collect())
    };
    let root = encode(Code::Rep, BytesMut::from(&manifest.encode()[..])).descriptor.id();
    chunks.push((root, Code::Rep));
    chunks
}

/// What of each chunk lies readable on these farmers' disks.
pub(crate) fn held_by(
    world: &World,
    farmers: impl IntoIterator<Item = NodeId>,
) -> BTreeMap<ChunkId, BTreeMap<NodeId, IndexSet>> {
    let mut held: BTreeMap<ChunkId, BTreeMap<NodeId, IndexSet>> = BTreeMap::new();
    for node in farmers {
        for (chunk, set) in world.on_disk(node) {
            held.entry(chunk).or_default().insert(node, set);
        }
    }
    held
}

/// What a put that succeeded says that it bears, against its pieces and locators on the disks; `lost` farmers have
/// failed since it began.
pub(crate) fn overpromised(
    world: &World,
    file: usize,
    chunks: &[(ChunkId, Code)],
    report: &PutReport,
    lost: usize,
) -> Option<Violation> {
    let farmers = world.farmers();
    let held = held_by(world, farmers.iter().copied());
    let promised = report.may_vanish;
    let needed = promised.max(must_vanish(farmers.len())) + 1;
    chunks.iter().find_map(|(chunk, code)| {
        let bears = may_vanish(*code, held.get(chunk).into_iter().flat_map(BTreeMap::values).copied());
        let keeps = |node: &&NodeId| world.locators_of(**node).iter().any(|locator| locator.chunk() == *chunk);
        let keepers = farmers.iter().filter(keeps).count();
        let is_kept = bears.map_or(0, |bears| bears + lost) >= promised && keepers + lost >= needed;
        let (chunk, bears) = (*chunk, bears.unwrap_or(0));
        (!is_kept).then_some(Violation::Promised { file, chunk, may_vanish: promised, bears, keepers })
    })
}

/// No receipt without durable bytes: what a farmer whose disk lost nothing has signed for lies on it. `given_up` are chunks
/// that nobody wants any more.
pub(crate) fn unwritten_receipts(
    world: &World,
    excused: &BTreeSet<NodeId>,
    given_up: &BTreeSet<ChunkId>,
) -> Vec<Violation> {
    let farmers = world.farmers().into_iter().filter(|node| !excused.contains(node));
    let disks: BTreeMap<NodeId, BTreeMap<ChunkId, IndexSet>> =
        farmers.map(|node| (node, world.on_disk(node).into_iter().collect())).collect();
    let mut violations = Vec::new();
    for keeper in world.farmers() {
        for locator in world.locators_of(keeper) {
            for receipt in locator.receipts() {
                let (farmer, chunk) = (receipt.body().farmer, receipt.body().chunk);
                let Some(disk) = disks.get(&farmer) else { continue };
                let held = disk.get(&chunk).copied().unwrap_or_default();
                if !given_up.contains(&chunk) && !receipt.body().indices.is_subset(held) {
                    violations.push(Violation::NotDurable { farmer, chunk });
                }
            }
        }
    }
    violations
}

/// Nothing that others fill is beyond its bound.
pub(crate) fn overfull(world: &World) -> impl Iterator<Item = Violation> {
    let of = |farmer| world.occupancies(farmer).into_iter().map(move |kept| (farmer, kept));
    let kept = world.farmers().into_iter().flat_map(of);
    kept.filter(|(_, kept)| kept.used > kept.most).map(|(farmer, kept)| {
        let (what, used) = (kept.what, kept.used);
        Violation::Overfull { farmer, what, used }
    })
}

/// Pieces that are on farmers where they were not.
pub(crate) fn placed(before: &BTreeMap<NodeId, IndexSet>, after: &BTreeMap<NodeId, IndexSet>) -> usize {
    after.iter().map(|(node, set)| set.minus(before.get(node).copied().unwrap_or_default()).len()).sum()
}
