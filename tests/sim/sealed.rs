//! Sealed files and folders on virtual time: they come back with their key and only with it, whole and in part, and
//! whoever has the CID alone can tell how they fare, repair them and keep them.

use std::time::Duration;

use bytes::Bytes;
use dsn_client::{
    Client, ClientOptions, GetError, Keep, Named, NoProgress, Privacy, PutOptions, PutReport,
    input::MemoryInput,
    output::MemoryOutput,
    tree::{MemoryTree, MemoryTreeOutput},
};
use dsn_core::{
    cid::Cid,
    identity::Identity,
    limits::SEALED_CHUNK_BYTES,
    repair::Health,
    seal::{Key, Secret},
};
use dsn_sim::{Link, World, run};

use crate::folders::{made, path, tree};

fn sealed() -> PutOptions {
    PutOptions { privacy: Privacy::Sealed(Secret::new([5; 32])), ..PutOptions::default() }
}

fn world() -> World {
    World::new(11, 12, 1 << 30, Link::default())
}

async fn put(client: &Client, bytes: &Bytes, options: PutOptions) -> PutReport {
    client.put(&mut MemoryInput::new(bytes.clone()), options, &NoProgress).await.expect("all is well")
}

async fn get(client: &Client, cid: Cid, key: Option<&Key>) -> Result<Bytes, GetError> {
    let Named::File(file) = client.named(cid, key, None).await? else { panic!("a file") };
    let mut output = MemoryOutput::default();
    client.get_file(cid, file, &mut output, &NoProgress).await?;
    Ok(output.bytes.into())
}

async fn part(client: &Client, report: &PutReport, offset: u64, length: u64) -> (Bytes, u64) {
    let named = client.named(report.cid, report.key.as_ref(), None).await;
    let Ok(Named::File(file)) = named else { panic!("a file") };
    let mut output = MemoryOutput::default();
    let got = client.get_part(report.cid, file, (offset, Some(length)), &mut output, &NoProgress).await;
    (output.bytes.into(), got.expect("a part").wire_bytes)
}

#[test]
fn a_sealed_file_of_any_length_comes_back_with_its_key_only() {
    run(async {
        let world = world();
        let client = world.client(ClientOptions::default());
        for len in [0, 1, 16_368, 16_369, 65_536, 65_537, SEALED_CHUNK_BYTES, SEALED_CHUNK_BYTES + 1] {
            let bytes = made(1, len);
            let report = put(&client, &bytes, sealed()).await;
            assert_eq!(report.bytes, len as u64);
            assert!(get(&client, report.cid, report.key.as_ref()).await.expect("the key opens it") == bytes, "{len}");
            assert!(matches!(get(&client, report.cid, None).await, Err(GetError::KeyNeeded)));
            let other = Key::new([1; 32]);
            assert!(matches!(get(&client, report.cid, Some(&other)).await, Err(GetError::WrongKey)));
        }
    });
}

#[test]
fn the_same_bytes_are_the_same_cid_for_one_owner_and_never_for_another() {
    run(async {
        let world = world();
        let client = world.client(ClientOptions::default());
        let bytes = made(2, 300_000);
        let first = put(&client, &bytes, sealed()).await;
        let again = put(&client, &bytes, sealed()).await;
        assert_eq!((again.cid, again.wire_bytes), (first.cid, 0));
        assert_eq!(again.key, first.key);
        let public = put(&client, &bytes, PutOptions::default()).await;
        let other = PutOptions { privacy: Privacy::Sealed(Secret::new([6; 32])), ..PutOptions::default() };
        let other = put(&client, &bytes, other).await;
        let random = PutOptions { privacy: Privacy::SealedAtRandom, ..PutOptions::default() };
        let random = [put(&client, &bytes, random.clone()).await, put(&client, &bytes, random).await];
        let all = [&first, &public, &other, &random[0], &random[1]];
        for (nth, a) in all.iter().enumerate() {
            assert!(all[..nth].iter().all(|b| a.cid != b.cid), "{nth}");
            assert!(get(&client, a.cid, a.key.as_ref()).await.expect("its own key") == bytes);
        }
    });
}

#[test]
fn a_part_of_a_sealed_file_moves_only_the_frames_that_have_it() {
    run(async {
        let mut world = world();
        let client = world.client(ClientOptions::default());
        let bytes = made(3, SEALED_CHUNK_BYTES + 500_000);
        let report = put(&client, &bytes, sealed()).await;
        // Within two and within six frames, at the border of two pieces, of the file's two chunks, and at its end.
        let places = [
            (16_367, 2),
            (5_000_000, 65_536),
            (16_367, 65_536),
            (64 * 16_368 - 40_000, 65_536),
            (SEALED_CHUNK_BYTES - 32_769, 65_536),
            (bytes.len() - 9, 9),
        ];
        for (offset, length) in places {
            let (got, wire_bytes) = part(&client, &report, offset as u64, length as u64).await;
            assert!(got == bytes[offset..offset + length], "{offset}+{length}");
            assert!(wire_bytes <= 256 * 1024, "{wire_bytes} bytes for {offset}+{length}");
        }
        let farmers = world.farmers();
        farmers[..report.may_vanish].iter().for_each(|farmer| world.crash(*farmer));
        let client = world.client(ClientOptions::default());
        for (offset, length) in places {
            let (got, wire_bytes) = part(&client, &report, offset as u64, length as u64).await;
            assert!(got == bytes[offset..offset + length], "{offset}+{length}, degraded");
            assert!(wire_bytes <= 2 << 20, "{wire_bytes} bytes for {offset}+{length}, degraded");
        }
    });
}

#[test]
fn a_sealed_folder_comes_back_and_tells_no_name_without_its_key() {
    run(async {
        let world = world();
        let client = world.client(ClientOptions::default());
        for small in [2, 300] {
            let entries = tree(6, small);
            let mut input = MemoryTree::new(entries.clone().into_iter().collect());
            let report = client.put_folder(&mut input, sealed(), &NoProgress).await.expect("all is well");
            let key = report.key.as_ref();
            assert!(matches!(client.named(report.cid, None, None).await, Err(GetError::KeyNeeded)));
            let Ok(Named::Folder(folder)) = client.named(report.cid, key, None).await else { panic!("a folder") };
            let mut output = MemoryTreeOutput::default();
            client.get_folder(report.cid, &folder, &mut output, &NoProgress).await.expect("all of it");
            assert!(output.written().into_iter().collect::<crate::folders::Entries>() == entries, "{small}");
            for name in ["a/deep/00001", "a/large"] {
                let named = client.named(report.cid, key, Some(&path(name))).await;
                let Ok(Named::File(file)) = named else { panic!("{name}") };
                let mut output = MemoryOutput::default();
                client.get_file(report.cid, file, &mut output, &NoProgress).await.expect("a file");
                let bytes = Bytes::from(output.bytes);
                assert!(dsn_client::tree::MemoryEntry::File(bytes) == entries[&path(name)], "{name}");
            }
            let again = MemoryTree::new(entries.into_iter().collect());
            let again = client.put_folder(&mut { again }, sealed(), &NoProgress).await.expect("all is well");
            assert_eq!((again.cid, again.wire_bytes), (report.cid, 0));
        }
    });
}

/// Files are stored side by side: whose answers come first is not to be seen in the manifest.
#[test]
fn a_sealed_folder_is_the_same_cid_whichever_of_its_chunks_is_stored_first() {
    let put_on = |seed| {
        let mut cid = None;
        run(async {
            let client = World::new(seed, 12, 1 << 30, Link::default()).client(ClientOptions::default());
            let mut input = MemoryTree::new(tree(6, 300).into_iter().collect());
            cid = Some(client.put_folder(&mut input, sealed(), &NoProgress).await.expect("all is well").cid);
        });
        cid.expect("it ran")
    };
    let first = put_on(0);
    (1..6).for_each(|seed| assert_eq!(put_on(seed), first, "{seed}"));
}

/// All of its chunks are well, and all who hold some are told to keep them.
pub(crate) async fn healthy_and_kept(client: &Client, report: &PutReport) {
    let stat = client.stat(report.cid).await.expect("readable");
    assert_eq!((stat.health, stat.chunks, stat.bytes), (Health::Healthy, report.chunks, report.bytes));
    let kept = client.keep_file(report.cid, Keep::For(Duration::from_secs(1 << 20))).await.expect("readable");
    assert_eq!((kept.confirmed, kept.unlocated, kept.chunks as u64), (kept.farmers, 0, report.chunks));
}

#[test]
fn the_cid_alone_suffices_to_ask_repair_and_keep() {
    run(async {
        let mut world = world();
        let client = world.client(ClientOptions::default());
        let bytes = made(4, 400_000);
        let file = put(&client, &bytes, sealed()).await;
        let entries = tree(7, 100);
        let mut input = MemoryTree::new(entries.into_iter().collect());
        let folder = client.put_folder(&mut input, sealed(), &NoProgress).await.expect("all is well");
        for report in [&file, &folder] {
            healthy_and_kept(&client, report).await;
        }
        let gone: Vec<_> = world.farmers().into_iter().take(3).collect();
        gone.iter().for_each(|farmer| world.leave(*farmer));
        let client = world.client(ClientOptions::default());
        for report in [&file, &folder] {
            let done = client.repair_file(report.cid, &Identity::from_seed([9; 32])).await.expect("readable");
            assert!(done.lost == 0 && done.repaired > 0, "{done:?}");
        }
        let got = get(&client, file.cid, file.key.as_ref()).await.expect("whole");
        assert!(got == bytes);
    });
}
