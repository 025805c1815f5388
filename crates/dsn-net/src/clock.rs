//! The Unix clock, for dates that others have written and caps by the time of day. Waiting goes by `Instant`s.

use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since 1970; 0 on a machine that thinks it is earlier.
pub(crate) fn unix_secs() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
