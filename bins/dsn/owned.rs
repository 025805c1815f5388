//! Which files this folder's owner has put and until when they are to be kept, so that a farmer running here renews them.
//! One line a file in the folder: its CID, and for how many seconds a lease is made each time. No file data.

use std::{collections::BTreeMap, time::Duration};

use dsn_cli::{Exit, Failure};
use dsn_client::{Client, Keep};
use dsn_core::cid::Cid;

use crate::{folder::Folder, runtime::unix_secs};

const FILE: &str = "owned";

/// The files of an owner.
#[derive(Debug, Default)]
pub(crate) struct Owned(BTreeMap<String, Entry>);

#[derive(Clone, Copy, Debug)]
struct Entry {
    ttl_secs: u64,
    renewed_at: u64,
}

impl Owned {
    fn load(folder: &Folder) -> Self {
        Self::read(&std::fs::read_to_string(folder.path(FILE)).unwrap_or_default())
    }

    fn read(text: &str) -> Self {
        let entry = |line: &str| {
            let mut words = line.split_whitespace();
            let cid = words.next()?.to_owned();
            Some((cid, Entry { ttl_secs: words.next()?.parse().ok()?, renewed_at: words.next()?.parse().ok()? }))
        };
        Self(text.lines().filter_map(entry).collect())
    }

    fn text(&self) -> String {
        let line = |(cid, entry): (&String, &Entry)| format!("{cid} {} {}\n", entry.ttl_secs, entry.renewed_at);
        self.0.iter().map(line).collect()
    }

    /// Changes the list; one command at a time.
    fn change(folder: &Folder, work: impl FnOnce(&mut Self)) -> Result<(), Failure> {
        let changed = folder.change(FILE, |text| {
            let mut owned = Self::read(text);
            work(&mut owned);
            owned.text()
        });
        changed
            .map_err(|error| Failure::of(Exit::Disk, &error).named("the list of this folder's files was not written"))
    }

    /// A file was put, to be kept for so long; one without an end needs no renewing.
    pub(crate) fn note(folder: &Folder, cid: Cid, ttl: Option<Duration>) -> Result<(), Failure> {
        Self::change(folder, |owned| match ttl {
            Some(ttl) => {
                owned.0.insert(cid.to_string(), Entry { ttl_secs: ttl.as_secs(), renewed_at: unix_secs() });
            }
            None => drop(owned.0.remove(&cid.to_string())),
        })
    }

    /// A file is given up.
    pub(crate) fn forget(folder: &Folder, cid: Cid) -> Result<(), Failure> {
        if !folder.path(FILE).exists() {
            return Ok(());
        }
        Self::change(folder, |owned| {
            owned.0.remove(&cid.to_string());
        })
    }

    /// Renews what is past half of its time. One that cannot be reached now is tried again the next time.
    pub(crate) async fn renew(folder: &Folder, client: &Client) {
        for (text, entry) in Self::load(folder).0 {
            let is_due = entry.renewed_at.saturating_add(entry.ttl_secs / 2) <= unix_secs();
            let Some(cid) = text.parse::<Cid>().ok().filter(|_| is_due) else { continue };
            let ttl = Duration::from_secs(entry.ttl_secs);
            match client.keep_file(cid, Keep::For(ttl)).await {
                Ok(report) if report.confirmed * 2 > report.farmers && report.unlocated == 0 => {
                    let renewed = Self::change(folder, |owned| {
                        // Given up meanwhile: not taken up again.
                        owned.0.entry(text.clone()).and_modify(|entry| entry.renewed_at = unix_secs());
                    });
                    tracing::info!(%cid, farmers = report.confirmed, ok = renewed.is_ok(), "lease renewed");
                }
                Ok(report) => {
                    let (confirmed, unlocated) = (report.confirmed, report.unlocated);
                    tracing::warn!(%cid, confirmed, unlocated, "a lease was not renewed everywhere");
                }
                Err(error) => tracing::warn!(%cid, %error, "a lease was not renewed"),
            }
        }
    }
}
