//! The objects and rules of DSN, pure: what a chunk, a piece, a manifest, a locator and a receipt are, how they look as
//! bytes, where pieces go, and the ports through which everything else reaches the world. No runtime, no I/O, no clock and
//! no randomness of its own: time and randomness are arguments.

pub mod announcement;
pub mod audit;
pub mod canary;
pub mod capability;
pub mod chunk;
pub mod cid;
pub mod cutter;
pub mod departure;
pub mod descriptor;
pub mod durability;
pub mod erasure;
pub mod firewall;
pub mod folder;
pub mod greeting;
pub mod hash;
pub mod hello;
pub mod identity;
pub mod index_set;
pub mod lease;
pub mod limits;
pub mod liveness;
pub mod locator;
pub mod manifest;
pub mod membership;
pub mod name;
pub mod network_name;
pub mod node_id;
pub mod piece;
pub mod placement;
pub mod ports;
pub mod psk;
pub mod receipt;
pub mod record;
pub mod redundancy;
pub mod repair;
pub mod rpc;
pub mod seal;
pub mod sealed;
pub mod signed;
pub mod slice;
#[cfg(test)]
mod testing;
pub mod twins;
pub mod uneven;
pub mod wire;
