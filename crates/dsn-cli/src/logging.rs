//! Logs go to stderr, so that stdout carries results only.

use tracing_subscriber::{EnvFilter, filter::LevelFilter};

/// The level that leaves the choice to the command.
pub const DEFAULT_LEVEL: &str = "default";

/// A filter that is not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{filter:?} is not a level such as error, warn, info, debug or trace, nor a filter such as warn,dsn_net=debug")]
pub struct LogFilterError {
    /// What was given.
    pub filter: String,
}

/// Starts logging at a level (`error` … `trace`) or with a filter such as `info,dsn_net=debug`.
///
/// # Errors
/// When the filter is not understood.
pub fn start_logging(filter: &str) -> Result<(), LogFilterError> {
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(parse(filter)?)
        .with_writer(std::io::stderr)
        .with_ansi(crate::stderr_is_terminal() && std::env::var_os("NO_COLOR").is_none());
    // A second start in one process (a test) keeps the first.
    let _started = subscriber.try_init();
    Ok(())
}

/// A word alone must be a level: the library takes any other for the name of a module to trace.
fn parse(filter: &str) -> Result<EnvFilter, LogFilterError> {
    let error = || LogFilterError { filter: filter.into() };
    let is_level = |part: &str| !part.is_empty() && part.parse::<LevelFilter>().is_ok();
    let is_known = |part: &str| part.contains('=') || is_level(part.trim());
    let filter = filter.split(',').all(is_known).then(|| EnvFilter::try_new(filter).ok()).flatten();
    filter.ok_or_else(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_filters_are_read_and_other_words_are_not() {
        for filter in ["error", "trace", "warn,libp2p_kad=error", "dsn_net=debug"] {
            assert!(parse(filter).is_ok(), "{filter}");
        }
        for filter in ["", "verbose", "info,loud", "dsn_net=loud"] {
            assert!(parse(filter).is_err(), "{filter}");
        }
    }
}
