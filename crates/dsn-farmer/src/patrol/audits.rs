//! Audits: which slices of which holders to ask for, and what follows from the answers.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use dsn_core::{
    audit::{AuditItem, groups, verify},
    canary::{Bug, planted},
    descriptor::Descriptor,
    index_set::IndexSet,
    node_id::NodeId,
    ports::{Environment, PeerEvidence, compute},
    receipt::ReceiptBody,
    rpc::{Request, Response},
};

use super::Patrol;
use crate::{farmer::random, state::Counters};

/// Slices of one audit. Ninety find a farmer that dropped one piece in twenty with 99 % (1 - 0.95^90).
const SLICES: usize = 32;

/// Slices of pieces one holder has signed for, drawn evenly from all that went by (reservoir sampling, Vitter 1985).
#[derive(Clone, Debug, Default)]
pub(super) struct Sample {
    drawn: Vec<Drawn>,
    offered: u64,
}

#[derive(Clone, Debug)]
struct Drawn {
    item: AuditItem,
    descriptor: Descriptor,
    seq: u64,
}

impl Sample {
    /// A receipt of the holder goes by; one random group of one random piece of it may be drawn.
    pub(super) fn offer(&mut self, descriptor: &Descriptor, body: &ReceiptBody, environment: &dyn Environment) {
        let pieces = u64::try_from(body.indices.len()).expect("at most 48");
        let nth = usize::try_from(random(environment) % pieces.max(1)).expect("at most 48");
        let Some(index) = body.indices.iter().nth(nth) else { return };
        let group = u32::try_from(random(environment) % u64::from(groups(descriptor.piece_len()))).expect("at most 64");
        let drawn = Drawn {
            item: AuditItem { chunk: body.chunk, index, group },
            descriptor: descriptor.clone(),
            seq: body.seq,
        };
        self.offered += 1;
        if self.drawn.len() < SLICES {
            self.drawn.push(drawn);
        } else if let Some(slot) =
            usize::try_from(random(environment) % self.offered).ok().and_then(|slot| self.drawn.get_mut(slot))
        {
            *slot = drawn;
        }
    }

    /// What to ask for.
    pub(super) fn items(&self) -> Vec<AuditItem> {
        self.drawn.iter().map(|drawn| drawn.item).collect()
    }
}

impl Patrol {
    /// The holders to be audited in this round: each in its turn, in an order that nobody can foresee.
    pub(super) fn audited_now(&mut self) -> Vec<NodeId> {
        let upkeep = &self.farmer.options.upkeep;
        let audits = upkeep.probe_every_secs.div_ceil(upkeep.audit_every_secs.max(1));
        let mut drawn = Vec::new();
        while u64::try_from(drawn.len()).expect("few") < audits {
            if self.to_audit.is_empty() {
                self.to_audit = std::mem::take(&mut self.holders);
            }
            if self.to_audit.is_empty() {
                break;
            }
            let place = random(&*self.farmer.parts.environment) % u64::try_from(self.to_audit.len()).expect("few");
            drawn.push(self.to_audit.swap_remove(usize::try_from(place).expect("below a length")));
        }
        drawn
    }

    /// Counts what an audit showed; says whether a piece was missing.
    pub(super) async fn judge(&self, node: NodeId, sample: &Sample, slices: Vec<Option<Bytes>>) -> bool {
        let drawn = sample.drawn.clone();
        let check = move || {
            let verdict = |(drawn, slice): (Drawn, Option<Bytes>)| {
                let outcome = slice
                    .map(|slice| planted(Bug::AuditAnyBytes) || verify(&drawn.descriptor, drawn.item, &slice).is_ok());
                (drawn, outcome)
            };
            drawn.into_iter().zip(slices).map(verdict).collect::<Vec<_>>()
        };
        let mut lacked = false;
        for (drawn, outcome) in compute(&*self.farmer.parts.compute, check).await {
            match outcome {
                Some(true) => {
                    Counters::add(&self.farmer.counters.audits_passed, 1);
                    self.farmer.liveness.with(|seen| seen.proved(node));
                }
                Some(false) => self.convict(node, &drawn),
                None if planted(Bug::AuditAbsence) => {}
                None => {
                    lacked = true;
                    self.missed(node, &drawn).await;
                }
            }
        }
        lacked
    }

    /// It answered with bytes that are not those of the piece.
    fn convict(&self, node: NodeId, drawn: &Drawn) {
        tracing::warn!(%node, chunk = %drawn.item.chunk, index = drawn.item.index, "an audit found wrong bytes");
        self.network.report(node, PeerEvidence::WrongBytes);
        self.lose(node, drawn);
        let now = self.farmer.parts.environment.unix_secs();
        self.farmer.liveness.with(|seen| seen.wrong(node, now));
    }

    /// It has not the piece it signed for. That may be an honest loss; to say "I hold it" and not to have it is none.
    async fn missed(&self, node: NodeId, drawn: &Drawn) {
        let chunk = drawn.item.chunk;
        tracing::info!(%node, %chunk, index = drawn.item.index, "an audit found a piece missing");
        self.lose(node, drawn);
        let answer = self.network.request(node, Request::Holds(vec![chunk])).await;
        let claims =
            matches!(answer, Ok(Response::Held(sets)) if sets.first().is_some_and(|s| s.contains(drawn.item.index)));
        if claims {
            let now = self.farmer.parts.environment.unix_secs();
            self.farmer.liveness.with(|seen| seen.wrong(node, now));
        }
    }

    fn lose(&self, node: NodeId, drawn: &Drawn) {
        self.farmer.counters.audits_failed.fetch_add(1, Ordering::Relaxed);
        let AuditItem { chunk, index, .. } = drawn.item;
        self.farmer.liveness.with(|seen| seen.lost(node, chunk, drawn.seq, IndexSet::one(index)));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use bytes::BytesMut;
    use dsn_core::{
        descriptor::Code, erasure::encode, hash::ChunkId, hash::Hash, network_name::NetworkName, redundancy::Class,
    };

    use super::*;

    /// Randomness that follows from a number (a linear congruence, good enough to draw from).
    struct Seeded(AtomicU64);

    impl Environment for Seeded {
        fn unix_secs(&self) -> u64 {
            0
        }

        fn fill_random(&self, bytes: &mut [u8]) {
            for byte in bytes {
                let last = self.0.load(Ordering::Relaxed);
                let next = last.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                self.0.store(next, Ordering::Relaxed);
                *byte = next.to_be_bytes()[1];
            }
        }
    }

    fn receipt(nth: u16) -> ReceiptBody {
        let mut chunk = [0; 32];
        chunk[..2].copy_from_slice(&nth.to_be_bytes());
        let network: NetworkName = "audit".parse().expect("a name");
        let (farmer, chunk) = (NodeId([1; 32]), ChunkId(Hash(chunk)));
        let (indices, class) = (IndexSet::one(0), Class::Normal);
        ReceiptBody { network, chunk, farmer, indices, class, seq: 1, issued: 0, until: None }
    }

    /// Of 1,000 pieces 50 are gone: three audits of 32 find one of them in 99 of 100 cases.
    #[test]
    fn three_audits_find_a_farmer_that_dropped_one_piece_in_twenty() {
        let environment = Seeded(AtomicU64::new(7));
        let descriptor = encode(Code::Rs16Of48, BytesMut::from(&b"any"[..])).descriptor;
        let mut found = 0;
        for _ in 0..300 {
            let mut caught = false;
            for _ in 0..3 {
                let mut sample = Sample::default();
                (0..1000).for_each(|nth| sample.offer(&descriptor, &receipt(nth), &environment));
                assert_eq!(sample.items().len(), SLICES);
                let nth = |item: &AuditItem| u16::from_be_bytes([item.chunk.as_bytes()[0], item.chunk.as_bytes()[1]]);
                caught |= sample.items().iter().any(|item| nth(item).is_multiple_of(20));
            }
            found += u32::from(caught);
        }
        assert!((292..=300).contains(&found), "{found} of 300");
    }
}
