//! Where a farmer keeps its pieces: adapters of the port `dsn_core::ports::PieceStore`. `MemoryStore` is for simulation and
//! tests, `FaultyStore` fails on purpose around any other. Nothing here decides what to keep or for whom: that is the
//! farmer's business. One suite (`tests/store/suite.rs`) holds all of them to the same contract.

mod batch;
mod faulty;
mod memory;

pub use faulty::{Fault, FaultCounts, FaultyStore, Operation};
pub use memory::MemoryStore;
