//! Ctrl-C and SIGTERM.

use dsn_cli::{Exit, Failure};
use tokio::signal::unix::{SignalKind, signal};

/// Waits for Ctrl-C or SIGTERM. Safe to drop.
pub(crate) async fn interrupted() -> Result<(), Failure> {
    let internal = |error: std::io::Error| Failure::of(Exit::Internal, &error);
    let mut interrupt = signal(SignalKind::interrupt()).map_err(internal)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(internal)?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

/// Runs a command until it ends or somebody interrupts it.
pub(crate) async fn or_interrupted<T>(
    command: impl Future<Output = Result<T, Failure>>,
    hint: &str,
) -> Result<T, Failure> {
    tokio::select! {
        biased;
        done = command => done,
        signal = interrupted() => {
            signal?;
            Err(Failure::new(Exit::Interrupted, "interrupted").hint(hint))
        }
    }
}
