//! Folders as bytes and as entries: what is read back, what is refused, and where nodes end.

use std::collections::BTreeMap;

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::{
    hash::Hash,
    limits::{FOLDER_NODE_MAX_BYTES, MANIFEST_MAX_BYTES, PATH_MAX_BYTES},
    manifest::Manifest,
    testing,
};

fn path(text: &str) -> EntryPath {
    EntryPath::new(text.as_bytes().to_vec()).expect("a path")
}

fn chunk(number: u64) -> ChunkId {
    ChunkId(Hash::of(&number.to_le_bytes()))
}

fn entry(text: &str, what: What) -> Entry {
    Entry { path: path(text), what }
}

fn packed(pack: u64, offset: u32, len: u32) -> What {
    let pack = Pack { chunk: chunk(pack), len: 1_000_000, key: None };
    What::File { executable: false, place: Place::Packed { pack, offset, len } }
}

/// Builds a folder; gives its manifest and the nodes below it.
fn build(entries: &[Entry]) -> (Folder, BTreeMap<ChunkId, Bytes>) {
    fn store(builder: &mut FolderBuilder, nodes: Vec<PlacedNode>, stored: &mut BTreeMap<ChunkId, Bytes>) {
        for node in nodes {
            let chunk = ChunkId(Hash::of(&node.bytes));
            stored.insert(chunk, node.bytes.clone());
            let above = builder.placed(&node, Placed(chunk, None));
            store(builder, above, stored);
        }
    }
    let (mut builder, mut stored) = (FolderBuilder::default(), BTreeMap::new());
    for entry in entries {
        let nodes = builder.push(entry.clone());
        store(&mut builder, nodes, &mut stored);
    }
    loop {
        match builder.finish() {
            Built::Nodes(nodes) => store(&mut builder, nodes, &mut stored),
            Built::Folder(folder) => return (folder, stored),
        }
    }
}

/// All entries, read from the nodes.
fn read(level: u32, node: &FolderNode, stored: &BTreeMap<ChunkId, Bytes>) -> Vec<Entry> {
    match node {
        FolderNode::Leaf(leaf) => leaf.entries.clone(),
        FolderNode::Inner(inner) => inner
            .children
            .iter()
            .flat_map(|child| {
                let bytes = &stored[&child.chunk];
                assert!(bytes.len() == child.len as usize && bytes.len() <= FOLDER_NODE_MAX_BYTES);
                let entries =
                    read(level - 1, &FolderNode::decode(level - 1, Secrecy::Public, bytes).expect("our own"), stored);
                assert_eq!(entries[0].path, child.first);
                entries
            })
            .collect(),
    }
}

fn many(count: usize) -> Vec<Entry> {
    let mut entries = Vec::new();
    for nth in 0..count {
        if nth % 1000 == 0 {
            entries.push(entry(&format!("folder-{:06}", nth / 1000), What::Folder));
        }
        let text = format!("folder-{:06}/picture-{nth:09}.jpeg", nth / 1000);
        entries.push(entry(&text, packed(nth as u64 / 200, 7, 5000)));
    }
    entries
}

#[test]
fn paths_that_lead_elsewhere_are_none() {
    for (bad, why) in [
        ("", PathError::Empty),
        ("/etc/passwd", PathError::Empty),
        ("a//b", PathError::Empty),
        ("a/", PathError::Empty),
        ("../x", PathError::Dots),
        ("a/../../b", PathError::Dots),
        ("a/./b", PathError::Dots),
        ("a\0b", PathError::Zero),
    ] {
        assert_eq!(EntryPath::new(bad.as_bytes().to_vec()), Err(why), "{bad:?}");
    }
    assert_eq!(EntryPath::new(vec![b'a'; 256]), Err(PathError::TooLong));
    assert_eq!(EntryPath::new(vec![b'a'; PATH_MAX_BYTES + 1]), Err(PathError::TooLong));
    assert!(EntryPath::new("...".as_bytes()).is_ok() && EntryPath::new(&b"\xff\n"[..]).is_ok());
    assert_eq!(EntryPath::join(None, b"a/b"), Err(PathError::Empty), "one name");
    assert_eq!(EntryPath::join(Some(&path("a")), b"b"), Ok(path("a/b")));
}

#[test]
fn a_path_is_shown_without_what_a_terminal_would_obey() {
    let odd = EntryPath::new(&b"new\nline/\xff\x1b[2J/back\\slash/\xc3\xa4"[..]).expect("a path");
    assert_eq!(odd.to_string(), "new\\nline/\\xff\\u{1b}[2J/back\\\\slash/\u{e4}");
}

#[test]
fn a_folder_is_followed_by_all_that_is_in_it() {
    let mut paths = ["a.b", "a/x", "a", "a-", "a/x/y", "b", "a/x.y"].map(path);
    paths.sort();
    assert_eq!(paths, ["a", "a/x", "a/x/y", "a/x.y", "a-", "a.b", "b"].map(path));
    assert_eq!(path("a/x/y").below(&path("a")), Some(path("x/y")));
    assert_eq!(path("a.b").below(&path("a")), None);
}

#[test]
fn an_entry_lies_in_a_folder_that_came_before() {
    let accepts = |entries: &[Entry]| {
        let mut lineage = Lineage::default();
        entries.iter().map(|entry| lineage.accepts(entry)).collect::<Vec<_>>()
    };
    let link = || What::Link("/etc".into());
    let good = [
        entry("a", What::Folder),
        entry("a/b", What::Folder),
        entry("a/b/c", packed(0, 0, 1)),
        entry("a/d", link()),
        entry("e", packed(0, 1, 1)),
    ];
    assert_eq!(accepts(&good), [true; 5]);
    assert_eq!(accepts(&[entry("l", link()), entry("l/passwd", packed(0, 0, 1))]), [true, false], "through a link");
    assert_eq!(accepts(&[entry("f", packed(0, 0, 1)), entry("f/g", packed(0, 0, 1))]), [true, false]);
    assert_eq!(accepts(&[entry("a/b", packed(0, 0, 1))]), [false], "no folder");
    assert_eq!(accepts(&[entry("a", What::Folder), entry("a", What::Folder)]), [true, false], "twice");
    assert_eq!(accepts(&[entry("b", What::Folder), entry("a", What::Folder)]), [true, false], "back");
    let mut below = Lineage::below(path("a"));
    assert!(below.accepts(&entry("a/x", What::Folder)) && below.accepts(&entry("a/x/y", packed(0, 0, 1))));
    assert!(below.accepts(&entry("a/z", packed(0, 0, 1))) && !below.accepts(&entry("b", What::Folder)));
}

#[test]
fn few_entries_are_in_the_manifest_and_many_in_leaves() {
    for (count, levels) in [(0, 0), (1, 0), (900, 0), (3000, 1), (200_000, 1)] {
        let entries = many(count);
        let (folder, stored) = build(&entries);
        assert_eq!((folder.level, folder.entries), (levels, entries.len() as u64), "{count}");
        assert_eq!(folder.total_len, 5000 * count as u64);
        assert!(read(folder.level, &folder.top, &stored) == entries, "{count}");
        let manifest = Manifest::Folder(folder);
        let encoded = manifest.encode();
        assert!(encoded.len() <= MANIFEST_MAX_BYTES, "{} bytes", encoded.len());
        assert_eq!(Manifest::decode(&encoded), Ok(manifest));
    }
}

#[test]
fn a_change_leaves_the_other_leaves_as_they_were() {
    let before = many(100_000);
    let mut after = before.clone();
    let new = entry("folder-000000/a-new-one", packed(900_000, 3, 9));
    after.insert(1, new);
    let (old, new) = (build(&before).1, build(&after).1);
    let fresh = new.keys().filter(|chunk| !old.contains_key(chunk)).count();
    assert!(fresh <= 2 && new.len() > 10, "{fresh} of {} leaves are new", new.len());
}

#[test]
fn the_longest_paths_fit_too_with_a_second_level_for_them() {
    let long = |nth: usize| {
        let names: Vec<String> = (0..16).map(|level| format!("{level:0>230}")).collect();
        format!("{}/{nth:0>20}", names.join("/"))
    };
    let mut entries: Vec<Entry> = Vec::new();
    let whole = path(&long(0));
    let mut folders: Vec<EntryPath> = std::iter::successors(whole.parent(), EntryPath::parent).collect();
    folders.reverse();
    entries.extend(folders.into_iter().map(|path| Entry { path, what: What::Folder }));
    entries.extend((0..5000).map(|nth| entry(&long(nth), What::Link(vec![b'x'; 4096].into()))));
    let (folder, stored) = build(&entries);
    assert_eq!(folder.level, 2);
    assert!(read(folder.level, &folder.top, &stored) == entries);
}

#[test]
fn paths_that_unfold_to_more_than_memory_are_refused() {
    use dsn_proto as proto;
    use prost::Message;
    let first = vec![vec![b'a'; 255]; 15].join(&b'/');
    let entry = |same: usize, rest: Vec<u8>| proto::FolderEntry {
        same: u32::try_from(same).expect("small"),
        rest: rest.into(),
        kind: 1,
        ..proto::FolderEntry::default()
    };
    let mut entries = vec![entry(0, first.clone())];
    let names = (0u32..30_000).map(|nth| format!("/{nth:08}"));
    entries.extend(names.enumerate().map(|(nth, name)| match nth {
        0 => entry(first.len(), name.into_bytes()),
        _ => entry(first.len() + 1, name.into_bytes()[1..].to_vec()),
    }));
    let bytes: Bytes = proto::FolderLeaf { packs: vec![], entries }.encode_to_vec().into();
    assert!(bytes.len() < FOLDER_NODE_MAX_BYTES);
    assert!(FolderNode::decode(0, Secrecy::Public, &bytes).is_err());
}

#[test]
fn packs_end_where_bytes_say_so_and_at_sixteen_mebibytes() {
    let content = |nth: u64| {
        let mut bytes = vec![0; 16 * 1024];
        blake3::Hasher::new().update(&nth.to_le_bytes()).finalize_xof().fill(&mut bytes);
        bytes
    };
    let packs = |files: &[Vec<u8>]| {
        let (mut packing, mut packs, mut pack) = (Packing::within(16 << 20), Vec::new(), Vec::new());
        for file in files {
            if packing.ends_before(file.len()) {
                packs.push(std::mem::take(&mut pack));
                packing.begin();
            }
            assert_eq!(packing.lay(file.len()) as usize, pack.len());
            pack.extend_from_slice(file);
            if packing.ends_after(file) {
                packs.push(std::mem::take(&mut pack));
                packing.begin();
            }
        }
        packs.push(pack);
        packs
    };
    let mut files: Vec<Vec<u8>> = (0..3000).map(content).collect();
    let before = packs(&files);
    let mean = before.iter().map(Vec::len).sum::<usize>() / before.len();
    assert!((2 << 20..7 << 20).contains(&mean), "{mean} bytes in {} packs", before.len());
    files.remove(5);
    let after = packs(&files);
    let fresh = after.iter().filter(|pack| !before.contains(pack)).count();
    assert!(fresh <= 2, "{fresh} of {} packs are new", after.len());
    // 70 files of one content whose hash ends no pack.
    let equal = vec![vec![0; 65_536]; 600];
    assert!(packs(&equal).iter().all(|pack| pack.len() <= 16 << 20));
}

fn what() -> impl Strategy<Value = What> {
    prop_oneof![
        Just(What::Folder),
        vec(1u8.., 1..30).prop_map(|target| What::Link(target.into())),
        (any::<bool>(), 0u64..3, 0u32..900_000, 1u32..65_537).prop_map(|(executable, pack, offset, len)| match packed(
            pack, offset, len
        ) {
            What::File { place, .. } => What::File { executable, place },
            what => what,
        }),
        (any::<bool>(), 65_537u64..1 << 50, any::<u64>()).prop_map(|(executable, len, seed)| What::File {
            executable,
            place: Place::Alone { cid: Cid(chunk(seed)), len, key: None },
        }),
        any::<bool>().prop_map(|executable| What::File { executable, place: Place::Nowhere }),
    ]
}

fn entries() -> impl Strategy<Value = Vec<Entry>> {
    let name = vec(prop_oneof![1u8..0x2e, 0x30u8..], 1..6);
    proptest::collection::btree_map(name, what(), 0..20).prop_map(|named| {
        named.into_iter().map(|(name, what)| Entry { path: EntryPath::new(name).expect("a name"), what }).collect()
    })
}

proptest! {
    #[test]
    fn any_folder_round_trips(entries in entries()) {
        let (folder, _) = build(&entries);
        let manifest = Manifest::Folder(folder);
        prop_assert_eq!(Manifest::decode(&manifest.encode()), Ok(manifest));
    }

    #[test]
    fn a_flipped_bit_gives_another_folder_or_none(entries in entries(), bit: prop::sample::Index) {
        let manifest = Manifest::Folder(build(&entries).0);
        let flipped = testing::flipped(&manifest.encode(), bit);
        if let Ok(other) = Manifest::decode(&flipped) {
            prop_assert_ne!(&other, &manifest);
            prop_assert_eq!(other.encode(), flipped);
        }
    }

    #[test]
    fn arbitrary_nodes_never_panic(bytes in vec(any::<u8>(), 0..300), level in 0u32..3) {
        let bytes = Bytes::from(bytes);
        if let Ok(node) = FolderNode::decode(level, Secrecy::Public, &bytes) {
            prop_assert_eq!(node.encode(), bytes);
        }
    }
}
