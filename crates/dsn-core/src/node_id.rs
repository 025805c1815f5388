//! Who a node is (its Ed25519 public key, printed as a libp2p peer id) and how far it is from a key: the XOR metric over
//! SHA-256 that Kademlia uses, so that our own sums and a look-up in the DHT name the same nodes.

use std::{fmt, str::FromStr};

use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::hash::ChunkId;

/// The identity multihash of a protobuf-wrapped Ed25519 key: what a libp2p peer id starts with.
const PEER_ID_PREFIX: [u8; 6] = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20];

/// A node's Ed25519 public key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub [u8; 32]);

/// Not the text of a peer id made of an Ed25519 key.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("not a peer id of an Ed25519 key: {text:?}")]
pub struct ParseNodeIdError {
    /// What was given.
    pub text: String,
}

impl NodeId {
    /// Takes exactly 32 bytes.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The bytes of the libp2p peer id.
    pub fn peer_id_bytes(&self) -> [u8; 38] {
        let mut bytes = [0; 38];
        bytes[..6].copy_from_slice(&PEER_ID_PREFIX);
        bytes[6..].copy_from_slice(&self.0);
        bytes
    }

    /// The node of a libp2p peer id, when that is made of an Ed25519 key.
    pub fn from_peer_id_bytes(bytes: &[u8]) -> Option<Self> {
        Self::from_slice(bytes.strip_prefix(&PEER_ID_PREFIX)?)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&bs58::encode(self.peer_id_bytes()).into_string())
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for NodeId {
    type Err = ParseNodeIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseNodeIdError { text: text.chars().take(80).collect() };
        if text.len() > 80 {
            return Err(error());
        }
        let bytes = bs58::decode(text).into_vec().map_err(|_| error())?;
        Self::from_peer_id_bytes(&bytes).ok_or_else(error)
    }
}

/// A place in the key space: the SHA-256 of a node's peer id or of a chunk id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position([u8; 32]);

/// The XOR of two positions, compared as a big-endian number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Distance([u8; 32]);

impl Position {
    /// Where any key bytes lie.
    pub fn of_key(key: &[u8]) -> Self {
        Self(Sha256::digest(key).into())
    }

    /// How far `other` is.
    pub fn distance(&self, other: &Self) -> Distance {
        Distance(std::array::from_fn(|i| self.0[i] ^ other.0[i]))
    }
}

impl From<&NodeId> for Position {
    fn from(node: &NodeId) -> Self {
        Self::of_key(&node.peer_id_bytes())
    }
}

impl From<&ChunkId> for Position {
    fn from(chunk: &ChunkId) -> Self {
        Self::of_key(chunk.as_bytes())
    }
}

/// Nodes with their places, worked out once for many keys.
#[derive(Clone, Debug, Default)]
pub struct Places(Vec<(Position, NodeId)>);

impl Places {
    /// The places of these nodes.
    pub fn new(nodes: impl IntoIterator<Item = NodeId>) -> Self {
        let mut places: Vec<_> = nodes.into_iter().map(|node| (Position::from(&node), node)).collect();
        places.sort_unstable();
        places.dedup();
        Self(places)
    }

    /// The `count` nodes closest to `to`, closest first.
    pub fn closest(&self, to: Position, count: usize) -> Vec<NodeId> {
        let mut ranked: Vec<_> = self.0.iter().map(|(place, node)| (place.distance(&to), *node)).collect();
        if ranked.len() > count && count > 0 {
            ranked.select_nth_unstable(count - 1);
        }
        ranked.truncate(count);
        ranked.sort_unstable();
        ranked.into_iter().map(|(_, node)| node).collect()
    }
}

/// The `count` nodes closest to `to`, closest first.
pub fn closest(nodes: impl IntoIterator<Item = NodeId>, to: Position, count: usize) -> Vec<NodeId> {
    Places::new(nodes).closest(to, count)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_peer_id_survives_its_text_form() {
        let id = NodeId([7; 32]);
        assert!(id.to_string().starts_with("12D3KooW"), "{id}");
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn other_texts_are_no_peer_ids() {
        let long = "1".repeat(5000);
        for text in ["", "12D3", "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG", "0OIl", &long] {
            assert!(text.parse::<NodeId>().is_err(), "{text}");
        }
    }

    #[test]
    fn closest_sorts_by_distance_and_drops_repeats() {
        let nodes: Vec<_> = (0..50).map(|i| NodeId([i; 32])).collect();
        let to = Position::of_key(b"somewhere");
        let near = closest(nodes.iter().copied().chain(nodes.iter().copied()), to, 20);
        assert_eq!(near.len(), 20);
        assert!(near.windows(2).all(|w| Position::from(&w[0]).distance(&to) < Position::from(&w[1]).distance(&to)));
    }

    proptest! {
        #[test]
        fn any_text_is_its_own_peer_id_or_none(text in prop_oneof![".{0,100}", "12D3KooW[1-9A-HJ-NP-Za-km-z]{44}"]) {
            if let Ok(node) = text.parse::<NodeId>() {
                prop_assert_eq!(node.to_string(), text);
            }
        }
    }
}
