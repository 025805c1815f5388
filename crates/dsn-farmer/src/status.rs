//! What a farmer is and has done, for `dsn status`.

use std::sync::atomic::Ordering;

use dsn_core::{liveness::PEERS_MAX, node_id::NodeId};

use crate::{
    farmer::Farmer,
    state::{
        BRINGERS_MAX, DAMAGED_MAX, GRANTS_MAX, GREETERS_MAX, INTENTS_MAX, NAMES_MAX, OWNERS_MAX, QUEUE_MAX,
        REGISTERED_MAX,
    },
};

/// A farmer's state now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FarmerStatus {
    /// Bytes it lends.
    pub reserved_bytes: u64,
    /// Bytes of pieces it holds.
    pub used_bytes: u64,
    /// Bytes it would still take.
    pub free_bytes: u64,
    /// Pieces it holds.
    pub pieces: u64,
    /// Locators it keeps for others.
    pub locators: u64,
    /// Bytes of pieces received since the start.
    pub received_bytes: u64,
    /// Bytes of pieces served since the start.
    pub served_bytes: u64,
    /// Pieces found damaged since the start.
    pub damaged_pieces: u64,
    /// Slices of others' pieces that audits found right since the start.
    pub audits_passed: u64,
    /// Slices that were wrong or missing.
    pub audits_failed: u64,
    /// Chunks repaired since the start.
    pub repairs: u64,
    /// Bytes that repair has moved since the start.
    pub repair_bytes: u64,
    /// Pieces read again since the start.
    pub scrubbed_pieces: u64,
    /// Damaged pieces that were computed anew since the start.
    pub healed_pieces: u64,
    /// Chunks that wait for repair.
    pub repair_queue: usize,
}

/// How full something is that others fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Occupancy {
    /// What it holds.
    pub what: &'static str,
    /// How many of them.
    pub used: usize,
    /// How many there may be.
    pub most: usize,
}

impl Farmer {
    /// Everything in memory that others fill: none is ever beyond its bound.
    pub fn occupancies(&self) -> [Occupancy; 10] {
        let of = |what, used, most| Occupancy { what, used, most };
        [
            of("leaves to send", self.grants.lock().expect("no panic while locked").len(), GRANTS_MAX),
            of("intents", self.intents.lock().expect("no panic while locked").len(), INTENTS_MAX),
            of("greetings", self.greetings.lock().expect("no panic while locked").len(), GREETERS_MAX),
            of("registered records", self.registry.lock().expect("no panic while locked").len(), REGISTERED_MAX),
            of("nodes that brought names", self.name_keeper.bringers(), BRINGERS_MAX),
            of("names", self.name_keeper.len(), NAMES_MAX),
            of("owners", self.owners.lock().expect("no panic while locked").len(), OWNERS_MAX),
            of("chunks to repair", self.repairs.len(), QUEUE_MAX),
            of("damaged pieces", self.damaged.len(), DAMAGED_MAX),
            of("observed farmers", self.liveness.with(|seen| seen.remembered()), PEERS_MAX),
        ]
    }

    /// Farmers whose answers were wrong so often that it does not rely on them now.
    pub fn distrusted(&self) -> Vec<NodeId> {
        let now = self.parts.environment.unix_secs();
        self.liveness.with(|seen| seen.distrusted(now))
    }

    /// Its state now.
    pub fn status(&self) -> FarmerStatus {
        let space = self.parts.store.space();
        FarmerStatus {
            reserved_bytes: self.options.reserved_bytes,
            used_bytes: space.used_bytes,
            free_bytes: self.free_bytes(),
            pieces: space.pieces,
            locators: space.locators,
            received_bytes: self.counters.received_bytes.load(Ordering::Relaxed),
            served_bytes: self.counters.served_bytes.load(Ordering::Relaxed),
            damaged_pieces: self.counters.damaged_pieces.load(Ordering::Relaxed),
            audits_passed: self.counters.audits_passed.load(Ordering::Relaxed),
            audits_failed: self.counters.audits_failed.load(Ordering::Relaxed),
            repairs: self.counters.repairs.load(Ordering::Relaxed),
            repair_bytes: self.counters.repair_bytes.load(Ordering::Relaxed),
            scrubbed_pieces: self.counters.scrubbed_pieces.load(Ordering::Relaxed),
            healed_pieces: self.counters.healed_pieces.load(Ordering::Relaxed),
            repair_queue: self.repairs.len(),
        }
    }
}
