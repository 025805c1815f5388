//! Lies about names.

use dsn_core::{
    cid::Cid,
    hash::{ChunkId, Hash},
    identity::Identity,
    name::{KnownName, NameBody, NameRecords},
};

use super::Inner;
use crate::fault::{Fault, Lie};

impl Inner {
    /// What a liar says of names instead of the truth.
    pub(super) fn twist_names(
        &mut self,
        lie: Option<Lie>,
        found: Vec<Option<NameRecords>>,
    ) -> Vec<Option<NameRecords>> {
        for records in found.iter().flatten() {
            self.first_names.entry(records.name()).or_insert_with(|| records.clone());
        }
        let Some(lie @ (Lie::StaleNames | Lie::ForgesNames)) = lie else { return found };
        found.into_iter().map(|records| records.map(|records| self.lie_about(lie, &records))).collect()
    }

    fn lie_about(&mut self, lie: Lie, records: &NameRecords) -> NameRecords {
        self.faults.count(Fault::Lied(lie));
        if lie == Lie::StaleNames {
            return self.first_names.get(&records.name()).unwrap_or(records).clone();
        }
        let true_body = records.records()[0].body().clone();
        let forged = NameBody { sequence: true_body.sequence + 7, root: Cid(ChunkId(Hash([6; 32]))), ..true_body };
        let mut known = KnownName::default();
        known.merge(forged.sign(&Identity::from_seed([66; 32])));
        known.to_records().expect("one record")
    }
}
