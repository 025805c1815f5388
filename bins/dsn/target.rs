//! What a user names: a CID or a read capability, or a path within a folder, `CID/PATH`. Paths are taken byte for byte. A
//! capability may come from a file, standard input or the environment, since others on this machine see arguments.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::Read,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use dsn_cli::{Exit, Failure};
use dsn_core::{
    capability::{Capability, CapabilityError, READ_PREFIX},
    cid::Cid,
    folder::EntryPath,
    seal::Key,
};
use zeroize::Zeroizing;

use crate::args::Wanted;

/// Bytes of a capability and a path that are read from a file.
const CAP_FILE_MAX_BYTES: u64 = 64 * 1024;

/// The variable with a capability or a CID, instead of an argument that others on this machine can see.
const CAP_VARIABLE: &str = "DSN_CAP";

/// A file, or something in a folder.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) cid: Cid,
    /// What opens it, when it is sealed.
    pub(crate) key: Option<Key>,
    pub(crate) path: Option<EntryPath>,
}

/// Reads a CID as a user typed it; of a capability, the CID in it.
pub(crate) fn parse_cid(text: &str) -> Result<Cid, Failure> {
    if text.starts_with(READ_PREFIX) {
        return Ok(parse_capability(text)?.cid);
    }
    text.parse().map_err(|error| Failure::of(Exit::Usage, &error).hint("`dsn put FILE` prints a file's CID"))
}

fn parse_capability(text: &str) -> Result<Capability, Failure> {
    let hint = "copy the whole of what `dsn put --private` printed";
    text.parse().map_err(|error: CapabilityError| Failure::of(Exit::Usage, &error).hint(hint))
}

impl Target {
    /// What a command is to read: its argument, or the capability in a file or the environment with the argument as a path.
    pub(crate) fn of(wanted: &Wanted) -> Result<Self, Failure> {
        let elsewhere = match &wanted.cap {
            Some(file) => Some(Zeroizing::new(read_capability(file)?)),
            None => std::env::var(CAP_VARIABLE).ok().map(Zeroizing::new),
        };
        match (elsewhere, &wanted.target) {
            (Some(text), Some(path)) if wanted.cap.is_some() || !is_target(path) => {
                let mut whole = OsString::from(text.trim());
                whole.push("/");
                whole.push(path);
                Self::parse(&whole)
            }
            (_, Some(target)) => Self::parse(target),
            (Some(text), None) => Self::parse(OsStr::new(text.trim())),
            (None, None) => Err(Failure::new(Exit::Usage, "nothing was named")
                .hint("name a CID or a capability, or a file with one: --cap FILE")),
        }
    }

    /// Reads a CID or a capability, with a path or without.
    pub(crate) fn parse(text: &OsStr) -> Result<Self, Failure> {
        let bytes = text.as_bytes();
        let (name, path) = match bytes.iter().position(|byte| *byte == b'/') {
            Some(slash) => (&bytes[..slash], &bytes[slash + 1..]),
            None => (bytes, &bytes[bytes.len()..]),
        };
        let name = Zeroizing::new(String::from_utf8_lossy(name).into_owned());
        let (cid, key) = if name.starts_with(READ_PREFIX) {
            let Capability { cid, key } = parse_capability(&name)?;
            (cid, Some(key))
        } else {
            (parse_cid(&name)?, None)
        };
        let path = without_slashes(path);
        if path.is_empty() {
            return Ok(Self { cid, key, path: None });
        }
        let bad = |error| {
            let failure = Failure::of(Exit::Usage, &error).named("this is no path within a folder");
            failure.hint("`dsn ls CID` shows what is in it")
        };
        Ok(Self { cid, key, path: Some(EntryPath::new(path.to_vec()).map_err(bad)?) })
    }

    /// The name that it gets here when nobody says another: the last of its path, or its CID.
    pub(crate) fn default_name(&self) -> PathBuf {
        match &self.path {
            Some(path) => OsString::from(OsStr::from_bytes(path.name())).into(),
            None => self.cid.to_string().into(),
        }
    }
}

/// Whether an argument names something by itself, and is no path within what a variable names.
fn is_target(text: &OsStr) -> bool {
    let name = text.as_bytes().split(|byte| *byte == b'/').next().unwrap_or_default();
    let name = String::from_utf8_lossy(name);
    name.starts_with(READ_PREFIX) || name.parse::<Cid>().is_ok()
}

/// The text of a file with a capability; - is standard input.
fn read_capability(file: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let read = if file == Path::new("-") {
        std::io::stdin().take(CAP_FILE_MAX_BYTES).read_to_string(&mut text)
    } else {
        File::open(file).and_then(|open| open.take(CAP_FILE_MAX_BYTES).read_to_string(&mut text))
    };
    let shown = file.display();
    read.map_err(|error| Failure::of(Exit::Usage, &error).named(format!("cannot read the capability in {shown}")))?;
    Ok(text)
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
