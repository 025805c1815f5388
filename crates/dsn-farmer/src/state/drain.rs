//! How far the moving of everything off a farmer has come.

/// How far a drain has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Drain {
    /// None is going on.
    #[default]
    Off,
    /// Chunks are looked at one by one.
    Moving {
        /// Bytes of pieces looked at.
        done_bytes: u64,
        /// Bytes of all pieces.
        all_bytes: u64,
        /// Bytes copied to others.
        moved_bytes: u64,
        /// Chunks that have found no room yet.
        stuck_chunks: u64,
        /// Milliseconds since it began.
        elapsed_ms: u64,
    },
    /// Everything here is safe without this farmer.
    Done {
        /// Bytes copied to others.
        moved_bytes: u64,
    },
}

impl Drain {
    /// Seconds that the rest will take at the speed so far; none when that cannot be told.
    pub fn eta_secs(&self) -> Option<u64> {
        let Self::Moving { done_bytes, all_bytes, elapsed_ms, .. } = *self else { return None };
        let left = u128::from(all_bytes.saturating_sub(done_bytes)) * u128::from(elapsed_ms);
        let secs = left.checked_div(u128::from(done_bytes))? / 1000;
        u64::try_from(secs).ok()
    }
}
