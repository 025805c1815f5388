//! Which versions of a folder `dsn sync push` has stored under a name and nobody has given up since, so that old ones can be:
//! the farmers keep them as long as this owner has a lease of them. One line a version in the file `pushed` of the data
//! folder: the label, the number and the CID. What was pushed before this file was kept is not in it.

use dsn_cli::{Exit, Failure};
use dsn_client::NameVersion;
use dsn_core::cid::Cid;

use crate::{folder::Folder, own_names::OwnNames};

const FILE: &str = "pushed";

/// The versions, in the order in which they were pushed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Pushed(Vec<(String, NameVersion)>);

impl Pushed {
    /// All that this folder has pushed and not given up.
    pub(crate) fn load(folder: &Folder) -> Self {
        Self::read(&std::fs::read_to_string(folder.path(FILE)).unwrap_or_default())
    }

    /// A version was pushed: one that says the same as an older one is that, with a new number.
    pub(crate) fn note(folder: &Folder, label: &str, version: NameVersion) -> Result<(), Failure> {
        Self::change(folder, |pushed| {
            pushed.0.retain(|(of, known)| of != label || known.root != version.root);
            pushed.0.push((label.to_owned(), version));
        })
    }

    /// A version was given up, whatever it was called.
    pub(crate) fn forget(folder: &Folder, root: Cid) -> Result<(), Failure> {
        if !folder.path(FILE).exists() {
            return Ok(());
        }
        Self::change(folder, |pushed| pushed.0.retain(|(_, known)| known.root != root))
    }

    /// The versions of a name but the newest `keep`, the oldest first.
    pub(crate) fn old(&self, label: &str, keep: usize) -> Vec<NameVersion> {
        let mut versions: Vec<_> = self.0.iter().filter(|(of, _)| of == label).map(|(_, version)| *version).collect();
        versions.sort_by_key(|version| version.sequence);
        versions.truncate(versions.len().saturating_sub(keep));
        versions
    }

    /// The same without what this folder keeps under another name: one lease stands for both.
    pub(crate) fn to_give_up(&self, folder: &Folder, label: &str, keep: usize) -> Vec<NameVersion> {
        let names = OwnNames::all(folder).into_values().flatten();
        let published: Vec<Cid> = names.map(|published| published.version.root).collect();
        let is_elsewhere = |root: Cid| self.0.iter().any(|(of, known)| of != label && known.root == root);
        let old = self.old(label, keep).into_iter();
        old.filter(|version| !published.contains(&version.root) && !is_elsewhere(version.root)).collect()
    }

    fn change(folder: &Folder, work: impl FnOnce(&mut Self)) -> Result<(), Failure> {
        let changed = folder.change(FILE, |text| {
            let mut pushed = Self::read(text);
            work(&mut pushed);
            pushed.text()
        });
        changed.map_err(|error| Failure::of(Exit::Disk, &error).named("the list of what was pushed was not written"))
    }

    fn text(&self) -> String {
        let line =
            |(label, version): &(String, NameVersion)| format!("{label} {} {}\n", version.sequence, version.root);
        self.0.iter().map(line).collect()
    }

    fn read(text: &str) -> Self {
        let version = |line: &str| {
            let mut words = line.split_whitespace();
            let (label, sequence, root) = (words.next()?, words.next()?.parse().ok()?, words.next()?.parse().ok()?);
            Some((label.to_owned(), NameVersion { sequence, root }))
        };
        Self(text.lines().filter_map(version).collect())
    }
}

#[cfg(test)]
mod tests {
    use dsn_core::hash::{ChunkId, Hash};

    use super::*;

    fn version(sequence: u64, root: u8) -> NameVersion {
        NameVersion { sequence, root: Cid(ChunkId(Hash([root; 32]))) }
    }

    #[test]
    fn what_was_written_down_is_read_again_and_nonsense_is_nothing() {
        let pushed = Pushed(vec![("site".into(), version(2, 7)), ("x".into(), version(1, 8))]);
        assert_eq!(Pushed::read(&format!("site\nsite x y\n{}", pushed.text())), pushed);
    }

    #[test]
    fn the_newest_versions_stay_and_what_stands_under_another_name() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let folder = Folder::find(Some(root.path().into())).unwrap_or_else(|failure| panic!("{}", failure.error));
        for (label, of) in [("a", version(1, 1)), ("a", version(2, 2)), ("b", version(5, 2)), ("a", version(3, 3))] {
            Pushed::note(&folder, label, of).expect("writable");
        }
        let old = |keep| Pushed::load(&folder).to_give_up(&folder, "a", keep);
        assert_eq!((old(1), old(2), old(9)), (vec![version(1, 1)], vec![version(1, 1)], vec![]), "b keeps the second");
        Pushed::note(&folder, "a", version(4, 1)).expect("writable");
        assert_eq!(old(1), [version(3, 3)], "the first is the newest again");
        Pushed::forget(&folder, version(3, 3).root).expect("writable");
        assert_eq!(old(1), []);
    }
}
