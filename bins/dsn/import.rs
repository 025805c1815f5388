//! `dsn import`: a file or folder from exported pieces, on one stick or several, without any network. It comes back as `dsn
//! get` brings it back; only where the pieces come from is another.

mod lacking;

use std::{path::Path, sync::Arc, time::Instant};

use dsn_cli::{Exit, Failure, note};
use dsn_client::{Client, archive::Shelf};
use dsn_core::{cid::Cid, identity::Identity};

use crate::{
    args::{Get, Import, Range, Wanted},
    context::Context,
    get,
    interrupt::Interrupts,
    meter::GetMeter,
    runtime::fill_random,
    session,
    target::{Asked, Target},
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
    let asked = Asked::parse(&wanted)?;
    let path = args.out.output.clone().unwrap_or_else(|| asked.default_name());
    let target = asked.offline()?;
    let args =
        Get { wanted: Wanted { target: Some(wanted), cap: None }, out: args.out.clone(), range: Range::default() };
    get::check_free(&path, args.out.force)?;
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
        lacking::check(client, shelf, target.cid).await?;
    }
    match get::fetch(client, target, None, path, args, meter).await {
        Err(failure) if failure.exit == Exit::NotEnough || failure.exit == Exit::NotFound => {
            lacking::check(client, shelf, target.cid).await?;
            Err(failure)
        }
        done => done,
    }
}
