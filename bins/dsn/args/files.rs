//! What commands take that are about a file on the network.

use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(crate) struct Put {
    /// The file to store; - for standard input
    pub(crate) path: PathBuf,
    /// How many machines may fail: low, normal or high
    #[arg(long, value_name = "CLASS")]
    pub(crate) redundancy: Option<String>,
    /// Store even if no machine may fail
    #[arg(long)]
    pub(crate) allow_unsafe: bool,
    /// How long to keep it, such as 30d (default: 90d, renewed by a farmer running in this folder; without end in a
    /// closed network)
    #[arg(long, value_name = "DUR")]
    pub(crate) ttl: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Get {
    /// The file's CID
    pub(crate) cid: String,
    /// Where to write it; - for standard output (default: the CID)
    #[arg(short, long, value_name = "OUT")]
    pub(crate) output: Option<PathBuf>,
    /// Replace a file that exists
    #[arg(long)]
    pub(crate) force: bool,
    /// Keep what was fetched when the disk fills up
    #[arg(long)]
    pub(crate) keep_partial: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Cat {
    /// The file's CID
    pub(crate) cid: String,
}

impl From<Cat> for Get {
    fn from(cat: Cat) -> Self {
        Self { cid: cat.cid, output: Some("-".into()), force: false, keep_partial: false }
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Stat {
    /// The file's CID
    pub(crate) cid: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Repair {
    /// The file's CID
    pub(crate) cid: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Rm {
    /// The file's CID
    pub(crate) cid: String,
}
