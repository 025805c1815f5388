//! The folder of keys and data: where it is, of which format, and who has it open. The keys in it: `keys`.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Write},
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
                // Renamed into place: another first command never reads half of it.
                let fresh = self.path(&format!("FORMAT.new-{}", std::process::id()));
                fs::write(&fresh, format!("{FORMAT}\n")).and_then(|()| fs::rename(&fresh, &path)).map_err(disk)
            }
            Err(error) => Err(disk(error)),
        }
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
