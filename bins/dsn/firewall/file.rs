//! The file of rules made by command: read as a whole or not at all, replaced as a whole. One command changes it at a time.

use std::{
    fs::{self, OpenOptions},
    io::ErrorKind,
};

use dsn_cli::{Exit, Failure};
use dsn_core::firewall::RuleBook;

use crate::folder::Folder;

/// In the folder.
const FILE: &str = "firewall.rules";

/// Locked while a command changes it; the file itself is replaced and carries no lock.
const LOCK: &str = "firewall.lock";

/// The rules; none when there is no file. A file that is not understood is an error: which rules it held, nobody knows.
pub(super) fn read(folder: &Folder) -> Result<RuleBook, Failure> {
    let path = folder.path(FILE);
    let shown = path.display();
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(RuleBook::default());
        }
        Err(error) => return Err(Failure::of(Exit::Disk, &error).named(format!("cannot read the rules in {shown}"))),
    };
    let corrupt = |cause: String| {
        Failure::new(Exit::Configuration, format!("the rules of the firewall in {shown} are damaged"))
            .because(cause)
            .hint("nothing is let in or out on a guess: mend the file, or remove it and make the rules again")
    };
    let text = String::from_utf8(bytes).map_err(|error| corrupt(error.to_string()))?;
    RuleBook::from_text(&text).map_err(|error| corrupt(error.to_string()))
}

/// Changes the rules; another command that wants to waits.
pub(super) fn change<T>(
    folder: &Folder,
    change: impl FnOnce(&mut RuleBook) -> Result<T, Failure>,
) -> Result<T, Failure> {
    folder.open()?;
    let disk = |error: std::io::Error| Failure::of(Exit::Disk, &error).named("cannot write the rules of the firewall");
    let lock = OpenOptions::new().write(true).create(true).truncate(false).open(folder.path(LOCK)).map_err(disk)?;
    lock.lock().map_err(disk)?;
    let mut book = read(folder)?;
    let done = change(&mut book)?;
    folder.replace(FILE, book.to_text().as_bytes()).map_err(disk)?;
    Ok(done)
}
