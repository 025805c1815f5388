//! What commands take that carry files where there is no network.

use std::{ffi::OsString, path::PathBuf};

use super::files::Out;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Any 16 different pieces of every chunk, from any number of sticks, restore it: `dsn import`.
With --pieces 0-15 on one stick and 16-31 on another each suffices alone; with 0-7 and 8-15 it takes both.
Nothing is encrypted: whoever has 16 pieces of every chunk has the file.

Examples:
  dsn export bafib4i… /media/stick
  dsn export bafib4i… --pieces 16-31 /media/other
  dsn import /media/stick -o photo.tif")]
pub(crate) struct Export {
    /// The CID of the file or folder
    pub(crate) cid: String,
    /// The folder to write into, such as where a stick is mounted; it gets a folder named after the CID
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
    /// Which pieces of every chunk, of 0 to 47
    #[arg(long, value_name = "PIECES", default_value = "0-15")]
    pub(crate) pieces: String,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
No network is opened. Every byte is checked against the CID.

Examples:
  dsn import /media/stick                              the one file that is there
  dsn import /media/a /media/b -o photo.tif            from two sticks
  dsn import /media/a --cid bafib4i…/2026/cat.jpg      one file of a folder")]
pub(crate) struct Import {
    /// Folders that hold exported pieces, or in which there are such folders
    #[arg(required = true, value_name = "DIR")]
    pub(crate) folders: Vec<PathBuf>,
    /// What to bring back, when there is more than one file or folder
    #[arg(long, value_name = "CID[/PATH]")]
    pub(crate) cid: Option<OsString>,
    #[command(flatten)]
    pub(crate) out: Out,
}
