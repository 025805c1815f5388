//! The one thread that writes. It takes what waits in its queue, puts it into one group, writes that with one fsync and
//! answers everybody; meanwhile the next group gathers. So concurrent puts share an fsync without knowing of each other,
//! the check whether a piece is held already never races with its writing, and the counters change in the same batch as
//! the pieces. A thread and not a task, because every step of it blocks.
//!
//! Invariant: nobody is answered before the write is durable. A failed write is answered to all of its group, and the
//! next group is tried as if nothing had been.

use std::{mem, sync::Arc};

use bytes::Bytes;
use dsn_core::{
    hash::ChunkId,
    lease::VerifiedLease,
    locator::Locator,
    ports::{ChunkHoldings, CollectStep, Collected, PutBatch, StoreError},
};
use tokio::sync::{mpsc, oneshot, watch};

use super::{
    ballast::Ballast,
    claims,
    collect::{self, Look},
    database::{Database, PieceRead, store_error},
    group::Group,
    layout::{Counters, Upload},
    names::NameChange,
    reclaim::{Ended, Reclaim},
    recovery::Recovery,
    slot::Slot,
};

/// Bytes of pieces after which a group is written. Measured, larger groups save nothing more; each byte is in memory three
/// times while it is written (the caller's, the batch's, the memtable's).
const GROUP_MAX_BYTES: usize = 4 * 1024 * 1024;

/// Claims made in one step of binding: some 700 KiB in the batch.
const BIND_MAX_CLAIMS: usize = 2048;

/// Commands that wait. More would only wait longer; senders are slowed down instead.
pub(super) const QUEUE_MAX_COMMANDS: usize = 64;

/// Where an answer goes. That nobody waits any more is no error: the write stands.
type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// Tells one sender how the write went that it waits for.
type Pending = Box<dyn FnOnce(Result<(), StoreError>)>;

/// What the writer can be asked for.
pub(super) enum Command {
    /// What may share a write with others.
    Grouped(Grouped),
    /// Turns provisional leases of an upload into claims of these leases.
    Bind { page: BindPage, reply: Reply<Option<ChunkId>> },
    /// Keeps newer leases of files that have claims.
    Renew { leases: Vec<VerifiedLease>, reply: Reply<()> },
    /// Gives up a piece.
    GiveUp { chunk: ChunkId, index: u8, reply: Reply<bool> },
    /// Decides about chunks that a reader picked.
    Collect { step: CollectStep, look: Look, reply: Reply<Collected> },
    /// Looks again at a piece that read as damaged, and gives it up if it is.
    Inspect { chunk: ChunkId, index: u8, reply: Reply<Option<Bytes>> },
    /// A reclaim has ended and left its outcome. Only to wake the writer, which looks after every command.
    ReclaimEnded,
    /// Ends the writer once all before it is done; answered when the database is closed.
    Close { reply: Reply<()> },
}

/// A part of an upload that is bound in one step. The answer is where to go on.
pub(super) struct BindPage {
    pub(super) upload: Upload,
    /// At least one.
    pub(super) leases: Arc<[VerifiedLease]>,
    /// The last chunk of the page before.
    pub(super) after: Option<ChunkId>,
}

/// What may share a write with others: it depends on nothing that the same group changes unseen.
pub(super) enum Grouped {
    /// Keeps pieces and leases; `named` are the batch's chunks in the order in which to answer.
    Put { batch: PutBatch, named: Vec<ChunkId>, reply: Reply<Vec<ChunkHoldings>> },
    /// Keeps locators.
    Locators { locators: Vec<Locator>, reply: Reply<()> },
    /// Forgets locators.
    DropLocators { chunks: Vec<ChunkId>, reply: Reply<()> },
    /// Keeps records of names, or forgets some.
    Names { change: NameChange, reply: Reply<()> },
    /// Keeps what the farmer has seen of others.
    Notes { notes: Bytes, reply: Reply<()> },
}

/// Owns all writing.
pub(super) struct Writer {
    slot: Arc<Slot>,
    counters: Counters,
    watched: watch::Sender<Counters>,
    recovery: Recovery,
    reclaim: Reclaim,
    ballast: Ballast,
    /// Whether a write has succeeded since a reclaim was last thought of. Without one it would fail again, at once.
    is_reclaim_possible: bool,
}

impl Writer {
    pub(super) fn new(
        slot: Arc<Slot>,
        counters: Counters,
        watched: watch::Sender<Counters>,
        recovery: Recovery,
        reclaim: Reclaim,
        ballast: Ballast,
    ) -> Self {
        Self { slot, counters, watched, recovery, reclaim, ballast, is_reclaim_possible: false }
    }

    /// Serves commands until it is told to close or nobody is left to command it.
    pub(super) fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let mut held_over = None;
        self.reclaim.start_if_due(&self.counters);
        while let Some(command) = held_over.take().or_else(|| commands.blocking_recv()) {
            self.recover();
            self.ballast.look_after(self.counters.space.used_bytes);
            match command {
                Command::Grouped(first) => held_over = self.serve_group(first, &mut commands),
                Command::Bind { page, reply } => answer(reply, self.bind(&page)),
                Command::Renew { leases, reply } => answer(reply, self.renew(&leases)),
                Command::GiveUp { chunk, index, reply } => answer(reply, self.give_up(chunk, index)),
                Command::Collect { step, look, reply } => answer(reply, self.collect(&step, look)),
                Command::Inspect { chunk, index, reply } => answer(reply, self.inspect(chunk, index)),
                Command::ReclaimEnded => {}
                Command::Close { reply } => return answer(reply, self.shut()),
            }
            self.look_after_reclaim();
        }
        if let Err(error) = self.shut() {
            tracing::warn!(%error, "the store was not closed in order");
        }
    }

    /// Writes what waits in one go; gives back the command that could not join.
    fn serve_group(&mut self, first: Grouped, commands: &mut mpsc::Receiver<Command>) -> Option<Command> {
        let mut bytes = first.bytes();
        let mut members = vec![first];
        let mut held_over = None;
        while bytes < GROUP_MAX_BYTES {
            match commands.try_recv() {
                Ok(Command::Grouped(next)) => {
                    bytes += next.bytes();
                    members.push(next);
                }
                Ok(other) => {
                    held_over = Some(other);
                    break;
                }
                Err(_none_waits) => break,
            }
        }
        let mut answers = Vec::new();
        let slot = Arc::clone(&self.slot);
        let done = slot.with(|database| {
            let mut group = Group::new(database, self.counters, bytes);
            let members = members.into_iter().filter_map(|member| self.admit(member));
            answers.extend(members.filter_map(|member| member.join(&mut group)));
            self.commit("put", group)
        });
        answers.into_iter().for_each(|answer| answer(done.clone()));
        held_over
    }

    /// Refuses what would fill the room that a full disk was given.
    fn admit(&self, member: Grouped) -> Option<Grouped> {
        match member {
            Grouped::Put { batch, reply, .. } if self.ballast.is_overboard() && !batch.pieces.is_empty() => {
                answer(reply, Err(StoreError::DiskFull));
                None
            }
            Grouped::Names { change, reply } if self.ballast.is_overboard() && change.grows() => {
                answer(reply, Err(StoreError::DiskFull));
                None
            }
            Grouped::Locators { reply, .. } if self.ballast.is_overboard() => {
                answer(reply, Err(StoreError::DiskFull));
                None
            }
            member => Some(member),
        }
    }

    fn bind(&mut self, page: &BindPage) -> Result<Option<ChunkId>, StoreError> {
        let BindPage { upload, leases, after } = page;
        let page_max = (BIND_MAX_CLAIMS / leases.len()).max(1);
        let slot = Arc::clone(&self.slot);
        slot.with(|database| {
            let chunks = claims::uploaded(database, *upload, *after, page_max)?;
            let mut group = Group::new(database, self.counters, 0);
            for chunk in &chunks {
                group.drop_upload(*chunk, *upload);
                leases.iter().for_each(|lease| group.add_claim(*chunk, claims::claim_of(lease)));
            }
            group.keep_newer(leases, !chunks.is_empty())?;
            self.commit("bind leases", group)?;
            Ok(chunks.last().copied().filter(|_| chunks.len() == page_max))
        })
    }

    fn renew(&mut self, leases: &[VerifiedLease]) -> Result<(), StoreError> {
        let slot = Arc::clone(&self.slot);
        slot.with(|database| {
            let mut group = Group::new(database, self.counters, 0);
            group.keep_newer(leases, false)?;
            self.commit("renew leases", group)
        })
    }

    fn give_up(&mut self, chunk: ChunkId, index: u8) -> Result<bool, StoreError> {
        let slot = Arc::clone(&self.slot);
        slot.with(|database| {
            let mut group = Group::new(database, self.counters, 0);
            let was_held = group.give_up(chunk, index)?;
            self.commit("give up a piece", group)?;
            Ok(was_held)
        })
    }

    fn collect(&mut self, step: &CollectStep, look: Look) -> Result<Collected, StoreError> {
        let slot = Arc::clone(&self.slot);
        slot.with(|database| {
            if self.recovery.is_lenient() || database.is_in_doubt()? {
                return Ok(Collected::default());
            }
            let mut group = Group::new(database, self.counters, 0);
            let collected = collect::apply(&mut group, database, step, look);
            group.drop_words();
            self.commit("collect", group)?;
            Ok(collected)
        })
    }

    fn inspect(&mut self, chunk: ChunkId, index: u8) -> Result<Option<Bytes>, StoreError> {
        let slot = Arc::clone(&self.slot);
        slot.with(|database| {
            if let PieceRead::Found(bytes) = database.piece(chunk, index)? {
                return Ok(Some(bytes));
            }
            let mut group = Group::new(database, self.counters, 0);
            if !group.give_up(chunk, index)? {
                return Ok(None);
            }
            if let Err(error) = self.commit("give up a damaged piece", group) {
                tracing::warn!(%chunk, index, %error, "a damaged piece is still counted");
            }
            Err(StoreError::Corrupt { chunk, index })
        })
    }

    /// Takes note of a reclaim that has ended, and starts one when there is enough garbage.
    fn look_after_reclaim(&mut self) {
        match self.reclaim.take_ended() {
            None => {}
            Some(Ended::Reclaimed { bytes }) => self.count_reclaimed(bytes),
            Some(Ended::FoundDamage { pieces }) => {
                self.is_reclaim_possible = true;
                for (chunk, index) in pieces {
                    let _reported_by_the_read = self.inspect(chunk, index);
                }
            }
            // Where RocksDB has stopped all writes, this write notices it, and not one that somebody waits for.
            Some(Ended::Failed) => self.count_reclaimed(0),
        }
        if mem::take(&mut self.is_reclaim_possible) {
            self.reclaim.start_if_due(&self.counters);
        }
    }

    fn count_reclaimed(&mut self, bytes: u64) {
        let slot = Arc::clone(&self.slot);
        let counted = slot.with(|database| {
            let mut group = Group::new(database, self.counters, 0);
            group.reclaim(bytes);
            self.commit("count what was reclaimed", group)
        });
        if counted.is_err() {
            self.reclaim.hold_off(&self.counters);
        }
    }

    fn commit(&mut self, action: &'static str, group: Group<'_>) -> Result<(), StoreError> {
        match group.commit() {
            Ok(counters) => {
                self.count(counters);
                Ok(())
            }
            Err(error) => {
                tracing::warn!(%error, action, "a write failed");
                let error = self.recovery.note(action, &error);
                if error == StoreError::DiskFull && self.ballast.drop_overboard() {
                    self.recovery.hurry();
                }
                Err(error)
            }
        }
    }

    /// Opens the database anew after a failed write. What that write left in the log may count now, although its sender
    /// was told that it failed; so the counters are read again.
    fn recover(&mut self) {
        if self.recovery.is_due() && self.recovery.attempt(&self.slot) {
            match self.slot.with(Database::counters) {
                Ok(Some(counters)) => self.count(counters),
                other => tracing::warn!(?other, "the counters cannot be read again"),
            }
            if self.recovery.is_lenient() {
                self.doubt();
            }
        }
    }

    /// Writes that a part of the index may be missing, and pieces with it.
    fn doubt(&mut self) {
        let slot = Arc::clone(&self.slot);
        let noted = slot.with(|database| {
            let mut group = Group::new(database, self.counters, 0);
            group.doubt();
            self.commit("note the damage", group)
        });
        if let Err(error) = noted {
            tracing::warn!(%error, "the damage is not noted yet");
        }
    }

    fn count(&mut self, counters: Counters) {
        self.counters = counters;
        self.is_reclaim_possible = true;
        self.watched.send_replace(counters);
    }

    /// Leaves nothing in the log, says so, and closes the database. A reclaim that this stops leaves unfinished files, which
    /// the next start looks for when the store was not closed in order.
    fn shut(mut self) -> Result<(), StoreError> {
        let is_reclaiming = self.reclaim.is_running();
        let mark = |database: &Database| if is_reclaiming { Ok(()) } else { database.mark_clean() };
        let shut = |database: &Database| database.flush().and_then(|()| mark(database));
        let shut = self.slot.with(|database| shut(database).map_err(|error| store_error("close", &error)));
        self.slot.close();
        self.reclaim.join();
        shut
    }
}

impl Grouped {
    /// About how many bytes this adds to a group.
    fn bytes(&self) -> usize {
        match self {
            Self::Put { batch, named, .. } => {
                let bodies: usize = batch.pieces.iter().map(|new| new.piece.bytes().len() + 256).sum();
                bodies + named.len() * 2048
            }
            Self::Locators { locators, .. } => locators.len() * 16 * 1024,
            Self::DropLocators { chunks, .. } => chunks.len() * 128,
            Self::Names { change, .. } => change.bytes(),
            Self::Notes { notes, .. } => notes.len(),
        }
    }

    /// Adds it to a group; gives what to tell its sender once that is written. One that fails is told at once.
    fn join(self, group: &mut Group<'_>) -> Option<Pending> {
        match self {
            Self::Put { batch, named, reply } => joined(group.put(&batch, &named), reply),
            Self::Locators { locators, reply } => joined(group.put_locators(&locators), reply),
            Self::DropLocators { chunks, reply } => joined(group.drop_locators(&chunks), reply),
            Self::Names { change, reply } => {
                change.join(group);
                joined(Ok(()), reply)
            }
            Self::Notes { notes, reply } => {
                group.keep_notes(&notes);
                joined(Ok(()), reply)
            }
        }
    }
}

fn joined<T: 'static>(result: Result<T, StoreError>, reply: Reply<T>) -> Option<Pending> {
    match result {
        Ok(value) => Some(Box::new(move |done| answer(reply, done.map(|()| value)))),
        Err(error) => {
            answer(reply, Err(error));
            None
        }
    }
}

fn answer<T>(reply: Reply<T>, result: Result<T, StoreError>) {
    let _nobody_waits = reply.send(result);
}
