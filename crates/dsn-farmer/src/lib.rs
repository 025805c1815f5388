//! A farmer: serves offers, pieces and locators on behalf of its store. Written against the ports of `dsn-core`, so the
//! same code runs on libp2p with RocksDB and in the simulator with memory. Not here: listening, dialling, disks.
//!
//! Invariant: a receipt is signed only after the store has said that the piece is durable, and a locator is acknowledged
//! only after it is.

mod counters;
mod custodian;
mod farmer;
mod grants;
mod options;
mod serve;
mod status;

pub use farmer::{Farmer, FarmerParts};
pub use options::{Disk, FarmerOptions, UnlimitedDisk};
pub use status::FarmerStatus;
