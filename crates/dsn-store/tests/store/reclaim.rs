//! Space comes back: pieces given up as damaged leave garbage in the files, and when it is enough the files shrink, while
//! the store is used, and across kills and closing at any time.

use std::{
    env, fs,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use dsn_core::{erasure::EncodedChunk, ports::PieceStore};
use dsn_store::{OpenReport, RocksStore, SpaceCheck};

use crate::{
    damage::files,
    fixtures::{Random, batch, chunk},
    rocks::open,
};

/// The store's folder, for the child.
const FOLDER: &str = "DSN_STORE_TEST_RECLAIM_FOLDER";

/// Pieces of 1 MiB, 96 of them: three quarters are more than the 64 MiB that start a reclaim.
const CHUNK_BYTES: usize = 16 * 1024 * 1024;
const CHUNKS: u64 = 2;
const PIECE_BYTES: usize = 1024 * 1024;

/// A blob file has a header, and each record a header and the key before the value.
const FILE_HEADER_BYTES: usize = 30;
const RECORD_BYTES: usize = 32 + 33 + PIECE_BYTES;

/// One record in so many stays sound.
const SOUND_PART: usize = 4;

const SEED: u64 = 0x7265_636c;
const ROUNDS: usize = 6;
const PATIENCE: Duration = Duration::from_secs(60);

fn chunks() -> Vec<EncodedChunk> {
    (0..CHUNKS).map(|seed| chunk(seed, CHUNK_BYTES)).collect()
}

fn blob_bytes(folder: &Path) -> u64 {
    files(folder, "blob").iter().filter_map(|file| fs::metadata(file).ok()).map(|about| about.len()).sum()
}

/// Everything below the store's folder.
fn folder_bytes(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).expect("readable").filter_map(|entry| fs::metadata(entry.ok()?.path()).ok());
    let here: u64 = entries.filter(fs::Metadata::is_file).map(|about| about.len()).sum();
    here + if folder.join("db").exists() { folder_bytes(&folder.join("db")) } else { 0 }
}

/// A closed store in which three of four pieces are damaged, mixed with the sound ones in every file.
async fn make_damaged(folder: &Path, chunks: &[EncodedChunk]) {
    let store = open(folder);
    for (chunk, index) in chunks.iter().flat_map(|chunk| (0..48).map(move |index| (chunk, index))) {
        store.put(batch([(chunk, index)])).await.expect("put");
    }
    store.close().await.expect("closed");
    let mut record = 0;
    for file in files(folder, "blob") {
        let mut bytes = fs::read(&file).expect("readable");
        let mut middle = FILE_HEADER_BYTES + RECORD_BYTES / 2;
        while middle < bytes.len() {
            bytes[middle] ^= u8::from(record % SOUND_PART != 0);
            record += 1;
            middle += RECORD_BYTES;
        }
        fs::write(&file, bytes).expect("written");
    }
    assert_eq!(record, 96, "all records were found");
}

/// Reads pieces until `most` were damaged; says how many were sound.
async fn read(store: &RocksStore, chunks: &[EncodedChunk], most: usize) -> usize {
    let (mut sound, mut damaged) = (0, 0);
    for (chunk, index) in chunks.iter().flat_map(|chunk| (0..48).map(move |index| (chunk, index))) {
        match store.piece(chunk.descriptor.id(), index).await {
            Ok(Some(bytes)) => {
                assert_eq!(&bytes, chunk.pieces[usize::from(index)].bytes(), "wrong bytes");
                sound += 1;
            }
            _ if damaged == most => break,
            _ => damaged += 1,
        }
    }
    sound
}

/// All sound pieces are there and everything adds up.
async fn check_whole(store: &RocksStore, chunks: &[EncodedChunk], context: &str) {
    assert_eq!(store.report(), &OpenReport::Clean, "{context}");
    assert_eq!(read(store, chunks, usize::MAX).await, 24, "{context}");
    let space = store.space();
    assert_eq!(space.pieces, 24, "{context}");
    assert_eq!(store.verify_space().await, Ok(SpaceCheck { counted: space, counter: space }), "{context}");
}

async fn wait_until_small(folder: &Path) {
    let deadline = Instant::now() + PATIENCE;
    while blob_bytes(folder) > 25 * 1024 * 1024 {
        assert!(Instant::now() < deadline, "{} bytes are still there", blob_bytes(folder));
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_files_shrink_while_the_store_is_used() {
    let folder = tempfile::tempdir().expect("a folder");
    let chunks = chunks();
    make_damaged(folder.path(), &chunks).await;
    let before = folder_bytes(folder.path());
    let store = open(folder.path());
    // The other damaged pieces are for the reclaim to find: they must not stop it, nor the store.
    read(&store, &chunks, 66).await;
    let (mut puts, mut longest) = (0, Duration::ZERO);
    let more = chunk(100, 100_000);
    let deadline = Instant::now() + PATIENCE;
    while blob_bytes(folder.path()) > 25 * 1024 * 1024 {
        assert!(Instant::now() < deadline, "{} bytes are still there", blob_bytes(folder.path()));
        let begin = Instant::now();
        store.put(batch([(&more, puts % 48)])).await.expect("puts go on");
        longest = longest.max(begin.elapsed());
        puts = puts.wrapping_add(1);
    }
    store.close().await.expect("closed");
    let after = folder_bytes(folder.path());
    println!("{before} bytes became {after}; {puts} puts meanwhile, the longest {longest:?}");
    assert!(before > 96 * 1024 * 1024 && after < 32 * 1024 * 1024, "{before} bytes became {after}");
    let store = open(folder.path());
    assert_eq!(read(&store, &chunks, usize::MAX).await, 24);
    let space = store.space();
    assert_eq!(store.verify_space().await, Ok(SpaceCheck { counted: space, counter: space }));
}

/// The child; without its variable, a test that has nothing to do.
#[tokio::test]
async fn child_reclaims_until_it_is_killed() {
    let Ok(folder) = env::var(FOLDER) else { return };
    let store = open(Path::new(&folder));
    read(&store, &chunks(), usize::MAX).await;
    wait_until_small(Path::new(&folder)).await;
    store.close().await.expect("closed");
}

/// Runs a child and kills it once the files the reclaim writes have this length; says whether the old ones were all there.
fn kill_at(folder: &Path, new_bytes: u64) -> bool {
    let old = files(folder, "blob");
    let mut child = Command::new(env::current_exe().expect("this binary"))
        .args(["--exact", "reclaim::child_reclaims_until_it_is_killed"])
        .env(FOLDER, folder)
        .stdout(Stdio::null())
        .spawn()
        .expect("a child");
    let deadline = Instant::now() + PATIENCE;
    loop {
        let new: Vec<_> = files(folder, "blob").into_iter().filter(|file| !old.contains(file)).collect();
        let written: u64 = new.iter().filter_map(|file| fs::metadata(file).ok()).map(|about| about.len()).sum();
        if !new.is_empty() && written >= new_bytes || child.try_wait().expect("known").is_some() {
            break;
        }
        assert!(Instant::now() < deadline, "no file was written");
    }
    child.kill().expect("killed or gone");
    child.wait().expect("gone");
    old.iter().all(|file| file.exists())
}

#[tokio::test]
async fn a_reclaim_killed_at_any_time_costs_nothing_and_starts_again() {
    let template = tempfile::tempdir().expect("a folder");
    let chunks = chunks();
    make_damaged(template.path(), &chunks).await;
    let (mut random, mut interrupted) = (Random(SEED), 0);
    for round in 0..ROUNDS {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("db")).expect("created");
        for name in ["FORMAT", "db"] {
            let from = template.path().join(name);
            if from.is_file() {
                fs::copy(from, folder.path().join(name)).expect("copied");
                continue;
            }
            for entry in fs::read_dir(from).expect("readable") {
                let entry = entry.expect("an entry");
                fs::copy(entry.path(), folder.path().join(name).join(entry.file_name())).expect("copied");
            }
        }
        let new_bytes = random.next() % (20 * 1024 * 1024);
        let context = format!("seed {SEED:#x}, round {round}, killed after {new_bytes} bytes");
        interrupted += usize::from(kill_at(folder.path(), new_bytes));
        // It starts again here; closing interrupts it, or not, and the next start ends it. Each start
        // deletes what the one before left unfinished.
        let store = open(folder.path());
        check_whole(&store, &chunks, &context).await;
        store.close().await.expect(&context);
        let store = open(folder.path());
        wait_until_small(folder.path()).await;
        check_whole(&store, &chunks, &context).await;
    }
    assert!(interrupted >= ROUNDS / 2, "only {interrupted} of {ROUNDS} kills were during a reclaim");
}
