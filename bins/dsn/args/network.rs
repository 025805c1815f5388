//! What commands take that are about closed networks.

use clap::Subcommand;

#[derive(Debug, clap::Args)]
pub(crate) struct Network {
    #[command(subcommand)]
    pub(crate) command: NetworkCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum NetworkCommand {
    /// Make a closed network; this folder becomes its founder's
    New(New),
    /// Invite somebody; prints an invitation, which is a secret
    Invite(Invite),
    /// Take a membership back, at once
    Revoke(Revoke),
    /// Show who was invited
    Members,
}

#[derive(Debug, clap::Args)]
pub(crate) struct New {
    /// What to call it: a-z, 0-9, '-', '_', '.'
    pub(crate) name: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Invite {
    /// Who it is for, as `dsn network members` shows it (default: member and a number)
    #[arg(long, value_name = "LABEL")]
    pub(crate) name: Option<String>,
    /// How long the membership lasts, such as 30d (default: without end)
    #[arg(long, value_name = "DUR")]
    pub(crate) expires: Option<String>,
    /// How much each farmer of the network keeps of this member, such as 50GiB; who has a quota puts files and lends no space
    /// (default: as much as there is room for)
    #[arg(long, value_name = "SIZE")]
    pub(crate) quota: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Revoke {
    /// The member: its id, or its label
    pub(crate) member: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Join {
    /// The invitation, a file with it, or - for standard input (default: DSN_INVITATION)
    pub(crate) invitation: Option<String>,
}
