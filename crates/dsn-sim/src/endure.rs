//! One seed, one month of a network: files are put and written into a ledger, farmers crash, leave, return, are wiped, lie,
//! rot and are cut off, within a budget; and at any time every file in the ledger that has pieces enough on honest running
//! farmers must read back byte for byte. In the end the network is left in peace, and every chunk must recover.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use dsn_client::{ClientOptions, NoProgress, PutOptions, input::MemoryInput, output::MemoryOutput};
use dsn_core::{
    chunk::{chunk_count, chunk_len, chunk_offset},
    cid::Cid,
    descriptor::Code,
    erasure::encode,
    hash::ChunkId,
    index_set::IndexSet,
    limits::INLINE_MAX_BYTES,
    manifest::{ChunkList, Manifest},
    node_id::NodeId,
    redundancy::Class,
    repair::{Health, live, standing},
};
use dsn_farmer::UpkeepOptions;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::time::sleep;

use crate::{
    fault::{FaultCounts, Lie},
    net::Link,
    scenario::Violation,
    world::World,
};

const HOUR: Duration = Duration::from_secs(3600);

/// What a month is made of.
#[derive(Clone, Copy, Debug)]
pub struct EndureOptions {
    /// Farmers in the network.
    pub farmers: usize,
    /// Virtual days with faults; two more without.
    pub days: u64,
    /// Files put, some at the start and some later.
    pub files: usize,
    /// Bytes of the largest file.
    pub max_file_bytes: usize,
    /// Farmers that may fail for good, in whatever way, within three days.
    pub lasting_faults: usize,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Endured {
    /// Files in the ledger.
    pub puts: usize,
    /// Puts that failed, as they may.
    pub failed_puts: usize,
    /// Files read back.
    pub gets: usize,
    /// Chunks repaired.
    pub repairs: u64,
    /// Bytes moved by repair.
    pub repair_bytes: u64,
    /// Bytes of pieces on farmers that failed for good.
    pub lost_bytes: u64,
    /// How often each fault happened.
    pub faults: FaultCounts,
    /// Hash of everything that happened.
    pub trace: String,
    /// Events in it.
    pub events: u64,
    /// Broken promises.
    pub violations: Vec<Violation>,
}

/// A file whose put succeeded.
struct Entry {
    file: usize,
    bytes: Bytes,
    cid: Cid,
    class: Class,
    chunks: Vec<(ChunkId, Code)>,
}

struct Month {
    rng: ChaCha8Rng,
    world: World,
    options: EndureOptions,
    ledger: Vec<Entry>,
    failed_puts: usize,
    gets: usize,
    hour: u64,
    /// Hours at which farmers failed for good.
    lasting: Vec<u64>,
    /// Farmers that are gone, or not to be relied on.
    failed: BTreeSet<NodeId>,
    /// Farmers whose disks lost something that they had signed for.
    untold: BTreeSet<NodeId>,
    /// Farmers that are away, with the hour of their return.
    away: BTreeMap<NodeId, u64>,
    repairs: u64,
    repair_bytes: u64,
    lost_bytes: u64,
    violations: Vec<Violation>,
}

/// Farmers look after things in the simulation as they do, only less often: the network is small.
fn upkeep() -> UpkeepOptions {
    UpkeepOptions { probe_every_secs: 4 * 3600, audit_every_secs: 2700, ..UpkeepOptions::default() }
}

/// Plays the month of a seed; call within [`crate::run`].
pub async fn endure(seed: u64, options: EndureOptions) -> Endured {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let loss = [0, 0, 1, 10];
    let link = Link {
        loss_permille: loss[rng.random_range(0..loss.len())],
        late_permille: rng.random_range(0..5),
        ..Link::default()
    };
    let world = World::with_upkeep(seed, options.farmers, 1 << 30, link, upkeep());
    let mut month = Month {
        rng,
        world,
        options,
        ledger: Vec::new(),
        failed_puts: 0,
        gets: 0,
        hour: 0,
        lasting: Vec::new(),
        failed: BTreeSet::new(),
        untold: BTreeSet::new(),
        away: BTreeMap::new(),
        repairs: 0,
        repair_bytes: 0,
        lost_bytes: 0,
        violations: Vec::new(),
    };
    month.live_through().await;
    month.recover().await;
    month.finish()
}

impl Month {
    async fn live_through(&mut self) {
        for file in 0..self.options.files.div_ceil(2) {
            self.put(file).await;
        }
        let later = self.options.files / 2;
        let hours = self.options.days * 24;
        for nth in 0..hours / 6 {
            for _ in 0..6 {
                self.pass_hour().await;
            }
            let due = usize::try_from(nth).unwrap_or(0) * later / usize::try_from(hours / 6).unwrap_or(1).max(1);
            if self.ledger.len() + self.failed_puts < self.options.files.div_ceil(2) + due {
                self.put(self.ledger.len() + self.failed_puts).await;
            }
            self.trouble().await;
            if nth % 4 == 0 {
                self.read_one().await;
            }
        }
    }

    async fn pass_hour(&mut self) {
        sleep(HOUR).await;
        self.hour += 1;
        let back: Vec<NodeId> = self.away.iter().filter(|(_, at)| **at <= self.hour).map(|(node, _)| *node).collect();
        for node in back {
            self.away.remove(&node);
            self.world.restart(node);
        }
    }

    async fn put(&mut self, file: usize) {
        let len = match self.rng.random_range(0..3) {
            0 => self.rng.random_range(0..=INLINE_MAX_BYTES),
            _ => self.rng.random_range(INLINE_MAX_BYTES + 1..=self.options.max_file_bytes),
        };
        let mut bytes = vec![0; len];
        self.rng.fill(&mut bytes[..]);
        let bytes = Bytes::from(bytes);
        let class = [Class::Low, Class::Normal, Class::High][self.rng.random_range(0..3)];
        let client = self.world.client(ClientOptions::default());
        let put = PutOptions { class, ..PutOptions::default() };
        match client.put(&mut MemoryInput::new(bytes.clone()), put, &NoProgress).await {
            Ok(report) => {
                let chunks = chunks_of(&bytes);
                assert_eq!(chunks.last().map(|(chunk, _)| *chunk), Some(report.cid.0), "the same bytes, the same CID");
                self.ledger.push(Entry { file, bytes, cid: report.cid, class, chunks });
            }
            Err(_) => self.failed_puts += 1,
        }
    }

    /// Something happens, or nothing.
    async fn trouble(&mut self) {
        let farmers = self.world.farmers();
        let victim = farmers[self.rng.random_range(0..farmers.len())];
        if self.failed.contains(&victim) || self.away.contains_key(&victim) {
            return;
        }
        let recent = self.lasting.iter().filter(|at| **at + 72 > self.hour).count();
        let may_last = recent < self.options.lasting_faults;
        match self.rng.random_range(0..18) {
            0..3 => {
                self.world.crash(victim);
                self.away.insert(victim, self.hour + self.rng.random_range(1..20));
            }
            3 if may_last => {
                self.world.crash(victim);
                self.world.count_return();
                self.lasting.push(self.hour);
                self.away.insert(victim, self.hour + self.rng.random_range(40..120));
            }
            4..6 if may_last => {
                self.fail(victim);
                self.world.leave(victim);
            }
            6 if may_last => {
                self.lasting.push(self.hour);
                self.count_lost(victim);
                self.world.wipe(victim);
                self.untold.insert(victim);
            }
            7 if may_last && self.failed.len() * 10 < farmers.len() => self.begin_to_lie(victim),
            8 => {
                let apart = farmers[..farmers.len() / 4].to_vec();
                self.world.partition(&apart, true);
                let hours = self.rng.random_range(1..4);
                for _ in 0..hours {
                    self.pass_hour().await;
                }
                self.world.partition(&apart, false);
            }
            9 | 10 => {
                let pick = self.rng.random_range(0..1000);
                self.world.rot(victim, pick);
                self.untold.insert(victim);
            }
            11 => {
                self.world.fill(victim);
                self.untold.insert(victim);
            }
            12 => self.world.slow(victim, Duration::from_secs(self.rng.random_range(1..6))),
            13 => self.world.skew(victim, self.rng.random_range(-7200..7200)),
            14 if may_last => {
                self.fail(victim);
                self.world.hang(victim);
            }
            15 if may_last => {
                self.lasting.push(self.hour);
                self.world.break_disk(victim);
            }
            _ => {}
        }
    }

    /// About its pieces, which then count as lost; or about anything else, and its pieces are as good as any.
    fn begin_to_lie(&mut self, victim: NodeId) {
        let of_pieces = [Lie::WrongBytes, Lie::Drops, Lie::ClaimsAll];
        let of_others = [Lie::HidesLocators, Lie::OtherLocator, Lie::ForgesIntents, Lie::Space, Lie::StaleLocators];
        let lie = if self.rng.random_bool(0.5) {
            self.fail(victim);
            of_pieces[self.rng.random_range(0..of_pieces.len())]
        } else {
            self.lasting.push(self.hour);
            of_others[self.rng.random_range(0..of_others.len())]
        };
        self.world.lie(victim, Some(lie));
    }

    fn fail(&mut self, victim: NodeId) {
        self.lasting.push(self.hour);
        self.count_lost(victim);
        self.failed.insert(victim);
    }

    fn count_lost(&mut self, victim: NodeId) {
        self.lost_bytes += self.world.status(victim).map_or(0, |status| status.used_bytes);
        self.note_repairs(victim);
    }

    /// Takes over what a farmer counted before it stops counting.
    fn note_repairs(&mut self, farmer: NodeId) {
        if let Some(status) = self.world.status(farmer) {
            self.repairs += status.repairs;
            self.repair_bytes += status.repair_bytes;
        }
    }

    async fn read_one(&mut self) {
        if !self.ledger.is_empty() {
            let entry = self.rng.random_range(0..self.ledger.len());
            self.read(entry).await;
        }
    }

    async fn read(&mut self, entry: usize) {
        let Entry { file, bytes, cid, .. } = &self.ledger[entry];
        let must = self.pieces_up(entry);
        let client = self.world.client(ClientOptions::default());
        let mut output = MemoryOutput::default();
        match client.get(*cid, &mut output, &NoProgress).await {
            Ok(_) if output.bytes != bytes[..] => self.violations.push(Violation::WrongBytes { file: *file }),
            Ok(_) => self.gets += 1,
            Err(error) if must => self.violations.push(Violation::Unreadable {
                file: *file,
                error: format!("hour {}: {error}", self.hour),
                failed: self.failed.len(),
                may_vanish: 0,
            }),
            Err(_) => {}
        }
    }

    /// Whether every chunk of a file has pieces enough on honest farmers that are up.
    fn pieces_up(&self, entry: usize) -> bool {
        let honest =
            self.world.farmers().into_iter().filter(|node| !self.failed.contains(node) && self.world.is_up(*node));
        let held = self.held_by(honest);
        let entry = &self.ledger[entry];
        entry
            .chunks
            .iter()
            .all(|(chunk, code)| live(*code, held.get(chunk).into_iter().flatten().copied()) >= code.needed())
    }

    fn held_by(&self, farmers: impl Iterator<Item = NodeId>) -> BTreeMap<ChunkId, Vec<IndexSet>> {
        let mut held: BTreeMap<ChunkId, Vec<IndexSet>> = BTreeMap::new();
        for node in farmers {
            for (chunk, set) in self.world.on_disk(node) {
                held.entry(chunk).or_default().push(set);
            }
        }
        held
    }

    /// The faults are over; whoever is only away is back, and two days later every chunk is as it should be.
    async fn recover(&mut self) {
        for node in std::mem::take(&mut self.away).into_keys() {
            self.world.restart(node);
        }
        for _ in 0..48 {
            self.pass_hour().await;
        }
        for entry in 0..self.ledger.len() {
            self.read(entry).await;
        }
        let honest: Vec<NodeId> = self.world.farmers().into_iter().filter(|node| !self.failed.contains(node)).collect();
        // The custodians count all that answer, liars they have not caught among them; t and r follow from that.
        let up = |nodes: &[NodeId]| nodes.iter().filter(|node| self.world.is_up(**node)).count();
        let counts = [up(&honest), up(&self.world.farmers())];
        let held = self.held_by(honest.into_iter());
        self.check_receipts();
        for entry in &self.ledger {
            for (chunk, code) in &entry.chunks {
                let sets = held.get(chunk).into_iter().flatten().copied();
                let by_count = |farmers: &usize| standing(*code, entry.class, *farmers, sets.clone());
                if counts.iter().all(|farmers| by_count(farmers).health != Health::Healthy) {
                    let (file, live) = (entry.file, live(*code, sets));
                    self.violations.push(Violation::NotRecovered { file, chunk: *chunk, live });
                }
            }
        }
    }

    /// No receipt without durable bytes: what a farmer whose disk lost nothing has signed for lies on it.
    fn check_receipts(&mut self) {
        let honest = |node: &NodeId| !self.failed.contains(node) && !self.untold.contains(node);
        let disks: BTreeMap<NodeId, BTreeMap<ChunkId, IndexSet>> = self
            .world
            .farmers()
            .into_iter()
            .filter(honest)
            .map(|node| (node, self.world.on_disk(node).into_iter().collect()))
            .collect();
        for keeper in self.world.farmers() {
            for locator in self.world.locators_of(keeper) {
                for receipt in locator.receipts() {
                    let (farmer, chunk) = (receipt.body().farmer, receipt.body().chunk);
                    let Some(disk) = disks.get(&farmer) else { continue };
                    let held = disk.get(&chunk).copied().unwrap_or_default();
                    if !receipt.body().indices.is_subset(held) {
                        self.violations.push(Violation::NotDurable { farmer, chunk });
                    }
                }
            }
        }
    }

    fn finish(mut self) -> Endured {
        for farmer in self.world.farmers() {
            self.note_repairs(farmer);
        }
        let (trace, events) = self.world.trace_hash();
        Endured {
            puts: self.ledger.len(),
            failed_puts: self.failed_puts,
            gets: self.gets,
            repairs: self.repairs,
            repair_bytes: self.repair_bytes,
            lost_bytes: self.lost_bytes,
            faults: self.world.faults(),
            trace,
            events,
            violations: self.violations,
        }
    }
}

/// The chunks of a file, the root chunk last.
fn chunks_of(bytes: &Bytes) -> Vec<(ChunkId, Code)> {
    let len = bytes.len() as u64;
    let (manifest, mut chunks) = if bytes.len() <= INLINE_MAX_BYTES {
        (Manifest::Inline(bytes.clone()), Vec::new())
    } else {
        let chunk = |nth: u64| {
            let start = usize::try_from(chunk_offset(nth)).expect("a small file");
            encode(Code::Rs16Of48, BytesMut::from(&bytes[start..start + chunk_len(len, nth)])).descriptor.id()
        };
        let ids: Vec<ChunkId> = (0..chunk_count(len)).map(chunk).collect();
        let raw: Vec<u8> = ids.iter().flat_map(|id| *id.as_bytes()).collect();
        let list = ChunkList::new(0, len, raw.into());
        (Manifest::List(list), ids.into_iter().map(|id| (id, Code::Rs16Of48)).collect())
    };
    let root = encode(Code::Rep, BytesMut::from(&manifest.encode()[..])).descriptor.id();
    chunks.push((root, Code::Rep));
    chunks
}
