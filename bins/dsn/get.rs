//! `dsn get` and `dsn cat`: brings a file back, into a file or a pipe. A failed get never leaves a file that looks
//! complete.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    time::Instant,
};

use dsn_cli::{Exit, Failure, human_bytes, note, print_json, stdout_is_terminal};
use dsn_client::{
    GetError, GetReport,
    output::{FileOutput, Output, OutputError, Overwrite, PipeOutput},
};
use dsn_core::cid::Cid;
use serde::Serialize;

use crate::{args::Get, context::Context, failures, interrupt::Interrupts, meter::GetMeter, session::Session};

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

/// Standard output when a person looks at it: only text goes there.
struct TextOnly<W>(W);

impl<W: Write> Write for TextOnly<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.contains(&0) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "binary data"));
        }
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Reads a CID as a user typed it.
pub(crate) fn parse_cid(text: &str) -> Result<Cid, Failure> {
    text.parse().map_err(|error| Failure::of(Exit::Usage, &error).hint("`dsn put FILE` prints a file's CID"))
}

pub(crate) async fn run(context: &Context, args: &Get) -> Result<(), Failure> {
    let mut interrupts = Interrupts::listen()?;
    let cid = parse_cid(&args.cid)?;
    let path = args.output.clone().unwrap_or_else(|| cid.to_string().into());
    let piped = path == Path::new("-");
    let (mut output, part) = open(&path, piped, args.force)?;
    let started = Instant::now();
    let session = Session::open(context).await?;
    let meter = GetMeter::new(context.json || (piped && stdout_is_terminal()));
    let get = async {
        session.client.get(cid, &mut *output, &meter).await.map_err(|error| failure(&error, part.as_deref(), args))
    };
    let done = interrupts.or(get, "run the same command again: what was fetched is kept").await;
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

fn open(path: &Path, piped: bool, force: bool) -> Result<(Box<dyn Output>, Option<PathBuf>), Failure> {
    if piped {
        let output: Box<dyn Output> = if stdout_is_terminal() {
            Box::new(PipeOutput::new(TextOnly(io::stdout())))
        } else {
            Box::new(PipeOutput::new(io::stdout()))
        };
        return Ok((output, None));
    }
    let overwrite = if force { Overwrite::Replace } else { Overwrite::Never };
    let output = FileOutput::new(path, overwrite).map_err(|error| failures::output(&error))?;
    let part = output.part_path().to_path_buf();
    Ok((Box::new(output), Some(part)))
}

/// A full disk needs its space back more than we need the part file.
fn failure(error: &GetError, part: Option<&Path>, args: &Get) -> Failure {
    match error {
        GetError::Output(OutputError::DiskFull { .. }) if !args.keep_partial => {
            if let Some(part) = part {
                // What cannot be removed either was never written.
                let _gone = std::fs::remove_file(part);
            }
        }
        GetError::Output(OutputError::Write { source, .. }) if source.kind() == io::ErrorKind::InvalidInput => {
            return Failure::new(Exit::Usage, "the file is binary and standard output is a terminal")
                .hint("write it to a file with -o OUT, or pipe it");
        }
        _ => {}
    }
    failures::get(error)
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
