//! One seed, one month of a network: files are put and written into a ledger, farmers crash, leave, return, are wiped, lie,
//! rot and are cut off, within a budget; and at any time every file in the ledger that has pieces enough on honest running
//! farmers must read back byte for byte. In the end the network is left in peace, and every chunk must recover.

mod checks;
mod release;
mod trouble;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bytes::Bytes;
use dsn_client::{ClientOptions, NoProgress, PutOptions, input::MemoryInput, output::MemoryOutput};
use dsn_core::{
    cid::Cid,
    descriptor::Code,
    hash::ChunkId,
    limits::INLINE_MAX_BYTES,
    node_id::NodeId,
    redundancy::Class,
    repair::{Health, live, standing},
};
use dsn_farmer::UpkeepOptions;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::time::sleep;

use self::release::Released;
use crate::{
    checks::{chunks_of, held_by, overpromised},
    fault::{FaultCounts, Lie},
    net::Link,
    violation::Violation,
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

impl EndureOptions {
    /// The month that tests play with a seed: a hundred farmers and four files; every fifth is ten days of a small network,
    /// since nobody replaces its farmers.
    pub fn usual(seed: u64) -> Self {
        let large = Self { farmers: 100, days: 30, files: 3, max_file_bytes: 150_000, lasting_faults: 4 };
        if seed % 5 == 4 { Self { farmers: 16, lasting_faults: 1, days: 10, ..large } } else { large }
    }
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
    /// Liars, with the hour since which they lie.
    liars: BTreeMap<NodeId, (Lie, u64)>,
    had_outage: bool,
    /// Farmers whose answers somebody found wrong too often.
    found_out: BTreeSet<NodeId>,
    /// Farmers that were stopped, with the hour of their last start.
    started: BTreeMap<NodeId, u64>,
    rotten: Vec<(NodeId, ChunkId, u8)>,
    /// Farmers that could not bring back what rotted: wiped, or unable to write.
    broken: BTreeSet<NodeId>,
    /// Farmers and chunks without a lease when that was last looked at.
    unleased: BTreeSet<(NodeId, ChunkId)>,
    /// A file that its owner gives up after a while.
    released: Option<Released>,
    violations: Vec<Violation>,
}

/// Farmers look after things in the simulation as they do, only less often, and least in a large network, where more of
/// them look.
fn upkeep(farmers: usize) -> UpkeepOptions {
    let (probe_hours, audit_minutes) = if farmers < 50 { (3, 45) } else { (6, 120) };
    UpkeepOptions {
        probe_every_secs: probe_hours * 3600,
        audit_every_secs: audit_minutes * 60,
        ..UpkeepOptions::default()
    }
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
    let world = World::with_upkeep(seed, options.farmers, 1 << 30, link, upkeep(options.farmers));
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
        liars: BTreeMap::new(),
        had_outage: false,
        found_out: BTreeSet::new(),
        started: BTreeMap::new(),
        rotten: Vec::new(),
        broken: BTreeSet::new(),
        unleased: BTreeSet::new(),
        released: None,
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
        self.put_to_release().await;
        let outage = self.rng.random_range(0..self.options.days * 12);
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
            if nth == outage {
                self.outage().await;
            } else {
                self.trouble().await;
            }
            self.check_now();
            self.release().await;
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
            self.restart(node);
        }
    }

    fn restart(&mut self, farmer: NodeId) {
        self.world.restart(farmer);
        self.started.insert(farmer, self.hour);
    }

    async fn put(&mut self, file: usize) {
        match self.put_new(file).await {
            Some(entry) => self.ledger.push(entry),
            None => self.failed_puts += 1,
        }
    }

    async fn put_new(&mut self, file: usize) -> Option<Entry> {
        let len = match self.rng.random_range(0..3) {
            0 => self.rng.random_range(0..=INLINE_MAX_BYTES),
            _ => self.rng.random_range(INLINE_MAX_BYTES + 1..=self.options.max_file_bytes),
        };
        let mut bytes = vec![0; len];
        self.rng.fill(&mut bytes[..]);
        let bytes = Bytes::from(bytes);
        let class = [Class::Low, Class::Normal, Class::High][self.rng.random_range(0..3)];
        self.put_bytes(file, bytes, class).await
    }

    async fn put_bytes(&mut self, file: usize, bytes: Bytes, class: Class) -> Option<Entry> {
        let client = self.world.client(ClientOptions::default());
        let put = PutOptions { class, ..PutOptions::default() };
        let report = client.put(&mut MemoryInput::new(bytes.clone()), put, &NoProgress).await.ok()?;
        let chunks = chunks_of(&bytes);
        assert_eq!(chunks.last().map(|(chunk, _)| *chunk), Some(report.cid.0), "the same bytes, the same CID");
        let lost = self.failed.len() + self.away.len();
        self.violations.extend(overpromised(&self.world, file, &chunks, &report, lost));
        Some(Entry { file, bytes, cid: report.cid, class, chunks })
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
        let up = self.honest().into_iter().filter(|node| self.world.is_up(*node));
        let held = held_by(&self.world, up);
        let entry = &self.ledger[entry];
        entry.chunks.iter().all(|(chunk, code)| {
            live(*code, held.get(chunk).into_iter().flat_map(BTreeMap::values).copied()) >= code.needed()
        })
    }

    /// Farmers that have not failed for good.
    fn honest(&self) -> Vec<NodeId> {
        self.world.farmers().into_iter().filter(|node| !self.failed.contains(node)).collect()
    }

    /// The faults are over; whoever is only away is back, and two days later every chunk is as it should be.
    async fn recover(&mut self) {
        for node in std::mem::take(&mut self.away).into_keys() {
            self.restart(node);
        }
        for _ in 0..48 {
            self.pass_hour().await;
        }
        let given_up = self.settle_release();
        for entry in 0..self.ledger.len() {
            self.read(entry).await;
        }
        let honest = self.honest();
        let has_room = |node: &&NodeId| self.world.status(**node).is_some_and(|status| status.free_bytes > 0);
        let able: BTreeSet<NodeId> =
            honest.iter().filter(has_room).filter(|node| !self.broken.contains(*node)).copied().collect();
        // The custodians count all that answer, liars they have not caught among them; t and r follow from that.
        let up = |nodes: &[NodeId]| nodes.iter().filter(|node| self.world.is_up(**node)).count();
        let counts = [up(&honest), up(&self.world.farmers())];
        let held = held_by(&self.world, honest);
        self.check_all(&given_up);
        for entry in &self.ledger {
            for (chunk, code) in &entry.chunks {
                let holders = held.get(chunk).cloned().unwrap_or_default();
                // Where farmers are full or broken, nobody can do better than with those that are left.
                let farmers = able.iter().chain(holders.keys()).collect::<BTreeSet<_>>().len();
                let is_recovered = |farmers: usize| {
                    standing(*code, entry.class, farmers, holders.values().copied()).health == Health::Healthy
                };
                if !counts.into_iter().chain([farmers]).any(is_recovered) {
                    let (file, live) = (entry.file, live(*code, holders.into_values()));
                    self.violations.push(Violation::NotRecovered { file, chunk: *chunk, live });
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
