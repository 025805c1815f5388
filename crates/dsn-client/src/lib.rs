//! `put`, `get` and `stat`, written against the ports of `dsn-core`: the same code runs on libp2p and in the simulator.
//! Decisions are state machines without I/O (`place`, `fetch`); `upload` and `download` drive them for one chunk, `put`
//! and `get` for a file; `within` and `range` do it for parts of them. No adapter is named here, and nothing is printed: callers get typed reports, errors and events.

pub mod archive;
mod batch;
mod client;
mod contents;
mod custodians;
mod cutting;
mod directory;
mod download;
mod drive;
mod error;
mod export;
mod fetch;
mod folder;
mod get;
mod get_folder;
pub mod input;
mod leases;
mod names;
mod opened;
mod options;
pub mod output;
mod place;
mod progress;
mod put;
mod put_folder;
mod put_sealed;
mod range;
mod repair;
mod repair_file;
mod room;
mod scores;
mod seed;
mod stat;
pub mod tree;
mod uneven;
mod upload;
mod watchdog;
mod within;

pub use client::{Client, ClientParts};
pub use error::{GetError, PutError, RepairError, StatError};
pub use export::{ExportReport, Lacking};
pub use fetch::{HolderAnswer, Miss};
pub use folder::{FolderWalk, Named, NamedFile, NamedFolder};
pub use get::GetReport;
pub use leases::{Keep, LeaseReport};
pub use names::{NameError, NameVersion, OtherWriters, PublishName, PublishedName, ResolvedName};
pub use options::{Certainty, Chunking, ClientOptions, ParseChunkingError, Privacy, PutOptions, Safety};
pub use progress::{NoProgress, Progress, ProgressEvent};
pub use put::PutReport;
pub use repair::{Ailing, Repaired, Survey};
pub use repair_file::RepairReport;
pub use stat::StatReport;
