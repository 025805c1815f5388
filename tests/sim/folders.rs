//! Folders on virtual time: the same tree is the same CID, a change sends what has changed, and what was put comes back
//! while farmers fail.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use dsn_client::{
    Client, ClientOptions, FolderWalk, Keep, Named, NoProgress, PutOptions, PutReport,
    input::MemoryInput,
    output::MemoryOutput,
    tree::{MemoryEntry, MemoryTree, MemoryTreeOutput},
};
use dsn_core::{
    cid::Cid,
    folder::{EntryPath, What},
    repair::Health,
};
use dsn_sim::{Link, World, run};

pub(crate) type Entries = BTreeMap<EntryPath, MemoryEntry>;

pub(crate) fn path(text: &str) -> EntryPath {
    EntryPath::new(text.as_bytes().to_vec()).expect("a path")
}

pub(crate) fn made(seed: u64, len: usize) -> Bytes {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes.into()
}

/// A tree with everything in it: folders in folders, an empty one, links, empty, small and large files.
pub(crate) fn tree(seed: u64, small: usize) -> Entries {
    let mut entries = Entries::new();
    entries.insert(path("a"), MemoryEntry::Folder);
    entries.insert(path("a.b"), MemoryEntry::Link("../../etc".into()));
    entries.insert(path("a/deep"), MemoryEntry::Folder);
    entries.insert(path("empty"), MemoryEntry::Folder);
    entries.insert(path("zero"), MemoryEntry::File(Bytes::new()));
    entries.insert(path("a/large"), MemoryEntry::File(made(seed, 200_000)));
    entries.insert(path("a/deep/large"), MemoryEntry::File(made(seed, 65_537)));
    for nth in 0..small {
        let len = 1 + nth * 7919 % 65_536;
        let bytes = made(seed << 32 | nth as u64, len);
        entries.insert(path(&format!("a/deep/{nth:05}")), MemoryEntry::File(bytes));
    }
    entries
}

async fn put(client: &Client, entries: &Entries) -> PutReport {
    let mut tree = MemoryTree::new(entries.clone().into_iter().collect());
    client.put_folder(&mut tree, PutOptions::default(), &NoProgress).await.expect("all is well")
}

async fn get(client: &Client, cid: Cid, at: Option<&str>) -> Entries {
    let at = at.map(path);
    let Named::Folder(folder) = client.named(cid, None, at.as_ref()).await.expect("it is there") else {
        panic!("a folder")
    };
    let mut output = MemoryTreeOutput::default();
    client.get_folder(cid, &folder, &mut output, &NoProgress).await.expect("all of it");
    output.written().into_iter().collect()
}

fn world() -> World {
    World::new(7, 12, 1 << 30, Link::default())
}

#[test]
fn a_folder_comes_back_entry_by_entry_and_is_the_same_cid_each_time() {
    run(async {
        let world = world();
        let client = world.client(ClientOptions::default());
        for small in [0, 3, 400] {
            let entries = tree(1, small);
            let first = put(&client, &entries).await;
            assert_eq!(first.entries, Some(entries.len() as u64));
            assert_eq!(get(&client, first.cid, None).await, entries, "{small}");
            let again = put(&client, &entries).await;
            assert_eq!((again.cid, again.wire_bytes, again.resumed_bytes), (first.cid, 0, first.bytes));
        }
        let nothing = Entries::new();
        let empty = put(&client, &nothing).await;
        assert_eq!(get(&client, empty.cid, None).await, nothing);
    });
}

#[test]
fn a_part_of_a_folder_is_fetched_without_the_rest() {
    run(async {
        let world = world();
        let client = world.client(ClientOptions::default());
        let entries = tree(2, 300);
        let cid = put(&client, &entries).await.cid;
        let wanted: Entries =
            entries.iter().filter_map(|(at, entry)| Some((at.below(&path("a/deep"))?, entry.clone()))).collect();
        assert_eq!(get(&client, cid, Some("a/deep")).await, wanted);
        for name in ["a/deep/00007", "a/large", "zero"] {
            let Ok(Named::File(file)) = client.named(cid, None, Some(&path(name))).await else { panic!("{name}") };
            let mut output = MemoryOutput::default();
            client.get_file(cid, file, &mut output, &NoProgress).await.expect("a file");
            assert_eq!(MemoryEntry::File(output.bytes.into()), entries[&path(name)], "{name}");
        }
        assert!(
            matches!(client.named(cid, None, Some(&path("a.b"))).await, Ok(Named::Link(says)) if says == "../../etc")
        );
        for nothing in ["a/deep/nothing", "a.b/passwd", "b", "zero/x"] {
            assert!(client.named(cid, None, Some(&path(nothing))).await.is_err(), "{nothing}");
        }
    });
}

#[test]
fn a_change_sends_what_has_changed() {
    run(async {
        let world = world();
        let client = world.client(ClientOptions::default());
        let mut entries = tree(3, 900);
        let first = put(&client, &entries).await;
        entries.insert(path("a/deep/00000x"), MemoryEntry::File("new".into()));
        let second = put(&client, &entries).await;
        assert_ne!(second.cid, first.cid);
        let (sent, all) = (second.wire_bytes, first.wire_bytes);
        assert!(sent * 2 < all, "{sent} bytes of {all} were sent again");
        assert!(second.resumed_bytes * 2 > second.bytes, "{} of {} were there", second.resumed_bytes, second.bytes);
        assert_eq!(get(&client, second.cid, None).await, entries);
        assert_eq!(get(&client, first.cid, None).await.len() + 1, entries.len(), "the old one is still there");
    });
}

#[test]
fn a_large_file_of_a_folder_is_the_same_file_put_alone() {
    run(async {
        let world = world();
        let client = world.client(ClientOptions::default());
        let entries = tree(4, 2);
        let MemoryEntry::File(large) = &entries[&path("a/large")] else { panic!("a file") };
        let alone = client.put(&mut MemoryInput::new(large.clone()), PutOptions::default(), &NoProgress).await;
        let alone = alone.expect("all is well").cid;
        let cid = put(&client, &entries).await.cid;
        let Ok(Named::Folder(folder)) = client.named(cid, None, None).await else { panic!("a folder") };
        let mut walk = FolderWalk::new(&folder);
        let mut found = None;
        while let Some(entry) = client.next_entry(&mut walk).await.expect("a true folder") {
            if entry.path == path("a/large") {
                found = Some(entry.what);
            }
        }
        let place = dsn_core::folder::Place::Alone { cid: alone, len: 200_000, key: None };
        assert_eq!(found, Some(What::File { executable: false, place }));
    });
}

#[test]
fn many_entries_are_listed_without_what_is_in_the_folders_within() {
    run(async {
        let world = world();
        let client = world.client(ClientOptions::default());
        let mut entries = Entries::new();
        for folder in 0..30 {
            entries.insert(path(&format!("folder-{folder:02}")), MemoryEntry::Folder);
            for nth in 0..700 {
                let name = format!("folder-{folder:02}/file-{nth:04}");
                entries.insert(path(&name), MemoryEntry::File(Bytes::copy_from_slice(name.as_bytes())));
            }
        }
        let put = put(&client, &entries).await;
        assert!(put.chunks > 6, "leaves of their own");
        let Ok(Named::Folder(folder)) = client.named(put.cid, None, None).await else { panic!("a folder") };
        let mut walk = FolderWalk::new(&folder);
        let mut top = Vec::new();
        while let Some(entry) = client.next_entry(&mut walk).await.expect("a true folder") {
            walk.skip_within(&entry.path);
            top.push(entry.path.to_string());
        }
        assert_eq!(top, (0..30).map(|nth| format!("folder-{nth:02}")).collect::<Vec<_>>());
        assert_eq!(get(&client, put.cid, Some("folder-17")).await.len(), 700);
        assert!(get(&client, put.cid, None).await == entries);
    });
}

#[test]
fn a_folder_is_whole_while_farmers_fail_and_after_its_repair() {
    run(async {
        let mut world = world();
        let client = world.client(ClientOptions::default());
        let entries = tree(5, 200);
        let report = put(&client, &entries).await;
        let farmers = world.farmers();
        farmers[..report.may_vanish].iter().for_each(|farmer| world.crash(*farmer));
        let client = world.client(ClientOptions::default());
        assert_eq!(get(&client, report.cid, None).await, entries);
        farmers[..report.may_vanish].iter().for_each(|farmer| world.restart(*farmer));
        let client = world.client(ClientOptions::default());
        let stat = client.stat(report.cid).await.expect("readable");
        assert_eq!((stat.health, stat.chunks, stat.bytes), (Health::Healthy, report.chunks, report.bytes));
        let kept = client.keep_file(report.cid, Keep::For(Duration::from_secs(1 << 20))).await.expect("readable");
        assert_eq!((kept.confirmed, kept.unlocated, kept.chunks as u64), (kept.farmers, 0, report.chunks));
    });
}
