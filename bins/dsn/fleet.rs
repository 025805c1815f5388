//! Farmers as child processes on this machine, for `devnet` and `demo`. A child ends with its parent, however that ends:
//! it watches a pipe that the parent holds.

mod guest;
mod launch;

use std::{path::PathBuf, time::Duration};

use dsn_cli::{Exit, Failure};
use tokio::process::Child;

pub(crate) use self::guest::guest;

/// A farmer told to stop gets this long to do so.
const STOP_WAIT: Duration = Duration::from_secs(5);

/// One child.
pub(crate) struct Member {
    pub(crate) dir: PathBuf,
    pub(crate) peer_id: String,
    pub(crate) listen: Vec<String>,
    child: Child,
}

/// How the children are started.
#[derive(Clone, Debug)]
pub(crate) struct FleetOptions {
    pub(crate) root: PathBuf,
    pub(crate) farmers: u16,
    pub(crate) storage: String,
    pub(crate) disk_reserve: Option<String>,
    pub(crate) absent_grace: Option<String>,
    pub(crate) network: String,
    /// The file of their pre-shared key.
    pub(crate) psk: Option<String>,
}

impl Member {
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Kills it at once (SIGKILL).
    pub(crate) async fn kill(&mut self) -> Result<(), Failure> {
        self.child.kill().await.map_err(|error| Failure::of(Exit::Internal, &error))
    }

    /// Asks it to stop (by closing its pipe), and kills it if it does not.
    async fn stop(&mut self) {
        drop(self.child.stdin.take());
        if tokio::time::timeout(STOP_WAIT, self.child.wait()).await.is_err() {
            // It is gone in either case.
            let _gone = self.child.kill().await;
        }
    }
}

/// Starts the farmers: the first alone, the others with its address.
pub(crate) async fn start(options: &FleetOptions) -> Result<Vec<Member>, Failure> {
    let mut members = vec![launch::start_one(options, 0, None).await?];
    let first = members[0].listen.first().cloned();
    let others = (1..options.farmers).map(|index| launch::start_one(options, index, first.as_deref()));
    for member in futures::future::join_all(others).await {
        members.push(member?);
    }
    Ok(members)
}

/// Stops all that still run.
pub(crate) async fn stop(members: &mut [Member]) {
    futures::future::join_all(members.iter_mut().map(Member::stop)).await;
}
