//! The only place that writes to stdout and stderr. A closed stdout ends the program quietly instead of in a panic; a
//! closed stderr ends nothing: what is said there is for people, and none is there.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

/// Exit code of a program whose reader has gone, as shells count SIGPIPE.
pub(crate) const READER_GONE: u8 = 141;

/// The reader of stdout has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReaderGone;

/// A full disk behind a redirection is nobody's absence.
fn write(mut to: impl Write, bytes: &[u8]) -> Result<(), ReaderGone> {
    let written = to.write_all(bytes).and_then(|()| to.flush());
    if written.is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe) { Err(ReaderGone) } else { Ok(()) }
}

fn write_or_end(bytes: &[u8]) {
    if write(io::stdout().lock(), bytes) == Err(ReaderGone) {
        std::process::exit(i32::from(READER_GONE));
    }
}

/// A result: one line on stdout.
pub fn print_line(line: &str) {
    write_or_end(format!("{line}\n").as_bytes());
}

/// The same for a program that has something to put away before it ends.
///
/// # Errors
/// When the reader has gone.
pub fn try_print_line(line: &str) -> Result<(), ReaderGone> {
    write(io::stdout().lock(), format!("{line}\n").as_bytes())
}

/// Bytes on stdout.
pub fn print_raw(bytes: &[u8]) {
    write_or_end(bytes);
}

/// A result as one JSON object on a line of stdout.
///
/// # Panics
/// When the value has keys that are no strings.
pub fn print_json(value: &impl Serialize) {
    print_line(&serde_json::to_string(value).expect("our own values are JSON"));
}

/// Something for people: one line on stderr.
pub fn note(line: &str) {
    let _nobody_reads = write(io::stderr().lock(), format!("{line}\n").as_bytes());
}

/// Whether a person looks at stderr.
pub fn stderr_is_terminal() -> bool {
    io::stderr().is_terminal()
}

/// Whether a person looks at stdout.
pub fn stdout_is_terminal() -> bool {
    io::stdout().is_terminal()
}
