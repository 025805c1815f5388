//! Records of names move as locators do when the network changes: a node that has become one of a name's custodians gets
//! them from those that stayed. What is missed all the same comes with the next renewal by the owner's node, or with the
//! next reader who asks.

use std::collections::BTreeMap;

use dsn_core::{
    limits::{CUSTODIANS, NAMES_MAX_PER_REQUEST},
    name::{NameRecord, NameRecords},
    node_id::{NodeId, Places, Position},
    ports::StoreError,
    rpc::{Request, Response},
};

use super::{PAGE, Patrol, handover::Handover};

impl Patrol {
    /// Tells the new custodians of each name kept here. A node that does not take it is told again in the next round.
    pub(super) async fn hand_over_names(&self, places: &Places, handover: &mut Handover) -> Result<(), StoreError> {
        if !handover.is_changed() {
            return Ok(());
        }
        let (me, mut after) = (self.network.local_id(), None);
        loop {
            let page = self.farmer.parts.store.names_after(after, PAGE).await?;
            after = page.last().map(NameRecords::name);
            let mut owed: BTreeMap<NodeId, Vec<NameRecord>> = BTreeMap::new();
            for records in page {
                let position = Position::from(&records.name().place());
                let custodians = places.closest(position, CUSTODIANS);
                for node in handover.to_newcomers(position, &custodians, me) {
                    owed.entry(node).or_default().extend(records.records().iter().cloned());
                }
            }
            for (node, records) in owed {
                for batch in records.chunks(NAMES_MAX_PER_REQUEST) {
                    let answer = self.network.request(node, Request::PublishNames(batch.to_vec())).await;
                    if !matches!(answer, Ok(Response::NamesPublished(_))) {
                        handover.note_failed(node);
                        break;
                    }
                }
            }
            if after.is_none() {
                return Ok(());
            }
        }
    }
}
