//! Puts a version of a folder in place of the one that is there, so that there is always one of both, whole, and nothing
//! that somebody has changed is lost. The new one is complete and written down as `DIR.dsn-sync` before the two change
//! places; what was there before has that name then, and is looked at once more before it goes. What is found under that
//! name later may thus be somebody's; what is called `DIR.dsn-sync-new` is ours to take away, whatever it is.

use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
};

use dsn_cli::{Exit, Failure};
use dsn_client::tree::{exchange, fingerprint};
use dsn_core::name::Name;

use super::replica::{Replica, Version};
use crate::failures;

/// What is in the place of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum There {
    /// Nothing.
    Nothing,
    /// A folder with this hash.
    Folder(String),
}

/// The name beside a folder that ends so.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    name.into()
}

/// Where a version is fetched to: nobody's but ours.
pub(super) fn fresh(replica: &Replica) -> PathBuf {
    beside(&replica.path, ".dsn-sync-new")
}

/// Where it is just before the folders change places, and the other one after it.
fn ready(replica: &Replica) -> PathBuf {
    beside(&replica.path, ".dsn-sync")
}

fn failed(path: &Path) -> impl Fn(io::Error) -> Failure {
    let shown = path.display().to_string();
    move |error| Failure::of(Exit::Disk, &error).named(format!("cannot replace {shown}"))
}

fn changed(path: &Path) -> Failure {
    Failure::new(Exit::Usage, format!("{} is not what the last sync left there", path.display()))
        .hint("save what was changed elsewhere, or give it up with --force; nothing was touched")
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none())
}

/// The hash of a folder.
pub(super) async fn print(path: &Path) -> Result<String, Failure> {
    fingerprint(path).await.map(|hash| hash.to_string()).map_err(|error| failures::input(&error))
}

/// What is there; an error when that is something that no sync has left, unless it may be given up.
pub(super) async fn look(replica: &mut Replica, name: Name, force: bool) -> Result<There, Failure> {
    clean(replica, name, force).await?;
    let Ok(meta) = replica.path.symlink_metadata() else { return Ok(There::Nothing) };
    if !meta.is_dir() {
        return Err(Failure::new(Exit::Usage, format!("{} is no folder", replica.path.display())));
    }
    let found = match print(&replica.path).await {
        Ok(found) => found,
        Err(_) if force => return Ok(There::Folder(String::new())), // it goes, whatever it is
        Err(failure) => return Err(changed(&replica.path).because(failure.error)),
    };
    replica.settle(name, &found)?;
    if force || is_empty(&replica.path) || replica.version(name, &found).is_some() {
        return Ok(There::Folder(found));
    }
    Err(changed(&replica.path))
}

fn remove(folder: &Path) -> Result<(), Failure> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(folder)(error)),
        _ => Ok(()),
    }
}

/// Takes away what had its place beside the folder. It is renamed first: half of it would be taken for somebody's changes.
fn give_up(replica: &Replica) -> Result<(), Failure> {
    let (fresh, ready) = (fresh(replica), ready(replica));
    remove(&fresh)?;
    fs::rename(&ready, &fresh).map_err(failed(&ready))?;
    remove(&fresh)
}

/// Takes away what a run that was killed has left beside the folder, unless it is something that no sync has written.
async fn clean(replica: &Replica, name: Name, force: bool) -> Result<(), Failure> {
    remove(&fresh(replica))?;
    let ready = ready(replica);
    if ready.symlink_metadata().is_err() {
        return Ok(());
    }
    if !force && !is_empty(&ready) && replica.version(name, &print(&ready).await?).is_none() {
        return Err(changed(&ready));
    }
    give_up(replica)
}

/// Puts the version that was fetched in the place of what was found `there`; it is given up if it is still that, or in any
/// case when that is wanted.
pub(super) async fn switch(
    replica: &mut Replica,
    name: Name,
    new: Version,
    there: &There,
    force: bool,
) -> Result<(), Failure> {
    let (fresh, ready, path) = (fresh(replica), ready(replica), replica.path.clone());
    replica.note_coming(name, new.clone())?;
    fs::rename(&fresh, &ready).map_err(failed(&path))?;
    let here = rustix::fs::CWD;
    match there {
        There::Nothing => {
            let placed = rustix::fs::renameat_with(here, &ready, here, &path, rustix::fs::RenameFlags::NOREPLACE);
            placed.map_err(|error| failed(&path)(error.into()))?;
        }
        There::Folder(before) => {
            let swap = || exchange(&ready, &path).map_err(|error| failures::output(&error));
            swap()?;
            if !force && print(&ready).await.ok().as_ref() != Some(before) {
                swap()?;
                give_up(replica)?;
                return Err(changed(&path));
            }
            give_up(replica)?;
        }
    }
    replica.note_left(name, new)
}
