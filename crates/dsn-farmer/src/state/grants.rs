//! Leaves to send: what a farmer has agreed to take, by token. The codec asks here before it reads a body, so nothing is
//! allocated for pieces nobody agreed to; the bytes granted are counted as used until they come or the leave expires.

use std::collections::BTreeMap;

use dsn_core::{
    descriptor::Descriptor,
    index_set::IndexSet,
    node_id::NodeId,
    redundancy::Class,
    rpc::{PutId, StoreHeader, Token},
};

/// Leaves at once. Each holds a descriptor of up to 2 KiB; a put of large chunks has about four per farmer.
pub(crate) const GRANTS_MAX: usize = 4096;

/// The upload that pieces belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Carried {
    /// The node that carries them here.
    pub(crate) from: NodeId,
    pub(crate) put_id: PutId,
    /// Whose leases they get.
    pub(crate) owner: NodeId,
    pub(crate) class: Class,
}

/// What one token allows.
#[derive(Clone, Debug)]
pub(crate) struct Grant {
    pub(crate) carried: Carried,
    pub(crate) descriptor: Descriptor,
    pub(crate) indices: IndexSet,
    /// Unix seconds.
    pub(crate) expires: u64,
}

impl Grant {
    fn bytes(&self) -> u64 {
        (self.indices.len() * self.descriptor.piece_len()) as u64
    }
}

/// All leaves given and not yet used up.
#[derive(Debug, Default)]
pub(crate) struct Grants {
    by_token: BTreeMap<Token, Grant>,
}

impl Grants {
    /// Drops what has expired; says how many bytes are still granted.
    pub(crate) fn sweep(&mut self, now: u64) -> u64 {
        self.by_token.retain(|_, grant| grant.expires > now);
        self.by_token.values().map(Grant::bytes).sum()
    }

    /// Bytes that an owner was granted and that have not come yet.
    pub(crate) fn bytes_of(&self, owner: NodeId) -> u64 {
        self.by_token.values().filter(|grant| grant.carried.owner == owner).map(Grant::bytes).sum()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.len() >= GRANTS_MAX
    }

    /// Leaves given.
    pub(crate) fn len(&self) -> usize {
        self.by_token.len()
    }

    pub(crate) fn insert(&mut self, token: Token, grant: Grant) {
        self.by_token.insert(token, grant);
    }

    pub(crate) fn get(&self, token: Token, now: u64) -> Option<&Grant> {
        self.by_token.get(&token).filter(|grant| grant.expires > now)
    }

    /// Whether every part is granted, at its right length, and none twice.
    pub(crate) fn allow(&self, parts: &[StoreHeader], now: u64) -> bool {
        let mut seen: BTreeMap<Token, IndexSet> = BTreeMap::new();
        parts.iter().all(|part| {
            let set = seen.entry(part.token).or_default();
            let twice = set.contains(part.index);
            set.insert(part.index);
            let granted = self.get(part.token, now);
            !twice && granted.is_some_and(|g| g.indices.contains(part.index) && g.descriptor.piece_len() == part.len)
        })
    }

    /// Drops what these nodes were granted.
    pub(crate) fn revoke(&mut self, is_denied: impl Fn(NodeId) -> bool) {
        self.by_token.retain(|_, grant| !is_denied(grant.carried.from));
    }

    /// Pieces have come: they need no leave any more.
    pub(crate) fn used(&mut self, token: Token, indices: IndexSet) {
        if let Some(grant) = self.by_token.get_mut(&token) {
            grant.indices = grant.indices.minus(indices);
            if grant.indices.is_empty() {
                self.by_token.remove(&token);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use dsn_core::{descriptor::Code, hash::Hash, limits::TOTAL_PIECES};

    use super::*;

    const TOKEN: Token = Token([1; 16]);

    fn grants() -> Grants {
        let descriptor = Descriptor::new(Code::Rs16Of48, 1 << 20, &[Hash::of(b""); TOTAL_PIECES]);
        let indices = [3, 4].into_iter().collect();
        let (from, owner) = (NodeId([2; 32]), NodeId([4; 32]));
        let carried = Carried { from, put_id: PutId([3; 16]), owner, class: Class::Normal };
        let mut grants = Grants::default();
        grants.insert(TOKEN, Grant { carried, descriptor, indices, expires: 100 });
        grants
    }

    fn part(index: u8, len: usize) -> StoreHeader {
        StoreHeader { token: TOKEN, index, len }
    }

    #[test]
    fn only_what_was_granted_is_allowed() {
        let mut grants = grants();
        assert!(grants.allow(&[part(3, 65_536), part(4, 65_536)], 50));
        assert!(!grants.allow(&[part(5, 65_536)], 50), "another piece");
        assert!(!grants.allow(&[part(3, 65_535)], 50), "another length");
        assert!(!grants.allow(&[part(3, 65_536), part(3, 65_536)], 50), "twice");
        assert!(!grants.allow(&[part(3, 65_536)], 100), "expired");
        assert!(!grants.allow(&[StoreHeader { token: Token([9; 16]), index: 3, len: 65_536 }], 50), "unknown");
        grants.used(TOKEN, IndexSet::one(3));
        assert!(!grants.allow(&[part(3, 65_536)], 50), "already here");
        assert_eq!(grants.sweep(50), 65_536);
        assert_eq!(grants.sweep(100), 0);
    }

    #[test]
    fn who_is_no_longer_let_in_has_no_leave() {
        let mut grants = grants();
        grants.revoke(|node| node == NodeId([9; 32]));
        assert!(grants.allow(&[part(3, 65_536)], 50));
        grants.revoke(|node| node == NodeId([2; 32]));
        assert!(!grants.allow(&[part(3, 65_536)], 50));
        assert_eq!(grants.sweep(50), 0, "its room is free");
    }
}
