//! `dsn network`: what a founder does with a closed network. Each command has its file; here is what they share.

mod invite;
mod invited;
mod members;
mod new;
mod revoke;

use dsn_cli::{Exit, Failure};
use dsn_core::identity::Identity;

pub(crate) use self::invited::Invited;
use crate::{
    args::NetworkCommand,
    context::Context,
    membership::{FOUNDER_KEY, Joined},
};

pub(crate) async fn run(context: &Context, command: &NetworkCommand) -> Result<(), Failure> {
    match command {
        NetworkCommand::New(new) => new::run(context, new),
        NetworkCommand::Invite(invite) => invite::run(context, invite),
        NetworkCommand::Revoke(revoke) => revoke::run(context, revoke).await,
        NetworkCommand::Members => members::run(context),
    }
}

/// The network of this folder and its founder's key.
fn founded(context: &Context) -> Result<(&Joined, Identity), Failure> {
    let Some(joined) = &context.joined else {
        let error = format!("{} belongs to no closed network", context.folder.shown());
        return Err(Failure::new(Exit::Usage, error).hint("make one with `dsn network new NAME`"));
    };
    let key = context.folder.existing_key(FOUNDER_KEY)?.filter(|key| key.node_id() == joined.membership.founder());
    let not_here = || {
        Failure::new(Exit::Key, format!("the founder's key of {} is not in {}", joined.label(), context.folder.shown()))
            .hint("only the founder's folder, where `dsn network new` was run, can do this")
    };
    Ok((joined, key.ok_or_else(not_here)?))
}
