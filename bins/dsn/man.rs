//! `dsn completions` and `dsn man`: made from the arguments, so that they cannot go stale.

use clap::CommandFactory;
use dsn_cli::{Exit, Failure, print_raw};

use crate::args::{Args, Completions};

pub(crate) fn completions(args: &Completions) -> Result<(), Failure> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Args::command(), "dsn", &mut text);
    print_raw(&text);
    Ok(())
}

pub(crate) fn run() -> Result<(), Failure> {
    let mut page = Vec::new();
    let man = clap_mangen::Man::new(Args::command());
    man.render(&mut page).map_err(|error| Failure::of(Exit::Internal, &error))?;
    print_raw(&page);
    Ok(())
}
