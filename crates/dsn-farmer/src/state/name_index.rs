//! Which names this farmer keeps records of, by their ends: how many there may be, and which goes when there is no room.
//! The records themselves are in the store.

use std::collections::{BTreeMap, BTreeSet};

use dsn_core::{limits::NAME_KEPT_SECS, name::Name};

/// Names kept. With some 300 bytes a record 20 MB on the disk, and 6 MB here.
pub(crate) const NAMES_MAX: usize = 65_536;

/// The names, each with the Unix second of its end.
#[derive(Debug, Default)]
pub(crate) struct NameIndex {
    ends: BTreeMap<Name, u64>,
    by_end: BTreeSet<(u64, Name)>,
}

impl NameIndex {
    /// Keeps this end in place of the one before.
    pub(crate) fn set(&mut self, name: Name, until: u64) {
        self.remove(name);
        self.ends.insert(name, until);
        self.by_end.insert((until, name));
    }

    /// Forgets a name.
    pub(crate) fn remove(&mut self, name: Name) {
        if let Some(until) = self.ends.remove(&name) {
            self.by_end.remove(&(until, name));
        }
    }

    /// Whether it is kept.
    pub(crate) fn contains(&self, name: Name) -> bool {
        self.ends.contains_key(&name)
    }

    /// Names kept.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Those of these names for which there is room, and the names that have to go for them: what ended long enough ago,
    /// and when that is not enough, what ended first. Records that still hold never go.
    pub(crate) fn make_room(&self, names: &[Name], now: u64) -> (BTreeSet<Name>, Vec<Name>) {
        let forgotten = |(until, _): &&(u64, Name)| until.saturating_add(NAME_KEPT_SECS) <= now;
        let others = self.by_end.iter().filter(|(_, name)| !names.contains(name));
        let mut ended = others.take_while(|(until, _)| *until <= now).peekable();
        let mut going = Vec::new();
        while let Some((_, name)) = ended.next_if(forgotten) {
            going.push(*name);
            if going.len() >= names.len().max(1) {
                break;
            }
        }
        let mut kept = BTreeSet::new();
        for name in names {
            let is_known = self.ends.contains_key(name);
            let added = kept.iter().filter(|name| !self.ends.contains_key(name)).count();
            if !is_known && self.len() + added >= NAMES_MAX + going.len() {
                let Some((_, oldest)) = ended.next() else { continue };
                going.push(*oldest);
            }
            kept.insert(*name);
        }
        (kept, going)
    }
}

#[cfg(test)]
mod tests {
    use dsn_core::node_id::NodeId;

    use super::*;

    fn name(number: usize) -> Name {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&number.to_be_bytes());
        Name(NodeId(key))
    }

    fn full(until: u64) -> NameIndex {
        let mut index = NameIndex::default();
        (0..NAMES_MAX).for_each(|number| index.set(name(number), until));
        index
    }

    #[test]
    fn a_full_index_takes_no_new_name_while_all_hold() {
        let index = full(100);
        let (kept, going) = index.make_room(&[name(NAMES_MAX), name(3)], 99);
        assert_eq!((kept, going), ([name(3)].into(), Vec::new()), "one that is known is renewed");
    }

    #[test]
    fn what_ended_first_makes_room() {
        let mut index = full(100);
        index.set(name(7), 10);
        let new = [name(NAMES_MAX), name(NAMES_MAX + 1)];
        let (kept, going) = index.make_room(&new, 50);
        assert_eq!((kept, going), ([new[0]].into(), vec![name(7)]));
        let (kept, going) = index.make_room(&new, 100);
        assert_eq!((kept.len(), going.len(), going[0]), (2, 2, name(7)));
    }

    #[test]
    fn what_ended_long_ago_goes_although_there_is_room() {
        let mut index = NameIndex::default();
        index.set(name(1), 10);
        index.set(name(2), 20);
        let (_, going) = index.make_room(&[name(3)], 10 + NAME_KEPT_SECS);
        assert_eq!(going, [name(1)]);
        let (_, going) = index.make_room(&[name(1)], 10 + NAME_KEPT_SECS);
        assert!(going.is_empty(), "what is just being renewed does not go");
        index.remove(name(1));
        assert_eq!(index.len(), 1);
    }
}
