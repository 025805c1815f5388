//! Logs go to stderr, so that stdout carries results only.

use tracing_subscriber::EnvFilter;

/// Starts logging at a level (`error` … `trace`) or with a filter such as `info,dsn_net=debug`.
///
/// # Errors
/// When the filter is not understood.
pub fn start_logging(filter: &str) -> Result<(), String> {
    let filter = EnvFilter::try_new(filter).map_err(|error| error.to_string())?;
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(crate::stderr_is_terminal() && std::env::var_os("NO_COLOR").is_none());
    // A second start in one process (a test) keeps the first.
    let _started = subscriber.try_init();
    Ok(())
}
