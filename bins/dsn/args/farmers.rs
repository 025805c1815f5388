//! What commands take that run farmers or ask one.

use std::path::PathBuf;

use crate::fleet;

#[derive(Debug, clap::Args)]
pub(crate) struct Demo {
    /// The file to use (default: 64 MiB of made-up bytes)
    pub(crate) file: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Devnet {
    /// Farmers to run
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=200))]
    pub(crate) farmers: u16,
    /// Space each of them lends
    #[arg(long, value_name = "SIZE", default_value = "10GiB")]
    pub(crate) storage: String,
    /// Space each of them leaves free on the disk
    #[arg(long, value_name = "SIZE", default_value = fleet::DISK_RESERVE)]
    pub(crate) disk_reserve: String,
    /// How long a silent farmer still counts, such as 30s, before what it held is repaired
    #[arg(long, value_name = "DUR")]
    pub(crate) absent_grace: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Farm {
    /// Space to lend, such as 100GiB
    #[arg(long, value_name = "SIZE")]
    pub(crate) storage: Option<String>,
    /// Where to listen, such as /ip4/0.0.0.0/tcp/4100; port 0 is any that is free, and the same again after a restart;
    /// may be given several times
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Vec<String>,
    /// An address under which others reach it besides, such as that of a forwarded port; may be given several times
    #[arg(long, value_name = "ADDR")]
    pub(crate) external: Vec<String>,
    /// Keep the addresses of others who register here, and tell them to those who ask
    #[arg(long)]
    pub(crate) rendezvous_server: bool,
    /// Space to leave free on the disk (default: 5 % of it, at least 2 GiB)
    #[arg(long, value_name = "SIZE")]
    pub(crate) disk_reserve: Option<String>,
    /// How long a silent farmer still counts before what it held is repaired (default: 24h)
    #[arg(long, value_name = "DUR")]
    pub(crate) absent_grace: Option<String>,
    /// End when standard input does: for a parent process that may be killed
    #[arg(long, hide = true)]
    pub(crate) with_parent: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Status {
    /// Count everything in the store and compare; takes as long as reading all of it
    #[arg(long)]
    pub(crate) verify_space: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Drain {
    /// Take pieces again; what was copied stays where it is
    #[arg(long)]
    pub(crate) cancel: bool,
    /// Do not wait for the end
    #[arg(long, conflicts_with = "cancel")]
    pub(crate) no_wait: bool,
}
