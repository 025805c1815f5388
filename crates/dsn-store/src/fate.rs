//! What becomes of a chunk that a round of collecting looks at. Not here: who holds it, which each store knows its own way.

use dsn_core::{
    canary::{Bug, planted},
    ports::CollectStep,
};

/// What becomes of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Nothing changes.
    Stays,
    /// It comes out of the trash.
    Restored,
    /// It goes to the trash.
    Trashed,
    /// It has been in the trash for long enough.
    Deleted,
}

impl Fate {
    /// Decides by whether a lease holds the chunk, and since when it is in the trash.
    pub(crate) fn of(is_held: bool, trashed_since: Option<u64>, step: &CollectStep) -> Self {
        match trashed_since {
            None if is_held => Self::Stays,
            None => Self::Trashed,
            Some(_) if is_held && !planted(Bug::TrashForEver) => Self::Restored,
            Some(since) if since.saturating_add(step.trash_secs) <= step.now => Self::Deleted,
            Some(_) => Self::Stays,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_holds_is_deleted_and_not_before_its_time() {
        let step = CollectStep { now: 100, trash_secs: 10, after: None, max_chunks: 1 };
        for (is_held, since, expected) in [
            (true, None, Fate::Stays),
            (true, Some(0), Fate::Restored),
            (false, None, Fate::Trashed),
            (false, Some(91), Fate::Stays),
            (false, Some(90), Fate::Deleted),
            (false, Some(u64::MAX), Fate::Stays),
        ] {
            assert_eq!(Fate::of(is_held, since, &step), expected, "held: {is_held}, since {since:?}");
        }
    }
}
