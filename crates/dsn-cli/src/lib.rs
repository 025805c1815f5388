//! The edge of a binary: settings in layers, logs, errors for people, progress bars. Only this crate and `bins/` print, read
//! the environment or configuration files; what a command does is in `bins/`, what DSN does in the libraries.

mod cap;
mod count;
mod failure;
mod logging;
mod nearest;
mod progress;
mod settings;
mod size;
mod span;
mod terminal;

pub use cap::{CAP_MIN_BYTES_PER_SEC, CapError, CapSpanText, parse_cap};
pub use count::counted;
pub use failure::{Exit, Failure};
pub use logging::{DEFAULT_LEVEL, LogFilterError, start_logging};
pub use nearest::nearest;
pub use progress::{Bars, Phase};
pub use settings::{ConfigFile, Key, Layer, Origin, Settings, SettingsError};
pub use size::{ByteSizeError, human_bytes, parse_size};
pub use span::{SpanError, human_span, parse_span};
pub use terminal::{
    ReaderGone, note, print_json, print_line, print_raw, stderr_is_terminal, stdout_is_terminal, try_print_line,
};
