//! A farmer's signed word that it leaves the network, or stays after all. Others stop waiting for it when it falls silent: who
//! has said that it goes is not expected back. Its word counts for itself only, and nobody needs it: who has not
//! heard it waits for as long as for everybody.

use bytes::Bytes;
use dsn_proto as proto;
use prost::Message;
use thiserror::Error;

use crate::{
    identity::{Domain, Identity, SignatureError},
    limits::{DEPARTURE_NEWS_SECS, DEPARTURE_SKEW_SECS, RECORD_BODY_MAX_BYTES},
    network_name::NetworkName,
    node_id::NodeId,
    signed::{Body, Signed, Verified},
    wire::{WireError, check_version, decode_canonical},
};

/// What it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DepartureBody {
    /// The network it leaves.
    pub network: NetworkName,
    /// The farmer.
    pub node: NodeId,
    /// Whether it goes; it stays after all when not.
    pub leaving: bool,
    /// When that was said, in Unix seconds: the latest counts.
    pub said: u64,
}

/// A well-formed departure whose signature nobody has checked yet.
pub type Departure = Signed<DepartureBody>;

/// A departure that its farmer has signed, for the right network, and that is news.
pub type VerifiedDeparture = Verified<DepartureBody>;

/// Why a departure does not count.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DepartureError {
    /// Forged.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// Of another network.
    #[error("the departure is from network {found}")]
    Network {
        /// The network it names.
        found: NetworkName,
    },
    /// Said too long ago, or in the future: true perhaps, and no news.
    #[error("the departure was said at {said}, and it is {now} (Unix seconds)")]
    NoNews {
        /// When it was said.
        said: u64,
        /// When it was looked at.
        now: u64,
    },
}

impl DepartureBody {
    /// Signs it.
    pub fn sign(self, farmer: &Identity) -> VerifiedDeparture {
        VerifiedDeparture::sign(self, farmer)
    }
}

impl Body for DepartureBody {
    const DOMAIN: Domain = Domain::Departure;
    const MAX_BYTES: usize = RECORD_BODY_MAX_BYTES;

    fn signer(&self) -> NodeId {
        self.node
    }

    fn to_bytes(&self) -> Vec<u8> {
        let message = proto::DepartureBody {
            version: 1,
            network: self.network.as_str().into(),
            node: Bytes::copy_from_slice(&self.node.0),
            leaving: self.leaving,
            said: self.said,
        };
        message.encode_to_vec()
    }

    fn from_bytes(bytes: &Bytes) -> Result<Self, WireError> {
        let message: proto::DepartureBody = decode_canonical(bytes, Self::MAX_BYTES)?;
        check_version(message.version)?;
        let field = |field| WireError::Field { field };
        Ok(Self {
            network: message.network.parse().map_err(|_| field("network"))?,
            node: NodeId::from_slice(&message.node).ok_or(field("node"))?,
            leaving: message.leaving,
            said: message.said,
        })
    }
}

impl Departure {
    /// Checks that its farmer signed it for `network`, and that it is news at `now` (Unix seconds).
    ///
    /// # Errors
    /// See [`DepartureError`].
    pub fn verify(self, network: &NetworkName, now: u64) -> Result<VerifiedDeparture, DepartureError> {
        let body = self.body();
        if body.network != *network {
            return Err(DepartureError::Network { found: body.network.clone() });
        }
        let said = body.said;
        if said > now.saturating_add(DEPARTURE_SKEW_SECS) || said.saturating_add(DEPARTURE_NEWS_SECS) < now {
            return Err(DepartureError::NoNews { said, now });
        }
        Ok(self.check_signature()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, NOW};

    fn body(node: &Identity) -> DepartureBody {
        DepartureBody { network: testing::network(), node: node.node_id(), leaving: true, said: NOW }
    }

    #[test]
    fn a_departure_counts_for_its_farmer_its_network_and_an_hour() {
        let (alice, bob) = (Identity::from_seed([1; 32]), Identity::from_seed([2; 32]));
        let (network, other) = (testing::network(), "other".parse().expect("valid"));
        let departure = body(&alice).sign(&alice).into_signed();
        let verify = |departure: &Departure, network, now| departure.clone().verify(network, now);
        for now in [NOW - DEPARTURE_SKEW_SECS, NOW, NOW + DEPARTURE_NEWS_SECS] {
            assert_eq!(verify(&departure, &network, now).expect("news").body(), &body(&alice));
        }
        for now in [NOW - DEPARTURE_SKEW_SECS - 1, NOW + DEPARTURE_NEWS_SECS + 1] {
            assert_eq!(verify(&departure, &network, now), Err(DepartureError::NoNews { said: NOW, now }));
        }
        assert!(matches!(verify(&departure, &other, NOW), Err(DepartureError::Network { .. })));
        let forged = body(&alice).sign(&bob).into_signed();
        assert!(matches!(verify(&forged, &network, NOW), Err(DepartureError::Signature(_))));
    }

    #[test]
    fn malformed_departures_are_no_departures() {
        let alice = Identity::from_seed([1; 32]);
        let refused = |change: fn(&mut proto::DepartureBody)| {
            let bytes = Bytes::from(body(&alice).to_bytes());
            let mut message = proto::DepartureBody::decode(bytes).expect("ours");
            change(&mut message);
            DepartureBody::from_bytes(&message.encode_to_vec().into()).expect_err("malformed")
        };
        let field = |field| WireError::Field { field };
        assert_eq!(refused(|m| m.version = 2), WireError::Unknown { what: "version", found: 2 });
        assert_eq!(refused(|m| m.network = "no spaces".into()), field("network"));
        assert_eq!(refused(|m| m.node = m.node.slice(1..)), field("node"));
    }
}
