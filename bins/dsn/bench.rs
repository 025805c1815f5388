//! `dsn bench`: what this machine and this network do, in figures that can be compared: coding alone, then a put and a get of
//! a made-up file. It ends by itself, gives up what it has put and removes its temporary folder.

mod coding;
mod compare;
mod machine;
mod phase;
mod plot;
mod transfer;

use dsn_cli::{Exit, Failure, human_bytes, note, parse_size, print_json, print_line};
use serde::{Deserialize, Serialize};

use self::{
    compare::{Compared, Old},
    machine::Machine,
    phase::Phase,
};
use crate::{args::Bench, context::Context, fleet, interrupt::Interrupts, put, scratch::Scratch};

/// The network of the farmers that `--local` starts.
const NETWORK: &str = "bench";

/// All that a bench tells, and what an earlier one has told.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct BenchJson {
    version: String,
    machine: Machine,
    parameters: Parameters,
    phases: Vec<Phase>,
    /// Beside an earlier one.
    #[serde(skip_serializing_if = "Option::is_none", skip_deserializing)]
    compared: Option<Compared>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Parameters {
    bytes: u64,
    redundancy: String,
    /// Farmers on this machine that the command has started; none: those of a network.
    local_farmers: Option<u16>,
    /// Farmers that held the file.
    farmers: usize,
    stored_bytes: u64,
    chunks: u64,
}

pub(crate) async fn run(context: &Context, args: &Bench) -> Result<(), Failure> {
    let mut interrupts = Interrupts::listen()?;
    let bytes = parse_size(&args.size).map_err(|error| Failure::of(Exit::Usage, &error))?;
    let class = put::class(context)?;
    if let Some(file) = &args.plot {
        plot::check(file)?;
    }
    let old = args.compare.as_deref().map(Old::read).transpose()?;
    if let Some(old) = &old {
        old.check_before(&Machine::this(), bytes, &class.to_string(), args.local)?;
    }
    let scratch = Scratch::new("bench")?;
    let measure = async {
        let mut phases = coding::measure(bytes).await?;
        let made_up = scratch.made_up(bytes)?;
        let job = transfer::Job { file: &made_up, copy: &scratch.path().join("copy"), class };
        let done = match args.local {
            None => transfer::measure(context, &job, &[]).await?,
            Some(farmers) => local(context, &scratch, farmers, bytes, &job).await?,
        };
        phases.extend(done.phases);
        let parameters = Parameters {
            bytes,
            redundancy: class.to_string(),
            local_farmers: args.local,
            farmers: done.put.farmers,
            stored_bytes: done.put.stored_bytes,
            chunks: done.put.chunks,
        };
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Ok(BenchJson { version, machine: Machine::this(), parameters, phases, compared: None })
    };
    let mut done = interrupts.or(measure, "farmers forget what was stored by themselves, within a day").await?;
    done.compared = old.map(|old| old.compare(&done)).transpose()?;
    if let Some(file) = &args.plot {
        plot::draw(file, &done.phases)?;
    }
    tell(context, &done);
    Ok(())
}

/// Starts farmers, measures with them, ends them.
async fn local(
    context: &Context,
    scratch: &Scratch,
    farmers: u16,
    bytes: u64,
    job: &transfer::Job<'_>,
) -> Result<transfer::Done, Failure> {
    let options = fleet::FleetOptions {
        root: scratch.path().to_path_buf(),
        farmers,
        // Three times the file at most lies on all of them together; some room for what a store needs besides.
        storage: bytes.saturating_mul(4).max(1 << 30).to_string(),
        disk_reserve: fleet::DISK_RESERVE.into(),
        absent_grace: None,
        network: NETWORK.into(),
        psk: None,
    };
    let mut members = fleet::start(&options).await?;
    let pids: Vec<u32> = members.iter().filter_map(fleet::Member::pid).collect();
    let done = match fleet::guest(context, scratch.path(), NETWORK, &members) {
        Ok(guest) => transfer::measure(&guest, job, &pids).await,
        Err(failure) => Err(failure),
    };
    fleet::stop(&mut members).await;
    done
}

fn tell(context: &Context, done: &BenchJson) {
    if context.json {
        return print_json(done);
    }
    let BenchJson { version, machine, parameters, phases, compared } = done;
    note(&format!("dsn {version} on {machine}"));
    let whose = if parameters.local_farmers.is_some() { "farmers on this machine" } else { "farmers" };
    let (size, stored) = (human_bytes(parameters.bytes), human_bytes(parameters.stored_bytes));
    note(&format!("{size}, {}: {stored} on {} {whose}", parameters.redundancy, parameters.farmers));
    print_line(Phase::HEADER);
    phases.iter().for_each(|phase| print_line(&phase.to_string()));
    if let Some(compared) = compared {
        print_line(&compared.to_string());
    }
}
