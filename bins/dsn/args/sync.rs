//! What `dsn sync` takes.

use std::path::PathBuf;

use clap::Subcommand;

#[derive(Debug, clap::Args)]
#[command(after_help = SYNC_NOTES)]
pub(crate) struct Sync {
    #[command(subcommand)]
    pub(crate) command: SyncCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SyncCommand {
    /// Store a folder and let a name of this dsn folder stand for it from now on
    Push(PushSync),
    /// Keep a folder here as a name says, version after version, until Ctrl-C
    Follow(FollowSync),
}

#[derive(Debug, clap::Args)]
pub(crate) struct PushSync {
    /// The folder to store
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
    /// The name, as it is called here
    #[arg(value_name = "LABEL")]
    pub(crate) label: String,
    /// How long the name holds without being renewed, such as 7d; 90d at most
    #[arg(long, value_name = "DUR", default_value = "30d")]
    pub(crate) ttl: String,
    /// Keep this version and the newest ones before it, so many in all, and give up older ones
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) keep: Option<u32>,
    /// Overrule what somebody else has published with the same key
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct FollowSync {
    /// The name, or what it is called here
    #[arg(value_name = "NAME|LABEL")]
    pub(crate) name: String,
    /// The folder to keep; it is made when it is not there
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
    /// How often to ask; a version that is announced is fetched at once
    #[arg(long, value_name = "DUR", default_value = "30s")]
    pub(crate) every: String,
    /// Fetch what is new and end
    #[arg(long)]
    pub(crate) once: bool,
    /// Give up what was changed in DIR, and take what the network has
    #[arg(long)]
    pub(crate) force: bool,
}

const SYNC_NOTES: &str =
    "Only what has changed travels, both ways. A folder that is followed is replaced as a whole, at once: whatever
happens, it is the old version or the new one. What was changed in it here is never given up without --force:
follow then ends with an error and touches nothing. What is pushed is public, as everything is that is put
without --private. Old versions are kept until --keep or `dsn rm CID` gives them up. What has not changed
gets no new number.

When two folders push under one name without knowing of each other, the second is told what the first one
said, and nothing is overruled without --force: follow first, bring in your changes, push again.

Examples:
  dsn name new site                            make the name, once; prints it
  dsn sync push site site                      store the folder ./site under it; again after each change
  dsn sync push site site --keep 10            the same, and give up what is older than the newest 10
  dsn sync follow dsn:n1:… copy                on another machine: keep ./copy the same
  dsn sync follow dsn:n1:… copy --once         the same from a timer";
