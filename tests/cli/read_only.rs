//! A farmer whose disk the system makes read-only while it runs, as ext4 does on an error, and mended under it.

use std::{fs, path::Path, process::Command};

use serde_json::Value;

use crate::{
    MIB,
    network::{TestNetwork, dsn, output, shown},
    until,
};

/// A file system in a file, mounted where a farmer has its store; unmounted when dropped.
struct StoreDisk<'a> {
    folder: &'a Path,
}

impl<'a> StoreDisk<'a> {
    /// With what lies in the folder. None where mounting is not permitted; fails there if it should be.
    #[expect(clippy::print_stderr, reason = "a test that was skipped says so")]
    fn mount(image: &Path, folder: &'a Path) -> Option<Self> {
        fs::File::create(image).and_then(|file| file.set_len(512 * MIB as u64)).expect("created");
        let made = run("mkfs.ext4", &["-q", "-F", "-d", text(folder), text(image)]);
        if let Err(reason) =
            made.and_then(|()| run("mount", &["-o", "loop,errors=remount-ro", text(image), text(folder)]))
        {
            assert!(std::env::var_os("DSN_MUST_MOUNT").is_none(), "a file system must be mounted: {reason}");
            eprintln!("SKIPPED: no file system was mounted: {reason}");
            return None;
        }
        Some(Self { folder })
    }

    fn fail(&self) {
        let device = Command::new("findmnt").args(["-no", "SOURCE"]).arg(self.folder).output().expect("findmnt").stdout;
        let device = String::from_utf8(device).expect("ASCII");
        let name = device.trim().strip_prefix("/dev/").expect("a device");
        fs::write(format!("/sys/fs/ext4/{name}/trigger_fs_error"), "a test").expect("read-only now");
    }

    fn replace_by(&self, image: &Path) {
        run("umount", &["-l", text(self.folder)]).expect("unmounted");
        run("mount", &["-o", "loop", text(image), text(self.folder)]).expect("mounted");
    }
}

impl Drop for StoreDisk<'_> {
    fn drop(&mut self) {
        let _gone = run("umount", &["-l", text(self.folder)]);
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a name of ours")
}

fn run(program: &str, args: &[&str]) -> Result<(), String> {
    let done = Command::new(program).args(args).output().map_err(|error| format!("{program}: {error}"))?;
    if done.status.success() { Ok(()) } else { Err(format!("{program}: {}", shown(&done))) }
}

fn status(dir: &Path) -> Value {
    serde_json::from_slice(&output(dsn(dir).args(["status", "--json"])).stdout).expect("JSON")
}

#[test]
fn a_farmer_serves_while_its_disk_is_read_only_and_takes_pieces_once_it_is_not() {
    let mut network = TestNetwork::start(3);
    let (image, mended) = (network.path("image"), network.path("mended"));
    network.kill(0);
    let dir = network.farmers[0].dir.clone();
    let store = dir.join("store");
    let Some(disk) = StoreDisk::mount(&image, &store) else { return };
    network.restart(0);
    let first = network.file("first", 20 * MIB);
    until("it takes pieces", || {
        network.put(&first);
        status(&dir)["pieces"].as_u64() > Some(0)
    });
    let cid = network.put(&first)["cid"].as_str().unwrap().to_owned();
    let before = status(&dir);
    assert_eq!(before["problems"], serde_json::json!([]), "{before}");

    disk.fail();
    // Two farmers are not enough for what a put promises, or just enough; what matters is who takes nothing.
    let _put = output(network.dsn().args(["put"]).arg(network.file("second", 20 * MIB)));
    let failing = status(&dir);
    assert_eq!(
        failing["problems"],
        serde_json::json!(["the store takes no writes: the file system is read-only"]),
        "{failing}"
    );
    assert_eq!(failing["pieces"], before["pieces"], "it takes nothing");
    let table = output(dsn(&dir).arg("status"));
    let says = "problem       the store takes no writes: the file system is read-only\n";
    assert!(String::from_utf8_lossy(&table.stdout).contains(says), "{}", shown(&table));
    network.kill(1);
    network.kill(2);
    network.get_same(&cid, &first);

    assert!(Command::new("cp").arg("--sparse=always").args([&image, &mended]).status().unwrap().success());
    disk.replace_by(&mended);
    network.restart(1);
    network.restart(2);
    until("it takes pieces again", || {
        let _put = output(network.dsn().args(["put"]).arg(network.file("third", 5 * MIB)));
        status(&dir)["pieces"].as_u64() > before["pieces"].as_u64()
    });
    assert_eq!(status(&dir)["problems"], serde_json::json!([]));
    network.get_same(&cid, &first);
    network.kill(0);
}
