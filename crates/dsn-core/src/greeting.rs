//! A farmer's signed word which run of it is speaking, told to a few other nodes every few seconds and shown by them to
//! whoever else speaks with the same key. It is how two farmers that were started with one key find each other, which
//! cannot dial each other and of which every other node sees only one.
//!
//! Invariant: a run is a number drawn at random when a farmer starts, so a greeting of another run that names this run
//! was signed after this run began, by somebody who has the key. Old greetings, shown by whomever, prove nothing.

use bytes::Bytes;
use dsn_proto as proto;
use prost::Message;
use thiserror::Error;

use crate::{
    identity::{Domain, Identity, SignatureError},
    limits::{ADDRESS_MAX_BYTES, GREETING_MAX_HEARD, RECORD_BODY_MAX_BYTES, RECORD_MAX_ADDRESSES},
    network_name::NetworkName,
    node_id::NodeId,
    signed::{Body, Signed, Verified},
    wire::{WireError, check, check_version, decode_canonical},
};

/// One run of a farmer, from its start to its end: drawn at random.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(pub [u8; 16]);

/// What a greeting says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GreetingBody {
    /// The network it counts in.
    pub network: NetworkName,
    /// The node.
    pub node: NodeId,
    /// The run that speaks.
    pub run: RunId,
    /// When it began, in Unix seconds of its own clock.
    pub started: u64,
    /// Where it listens: binary multiaddrs, at most [`RECORD_MAX_ADDRESSES`].
    pub addresses: Vec<Bytes>,
    /// Other runs of the node that it was shown, at most [`GREETING_MAX_HEARD`].
    pub heard: Vec<RunId>,
}

/// A well-formed greeting whose signature nobody has checked yet.
pub type Greeting = Signed<GreetingBody>;

/// A greeting that its node has signed, for the right network.
pub type VerifiedGreeting = Verified<GreetingBody>;

/// Why a greeting does not count.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum GreetingError {
    /// Forged.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// Of another network.
    #[error("the greeting is of network {found}")]
    Network {
        /// The network it names.
        found: NetworkName,
    },
    /// Of another node.
    #[error("the greeting is of node {found}")]
    Node {
        /// The node it names.
        found: NodeId,
    },
}

impl GreetingBody {
    /// Signs it.
    pub fn sign(self, identity: &Identity) -> VerifiedGreeting {
        VerifiedGreeting::sign(self, identity)
    }
}

impl Body for GreetingBody {
    const DOMAIN: Domain = Domain::Greeting;
    const MAX_BYTES: usize = RECORD_BODY_MAX_BYTES;

    fn signer(&self) -> NodeId {
        self.node
    }

    fn to_bytes(&self) -> Vec<u8> {
        let message = proto::GreetingBody {
            version: 1,
            network: self.network.as_str().into(),
            node: Bytes::copy_from_slice(&self.node.0),
            run: Bytes::copy_from_slice(&self.run.0),
            started: self.started,
            addresses: self.addresses.clone(),
            heard: self.heard.iter().flat_map(|run| run.0).collect(),
        };
        message.encode_to_vec()
    }

    fn from_bytes(bytes: &Bytes) -> Result<Self, WireError> {
        let message: proto::GreetingBody = decode_canonical(bytes, Self::MAX_BYTES)?;
        check_version(message.version)?;
        let field = |field| WireError::Field { field };
        let addresses_fit = message.addresses.iter().all(|a| (1..=ADDRESS_MAX_BYTES).contains(&a.len()));
        check(addresses_fit && message.addresses.len() <= RECORD_MAX_ADDRESSES, "addresses")?;
        let (heard, rest) = message.heard.as_chunks::<16>();
        check(rest.is_empty() && heard.len() <= GREETING_MAX_HEARD, "heard")?;
        Ok(Self {
            network: message.network.parse().map_err(|_| field("network"))?,
            node: NodeId::from_slice(&message.node).ok_or(field("node"))?,
            run: RunId(message.run[..].try_into().map_err(|_| field("run"))?),
            started: message.started,
            addresses: message.addresses,
            heard: heard.iter().map(|run| RunId(*run)).collect(),
        })
    }
}

impl Greeting {
    /// Checks that `node` signed it for `network`.
    ///
    /// # Errors
    /// See [`GreetingError`].
    pub fn verify(self, network: &NetworkName, node: NodeId) -> Result<VerifiedGreeting, GreetingError> {
        if self.body().network != *network {
            return Err(GreetingError::Network { found: self.body().network.clone() });
        }
        if self.body().node != node {
            return Err(GreetingError::Node { found: self.body().node });
        }
        Ok(self.check_signature()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn body(node: &Identity) -> GreetingBody {
        GreetingBody {
            network: testing::network(),
            node: node.node_id(),
            run: RunId([1; 16]),
            started: testing::NOW,
            addresses: vec![Bytes::from_static(&[0x04, 127, 0, 0, 1, 0x06, 0x10, 0x00])],
            heard: vec![RunId([2; 16])],
        }
    }

    #[test]
    fn a_greeting_counts_for_its_network_and_its_node() {
        let (alice, bob) = (Identity::from_seed([1; 32]), Identity::from_seed([2; 32]));
        let (network, other) = (testing::network(), "other".parse().expect("valid"));
        let greeting = body(&alice).sign(&alice).as_signed().clone();
        assert_eq!(greeting.clone().verify(&network, alice.node_id()).expect("true").body(), &body(&alice));
        let verify = |greeting: &Greeting, network, node| greeting.clone().verify(network, node).unwrap_err();
        assert!(matches!(verify(&greeting, &other, alice.node_id()), GreetingError::Network { .. }));
        assert!(matches!(verify(&greeting, &network, bob.node_id()), GreetingError::Node { .. }));
        let forged = body(&alice).sign(&bob).as_signed().clone();
        assert!(matches!(verify(&forged, &network, alice.node_id()), GreetingError::Signature(_)));
    }

    #[test]
    fn malformed_greetings_are_no_greetings() {
        let alice = Identity::from_seed([1; 32]);
        let refused = |change: fn(&mut proto::GreetingBody)| {
            let greeting = body(&alice).sign(&alice);
            let mut message =
                proto::GreetingBody::decode(greeting.as_signed().signed_body().body.clone()).expect("ours");
            change(&mut message);
            let signed = alice.sign(Domain::Greeting, message.encode_to_vec().into());
            Greeting::from_proto(signed.to_proto()).expect_err("malformed")
        };
        let field = |field| WireError::Field { field };
        assert_eq!(refused(|m| m.version = 2), WireError::Unknown { what: "version", found: 2 });
        assert_eq!(refused(|m| m.network = "no spaces".into()), field("network"));
        assert_eq!(refused(|m| m.node = m.node.slice(1..)), field("node"));
        assert_eq!(refused(|m| m.run = m.run.slice(1..)), field("run"));
        assert_eq!(refused(|m| m.heard = m.heard.slice(1..)), field("heard"));
        assert_eq!(refused(|m| m.heard = vec![1; 16 * (GREETING_MAX_HEARD + 1)].into()), field("heard"));
        assert_eq!(refused(|m| m.addresses = vec![Bytes::new()]), field("addresses"));
        assert_eq!(
            refused(|m| m.addresses = vec![m.addresses[0].clone(); RECORD_MAX_ADDRESSES + 1]),
            field("addresses")
        );
    }
}
