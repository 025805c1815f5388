//! Keeps locators for others: receipts of one chunk that come in several publications are merged.

use std::{collections::BTreeMap, sync::Arc};

use dsn_core::{
    canary::{Bug, planted},
    hash::ChunkId,
    locator::{Locator, VerifiedLocator},
    ports::{Environment, PieceStore, StoreError},
};

use crate::{
    publications::{Keeper, Publications},
    state::Presences,
};

/// Hands locators to the task that keeps them.
pub(crate) type Custodian = Publications<VerifiedLocator>;

/// Keeps locators.
pub(crate) struct LocatorKeeper {
    store: Arc<dyn PieceStore>,
    environment: Arc<dyn Environment>,
    max_locators: u64,
    seen: Arc<Presences>,
}

impl LocatorKeeper {
    /// At most so many; of those that overflow, whose holders were seen to be true stay first.
    pub(crate) fn new(
        store: Arc<dyn PieceStore>,
        environment: Arc<dyn Environment>,
        max_locators: u64,
        seen: Arc<Presences>,
    ) -> Self {
        Self { store, environment, max_locators, seen }
    }
}

impl Keeper for LocatorKeeper {
    type Record = VerifiedLocator;
    type Kept = BTreeMap<ChunkId, bool>;

    const WHAT: &'static str = "locators";
    const QUEUE: usize = 256;
    const GROUP_MAX: usize = 256;

    async fn begin(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    fn is_kept(kept: &Self::Kept, locator: &VerifiedLocator) -> bool {
        kept.get(&locator.chunk()).copied().unwrap_or(false)
    }

    async fn merge(&mut self, locators: Vec<VerifiedLocator>) -> Result<Self::Kept, StoreError> {
        let now = self.environment.unix_secs();
        let proved = |node| self.seen.with(|seen| seen.has_proved(node, now));
        let mut merged: BTreeMap<ChunkId, VerifiedLocator> = BTreeMap::new();
        for locator in locators {
            match merged.get_mut(&locator.chunk()) {
                Some(known) => {
                    known.merge_beside(&locator, &proved);
                }
                None => {
                    merged.insert(locator.chunk(), locator);
                }
            }
        }
        let chunks: Vec<ChunkId> = merged.keys().copied().collect();
        let known = self.store.locators(&chunks).await?;
        let mut room = self.max_locators.saturating_sub(self.store.space().locators);
        let (mut kept, mut writes) = (BTreeMap::new(), Vec::new());
        for ((chunk, mut locator), old) in merged.into_iter().zip(known) {
            let is_new = old.is_none();
            let full = is_new && room == 0;
            let useful = locator.receipts().next().is_some();
            kept.insert(chunk, useful && !full);
            if full || !useful {
                continue;
            }
            room -= u64::from(is_new);
            let old = old.map(|old| (old.clone(), old.kept(now)));
            if let Some((_, verified)) = &old
                && !planted(Bug::MergeForgets)
            {
                locator.merge_beside(verified, &proved);
            }
            let fresh: Locator = locator.to_locator();
            if old.is_none_or(|(stored, _)| stored != fresh) {
                writes.push(fresh);
            }
        }
        if !writes.is_empty() && !planted(Bug::PublishNotKept) {
            self.store.put_locators(writes).await?;
        }
        Ok(kept)
    }
}
