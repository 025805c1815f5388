//! File systems that a test mounts for itself. Mounting takes root: without, a test says that it was skipped, and fails
//! where `DSN_MUST_MOUNT` is set, as it is in CI.

use std::{
    env,
    fs::File,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

/// A mounted file system; unmounted when dropped.
pub(crate) struct Disk {
    folder: TempDir,
}

impl Disk {
    /// In memory, of this size; none without the right to mount.
    pub(crate) fn in_memory(mib: usize) -> Option<Self> {
        let size = format!("size={mib}m");
        Self::mounted(&["-t", "tmpfs", "-o", &size, "tmpfs"])
    }

    #[expect(clippy::print_stdout, reason = "a test that was skipped says so")]
    fn mounted(args: &[&str]) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        match run("mount", args.iter().copied().map(Path::new).chain([folder.path()])) {
            Ok(()) => Some(Self { folder }),
            Err(reason) => {
                assert!(env::var_os("DSN_MUST_MOUNT").is_none(), "a file system must be mounted: {reason}");
                println!("SKIPPED: no file system was mounted: {reason}");
                None
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Where a store goes.
    pub(crate) fn store(&self) -> PathBuf {
        self.path().join("store")
    }

    /// Takes all the room that is left; gives the file that has it.
    pub(crate) fn fill(&self) -> PathBuf {
        let path = self.path().join("junk");
        let mut junk = File::create(&path).expect("created");
        while junk.write_all(&[7; 4096]).is_ok() {}
        path
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let unmounted = run("umount", [Path::new("-l"), self.path()]);
        assert!(unmounted.is_ok() || std::thread::panicking(), "{unmounted:?}");
    }
}

/// Runs a program; what it complains of when it fails.
fn run<'a>(program: &str, args: impl IntoIterator<Item = &'a Path>) -> Result<(), String> {
    let output = Command::new(program).args(args).output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}
