//! What `dsn firewall` takes. The words of a rule are understood by the rule itself.

use clap::Subcommand;

#[derive(Debug, clap::Args)]
#[command(after_help = FIREWALL_NOTES)]
pub(crate) struct Firewall {
    #[command(subcommand)]
    pub(crate) command: FirewallCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum FirewallCommand {
    /// Show the rules in the order in which they decide
    List,
    /// Let through what is named
    Allow(What),
    /// Refuse what is named
    Deny(What),
    /// Have what is named wait for your word
    Ask(What),
    /// Take away a rule that was made by command
    Remove {
        /// Its number in the list
        #[arg(value_name = "N")]
        name: String,
    },
    /// Show what waits for your word
    Pending,
    /// Let through what waits; holds for ten minutes
    Approve(Answer),
    /// Refuse what waits; holds for ten minutes
    Reject(Answer),
}

#[derive(Debug, clap::Args)]
pub(crate) struct What {
    /// Any of: in or out, a kind of request, a peer id or member, an address or range
    #[arg(required = true, value_name = "WHAT")]
    pub(crate) words: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Answer {
    /// Its number among what waits
    #[arg(value_name = "N")]
    pub(crate) number: u64,
    /// Make a rule of it
    #[arg(long)]
    pub(crate) always: bool,
}

const FIREWALL_NOTES: &str =
    "The first rule that matches decides, from the top of the list: rules made by command, the newest
first, then those of the configuration (firewall.rules), then firewall.default for what comes in
and firewall.default_out for what goes out. Changes apply at once to the farmer that runs in this
folder and last over restarts; commands on the network keep the rules they began with.

Kinds: connect (any connection), piece.get, piece.put, locator, audit, lease, repair, info, relay.
A peer that may do nothing at all is not even connected. A command such as put is another peer
each time it runs, so that nobody can tell who put and got what. In a closed network name the
member instead, by the id that `dsn network members` shows: that is all nodes that act for it. In
an open one all that is left to know a command by is its address.

Examples:
  dsn firewall deny 203.0.113.0/24         nobody from there, and nothing to there
  dsn firewall ask in piece.put            nobody leaves pieces here without your word
  dsn firewall deny out piece.put 12D3…    never store anything there
  dsn firewall deny in piece.put 12D3…     nothing from this peer, or this member of a closed network
  dsn firewall pending                     who waits for your word
  dsn firewall approve 4 --always          let them, and do not ask again";
