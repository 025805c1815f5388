//! Work that keeps a processor busy: coding and hashing. Blocking threads in production; inline in the simulator, where
//! a thread pool would break the order of events.

use async_trait::async_trait;
use futures_channel::oneshot;

/// One unit of processor-bound work.
pub type ComputeJob = Box<dyn FnOnce() + Send + 'static>;

/// Runs processor-bound work.
#[async_trait]
pub trait Compute: Send + Sync + 'static {
    /// Runs the job to its end. Dropping the future may leave the job running.
    async fn run(&self, job: ComputeJob);
}

/// Runs every job at once on the calling task.
#[derive(Clone, Copy, Debug, Default)]
pub struct InlineCompute;

#[async_trait]
impl Compute for InlineCompute {
    async fn run(&self, job: ComputeJob) {
        job();
    }
}

/// Runs `work` on `on` and gives its result. Dropping the future may leave the work running; its result is then lost.
///
/// # Panics
/// When the adapter dropped the job without running it, or the job panicked.
pub async fn compute<T: Send + 'static>(on: &dyn Compute, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (send, receive) = oneshot::channel();
    on.run(Box::new(move || {
        let _gone_when_nobody_waits = send.send(work());
    }))
    .await;
    receive.await.expect("a compute adapter runs every job it takes")
}
