//! What a user names: a CID, a name that stands for one or a read capability, or a path within a folder, `CID/PATH`. Paths
//! are taken byte for byte. A capability may come from a file, standard input or the environment, since others on this
//! machine see arguments.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::Read,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use dsn_cli::{Exit, Failure};
use dsn_client::Client;
use dsn_core::{
    capability::{Capability, CapabilityError, READ_PREFIX},
    cid::Cid,
    folder::EntryPath,
    name::Name,
    seal::Key,
};
use zeroize::Zeroizing;

use crate::{args::Wanted, failures, own_names::parse_name};

/// Bytes of a capability and a path that are read from a file.
const CAP_FILE_MAX_BYTES: u64 = 64 * 1024;

/// The variable with a capability, a CID or a name, instead of an argument that others on this machine can see.
const CAP_VARIABLE: &str = "DSN_CAP";

/// A file or folder as a user typed it: what it is may have to be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Root {
    /// It says so itself.
    Cid(Cid),
    /// It says so itself, and opens what is sealed.
    Sealed(Capability),
    /// What this name stands for.
    Name(Name),
}

/// A file, or something in a folder, as a user typed it.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    root: Root,
    path: Option<EntryPath>,
}

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

impl Root {
    /// Reads a CID, a name or a capability.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        if text.starts_with(READ_PREFIX) {
            parse_capability(text).map(Self::Sealed)
        } else if text.starts_with("dsn:") {
            parse_name(text).map(Self::Name)
        } else {
            parse_cid(text).map(Self::Cid)
        }
    }

    /// Its CID, which a name is asked for.
    pub(crate) async fn resolve(&self, client: &Client) -> Result<Cid, Failure> {
        match self {
            Self::Cid(cid) | Self::Sealed(Capability { cid, .. }) => Ok(*cid),
            Self::Name(name) => {
                let resolved = client.resolve_name(*name).await;
                let resolved = resolved.map_err(|error| failures::name(&error))?;
                resolved.current(*name).map(|body| body.root).map_err(|error| failures::name(&error))
            }
        }
    }

    fn key(&self) -> Option<Key> {
        if let Self::Sealed(capability) = self { Some(capability.key.clone()) } else { None }
    }
}

impl Asked {
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
                .hint("name a CID, a name or a capability, or a file with one: --cap FILE")),
        }
    }

    /// Reads a CID, a name or a capability, with a path or without.
    pub(crate) fn parse(text: &OsStr) -> Result<Self, Failure> {
        let bytes = text.as_bytes();
        let (root, path) = match bytes.iter().position(|byte| *byte == b'/') {
            Some(slash) => (&bytes[..slash], &bytes[slash + 1..]),
            None => (bytes, &bytes[bytes.len()..]),
        };
        let root = Zeroizing::new(String::from_utf8_lossy(root).into_owned());
        let root = Root::parse(&root)?;
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

    /// What it gets called here when nobody says otherwise: the last of its path, or its CID or name; no secret.
    pub(crate) fn default_name(&self) -> PathBuf {
        match (&self.path, &self.root) {
            (Some(path), _) => OsString::from(OsStr::from_bytes(path.name())).into(),
            (None, Root::Cid(cid) | Root::Sealed(Capability { cid, .. })) => cid.to_string().into(),
            (None, Root::Name(name)) => name.to_string().into(),
        }
    }

    /// The CID, what opens it, and the path.
    pub(crate) async fn resolve(&self, client: &Client) -> Result<Target, Failure> {
        let cid = self.root.resolve(client).await?;
        Ok(Target { cid, key: self.root.key(), path: self.path.clone() })
    }

    /// The same where there is no network to ask what a name stands for.
    pub(crate) fn offline(self) -> Result<Target, Failure> {
        let key = self.root.key();
        match self.root {
            Root::Cid(cid) | Root::Sealed(Capability { cid, .. }) => Ok(Target { cid, key, path: self.path }),
            Root::Name(_) => Err(Failure::new(Exit::Usage, "what a name stands for takes a network to find out")
                .hint("`dsn name resolve NAME` prints the CID where there is one")),
        }
    }
}

/// Whether an argument names something by itself, and is no path within what a variable names.
fn is_target(text: &OsStr) -> bool {
    let root = text.as_bytes().split(|byte| *byte == b'/').next().unwrap_or_default();
    let root = String::from_utf8_lossy(root);
    root.starts_with(READ_PREFIX) || Name::is_meant_by(&root) || root.parse::<Cid>().is_ok()
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
            Asked::parse(OsStr::from_bytes(&text)).map(|target| target.path.map(|path| path.as_bytes().to_vec()))
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
        assert!(Asked::parse(OsStr::new("docs/x")).is_err(), "no CID");
    }

    #[test]
    fn a_path_follows_a_capability_which_names_no_file_here() {
        let (cid, key) = (Cid(ChunkId(Hash::of(b"sealed"))), Key::from_slice(&[9; 32]).expect("32 bytes"));
        let text = Capability { cid, key: key.clone() }.to_text();
        let asked = Asked::parse(OsStr::new(&format!("{}/docs/x", *text))).expect("a capability and a path");
        assert_eq!(asked.default_name(), PathBuf::from("x"));
        let target = asked.offline().expect("no network is needed");
        assert_eq!((target.cid, target.key), (cid, Some(key)));
        let whole = Asked::parse(OsStr::new(text.as_str())).expect("a capability");
        assert_eq!(whole.default_name(), PathBuf::from(cid.to_string()), "not the secret");
    }

    #[test]
    fn a_name_is_taken_for_a_cid_and_a_wrong_one_is_a_mistake_of_usage() {
        let name = Name(dsn_core::node_id::NodeId([7; 32]));
        let wanted = Asked::parse(OsStr::new(&format!("{name}/docs/x"))).expect("a name and a path");
        assert_eq!(wanted.root, Root::Name(name));
        assert!(is_target(OsStr::new(&format!("{name}/docs/x"))), "no path within a capability");
        assert_eq!(wanted.clone().offline().expect_err("nobody to ask").exit, Exit::Usage);
        assert_eq!(wanted.path.expect("a path").as_bytes(), b"docs/x");
        let wrong = format!("{name}").replace("n1:", "n1:a");
        for text in [wrong.as_str(), "dsn:n2:abc", "dsn:", "dsn:n1:"] {
            assert_eq!(Asked::parse(OsStr::new(text)).expect_err(text).exit, Exit::Usage);
        }
    }
}
