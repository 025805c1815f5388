//! What goes wrong in a month.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use dsn_core::{descriptor::Code, index_set::IndexSet, node_id::NodeId, redundancy::target, repair::live};
use rand::{RngExt, seq::SliceRandom};

use super::Month;
use crate::{
    checks::{held_by, placed},
    fault::Lie,
    violation::Violation,
};

/// Pieces that may have been lost unseen before a repair counts as hasty.
const MARGIN: usize = 4;

/// Pieces placed while nobody was to place any.
const HASTY_MIN: usize = 4;

/// Chunks repaired during one cut without need: a custodian that asks seldom may still have old news of some holders.
const HASTY_CHUNKS_MAX: usize = 3;

/// Hours of the outage: longer than the grace, shorter than what the brake adds to it.
const OUTAGE_HOURS: u64 = 34;

impl Month {
    /// Something happens, or nothing.
    pub(super) async fn trouble(&mut self) {
        let farmers = self.world.farmers();
        let victim = farmers[self.rng.random_range(0..farmers.len())];
        if self.failed.contains(&victim) || self.away.contains_key(&victim) {
            return;
        }
        let recent = self.lasting.iter().filter(|at| **at + 72 > self.hour).count();
        let may_last = recent < self.options.lasting_faults;
        match self.rng.random_range(0..18) {
            0..3 => {
                self.crash(victim);
                self.away.insert(victim, self.hour + self.rng.random_range(1..20));
            }
            3 if may_last => {
                self.count_lost(victim);
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
                self.broken.insert(victim);
                self.started.insert(victim, self.hour);
                self.untold.insert(victim);
            }
            7 if may_last && self.failed.len() * 10 < farmers.len() => self.begin_to_lie(victim),
            8 => {
                let apart = farmers[..farmers.len() / 4].to_vec();
                let hours = self.rng.random_range(1..4);
                self.cut_off(&apart, hours).await;
            }
            9 | 10 => {
                let pick = self.rng.random_range(0..1000);
                self.rotten.extend(self.world.rot(victim, pick).map(|(chunk, index)| (victim, chunk, index)));
                self.untold.insert(victim);
            }
            11 => {
                self.note_repairs(victim);
                self.started.insert(victim, self.hour);
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
                self.note_repairs(victim);
                self.started.insert(victim, self.hour);
                self.world.break_disk(victim);
                self.broken.insert(victim);
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
        self.liars.insert(victim, (lie, self.hour));
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
    pub(super) fn note_repairs(&mut self, farmer: NodeId) {
        if let Some(status) = self.world.status(farmer) {
            self.repairs += status.repairs;
            self.repair_bytes += status.repair_bytes;
        }
    }

    fn crash(&mut self, victim: NodeId) {
        self.note_repairs(victim);
        self.world.crash(victim);
    }

    /// A third of the farmers of a large network are cut off for longer than the grace.
    pub(super) async fn outage(&mut self) {
        if self.options.farmers < 50 {
            return;
        }
        let mut apart = self.world.farmers();
        apart.shuffle(&mut self.rng);
        apart.truncate(self.options.farmers * 35 / 100);
        self.had_outage = true;
        self.cut_off(&apart, OUTAGE_HOURS).await;
    }

    /// Cuts farmers off for a while. They are not gone, so what is not urgent must not be repaired.
    async fn cut_off(&mut self, apart: &[NodeId], hours: u64) {
        let before = held_by(&self.world, self.honest());
        self.world.partition(apart, true);
        for _ in 0..hours {
            self.pass_hour().await;
        }
        self.world.partition(apart, false);
        let after = held_by(&self.world, self.honest());
        let apart: BTreeSet<NodeId> = apart.iter().copied().collect();
        let mut hasty = Vec::new();
        for entry in &self.ledger {
            for (chunk, code) in &entry.chunks {
                let place = target(*code, entry.class, self.options.farmers);
                let [before, after] = [&before, &after].map(|held| held.get(chunk).cloned().unwrap_or_default());
                let is_enough = live(*code, before.values().copied()) >= place.repair_at + MARGIN;
                let waits = |held: &BTreeMap<NodeId, IndexSet>| {
                    let (here, there): (Vec<_>, Vec<_>) = held.iter().partition(|(node, _)| apart.contains(node));
                    [here, there].into_iter().all(|side| is_patient(*code, side.into_iter().map(|(_, set)| *set)))
                };
                let placed = placed(&before, &after);
                if is_enough && placed >= HASTY_MIN && waits(&before) && waits(&after) {
                    hasty.push(Violation::Hasty { chunk: *chunk, placed, hours });
                }
            }
        }
        if hasty.len() > HASTY_CHUNKS_MAX {
            self.violations.append(&mut hasty);
        }
    }
}

/// Whether a side of the network that holds these has either time for repair or no means.
fn is_patient(code: Code, held: impl Iterator<Item = IndexSet>) -> bool {
    let live = live(code, held);
    match code {
        Code::Rep => live == 0 || live > 3,
        Code::Rs16Of48 => live < code.needed() || live > code.needed() + MARGIN + 1,
    }
}
