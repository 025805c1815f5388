//! `dsn sync push`: stores a folder, of which only what has changed travels, and lets a name stand for it.

use std::time::Instant;

use dsn_cli::{Exit, Failure, Key, human_bytes, note, print_json, print_line};
use dsn_client::{
    NameVersion, OtherWriters, Privacy, PublishName, PublishedName, PutOptions, PutReport, Safety,
    tree::{DiskTree, Special},
};
use dsn_core::name::Name;
use serde_json::json;

use super::{
    replica::{Replica, Version},
    switch,
};
use crate::{
    args::PushSync, context::Context, failures, interrupt::Interrupts, meter::PutMeter, name, own_names::OwnNames,
    owned::Owned, put, session::Session,
};

pub(super) async fn run(context: &Context, args: &PushSync) -> Result<(), Failure> {
    let mut interrupts = Interrupts::listen()?;
    let (class, chunking, ttl) = (put::class(context)?, put::chunking(context)?, name::ttl(&args.ttl)?);
    refuse_private(context)?;
    let key = OwnNames::key(&context.folder, &args.label)?;
    let mut tree = DiskTree::open(&args.folder, Special::Refuse).map_err(|error| failures::input(&error))?;
    let mut replica = Replica::open(&context.folder, &args.folder)?;
    let name = Name::of(&key);
    let _lock = replica.lock()?;
    let print = switch::print(&replica.path).await?;
    let before = OwnNames::all(&context.folder).remove(&args.label).flatten();
    let last_seen = before.map_or(0, |published| published.version.sequence).max(replica.newest(name));
    let others = if args.force { OtherWriters::Overrule } else { OtherWriters::Respect };
    let started = Instant::now();
    let session = Session::open(context).await?;
    let meter = PutMeter::new(context.json);
    let kept = context.usual_ttl()?;
    let push = async {
        let options = PutOptions { class, safety: Safety::Required, ttl: kept, privacy: Privacy::Public, chunking };
        let report = session.client.put_folder(&mut tree, options, &meter).await;
        let report = report.map_err(|error| failures::put(&error, context.quota()))?;
        let publish = PublishName { root: report.cid, ttl, last_seen, others };
        let published = session.client.publish_name(&key, publish).await;
        Ok((report, published.map_err(|error| failures::name(&error))?))
    };
    let done = interrupts.or(push, "run the same command again: what is stored is not sent twice").await;
    meter.clear();
    session.close(context).await;
    let (report, published) = done?;
    let version = NameVersion { sequence: published.body.sequence, root: report.cid };
    OwnNames::note(&context.folder, &args.label, version, ttl)?;
    let kept = Owned::note(&context.folder, report.cid, kept);
    if let Err(failure) = kept {
        tracing::warn!(error = failure.error, "a farmer in this folder will not renew the folder's lease");
    }
    // What was changed while it was read may be in it or not, and is not taken for what was pushed.
    if switch::print(&replica.path).await? == print {
        replica.note_left(name, Version { version, print })?;
    }
    tell(context, &args.label, &report, &published, started.elapsed().as_secs_f64());
    Ok(())
}

/// A name's record says the CID to everybody, and a key belongs into no record.
fn refuse_private(context: &Context) -> Result<(), Failure> {
    if !context.yes_or_no(Key::PutPrivate)? {
        return Ok(());
    }
    Err(Failure::new(Exit::Usage, "what is pushed is public, and the configuration says put.private")
        .hint("push with DSN_PRIVATE=false, or put it with `dsn put --private` and publish the CID of that"))
}

fn tell(context: &Context, label: &str, report: &PutReport, published: &PublishedName, seconds: f64) {
    let (sequence, name) = (published.body.sequence, published.body.name.to_string());
    if context.json {
        print_json(&json!({"label": label, "name": name, "sequence": sequence, "cid": report.cid.to_string(),
            "entries": report.entries, "bytes": report.bytes, "resumed_bytes": report.resumed_bytes,
            "stored_bytes": report.stored_bytes, "wire_bytes": report.wire_bytes, "may_vanish": report.may_vanish,
            "confirmed": published.confirmed, "custodians": published.custodians, "seconds": seconds}));
        return;
    }
    print_line(&name);
    let (there, all) = (human_bytes(report.resumed_bytes), human_bytes(report.bytes));
    let entries = report.entries.unwrap_or(0);
    note(&format!(
        "number {sequence} stands for {}: {entries} entries, {there} of {all} were there already; any {} farmers may vanish; {seconds:.1} s",
        report.cid, report.may_vanish,
    ));
}
