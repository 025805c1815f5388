//! The one thread that writes. It takes what waits in its queue, puts it into one group, writes that with one fsync and
//! answers everybody; meanwhile the next group gathers. So concurrent puts share an fsync without knowing of each other,
//! the check whether a piece is held already never races with its writing, and the counters change in the same batch as
//! the pieces. A thread and not a task, because every step of it blocks.
//!
//! Invariant: nobody is answered before the write is durable. A failed write is answered to all of its group, and the
//! next group is tried as if nothing had been.

use std::{collections::BTreeSet, mem, sync::Arc};

use bytes::Bytes;
use dsn_core::{
    cid::Cid,
    hash::ChunkId,
    locator::Locator,
    node_id::NodeId,
    ports::{BoundChunks, ChunkHoldings, PutBatch, Space, StoreError},
    rpc::PutId,
};
use tokio::sync::{mpsc, oneshot, watch};

use super::{
    database::{Database, PieceRead, store_error},
    group::Group,
    layout::{Counters, lease_prefix, provisional_prefix},
    reclaim::{Ended, Reclaim},
    recovery::Recovery,
    slot::Slot,
};

/// Bytes of pieces after which a group is written. Measured, larger groups save nothing more; each byte is in memory three
/// times while it is written (the caller's, the batch's, the memtable's).
const GROUP_MAX_BYTES: usize = 4 * 1024 * 1024;

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
    /// Turns an upload's provisional leases into leases of its root.
    Bind { put_id: PutId, owner: NodeId, root: Cid, reply: Reply<BoundChunks> },
    /// Looks again at a piece that read as damaged, and gives it up if it is.
    Inspect { chunk: ChunkId, index: u8, reply: Reply<Option<Bytes>> },
    /// A reclaim has ended and left its outcome. Only to wake the writer, which looks after every command.
    ReclaimEnded,
    /// Ends the writer once all before it is done; answered when the database is closed.
    Close { reply: Reply<()> },
}

/// What may share a write with others: it depends on nothing that the same group changes unseen.
pub(super) enum Grouped {
    /// Keeps pieces and leases; `named` are the batch's chunks in the order in which to answer.
    Put { batch: PutBatch, named: Vec<ChunkId>, reply: Reply<Vec<ChunkHoldings>> },
    /// Keeps locators.
    Locators { locators: Vec<Locator>, reply: Reply<()> },
}

/// Owns all writing.
pub(super) struct Writer {
    slot: Arc<Slot>,
    counters: Counters,
    space: watch::Sender<Space>,
    recovery: Recovery,
    reclaim: Reclaim,
    /// Whether a write has succeeded since a reclaim was last thought of. Without one it would fail again, at once.
    is_reclaim_possible: bool,
}

impl Writer {
    pub(super) fn new(
        slot: Arc<Slot>,
        counters: Counters,
        space: watch::Sender<Space>,
        recovery: Recovery,
        reclaim: Reclaim,
    ) -> Self {
        Self { slot, counters, space, recovery, reclaim, is_reclaim_possible: false }
    }

    /// Serves commands until it is told to close or nobody is left to command it.
    pub(super) fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let mut held_over = None;
        self.reclaim.start_if_due(&self.counters);
        while let Some(command) = held_over.take().or_else(|| commands.blocking_recv()) {
            self.recover();
            match command {
                Command::Grouped(first) => held_over = self.serve_group(first, &mut commands),
                Command::Bind { put_id, owner, root, reply } => answer(reply, self.bind(put_id, owner, root)),
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
            answers.extend(members.into_iter().filter_map(|member| member.join(&mut group)));
            self.commit("put", group)
        });
        answers.into_iter().for_each(|answer| answer(done.clone()));
        held_over
    }

    fn bind(&mut self, put_id: PutId, owner: NodeId, root: Cid) -> Result<BoundChunks, StoreError> {
        let (provisional, lease) = (provisional_prefix(put_id, owner), lease_prefix(owner, root));
        let slot = Arc::clone(&self.slot);
        slot.with(|database| {
            let bound = leased(database, &provisional)?;
            let mut of_root: BTreeSet<_> = leased(database, &lease)?.into_iter().collect();
            let mut group = Group::new(database, self.counters, 0);
            group.move_leases(&provisional, &lease, &bound);
            self.commit("bind leases", group)?;
            of_root.extend(bound);
            Ok(BoundChunks(u32::try_from(of_root.len()).unwrap_or(u32::MAX)))
        })
    }

    fn inspect(&mut self, chunk: ChunkId, index: u8) -> Result<Option<Bytes>, StoreError> {
        let slot = Arc::clone(&self.slot);
        slot.with(|database| {
            if let PieceRead::Found(bytes) = database.piece(chunk, index)? {
                return Ok(Some(bytes));
            }
            let mut group = Group::new(database, self.counters, 0);
            if !group.remove_piece(chunk, index)? {
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
                Err(self.recovery.note(action, &error))
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
        }
    }

    fn count(&mut self, counters: Counters) {
        self.counters = counters;
        self.is_reclaim_possible = true;
        self.space.send_replace(counters.space);
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

/// The chunks with a lease below a key prefix.
fn leased(database: &Database, prefix: &[u8]) -> Result<Vec<ChunkId>, StoreError> {
    let mut chunks = Vec::new();
    database.scan(prefix, |key, _| chunks.extend(ChunkId::from_slice(&key[prefix.len()..])))?;
    Ok(chunks)
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
        }
    }

    /// Adds it to a group; gives what to tell its sender once that is written. One that fails is told at once.
    fn join(self, group: &mut Group<'_>) -> Option<Pending> {
        match self {
            Self::Put { batch, named, reply } => joined(group.put(&batch, &named), reply),
            Self::Locators { locators, reply } => joined(group.put_locators(&locators), reply),
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
