//! What is said of another farmer with the same key: by the older of the two as a problem, by the younger as the error it
//! ends with.

use dsn_cli::{Exit, Failure};
use dsn_core::twins::Twin;
use dsn_net::address_to_text;

use crate::runtime::unix_secs;

const COPIED: &str = "a copied folder is no second farmer: give each a folder of its own with --dir DIR";

fn where_and_when(twin: &Twin) -> String {
    let addresses: Vec<String> = twin.addresses.iter().filter_map(address_to_text).collect();
    format!("it was started {} s ago and listens on {}", unix_secs().saturating_sub(twin.started), addresses.join(" "))
}

/// Why this farmer ends.
pub(super) fn other_farmer(older: &Twin) -> Failure {
    let error = Failure::new(Exit::AlreadyRunning, "another farmer runs with the key of this one, and was there first");
    error.because(where_and_when(older)).hint(format!("{COPIED}; to move a farmer, stop the old one first"))
}

/// What this farmer's operator should see to.
pub(super) fn problem(younger: &Twin) -> String {
    format!("another farmer was started with this one's key: {}; {COPIED}", where_and_when(younger))
}
