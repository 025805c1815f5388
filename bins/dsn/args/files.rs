//! What commands take that are about a file on the network.

use std::{ffi::OsString, path::PathBuf};

const PUT_EXAMPLES: &str = "Examples:
  dsn put photo.tif
  pg_dump club | dsn put --chunking cdc -   # the next dump, put so too, sends only what is new in it
  dsn put --private diary";

#[derive(Debug, clap::Args)]
#[command(after_help = PUT_EXAMPLES)]
pub(crate) struct Put {
    /// The file or folder to store; - for standard input
    pub(crate) path: PathBuf,
    /// How many machines may fail: low, normal or high
    #[arg(long, value_name = "CLASS")]
    pub(crate) redundancy: Option<String>,
    /// Store even if no machine may fail
    #[arg(long)]
    pub(crate) allow_unsafe: bool,
    /// Seal it: only who has the capability that is printed can read it
    #[arg(long, conflicts_with = "public")]
    pub(crate) private: bool,
    /// Seal it with keys that are drawn, so that the same file put again is another one
    #[arg(long, conflicts_with = "public")]
    pub(crate) random_key: bool,
    /// Do not seal it, whatever the configuration says
    #[arg(long)]
    pub(crate) public: bool,
    /// Where to cut files above 64 KiB: fixed (every 16 MiB), or cdc (where the content says, so that a file that was
    /// changed is sent again only around the changes). The CID of one is not that of the other
    #[arg(long, value_name = "HOW")]
    pub(crate) chunking: Option<String>,
    /// Leave out devices, FIFOs and sockets of a folder, and say which
    #[arg(long)]
    pub(crate) skip_special: bool,
    /// How long to keep it, such as 30d (default: 90d, renewed by a farmer running in this folder; without end in a
    /// closed network)
    #[arg(long, value_name = "DUR")]
    pub(crate) ttl: Option<String>,
}

impl Put {
    /// Whether it is to be sealed, when that was said.
    pub(crate) fn private(&self) -> Option<bool> {
        if self.public { Some(false) } else { (self.private || self.random_key).then_some(true) }
    }
}

/// What is read.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Wanted {
    /// A CID, a name or a capability, or something in a folder: CID/PATH. With a capability from elsewhere, the PATH
    /// alone
    #[arg(value_name = "CID[/PATH]")]
    pub(crate) target: Option<OsString>,
    /// File with the capability, out of sight of others on this machine; - for standard input
    #[arg(long, value_name = "FILE", env = "DSN_CAP_FILE")]
    pub(crate) cap: Option<PathBuf>,
}

/// Where what is read goes.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Out {
    /// Where to write it; - for standard output (default: the last name of the path, or the CID; for a part of a file
    /// .OFFSET+LENGTH after it)
    #[arg(short, long, value_name = "OUT")]
    pub(crate) output: Option<PathBuf>,
    /// Replace what exists
    #[arg(long)]
    pub(crate) force: bool,
    /// Keep what was written when the disk fills up
    #[arg(long)]
    pub(crate) keep_partial: bool,
}

/// Which part of a file.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Range {
    /// Begin here, such as 4096 or 10MiB from the start: only what is needed of the file travels
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    pub(crate) offset: Option<String>,
    /// Read so many bytes (default: to the end)
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    pub(crate) length: Option<String>,
}

impl Range {
    /// Whether it is a part at all.
    pub(crate) fn is_some(&self) -> bool {
        self.offset.is_some() || self.length.is_some()
    }
}

const GET_EXAMPLES: &str = "Examples:
  dsn get bafib4i… -o photo.tif
  dsn get bafib4i… --offset 1GiB --length 64KiB -o part   # reads no more than it needs; begins anew when run again";

const CAT_EXAMPLES: &str = "Examples:
  dsn cat bafib4i… | tar t
  dsn cat bafib4i… --offset 1GiB --length 64KiB | xxd";

#[derive(Debug, clap::Args)]
#[command(after_help = GET_EXAMPLES)]
pub(crate) struct Get {
    #[command(flatten)]
    pub(crate) wanted: Wanted,
    #[command(flatten)]
    pub(crate) out: Out,
    #[command(flatten)]
    pub(crate) range: Range,
}

#[derive(Debug, clap::Args)]
#[command(after_help = CAT_EXAMPLES)]
pub(crate) struct Cat {
    #[command(flatten)]
    pub(crate) wanted: Wanted,
    #[command(flatten)]
    pub(crate) range: Range,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Ls {
    #[command(flatten)]
    pub(crate) wanted: Wanted,
    /// Show what is in the folders within too
    #[arg(short, long)]
    pub(crate) recursive: bool,
}

impl From<Cat> for Get {
    fn from(cat: Cat) -> Self {
        let out = Out { output: Some("-".into()), ..Out::default() };
        Self { wanted: cat.wanted, out, range: cat.range }
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Cap {
    #[command(subcommand)]
    pub(crate) command: CapCommand,
}

#[derive(Debug, clap::Subcommand)]
pub(crate) enum CapCommand {
    /// Print the CID that lets others audit, repair and keep what the capability reads, and read nothing of it
    Verify {
        #[command(flatten)]
        wanted: Wanted,
    },
    /// Print the capability sealed for one reader, as age does it; he opens it with `age --decrypt`
    Seal {
        #[command(flatten)]
        wanted: Wanted,
        /// The reader's age recipient: age1…
        #[arg(long, value_name = "RECIPIENT")]
        to: String,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct Stat {
    /// The file's CID, or a name that stands for it
    pub(crate) cid: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Repair {
    /// The file's CID, or a name that stands for it
    pub(crate) cid: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Rm {
    /// The file's CID
    pub(crate) cid: String,
}
