//! What a user names: a CID, or a path within a folder, `CID/PATH`. Paths are taken byte for byte.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
    path::PathBuf,
};

use dsn_cli::{Exit, Failure};
use dsn_core::{cid::Cid, folder::EntryPath};

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

impl Target {
    /// Reads a CID, with a path or without.
    pub(crate) fn parse(text: &OsStr) -> Result<Self, Failure> {
        let bytes = text.as_bytes();
        let (cid, path) = match bytes.iter().position(|byte| *byte == b'/') {
            Some(slash) => (&bytes[..slash], &bytes[slash + 1..]),
            None => (bytes, &bytes[bytes.len()..]),
        };
        let cid = parse_cid(&String::from_utf8_lossy(cid))?;
        let path = without_slashes(path);
        if path.is_empty() {
            return Ok(Self { cid, path: None });
        }
        let bad = |error| {
            let failure = Failure::of(Exit::Usage, &error).named("this is no path within a folder");
            failure.hint("`dsn ls CID` shows what is in it")
        };
        Ok(Self { cid, path: Some(EntryPath::new(path.to_vec()).map_err(bad)?) })
    }

    /// The name that it gets here when nobody says another: the last of its path, or its CID.
    pub(crate) fn default_name(&self) -> PathBuf {
        match &self.path {
            Some(path) => OsString::from(OsStr::from_bytes(path.name())).into(),
            None => self.cid.to_string().into(),
        }
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
            Target::parse(OsStr::from_bytes(&text)).map(|target| target.path.map(|path| path.as_bytes().to_vec()))
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
        assert!(Target::parse(OsStr::new("docs/x")).is_err(), "no CID");
    }
}
