//! `dsn sync`: a folder that changes, under a name. Each command has its file; what is remembered of folders that are kept
//! in step is in `replica`.

mod follow;
mod push;
mod replica;
mod switch;

use dsn_cli::Failure;

use crate::{args::SyncCommand, context::Context};

pub(crate) async fn run(context: &Context, command: &SyncCommand) -> Result<(), Failure> {
    match command {
        SyncCommand::Push(push) => push::run(context, push).await,
        SyncCommand::Follow(follow) => follow::run(context, follow).await,
    }
}
