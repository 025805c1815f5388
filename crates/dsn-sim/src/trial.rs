//! One thing goes wrong in a network of forty where all else is well, so that what follows can be told exactly: nothing at
//! all while farmers are only away, and everything made good within its time when they are gone, wiped, or lie.

use std::{collections::BTreeSet, time::Duration};

use bytes::Bytes;
use dsn_client::{ClientOptions, NoProgress, PutOptions, input::MemoryInput};
use dsn_core::{
    cid::Cid,
    descriptor::Code,
    hash::ChunkId,
    node_id::NodeId,
    redundancy::{Class, target},
    repair::Health,
    repair::standing,
};
use dsn_farmer::{FarmerStatus, UpkeepOptions};
use rand::{RngExt, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use tokio::time::sleep;

use crate::{
    checks::{chunks_of, held_by, overfull, placed},
    fault::Lie,
    flood::flood,
    net::Link,
    violation::Violation,
    world::World,
};

const HOUR: Duration = Duration::from_secs(3600);

const FARMERS: usize = 40;

/// Farmers that are away, gone or wiped: so many that what is left is below the threshold of repair, and above what is
/// urgent.
const MANY: usize = 14;

/// Sites of eight farmers each: two of them gone is a reason for repair, not an urgent one.
const SITES: usize = 5;

const FILES: usize = 3;

/// Kinds of what is kept that a flood fills: leaves, intents, greetings and records.
const FLOODED: usize = 4;

/// Bytes of a file: one chunk and its root chunk.
const FILE_BYTES: usize = 100_000;

/// Hours until everybody has been asked by everybody.
const CALM_HOURS: u64 = 12;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trial {
    /// Many go away one after the other, for less than the grace.
    Absence,
    /// Many are away at once, for less than the grace and the brake.
    Outage,
    /// Many leave for good, while liars say that they are about to repair.
    Departure,
    /// Many lose their disks and go on.
    Wipe,
    /// One does not give what it has signed for.
    Liar,
    /// Whole sites burn down.
    Sites,
    /// A crowd asks one for more than it can remember.
    Flood,
}

impl Trial {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Absence, Self::Outage, Self::Departure, Self::Wipe, Self::Liar, Self::Sites, Self::Flood];
}

struct Court {
    rng: ChaCha8Rng,
    world: World,
    files: Vec<(Cid, Vec<(ChunkId, Code)>)>,
    violations: Vec<Violation>,
}

/// Plays the trial of a seed; call within [`crate::run`].
///
/// # Panics
/// When a file cannot be put into a network in which all is well.
pub async fn try_out(trial: Trial, seed: u64) -> Vec<Violation> {
    let upkeep = UpkeepOptions { probe_every_secs: 2 * 3600, audit_every_secs: 3600, ..UpkeepOptions::default() };
    let mut world = World::with_upkeep(seed, 0, 1 << 30, Link::default(), upkeep);
    let mut sites = vec![Vec::new(); SITES];
    for nth in 0..FARMERS {
        let tag = if trial == Trial::Sites { format!("site-{}", nth % SITES) } else { String::new() };
        sites[nth % SITES].push(world.add_farmer_at(1 << 30, &tag));
    }
    let mut court = Court { rng: ChaCha8Rng::seed_from_u64(seed), world, files: Vec::new(), violations: Vec::new() };
    court.put_files().await;
    sleep(HOUR * u32::try_from(CALM_HOURS).expect("few")).await;
    match trial {
        Trial::Absence => {
            let hours = court.rng.random_range(2..14);
            court.be_away(hours, HOUR / 2).await;
        }
        Trial::Outage => {
            let hours = court.rng.random_range(30..44);
            court.be_away(hours, Duration::ZERO).await;
        }
        Trial::Departure => court.depart().await,
        Trial::Wipe => court.wipe().await,
        Trial::Liar => court.lie().await,
        Trial::Sites => court.burn_down(sites).await,
        Trial::Flood => court.be_flooded().await,
    }
    court.violations
}

impl Court {
    async fn put_files(&mut self) {
        let client = self.world.client(ClientOptions::default());
        for _ in 0..FILES {
            let mut bytes = vec![0; FILE_BYTES];
            self.rng.fill(&mut bytes[..]);
            let bytes = Bytes::from(bytes);
            let put = client.put(&mut MemoryInput::new(bytes.clone()), PutOptions::default(), &NoProgress).await;
            self.files.push((put.expect("all is well").cid, chunks_of(&bytes)));
        }
    }

    /// Some farmers, drawn by lot.
    fn draw(&mut self, count: usize) -> Vec<NodeId> {
        let mut farmers = self.world.farmers();
        farmers.shuffle(&mut self.rng);
        farmers.truncate(count);
        farmers
    }

    async fn pass(&self, hours: u64) {
        for _ in 0..hours {
            sleep(HOUR).await;
        }
    }

    /// Many stop, so long after each other, and come back later: nothing is moved for it, and in the end nothing waits for
    /// repair.
    async fn be_away(&mut self, hours: u64, apart: Duration) {
        let away = self.draw(MANY);
        let before = held_by(&self.world, self.world.farmers());
        for node in &away {
            self.world.crash(*node);
            sleep(apart).await;
        }
        self.pass(hours).await;
        for node in &away {
            self.world.restart(*node);
        }
        // Longer than the grace: what still counts as away is gone by then.
        self.pass(30).await;
        let after = held_by(&self.world, self.world.farmers());
        for (chunk, _) in self.files.iter().flat_map(|(_, chunks)| chunks) {
            let [before, after] = [&before, &after].map(|held| held.get(chunk).cloned().unwrap_or_default());
            let placed = placed(&before, &after);
            if placed > 0 {
                self.violations.push(Violation::Hasty { chunk: *chunk, placed, hours });
            }
        }
        let waiting: usize = self.statuses().map(|status| status.repair_queue).sum();
        if waiting > 0 {
            self.violations.push(Violation::StillWaiting { chunks: waiting });
        }
    }

    fn statuses(&self) -> impl Iterator<Item = FarmerStatus> {
        self.world.farmers().into_iter().filter_map(|node| self.world.status(node))
    }

    /// Many leave with their disks; three of those left say all the time that they are about to repair.
    async fn depart(&mut self) {
        let gone = self.draw(MANY);
        for node in &gone {
            self.world.leave(*node);
        }
        let liars: Vec<NodeId> = self.world.farmers().into_iter().filter(|node| !gone.contains(node)).take(3).collect();
        let chunks: Vec<ChunkId> = self.files.iter().flat_map(|(_, chunks)| chunks.iter().map(|(c, _)| *c)).collect();
        for hour in 0..72 {
            if hour % 4 == 3 {
                for liar in &liars {
                    self.world.forge_intents(*liar, &chunks).await;
                }
            }
            sleep(HOUR).await;
        }
        self.check_health().await;
    }

    /// Many come back with empty disks: nobody waits for the grace then.
    async fn wipe(&mut self) {
        for node in self.draw(MANY) {
            self.world.wipe(node);
        }
        self.pass(16).await;
        self.check_health().await;
    }

    /// Every chunk has pieces to spare, on the disks and by the word of the custodians.
    async fn check_health(&mut self) {
        let up: Vec<NodeId> = self.world.farmers().into_iter().filter(|node| self.world.is_up(*node)).collect();
        let farmers = up.len();
        let held = held_by(&self.world, up);
        let client = self.world.client(ClientOptions::default());
        for (file, (cid, chunks)) in self.files.iter().enumerate() {
            for (chunk, code) in chunks {
                let sets = held.get(chunk).into_iter().flat_map(|holders| holders.values().copied());
                let standing = standing(*code, Class::Normal, farmers, sets);
                if standing.health != Health::Healthy {
                    self.violations.push(Violation::NotRecovered { file, chunk: *chunk, live: standing.live });
                }
            }
            let known = client.stat(*cid).await.map(|report| report.health);
            if known.as_ref().ok() != Some(&Health::Healthy) {
                self.violations.push(Violation::NotKnown { file, said: format!("{known:?}") });
            }
        }
    }

    /// Two sites are gone. No site ever holds more of a chunk than its share.
    async fn burn_down(&mut self, mut sites: Vec<Vec<NodeId>>) {
        self.check_sites(&sites);
        for node in sites.split_off(SITES - 2).into_iter().flatten() {
            self.world.leave(node);
        }
        self.pass(72).await;
        self.check_sites(&sites);
        self.check_health().await;
    }

    fn check_sites(&mut self, sites: &[Vec<NodeId>]) {
        let farmers = sites.iter().map(Vec::len).sum();
        for site in sites {
            let held = held_by(&self.world, site.iter().copied());
            for (chunk, code) in self.files.iter().flat_map(|(_, chunks)| chunks) {
                // A quarter, or its even share where there are fewer sites.
                let most = target(*code, Class::Normal, farmers).place.div_ceil(sites.len().min(4));
                let pieces = held.get(chunk).map_or(0, |holders| holders.values().map(|set| set.len()).sum());
                if pieces > most {
                    self.violations.push(Violation::Crowded { chunk: *chunk, pieces, most });
                }
            }
        }
    }

    /// One farmer hears more than it can remember. It keeps its bounds, and files are put and repaired as before.
    async fn be_flooded(&mut self) {
        let Some(victim) = self.draw(1).pop() else { return };
        flood(&self.world, victim).await;
        let filled = self.world.occupancies(victim).into_iter().filter(|kept| kept.used >= kept.most).count();
        assert!(filled >= FLOODED, "the flood fills what it can: {:?}", self.world.occupancies(victim));
        self.violations.extend(overfull(&self.world));
        self.put_files().await;
        for node in self.draw(MANY).into_iter().filter(|node| *node != victim) {
            self.world.leave(node);
        }
        self.pass(72).await;
        self.violations.extend(overfull(&self.world));
        self.check_health().await;
    }

    /// A farmer begins to lie; within a week somebody does not rely on it any more.
    async fn lie(&mut self) {
        let lies = [Lie::WrongBytes, Lie::Drops, Lie::ClaimsAll];
        let lie = lies[self.rng.random_range(0..lies.len())];
        let Some(liar) = self.draw(1).pop() else { return };
        self.world.lie(liar, Some(lie));
        self.pass(7 * 24).await;
        let honest: BTreeSet<NodeId> = self.world.farmers().into_iter().filter(|node| *node != liar).collect();
        if !honest.iter().any(|node| self.world.distrusted_by(*node).contains(&liar)) {
            self.violations.push(Violation::Trusted { farmer: liar, lie });
        }
    }
}
