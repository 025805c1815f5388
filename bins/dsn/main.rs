//! `dsn`: reads the arguments, runs one command, and turns what came of it into an exit code. What a command does is in
//! the file of its name.

mod args;
mod authorities;
mod bench;
mod cap;
mod config;
mod context;
mod control;
mod demo;
mod devnet;
mod doctor;
mod drain;
mod export;
mod failures;
mod farm;
mod firewall;
mod fleet;
mod folder;
mod get;
mod id;
mod import;
mod interrupt;
mod join;
mod keys;
mod ls;
mod man;
mod membership;
mod meter;
mod name;
mod network;
mod own_names;
mod owned;
mod peers;
mod psk;
mod pushed;
mod put;
mod reach;
mod repair;
mod rm;
mod runtime;
mod scratch;
mod session;
mod sim;
mod stat;
mod status;
mod sync;
mod target;
mod usage;
mod versions;

use std::panic::AssertUnwindSafe;

use clap::Parser;
use dsn_cli::{DEFAULT_LEVEL, Exit, Failure, Key, start_logging};

use crate::{
    args::{Args, Command},
    context::Context,
};

/// RocksDB and the network hand buffers of 1 MiB around; the system's allocator would map and unmap each of them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Threads for disk and processor work at once; each command needs a few, a farmer under load a dozen.
const BLOCKING_THREADS: usize = 48;

fn main() {
    let code = match Args::try_parse() {
        Ok(args) => {
            let json = args.common.json;
            let bug = |_| Err(Failure::new(Exit::Internal, "a part of dsn has failed an assertion; see above"));
            std::panic::catch_unwind(AssertUnwindSafe(|| run(args))).unwrap_or_else(bug).map_or_else(
                |failure| {
                    failure.report(json);
                    failure.exit as i32
                },
                |()| 0,
            )
        }
        Err(error) => usage::report(&error),
    };
    // Not a return: a thread that waits for standard input must not keep the process alive.
    std::process::exit(code);
}

/// Kademlia warns about every start on an empty network. Of streams that are too many each has a line in one of the others:
/// whoever opens them would fill the operator's disk.
const FARMER_LOG: &str = "warn,libp2p_kad=error,libp2p_request_response=error,libp2p_swarm=error,yamux=off";

/// A farmer's operator wants to know what is wrong; a command says in its own words why it failed.
fn log_filter(context: &Context, command: &Command) -> String {
    match context.settings.get(Key::LogLevel) {
        Some((level, _)) if level != DEFAULT_LEVEL => level.to_owned(),
        _ if matches!(command, Command::Farm(_)) => FARMER_LOG.to_owned(),
        _ => "error".to_owned(),
    }
}

fn run(args: Args) -> Result<(), Failure> {
    let context = Context::load(&args)?;
    start_logging(&log_filter(&context, &args.command)).map_err(|error| context.misunderstood(Key::LogLevel, error))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .build()
        .map_err(|error| Failure::of(Exit::Internal, &error))?;
    let done = runtime.block_on(async {
        match args.command {
            Command::Demo(demo) => demo::run(&context, &demo).await,
            Command::Devnet(devnet) => devnet::run(&context, &devnet).await,
            Command::Farm(farm) => farm::run(&context, &farm).await,
            Command::Put(put) => put::run(&context, &put).await,
            Command::Get(get) => get::run(&context, &get).await,
            Command::Cat(cat) => get::run(&context, &cat.into()).await,
            Command::Cap(cap) => cap::run(&context, &cap.command),
            Command::Ls(ls) => ls::run(&context, &ls).await,
            Command::Stat(stat) => stat::run(&context, &stat).await,
            Command::Repair(repair) => repair::run(&context, &repair).await,
            Command::Name(name) => name::run(&context, &name.command).await,
            Command::Sync(sync) => sync::run(&context, &sync.command).await,
            Command::Rm(rm) => rm::run(&context, &rm).await,
            Command::Export(export) => export::run(&context, &export).await,
            Command::Import(import) => import::run(&context, &import).await,
            Command::Drain(drain) => drain::run(&context, &drain).await,
            Command::Status(status) => status::run(&context, &status).await,
            Command::Peers => peers::run(&context).await,
            Command::Doctor => doctor::run(&context).await,
            Command::Bench(bench) => bench::run(&context, &bench).await,
            Command::Firewall(firewall) => firewall::run(&context, &firewall.command).await,
            Command::Network(network) => network::run(&context, &network.command).await,
            Command::Join(join) => join::run(&context, &join),
            Command::Sim(sim) => sim::run(&context, &sim).await,
            Command::Id => id::run(&context),
            Command::Config => config::run(&context),
            Command::Completions(shell) => man::completions(&shell),
            Command::Man(man) => man::run(&man),
        }
    });
    runtime.shutdown_background();
    done
}
