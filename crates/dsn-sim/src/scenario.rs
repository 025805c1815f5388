//! One seed, one story: files are put while farmers fail, then as many more fail as the puts promised to bear, then every
//! file is read, and a part of it. A put may fail; a put that succeeded must be readable byte for byte, and nothing may ever read as
//! something else.

use std::{collections::BTreeSet, time::Duration};

use bytes::Bytes;
use dsn_client::{ClientOptions, NoProgress, PutOptions, PutReport, input::MemoryInput, output::MemoryOutput};
use dsn_core::{cid::Cid, node_id::NodeId, redundancy::Class};
use rand::{RngExt, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use tokio::time::sleep;

use crate::{
    checks::{chunks_of, overpromised, unwritten_receipts},
    crooked::{Crook, put_crooked},
    fault::{FaultCounts, Lie},
    net::Link,
    violation::Violation,
    world::World,
};

/// Bytes of the longest part of a file that is read by itself.
const PART_MAX_BYTES: usize = 200_000;

/// What a scenario is made of.
#[derive(Clone, Copy, Debug)]
pub struct ScenarioOptions {
    /// Farmers in the network.
    pub farmers: usize,
    /// Files put.
    pub files: usize,
    /// Bytes of the largest file.
    pub max_file_bytes: usize,
}

impl ScenarioOptions {
    /// The scenario that tests play with a seed: a dozen farmers and three files; every tenth is in a network of a hundred.
    pub fn usual(seed: u64) -> Self {
        let farmers = if seed % 10 == 9 { 100 } else { 12 };
        Self { farmers, files: 3, max_file_bytes: if seed % 25 == 3 { 18 << 20 } else { 2 << 20 } }
    }
}

/// What a scenario came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Puts that succeeded.
    pub puts: usize,
    /// Puts that failed, as they may.
    pub failed_puts: usize,
    /// Files read back.
    pub gets: usize,
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
struct Kept {
    file: usize,
    bytes: Bytes,
    report: PutReport,
}

struct Story {
    rng: ChaCha8Rng,
    world: World,
    options: ScenarioOptions,
    /// Farmers that failed for good, in whatever way.
    failed: BTreeSet<NodeId>,
    violations: Vec<Violation>,
}

/// Plays the scenario of a seed; call within [`crate::run`].
pub async fn run_scenario(seed: u64, options: ScenarioOptions) -> Outcome {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let loss = [0, 0, 5, 20];
    let link = Link {
        loss_permille: loss[rng.random_range(0..loss.len())],
        late_permille: rng.random_range(0..10),
        ..Link::default()
    };
    let world = World::new(seed, options.farmers, 1 << 30, link);
    let mut story = Story { rng, world, options, failed: BTreeSet::new(), violations: Vec::new() };
    let (kept, failed_puts) = story.put_all().await;
    let crooked = story.put_crooked().await;
    let budget = kept.iter().map(|kept| kept.report.may_vanish).min().unwrap_or(0);
    story.fail_up_to(budget);
    let gets = story.read_all(&kept).await;
    story.read_crooked(&crooked).await;
    story.read_parts(&kept, &crooked).await;
    let Story { world, failed, mut violations, .. } = story;
    violations.extend(unwritten_receipts(&world, &failed, &BTreeSet::new()));
    let (trace, events) = world.trace_hash();
    Outcome { puts: kept.len(), failed_puts, gets, faults: world.faults(), trace, events, violations }
}

impl Story {
    fn file(&mut self) -> Bytes {
        let len = match self.rng.random_range(0..10) {
            0 => 0,
            1 => 1,
            2..6 => self.rng.random_range(2..=65_537),
            6..9 => self.rng.random_range(65_537..=1_000_000),
            _ => self.rng.random_range(1_000_000..=self.options.max_file_bytes.max(1_000_001)),
        };
        let mut bytes = vec![0; len.min(self.options.max_file_bytes)];
        self.rng.fill(&mut bytes[..]);
        bytes.into()
    }

    async fn put_all(&mut self) -> (Vec<Kept>, usize) {
        let (mut kept, mut failed) = (Vec::new(), 0);
        for file in 0..self.options.files {
            let bytes = self.file();
            let class = [Class::Low, Class::Normal, Class::High][self.rng.random_range(0..3)];
            let broken = self.break_custodians();
            let client = self.world.client(ClientOptions::default());
            let mut input = MemoryInput::new(bytes.clone());
            let put = client.put(&mut input, PutOptions { class, ..PutOptions::default() }, &NoProgress);
            let (result, ()) = tokio::join!(biased; put, self.trouble());
            match result {
                Ok(report) => {
                    let lost = self.failed.len();
                    self.violations.extend(overpromised(&self.world, file, &chunks_of(&bytes), &report, lost));
                    kept.push(Kept { file, bytes, report });
                }
                Err(_) => failed += 1,
            }
            broken.into_iter().for_each(|farmer| self.world.mend(farmer));
        }
        (kept, failed)
    }

    /// Now and then all but two farmers cannot write locators for a while: what is put then is not safe.
    fn break_custodians(&mut self) -> Vec<NodeId> {
        if self.rng.random_range(0..40) > 0 {
            return Vec::new();
        }
        let mut farmers = self.world.farmers();
        farmers.shuffle(&mut self.rng);
        farmers.truncate(farmers.len() - 2);
        farmers.retain(|farmer| self.world.is_up(*farmer));
        farmers.iter().for_each(|farmer| self.world.break_locators(*farmer));
        farmers
    }

    /// Now and then somebody uploads a chunk whose parity is no code word of its data.
    async fn put_crooked(&mut self) -> Option<(Cid, Bytes)> {
        if self.rng.random_range(0..4) > 0 {
            return None;
        }
        let mut bytes = vec![0; self.rng.random_range(100_000..200_000)];
        self.rng.fill(&mut bytes[..]);
        let bytes = Bytes::from(bytes);
        put_crooked(&self.world, &bytes, Crook::All).await.map(|cid| (cid, bytes))
    }

    /// Such a file may be lost, but it never reads as something else.
    async fn read_crooked(&mut self, crooked: &Option<(Cid, Bytes)>) {
        let Some((cid, bytes)) = crooked else { return };
        let mut output = MemoryOutput::default();
        let result = self.world.client(ClientOptions::default()).get(*cid, &mut output, &NoProgress).await;
        if result.is_ok() && output.bytes != bytes[..] {
            self.violations.push(Violation::WrongBytes { file: self.options.files });
        }
    }

    /// What holds of files holds of parts of them.
    async fn read_parts(&mut self, kept: &[Kept], crooked: &Option<(Cid, Bytes)>) {
        let files = kept.iter().map(|kept| (kept.file, kept.report.cid, &kept.bytes, kept.report.may_vanish));
        let crooked = crooked.iter().map(|(cid, bytes)| (self.options.files, *cid, bytes, usize::MAX));
        let files: Vec<_> = files.chain(crooked).collect();
        for (file, cid, bytes, may_vanish) in files {
            let start = self.rng.random_range(0..=bytes.len());
            let part = start..self.rng.random_range(start..=bytes.len().min(start + PART_MAX_BYTES));
            let (offset, length) = (part.start as u64, Some(part.len() as u64));
            let mut output = MemoryOutput::default();
            let client = self.world.client(ClientOptions::default());
            let result = client.get_range(cid, offset, length, &mut output, &NoProgress).await;
            let (failed, is_crooked) = (self.failed.len(), may_vanish == usize::MAX);
            match result {
                Ok(_) if output.bytes != bytes[part] => self.violations.push(Violation::WrongBytes { file }),
                Err(error) if !is_crooked && failed <= may_vanish => {
                    let error = error.to_string();
                    self.violations.push(Violation::Unreadable { file, error, failed, may_vanish });
                }
                _ => {}
            }
        }
    }

    /// Something happens to a farmer, or nothing, while a file is put.
    async fn trouble(&mut self) {
        sleep(Duration::from_millis(self.rng.random_range(0..200))).await;
        let farmers = self.world.farmers();
        let victim = farmers[self.rng.random_range(0..farmers.len())];
        match self.rng.random_range(0..11) {
            0 => self.fail(victim),
            1 => {
                self.world.crash(victim);
                sleep(Duration::from_millis(self.rng.random_range(1..2_000))).await;
                self.world.restart(victim);
            }
            2 => self.world.fill(victim),
            3 => self.world.break_disk(victim),
            4 => {
                let apart = farmers[..farmers.len() / 4].to_vec();
                self.world.partition(&apart, true);
                sleep(Duration::from_secs(self.rng.random_range(1..15))).await;
                self.world.partition(&apart, false);
            }
            5 => self.black_out(farmers).await,
            _ => {}
        }
    }

    /// All but two farmers stop at once, for a moment.
    async fn black_out(&mut self, mut farmers: Vec<NodeId>) {
        farmers.shuffle(&mut self.rng);
        farmers.truncate(farmers.len() - 2);
        farmers.retain(|farmer| self.world.is_up(*farmer));
        farmers.iter().for_each(|farmer| self.world.crash(*farmer));
        sleep(Duration::from_millis(self.rng.random_range(5..40))).await;
        farmers.into_iter().for_each(|farmer| self.world.restart(farmer));
    }

    /// A farmer fails for good, in some way.
    fn fail(&mut self, victim: NodeId) {
        self.failed.insert(victim);
        match self.rng.random_range(0..8) {
            0 => self.world.crash(victim),
            1 => self.world.leave(victim),
            2 => self.world.hang(victim),
            3 => {
                self.world.lie(victim, Some(Lie::WrongBytes));
                if self.rng.random() {
                    self.world.slow(victim, Duration::from_millis(700));
                }
            }
            4 => self.world.lie(victim, Some(Lie::Drops)),
            5 => self.world.lie(victim, Some(Lie::HidesLocators)),
            6 => self.world.lie(victim, Some(Lie::OtherLocator)),
            _ => {
                let pick = self.rng.random_range(0..1000);
                let _rotten = self.world.rot(victim, pick);
            }
        }
    }

    fn fail_up_to(&mut self, budget: usize) {
        let mut farmers = self.world.farmers();
        farmers.shuffle(&mut self.rng);
        for victim in farmers {
            if self.failed.len() >= budget {
                break;
            }
            if !self.failed.contains(&victim) {
                self.fail(victim);
            }
        }
    }

    async fn read_all(&mut self, kept: &[Kept]) -> usize {
        let mut gets = 0;
        for Kept { file, bytes, report } in kept {
            let client = self.world.client(ClientOptions::default());
            let mut output = MemoryOutput::default();
            let result = client.get(report.cid, &mut output, &NoProgress).await;
            let (failed, may_vanish, file) = (self.failed.len(), report.may_vanish, *file);
            match result {
                Ok(_) if output.bytes != bytes[..] => self.violations.push(Violation::WrongBytes { file }),
                Ok(_) => gets += 1,
                Err(error) if failed <= may_vanish => {
                    let error = error.to_string();
                    self.violations.push(Violation::Unreadable { file, error, failed, may_vanish });
                }
                Err(_) => {}
            }
        }
        gets
    }
}
