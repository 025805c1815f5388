//! `dsn get` and `dsn cat`: brings a file, a part of one or a folder back, into a file, a folder or a pipe. A failed get never leaves one
//! that looks complete.

mod range;
mod sink;

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use dsn_cli::{Exit, Failure, human_bytes, note, print_json, stdout_is_terminal};
use dsn_client::{Client, GetError, GetReport, Named, output::OutputError};
use serde::Serialize;

use self::range::Part;
pub(crate) use self::sink::check_free;
use crate::{
    args::Get,
    context::Context,
    failures,
    interrupt::Interrupts,
    meter::GetMeter,
    put,
    session::Session,
    target::{Asked, Target},
};

const RESUME: &str = "run the same command again: what was fetched is kept";

/// Of a part of a file nothing is kept.
const AGAIN: &str = "run the same command again";

#[derive(Serialize)]
struct GetJson {
    cid: String,
    bytes: u64,
    path: Option<PathBuf>,
    seconds: f64,
    pieces_fetched: u64,
    pieces_bad: u64,
    decoded_chunks: u64,
    resumed_bytes: u64,
    wire_bytes: u64,
    /// Only of a folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    entries: Option<u64>,
}

pub(crate) async fn run(context: &Context, args: &Get) -> Result<(), Failure> {
    let mut interrupts = Interrupts::listen()?;
    let target = Asked::of(&args.wanted)?;
    let wanted = Part::of(&args.range)?;
    let name = || wanted.map_or_else(|| target.default_name(), |part| part.name(&target.default_name()));
    let path = args.out.output.clone().unwrap_or_else(name);
    check_free(&path, args.out.force)?;
    let started = Instant::now();
    let session = Session::open(context).await?;
    let meter = meter(context, &path);
    let get = async {
        let target = target.resolve(&session.client).await?;
        fetch(&session.client, &target, wanted, &path, args, &meter).await
    };
    let again = if wanted.is_some() { AGAIN } else { RESUME };
    let done = interrupts.or(get, again).await;
    meter.clear();
    session.close(context).await;
    finish(context, done, path, started)
}

/// What was fetched; of a folder, also how many entries it has.
pub(crate) type Got = (GetReport, Option<u64>);

/// Progress, unless it would be written into what a terminal shows.
pub(crate) fn meter(context: &Context, path: &Path) -> GetMeter {
    GetMeter::new(context.json || (sink::is_pipe(path) && stdout_is_terminal()))
}

/// Tells what came of it.
pub(crate) fn finish(
    context: &Context,
    done: Result<Got, Failure>,
    path: PathBuf,
    started: Instant,
) -> Result<(), Failure> {
    let (report, entries) = match done {
        // The reader has seen enough: a quiet end.
        Err(failure) if failure.caused_by.is_empty() && failure.error == OutputError::Closed.to_string() => {
            return Ok(());
        }
        done => done?,
    };
    let path = (!sink::is_pipe(&path)).then_some(path);
    tell(context, &report, entries, path, started.elapsed().as_secs_f64());
    Ok(())
}

/// Fetches what the target names.
pub(crate) async fn fetch(
    client: &Client,
    target: &Target,
    wanted: Option<Part>,
    path: &Path,
    args: &Get,
    meter: &GetMeter,
) -> Result<Got, Failure> {
    let named = client.named(target.cid, target.key.as_ref(), target.path.as_ref()).await;
    match named.map_err(|error| failures::get(&error))? {
        Named::File(file) => {
            let (mut output, part) = sink::open(path, args.out.force)?;
            let is_new = part.as_deref().is_some_and(|part| !part.exists());
            let got = match wanted {
                Some(Part { offset, length }) => {
                    client.get_part(target.cid, file, (offset, length), &mut *output, meter).await
                }
                None => client.get_file(target.cid, file, &mut *output, meter).await,
            };
            if wanted.is_some() && is_new && got.is_err() {
                sink::discard(part.as_deref());
            }
            Ok((got.map_err(|error| sink::failure(&error, part.as_deref(), args))?, None))
        }
        Named::Folder(_) if wanted.is_some() => {
            Err(Failure::new(Exit::Usage, "it is a folder, of which no part by bytes can be got")
                .hint("name one of its files: CID/PATH"))
        }
        Named::Folder(_) if sink::is_pipe(path) => Err(failures::get(&GetError::Folder)),
        Named::Folder(folder) => {
            let mut output = sink::open_folder(path, target, args.out.force)?;
            let got = client.get_folder(target.cid, &folder, &mut output, meter).await;
            let got = got.map_err(|error| sink::failure(&error, Some(output.part_path()), args));
            got.map(|(report, entries)| (report, Some(entries)))
        }
        Named::Link(says) => {
            let says = String::from_utf8_lossy(&says).escape_debug().to_string();
            Err(Failure::new(Exit::Usage, format!("it is a link that says {says}"))
                .hint("get what it points to, or the folder that it is in"))
        }
    }
}

fn tell(context: &Context, report: &GetReport, entries: Option<u64>, path: Option<PathBuf>, seconds: f64) {
    if !context.json {
        if let Some(path) = path {
            let resumed = if report.resumed_bytes > 0 {
                format!(", {} were there already", human_bytes(report.resumed_bytes))
            } else {
                String::new()
            };
            let entries = entries.map(|entries| put::entries_of(entries) + ", ").unwrap_or_default();
            let bytes = human_bytes(report.bytes);
            note(&format!("{entries}{bytes} in {seconds:.1} s{resumed}: {}", path.display()));
        }
        return;
    }
    let piped = path.is_none();
    let json = GetJson {
        cid: report.cid.to_string(),
        bytes: report.bytes,
        path,
        seconds,
        pieces_fetched: report.pieces_fetched,
        pieces_bad: report.pieces_bad,
        decoded_chunks: report.decoded_chunks,
        resumed_bytes: report.resumed_bytes,
        wire_bytes: report.wire_bytes,
        entries,
    };
    if piped {
        note(&serde_json::to_string(&json).expect("numbers and texts are JSON"));
    } else {
        print_json(&json);
    }
}
