//! The folder of keys and data: where it is, the keys in it, and who has it open.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use data_encoding::HEXLOWER_PERMISSIVE;
use dsn_cli::{Exit, Failure};
use dsn_core::identity::Identity;

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
                fs::write(&path, format!("{FORMAT}\n")).map_err(disk)
            }
            Err(error) => Err(disk(error)),
        }
    }

    /// The key of that name; made when there is none.
    pub(crate) fn key(&self, name: &str) -> Result<Identity, Failure> {
        self.open()?;
        let path = self.path(name);
        if let Some(identity) = self.existing_key(name)? {
            return Ok(identity);
        }
        let mut seed = [0; 32];
        crate::runtime::fill_random(&mut seed);
        let create = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let written = create.and_then(|mut file| {
            file.write_all(format!("{}\n", HEXLOWER_PERMISSIVE.encode(&seed)).as_bytes())?;
            file.sync_all()
        });
        match written {
            Ok(()) => Ok(Identity::from_seed(seed)),
            // Two first commands at once: the other one was faster.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                self.existing_key(name)?.ok_or_else(|| Failure::of(Exit::Disk, &error))
            }
            Err(error) => Err(Failure::of(Exit::Disk, &error).named(format!("cannot write {}", path.display()))),
        }
    }

    /// The key of that name, if there is one.
    pub(crate) fn existing_key(&self, name: &str) -> Result<Option<Identity>, Failure> {
        let path = self.path(name);
        let shown = path.display();
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Failure::of(Exit::Key, &error).named(format!("cannot read the key {shown}"))),
        };
        let mode = file.metadata().map_or(0, |meta| meta.permissions().mode());
        if mode & 0o077 != 0 {
            let error = format!("the key {shown} is readable by others (mode {:03o})", mode & 0o777);
            return Err(Failure::new(Exit::Key, error).hint(format!("chmod 600 {shown}")));
        }
        let mut text = String::new();
        let seed = file.read_to_string(&mut text).ok().and_then(|_| {
            let bytes = HEXLOWER_PERMISSIVE.decode(text.trim().as_bytes()).ok()?;
            <[u8; 32]>::try_from(bytes).ok()
        });
        let corrupt = || {
            Failure::new(Exit::Key, format!("the key {shown} is damaged: it is not 64 hexadecimal digits"))
                .hint("restore it from a backup; without it this node is a new one")
        };
        seed.map(|seed| Some(Identity::from_seed(seed))).ok_or_else(corrupt)
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
