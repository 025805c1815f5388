//! The folder of keys and data: where it is, of which format, and who has it open. The keys in it: `keys`.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use dsn_cli::{Exit, Failure};

/// The folder's own format.
const FORMAT: u32 = 1;

/// The folder of keys and data.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    root: PathBuf,
}

/// Who may read a file of the folder besides its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readers {
    /// Whoever the user lets read files.
    Usual,
    /// Nobody.
    None,
}

/// Held while a farmer runs in the folder.
pub(crate) struct FarmerLock {
    _file: File,
}

impl Folder {
    /// `--dir`, else `DSN_DIR`, else the platform's data folder.
    pub(crate) fn find(flag: Option<PathBuf>) -> Result<Self, Failure> {
        let set = flag.or_else(|| std::env::var_os("DSN_DIR").filter(|dir| !dir.is_empty()).map(PathBuf::from));
        let usual = || directories::ProjectDirs::from("", "", "dsn").map(|dirs| dirs.data_dir().to_path_buf());
        let root = set.or_else(usual).ok_or_else(|| {
            Failure::new(Exit::Configuration, "there is no data folder: this user has no home")
                .hint("choose one with --dir DIR or DSN_DIR")
        })?;
        Ok(Self { root })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Its path, for messages.
    pub(crate) fn shown(&self) -> std::path::Display<'_> {
        self.root.display()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Makes the folder if it is not there, and checks that this program may touch it.
    pub(crate) fn open(&self) -> Result<(), Failure> {
        let disk = |error: std::io::Error| {
            Failure::of(Exit::Disk, &error)
                .hint("choose another data folder with --dir DIR or DSN_DIR")
                .named(format!("cannot use the data folder {}", self.shown()))
        };
        fs::create_dir_all(&self.root).map_err(disk)?;
        let path = self.path("FORMAT");
        match fs::read_to_string(&path) {
            Ok(text) => match text.trim().parse::<u32>() {
                Ok(found) if found <= FORMAT => Ok(()),
                Ok(found) => Err(Failure::new(
                    Exit::Configuration,
                    format!("{} has format {found}, this binary knows <= {FORMAT}", self.shown()),
                )
                .hint("use the newer dsn that made it; nothing was touched")),
                Err(_) => Err(Failure::new(Exit::Configuration, format!("{} is not readable", path.display()))),
            },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                self.replace("FORMAT", format!("{FORMAT}\n").as_bytes()).map_err(disk)
            }
            Err(error) => Err(disk(error)),
        }
    }

    /// Writes a file as a whole: whoever reads it, and whatever ends this process or the machine, it is the old one or the new.
    pub(crate) fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.settle(&self.write_fresh(name, bytes, Readers::Usual)?, name)
    }

    /// Changes a list as text, which is empty when there is none yet; one command at a time.
    pub(crate) fn change(&self, name: &str, work: impl FnOnce(&str) -> String) -> io::Result<()> {
        let lock = File::create(self.path(&format!("{name}.lock")))?;
        lock.lock()?;
        let text = fs::read_to_string(self.path(name)).unwrap_or_default();
        self.replace(name, work(&text).as_bytes())
    }

    /// Writes a file under a name of this process, to be given its own; it is durable, and gone if that fails.
    pub(crate) fn write_fresh(&self, name: &str, bytes: &[u8], readers: Readers) -> io::Result<PathBuf> {
        let fresh = self.path(&format!("{name}.new-{}", std::process::id()));
        let mode = match readers {
            Readers::Usual => 0o666,
            Readers::None => 0o600,
        };
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&fresh);
        let written = file.and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        });
        written.map(|()| fresh.clone()).inspect_err(|_| drop(fs::remove_file(&fresh)))
    }

    /// Gives what was written the name in which it takes the place of an older one.
    pub(crate) fn settle(&self, fresh: &Path, name: &str) -> io::Result<()> {
        fs::rename(fresh, self.path(name)).inspect_err(|_| drop(fs::remove_file(fresh)))?;
        self.sync()
    }

    /// Makes names durable: those of files are their folder's.
    pub(crate) fn sync(&self) -> io::Result<()> {
        File::open(&self.root)?.sync_all()
    }

    /// Locks the folder for the one farmer that may run in it.
    pub(crate) fn lock_farmer(&self) -> Result<FarmerLock, Failure> {
        let path = self.path("farmer.lock");
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file =
            open.map_err(|e| Failure::of(Exit::Disk, &e).named(format!("cannot open {}", path.display())))?;
        if file.try_lock().is_err() {
            let mut pid = String::new();
            // An unreadable pid only makes the message shorter.
            let _unread = file.read_to_string(&mut pid);
            let error = format!("a farmer already runs in {} (pid {})", self.shown(), pid.trim());
            return Err(Failure::new(Exit::AlreadyRunning, error).hint("use another folder with --dir DIR, or stop it"));
        }
        let written = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        written.map_err(|error| Failure::of(Exit::Disk, &error))?;
        Ok(FarmerLock { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn files(folder: &Folder) -> Vec<String> {
        let names = fs::read_dir(folder.root()).unwrap().map(|entry| entry.unwrap().file_name());
        names.map(|name| name.into_string().unwrap()).collect()
    }

    #[test]
    fn a_file_is_replaced_as_a_whole_or_not_at_all() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder { root: root.path().into() };
        for text in ["old and long", "new", ""] {
            folder.replace("list", text.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(folder.path("list")).unwrap(), text);
            assert_eq!(files(&folder), ["list"], "nothing else is left");
        }
        // Where a folder has the name, nothing can be renamed to it.
        fs::create_dir(folder.path("taken")).unwrap();
        fs::write(folder.path("taken/file"), "").unwrap();
        assert!(folder.replace("taken", b"x").is_err());
        assert!(folder.path("taken/file").exists() && files(&folder).len() == 2, "{:?}", files(&folder));
        let missing = Folder { root: root.path().join("missing") };
        assert_eq!(missing.replace("list", b"x").unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_secret_is_never_anybody_elses_to_read() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder { root: root.path().into() };
        let fresh = folder.write_fresh("key", b"secret", Readers::None).unwrap();
        assert_eq!(fs::metadata(&fresh).unwrap().permissions().mode() & 0o777, 0o600, "before it has its name");
        folder.settle(&fresh, "key").unwrap();
        assert_eq!(fs::metadata(folder.path("key")).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(files(&folder), ["key"]);
    }
}
