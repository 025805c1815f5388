//! What `dsn bench` takes.

use std::path::PathBuf;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
It puts a made-up file on the network that the other commands find, gets it back and gives it up; --local needs no network.
What a put stores takes 1.5 to 3 times its size there until it is given up.

Examples:
  dsn bench --local 5
  dsn bench --size 1GiB --json --plot rate.svg
  dsn bench --local 5 --json > old.json        what a change of the program does to it:
  dsn bench --local 5 --compare old.json")]
pub(crate) struct Bench {
    /// Size of the made-up file
    #[arg(long, value_name = "SIZE", default_value = "64MiB")]
    pub(crate) size: String,
    /// Measure with so many farmers on this machine, which end with the command
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(3..=48))]
    pub(crate) local: Option<u16>,
    /// How many machines may fail: low, normal or high
    #[arg(long, value_name = "CLASS")]
    pub(crate) redundancy: Option<String>,
    /// Compare with what an earlier bench of this machine has told with --json
    #[arg(long, value_name = "FILE")]
    pub(crate) compare: Option<PathBuf>,
    /// Draw the rates of put and get over time into this SVG file
    #[arg(long, value_name = "FILE")]
    pub(crate) plot: Option<PathBuf>,
}
