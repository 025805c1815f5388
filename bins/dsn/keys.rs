//! The keys in the folder: made when they are needed, kept from others, never replaced. Other secrets likewise, of which
//! some are.

use std::{
    fs::File,
    io::{ErrorKind, Read},
    os::unix::fs::PermissionsExt,
};

use data_encoding::HEXLOWER_PERMISSIVE;
use dsn_cli::{Exit, Failure};
use dsn_core::identity::Identity;

use crate::{
    folder::{Folder, Readers},
    runtime::fill_random,
};

/// Bytes of a secret that are read: the longest is an invitation.
const SECRET_MAX_BYTES: u64 = 64 * 1024;

/// What becomes of a secret that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Existing {
    /// It is kept, and writing another is an error.
    Stays,
    /// It is replaced as a whole.
    GivesWay,
}

impl Folder {
    /// The key of that name; made when there is none.
    pub(crate) fn key(&self, name: &str) -> Result<Identity, Failure> {
        self.seed(name).map(Identity::from_seed)
    }

    /// The key of that name, if there is one.
    pub(crate) fn existing_key(&self, name: &str) -> Result<Option<Identity>, Failure> {
        Ok(self.existing_seed(name)?.map(Identity::from_seed))
    }

    /// 32 secret bytes of that name; drawn when there are none.
    pub(crate) fn seed(&self, name: &str) -> Result<[u8; 32], Failure> {
        self.open()?;
        if let Some(seed) = self.existing_seed(name)? {
            return Ok(seed);
        }
        let mut seed = [0; 32];
        fill_random(&mut seed);
        let text = format!("{}\n", HEXLOWER_PERMISSIVE.encode(&seed));
        match self.write_secret(name, &text, Existing::Stays) {
            Ok(()) => Ok(seed),
            // Two first commands at once: the other one was faster.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                self.existing_seed(name)?.ok_or_else(|| Failure::of(Exit::Disk, &error))
            }
            Err(error) => {
                Err(Failure::of(Exit::Disk, &error).named(format!("cannot write {}", self.path(name).display())))
            }
        }
    }

    fn existing_seed(&self, name: &str) -> Result<Option<[u8; 32]>, Failure> {
        let Some(text) = self.secret(name)? else { return Ok(None) };
        let bytes = HEXLOWER_PERMISSIVE.decode(text.trim().as_bytes()).unwrap_or_default();
        let corrupt = |_| {
            let shown = self.path(name);
            Failure::new(Exit::Key, format!("the key {} is damaged: it is not 64 hexadecimal digits", shown.display()))
                .hint("restore it from a backup; without it this node is a new one")
        };
        Ok(Some(<[u8; 32]>::try_from(bytes).map_err(corrupt)?))
    }

    /// The text of a file that nobody else may read, if there is one; empty when it is none.
    pub(crate) fn secret(&self, name: &str) -> Result<Option<String>, Failure> {
        let path = self.path(name);
        let shown = path.display();
        let mut file = match File::open(&path) {
            Ok(file) => file,
            // Where there is not even a folder, whoever needs one says what is wrong with it.
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
            Err(error) => return Err(Failure::of(Exit::Key, &error).named(format!("cannot read the key {shown}"))),
        };
        let mode = file.metadata().map_or(0, |meta| meta.permissions().mode());
        if mode & 0o077 != 0 {
            let error = format!("the key {shown} is readable by others (mode {:03o})", mode & 0o777);
            return Err(Failure::new(Exit::Key, error).hint(format!("chmod 600 {shown}")));
        }
        let mut text = String::new();
        let read = (&mut file).take(SECRET_MAX_BYTES).read_to_string(&mut text);
        Ok(Some(if read.is_ok() { text } else { String::new() }))
    }

    /// Writes a secret as a whole: nobody ever reads half of one, and nobody else any.
    pub(crate) fn write_secret(&self, name: &str, text: &str, existing: Existing) -> std::io::Result<()> {
        let fresh = self.write_fresh(name, text.as_bytes(), Readers::None)?;
        match existing {
            Existing::GivesWay => self.settle(&fresh, name),
            Existing::Stays => {
                let linked = std::fs::hard_link(&fresh, self.path(name));
                std::fs::remove_file(&fresh)?;
                linked?;
                self.sync()
            }
        }
    }
}
