//! `dsn get` and `dsn cat`: brings a file back, or a part of it, into a file or a pipe. A failed get never leaves a file that looks
//! complete.

mod range;
mod sink;

use std::{path::PathBuf, time::Instant};

use dsn_cli::{Exit, Failure, human_bytes, note, print_json, stdout_is_terminal};
use dsn_client::{GetReport, output::OutputError};
use dsn_core::cid::Cid;
use serde::Serialize;

use self::range::Part;
use crate::{args::Get, context::Context, interrupt::Interrupts, meter::GetMeter, session::Session};

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
}

/// Reads a CID as a user typed it.
pub(crate) fn parse_cid(text: &str) -> Result<Cid, Failure> {
    text.parse().map_err(|error| Failure::of(Exit::Usage, &error).hint("`dsn put FILE` prints a file's CID"))
}

pub(crate) async fn run(context: &Context, args: &Get) -> Result<(), Failure> {
    let mut interrupts = Interrupts::listen()?;
    let cid = parse_cid(&args.cid)?;
    let wanted = Part::of(&args.range)?;
    let name = || wanted.map_or_else(|| cid.to_string(), |part| part.name(&cid));
    let path = args.output.clone().unwrap_or_else(|| name().into());
    let piped = sink::is_pipe(&path);
    let (mut output, part) = sink::open(&path, args.force)?;
    let is_new = part.as_deref().is_some_and(|part| !part.exists());
    let started = Instant::now();
    let session = Session::open(context).await?;
    let meter = GetMeter::new(context.json || (piped && stdout_is_terminal()));
    let get = async {
        let done = match wanted {
            Some(Part { offset, length }) => session.client.get_range(cid, offset, length, &mut *output, &meter).await,
            None => session.client.get(cid, &mut *output, &meter).await,
        };
        done.map_err(|error| sink::failure(&error, part.as_deref(), args))
    };
    let again = if wanted.is_some() { AGAIN } else { RESUME };
    let done = interrupts.or(get, again).await;
    if wanted.is_some() && is_new && done.is_err() {
        sink::discard(part.as_deref());
    }
    meter.clear();
    session.close(context).await;
    let report = match done {
        // The reader has seen enough: a quiet end.
        Err(failure) if failure.caused_by.is_empty() && failure.error == OutputError::Closed.to_string() => {
            return Ok(());
        }
        done => done?,
    };
    tell(context, &report, (!piped).then_some(path), started.elapsed().as_secs_f64());
    Ok(())
}

fn tell(context: &Context, report: &GetReport, path: Option<PathBuf>, seconds: f64) {
    if !context.json {
        if let Some(path) = path {
            let resumed = if report.resumed_bytes > 0 {
                format!(", {} were there already", human_bytes(report.resumed_bytes))
            } else {
                String::new()
            };
            note(&format!("{} in {seconds:.1} s{resumed}: {}", human_bytes(report.bytes), path.display()));
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
    };
    if piped {
        note(&serde_json::to_string(&json).expect("numbers and texts are JSON"));
    } else {
        print_json(&json);
    }
}
