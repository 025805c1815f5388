//! The same client and farmer code on virtual time: a network of messages with delay, loss and partitions, farmers that
//! crash, hang, lie and come back, all drawn from one seed. The same seed gives the same trace hash. libp2p is not here: its timers
//! cannot be made virtual, so it is tested with real processes.
//!
//! Runs on tokio's paused clock and current-thread runtime ([`run`]).

mod environment;
mod fault;
mod net;
mod scenario;
mod trace;
mod world;

pub use fault::{Fault, FaultCounts, Lie};
pub use net::{Link, SimNet};
pub use scenario::{Outcome, ScenarioOptions, Violation, run_scenario};
pub use world::World;

/// Runs a simulation to its end on virtual time.
///
/// # Panics
/// When the runtime cannot be built.
pub fn run<T>(simulation: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a current-thread runtime needs no system resource").block_on(simulation)
}
