//! Vectors of folders: manifests with a leaf and with an inner node, a leaf of its own, and where a tree is cut.

use bytes::Bytes;
use dsn_core::{
    cid::Cid,
    folder::{
        Built, Child, Entry, EntryPath, Folder, FolderBuilder, FolderNode, Inner, Leaf, Pack, Place, Placed,
        PlacedNode, Secrecy, What,
    },
    hash::{ChunkId, Hash},
    manifest::Manifest,
};

use crate::{VALID, Vector, check_bytes};

fn path(bytes: &[u8]) -> EntryPath {
    EntryPath::new(bytes.to_vec()).expect(VALID)
}

fn chunk(byte: u8) -> ChunkId {
    ChunkId(Hash([byte; 32]))
}

fn packed(pack: u8, offset: u32, len: u32) -> Place {
    Place::Packed { pack: Pack { chunk: chunk(pack), len: 100_000, key: None }, offset, len }
}

fn entries() -> Vec<Entry> {
    let entry = |name: &[u8], what| Entry { path: path(name), what };
    let file = |executable, place| What::File { executable, place };
    vec![
        entry(b"a", What::Folder),
        entry(b"a/alone", file(false, Place::Alone { cid: Cid(chunk(1)), len: 65_537, key: None })),
        entry(b"a/run", file(true, packed(2, 0, 65_536))),
        entry(b"a/\xff\n", file(false, packed(2, 65_536, 1))),
        entry(b"a.link", What::Link(Bytes::from_static(b"../elsewhere"))),
        entry(b"b", file(false, Place::Nowhere)),
        entry(b"c", file(false, packed(3, 7, 9))),
    ]
}

pub(crate) fn vectors() -> Vec<Vector> {
    let manifest = |bytes| Manifest::decode(&bytes).expect(VALID).encode();
    let leaf = |bytes| FolderNode::decode(0, Secrecy::Public, &bytes).expect(VALID).encode();
    let top = FolderNode::Leaf(Leaf { entries: entries() });
    let total_len = entries().iter().map(Entry::len).sum();
    let of = |name, bytes, again| Vector { name, bytes, again };
    let child = |name: &[u8], byte| Child { first: path(name), chunk: chunk(byte), len: 1000, key: None };
    let inner = FolderNode::Inner(Inner { children: vec![child(b"a", 4), child(b"m/n", 5)] });
    vec![
        of("folder-leaf", top.encode(), leaf),
        of("manifest-folder", Manifest::Folder(Folder { entries: 7, total_len, level: 0, top }).encode(), manifest),
        of(
            "manifest-folder-inner",
            Manifest::Folder(Folder { entries: 9000, total_len: 1 << 40, level: 1, top: inner }).encode(),
            manifest,
        ),
    ]
}

/// The nodes of a tree of 15,000 entries, in the order in which they are complete.
pub(crate) fn cuts() -> String {
    fn store(builder: &mut FolderBuilder, nodes: Vec<PlacedNode>, lines: &mut Vec<String>) {
        for node in nodes {
            lines.push(format!("node {} bytes {}", node.bytes.len(), Hash::of(&node.bytes)));
            let above = builder.placed(&node, Placed(ChunkId(Hash::of(&node.bytes)), None));
            store(builder, above, lines);
        }
    }
    let (mut builder, mut lines) = (FolderBuilder::default(), Vec::new());
    for nth in 0..15_000u32 {
        let path = path(format!("picture {nth:06}").as_bytes());
        let what = What::File { executable: false, place: packed(9, 0, nth + 1) };
        let nodes = builder.push(Entry { path, what });
        store(&mut builder, nodes, &mut lines);
    }
    loop {
        match builder.finish() {
            Built::Nodes(nodes) => store(&mut builder, nodes, &mut lines),
            Built::Folder(folder) => {
                lines.push(format!("manifest {}\n", Hash::of(&Manifest::Folder(folder).encode())));
                return lines.join("\n");
            }
        }
    }
}

#[test]
fn folders_are_the_bytes_they_were() {
    vectors().iter().for_each(check_bytes);
}
