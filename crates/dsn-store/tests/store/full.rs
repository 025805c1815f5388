//! A disk that takes no more, and takes more again: a child process (this binary again, under a shell that limits the size
//! of files) puts until a put fails, goes on reading, lifts the limit and goes on putting, all with one store.

use std::{env, path::Path, process::Command};

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
    setrlimit(Resource::Fsize, Rlimit { current: None, maximum: None }).expect("the hard limit is none");
    for seed in 100..105 {
        kept.push(put(&store, seed).await.expect("there is room again"));
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
    let counted = store.chunks(&kept.iter().map(|chunk| chunk.descriptor.id()).collect::<Vec<_>>()).await;
    let counted: usize = counted.expect("chunks").iter().flatten().map(|stored| stored.indices.len()).sum();
    let failed_but_kept =
        store.chunks(&[chunk(u64::try_from(kept.len() - 5).expect("small"), CHUNK_BYTES).descriptor.id()]).await;
    let extra = failed_but_kept.expect("chunks")[0].as_ref().map_or(0, |stored| stored.indices.len());
    assert_eq!(space.pieces, u64::try_from(counted + extra).expect("small"), "the counters are exact");
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
