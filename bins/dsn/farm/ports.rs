//! A farmer that may take any free port takes the one it had before, as long as that is free: an invitation, a bootstrap
//! address and a router's rule name it, and hold beyond a restart. Not here: farmers that are found by others on another port (the DHT).

use dsn_core::identity::Identity;
use dsn_net::with_port_of;

use crate::{control::RunningFarmer, folder::Folder};

/// Addresses to listen on: those that say port 0 with the port that this farmer had there in its last run.
pub(super) fn as_before(listen: Vec<String>, folder: &Folder, identity: &Identity) -> Vec<String> {
    let last = RunningFarmer::last(folder).filter(|last| last.peer_id == identity.node_id().to_string());
    let before = last.map(|last| last.listen).unwrap_or_default();
    listen.into_iter().map(|address| with_port_of(&before, &address).unwrap_or(address)).collect()
}
