//! What `dsn sim` takes. Whether the numbers make sense together is for the model to say.

use dsn_core::redundancy::Class;

#[derive(Debug, clap::Args)]
#[command(after_help = SIM_NOTES)]
pub(crate) struct Sim {
    /// Farmers in the network, always so many
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) nodes: u32,
    /// Days after which a farmer is gone for good, on average
    #[arg(long, value_name = "D", allow_negative_numbers = true)]
    pub(crate) mttf_days: f64,
    /// Years to play
    #[arg(long, value_name = "Y", allow_negative_numbers = true)]
    pub(crate) years: f64,
    /// What chance starts from: the same seed gives the same output
    #[arg(long, value_name = "S", allow_negative_numbers = true)]
    pub(crate) seed: u64,
    /// How many machines may fail: low, normal or high
    #[arg(long, value_name = "CLASS", default_value_t)]
    pub(crate) redundancy: Class,
    /// Chunks of 16 MiB that are stored
    #[arg(long, value_name = "C", default_value_t = 100_000, allow_negative_numbers = true)]
    pub(crate) chunks: u32,
    /// Megabits that each farmer can send in a second; a fifth of it is for repair
    #[arg(long, value_name = "MBITS", default_value_t = 10, allow_negative_numbers = true)]
    pub(crate) uplink: u32,
}

const SIM_NOTES: &str =
    "No bytes are stored and no network is needed. Placement and repair decide as in a real network,
about farmers that end for good (exponential lifetimes), are replaced by empty ones, and are out
for two hours (median) every three days. After a day nobody waits for one any more.

The loss is what was counted, if anything was lost. Else it is estimated from the repair time that
was measured, by a formula (birth and death of pieces): 1e-16 says more than 0. The estimate is on
the safe side. Neither knows of disasters that end many farmers at once.

Examples:
  dsn sim --nodes 12 --mttf-days 365 --years 1 --seed 1       a dozen friends
  dsn sim --nodes 100000 --mttf-days 90 --years 1 --seed 1    a large network of short lives";
