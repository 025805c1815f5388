//! Nodes on loopback, with real sockets and real time: requests both ways, finding each other, and peers that misbehave.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "tests fail by panicking and say what they measured")]

mod announce;
mod attack;
mod attacker;
mod caller;
mod find;
mod firewall;
mod hello;
mod hostile;
mod intruder;
mod members;
mod proxy;
mod requests;
mod secured;
mod stranger;
mod support;
mod wss;
