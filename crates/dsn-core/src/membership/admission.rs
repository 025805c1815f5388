//! What two nodes of a closed network say to each other before anything else: the one that dialled shows its credentials,
//! the other answers with its own or with why not, and the first says whether that will do. Each may add a newer list of
//! revocations. Not here: how it travels and how long it may take.

use bytes::Bytes;
use dsn_proto as proto;
use prost::Message;

use super::{Credentials, Refused, certificate::Certificate, delegation::Delegation, revocations::Revocations};
use crate::{
    limits::ADMISSION_MAX_BYTES,
    wire::{WireError, check, check_version, decode_canonical},
};

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admission {
    /// What is said.
    pub word: Word,
    /// The number of the sender's list of revocations; 0: it has none.
    pub seq: u64,
    /// That list, when the other has an older one.
    pub revocations: Option<Revocations>,
}

/// What a step says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// This is who I am.
    Shown(Box<Credentials>),
    /// You may come in; the last step.
    Welcome,
    /// You may not.
    Refused(Refused),
}

impl Admission {
    /// The canonical form.
    pub fn encode(&self) -> Bytes {
        let (mut refused, mut certificate, mut delegation) = (0, None, None);
        match &self.word {
            Word::Shown(shown) => {
                certificate = Some(shown.certificate.to_proto());
                delegation = Some(shown.delegation.to_proto());
            }
            Word::Welcome => {}
            Word::Refused(why) => refused = number(*why),
        }
        let revocations = self.revocations.as_ref().map(Revocations::to_proto);
        proto::Admission { version: 1, refused, certificate, delegation, seq: self.seq, revocations }
            .encode_to_vec()
            .into()
    }

    /// Reads the canonical form.
    ///
    /// # Errors
    /// For any other bytes, and for more than [`ADMISSION_MAX_BYTES`].
    pub fn decode(bytes: &Bytes) -> Result<Self, WireError> {
        let message: proto::Admission = decode_canonical(bytes, ADMISSION_MAX_BYTES)?;
        check_version(message.version)?;
        let word = match (message.refused, message.certificate, message.delegation) {
            (0, Some(certificate), Some(delegation)) => Word::Shown(Box::new(Credentials {
                certificate: Certificate::from_proto(certificate)?,
                delegation: Delegation::from_proto(delegation)?,
            })),
            (0, None, None) => Word::Welcome,
            (found, None, None) => Word::Refused(refused(found)?),
            _ => return Err(WireError::Field { field: "refused" }),
        };
        let revocations = message.revocations.map(Revocations::from_proto).transpose()?;
        check(revocations.as_ref().is_none_or(|list| list.body().seq == message.seq), "seq")?;
        Ok(Self { word, seq: message.seq, revocations })
    }
}

fn number(why: Refused) -> u32 {
    match why {
        Refused::NoCredentials => 1,
        Refused::OtherNetwork => 2,
        Refused::Forged => 3,
        Refused::Expired => 4,
        Refused::Future => 5,
        Refused::Revoked => 6,
    }
}

fn refused(number: u32) -> Result<Refused, WireError> {
    Ok(match number {
        1 => Refused::NoCredentials,
        2 => Refused::OtherNetwork,
        3 => Refused::Forged,
        4 => Refused::Expired,
        5 => Refused::Future,
        6 => Refused::Revoked,
        found => return Err(WireError::Unknown { what: "reason", found }),
    })
}
