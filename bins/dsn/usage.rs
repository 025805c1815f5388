//! Arguments that were not understood, as the same lines that every other error has; help and version as they are.

use clap::{
    CommandFactory,
    error::{ContextKind, ContextValue, ErrorKind},
};
use dsn_cli::{Exit, Failure, nearest, note, print_raw};

use crate::args::Args;

/// What to do about arguments that name no command to run; gives the exit code.
pub(crate) fn report(error: &clap::Error) -> i32 {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            print_raw(error.to_string().as_bytes());
            0
        }
        // `dsn` alone: the help, but on stderr, since a script that forgot its command must not take it for a result.
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            note(error.to_string().trim_end());
            Exit::Usage as i32
        }
        _ => {
            failure(error).report(std::env::args_os().any(|arg| arg == "--json"));
            Exit::Usage as i32
        }
    }
}

fn failure(error: &clap::Error) -> Failure {
    let text = error.to_string();
    let paragraph = text.lines().take_while(|line| !line.is_empty()).map(str::trim).collect::<Vec<_>>().join(" ");
    Failure::new(Exit::Usage, paragraph.trim_start_matches("error: ")).hint(hint(error, &text))
}

/// What was probably meant, else how the command is used.
fn hint(error: &clap::Error, text: &str) -> String {
    let tip = text.lines().find_map(|line| line.trim().strip_prefix("tip: ").filter(|tip| !tip.starts_with("to pass")));
    let commands = Args::command();
    let names: Vec<&str> = commands.get_subcommands().map(clap::Command::get_name).collect();
    if let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand)
        && let Some(near) = nearest(word, &names)
    {
        return format!("did you mean `dsn {near}`?");
    }
    match (tip, error.get(ContextKind::Usage)) {
        (Some(tip), _) => tip.to_owned(),
        (None, Some(ContextValue::StyledStr(usage))) => usage.to_string().trim().replacen("Usage:", "usage:", 1),
        _ => match std::env::args().skip(1).find(|arg| names.contains(&arg.as_str())) {
            Some(command) => format!("see `dsn {command} --help`"),
            None => "see `dsn --help`".into(),
        },
    }
}
