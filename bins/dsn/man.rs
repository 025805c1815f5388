//! `dsn completions` and `dsn man`: made from the arguments, so that they cannot go stale.

use std::path::Path;

use clap::CommandFactory;
use dsn_cli::{Exit, Failure, print_raw};

use crate::args::{Args, Completions, Man};

pub(crate) fn completions(args: &Completions) -> Result<(), Failure> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Args::command(), "dsn", &mut text);
    print_raw(&text);
    Ok(())
}

pub(crate) fn run(args: &Man) -> Result<(), Failure> {
    match &args.out {
        Some(folder) => write_all(folder),
        None => print_main(),
    }
}

fn print_main() -> Result<(), Failure> {
    let mut page = Vec::new();
    let man = clap_mangen::Man::new(Args::command());
    man.render(&mut page).map_err(|error| Failure::of(Exit::Internal, &error))?;
    print_raw(&page);
    Ok(())
}

/// One page a command: `dsn.1`, `dsn-put.1`, `dsn-network-new.1`.
fn write_all(folder: &Path) -> Result<(), Failure> {
    let failed = |error| Failure::of(Exit::Disk, &error).named(format!("cannot write into {}", folder.display()));
    std::fs::create_dir_all(folder).map_err(failed)?;
    clap_mangen::generate_to(Args::command(), folder).map_err(failed)
}
