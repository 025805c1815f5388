//! A farmer: serves offers, pieces and locators on behalf of its store. Written against the ports of `dsn-core`, so the
//! same code runs on libp2p with RocksDB and in the simulator with memory. Not here: listening, dialling, disks.
//!
//! Invariant: a receipt is signed only after the store has said that the piece is durable, and a locator is acknowledged
//! only after it is.

mod collector;
mod custodian;
mod drainer;
mod farmer;
mod herald;
mod leases;
mod names;
mod options;
mod pages;
mod patrol;
mod prove;
mod publications;
mod registrar;
mod repairer;
mod scrubber;
mod serve;
mod state;
mod status;
mod twins;
mod upkeep;

pub use farmer::{Farmer, FarmerParts};
pub use options::{Disk, FarmerOptions, UnlimitedDisk, UpkeepOptions};
pub use state::Drain;
pub use status::{FarmerStatus, Occupancy};
