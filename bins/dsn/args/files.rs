//! What commands take that are about a file on the network.

use std::{ffi::OsString, path::PathBuf};

#[derive(Debug, clap::Args)]
pub(crate) struct Put {
    /// The file or folder to store; - for standard input
    pub(crate) path: PathBuf,
    /// How many machines may fail: low, normal or high
    #[arg(long, value_name = "CLASS")]
    pub(crate) redundancy: Option<String>,
    /// Store even if no machine may fail
    #[arg(long)]
    pub(crate) allow_unsafe: bool,
    /// Leave out devices, FIFOs and sockets of a folder, and say which
    #[arg(long)]
    pub(crate) skip_special: bool,
    /// How long to keep it, such as 30d (default: 90d, renewed by a farmer running in this folder; without end in a
    /// closed network)
    #[arg(long, value_name = "DUR")]
    pub(crate) ttl: Option<String>,
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
    /// The CID, or what is wanted of a folder: CID/PATH; or a name instead of the CID
    #[arg(value_name = "CID[/PATH]")]
    pub(crate) target: OsString,
    /// Where to write it; - for standard output (default: the last name of the path, or the CID; for a part
    /// .OFFSET+LENGTH after it)
    #[arg(short, long, value_name = "OUT")]
    pub(crate) output: Option<PathBuf>,
    /// Replace what exists
    #[arg(long)]
    pub(crate) force: bool,
    /// Keep what was fetched when the disk fills up
    #[arg(long)]
    pub(crate) keep_partial: bool,
    #[command(flatten)]
    pub(crate) range: Range,
}

#[derive(Debug, clap::Args)]
#[command(after_help = CAT_EXAMPLES)]
pub(crate) struct Cat {
    /// The file's CID, or a file of a folder: CID/PATH; or a name instead of the CID
    #[arg(value_name = "CID[/PATH]")]
    pub(crate) target: OsString,
    #[command(flatten)]
    pub(crate) range: Range,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Ls {
    /// The folder's CID, or a folder within it: CID/PATH; or a name instead of the CID
    #[arg(value_name = "CID[/PATH]")]
    pub(crate) target: OsString,
    /// Show what is in the folders within too
    #[arg(short, long)]
    pub(crate) recursive: bool,
}

impl From<Cat> for Get {
    fn from(cat: Cat) -> Self {
        Self { target: cat.target, output: Some("-".into()), force: false, keep_partial: false, range: cat.range }
    }
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
