//! What a user names: a CID, or a path within a folder, `CID/PATH`; a name may stand for the CID. Paths are taken byte for
//! byte.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
    path::PathBuf,
};

use dsn_cli::{Exit, Failure};
use dsn_client::Client;
use dsn_core::{cid::Cid, folder::EntryPath, name::Name};

use crate::{failures, own_names::parse_name};

/// A file or folder as a user typed it: what it is may have to be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Root {
    /// It says so itself.
    Cid(Cid),
    /// What this name stands for.
    Name(Name),
}

/// A file, or something in a folder, as a user typed it.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    root: Root,
    path: Option<EntryPath>,
}

/// A file, or something in a folder.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) cid: Cid,
    pub(crate) path: Option<EntryPath>,
}

/// Reads a CID as a user typed it.
pub(crate) fn parse_cid(text: &str) -> Result<Cid, Failure> {
    text.parse().map_err(|error| Failure::of(Exit::Usage, &error).hint("`dsn put FILE` prints a file's CID"))
}

impl Root {
    /// Reads a CID or a name.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        if text.starts_with("dsn:") { parse_name(text).map(Self::Name) } else { parse_cid(text).map(Self::Cid) }
    }

    /// Its CID, which a name is asked for.
    pub(crate) async fn resolve(self, client: &Client) -> Result<Cid, Failure> {
        match self {
            Self::Cid(cid) => Ok(cid),
            Self::Name(name) => {
                let resolved = client.resolve_name(name).await;
                let resolved = resolved.map_err(|error| failures::name(&error))?;
                resolved.current(name).map(|body| body.root).map_err(|error| failures::name(&error))
            }
        }
    }
}

impl Wanted {
    /// Reads a CID or a name, with a path or without.
    pub(crate) fn parse(text: &OsStr) -> Result<Self, Failure> {
        let bytes = text.as_bytes();
        let (cid, path) = match bytes.iter().position(|byte| *byte == b'/') {
            Some(slash) => (&bytes[..slash], &bytes[slash + 1..]),
            None => (bytes, &bytes[bytes.len()..]),
        };
        let root = Root::parse(&String::from_utf8_lossy(cid))?;
        let path = without_slashes(path);
        if path.is_empty() {
            return Ok(Self { root, path: None });
        }
        let bad = |error| {
            let failure = Failure::of(Exit::Usage, &error).named("this is no path within a folder");
            failure.hint("`dsn ls CID` shows what is in it")
        };
        Ok(Self { root, path: Some(EntryPath::new(path.to_vec()).map_err(bad)?) })
    }

    /// The name that it gets here when nobody says another: the last of its path, or its CID or name.
    pub(crate) fn default_name(&self) -> PathBuf {
        match &self.path {
            Some(path) => OsString::from(OsStr::from_bytes(path.name())).into(),
            None => match self.root {
                Root::Cid(cid) => cid.to_string().into(),
                Root::Name(name) => name.to_string().into(),
            },
        }
    }

    /// The CID and the path.
    pub(crate) async fn resolve(&self, client: &Client) -> Result<Target, Failure> {
        Ok(Target { cid: self.root.resolve(client).await?, path: self.path.clone() })
    }
}

fn without_slashes(path: &[u8]) -> &[u8] {
    let end = path.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
    &path[..end]
}

#[cfg(test)]
mod tests {
    use dsn_core::hash::{ChunkId, Hash};

    use super::*;

    #[test]
    fn a_path_follows_the_cid_byte_for_byte() {
        let cid = Cid(ChunkId(Hash::of(b"a folder"))).to_string();
        let path = |rest: &[u8]| {
            let text = [cid.as_bytes(), rest].concat();
            Wanted::parse(OsStr::from_bytes(&text)).map(|target| target.path.map(|path| path.as_bytes().to_vec()))
        };
        for (rest, wanted) in [
            (&b""[..], None),
            (b"/", None),
            (b"/docs", Some(b"docs".to_vec())),
            (b"/docs//", Some(b"docs".to_vec())),
            (b"/a/b\xff\n.c", Some(b"a/b\xff\n.c".to_vec())),
            (b"/two words ", Some(b"two words ".to_vec())),
        ] {
            assert_eq!(path(rest).expect("a target"), wanted);
        }
        for bad in [&b"/../x"[..], b"//x", b"/a//b", b"/./b"] {
            assert_eq!(path(bad).expect_err("no path").exit, Exit::Usage, "{bad:?}");
        }
        assert!(Wanted::parse(OsStr::new("docs/x")).is_err(), "no CID");
    }

    #[test]
    fn a_name_is_taken_for_a_cid_and_a_wrong_one_is_a_mistake_of_usage() {
        let name = Name(dsn_core::node_id::NodeId([7; 32]));
        let wanted = Wanted::parse(OsStr::new(&format!("{name}/docs/x"))).expect("a name and a path");
        assert_eq!(wanted.root, Root::Name(name));
        assert_eq!(wanted.path.expect("a path").as_bytes(), b"docs/x");
        let wrong = format!("{name}").replace("n1:", "n1:a");
        for text in [wrong.as_str(), "dsn:n2:abc", "dsn:", "dsn:n1:"] {
            assert_eq!(Wanted::parse(OsStr::new(text)).expect_err(text).exit, Exit::Usage);
        }
    }
}
