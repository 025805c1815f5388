//! Our node ids and keys as libp2p's, and back. Nothing here is printed: a key pair passes through memory only.

use dsn_core::{identity::Identity, node_id::NodeId};
use libp2p::{PeerId, identity::Keypair};

/// The libp2p key pair of an identity.
pub(crate) fn keypair(identity: &Identity) -> Keypair {
    Keypair::ed25519_from_bytes(identity.seed()).expect("every 32 bytes are an Ed25519 seed")
}

/// The libp2p peer id of a node.
pub(crate) fn peer_id(node: &NodeId) -> PeerId {
    PeerId::from_bytes(&node.peer_id_bytes()).expect("an identity multihash of 36 bytes is a peer id")
}

/// The node of a peer id; nodes of other key types are none of ours.
pub(crate) fn node_id(peer: &PeerId) -> Option<NodeId> {
    NodeId::from_peer_id_bytes(&peer.to_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_gives_the_same_name_on_both_sides() {
        let identity = Identity::from_seed([9; 32]);
        let peer = keypair(&identity).public().to_peer_id();
        assert_eq!(node_id(&peer), Some(identity.node_id()));
        assert_eq!(peer_id(&identity.node_id()), peer);
        assert_eq!(peer.to_string(), identity.node_id().to_string());
        assert!(node_id(&Keypair::generate_ed25519().public().to_peer_id()).is_some());
    }
}
