//! Files of pieces that a kill, or a reclaim that was stopped, left unfinished. RocksDB ends each such file with a footer before it counts on the file,
//! and since 11.x deletes none without one, for fear that it is being written (`ShouldKeepFooterlessBlobFile`): every kill
//! during a flush or a reclaim would cost its file's space for good. So a file without a footer gets one, and RocksDB,
//! which alone knows whether the file counts, deletes it when it is opened again if not.
//!
//! Invariant: only right after RocksDB opened, holding its lock, and before the first write: no file is being written.
//! Nothing is deleted or overwritten here. A file that counts and lost its end to damage keeps what it has, and becomes
//! readable up to there.

use std::{
    fs::{self, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::Path,
};

const FOOTER_BYTES: usize = 32;

/// RocksDB's footer: magic number 4, records 8 (it does not compare them), expiry from 8 and to 8, masked CRC-32C 4.
/// Little-endian.
const FOOTER: [u8; FOOTER_BYTES] = {
    let mut footer = [0; FOOTER_BYTES];
    let (magic, checksum) = (2_395_959_u32.to_le_bytes(), 0x635d_de94_u32.to_le_bytes());
    let mut at = 0;
    while at < 4 {
        footer[at] = magic[at];
        footer[FOOTER_BYTES - 4 + at] = checksum[at];
        at += 1;
    }
    footer
};

/// A header of 30 bytes and a footer. RocksDB looks at no shorter file.
const FILE_MIN_BYTES: u64 = 62;

/// Ends the unfinished files in the database's folder; says how many.
pub(super) fn finish(folder: &Path) -> io::Result<usize> {
    let mut finished = 0;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|kind| kind == "blob") && finish_file(&path)? {
            tracing::info!(path = %path.display(), "a file was left unfinished");
            finished += 1;
        }
    }
    Ok(finished)
}

fn finish_file(path: &Path) -> io::Result<bool> {
    let mut file = OpenOptions::new().read(true).append(true).open(path)?;
    if file.metadata()?.len() < FILE_MIN_BYTES {
        return Ok(false);
    }
    let mut end = [0; FOOTER_BYTES];
    file.seek(SeekFrom::End(-32))?;
    file.read_exact(&mut end)?;
    let is_footer = end[..4] == FOOTER[..4] && end[12..28] == FOOTER[12..28];
    if !is_footer {
        file.write_all(&FOOTER)?;
    }
    Ok(!is_footer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_unfinished_files_get_an_end_and_only_once() {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, len) in [("1.blob", 100), ("2.blob", 61), ("3.sst", 100)] {
            fs::write(folder.path().join(name), vec![7; len]).expect("written");
        }
        let mut whole = vec![7; 100];
        whole.extend(FOOTER);
        for finished in [1, 0] {
            assert_eq!(finish(folder.path()).expect("finished"), finished);
            assert_eq!(fs::read(folder.path().join("1.blob")).expect("there"), whole);
        }
        assert_eq!(fs::read(folder.path().join("2.blob")).expect("there"), [7; 61]);
        assert_eq!(fs::read(folder.path().join("3.sst")).expect("there"), [7; 100]);
    }
}
