//! The same client and farmer code on virtual time: a network of messages with delay, loss and partitions, farmers that
//! crash, hang, lie and come back, all drawn from one seed. The same seed gives the same trace hash. libp2p is not here: its timers
//! cannot be made virtual, so it is tested with real processes.
//!
//! Runs on tokio's paused clock and current-thread runtime ([`run`]). Beside it, and without any of that, a model of large
//! networks ([`play_model`]), which the binary has too: the rest is the feature `network`.

#[cfg(feature = "network")]
mod checks;
#[cfg(feature = "network")]
mod crooked;
#[cfg(feature = "network")]
mod disk;
#[cfg(feature = "network")]
mod endure;
#[cfg(feature = "network")]
mod environment;
#[cfg(feature = "network")]
mod fault;
#[cfg(feature = "network")]
mod flood;
mod model;
#[cfg(feature = "network")]
mod net;
#[cfg(feature = "network")]
mod scenario;
#[cfg(feature = "network")]
mod trace;
#[cfg(feature = "network")]
mod trial;
#[cfg(feature = "network")]
mod violation;
#[cfg(feature = "network")]
mod world;

#[cfg(feature = "network")]
pub use crooked::{Crook, put_chunks, put_crooked};
#[cfg(feature = "network")]
pub use endure::{EndureOptions, Endured, endure};
#[cfg(feature = "network")]
pub use fault::{Fault, FaultCounts, Lie};
pub use model::{
    MODEL_CHUNKS_MAX, MTTF_DAYS, ModelError, ModelOptions, ModelReport, NODES_MAX, REPAIR_SHARE, Tally, UPLINK_MBITS,
    YEARS, play_model,
};
#[cfg(feature = "network")]
pub use net::{Link, SimNet};
#[cfg(feature = "network")]
pub use scenario::{Outcome, ScenarioOptions, run_scenario};
#[cfg(feature = "network")]
pub use trial::{Trial, try_out};
#[cfg(feature = "network")]
pub use violation::Violation;
#[cfg(feature = "network")]
pub use world::World;

/// Runs a simulation to its end on virtual time.
///
/// # Panics
/// When the runtime cannot be built.
#[cfg(feature = "network")]
pub fn run<T>(simulation: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a current-thread runtime needs no system resource");
    tokio::task::LocalSet::new().block_on(&runtime, simulation)
}
