//! `dsn export`: chosen pieces of a file or folder onto a stick, to be carried where there is no network.

use std::time::Instant;

use dsn_cli::{Exit, Failure, human_bytes, note, print_json, print_line};
use dsn_client::{ExportReport, archive::Archive};
use dsn_core::{index_set::IndexSet, limits::DATA_PIECES};
use serde_json::json;

use crate::{
    args::Export, context::Context, failures, interrupt::Interrupts, meter::GetMeter, session::Session,
    target::parse_cid,
};

pub(crate) async fn run(context: &Context, args: &Export) -> Result<(), Failure> {
    let mut interrupts = Interrupts::listen()?;
    let cid = parse_cid(&args.cid)?;
    let wanted: IndexSet = args.pieces.parse().map_err(|error| Failure::of(Exit::Usage, &error))?;
    let archive = Archive::new(&args.folder, cid).map_err(|error| {
        Failure::of(Exit::Disk, &error).hint("it has to be a folder that is there, such as where a stick is mounted")
    })?;
    let started = Instant::now();
    let session = Session::open(context).await?;
    let meter = GetMeter::new(context.json);
    let export = async {
        let done = session.client.export(cid, wanted, &archive, &meter).await;
        done.map_err(|error| failures::repair(&error))
    };
    let done = interrupts.or(export, "run the same command again: what was written is kept").await;
    meter.clear();
    session.close(context).await;
    let ExportReport { bytes, chunks, pieces, kept_pieces, written_bytes, wire_bytes } = done?;
    let seconds = started.elapsed().as_secs_f64();
    if context.json {
        print_json(&json!({"cid": cid.to_string(), "path": archive.path(), "indices": wanted.to_string(),
            "bytes": bytes, "chunks": chunks, "pieces": pieces, "kept_pieces": kept_pieces,
            "written_bytes": written_bytes, "wire_bytes": wire_bytes, "seconds": seconds}));
        return Ok(());
    }
    print_line(&archive.path().display().to_string());
    let written = human_bytes(written_bytes);
    let kept = if kept_pieces > 0 { format!(", {kept_pieces} of them there already") } else { String::new() };
    note(&format!("{pieces} pieces of {chunks} chunks{kept}; {written} written in {seconds:.1} s"));
    let more = DATA_PIECES.saturating_sub(wanted.len());
    if more > 0 {
        note(&format!("to read it takes {more} other pieces of every chunk beside these"));
    }
    Ok(())
}
