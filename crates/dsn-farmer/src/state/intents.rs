//! Who has said that it is about to repair what. Only a courtesy between custodians: a node that repairs all the same
//! wastes bandwidth and harms nothing, and one that announces and does nothing delays a chunk once.

use std::collections::BTreeMap;

use dsn_core::{
    canary::{Bug, planted},
    hash::ChunkId,
    node_id::NodeId,
};

/// Intents remembered. A node that floods them only pushes out others', and then work is done twice.
pub(crate) const INTENTS_MAX: usize = 16_384;

/// Seconds after an intent before another of the same node for the same chunk counts again.
const SPENT_SECS: u64 = 24 * 3600;

/// The intents heard.
#[derive(Debug, Default)]
pub(crate) struct Intents {
    heard: BTreeMap<(ChunkId, NodeId), u64>,
    working: Option<ChunkId>,
}

impl Intents {
    /// `node` wants to repair `chunk` at `now`. Says whether this node holds back.
    pub(crate) fn hear(&mut self, chunk: ChunkId, node: NodeId, now: u64) -> bool {
        if self.working == Some(chunk) {
            return false;
        }
        if self.heard.len() >= INTENTS_MAX {
            self.heard.retain(|_, at| at.saturating_add(SPENT_SECS) > now);
        }
        if self.heard.len() < INTENTS_MAX || planted(Bug::IntentsUnbounded) {
            let at = self.heard.entry((chunk, node)).or_insert(now);
            if at.saturating_add(SPENT_SECS) <= now {
                *at = now;
            }
        }
        true
    }

    /// Until when somebody else's intent for the chunk is believed, each for `believed_secs`; none when there is none.
    pub(crate) fn held_until(&self, chunk: ChunkId, believed_secs: u64, now: u64) -> Option<u64> {
        let believed_secs = if planted(Bug::IntentForEver) { u64::from(u32::MAX) } else { believed_secs };
        let of_chunk = self.heard.range((chunk, NodeId([0; 32]))..=(chunk, NodeId([255; 32])));
        of_chunk.map(|(_, at)| at.saturating_add(believed_secs)).filter(|until| *until > now).max()
    }

    /// Intents remembered.
    pub(crate) fn len(&self) -> usize {
        self.heard.len()
    }

    /// This node works on the chunk, or on none.
    pub(crate) fn work_on(&mut self, chunk: Option<ChunkId>) {
        self.working = chunk;
    }
}

#[cfg(test)]
mod tests {
    use dsn_core::hash::Hash;

    use super::*;

    const CHUNK: ChunkId = ChunkId(Hash([1; 32]));
    const LIAR: NodeId = NodeId([2; 32]);

    #[test]
    fn an_intent_is_believed_for_a_while_and_once_a_day() {
        let mut intents = Intents::default();
        assert_eq!(intents.held_until(CHUNK, 1800, 0), None);
        assert!(intents.hear(CHUNK, LIAR, 0));
        assert_eq!(intents.held_until(CHUNK, 1800, 10), Some(1800));
        intents.hear(CHUNK, LIAR, 1700);
        assert_eq!(intents.held_until(CHUNK, 1800, 1800), None, "said again, it delays no longer");
        intents.hear(CHUNK, LIAR, SPENT_SECS);
        assert_eq!(intents.held_until(CHUNK, 1800, SPENT_SECS + 1), Some(SPENT_SECS + 1800));
    }

    #[test]
    fn whoever_works_on_a_chunk_does_not_hold_back() {
        let mut intents = Intents::default();
        intents.work_on(Some(CHUNK));
        assert!(!intents.hear(CHUNK, LIAR, 0));
        intents.work_on(None);
        assert!(intents.hear(CHUNK, LIAR, 0));
    }

    #[test]
    fn a_flood_of_intents_is_bounded() {
        let mut intents = Intents::default();
        for n in 0..2 * u32::try_from(INTENTS_MAX).expect("small") {
            let mut id = [0; 32];
            id[..4].copy_from_slice(&n.to_be_bytes());
            intents.hear(ChunkId(Hash(id)), LIAR, 0);
        }
        assert_eq!(intents.heard.len(), INTENTS_MAX);
        intents.hear(CHUNK, LIAR, SPENT_SECS + 1);
        assert_eq!(intents.heard.len(), 1, "old ones make room");
    }
}
