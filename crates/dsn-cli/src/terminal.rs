//! The only place that writes to stdout and stderr. A closed pipe ends the program quietly instead of in a panic.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

/// Exit code of a program whose reader has gone, as shells count SIGPIPE.
const READER_GONE: i32 = 141;

fn write(mut to: impl Write, bytes: &[u8]) {
    let written = to.write_all(bytes).and_then(|()| to.flush());
    if written.is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
        std::process::exit(READER_GONE);
    }
}

/// A result: one line on stdout.
pub fn print_line(line: &str) {
    write(io::stdout().lock(), format!("{line}\n").as_bytes());
}

/// Bytes on stdout.
pub fn print_raw(bytes: &[u8]) {
    write(io::stdout().lock(), bytes);
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
    write(io::stderr().lock(), format!("{line}\n").as_bytes());
}

/// Whether a person looks at stderr.
pub fn stderr_is_terminal() -> bool {
    io::stderr().is_terminal()
}

/// Whether a person looks at stdout.
pub fn stdout_is_terminal() -> bool {
    io::stdout().is_terminal()
}
