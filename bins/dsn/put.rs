//! `dsn put`: stores a file or a folder, prints its CID, and says what may fail from now on.

use std::{
    fmt::Display,
    path::Path,
    str::FromStr,
    time::{Duration, Instant},
};

use dsn_cli::{Exit, Failure, Key, Origin, counted, human_bytes, note, parse_span, print_json, print_line};
use dsn_client::{
    Chunking, Privacy, PutOptions, PutReport, Safety,
    input::{FileInput, Input, InputError, PipeInput},
    tree::{DiskTree, Special},
};
use dsn_core::{capability::Capability, redundancy::Class, seal::Secret};
use serde::{Serialize, Serializer};
use zeroize::Zeroizing;

use crate::{
    args::Put, context::Context, failures, interrupt::Interrupts, meter::PutMeter, owned::Owned, session::Session,
};

#[derive(Serialize)]
struct PutJson {
    cid: String,
    /// Only of what is sealed: a secret.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "revealed")]
    capability: Option<Zeroizing<String>>,
    bytes: u64,
    chunks: u64,
    pieces: u64,
    stored_bytes: u64,
    farmers: usize,
    may_vanish: usize,
    seconds: f64,
    resumed_chunks: u64,
    wire_bytes: u64,
    /// Only of a folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    entries: Option<u64>,
}

/// A secret, for whoever asked for it.
fn revealed<S: Serializer>(text: &Option<Zeroizing<String>>, to: S) -> Result<S::Ok, S::Error> {
    text.as_ref().map(|text| text.as_str()).serialize(to)
}

pub(crate) async fn run(context: &Context, args: &Put) -> Result<(), Failure> {
    let mut interrupts = Interrupts::listen()?;
    let class = class(context)?;
    let safety = if args.allow_unsafe { Safety::Waived } else { Safety::Required };
    let ttl = ttl(context, args)?;
    let privacy = privacy(context, args)?;
    let chunking = chunking(context)?;
    let mut source = open(args)?;
    let started = Instant::now();
    let session = Session::open(context).await?;
    let meter = PutMeter::new(context.json);
    let put = async {
        let options = PutOptions { class, safety, ttl, privacy, chunking };
        let put = match &mut source {
            Source::File(input) => session.client.put(&mut **input, options, &meter).await,
            Source::Folder(tree) => session.client.put_folder(tree, options, &meter).await,
        };
        put.map_err(|error| failures::put(&error, context.quota()))
    };
    let done = interrupts.or(put, "run the same command again: what is stored is not sent twice").await;
    meter.clear();
    session.close(context).await;
    let report = done?;
    if let Source::Folder(tree) = &source {
        tree.skipped().iter().for_each(|path| note(&format!("left out: {}", path.display())));
    }
    let seconds = started.elapsed().as_secs_f64();
    // An end that was asked for stays; the usual one is put off as long as a farmer runs in this folder.
    let renewed = ttl.filter(|_| args.ttl.is_none());
    if let Err(failure) = Owned::note(&context.folder, report.cid, renewed) {
        tracing::warn!(error = failure.error, "a farmer in this folder will not renew the file's lease");
    }
    if context.json {
        print_json(&json(&report, seconds));
    } else {
        match capability(&report) {
            Some(capability) => print_line(&capability.to_text()),
            None => print_line(&report.cid.to_string()),
        }
        promise(&report, seconds);
    }
    Ok(())
}

pub(crate) fn class(context: &Context) -> Result<Class, Failure> {
    chosen(context, Key::PutRedundancy)
}

pub(crate) fn chunking(context: &Context) -> Result<Chunking, Failure> {
    chosen(context, Key::PutChunking)
}

/// A flag that is not understood is a mistake of usage, anything else one of configuration.
fn chosen<T: FromStr<Err: Display>>(context: &Context, key: Key) -> Result<T, Failure> {
    let by_flag = context.settings.get(key).is_some_and(|(_, origin)| *origin == Origin::Flag);
    let wrong = |error: T::Err| {
        let failure = context.misunderstood(key, error);
        if by_flag { Failure { exit: Exit::Usage, ..failure } } else { failure }
    };
    context.settings.text(key).parse().map_err(wrong)
}

/// How long to keep the file; none: without end.
fn ttl(context: &Context, args: &Put) -> Result<Option<Duration>, Failure> {
    match &args.ttl {
        Some(ttl) => parse_span(ttl).map(Some).map_err(|error| Failure::of(Exit::Usage, &error)),
        None => context.usual_ttl(),
    }
}

/// What is put.
enum Source {
    File(Box<dyn Input>),
    Folder(DiskTree),
}

fn open(args: &Put) -> Result<Source, Failure> {
    let path = &args.path;
    if path == Path::new("-") {
        return Ok(Source::File(Box::new(PipeInput::new(std::io::stdin()))));
    }
    let failed = |error: InputError| failures::input(&error);
    if path.is_dir() {
        let special = if args.skip_special { Special::Skip } else { Special::Refuse };
        return Ok(Source::Folder(DiskTree::open(path, special).map_err(failed)?));
    }
    Ok(Source::File(Box::new(FileInput::open(path).map_err(failed)?)))
}

/// What reads what was put, when it is sealed.
fn capability(report: &PutReport) -> Option<Capability> {
    report.key.clone().map(|key| Capability { cid: report.cid, key })
}

/// Who is to read it. The secret from which keys follow is made when it is needed.
fn privacy(context: &Context, args: &Put) -> Result<Privacy, Failure> {
    if !context.yes_or_no(Key::PutPrivate)? {
        return Ok(Privacy::Public);
    }
    if args.random_key {
        return Ok(Privacy::SealedAtRandom);
    }
    Ok(Privacy::Sealed(Secret::new(context.folder.seed("seal.key")?)))
}

/// How many entries a folder has.
pub(crate) fn entries_of(entries: u64) -> String {
    counted(entries, "entry", "entries")
}

/// What the user may rely on, in one line; a warning when that is little.
fn promise(report: &PutReport, seconds: f64) {
    let resumed = match report.entries {
        _ if report.resumed_chunks == 0 => String::new(),
        Some(_) => {
            let (there, all) = (human_bytes(report.resumed_bytes), human_bytes(report.bytes));
            format!(", {there} of {all} were there already")
        }
        None => {
            format!(", {} of {} were there already", report.resumed_chunks, counted(report.chunks, "chunk", "chunks"))
        }
    };
    let entries = report.entries.map(|entries| entries_of(entries) + ", ").unwrap_or_default();
    let readers = if report.key.is_some() {
        "sealed: whoever has the capability can read it"
    } else {
        "public: whoever has the CID can read it"
    };
    note(&format!(
        "{entries}{} in {seconds:.1} s: {} on {}; any {} may vanish{resumed}; {readers}",
        human_bytes(report.bytes),
        counted(report.pieces, "piece", "pieces"),
        counted(report.farmers, "farmer", "farmers"),
        report.may_vanish,
    ));
    match report.may_vanish {
        0 => note("warning: if any of these farmers vanishes, the file may be lost"),
        1 => note("warning: if two of these farmers vanish, the file may be lost; five farmers or more are safer"),
        _ => {}
    }
}

fn json(report: &PutReport, seconds: f64) -> PutJson {
    PutJson {
        cid: report.cid.to_string(),
        capability: capability(report).map(|capability| capability.to_text()),
        bytes: report.bytes,
        chunks: report.chunks,
        pieces: report.pieces,
        stored_bytes: report.stored_bytes,
        farmers: report.farmers,
        may_vanish: report.may_vanish,
        seconds,
        resumed_chunks: report.resumed_chunks,
        wire_bytes: report.wire_bytes,
        entries: report.entries,
    }
}
