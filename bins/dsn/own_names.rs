//! The names of this folder: their keys, and what they were last published as, so that a farmer running here renews them.
//! One line a name in the file `names`: its label, the number and the CID of its last version, for how many seconds a
//! version holds, and when it was last signed. A name that was never published has number 0 and `-`.

use std::{collections::BTreeMap, time::Duration};

use dsn_cli::{Exit, Failure};
use dsn_client::{Client, NameVersion};
use dsn_core::{cid::Cid, identity::Identity, name::Name};

use crate::{folder::Folder, runtime::unix_secs};

const FILE: &str = "names";
const NEVER: &str = "-";
const LABEL_MAX_BYTES: usize = 64;

/// A name is renewed so often, whatever its time: custodians that came or lost their disks learn of it then.
const RENEW_SECS: u64 = 6 * 3600;

/// What this folder last published under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Published {
    pub(crate) version: NameVersion,
    pub(crate) ttl_secs: u64,
    pub(crate) signed_at: u64,
}

/// The names, by label.
#[derive(Debug, Default)]
pub(crate) struct OwnNames(BTreeMap<String, Option<Published>>);

impl OwnNames {
    /// All names of the folder, by label.
    pub(crate) fn all(folder: &Folder) -> BTreeMap<String, Option<Published>> {
        Self::read(&std::fs::read_to_string(folder.path(FILE)).unwrap_or_default()).0
    }

    fn read(text: &str) -> Self {
        Self(text.lines().filter_map(read_line).collect())
    }

    /// Changes the list; one command at a time.
    fn change(folder: &Folder, work: impl FnOnce(&mut Self)) -> Result<(), Failure> {
        let changed = folder.change(FILE, |text| {
            let mut names = Self::read(text);
            work(&mut names);
            names.0.iter().map(|(label, published)| line(label, published.as_ref())).collect()
        });
        changed
            .map_err(|error| Failure::of(Exit::Disk, &error).named("the list of this folder's names was not written"))
    }

    /// Makes the key of a new name.
    pub(crate) fn make(folder: &Folder, label: &str) -> Result<Name, Failure> {
        check_label(label)?;
        folder.open()?;
        if folder.existing_key(&key_file(label))?.is_some() {
            let error = format!("this folder has a name {label} already");
            return Err(Failure::new(Exit::Usage, error).hint("`dsn name list` shows the names of this folder"));
        }
        let key = folder.key(&key_file(label))?;
        Self::change(folder, |names| {
            names.0.entry(label.to_owned()).or_default();
        })?;
        Ok(Name::of(&key))
    }

    /// The key of a name of this folder.
    pub(crate) fn key(folder: &Folder, label: &str) -> Result<Identity, Failure> {
        check_label(label)?;
        folder.existing_key(&key_file(label))?.ok_or_else(|| {
            let error = format!("this folder has no name {label}");
            Failure::new(Exit::NotFound, error).hint(format!("make it with `dsn name new {label}`"))
        })
    }

    /// What a user calls a name: the name itself, or its label in this folder.
    pub(crate) fn named(folder: &Folder, text: &str) -> Result<Name, Failure> {
        if Name::is_meant_by(text) || text.starts_with("dsn:") {
            return parse_name(text);
        }
        Self::key(folder, text).map(|key| Name::of(&key))
    }

    /// A version was published or renewed.
    pub(crate) fn note(folder: &Folder, label: &str, version: NameVersion, ttl: Duration) -> Result<(), Failure> {
        let published = Published { version, ttl_secs: ttl.as_secs(), signed_at: unix_secs() };
        Self::change(folder, |names| {
            let is_newer = |old: &Published| old.version.sequence > version.sequence;
            // Published anew while this one was being renewed: that stays.
            if !names.0.get(label).copied().flatten().as_ref().is_some_and(is_newer) {
                names.0.insert(label.to_owned(), Some(published));
            }
        })
    }

    /// Renews what is due. One that cannot be renewed now is tried again the next time.
    pub(crate) async fn renew(folder: &Folder, client: &Client) {
        for (label, published) in Self::all(folder) {
            let Some(published) = published.filter(|published| published.is_due(unix_secs())) else { continue };
            let key = match Self::key(folder, &label) {
                Ok(key) => key,
                Err(failure) => {
                    tracing::warn!(label, error = failure.error, "a name has lost its key");
                    continue;
                }
            };
            let ttl = Duration::from_secs(published.ttl_secs);
            match client.renew_name(&key, published.version, ttl).await {
                Ok(renewed) => {
                    let noted = Self::note(folder, &label, published.version, ttl);
                    tracing::info!(label, custodians = renewed.confirmed, ok = noted.is_ok(), "name renewed");
                }
                Err(error) => tracing::warn!(label, %error, "a name was not renewed"),
            }
        }
    }
}

impl Published {
    fn is_due(&self, now: u64) -> bool {
        self.signed_at.saturating_add(RENEW_SECS.min(self.ttl_secs / 2)) <= now
    }
}

/// Reads a name as a user typed it.
pub(crate) fn parse_name(text: &str) -> Result<Name, Failure> {
    text.parse()
        .map_err(|error| Failure::of(Exit::Usage, &error).hint("`dsn name list` shows the names of this folder"))
}

fn key_file(label: &str) -> String {
    format!("name-{label}.key")
}

fn check_label(label: &str) -> Result<(), Failure> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
    if (1..=LABEL_MAX_BYTES).contains(&label.len()) && label.bytes().all(allowed) {
        return Ok(());
    }
    let error = format!("{label:?} is no label: a-z, 0-9, '-', '_' and '.', at most {LABEL_MAX_BYTES} characters");
    Err(Failure::new(Exit::Usage, error).hint("`dsn name list` shows the names of this folder"))
}

fn line(label: &str, published: Option<&Published>) -> String {
    match published {
        Some(Published { version, ttl_secs, signed_at }) => {
            format!("{label} {} {} {ttl_secs} {signed_at}\n", version.sequence, version.root)
        }
        None => format!("{label} 0 {NEVER} 0 0\n"),
    }
}

fn read_line(line: &str) -> Option<(String, Option<Published>)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [label, sequence, root, ttl_secs, signed_at] = words[..] else { return None };
    check_label(label).ok()?;
    if root == NEVER {
        return Some((label.to_owned(), None));
    }
    let version = NameVersion { sequence: sequence.parse().ok()?, root: root.parse::<Cid>().ok()? };
    let published = Published { version, ttl_secs: ttl_secs.parse().ok()?, signed_at: signed_at.parse().ok()? };
    Some((label.to_owned(), Some(published)))
}

#[cfg(test)]
mod tests {
    use dsn_core::hash::{ChunkId, Hash};

    use super::*;

    #[test]
    fn a_line_is_read_as_it_was_written_and_others_are_none() {
        let version = NameVersion { sequence: 3, root: Cid(ChunkId(Hash([7; 32]))) };
        let published = Published { version, ttl_secs: 100, signed_at: 1000 };
        for published in [None, Some(published)] {
            assert_eq!(read_line(line("photos", published.as_ref()).trim()), Some(("photos".to_owned(), published)));
        }
        for bad in ["", "photos", "photos 1 x 1 1", "../x 0 - 0 0", "photos -1 - 0"] {
            assert_eq!(read_line(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_name_is_renewed_after_half_its_time_and_every_six_hours() {
        let version = NameVersion { sequence: 3, root: Cid(ChunkId(Hash([7; 32]))) };
        let of = |ttl_secs| Published { version, ttl_secs, signed_at: 1000 };
        assert!(!of(100).is_due(1049) && of(100).is_due(1050));
        assert!(!of(30 * 86_400).is_due(1000 + RENEW_SECS - 1) && of(30 * 86_400).is_due(1000 + RENEW_SECS));
    }
}
