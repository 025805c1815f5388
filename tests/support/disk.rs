//! A small disk of its own, to be filled: a file system in memory, where this user may mount one.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use tempfile::TempDir;

/// Said by tests that have to do without.
pub(crate) const SKIPPED: &str = "SKIPPED: this user may not mount a small file system to fill";

/// A mounted file system; unmounted when dropped.
pub(crate) struct SmallDisk(TempDir);

impl SmallDisk {
    /// None without leave to mount.
    pub(crate) fn mount(mib: u64) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let size = format!("size={mib}m");
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder.path()).output();
        done.is_ok_and(|done| done.status.success()).then_some(Self(folder))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn free_bytes(&self) -> u64 {
        let disk = rustix::fs::statvfs(self.path()).expect("it is mounted");
        disk.f_bavail.saturating_mul(disk.f_frsize)
    }

    /// The fewest bytes that were free at any moment while something was done.
    pub(crate) fn lowest_during(&self, work: impl FnOnce()) -> u64 {
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let watch = scope.spawn(|| {
                let mut lowest = self.free_bytes();
                while !done.load(Ordering::Relaxed) {
                    lowest = lowest.min(self.free_bytes());
                    std::thread::sleep(Duration::from_millis(1));
                }
                lowest
            });
            work();
            done.store(true, Ordering::Relaxed);
            watch.join().expect("it only looks")
        })
    }

    /// Lets a foreign file take room until so much is left; gives the file.
    pub(crate) fn fill_to(&self, left_bytes: u64) -> PathBuf {
        let path = self.path().join(format!("foreign-{left_bytes}"));
        let mut foreign = File::create(&path).expect("created");
        while self.free_bytes() > left_bytes && foreign.write_all(&[7; 64 * 1024]).is_ok() {}
        path
    }

    pub(crate) fn remove(path: &Path) {
        fs::remove_file(path).expect("it is there");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a farmer that is being killed may still have files open.
        let _gone = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}
