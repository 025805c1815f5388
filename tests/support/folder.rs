//! Copies of folders, as a user with `cp -r` makes them.

use std::{fs, path::Path};

/// Copies a folder with all in it but sockets.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).expect("writable");
    for entry in fs::read_dir(from).expect("readable").map(|entry| entry.expect("readable")) {
        let (path, copied) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &copied);
        } else if path.is_file() {
            fs::copy(path, copied).expect("writable");
        }
    }
}
