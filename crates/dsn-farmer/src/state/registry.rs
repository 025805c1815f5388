//! Where nodes are that no look-up finds, since nobody can dial them: their own signed records, kept for an hour and shown
//! to whoever asks. A node can only speak for itself.

use std::collections::BTreeMap;

use dsn_core::{
    limits::{RECORDS_MAX_PER_ANSWER, REGISTERED_SECS},
    node_id::NodeId,
    record::FarmerRecord,
    rpc::RecordQuery,
};

/// Records kept. A crowd that fills it keeps others out of this one of the twenty nodes that each registers with.
pub(crate) const REGISTERED_MAX: usize = 4096;

/// The records, each with the Unix second of its end.
#[derive(Debug, Default)]
pub(crate) struct Registry(BTreeMap<NodeId, (u64, FarmerRecord)>);

impl Registry {
    /// Keeps a record that its node has signed; says for how many seconds, none when there is no room.
    pub(crate) fn keep(&mut self, node: NodeId, record: FarmerRecord, now: u64) -> u32 {
        if self.0.len() >= REGISTERED_MAX && !self.0.contains_key(&node) {
            self.sweep(now);
            if self.0.len() >= REGISTERED_MAX {
                return 0;
            }
        }
        self.0.insert(node, (now.saturating_add(u64::from(REGISTERED_SECS)), record));
        REGISTERED_SECS
    }

    /// The records asked for that still count, as many as fit an answer.
    pub(crate) fn find(&self, query: &RecordQuery, now: u64) -> Vec<FarmerRecord> {
        let is_kept = |(until, _): &&(u64, FarmerRecord)| *until > now;
        let record = |(_, record): &(u64, FarmerRecord)| record.clone();
        match query {
            RecordQuery::Of(nodes) => {
                nodes.iter().filter_map(|node| self.0.get(node)).filter(is_kept).map(record).collect()
            }
            RecordQuery::After(node) => {
                let after = self.0.iter().filter(|(id, _)| node.is_none_or(|node| **id > node));
                after.map(|(_, kept)| kept).filter(is_kept).map(record).take(RECORDS_MAX_PER_ANSWER).collect()
            }
        }
    }

    /// How many are kept.
    pub(crate) fn count(&mut self, now: u64) -> u32 {
        self.sweep(now);
        u32::try_from(self.0.len()).expect("at most 4,096")
    }

    /// Records kept, ended ones too.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    fn sweep(&mut self, now: u64) {
        self.0.retain(|_, (until, _)| *until > now);
    }
}

#[cfg(test)]
mod tests {
    use dsn_core::{
        identity::Identity,
        record::{RecordBody, Role},
    };

    use super::*;

    fn record(number: u32) -> (NodeId, FarmerRecord) {
        let mut seed = [0; 32];
        seed[..4].copy_from_slice(&number.to_be_bytes());
        let identity = Identity::from_seed(seed);
        let body = RecordBody {
            network: "registry".parse().expect("a name"),
            node: identity.node_id(),
            addresses: Vec::new(),
            space_class: 1,
            domain: String::new(),
            role: Role::Farmer,
            seq: 1,
        };
        (identity.node_id(), body.sign(&identity))
    }

    #[test]
    fn a_record_is_found_for_an_hour() {
        let mut registry = Registry::default();
        let (node, mine) = record(1);
        assert_eq!(registry.keep(node, mine.clone(), 100), REGISTERED_SECS);
        let end = 100 + u64::from(REGISTERED_SECS);
        assert_eq!(registry.find(&RecordQuery::Of(vec![record(2).0, node]), end - 1), std::slice::from_ref(&mine));
        assert_eq!(registry.find(&RecordQuery::After(None), end - 1).len(), 1);
        assert_eq!(registry.find(&RecordQuery::Of(vec![node]), end), []);
        assert_eq!(registry.count(end), 0);
    }

    #[test]
    fn all_are_read_page_by_page_and_a_crowd_is_bounded() {
        let mut registry = Registry::default();
        let crowd = u32::try_from(REGISTERED_MAX).expect("small");
        let refused = (0..=crowd).map(record).filter(|(node, of)| registry.keep(*node, of.clone(), 0) == 0).count();
        assert_eq!(refused, 1, "no room for the last");
        let (mut read, mut last) = (0, None);
        loop {
            let page = registry.find(&RecordQuery::After(last), 1);
            assert!(page.len() <= RECORDS_MAX_PER_ANSWER);
            let Some(record) = page.last() else { break };
            (read, last) = (read + page.len(), Some(record.body().node));
        }
        assert_eq!(read, REGISTERED_MAX);
    }
}
