//! What `dsn name` takes.

use clap::Subcommand;

#[derive(Debug, clap::Args)]
#[command(after_help = NAME_NOTES)]
pub(crate) struct Name {
    #[command(subcommand)]
    pub(crate) command: NameCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum NameCommand {
    /// Make a name: a key in this folder; prints the name
    New(NewName),
    /// Say what a name of this folder stands for from now on
    Publish(PublishName),
    /// Print the CID that a name stands for
    Resolve(ResolveName),
    /// Show the names of this folder
    List,
    /// Print what a name stands for, and each new version, until Ctrl-C
    Follow(FollowName),
}

#[derive(Debug, clap::Args)]
pub(crate) struct NewName {
    /// What to call it here: a-z, 0-9, '-', '_', '.'
    pub(crate) label: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct PublishName {
    /// The name, as it is called here
    pub(crate) label: String,
    /// What it is to stand for; of what is private the CID too, which `dsn cap verify` prints, never the capability
    pub(crate) cid: String,
    /// How long it holds without being renewed, such as 7d; 90d at most
    #[arg(long, value_name = "DUR", default_value = "30d")]
    pub(crate) ttl: String,
    /// Overrule what somebody else has published with the same key
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ResolveName {
    /// The name, or what it is called here
    #[arg(value_name = "NAME|LABEL")]
    pub(crate) name: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct FollowName {
    /// The name, or what it is called here
    #[arg(value_name = "NAME|LABEL")]
    pub(crate) name: String,
    /// How often to ask; a version that is announced is printed at once
    #[arg(long, value_name = "DUR", default_value = "30s")]
    pub(crate) every: String,
}

const NAME_NOTES: &str =
    "A name stays while what it stands for changes: whoever has its key, which is in this folder, says what that
is, in signed versions with growing numbers. dsn get, cat, ls, stat and repair take a name wherever they
take a CID. A farmer that runs in this folder renews its names; without one they end when their time is over.

A name's record is public and holds a CID, never a key: of what was put with --private publish the CID that
`dsn cap verify` prints. Who reads it needs the capability as well, a new one for each version.

When two folders have the same key and publish without knowing of each other, dsn tells both and merges
nothing: publish again with --force to overrule what the other one said.

Examples:
  dsn name new photos                          make a name; prints it
  dsn name publish photos bafib4i…             say what it stands for
  dsn name resolve dsn:n1:…                    print what it stands for
  dsn get dsn:n1:…/2026/cat.jpg                bring a file of it
  dsn name follow dsn:n1:… | while read number cid; do dsn get --force \"$cid\" -o photos; done";
