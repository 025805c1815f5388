//! A disk that takes no more, and takes more again: a child process (this binary again, under a shell that limits the size
//! of files) puts until a put fails, goes on reading while no file may grow at all, lifts the limit and goes on putting, all with one store.

use std::{
    env,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use dsn_core::{
    erasure::EncodedChunk,
    ports::{PieceStore, StoreError},
};
use rustix::process::{Resource, Rlimit, setrlimit};

use crate::{
    fixtures::{batch, chunk},
    rocks::open,
};

/// The store's folder, for the child.
const FOLDER: &str = "DSN_STORE_TEST_FULL_FOLDER";
const CHUNK_BYTES: usize = 1_000_000;
/// Puts of 8 pieces, 500 kB each: the log outgrows the limit of 4 MiB with the ninth.
const PUTS_MAX: u64 = 20;

async fn put(store: &impl PieceStore, seed: u64) -> Result<EncodedChunk, StoreError> {
    let chunk = chunk(seed, CHUNK_BYTES);
    store.put(batch((0..8).map(|index| (&chunk, index)))).await.map(|_| chunk)
}

fn limit_files(bytes: Option<u64>) {
    setrlimit(Resource::Fsize, Rlimit { current: bytes, maximum: None }).expect("the hard limit is none");
}

/// The child; without its variable, a test that has nothing to do.
#[tokio::test]
async fn child_puts_until_no_file_may_grow() {
    let Ok(folder) = env::var(FOLDER) else { return };
    let store = open(Path::new(&folder));
    let mut kept = Vec::new();
    let failed = loop {
        let seed = u64::try_from(kept.len()).expect("small");
        assert!(seed < PUTS_MAX, "no put failed");
        match put(&store, seed).await {
            Ok(chunk) => kept.push(chunk),
            Err(error) => break error,
        }
    };
    assert!(matches!(failed, StoreError::Io { .. }), "{failed}");
    let first = &kept[0];
    let read = store.piece(first.descriptor.id(), 0).await;
    assert_eq!(read, Ok(Some(first.pieces[0].bytes().clone())), "what is there is served");
    limit_files(Some(64 * 1024));
    for seed in 50..53 {
        let again = put(&store, seed).await.expect_err("not even what is in memory can become a file");
        assert!(matches!(again, StoreError::Io { .. }) && !again.to_string().contains("read only"), "{again}");
        assert_eq!(store.piece(first.descriptor.id(), 0).await, read, "what is there is served all the time");
    }
    limit_files(None);
    let deadline = Instant::now() + Duration::from_secs(60);
    for seed in 100..105 {
        while let Err(error) = put(&store, seed).await {
            assert!(seed == 100 && Instant::now() < deadline, "{error}");
        }
        kept.push(chunk(seed, CHUNK_BYTES));
    }
    let space = store.space();
    store.close().await.expect("closed");
    let store = open(Path::new(&folder));
    assert_eq!(store.space(), space);
    for chunk in &kept {
        for index in 0..8 {
            let bytes = store.piece(chunk.descriptor.id(), index).await;
            assert_eq!(bytes, Ok(Some(chunk.pieces[usize::from(index)].bytes().clone())));
        }
    }
    let all: Vec<_> =
        (0..PUTS_MAX).chain(50..53).chain(100..105).map(|seed| chunk(seed, CHUNK_BYTES).descriptor.id()).collect();
    let counted = store.chunks(&all).await.expect("chunks");
    let counted: usize = counted.iter().flatten().map(|stored| stored.indices.len()).sum();
    assert_eq!(space.pieces, u64::try_from(counted).expect("small"), "the counters are exact");
}

#[test]
fn puts_go_on_once_there_is_room_again() {
    let folder = tempfile::tempdir().expect("a folder");
    // The soft limit alone, in blocks of 1 KiB or 512 bytes as the shell has it; an ignored signal stays so in the child.
    let script = r#"trap '' XFSZ; ulimit -S -f 8192; exec "$0" --exact full::child_puts_until_no_file_may_grow"#;
    let output = Command::new("sh")
        .args(["-c", script])
        .arg(env::current_exe().expect("this binary"))
        .env(FOLDER, folder.path())
        .output()
        .expect("a child");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
