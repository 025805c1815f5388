//! Where a farmer keeps its pieces: adapters of the ports `dsn_core::ports::PieceStore` and `Upkeep`. `RocksStore` is the
//! real one, `MemoryStore` is for simulation and tests, `FaultyStore` fails on purpose around any other. Nothing here
//! decides what to keep or for whom: owners say that with their leases, and the farmer when to look at them. One suite (`tests/store/suite.rs`) holds all of them to the same contract.

mod batch;
mod fate;
mod faulty;
mod memory;
mod rocks;

pub use faulty::{Fault, FaultCounts, FaultyStore, Operation};
pub use memory::MemoryStore;
pub use rocks::{OpenError, OpenReport, RocksOptions, RocksStore, SpaceCheck};
