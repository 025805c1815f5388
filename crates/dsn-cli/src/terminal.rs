//! The only place that writes to stdout and stderr. A closed stdout ends the program quietly instead of in a panic; a
//! closed stderr ends nothing: what is said there is for people, and none is there.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;
use zeroize::Zeroizing;

/// More than a JSON object with one capability in it has.
const JSON_BYTES: usize = 4096;

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

/// A line with its end. It may be a capability, of which no copy is to stay in memory.
fn ended(line: &str) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(line.len() + 1));
    bytes.extend_from_slice(line.as_bytes());
    bytes.push(b'\n');
    bytes
}

/// A result: one line on stdout.
pub fn print_line(line: &str) {
    write_or_end(&ended(line));
}

/// The same for a program that has something to put away before it ends.
///
/// # Errors
/// When the reader has gone.
pub fn try_print_line(line: &str) -> Result<(), ReaderGone> {
    write(io::stdout().lock(), &ended(line))
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
    // It may hold a capability. What outgrows the room given here leaves a copy behind.
    let mut json = Zeroizing::new(Vec::with_capacity(JSON_BYTES));
    serde_json::to_writer(&mut *json, value).expect("our own values are JSON");
    print_line(str::from_utf8(&json).expect("JSON is UTF-8"));
}

/// Something for people: one line on stderr.
pub fn note(line: &str) {
    let _nobody_reads = write(io::stderr().lock(), &ended(line));
}

/// Whether a person looks at stderr.
pub fn stderr_is_terminal() -> bool {
    io::stderr().is_terminal()
}

/// Whether a person looks at stdout.
pub fn stdout_is_terminal() -> bool {
    io::stdout().is_terminal()
}
