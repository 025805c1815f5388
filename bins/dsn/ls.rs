//! `dsn ls`: what is in a folder, without fetching any file.

use std::ffi::OsStr;

use dsn_cli::{Failure, human_bytes, print_line, print_raw};
use dsn_client::{Client, FolderWalk, GetError, Named, NamedFolder};
use dsn_core::{
    cid::Cid,
    folder::{Entry, EntryPath, Place, What},
};
use serde::Serialize;

use crate::{args::Ls, context::Context, failures, interrupt::Interrupts, session::Session, target::Asked};

#[derive(Serialize)]
struct EntryJson {
    path: String,
    /// Only when the path is no text: its bytes in hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    path_hex: Option<String>,
    kind: &'static str,
    bytes: u64,
    /// Only of a file that is a file of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    cid: Option<String>,
    /// Only of a link.
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
}

pub(crate) async fn run(context: &Context, args: &Ls) -> Result<(), Failure> {
    let mut interrupts = Interrupts::listen()?;
    let asked = Asked::of(&args.wanted)?;
    let session = Session::open(context).await?;
    let list = async {
        let target = asked.resolve(&session.client).await?;
        let named = session.client.named(target.cid, target.key.as_ref(), target.path.as_ref()).await;
        match named.map_err(|error| failures::get(&error))? {
            Named::Folder(folder) => {
                let listing = Listing::begin(context.json, target.cid, folder.base().cloned());
                list(&session.client, &folder, args.recursive, listing).await.map_err(|error| failures::get(&error))
            }
            Named::File(file) => {
                let mut listing = Listing::begin(context.json, target.cid, None);
                let name = target.path.clone().unwrap_or_else(|| itself(target.cid));
                listing.row(name, if file.executable { "executable" } else { "file" }, file.len(), None, None);
                listing.end();
                Ok(())
            }
            Named::Link(says) => {
                let mut listing = Listing::begin(context.json, target.cid, None);
                let name = target.path.clone().unwrap_or_else(|| itself(target.cid));
                listing.row(name, "link", 0, None, Some(shown(&says)));
                listing.end();
                Ok(())
            }
        }
    };
    let done = interrupts.or(list, "nothing was changed").await;
    session.close(context).await;
    done
}

fn itself(cid: Cid) -> EntryPath {
    EntryPath::new(cid.to_string().into_bytes()).expect("a CID is a name")
}

/// As people read what a link says.
fn shown(target: &[u8]) -> String {
    let text = OsStr::to_string_lossy(std::os::unix::ffi::OsStrExt::from_bytes(target));
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

async fn list(client: &Client, folder: &NamedFolder, recursive: bool, mut listing: Listing) -> Result<(), GetError> {
    let mut walk = FolderWalk::new(folder);
    while let Some(entry) = client.next_entry(&mut walk).await? {
        if matches!(entry.what, What::Folder) && !recursive {
            walk.skip_within(&entry.path);
        }
        listing.entry(entry);
    }
    listing.end();
    Ok(())
}

/// Writes entries as they come: a folder may have millions.
struct Listing {
    json: bool,
    is_first: bool,
    base: Option<EntryPath>,
}

impl Listing {
    fn begin(json: bool, cid: Cid, base: Option<EntryPath>) -> Self {
        if json {
            print_raw(format!("{{\"cid\":\"{cid}\",\"entries\":[").as_bytes());
        }
        Self { json, is_first: true, base }
    }

    fn entry(&mut self, entry: Entry) {
        let bytes = entry.len();
        let (kind, cid, target) = match entry.what {
            What::Folder => ("folder", None, None),
            What::Link(says) => ("link", None, Some(shown(&says))),
            What::File { executable, place } => {
                let cid = if let Place::Alone { cid, .. } = place { Some(cid) } else { None };
                (if executable { "executable" } else { "file" }, cid, None)
            }
        };
        let path = self.base.as_ref().and_then(|base| entry.path.below(base)).unwrap_or(entry.path);
        self.row(path, kind, bytes, cid, target);
    }

    fn row(&mut self, path: EntryPath, kind: &'static str, bytes: u64, cid: Option<Cid>, target: Option<String>) {
        if self.json {
            let path_hex = std::str::from_utf8(path.as_bytes()).is_err();
            let path_hex = path_hex.then(|| data_encoding::HEXLOWER.encode(path.as_bytes()));
            let path = String::from_utf8_lossy(path.as_bytes()).into_owned();
            let cid = cid.map(|cid| cid.to_string());
            let row = EntryJson { path, path_hex, kind, bytes, cid, target };
            let text = serde_json::to_string(&row).expect("texts and numbers are JSON");
            print_raw(format!("{}{text}", if self.is_first { "" } else { "," }).as_bytes());
        } else {
            let size = if matches!(kind, "file" | "executable") { human_bytes(bytes) } else { "-".into() };
            let says = target.map(|target| format!(" -> {target}")).unwrap_or_default();
            let slash = if kind == "folder" { "/" } else { "" };
            print_line(&format!("{kind:<10} {size:>10}  {path}{slash}{says}"));
        }
        self.is_first = false;
    }

    fn end(&self) {
        if self.json {
            print_raw(b"]}\n");
        }
    }
}
