//! The stores, held to one contract (`suite`), and what only one of them can show. One test binary, since each links
//! RocksDB.

mod damage;
mod faulty;
mod fixtures;
mod full;
mod kill;
mod memory;
mod reclaim;
mod rocks;
mod suite;
mod verify;
