//! The closed network that a folder belongs to: the invitation it was joined with, kept like a key, and the latest list of
//! revocations. In a founder's folder also the founder's key and who was invited (`network`).

use std::{io::ErrorKind, path::PathBuf};

use dsn_cli::{Exit, Failure};
use dsn_core::{
    membership::{
        Membership, Refused,
        invitation::Invitation,
        label_of,
        revocations::{Revocations, VerifiedRevocations},
    },
    network_name::NetworkName,
};
use dsn_net::address_to_text;

use crate::{folder::Folder, runtime::unix_secs};

/// The invitation.
pub(crate) const MEMBERSHIP_FILE: &str = "membership";
/// The founder's key, where this folder is the founder's.
pub(crate) const FOUNDER_KEY: &str = "founder.key";
const REVOCATIONS_FILE: &str = "revocations";
/// What a command asks the farmer in its folder after it has written a new list.
pub(crate) const REVOKED_QUESTION: &str = "revoked";
/// What to do about every membership that counts no more.
pub(crate) const ASK_FOUNDER: &str = "ask the founder of the network for an invitation, then `dsn join INVITATION`";

/// A folder's part in a closed network.
#[derive(Clone, Debug)]
pub(crate) struct Joined {
    pub(crate) membership: Membership,
    /// Where the network is found, as the invitation says.
    pub(crate) bootstrap: Vec<String>,
}

impl Joined {
    /// What the folder belongs to, if to anything.
    pub(crate) fn load(folder: &Folder) -> Result<Option<Self>, Failure> {
        let Some(text) = folder.secret(MEMBERSHIP_FILE)? else { return Ok(None) };
        let path = folder.path(MEMBERSHIP_FILE);
        let invitation: Invitation = text.trim().parse().map_err(|error| {
            let failure = Failure::of(Exit::Key, &error).named(format!("the membership {} is damaged", path.display()));
            failure.hint("restore it from a backup, or move it away and join again")
        })?;
        let mut joined = Self::from(&invitation);
        if let Some(list) = load_revocations(folder)? {
            let error = |error| Failure::of(Exit::Key, &error).named("the list of revocations is not this network's");
            joined.membership.learn(list).map_err(error)?;
        }
        Ok(Some(joined))
    }

    /// What its founder calls the network.
    pub(crate) fn label(&self) -> &str {
        label_of(self.membership.network()).unwrap_or_default()
    }

    pub(crate) fn network(&self) -> &NetworkName {
        self.membership.network()
    }

    /// Whether this folder is the founder's.
    pub(crate) fn is_founders(&self, folder: &Folder) -> bool {
        folder.path(FOUNDER_KEY).exists()
    }

    /// Fails when the network would not let this member in; before anybody is asked.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        self.membership.standing(unix_secs()).map_err(refused)
    }
}

impl From<&Invitation> for Joined {
    fn from(invitation: &Invitation) -> Self {
        let bootstrap = invitation.addresses().iter().filter_map(address_to_text).collect();
        Self { membership: invitation.membership(), bootstrap }
    }
}

/// The network does not let this node in.
pub(crate) fn refused(why: Refused) -> Failure {
    let failure = Failure::new(Exit::Key, format!("the network does not let this node in: {why}"));
    match why {
        Refused::Future => failure.hint("set this machine's clock, or have the other one set"),
        Refused::NoCredentials => {
            failure.hint(format!("this network is closed: {ASK_FOUNDER}; if it is not, it is full: try again later"))
        }
        _ => failure.hint(ASK_FOUNDER),
    }
}

fn revocations_path(folder: &Folder) -> PathBuf {
    folder.path(REVOCATIONS_FILE)
}

/// The list in the folder, if there is one.
pub(crate) fn load_revocations(folder: &Folder) -> Result<Option<Revocations>, Failure> {
    let path = revocations_path(folder);
    match std::fs::read(&path) {
        Ok(bytes) => Revocations::decode(&bytes.into()).map(Some).map_err(|error| {
            let failure = Failure::of(Exit::Key, &error).named(format!("{} is damaged", path.display()));
            failure.hint("move it away: other members have it too")
        }),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(Failure::of(Exit::Disk, &error).named(format!("cannot read {}", path.display()))),
    }
}

/// Writes a list down, unless the folder has one as new.
pub(crate) fn save_revocations(folder: &Folder, list: &VerifiedRevocations) -> Result<(), Failure> {
    let kept = load_revocations(folder).ok().flatten().map_or(0, |kept| kept.body().seq);
    if kept >= list.body().seq {
        return Ok(());
    }
    write(folder, REVOCATIONS_FILE, &list.as_signed().encode())
}

/// Writes a file of the folder as a whole.
pub(crate) fn write(folder: &Folder, name: &str, bytes: &[u8]) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::of(Exit::Disk, &error).named(format!("cannot write {name}"));
    folder.replace(name, bytes).map_err(failed)
}
