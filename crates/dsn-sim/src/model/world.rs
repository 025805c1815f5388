//! What happens to the farmers of the model, and what the custodians do about it: an event at a time, in the order of
//! virtual seconds. Decisions are those of `dsn-core` (`redundancy`, `repair`, `placement`); here is only what the
//! network would answer to them.

use std::{cmp::Reverse, collections::BinaryHeap};

use dsn_core::{
    descriptor::Code,
    limits::CUSTODIANS,
    redundancy::Target,
    repair::{Budget, Health, Standing, back_off_secs, intent_secs, standing, turn_secs},
};
use dsn_farmer::UpkeepOptions;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{
    ModelOptions, Tally,
    chunks::{Chunks, Phase, PieceRef},
    draw,
    farmers::{Farmers, Slot, State, jitter},
    queue::Job,
};

/// The chunks of the model are full ones of file data.
pub(super) const CODE: Code = Code::Rs16Of48;

/// Bytes that a custodian may move at once after a rest; as in `dsn-farmer`.
const BURST_BYTES: u64 = 256 * 1024 * 1024;

/// How long things take.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pace {
    /// As in a real network: a loss is noticed after the grace, and a transfer takes what the uplink allows.
    Real,
    /// As in the formula: a loss is known at once, and a repair takes an exponential time with this mean.
    #[cfg(test)]
    Formula { mean_days: f64 },
}

/// A farmer in one of its lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Who {
    pub(super) slot: Slot,
    pub(super) life: u32,
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A farmer ends for good; a fresh one takes its place.
    Dies(Who),
    /// A farmer goes away for longer than the grace.
    Leaves(Who),
    /// The custodians stop to believe in it.
    IsMissed(Who),
    /// It is back with all it had.
    Returns(Who),
    /// A chunk has come to its turn at a custodian.
    Due(Job, Who),
    /// A custodian has budget again.
    Wakes(Who),
    /// A custodian has moved the pieces of a chunk.
    Moved(Job, Who),
}

/// The model at an instant.
pub(super) struct Model {
    pub(super) options: ModelOptions,
    pub(super) target: Target,
    pub(super) tally: Tally,
    pub(super) farmers: Farmers,
    pub(super) chunks: Chunks,
    pub(super) now: u64,
    pace: Pace,
    upkeep: UpkeepOptions,
    rng: ChaCha8Rng,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    scheduled: u64,
}

impl Model {
    /// Farmers that are all there, and no piece placed yet.
    pub(super) fn new(options: ModelOptions, target: Target, pace: Pace) -> Self {
        let budget = Budget::new(options.repair_bytes_per_sec(), BURST_BYTES, 0);
        let mut model = Self {
            options,
            target,
            tally: Tally::default(),
            farmers: Farmers::new(options.nodes as usize, budget),
            chunks: Chunks::new(options.seed, options.chunks, target.place),
            now: 0,
            pace,
            upkeep: UpkeepOptions::default(),
            rng: ChaCha8Rng::seed_from_u64(options.seed),
            events: BinaryHeap::new(),
            scheduled: 0,
        };
        (0..options.nodes).for_each(|_| model.join());
        model
    }

    /// Plays until the last second.
    pub(super) fn play(&mut self, until_secs: u64) {
        while let Some(Reverse((at, _, event))) = self.events.pop() {
            if at > until_secs {
                return;
            }
            self.now = at;
            self.happen(event);
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Dies(who) if self.lives(who) => self.die(who),
            Event::Leaves(who) if self.lives(who) => self.go_away(who),
            Event::IsMissed(who) if self.lives(who) => self.miss(who),
            Event::Returns(who) if self.lives(who) => self.come_back(who),
            Event::Due(job, who) => self.come_due(job, who),
            Event::Wakes(who) if self.lives(who) => {
                self.farmers.get_mut(who.slot).queue.sleeps = false;
                self.work(who);
            }
            Event::Moved(job, who) if self.lives(who) => self.finish(job, who),
            Event::Dies(_) | Event::Leaves(_) | Event::IsMissed(_) | Event::Returns(_) | Event::Wakes(_) => {}
            Event::Moved(..) => {}
        }
    }

    fn lives(&self, who: Who) -> bool {
        self.farmers.get(who.slot).life == who.life
    }

    fn who(&self, slot: Slot) -> Who {
        Who { slot, life: self.farmers.get(slot).life }
    }

    fn schedule(&mut self, after_secs: u64, event: Event) {
        self.scheduled += 1;
        self.events.push(Reverse((self.now.saturating_add(after_secs), self.scheduled, event)));
    }

    /// Whether a farmer would answer now.
    pub(super) fn answers(&self, slot: Slot) -> bool {
        let is_out = self.options.outages && draw::is_out(self.farmers.key(slot), self.now);
        self.farmers.get(slot).state == State::Present && !is_out
    }

    // Farmers.

    fn join(&mut self) {
        let slot = self.farmers.join(&mut self.rng);
        let who = self.who(slot);
        let lifetime = draw::exponential_days(&mut self.rng, self.options.mttf_days);
        self.schedule(draw::days_to_secs(lifetime), Event::Dies(who));
        self.schedule_outage(who);
    }

    fn schedule_outage(&mut self, who: Who) {
        if self.options.outages {
            let after = draw::secs_to_long_outage(&mut self.rng);
            self.schedule(after, Event::Leaves(who));
        }
    }

    /// Seconds from now until nobody believes in a farmer that has just fallen silent: a round of probes sees it, and the
    /// grace runs from there.
    fn missed_after(&mut self) -> u64 {
        match self.pace {
            Pace::Real => self.upkeep.absent_grace_secs + self.rng.random_range(0..=self.upkeep.probe_every_secs),
            #[cfg(test)]
            Pace::Formula { .. } => 0,
        }
    }

    fn die(&mut self, who: Who) {
        self.tally.ends += 1;
        let was = self.farmers.get(who.slot).state;
        self.farmers.leave(who.slot, State::Dead);
        for piece in std::mem::take(&mut self.farmers.get_mut(who.slot).pieces) {
            if self.chunks.is_holder(piece, who.slot) {
                self.lose(piece);
                // Kept until it is missed, which then needs to know what to disbelieve.
                self.farmers.get_mut(who.slot).pieces.push(piece);
            }
        }
        self.pass_on(who);
        match was {
            State::Present => {
                let after = self.missed_after();
                self.schedule(after, Event::IsMissed(who));
            }
            State::Gone => self.farmers.forget(who.slot),
            State::Away | State::Dead => {}
        }
        self.join();
    }

    /// A piece is no more.
    fn lose(&mut self, piece: PieceRef) {
        let (now, repair_at) = (self.now, self.target.repair_at);
        let chunk = self.chunks.get_mut(piece.chunk());
        chunk.held.remove(piece.index());
        if chunk.phase == Phase::Lost {
            return;
        }
        self.tally.lost_pieces += 1;
        self.tally.fewest = self.tally.fewest.min(chunk.held.len());
        if chunk.held.len() <= repair_at {
            chunk.ailing_since.get_or_insert(now);
        }
        if chunk.held.len() < CODE.needed() {
            chunk.phase = Phase::Lost;
            self.tally.lost_chunks += 1;
        }
    }

    fn go_away(&mut self, who: Who) {
        if self.farmers.get(who.slot).state != State::Present {
            return;
        }
        let (missed, back) = (self.missed_after(), draw::long_outage_secs(&mut self.rng));
        if back <= missed {
            return self.schedule_outage(who);
        }
        self.tally.absences += 1;
        self.farmers.leave(who.slot, State::Away);
        self.pass_on(who);
        self.schedule(missed, Event::IsMissed(who));
        self.schedule(back, Event::Returns(who));
    }

    fn miss(&mut self, who: Who) {
        let pieces = std::mem::take(&mut self.farmers.get_mut(who.slot).pieces);
        for piece in &pieces {
            if self.chunks.is_holder(*piece, who.slot) {
                self.chunks.disbelieve(*piece);
                self.look_at(piece.chunk());
            }
        }
        match self.farmers.get(who.slot).state {
            State::Dead => self.farmers.forget(who.slot),
            _ => {
                self.farmers.get_mut(who.slot).pieces = pieces;
                self.farmers.leave(who.slot, State::Gone);
            }
        }
    }

    fn come_back(&mut self, who: Who) {
        if self.farmers.get(who.slot).state != State::Gone {
            return;
        }
        self.farmers.enter(who.slot);
        let mut pieces = std::mem::take(&mut self.farmers.get_mut(who.slot).pieces);
        pieces.retain(|piece| self.chunks.is_holder(*piece, who.slot));
        for piece in &pieces {
            self.chunks.get_mut(piece.chunk()).believed.insert(piece.index());
        }
        self.farmers.get_mut(who.slot).pieces = pieces;
        self.schedule_outage(who);
    }

    // Repair.

    /// How a chunk stands, as far as the custodians know.
    fn standing(&self, chunk: u32) -> Standing {
        let believed = self.chunks.get(chunk).believed;
        standing(CODE, self.options.class, self.options.nodes as usize, [believed])
    }

    /// The custodians count fewer pieces of a chunk than before.
    fn look_at(&mut self, chunk: u32) {
        let health = self.standing(chunk).health;
        let phase = self.chunks.get(chunk).phase;
        let is_new = match phase {
            Phase::Well => health != Health::Healthy,
            Phase::Waits => health <= Health::Urgent,
            Phase::WaitsUrgently | Phase::Served | Phase::Lost => false,
        };
        if is_new {
            self.assign(chunk, health, 0);
        }
    }

    /// The custodian that comes to a chunk first takes it: each waits its turn, and has other work before it. `after`
    /// seconds pass before any of them begins to wait.
    fn assign(&mut self, chunk: u32, health: Health, after: u64) {
        let grace = self.upkeep.absent_grace_secs;
        let custodians = self.farmers.closest(self.chunks.place(chunk), CUSTODIANS);
        let each = self.expected_secs(chunk);
        let mut best: Option<(u64, u64, Slot)> = None;
        for (rank, slot) in custodians.into_iter().enumerate() {
            let turn = after + turn_secs(health, rank, grace, jitter(&mut self.rng));
            let ahead = u64::try_from(self.farmers.get(slot).queue.ahead(health)).unwrap_or(u64::MAX);
            let begins = turn.max(ahead.saturating_mul(each));
            if self.answers(slot) && best.is_none_or(|(first, ..)| begins < first) {
                best = Some((begins, turn, slot));
            }
        }
        let urgent = health <= Health::Urgent;
        let state = self.chunks.get_mut(chunk);
        state.ticket = state.ticket.wrapping_add(1);
        state.phase = if urgent { Phase::WaitsUrgently } else { Phase::Waits };
        let job = Job { chunk, ticket: state.ticket };
        match best {
            Some((_, turn, slot)) => self.schedule(turn, Event::Due(job, self.who(slot))),
            None => {
                // Nobody is there: the next round of probes sees it again.
                let nobody = Who { slot: 0, life: u32::MAX };
                self.schedule(after + self.upkeep.probe_every_secs, Event::Due(job, nobody));
            }
        }
    }

    /// Days that a repair takes at least: until the loss is noticed for sure, and the transfer.
    pub(super) fn least_repair_days(&self) -> f64 {
        let pieces = CODE.needed() + self.target.place - self.target.repair_at;
        let transfer = self.options.piece_bytes(pieces) / self.options.uplink_bytes_per_sec().max(1);
        let noticed = self.upkeep.absent_grace_secs + self.upkeep.probe_every_secs / 2;
        draw::secs_to_days(draw::float(noticed + transfer))
    }

    /// Bytes that the repair of a chunk moves: pieces fetched and sent.
    fn transfer_bytes(&self, chunk: u32) -> u64 {
        let believed = self.chunks.get(chunk).believed.len();
        self.options.piece_bytes(CODE.needed() + self.target.place.saturating_sub(believed))
    }

    /// Seconds of a custodian's budget that the repair of a chunk takes.
    fn expected_secs(&self, chunk: u32) -> u64 {
        match self.pace {
            Pace::Real => self.transfer_bytes(chunk) / self.options.repair_bytes_per_sec().max(1),
            #[cfg(test)]
            Pace::Formula { mean_days } => draw::days_to_secs(mean_days),
        }
    }

    fn transfer_secs(&mut self, chunk: u32) -> u64 {
        match self.pace {
            Pace::Real => 1 + self.transfer_bytes(chunk) / self.options.uplink_bytes_per_sec().max(1),
            #[cfg(test)]
            Pace::Formula { mean_days } => draw::days_to_secs(draw::exponential_days(&mut self.rng, mean_days)),
        }
    }

    fn is_current(&self, job: Job) -> bool {
        let chunk = self.chunks.get(job.chunk);
        chunk.ticket == job.ticket && chunk.phase != Phase::Lost
    }

    fn come_due(&mut self, job: Job, who: Who) {
        if !self.is_current(job) {
            return;
        }
        let health = self.standing(job.chunk).health;
        if !self.lives(who) || self.farmers.get(who.slot).state != State::Present {
            return self.assign(job.chunk, health, 0);
        }
        self.farmers.get_mut(who.slot).queue.push(job, health);
        self.work(who);
    }

    /// A custodian begins with the next chunk, when it has one, time and budget.
    fn work(&mut self, who: Who) {
        let now = self.now;
        let queue = &mut self.farmers.get_mut(who.slot).queue;
        if queue.serving.is_some() || queue.sleeps {
            return;
        }
        let short = queue.budget.wait_secs(now);
        let next = if short > 0 { None } else { self.next_job(who.slot) };
        let queue = &mut self.farmers.get_mut(who.slot).queue;
        if short > 0 && queue.ahead(Health::Repairing) > 0 {
            queue.sleeps = true;
            return self.schedule(short, Event::Wakes(who));
        }
        if let Some(job) = next {
            queue.serving = Some(job);
            self.chunks.get_mut(job.chunk).phase = Phase::Served;
            let secs = self.transfer_secs(job.chunk);
            self.schedule(secs, Event::Moved(job, who));
        }
    }

    /// The next chunk that still needs it.
    fn next_job(&mut self, slot: Slot) -> Option<Job> {
        while let Some(job) = self.farmers.get_mut(slot).queue.pop() {
            if !self.is_current(job) {
                continue;
            }
            if self.standing(job.chunk).health != Health::Healthy {
                return Some(job);
            }
            self.rest(job.chunk);
        }
        None
    }

    /// A chunk stands well again.
    fn rest(&mut self, chunk: u32) {
        let chunk = self.chunks.get_mut(chunk);
        (chunk.phase, chunk.tries) = (Phase::Well, 0);
    }

    fn finish(&mut self, job: Job, who: Who) {
        let queue = &mut self.farmers.get_mut(who.slot).queue;
        if queue.serving != Some(job) {
            return;
        }
        queue.serving = None;
        if self.is_current(job) {
            let was_urgent = self.standing(job.chunk).health <= Health::Urgent;
            let moved = self.repair(job.chunk);
            self.tally.urgent += u64::from(was_urgent && moved > 0);
            self.farmers.get_mut(who.slot).queue.budget.spend(moved);
            self.after_repair(job, who);
        }
        self.work(who);
    }

    fn after_repair(&mut self, job: Job, who: Who) {
        let standing = self.standing(job.chunk);
        let (now, repair_at) = (self.now, self.target.repair_at);
        let chunk = self.chunks.get_mut(job.chunk);
        if chunk.held.len() > repair_at
            && let Some(since) = chunk.ailing_since.take()
        {
            self.tally.mended += 1;
            self.tally.mending_secs += now - since;
        }
        if standing.health == Health::Healthy {
            return self.rest(job.chunk);
        }
        let wait = back_off_secs(chunk.tries);
        chunk.tries = chunk.tries.saturating_add(1);
        let urgent = standing.health <= Health::Urgent;
        chunk.phase = if urgent { Phase::WaitsUrgently } else { Phase::Waits };
        self.schedule(wait, Event::Due(job, who));
    }

    /// What a custodian that is no more would have done is done by others, once they see that it is not.
    fn pass_on(&mut self, who: Who) {
        let believed = intent_secs(self.upkeep.absent_grace_secs);
        for job in self.farmers.get_mut(who.slot).queue.drain() {
            if self.is_current(job) {
                let health = self.standing(job.chunk).health;
                self.assign(job.chunk, health, believed);
            }
        }
    }
}
