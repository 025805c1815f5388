//! Observations as a farmer keeps them over a restart. What they say of silence counts on from before; how often in a row
//! somebody did not answer begins anew, so that nobody is gone without being asked again. What is damaged is left out.

use std::collections::BTreeMap;

use bytes::Bytes;
use dsn_proto as proto;
use prost::Message;

use super::{Departed, LOSSES_MAX, Liveness, Loss, PEERS_MAX, Peer, WRONG_MAX};
use crate::{hash::ChunkId, index_set::IndexSet, node_id::NodeId, ports::StoreMark};

impl Liveness {
    /// What has been seen.
    pub fn notes(&self) -> Bytes {
        let observations = proto::Observations {
            peers: self.peers.iter().map(|(node, peer)| peer.to_proto(*node)).collect(),
            losses: self.losses.iter().map(|((chunk, node), loss)| loss.to_proto(*chunk, *node)).collect(),
        };
        observations.encode_to_vec().into()
    }

    /// Takes over what was seen before; what has been seen since counts more.
    pub fn recall(&mut self, notes: &[u8]) {
        let Ok(observations) = proto::Observations::decode(notes) else { return };
        let peers = observations.peers.iter().filter_map(Peer::from_proto).take(PEERS_MAX);
        let losses = observations.losses.iter().filter_map(Loss::from_proto).take(LOSSES_MAX);
        let since = std::mem::replace(&mut self.peers, peers.collect());
        self.peers.extend(since);
        let since = std::mem::replace(&mut self.losses, losses.collect::<BTreeMap<_, _>>());
        self.losses.extend(since);
        self.count_silent();
    }
}

impl Peer {
    fn to_proto(&self, node: NodeId) -> proto::ObservedPeer {
        proto::ObservedPeer {
            node_id: Bytes::copy_from_slice(&node.0),
            silent_since: self.silent_since.unwrap_or(0),
            has_proved: self.has_proved,
            wrong_at: self.wrong.clone(),
            mark: self.mark.map(proto::StoreMark::from),
            compared: self.compared,
            departure_said: self.departure.map_or(0, |word| word.said),
            leaving: self.departure.is_some_and(|word| word.leaving),
        }
    }

    fn from_proto(peer: &proto::ObservedPeer) -> Option<(NodeId, Self)> {
        let node = NodeId::from_slice(&peer.node_id)?;
        let peer = Self {
            silent_since: Some(peer.silent_since).filter(|since| *since > 0),
            mark: peer.mark.map(StoreMark::from),
            compared: peer.compared,
            has_proved: peer.has_proved,
            wrong: peer.wrong_at.iter().copied().take(WRONG_MAX).collect(),
            departure: Some(Departed { said: peer.departure_said, leaving: peer.leaving }).filter(|word| word.said > 0),
            ..Self::default()
        };
        Some((node, peer))
    }
}

impl Loss {
    fn to_proto(self, chunk: ChunkId, node: NodeId) -> proto::ObservedLoss {
        proto::ObservedLoss {
            node_id: Bytes::copy_from_slice(&node.0),
            chunk_id: Bytes::copy_from_slice(chunk.as_bytes()),
            seq: self.seq,
            indices: self.indices.bits(),
        }
    }

    fn from_proto(loss: &proto::ObservedLoss) -> Option<((ChunkId, NodeId), Self)> {
        let (node, chunk) = (NodeId::from_slice(&loss.node_id)?, ChunkId::from_slice(&loss.chunk_id)?);
        Some(((chunk, node), Self { seq: loss.seq, indices: IndexSet::from_bits(loss.indices)? }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{hash::Hash, liveness::Presence};

    const GRACE: u64 = 100;
    const CHUNK: ChunkId = ChunkId(Hash([9; 32]));

    #[test]
    fn a_restart_forgets_nothing_but_asks_again_before_anybody_is_gone() {
        let mut before = Liveness::new(GRACE);
        let [silent, liar, lossy, fine] = [1, 2, 3, 4].map(|n| NodeId([n; 32]));
        let mark = StoreMark { id: 7, opens: 2, losses: 1, resumed: 5, first: 9 };
        for node in [liar, lossy, fine] {
            before.heard(node, mark);
        }
        for at in 1000..1005 {
            before.silent(silent, at);
        }
        (0..3).for_each(|n| before.wrong(liar, 1000 + n));
        before.lost(lossy, CHUNK, 5, IndexSet::one(3));
        before.proved(fine);
        before.compared(fine);
        before.departs(fine, true, 1000);
        let mut after = Liveness::new(GRACE);
        after.recall(&before.notes());
        assert_eq!(after.notes(), before.notes());
        assert_eq!(before.presence(silent, 1100), Presence::Gone);
        assert_eq!(after.presence(silent, 1100), Presence::Silent, "not asked since the restart");
        for at in 1100..1103 {
            after.silent(silent, at);
        }
        assert_eq!(after.presence(silent, 1103), Presence::Gone, "the grace goes on from before");
        assert_eq!(after.presence(liar, 1103), Presence::Gone);
        assert!(after.has_proved(fine, 1103));
        assert!(after.heard(fine, StoreMark { id: 8, ..mark }), "the mark is remembered");
        assert_eq!(after.losses.len(), 1);
    }

    proptest! {
        #[test]
        fn damaged_notes_are_no_trouble(notes in proptest::collection::vec(any::<u8>(), 0..200)) {
            Liveness::new(GRACE).recall(&notes);
        }
    }
}
