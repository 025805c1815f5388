//! Damage on disk: flipped bytes, files cut short or gone. Each costs what lies in it and nothing else; the store opens in
//! any case, and nothing is ever deleted.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use dsn_core::{
    erasure::EncodedChunk,
    ports::{PieceStore, StoreError},
};
use dsn_store::{OpenReport, RocksOptions, RocksStore};

use crate::{
    fixtures::{batch, chunk, locator},
    rocks::open,
};

/// Piece length 62,528: in blob files.
const CHUNK_BYTES: usize = 1_000_000;

/// Chunks in a store to damage; each has four pieces in it.
const CHUNKS: u64 = 4;

/// What is left of a store: pieces read in order of chunk and index.
#[derive(Debug, Default, PartialEq, Eq)]
struct Left {
    sound: usize,
    lost: usize,
}

fn chunks() -> Vec<EncodedChunk> {
    (0..CHUNKS).map(|seed| chunk(seed, CHUNK_BYTES)).collect()
}

/// Makes a store in two sessions, so that it has two files of each kind, and closes it.
async fn make(folder: &Path) -> Vec<EncodedChunk> {
    let chunks = chunks();
    for half in chunks.chunks(2) {
        let store = open(folder);
        for chunk in half {
            store.put(batch((0..4).map(|index| (chunk, index)))).await.expect("put");
            store.put_locators(vec![locator(chunk, 1)]).await.expect("locator");
        }
        store.close().await.expect("closed");
    }
    chunks
}

/// Files of the database with this extension or name prefix, by name.
pub(crate) fn files(folder: &Path, kind: &str) -> Vec<PathBuf> {
    let is_kind = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).expect("RocksDB's names are ASCII");
        name.ends_with(&format!(".{kind}")) || name.starts_with(kind)
    };
    let all = fs::read_dir(folder.join("db")).expect("readable").map(|entry| entry.expect("an entry").path());
    let mut files: Vec<_> = all.filter(is_kind).collect();
    files.sort();
    files
}

/// Reads every piece twice: what is damaged is reported once, is no longer held, and is counted out.
async fn read_all(store: &RocksStore, chunks: &[EncodedChunk]) -> Left {
    let mut left = Left::default();
    for (chunk, index) in chunks.iter().flat_map(|chunk| (0..4).map(move |index| (chunk, index))) {
        let id = chunk.descriptor.id();
        match store.piece(id, index).await {
            Ok(Some(bytes)) => {
                assert_eq!(&bytes, chunk.pieces[usize::from(index)].bytes(), "wrong bytes");
                left.sound += 1;
            }
            other => {
                let damaged = Err(StoreError::Corrupt { chunk: id, index });
                assert!(other == damaged || other == Ok(None), "{other:?}");
                assert_eq!(store.piece(id, index).await, Ok(None), "lost is lost");
                left.lost += 1;
            }
        }
    }
    let held: Vec<_> = store.chunks(&chunks.iter().map(|c| c.descriptor.id()).collect::<Vec<_>>()).await.expect("read");
    let held: usize = held.iter().flatten().map(|stored| stored.indices.len()).sum();
    assert!(held <= left.sound, "{held} held, {left:?}");
    left
}

/// What happens to a file.
#[derive(Clone, Copy, Debug)]
enum Harm {
    FlippedByte,
    CutShort,
    Gone,
}

const HARMS: [Harm; 3] = [Harm::FlippedByte, Harm::CutShort, Harm::Gone];

fn harm(file: &Path, harm: Harm) {
    let mut bytes = fs::read(file).expect("readable");
    let half = bytes.len() / 2;
    match harm {
        Harm::FlippedByte => bytes[half] ^= 1,
        Harm::CutShort => bytes.truncate(half),
        Harm::Gone => return fs::remove_file(file).expect("removed"),
    }
    fs::write(file, bytes).expect("written");
}

/// Puts every piece again, as the network does for what a farmer lost; a first put may fail on damage it meets.
async fn heal(store: &RocksStore, chunks: &[EncodedChunk]) {
    for attempt in 0..2 {
        match store.put(batch(chunks.iter().flat_map(|chunk| (0..4).map(move |index| (chunk, index))))).await {
            Ok(_) => return,
            Err(error) => assert!(attempt == 0, "{error}"),
        }
    }
}

/// After damage and healing everything is readable, now and after a restart.
async fn check_heals(folder: &Path, store: RocksStore, chunks: &[EncodedChunk]) {
    let all = Left { sound: chunks.len() * 4, lost: 0 };
    heal(&store, chunks).await;
    assert_eq!(read_all(&store, chunks).await, all);
    drop(store);
    assert_eq!(read_all(&open(folder), chunks).await, all);
}

#[tokio::test]
async fn a_damaged_blob_file_costs_what_was_in_it() {
    for (which, what, lost) in
        (0..2).flat_map(|which| [(which, Harm::FlippedByte, 1), (which, Harm::CutShort, 8), (which, Harm::Gone, 8)])
    {
        let folder = tempfile::tempdir().expect("a folder");
        let chunks = make(folder.path()).await;
        harm(&files(folder.path(), "blob")[which], what);
        let store = open(folder.path());
        assert_eq!(store.report(), &OpenReport::Clean, "{what:?}: nobody has looked yet");
        assert_eq!(read_all(&store, &chunks).await, Left { sound: 16 - lost, lost }, "{what:?}");
        assert_eq!(store.space().pieces, u64::try_from(16 - lost).expect("small"));
        check_heals(folder.path(), store, &chunks).await;
        let space = open(folder.path()).space();
        assert_eq!((space.pieces, space.used_bytes), (16, 16 * 62_528), "{what:?}: counters are exact");
    }
}

async fn check_tables(what: Harm) {
    let folder = tempfile::tempdir().expect("a folder");
    make(folder.path()).await;
    let tables = files(folder.path(), "sst").len();
    assert!(tables >= 4, "two sessions made only {tables} tables");
    for which in 0..tables {
        let folder = tempfile::tempdir().expect("a folder");
        let chunks = make(folder.path()).await;
        harm(&files(folder.path(), "sst")[which], what);
        let store = open(folder.path());
        assert!(!matches!(store.report(), OpenReport::SetAside { .. }), "table {which}");
        read_all(&store, &chunks).await;
        check_heals(folder.path(), store, &chunks).await;
    }
}

#[tokio::test]
async fn a_flipped_byte_in_a_table_file_costs_at_most_what_it_names() {
    check_tables(Harm::FlippedByte).await;
}

#[tokio::test]
async fn a_table_file_cut_short_costs_at_most_what_it_names() {
    check_tables(Harm::CutShort).await;
}

#[tokio::test]
async fn a_missing_table_file_costs_at_most_what_it_names() {
    check_tables(Harm::Gone).await;
}

/// Makes a store as a kill leaves it: several logs are in use, since pieces have become files and locators have not.
async fn make_killed(folder: &Path) -> Vec<EncodedChunk> {
    let options = RocksOptions { write_buffer_bytes: 1 << 20, ballast_bytes: 0, ..RocksOptions::default() };
    let running = tempfile::tempdir().expect("a folder");
    let store = RocksStore::open(running.path(), &options).expect("the store opens");
    let chunks: Vec<EncodedChunk> = (0..20).map(|seed| chunk(seed, CHUNK_BYTES)).collect();
    for chunk in &chunks {
        store.put(batch((0..4).map(|index| (chunk, index)))).await.expect("put");
        store.put_locators(vec![locator(chunk, 1)]).await.expect("locator");
    }
    // What a kill leaves is what lies in the files, once none of them is being written in the background.
    while copy(running.path(), folder).is_err() {
        fs::remove_dir_all(folder.join("db")).expect("a copy");
    }
    chunks
}

/// Copies a store that is open; an error when a file goes or comes meanwhile.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let names = || -> io::Result<Vec<_>> {
        fs::read_dir(from.join("db"))?.map(|entry| Ok(Path::new("db").join(entry?.file_name()))).collect()
    };
    fs::create_dir_all(to.join("db"))?;
    let before = names()?;
    for name in before.iter().map(PathBuf::as_path).chain([Path::new("FORMAT")]) {
        fs::copy(from.join(name), to.join(name))?;
    }
    if names()? == before { Ok(()) } else { Err(io::ErrorKind::StaleNetworkFileHandle.into()) }
}

#[tokio::test]
async fn a_damaged_log_costs_what_was_in_it() {
    let killed = tempfile::tempdir().expect("a folder");
    let chunks = make_killed(killed.path()).await;
    let logs = files(killed.path(), "log");
    assert!(logs.len() >= 3, "only {} logs", logs.len());
    let known = async |store: &RocksStore| {
        let ids: Vec<_> = chunks.iter().map(|chunk| chunk.descriptor.id()).collect();
        store.locators(&ids).await.expect("read").into_iter().flatten().count()
    };
    for (log, what) in logs.iter().flat_map(|log| HARMS.map(|what| (log, what))) {
        let folder = tempfile::tempdir().expect("a folder");
        copy(killed.path(), folder.path()).expect("nobody uses it");
        harm(&folder.path().join("db").join(log.file_name().expect("a name")), what);
        let store = open(folder.path());
        assert!(!matches!(store.report(), OpenReport::SetAside { .. }), "{log:?}, {what:?}");
        let (known, left) = (known(&store).await, read_all(&store, &chunks).await);
        assert!(
            known >= 16 && left.sound >= 64,
            "{log:?}, {what:?}: {known} locators, {left:?}, and a log has four of 20"
        );
        check_heals(folder.path(), store, &chunks).await;
    }
}

#[tokio::test]
async fn a_store_whose_root_is_damaged_is_set_aside_whole() {
    for (kind, what) in ["MANIFEST", "CURRENT"].into_iter().flat_map(|kind| HARMS.map(|what| (kind, what))) {
        let folder = tempfile::tempdir().expect("a folder");
        let chunks = make(folder.path()).await;
        let blobs: u64 =
            files(folder.path(), "blob").iter().map(|file| fs::metadata(file).expect("a file").len()).sum();
        harm(&files(folder.path(), kind)[0], what);
        for number in 1..=2 {
            let store = open(folder.path());
            let aside = folder.path().join("db.damaged-1");
            let expected = if number == 1 { OpenReport::SetAside { path: aside.clone() } } else { OpenReport::Clean };
            assert_eq!(store.report(), &expected, "{kind} {what:?}");
            let kept: u64 = fs::read_dir(&aside)
                .expect("the damaged store is there")
                .map(|entry| entry.expect("an entry").path())
                .filter(|path| path.extension().is_some_and(|kind| kind == "blob"))
                .map(|path| fs::metadata(path).expect("a file").len())
                .sum();
            assert_eq!(kept, blobs, "{kind} {what:?}: nothing is deleted");
            check_heals(folder.path(), store, &chunks).await;
        }
        harm(&files(folder.path(), "CURRENT")[0], Harm::CutShort);
        let aside = folder.path().join("db.damaged-2");
        assert_eq!(open(folder.path()).report(), &OpenReport::SetAside { path: aside }, "a second time");
    }
}
