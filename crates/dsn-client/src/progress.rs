//! What happens while a put or a get runs, as events. Whoever wants a progress bar, a log or a test's counter listens.

/// One step of a running put or get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgressEvent {
    /// The file has this many bytes; unknown for a pipe.
    Total(u64),
    /// Bytes of the file have been coded into pieces.
    Encoded(u64),
    /// A piece of this many bytes reached a farmer.
    Sent(u64),
    /// Bytes of the file are safe on the network.
    Confirmed(u64),
    /// Bytes of the file were there already, from an earlier run.
    Resumed(u64),
    /// A piece of this many bytes came from a farmer.
    Fetched(u64),
    /// Bytes of the file have been checked and written.
    Written(u64),
}

/// Listens to events. Called often and from within the pipeline: return at once.
pub trait Progress: Send + Sync {
    /// Something happened.
    fn event(&self, event: ProgressEvent);
}

/// Listens to nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoProgress;

impl Progress for NoProgress {
    fn event(&self, _event: ProgressEvent) {}
}
