//! The commands and what every one of them takes, as `dsn --help` shows it. What one takes is in `args/farmers.rs`,
//! `args/files.rs`, `args/archive.rs`, `args/bench.rs`, `args/firewall.rs`, `args/model.rs`, `args/names.rs`, `args/network.rs` and `args/sync.rs`.
//! Parsed here, understood where it is used.

mod archive;
mod bench;
mod farmers;
mod files;
mod firewall;
mod model;
mod names;
mod network;
mod sync;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

pub(crate) use self::{
    archive::{Export, Import},
    bench::Bench,
    farmers::{Demo, Devnet, Drain, Farm, Status},
    files::{Cap, CapCommand, Cat, Get, Ls, Put, Range, Repair, Rm, Stat, Wanted},
    firewall::{Answer, Firewall, FirewallCommand, What},
    model::Sim,
    names::{FollowName, Name, NameCommand, NewName, PublishName, ResolveName},
    network::{Invite, Join, Network, NetworkCommand, New, Revoke},
    sync::{FollowSync, PushSync, Sync, SyncCommand},
};

/// Store files and folders on a network of farmers and get them back, bit for bit, while machines fail.
#[derive(Debug, Parser)]
#[command(name = "dsn", version, propagate_version = true, arg_required_else_help = true, after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "Examples:
  dsn demo                                   see it work on this machine
  dsn farm --storage 100GiB                  lend 100 GiB
  dsn put photo.tif                          store a file; prints its CID
  dsn get bafib4i… -o photo.tif              bring it back
  dsn put photos                             store a folder
  dsn ls bafib4i…                            see what is in it
  dsn get bafib4i…/2026/cat.jpg              bring one file of it back
  dsn name new photos                        make a name for what changes
  dsn sync push photos photos                store a folder that changes under its name
  dsn put --private diary                    store it sealed; prints a capability, a secret
  pg_dump club | dsn put -                   store what a pipe gives

Exit codes: 0 done, 2 usage, 3 not found, 4 too few pieces or farmers, 5 integrity, 6 key,
7 network, 8 disk, 9 configuration, 10 already running, 130 interrupted.";

/// Where the help lists what every command takes.
const EVERYWHERE: &str = "Everywhere";

/// Arguments of every command.
#[derive(Debug, clap::Args)]
pub(crate) struct Common {
    /// Print the result as JSON
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    pub(crate) json: bool,
    /// Folder of keys and data (default: DSN_DIR, else the platform's data folder)
    #[arg(long, global = true, help_heading = EVERYWHERE, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Configuration file (default: config.toml in the folder)
    #[arg(long, global = true, help_heading = EVERYWHERE, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Name of the network
    #[arg(long, global = true, help_heading = EVERYWHERE, value_name = "NAME")]
    pub(crate) network: Option<String>,
    /// Address of a node of the network; may be given several times
    #[arg(long, global = true, help_heading = EVERYWHERE, value_name = "ADDR")]
    pub(crate) bootstrap: Vec<String>,
    /// File with the key that all nodes of the network share; then it is TCP only
    #[arg(long, global = true, help_heading = EVERYWHERE, value_name = "FILE")]
    pub(crate) psk: Option<String>,
    /// File with certificates of authorities to trust besides those of the web, for addresses with TLS
    #[arg(long, global = true, help_heading = EVERYWHERE, value_name = "FILE")]
    pub(crate) authorities: Option<String>,
    /// What to log to stderr: error, warn, info, debug, trace
    #[arg(long, global = true, help_heading = EVERYWHERE, value_name = "LEVEL")]
    pub(crate) log: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// See the whole story on this machine: 12 farmers, a file, 4 farmers killed, the file back
    Demo(Demo),
    /// Run farmers on this machine until Ctrl-C, to try things out
    Devnet(Devnet),
    /// Lend disk space to a network
    Farm(Farm),
    /// Store a file or a folder; prints its CID
    Put(Put),
    /// Bring a file or a folder back
    Get(Get),
    /// Write a file to standard output
    Cat(Cat),
    /// Show what is in a folder
    Ls(Ls),
    /// Hand a capability on: what it allows others without reading, or sealed for one reader
    Cap(Cap),
    /// Ask the holders of a file how it fares
    Stat(Stat),
    /// Bring a file back to its full redundancy now
    Repair(Repair),
    /// Names that stay while what they stand for changes
    Name(Name),
    /// Keep a folder in step under a name: push what changed, follow what others push
    Sync(Sync),
    /// Give up this folder's lease of a file; what nobody else wants is deleted in the end
    Rm(Rm),
    /// Write pieces of a file or folder onto a stick, to be carried where there is no network
    Export(Export),
    /// Restore a file or folder from exported pieces, without any network
    Import(Import),
    /// Move everything off the farmer that runs in this folder, so that it can go
    Drain(Drain),
    /// Show the farmer that runs in this folder
    Status(Status),
    /// Show the nodes of the network
    Peers,
    /// Look at what usually goes wrong, and say what to do about it
    Doctor,
    /// Measure what this machine and the network do
    Bench(Bench),
    /// Say who may do what here, and what this node does to others
    Firewall(Firewall),
    /// Make a closed network, invite to it, revoke memberships
    Network(Network),
    /// Join a closed network with an invitation
    Join(Join),
    /// Play years of a large network as a model: what is lost, what repair costs
    Sim(Sim),
    /// Show this folder's identities
    Id,
    /// Show every setting, its value and where it comes from
    Config,
    /// Print completions for a shell
    Completions(Completions),
    /// Print the manual page, or write those of all commands
    Man(Man),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Completions {
    /// The shell
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Man {
    /// Write one page a command into this folder
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}
