//! Ctrl-C and SIGTERM.

use dsn_cli::{Exit, Failure};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Both signals. Listened for from the start of a command on, so that one that comes early is not lost and kills nobody.
pub(crate) struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupts {
    pub(crate) fn listen() -> Result<Self, Failure> {
        let listen = |kind| signal(kind).map_err(|error| Failure::of(Exit::Internal, &error));
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    /// Waits for one of them. Safe to drop.
    pub(crate) async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// Runs a command until it ends or somebody interrupts it.
    pub(crate) async fn or<T>(
        &mut self,
        command: impl Future<Output = Result<T, Failure>>,
        hint: &str,
    ) -> Result<T, Failure> {
        tokio::select! {
            biased;
            done = command => done,
            () = self.wait() => Err(Failure::new(Exit::Interrupted, "interrupted").hint(hint)),
        }
    }
}
