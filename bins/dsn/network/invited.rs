//! Whom a founder has invited: one JSON object a line in its folder. Members are who the founder's key has signed for; this
//! list is the founder's memory of it.

use std::collections::BTreeMap;

use dsn_cli::{Exit, Failure};
use dsn_core::{membership::certificate::CertificateBody, node_id::NodeId};
use serde::{Deserialize, Serialize};

use crate::{folder::Folder, membership::write, runtime::unix_secs};

const FILE: &str = "invited";

/// Everybody who was invited, in the order of their ids.
#[derive(Debug, Default)]
pub(crate) struct Invited(BTreeMap<String, Guest>);

/// One of them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Guest {
    pub(crate) member: String,
    pub(crate) label: String,
    pub(crate) issued: u64,
    pub(crate) until: Option<u64>,
    #[serde(default)]
    pub(crate) quota: Option<u64>,
}

impl Guest {
    pub(crate) fn node_id(&self) -> Option<NodeId> {
        self.member.parse().ok()
    }

    /// Whether the certificate has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.until.is_some_and(|until| until <= unix_secs())
    }
}

impl From<&CertificateBody> for Guest {
    fn from(body: &CertificateBody) -> Self {
        let (member, label) = (body.member.to_string(), body.label.clone());
        Self { member, label, issued: body.issued, until: body.until, quota: body.quota }
    }
}

impl Invited {
    pub(crate) fn load(folder: &Folder) -> Result<Self, Failure> {
        let path = folder.path(FILE);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(Failure::of(Exit::Disk, &error).named(format!("cannot read {}", path.display()))),
        };
        let guest = |line: &str| {
            let guest: Guest = serde_json::from_str(line)
                .map_err(|error| Failure::of(Exit::Disk, &error).named(format!("{} is damaged", path.display())))?;
            Ok((guest.member.clone(), guest))
        };
        Ok(Self(text.lines().map(guest).collect::<Result<_, Failure>>()?))
    }

    /// Writes somebody down; one command at a time.
    pub(crate) fn add(folder: &Folder, guest: Guest) -> Result<(), Failure> {
        let failed = |error: std::io::Error| Failure::of(Exit::Disk, &error);
        let lock = std::fs::File::create(folder.path("invited.lock")).map_err(failed)?;
        lock.lock().map_err(failed)?;
        let mut invited = Self::load(folder)?;
        invited.0.insert(guest.member.clone(), guest);
        let line = |guest: &Guest| serde_json::to_string(guest).expect("texts and numbers are JSON") + "\n";
        write(folder, FILE, invited.0.values().map(line).collect::<String>().as_bytes())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Guest> {
        self.0.values()
    }

    /// Nobody yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The one with this id, or else the only one with this label.
    pub(crate) fn find(&self, text: &str) -> Result<&Guest, Failure> {
        if let Some(guest) = self.0.get(text) {
            return Ok(guest);
        }
        let called: Vec<&Guest> = self.iter().filter(|guest| guest.label == text).collect();
        match called[..] {
            [guest] => Ok(guest),
            [] => Err(Failure::new(Exit::NotFound, format!("nobody was invited as {text:?}"))
                .hint("`dsn network members` shows who was")),
            _ => Err(Failure::new(Exit::Usage, format!("{} members are called {text:?}", called.len()))
                .hint("name one by its id: `dsn network members` shows them")),
        }
    }
}
