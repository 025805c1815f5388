//! `dsn name`: names that stay while what they stand for changes. Each command has its file.

mod follow;
mod list;
mod new;
mod publish;
mod resolve;

pub(crate) use publish::ttl;

use dsn_cli::Failure;

use crate::{args::NameCommand, context::Context};

pub(crate) async fn run(context: &Context, command: &NameCommand) -> Result<(), Failure> {
    match command {
        NameCommand::New(new) => new::run(context, new),
        NameCommand::Publish(publish) => publish::run(context, publish).await,
        NameCommand::Resolve(resolve) => resolve::run(context, resolve).await,
        NameCommand::List => list::run(context),
        NameCommand::Follow(follow) => follow::run(context, follow).await,
    }
}
