//! What two nodes tell each other first: which versions of the protocol they speak, in which network, what they do for
//! others and how much room they have. Pure: who says it when is the network adapter's business. Nothing here is signed: it
//! is the word of the node at the other end of a connection, good for choosing whom to ask, and no proof of anything.
//!
//! A node of a later version must be told why it cannot be talked to. So a hello is read in two steps: the versions and the
//! network, which all versions keep, and then the rest, only if a version is named that this program knows. Unknown fields
//! and capabilities are ignored. Space is told in powers of two, so that it is not told anew for every piece.
//!
//! Invariant: both sides find the same version, or both find that there is none.

#[cfg(test)]
mod tests;

use std::fmt;

use dsn_proto as proto;
use thiserror::Error;

use crate::{
    network_name::NetworkName,
    record::{Role, check_domain},
    wire::{WireError, check},
};

/// A range of protocol versions, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    min: u32,
    max: u32,
}

/// What a node does for others, as a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities(u32);

/// A number of bytes, known to a power of two: how many bits it has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpaceClass(u8);

/// What a node says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// What it is.
    pub role: Role,
    /// What it does for others.
    pub capabilities: Capabilities,
    /// Bytes it lends.
    pub lent: SpaceClass,
    /// Bytes of that still free.
    pub free: SpaceClass,
    /// Its operator's failure-domain tag; may be empty.
    pub domain: String,
    /// Whether everything is being moved off it.
    pub leaving: bool,
}

/// The first words of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The versions it speaks.
    pub versions: Versions,
    /// The network it is in.
    pub network: NetworkName,
    /// What it says of itself; none when it speaks no version whose words this program knows.
    pub profile: Option<Profile>,
}

/// The answer to a hello.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HelloAck {
    /// The version both speak from now on, or why there is none.
    pub outcome: Result<u32, HelloRefusal>,
    /// The hello of the node that answers.
    pub hello: Hello,
}

/// Why a node does not talk to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HelloRefusal {
    /// There is no version that both speak.
    NoCommonVersion,
    /// They are of two networks.
    OtherNetwork,
    /// A reason that came later than this program; never one of those above.
    Later(u32),
}

/// What is known of a node once hellos have been exchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acquaintance {
    /// The version both speak.
    pub version: u32,
    /// What it says of itself.
    pub profile: Profile,
}

/// Why an exchange of hellos came to nothing, as either side tells it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HelloError {
    /// No version that both speak.
    #[error("it speaks {theirs} of the protocol, this node {ours}")]
    NoCommonVersion {
        /// Of this node.
        ours: Versions,
        /// Of the other.
        theirs: Versions,
    },
    /// Two networks.
    #[error("it belongs to network {theirs}")]
    OtherNetwork {
        /// Of the other.
        theirs: NetworkName,
    },
    /// What it says of itself names no network.
    #[error("it speaks another protocol than this node")]
    OtherProtocol,
    /// The other has a reason that cannot be seen from here.
    #[error("it does not talk to this node (reason {number})")]
    Refused {
        /// The number of the reason.
        number: u32,
    },
    /// The answer is not the one that follows from the two hellos.
    #[error("it answered a hello with another version than both speak")]
    Broken,
}

impl Versions {
    /// Those whose words this program knows.
    pub const KNOWN: Self = Self { min: 1, max: 1 };

    /// From `min` to `max`; none for no range, or one that has 0.
    pub fn new(min: u32, max: u32) -> Option<Self> {
        (1 <= min && min <= max).then_some(Self { min, max })
    }

    /// The newest version in both.
    pub fn newest_common(self, other: Self) -> Option<u32> {
        let newest = self.max.min(other.max);
        (newest >= self.min.max(other.min)).then_some(newest)
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.min == self.max {
            return write!(f, "version {}", self.min);
        }
        write!(f, "versions {} to {}", self.min, self.max)
    }
}

impl Capabilities {
    /// None.
    pub const NONE: Self = Self(0);
    /// It keeps pieces and gives them out.
    pub const PIECES: Self = Self(1);
    /// Others find nodes through it, and it is found by them.
    pub const DHT: Self = Self(1 << 1);
    /// It puts calls through to nodes that nobody can dial.
    pub const RELAY: Self = Self(1 << 2);
    /// It is a rendezvous point.
    pub const RENDEZVOUS: Self = Self(1 << 3);

    const KNOWN: u32 = Self::PIECES.0 | Self::DHT.0 | Self::RELAY.0 | Self::RENDEZVOUS.0;

    /// These and those.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of the others are among them.
    pub fn has(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }
}

impl SpaceClass {
    /// Of so many bytes.
    pub fn of(bytes: u64) -> Self {
        Self(u8::try_from(u64::BITS - bytes.leading_zeros()).expect("at most 64"))
    }

    /// The fewest bytes of this class; there are less than twice as many.
    pub fn at_least_bytes(self) -> u64 {
        self.0.checked_sub(1).map_or(0, |power| 1 << power)
    }

    fn from_number(number: u32, field: &'static str) -> Result<Self, WireError> {
        check(number <= u64::BITS, field)?;
        Ok(Self(u8::try_from(number).map_err(|_| WireError::Field { field })?))
    }
}

impl Profile {
    /// Of a node that only asks.
    pub fn client() -> Self {
        Self {
            role: Role::Client,
            capabilities: Capabilities::NONE,
            lent: SpaceClass::default(),
            free: SpaceClass::default(),
            domain: String::new(),
            leaving: false,
        }
    }
}

impl HelloRefusal {
    fn number(self) -> u32 {
        match self {
            Self::NoCommonVersion => 1,
            Self::OtherNetwork => 2,
            Self::Later(number) => number,
        }
    }

    fn from_number(number: u32) -> Self {
        match number {
            1 => Self::NoCommonVersion,
            2 => Self::OtherNetwork,
            later => Self::Later(later),
        }
    }
}

impl Hello {
    /// What follows from this node's hello and another's; the other finds the same.
    ///
    /// # Errors
    /// [`HelloError::OtherNetwork`] and [`HelloError::NoCommonVersion`].
    pub fn meet(&self, theirs: &Self) -> Result<Acquaintance, HelloError> {
        if theirs.network != self.network {
            return Err(HelloError::OtherNetwork { theirs: theirs.network.clone() });
        }
        match (self.versions.newest_common(theirs.versions), &theirs.profile) {
            (Some(version), Some(profile)) => Ok(Acquaintance { version, profile: profile.clone() }),
            _ => Err(HelloError::NoCommonVersion { ours: self.versions, theirs: theirs.versions }),
        }
    }

    /// The answer to another's hello, from what [`Hello::meet`] made of it.
    pub fn answer(&self, met: &Result<Acquaintance, HelloError>) -> HelloAck {
        let outcome = match met {
            Ok(known) => Ok(known.version),
            Err(HelloError::OtherNetwork { .. }) => Err(HelloRefusal::OtherNetwork),
            Err(_) => Err(HelloRefusal::NoCommonVersion),
        };
        HelloAck { outcome, hello: self.clone() }
    }

    /// What follows from the answer to this node's hello.
    ///
    /// # Errors
    /// See [`HelloError`].
    pub fn conclude(&self, ack: &HelloAck) -> Result<Acquaintance, HelloError> {
        let known = self.meet(&ack.hello)?;
        match ack.outcome {
            Ok(version) if version == known.version => Ok(known),
            Ok(_) => Err(HelloError::Broken),
            Err(refusal) => Err(HelloError::Refused { number: refusal.number() }),
        }
    }

    pub(crate) fn to_proto(&self) -> proto::Hello {
        let Versions { min, max } = self.versions;
        let bare = proto::Hello {
            version_min: min,
            version_max: max,
            network: self.network.as_str().into(),
            ..proto::Hello::default()
        };
        let Some(profile) = &self.profile else { return bare };
        proto::Hello {
            role: profile.role.number(),
            capabilities: profile.capabilities.0,
            lent_class: u32::from(profile.lent.0),
            free_class: u32::from(profile.free.0),
            domain: profile.domain.clone(),
            leaving: profile.leaving,
            ..bare
        }
    }

    pub(crate) fn from_proto(hello: proto::Hello) -> Result<Self, WireError> {
        let field = |field| WireError::Field { field };
        let versions = Versions::new(hello.version_min, hello.version_max).ok_or(field("version_min"))?;
        let network = hello.network.parse().map_err(|_| field("network"))?;
        let readable = versions.newest_common(Versions::KNOWN).is_some();
        let profile = readable.then(|| profile_from_proto(hello)).transpose()?;
        Ok(Self { versions, network, profile })
    }
}

fn profile_from_proto(hello: proto::Hello) -> Result<Profile, WireError> {
    check_domain(&hello.domain)?;
    Ok(Profile {
        role: Role::from_number(hello.role)?,
        capabilities: Capabilities(hello.capabilities & Capabilities::KNOWN),
        lent: SpaceClass::from_number(hello.lent_class, "lent_class")?,
        free: SpaceClass::from_number(hello.free_class, "free_class")?,
        domain: hello.domain,
        leaving: hello.leaving,
    })
}

impl HelloAck {
    pub(crate) fn to_proto(&self) -> proto::HelloResponse {
        let (version, refusal) = match self.outcome {
            Ok(version) => (version, 0),
            Err(refusal) => (0, refusal.number()),
        };
        proto::HelloResponse { version, refusal, hello: Some(self.hello.to_proto()) }
    }

    pub(crate) fn from_proto(ack: proto::HelloResponse) -> Result<Self, WireError> {
        let outcome = match (ack.version, ack.refusal) {
            (version, 0) if version > 0 => Ok(version),
            (0, refusal) if refusal > 0 => Err(HelloRefusal::from_number(refusal)),
            _ => return Err(WireError::Field { field: "version" }),
        };
        let hello = ack.hello.ok_or(WireError::Field { field: "hello" })?;
        Ok(Self { outcome, hello: Hello::from_proto(hello)? })
    }
}
