//! `dsn import`: a file or folder from exported pieces, on one stick or several, without any network. It comes back as `dsn
//! get` brings it back; only where the pieces come from is another.

use std::{path::Path, sync::Arc, time::Instant};

use dsn_cli::{Exit, Failure, note};
use dsn_client::{Client, GetError, Lacking, archive::Shelf};
use dsn_core::{cid::Cid, identity::Identity, index_set::IndexSet, limits::TOTAL_PIECES};

use crate::{
    args::{Get, Import},
    context::Context,
    failures, get,
    interrupt::Interrupts,
    meter::GetMeter,
    runtime::fill_random,
    session,
    target::Target,
};

/// Chunks, damaged files or CIDs that an error names; the others it counts.
const NAMED_MAX: usize = 10;

pub(crate) async fn run(context: &Context, args: &Import) -> Result<(), Failure> {
    let mut interrupts = Interrupts::listen()?;
    let shelf = open(context, args).await?;
    let wanted = match &args.cid {
        Some(text) => text.clone(),
        None => only_cid(&shelf)?.to_string().into(),
    };
    let target = Target::parse(&wanted)?;
    let args = Get { target: wanted, output: args.output.clone(), force: args.force, keep_partial: args.keep_partial };
    let path = args.output.clone().unwrap_or_else(|| target.default_name());
    get::check_free(&path, args.force)?;
    let started = Instant::now();
    let client = session::client(Arc::new(shelf.clone()), stranger(), context)?;
    let meter = get::meter(context, &path);
    let import = restore(&client, &shelf, &target, &path, &args, &meter);
    let done = interrupts.or(import, "run the same command again: what was written is kept").await;
    meter.clear();
    let damaged = shelf.damaged();
    for path in damaged.iter().take(NAMED_MAX) {
        note(&format!("damaged, and left out: {}", path.display()));
    }
    if damaged.len() > NAMED_MAX {
        note(&format!("damaged, and left out: {} more", damaged.len() - NAMED_MAX));
    }
    get::finish(context, done, path, started)
}

/// A key for this command alone: who brings pieces together is nobody's concern.
fn stranger() -> Identity {
    let mut seed = [0; 32];
    fill_random(&mut seed);
    Identity::from_seed(seed)
}

async fn open(context: &Context, args: &Import) -> Result<Shelf, Failure> {
    let (folders, network) = (args.folders.clone(), context.network_name()?);
    let opened = tokio::task::spawn_blocking(move || Shelf::open(&folders, stranger(), network)).await;
    let opened = opened.map_err(|error| Failure::of(Exit::Internal, &error))?;
    opened.map_err(|error| Failure::of(Exit::Disk, &error))
}

/// What the pieces are of, when there is no choice.
fn only_cid(shelf: &Shelf) -> Result<Cid, Failure> {
    let cids: Vec<Cid> = shelf.cids().collect();
    match cids[..] {
        [cid] => Ok(cid),
        [] => Err(Failure::new(Exit::NotFound, "there is no exported file or folder")
            .hint("name the folders that `dsn export` has written to, or those that they are in")),
        _ => {
            let error = format!("there are pieces of {} files and folders", cids.len());
            let failure = cids.iter().take(NAMED_MAX).fold(Failure::new(Exit::Usage, error), |failure, cid| {
                failure.because(cid.to_string()) // one a line, to be copied
            });
            Err(failure.hint("say which one with --cid CID"))
        }
    }
}

/// Brings it back, when there is enough of all of it; that is looked at before anything is written, and again when something
/// turned out to be damaged.
async fn restore(
    client: &Client,
    shelf: &Shelf,
    target: &Target,
    path: &Path,
    args: &Get,
    meter: &GetMeter,
) -> Result<get::Got, Failure> {
    if target.path.is_none() {
        check(client, shelf, target.cid).await?;
    }
    match get::fetch(client, target, path, args, meter).await {
        Err(failure) if failure.exit == Exit::NotEnough || failure.exit == Exit::NotFound => {
            check(client, shelf, target.cid).await?;
            Err(failure)
        }
        done => done,
    }
}

async fn check(client: &Client, shelf: &Shelf, cid: Cid) -> Result<(), Failure> {
    let lacking = match client.lacking(cid).await {
        Ok(lacking) => lacking,
        Err(GetError::NotFound { .. } | GetError::NotEnoughPieces { number: 0, .. }) => {
            vec![Lacking { chunk: cid.0, number: 0, of: 0, there: IndexSet::EMPTY, needed: 1 }]
        }
        Err(error) => return Err(failures::get(&error)),
    };
    if lacking.is_empty() { Ok(()) } else { Err(too_little(shelf, cid, &lacking)) }
}

/// How much is there of the chunks that cannot be rebuilt, and what would help. It is a matter of integrity when nothing is
/// missing but what is damaged.
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
