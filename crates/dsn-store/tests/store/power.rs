//! Power loss: a child process (this binary again) puts pieces on an ext4 file system in a file and says which were
//! answered; at a random instant that file is copied, and the copy is what a disk would hold if the power had gone just
//! then: what the system had not yet sent to it is missing. The copy is mounted, which replays its journal, opened, and
//! must hold every piece that was answered. The next round goes on with it.
//!
//! The file lies on a file system of its own that is frozen meanwhile, so that the copy is of one instant, in the middle
//! of an fsync too, and no fsync ends before the copy is made. Not here: disks that lose or reorder what they were sent.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use dsn_core::{erasure::EncodedChunk, ports::PieceStore as _};
use dsn_store::{OpenReport, SpaceCheck};
use tokio::task::JoinSet;

use crate::{
    child::{self, Child},
    disk::{Disk, copy_image, make_image},
    fixtures::{Random, batch, chunk, locator},
    rocks::open,
};

/// How many power losses instead.
const LOSSES: &str = "DSN_STORE_POWER_LOSSES";
const SEED: u64 = 0x706f_7765;
const ROUNDS: u64 = 20;
/// Rounds on one file system; the next one begins with an empty one.
const ROUNDS_PER_IMAGE: u64 = 5;
const IMAGE_MIB: u64 = 256;
/// The file system under it, with room for its files and its journal.
const HOST_MIB: u64 = 1024;
const MEMORY_MIB: usize = 2048;
/// Chunks a child puts at most, each in 48 pieces of 62,528 bytes.
const CHUNKS_PER_ROUND: u64 = 6;
const CHUNK_BYTES: usize = 1_000_000;
const PUTS_AT_ONCE: usize = 8;
/// An instant is a number of answers and up to so much later: some fsyncs.
const LATER_MAX_MICROS: u64 = 5_000;

/// A file beside the store that nobody asks to be durable.
fn unsynced(store: &Path, round: u64) -> PathBuf {
    store.with_file_name(format!("unsynced-{round}"))
}

/// The child; without its variables, a test that has nothing to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_puts_until_the_power_is_gone() {
    let Some((folder, round)) = child::order() else { return };
    // A new one each time: of a file that is written over, ext4 keeps the new bytes safe by itself.
    fs::write(unsynced(&folder, round), [7; 10_000]).expect("written");
    let store = open(&folder);
    for seed in (0..CHUNKS_PER_ROUND).map(|number| round * 1_000 + number) {
        let chunk = chunk(seed, CHUNK_BYTES);
        store.put_locators(vec![locator(&chunk, 1)]).await.expect("locator");
        child::say(&format!("{seed} locator"));
        let mut puts = JoinSet::new();
        for index in 0..48 {
            if puts.len() == PUTS_AT_ONCE {
                puts.join_next().await.expect("one is running").expect("no panic");
            }
            let (store, batch) = (store.clone(), batch([(&chunk, index)]));
            puts.spawn(async move {
                store.put(batch).await.expect("put");
                child::say(&format!("{seed} {index}"));
            });
        }
        puts.join_all().await;
    }
    // Stays until it is killed: what it closed in order would be synced.
    std::future::pending::<()>().await;
}

/// The machine: a file system that can be frozen, with the one that loses its power in a file, and room for a copy; all in
/// memory, so that an fsync takes no longer than it must.
struct Machine {
    host: Disk,
    memory: Disk,
}

impl Machine {
    fn new() -> Option<Self> {
        let memory = Disk::in_memory(MEMORY_MIB)?;
        let image = memory.path().join("host");
        make_image(&image, HOST_MIB)?;
        Some(Self { host: Disk::of_image(&image)?, memory })
    }

    fn image(&self) -> PathBuf {
        self.host.path().join("image")
    }

    fn copy(&self) -> PathBuf {
        self.memory.path().join("copy")
    }

    /// Runs a child until the power is gone after so many answers and a while; gives all that was answered.
    fn run(&self, round: u64, answers: usize, later: Duration) -> Option<Vec<String>> {
        // A write that finds no room there would be lost, as by a broken disk.
        let room = rustix::fs::statvfs(self.host.path()).expect("mounted");
        assert!(room.f_bavail * room.f_frsize > IMAGE_MIB * 1024 * 1024, "no room for the image to grow");
        let disk = Disk::of_image(&self.image())?;
        let mut child = Child::start("power::child_puts_until_the_power_is_gone", &disk.store(), round);
        let mut said: Vec<_> = child.lines().take(answers).collect();
        thread::sleep(later);
        let frozen = self.host.freeze();
        child.kill();
        copy_image(&self.image(), &self.copy());
        drop(frozen);
        // Its last words, too, are of before the copy: nothing became durable since.
        said.extend(child.lines());
        child.wait();
        Some(said)
    }

    /// The power is back: the file system is what was copied.
    fn start_again(&self) -> Option<Disk> {
        fs::remove_file(self.image()).expect("removed");
        copy_image(&self.copy(), &self.image());
        Disk::of_image(&self.image())
    }
}

/// Looks for everything that was answered, by chunk.
async fn check(folder: &Path, answered: &[String], chunks: &mut Vec<(u64, EncodedChunk)>, context: &str) {
    let store = open(folder);
    if let OpenReport::SetAside { path } = store.report() {
        let log = fs::read_to_string(path.join("LOG")).unwrap_or_default();
        let failed: Vec<_> = log.lines().filter(|line| line.contains("failed:") || line.contains("rror")).collect();
        panic!("{context}: everything is lost: {failed:#?}");
    }
    assert_eq!(store.report(), &OpenReport::Clean, "{context}");
    for line in answered {
        let (seed, what) = line.split_once(' ').expect("two words");
        let seed: u64 = seed.parse().expect("a number");
        if chunks.last().is_none_or(|(known, _)| *known < seed) {
            chunks.push((seed, chunk(seed, CHUNK_BYTES)));
        }
        let (_, chunk) = chunks.iter().find(|(known, _)| *known == seed).expect("in order");
        let id = chunk.descriptor.id();
        if what == "locator" {
            let found = store.locators(&[id]).await.expect(context);
            assert!(found == [Some(locator(chunk, 1))], "{context}: {line} is lost");
            continue;
        }
        let index: u8 = what.parse().expect("a number");
        let found = store.piece(id, index).await.expect(context);
        assert!(found.as_ref() == Some(chunk.pieces[usize::from(index)].bytes()), "{context}: {line} is lost");
    }
    let space = store.space();
    assert_eq!(store.verify_space().await, Ok(SpaceCheck { counted: space, counter: space }), "{context}");
    store.close().await.expect("closed");
}

#[tokio::test]
async fn nothing_answered_is_lost_when_the_power_goes() {
    let Some(machine) = Machine::new() else { return };
    let mut random = Random(SEED);
    let (mut answered, mut chunks) = (Vec::new(), Vec::new());
    let (mut total, mut unsynced_lost) = (0, 0);
    let rounds = child::rounds(LOSSES, ROUNDS);
    for round in 0..rounds {
        if round % ROUNDS_PER_IMAGE == 0 {
            make_image(&machine.image(), IMAGE_MIB).expect("made before");
            answered.clear();
            chunks.clear();
        }
        let answers = usize::try_from(random.next() % (CHUNKS_PER_ROUND * 48)).expect("small");
        let later = Duration::from_micros(random.next() % LATER_MAX_MICROS);
        let context = format!("seed {SEED:#x}, round {round}, after {answers} answers and {later:?}");
        let new = machine.run(round, answers, later).expect("mounted before");
        total += new.len();
        answered.extend(new);
        let disk = machine.start_again().expect("mounted before");
        let found = fs::read(unsynced(&disk.store(), round));
        unsynced_lost += u64::from(found.is_ok_and(|bytes| bytes.is_empty()));
        check(&disk.store(), &answered, &mut chunks, &context).await;
    }
    println!("{rounds} power losses, {total} answers, {unsynced_lost} times what was not synced was lost");
    assert!(total > 30 * usize::try_from(rounds).expect("small"), "only {total} answers: nothing was tried");
    assert!(unsynced_lost > rounds / 2 || rounds < 10, "the power went only {unsynced_lost} times in {rounds}");
}
