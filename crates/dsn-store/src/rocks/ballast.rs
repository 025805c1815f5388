//! A file of no use beside the database, thrown overboard when the disk is full: RocksDB needs free disk to open after a
//! failed write, to delete and to compact, which are the ways out of a full disk. It is made again once there is room.
//! Until then the store takes no pieces and no locators, which would fill the room gained; everything else goes on.
//!
//! Only stores of some size have one, so that many small ones on one disk do not fill it with ballast.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Write as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

const FILE: &str = "ballast";

/// A store without this many times the ballast in pieces has none: it costs six hundredths of the disk at most.
const PIECES_PER_BALLAST: u64 = 16;

/// Times the ballast that must be free to make it: enough for buffers to become files too.
const FREE_PER_BALLAST: u64 = 4;

/// How often to look for room: puts fail this long at most after there is some.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Bytes written at once.
const PART_BYTES: usize = 64 * 1024;

/// The file and what is known of it.
pub(super) struct Ballast {
    path: PathBuf,
    bytes: u64,
    state: State,
    last_attempt: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// None wanted, or not yet.
    Without,
    Aboard,
    /// The disk was full, and there has been no room since.
    Overboard,
}

impl Ballast {
    /// Of a store in this folder; zero bytes are none.
    pub(super) fn new(folder: &Path, bytes: u64) -> Self {
        let path = folder.join(FILE);
        let is_there = bytes > 0 && fs::metadata(&path).is_ok_and(|file| file.len() == bytes);
        let state = if is_there { State::Aboard } else { State::Without };
        Self { path, bytes, state, last_attempt: None }
    }

    /// Makes room on a full disk; says whether there was any to make.
    pub(super) fn drop_overboard(&mut self) -> bool {
        if self.state != State::Aboard {
            return false;
        }
        self.state = State::Overboard;
        match fs::remove_file(&self.path) {
            Ok(()) => tracing::warn!(bytes = self.bytes, "the disk is full: the ballast goes, no pieces are taken"),
            Err(error) => tracing::warn!(%error, "the disk is full, and the ballast stays"),
        }
        true
    }

    /// Whether the disk is too full for what is not needed to make room.
    pub(super) fn is_overboard(&self) -> bool {
        self.state == State::Overboard
    }

    /// Makes the file where it is wanted and there is room, from time to time.
    pub(super) fn look_after(&mut self, used_bytes: u64) {
        let is_wanted = match self.state {
            State::Aboard => false,
            State::Without => self.bytes > 0 && used_bytes / PIECES_PER_BALLAST >= self.bytes,
            State::Overboard => true,
        };
        if !is_wanted || self.last_attempt.is_some_and(|last| last.elapsed() < RETRY_AFTER) {
            return;
        }
        self.last_attempt = Some(Instant::now());
        if !self.is_there_room() {
            self.state = State::Overboard;
            return;
        }
        match self.make() {
            Ok(()) => {
                tracing::info!(bytes = self.bytes, "ballast for a full disk is aboard");
                self.state = State::Aboard;
            }
            Err(error) => {
                tracing::warn!(%error, "no ballast for a full disk");
                let _there_is_none = fs::remove_file(&self.path);
                let is_full = matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded);
                self.state = if is_full { State::Overboard } else { State::Without };
            }
        }
    }

    /// A file system that does not say how much is free shows it when the file is made.
    fn is_there_room(&self) -> bool {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        free_bytes(folder).is_none_or(|free| free / FREE_PER_BALLAST >= self.bytes)
    }

    /// Bytes that no file system can leave out or shorten.
    fn make(&self) -> io::Result<()> {
        let mut file = File::create(&self.path)?;
        let mut part = vec![0; PART_BYTES];
        let (mut word, mut left) = (0x9e37_79b9_7f4a_7c15_u64, self.bytes);
        while left > 0 {
            for bytes in part.chunks_exact_mut(8) {
                word ^= word << 13;
                word ^= word >> 7;
                word ^= word << 17;
                bytes.copy_from_slice(&word.to_le_bytes());
            }
            let len = usize::try_from(left).map_or(PART_BYTES, |left| left.min(PART_BYTES));
            file.write_all(&part[..len])?;
            left -= u64::try_from(len).expect("a length in memory");
        }
        file.sync_all()
    }
}

/// Bytes free on the disk of this folder, where it says.
pub(super) fn free_bytes(folder: &Path) -> Option<u64> {
    rustix::fs::statvfs(folder).ok().map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_made_for_stores_of_some_size_and_goes_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join(FILE);
        let mut ballast = Ballast::new(folder.path(), 100_000);
        ballast.look_after(1_599_999);
        assert!(!file.exists() && !ballast.drop_overboard() && !ballast.is_overboard());
        ballast.look_after(1_600_000);
        assert_eq!(fs::metadata(&file).expect("made").len(), 100_000);
        let mut again = Ballast::new(folder.path(), 100_000);
        assert!(again.drop_overboard() && again.is_overboard() && !file.exists() && !again.drop_overboard());
        again.look_after(0);
        assert!(file.exists() && !again.is_overboard(), "there is room for it");
        let none = Ballast::new(folder.path(), 0);
        assert_eq!(none.state, State::Without);
    }

    #[test]
    fn without_room_it_stays_overboard_and_is_looked_for_from_time_to_time() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut ballast = Ballast::new(folder.path(), u64::MAX / 64);
        ballast.look_after(u64::MAX);
        assert!(ballast.is_overboard() && !folder.path().join(FILE).exists());
        ballast.bytes = 10;
        ballast.look_after(0);
        assert!(ballast.is_overboard(), "looked a moment ago");
        ballast.last_attempt = None;
        ballast.look_after(0);
        assert!(!ballast.is_overboard());
    }
}
