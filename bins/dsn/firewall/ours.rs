//! The farmer that runs in the folder: what it is asked about the firewall, and that it goes by other rules at once.

use std::time::{Duration, Instant};

use dsn_cli::{Exit, Failure, note};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{context::Context, control};

/// What a farmer is asked; a number follows the last two.
pub(crate) const RELOAD: &str = "firewall reload";
pub(crate) const LIST: &str = "firewall list";
pub(crate) const PENDING: &str = "firewall pending";
pub(crate) const APPROVE: &str = "firewall approve";
pub(crate) const REJECT: &str = "firewall reject";

/// A farmer that is only starting is waited for, but no longer than this.
const STARTING: Duration = Duration::from_secs(10);
const TRY_AGAIN: Duration = Duration::from_millis(50);

/// A farmer's answer as it crosses its socket.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reply<T> {
    Done(T),
    Failed(String),
}

/// Has the farmer that runs in the folder go by the file, one that is just starting too: it may have read it before.
pub(super) async fn apply(context: &Context) -> Result<(), Failure> {
    let begun = Instant::now();
    loop {
        if ask::<()>(context, RELOAD, Exit::Configuration).await?.is_some() {
            return Ok(());
        }
        if !control::is_there(&context.folder) {
            note("no farmer runs here: the rules hold for what is started from now on");
            return Ok(());
        }
        if begun.elapsed() > STARTING {
            let error = "the rules are changed, but the farmer that runs here does not answer";
            return Err(Failure::new(Exit::AlreadyRunning, error).hint("start it again; then it goes by them"));
        }
        tokio::time::sleep(TRY_AGAIN).await;
    }
}

/// Asks the farmer that runs in the folder; none when none answers. `refused` is what its refusal means.
pub(super) async fn ask<T: DeserializeOwned>(
    context: &Context,
    question: &str,
    refused: Exit,
) -> Result<Option<T>, Failure> {
    let Some(answer) = control::ask(&context.folder, question).await else { return Ok(None) };
    match serde_json::from_str(&answer) {
        Ok(Reply::Done(answer)) => Ok(Some(answer)),
        Ok(Reply::Failed(error)) => Err(Failure::new(refused, error)),
        Err(_) => {
            Err(Failure::new(Exit::AlreadyRunning, "the farmer that runs here is of a version without a firewall")
                .hint("stop it and start this version"))
        }
    }
}
