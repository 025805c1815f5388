//! File systems that a test mounts for itself. Mounting takes root: without, a test says that it was skipped, and fails
//! where `DSN_MUST_MOUNT` is set, as it is in CI.

use std::{
    env,
    fs::{self, File},
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

    /// On a file that [`make_image`] has made.
    pub(crate) fn of_image(image: &Path) -> Option<Self> {
        Self::mounted(&["-o", "loop,errors=remount-ro", image.to_str().expect("a name of ours")])
    }

    /// Has the system make it read-only, whoever is writing, as on an error of the disk.
    pub(crate) fn fail(&self) {
        let output = Command::new("findmnt").args(["-no", "SOURCE"]).arg(self.path()).output().expect("findmnt");
        let device = String::from_utf8(output.stdout).expect("ASCII");
        let device = device.trim().strip_prefix("/dev/").expect("a device");
        fs::write(format!("/sys/fs/ext4/{device}/trigger_fs_error"), "a test").expect("read-only now");
    }

    /// Mounts another image in its place, whoever uses the old one: what mending and mounting anew comes to.
    pub(crate) fn replace_by(&self, image: &Path) {
        run("umount", [Path::new("-l"), self.path()]).expect("unmounted");
        run("mount", [Path::new("-o"), Path::new("loop"), image, self.path()]).expect("mounted");
    }

    /// Makes it read-only, or writable again; nobody may have a file open to write.
    pub(crate) fn remount(&self, how: &str) {
        run("mount", [Path::new("-o"), Path::new(&format!("remount,{how}")), self.path()]).expect("mounted");
    }

    fn mounted(args: &[&str]) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let mounted = run("mount", args.iter().copied().map(Path::new).chain([folder.path()]));
        or_skipped(mounted).map(|()| Self { folder })
    }

    /// Lets no write through to it until the guard is dropped; writers wait.
    pub(crate) fn freeze(&self) -> Frozen<'_> {
        run("fsfreeze", [Path::new("-f"), self.path()]).expect("frozen");
        Frozen(self)
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

/// A file system that is frozen.
pub(crate) struct Frozen<'a>(&'a Disk);

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        run("fsfreeze", [Path::new("-u"), self.0.path()]).expect("thawed");
    }
}

/// Makes a file with an empty ext4 file system, none without mkfs.ext4 (of e2fsprogs).
pub(crate) fn make_image(image: &Path, mib: u64) -> Option<()> {
    File::create(image).and_then(|file| file.set_len(mib * 1024 * 1024)).expect("created");
    or_skipped(run("mkfs.ext4", [Path::new("-q"), Path::new("-F"), image]))
}

/// Copies a file and leaves the zeros out.
pub(crate) fn copy_image(from: &Path, to: &Path) {
    run("cp", [Path::new("--sparse=always"), from, to]).expect("copied");
}

#[expect(clippy::print_stdout, reason = "a test that was skipped says so")]
fn or_skipped<T>(done: Result<T, String>) -> Option<T> {
    done.inspect_err(|reason| {
        assert!(env::var_os("DSN_MUST_MOUNT").is_none(), "a file system must be mounted: {reason}");
        println!("SKIPPED: no file system was mounted: {reason}");
    })
    .ok()
}

/// Runs a program; what it complains of when it fails.
fn run<'a>(program: &str, args: impl IntoIterator<Item = &'a Path>) -> Result<(), String> {
    let output = Command::new(program).args(args).output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}
