//! The stores, held to one contract (`suite`), and what only one of them can show. One test binary, since each links
//! RocksDB.

mod ballast;
mod child;
mod collect;
mod damage;
mod disk;
mod doubt;
mod escape;
mod faulty;
mod fixtures;
mod full;
mod kill;
mod kill_collect;
mod memory;
mod power;
mod read_only;
mod reclaim;
mod rocks;
mod suite;
mod verify;
