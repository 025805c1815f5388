//! Sticks with what a careless or a hostile hand leaves on them.

use std::fs;

use bytes::BytesMut;
use dsn_core::{
    descriptor::Code,
    erasure::{EncodedChunk, encode},
    hash::Hash,
};
use tempfile::TempDir;

use super::*;
use crate::archive::Archive;

const LEN: usize = 100_000;

fn chunk() -> EncodedChunk {
    let bytes: Vec<u8> = (0..LEN).map(|i| u8::try_from(i * i % 251).unwrap()).collect();
    encode(Code::Rs16Of48, BytesMut::from(&bytes[..]))
}

fn cid() -> Cid {
    Cid(ChunkId(Hash::of(b"some file")))
}

/// A stick with these pieces, and the folder of the chunk on it.
fn stick(chunk: &EncodedChunk, indices: &str) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let archive = Archive::new(dir.path(), cid()).unwrap();
    let wanted: IndexSet = indices.parse().unwrap();
    let pieces: Vec<_> = chunk.pieces.iter().filter(|piece| wanted.contains(piece.index())).cloned().collect();
    archive.write(&chunk.descriptor, &pieces).unwrap();
    assert_eq!(archive.kept(&chunk.descriptor, IndexSet::below(48)), wanted);
    let folder = archive.folder(chunk.descriptor.id());
    (dir, folder)
}

fn shelf(dirs: &[&Path]) -> Shelf {
    let dirs: Vec<PathBuf> = dirs.iter().map(|dir| dir.to_path_buf()).collect();
    Shelf::open(&dirs, Identity::from_seed([7; 32]), "main".parse().unwrap()).unwrap()
}

/// What is said to be there, as a client of the network counts it.
fn located(shelf: &Shelf, chunk: ChunkId) -> Option<String> {
    let locator = shelf.0.locate(chunk)?.verify(&"main".parse().unwrap(), 0);
    Some(locator.holders().into_values().fold(IndexSet::EMPTY, IndexSet::union).to_string())
}

/// What is served when everything is asked for.
fn fetched(shelf: &Shelf, chunk: &EncodedChunk) -> String {
    let want = Want { chunk: chunk.descriptor.id(), indices: chunk.descriptor.all_indices() };
    let parts = shelf.0.fetch(&[want]);
    assert!(parts.iter().all(|part| part.bytes == *chunk.pieces[usize::from(part.index)].bytes()), "true bytes only");
    parts.iter().map(|part| part.index).collect::<IndexSet>().to_string()
}

#[test]
fn sticks_add_up_wherever_the_folders_lie() {
    let chunk = chunk();
    let ((a, _), (b, _)) = (stick(&chunk, "0-7"), stick(&chunk, "5-9,47"));
    let deep = tempfile::tempdir().unwrap();
    let inner = deep.path().join("backup/of b");
    fs::create_dir_all(&inner).unwrap();
    fs::rename(b.path().join(cid().to_string()), inner.join(cid().to_string())).unwrap();
    let shelf = shelf(&[a.path(), deep.path()]);
    assert_eq!(shelf.cids().collect::<Vec<_>>(), [cid()]);
    assert_eq!(located(&shelf, chunk.descriptor.id()).as_deref(), Some("0-9,47"));
    assert_eq!(fetched(&shelf, &chunk), "0-9,47");
    assert_eq!(located(&shelf, ChunkId(Hash::of(b"another"))), None);
    assert!(shelf.damaged().is_empty());
}

#[test]
fn pieces_that_are_not_what_they_should_be_are_named_and_never_served() {
    let chunk = chunk();
    let (dir, folder) = stick(&chunk, "0-15");
    let mut flipped = fs::read(folder.join("03.piece")).unwrap();
    flipped[100] ^= 1;
    fs::write(folder.join("03.piece"), flipped).unwrap();
    fs::rename(folder.join("04.piece"), folder.join("20.piece")).unwrap();
    fs::write(folder.join("05.piece"), b"short").unwrap();
    fs::write(folder.join("06.piece"), vec![0; 10 << 20]).unwrap();
    fs::remove_file(folder.join("07.piece")).unwrap();
    std::os::unix::fs::symlink("08.piece", folder.join("07.piece")).unwrap();
    fs::remove_file(folder.join("09.piece")).unwrap();
    fs::create_dir(folder.join("09.piece")).unwrap();
    for ignored in ["48.piece", "255.piece", "1.piece", "notes.txt", "10.piece.dsn-part"] {
        fs::write(folder.join(ignored), "").unwrap();
    }
    let shelf = shelf(&[dir.path()]);
    assert_eq!(located(&shelf, chunk.descriptor.id()).as_deref(), Some("0-3,8,10-15,20"), "before any was read");
    assert_eq!(fetched(&shelf, &chunk), "0-2,8,10-15");
    assert_eq!(located(&shelf, chunk.descriptor.id()).as_deref(), Some("0-2,8,10-15"));
    let damaged: Vec<_> = shelf.damaged().iter().map(|p| p.file_name().unwrap().to_owned()).collect();
    assert_eq!(damaged, ["03.piece", "05.piece", "06.piece", "07.piece", "09.piece", "20.piece"]);
    assert_eq!(shelf.spoilt(chunk.descriptor.id()).to_string(), "3,5-7,9,20");
}

#[test]
fn a_damaged_piece_is_replaced_by_its_copy_and_by_another_export() {
    let chunk = chunk();
    let ((a, folder), (b, _)) = (stick(&chunk, "0-15"), stick(&chunk, "3"));
    fs::write(folder.join("03.piece"), vec![0; chunk.descriptor.piece_len()]).unwrap();
    let both = shelf(&[a.path(), b.path()]);
    assert_eq!((fetched(&both, &chunk).as_str(), both.damaged().len()), ("0-15", 1));
    assert!(both.spoilt(chunk.descriptor.id()).is_empty());
    let archive = Archive::new(a.path(), cid()).unwrap();
    let wanted = IndexSet::below(16);
    assert_eq!(wanted.minus(archive.kept(&chunk.descriptor, wanted)).to_string(), "3");
    archive.write(&chunk.descriptor, &chunk.pieces[3..4]).unwrap();
    assert_eq!(fetched(&shelf(&[a.path()]), &chunk), "0-15");
}

#[test]
fn a_descriptor_of_another_chunk_or_of_any_length_counts_for_nothing() {
    let chunk = chunk();
    let other = encode(Code::Rs16Of48, BytesMut::from(&b"another chunk"[..]));
    for wrong in [other.descriptor.encoded().to_vec(), Vec::new(), vec![0; 3 << 20], vec![0xff; 1600]] {
        let (dir, folder) = stick(&chunk, "0-15");
        fs::write(folder.join("descriptor"), wrong).unwrap();
        let shelf = shelf(&[dir.path()]);
        assert_eq!(located(&shelf, chunk.descriptor.id()), None);
        assert_eq!(fetched(&shelf, &chunk), "none");
        assert_eq!(shelf.damaged(), [folder.join("descriptor")]);
        assert_eq!(shelf.spoilt(chunk.descriptor.id()).to_string(), "0-15");
    }
}

#[test]
fn a_folder_that_is_not_there_is_no_stick() {
    let missing = Path::new("/nonexistent/stick");
    assert!(matches!(Archive::new(missing, cid()), Err(crate::output::OutputError::Write { .. })));
    let opened = Shelf::open(&[missing.into()], Identity::from_seed([7; 32]), "main".parse().unwrap());
    assert!(matches!(opened, Err(InputError::Read { .. })));
}
