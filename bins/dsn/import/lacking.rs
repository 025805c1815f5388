//! What is missing of an export, in words: how much is there of each chunk that cannot be rebuilt, and what would help.

use dsn_cli::{Exit, Failure};
use dsn_client::{Client, GetError, Lacking, archive::Shelf};
use dsn_core::{cid::Cid, index_set::IndexSet, limits::TOTAL_PIECES};

use super::NAMED_MAX;
use crate::failures;

/// Fails when a chunk cannot be rebuilt from what is there.
pub(super) async fn check(client: &Client, shelf: &Shelf, cid: Cid) -> Result<(), Failure> {
    let lacking = match client.lacking(cid).await {
        Ok(lacking) => lacking,
        Err(GetError::NotFound { .. } | GetError::NotEnoughPieces { number: 0, .. }) => {
            vec![Lacking { chunk: cid.0, number: 0, of: 0, there: IndexSet::EMPTY, needed: 1 }]
        }
        Err(error) => return Err(failures::get(&error)),
    };
    if lacking.is_empty() { Ok(()) } else { Err(too_little(shelf, cid, &lacking)) }
}

/// It is a matter of integrity when nothing is missing but what is damaged.
fn too_little(shelf: &Shelf, cid: Cid, lacking: &[Lacking]) -> Failure {
    let only_damaged = |l: &Lacking| l.there.union(shelf.spoilt(l.chunk)).len() >= l.needed;
    let exit = if lacking.iter().all(only_damaged) { Exit::Integrity } else { Exit::NotEnough };
    let chunks = if lacking.len() == 1 { "one chunk".to_owned() } else { format!("{} chunks", lacking.len()) };
    let mut failure = Failure::new(exit, format!("cannot rebuild {chunks} of {cid}"));
    for lacking in lacking.iter().take(NAMED_MAX) {
        failure = failure.because(said(lacking, shelf.spoilt(lacking.chunk)));
    }
    if lacking.len() > NAMED_MAX {
        failure = failure.because(format!("and {} more chunks", lacking.len() - NAMED_MAX));
    }
    let there = lacking.iter().fold(IndexSet::EMPTY, |all, lacking| all.union(lacking.there));
    let others = IndexSet::below(TOTAL_PIECES).minus(there);
    failure.hint(format!("where the network is, get others with `dsn export {cid} --pieces {others} DIR`"))
}

fn said(lacking: &Lacking, spoilt: IndexSet) -> String {
    let Lacking { number, of, there, needed, .. } = *lacking;
    let damaged = if spoilt.is_empty() { String::new() } else { format!("; damaged: {spoilt}") };
    if number == 0 {
        return format!("root chunk: its one piece is not there{damaged}");
    }
    let (have, more) = (there.len(), needed - there.len());
    let others = IndexSet::below(TOTAL_PIECES).minus(there);
    format!(
        "chunk {number} of {of}: {have} of {needed} pieces are there ({there}), {more} more of {others} needed{damaged}"
    )
}
