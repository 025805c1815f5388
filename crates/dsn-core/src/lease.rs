//! An owner's signed word how long a file is to be kept. Every farmer that holds a chunk of it keeps the lease beside
//! it; repair carries it along, so that the owner need not be there. A [`Lease`] is what came in; only [`Lease::verify`]
//! makes a [`VerifiedLease`], and only those are stored.
//!
//! Of two leases of one owner and root the one issued later counts, so one that has ended already gives the file up.

use bytes::Bytes;
use dsn_proto as proto;
use prost::Message;
use thiserror::Error;

use crate::{
    cid::Cid,
    hash::ChunkId,
    identity::{Domain, Identity, SignatureError},
    limits::{CLOCK_SKEW_SECS, SIGNED_BODY_MAX_BYTES},
    network_name::NetworkName,
    node_id::NodeId,
    signed::{Body, Signed, Verified},
    wire::{WireError, check_version, decode_canonical},
};

/// What a lease says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseBody {
    /// The network it counts in.
    pub network: NetworkName,
    /// Whose file it is.
    pub owner: NodeId,
    /// The file's root.
    pub root: Cid,
    /// When it was signed, in Unix seconds.
    pub issued: u64,
    /// Until when the file is to be kept, in Unix seconds; none: without end.
    pub until: Option<u64>,
}

/// A well-formed lease whose signature nobody has checked yet.
pub type Lease = Signed<LeaseBody>;

/// A lease its owner has signed, for the right network.
pub type VerifiedLease = Verified<LeaseBody>;

/// Why a lease does not count.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LeaseError {
    /// Forged.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// Of another network.
    #[error("the lease is of network {found}")]
    Network {
        /// The network it names.
        found: NetworkName,
    },
    /// Dated in the future.
    #[error("the lease was issued at {issued}, after {now}")]
    Future {
        /// Unix seconds.
        issued: u64,
        /// Unix seconds of the reader's clock.
        now: u64,
    },
}

impl LeaseBody {
    /// Signs it; an end at zero, which would read as none, becomes the first second.
    pub fn sign(self, owner: &Identity) -> VerifiedLease {
        let body = Self { until: self.until.map(|until| until.max(1)), ..self };
        VerifiedLease::sign(body, owner)
    }

    /// Whether this is the owner's newer word about the same file, or the same word again. Of two of one second, that
    /// counts which keeps the file longer.
    pub fn supersedes(&self, other: &Self) -> bool {
        let rank = |lease: &Self| (lease.issued, lease.until.unwrap_or(u64::MAX));
        (self.owner, self.root) == (other.owner, other.root) && rank(self) >= rank(other)
    }

    /// Whether the file is to be kept at `now` (Unix seconds).
    pub fn holds_at(&self, now: u64) -> bool {
        self.until.is_none_or(|until| until > now)
    }
}

impl Body for LeaseBody {
    const DOMAIN: Domain = Domain::Lease;
    const MAX_BYTES: usize = SIGNED_BODY_MAX_BYTES;

    fn signer(&self) -> NodeId {
        self.owner
    }

    fn to_bytes(&self) -> Vec<u8> {
        let message = proto::LeaseBody {
            version: 1,
            network: self.network.as_str().into(),
            owner: Bytes::copy_from_slice(&self.owner.0),
            root: Bytes::copy_from_slice(self.root.0.as_bytes()),
            issued: self.issued,
            until: self.until.unwrap_or(0),
        };
        message.encode_to_vec()
    }

    fn from_bytes(bytes: &Bytes) -> Result<Self, WireError> {
        let message: proto::LeaseBody = decode_canonical(bytes, Self::MAX_BYTES)?;
        check_version(message.version)?;
        let field = |field| WireError::Field { field };
        Ok(Self {
            network: message.network.parse().map_err(|_| field("network"))?,
            owner: NodeId::from_slice(&message.owner).ok_or(field("owner"))?,
            root: Cid(ChunkId::from_slice(&message.root).ok_or(field("root"))?),
            issued: message.issued,
            until: (message.until != 0).then_some(message.until),
        })
    }
}

impl Lease {
    /// Checks the signature, the network and the date; not whether it has ended, since an ended one gives the file up.
    ///
    /// # Errors
    /// See [`LeaseError`].
    pub fn verify(self, network: &NetworkName, now: u64) -> Result<VerifiedLease, LeaseError> {
        let LeaseBody { network: found, issued, .. } = self.body();
        if found != network {
            return Err(LeaseError::Network { found: found.clone() });
        }
        if *issued > now.saturating_add(CLOCK_SKEW_SECS) {
            return Err(LeaseError::Future { issued: *issued, now });
        }
        Ok(self.check_signature()?)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::hash::Hash;

    fn body(until: Option<u64>) -> LeaseBody {
        LeaseBody {
            network: "lease-test".parse().expect("a name"),
            owner: Identity::from_seed([1; 32]).node_id(),
            root: Cid(ChunkId(Hash([7; 32]))),
            issued: 1_000_000,
            until,
        }
    }

    #[test]
    fn a_lease_counts_for_its_owner_and_network_and_not_before_its_date() {
        let owner = Identity::from_seed([1; 32]);
        let lease = body(Some(2_000_000)).sign(&owner).into_signed();
        let network: NetworkName = "lease-test".parse().expect("a name");
        assert!(lease.clone().verify(&network, 1_000_000).is_ok());
        assert!(lease.clone().verify(&network, 3_000_000).is_ok(), "ended, and true all the same");
        let early = lease.clone().verify(&network, 1_000_000 - CLOCK_SKEW_SECS - 1);
        assert!(matches!(early, Err(LeaseError::Future { .. })));
        let other = "other".parse().expect("a name");
        assert!(matches!(lease.verify(&other, 1_000_000), Err(LeaseError::Network { .. })));
        let forged = body(None).sign(&Identity::from_seed([2; 32])).into_signed();
        assert!(matches!(forged.verify(&network, 1_000_000), Err(LeaseError::Signature(_))));
    }

    #[test]
    fn it_holds_until_its_end() {
        assert!(body(None).holds_at(u64::MAX));
        assert!(body(Some(10)).holds_at(9) && !body(Some(10)).holds_at(10));
        let signed = body(Some(0)).sign(&Identity::from_seed([1; 32]));
        assert_eq!(Lease::decode(&signed.as_signed().encode()).expect("canonical").body().until, Some(1));
    }

    proptest! {
        #[test]
        fn stored_leases_round_trip(issued in any::<u64>(), until in prop::option::of(1u64..)) {
            let lease = LeaseBody { issued, ..body(until) }.sign(&Identity::from_seed([1; 32])).into_signed();
            prop_assert_eq!(Lease::decode(&lease.encode()), Ok(lease));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..2_100)) {
            let _not_a_lease = Lease::decode(&bytes.into());
        }
    }
}
