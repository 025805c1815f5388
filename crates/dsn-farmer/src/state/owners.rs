//! How much each owner may still put here, where the operator, or the founder of a closed network, has set a quota. Counting takes a walk through all that an owner
//! has, so it is done now and then, and what is granted in between is added.

use std::collections::BTreeMap;

use dsn_core::{membership::Allowance, node_id::NodeId};

/// Owners remembered; those counted longest ago are forgotten first, which costs another count.
pub(crate) const OWNERS_MAX: usize = 1024;

/// Seconds for which a count is good: files given up meanwhile are not seen.
const COUNT_VALID_SECS: u64 = 600;

/// Seconds after which an owner whose quota is used up is counted again.
const COUNT_AGAIN_SECS: u64 = 10;

/// What is known of each owner.
#[derive(Debug)]
pub(crate) struct Owners {
    quota_bytes: Option<u64>,
    accounts: BTreeMap<NodeId, Account>,
}

#[derive(Clone, Copy, Debug)]
struct Account {
    counted_at: u64,
    used_bytes: u64,
}

impl Owners {
    pub(crate) fn new(quota_bytes: Option<u64>) -> Self {
        Self { quota_bytes, accounts: BTreeMap::new() }
    }

    /// Owners remembered.
    pub(crate) fn len(&self) -> usize {
        self.accounts.len()
    }

    /// What an owner may have here, who is allowed so much elsewhere: the lesser of that and the operator's quota.
    pub(crate) fn quota(&self, allowance: Option<Allowance>) -> Option<u64> {
        self.quota_bytes.into_iter().chain(allowance.map(|allowance| allowance.bytes)).min()
    }

    /// Whether an owner who wants to put so many bytes has to be counted first.
    pub(crate) fn is_to_count(&self, owner: NodeId, bytes: u64, quota: Option<u64>, now: u64) -> bool {
        let Some(quota) = quota else { return false };
        let is_good = |account: &Account| {
            let valid =
                if account.used_bytes.saturating_add(bytes) <= quota { COUNT_VALID_SECS } else { COUNT_AGAIN_SECS };
            now < account.counted_at.saturating_add(valid)
        };
        !self.accounts.get(&owner).is_some_and(is_good)
    }

    /// An owner has so many bytes here, granted ones among them.
    pub(crate) fn counted(&mut self, owner: NodeId, used_bytes: u64, now: u64) {
        self.accounts.insert(owner, Account { counted_at: now, used_bytes });
        if self.accounts.len() > OWNERS_MAX {
            let oldest = self.accounts.iter().min_by_key(|(_, account)| account.counted_at).map(|(owner, _)| *owner);
            oldest.and_then(|oldest| self.accounts.remove(&oldest));
        }
    }

    /// Takes so many bytes of an owner's quota, if they are left. Who was not counted has none left.
    pub(crate) fn take(&mut self, owner: NodeId, bytes: u64, quota: Option<u64>) -> bool {
        let Some(quota) = quota else { return true };
        let account = self.accounts.get_mut(&owner);
        let Some(account) = account.filter(|a| a.used_bytes.saturating_add(bytes) <= quota) else { return false };
        account.used_bytes += bytes;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: NodeId = NodeId([1; 32]);
    const NOW: u64 = 1_800_000_000;
    const QUOTA: Option<u64> = Some(100);

    #[test]
    fn an_owner_gets_its_quota_and_no_more_until_it_is_counted_again() {
        let mut owners = Owners::new(Some(100));
        assert!(owners.is_to_count(ALICE, 1, QUOTA, NOW) && !owners.take(ALICE, 1, QUOTA), "nobody knows what it has");
        owners.counted(ALICE, 60, NOW);
        assert!(!owners.is_to_count(ALICE, 40, QUOTA, NOW + COUNT_VALID_SECS - 1));
        assert!(owners.take(ALICE, 30, QUOTA) && !owners.take(ALICE, 11, QUOTA) && owners.take(ALICE, 10, QUOTA));
        assert!(!owners.is_to_count(ALICE, 1, QUOTA, NOW + COUNT_AGAIN_SECS - 1));
        assert!(owners.is_to_count(ALICE, 1, QUOTA, NOW + COUNT_AGAIN_SECS), "it may have given something up");
        assert!(owners.is_to_count(ALICE, 0, QUOTA, NOW + COUNT_VALID_SECS));
    }

    #[test]
    fn without_a_quota_nobody_is_counted() {
        let mut owners = Owners::new(None);
        assert!(!owners.is_to_count(ALICE, u64::MAX, None, NOW) && owners.take(ALICE, u64::MAX, None));
        assert!(owners.accounts.is_empty());
    }

    #[test]
    fn of_two_quotas_the_lesser_counts() {
        let of_member = |bytes| Some(Allowance { member: ALICE, bytes });
        assert_eq!(Owners::new(QUOTA).quota(of_member(60)), Some(60));
        assert_eq!(Owners::new(QUOTA).quota(of_member(160)), QUOTA);
        assert_eq!(Owners::new(QUOTA).quota(None), QUOTA);
        assert_eq!(Owners::new(None).quota(of_member(60)), Some(60));
        assert_eq!(Owners::new(None).quota(None), None);
    }

    #[test]
    fn only_so_many_owners_are_remembered() {
        let mut owners = Owners::new(Some(100));
        for number in 0..=u64::try_from(OWNERS_MAX).expect("small") {
            let mut owner = [0; 32];
            owner[..8].copy_from_slice(&number.to_be_bytes());
            owners.counted(NodeId(owner), 0, NOW + number);
        }
        assert_eq!(owners.accounts.len(), OWNERS_MAX);
        assert!(!owners.accounts.contains_key(&NodeId([0; 32])), "the oldest is gone");
    }
}
