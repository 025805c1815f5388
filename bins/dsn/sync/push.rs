//! `dsn sync push`: stores a folder, of which only what has changed travels, and lets a name stand for it.

use std::time::{Duration, Instant};

use dsn_cli::{Exit, Failure, Key, counted, human_bytes, note, print_json, print_line};
use dsn_client::{
    Client, GetError, Keep, LeaseReport, NameError, NameVersion, OtherWriters, Privacy, PublishName, PublishedName,
    PutOptions, PutReport, Safety,
    tree::{DiskTree, Special},
};
use dsn_core::{cid::Cid, identity::Identity, name::Name};
use serde_json::json;

use super::{
    replica::{Replica, Version},
    switch,
};
use crate::{
    args::PushSync, context::Context, failures, interrupt::Interrupts, meter::PutMeter, name, own_names::OwnNames,
    owned::Owned, pushed::Pushed, put, session::Session,
};

/// Old versions from which on it is said how to give them up.
const OLD_TOLD: usize = 5;

/// What came of a push.
struct Done {
    report: PutReport,
    published: PublishedName,
    /// Whether the name stood for the same already.
    is_same: bool,
    given_up: usize,
    /// Old versions that are still kept.
    old: usize,
}

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
    let started = Instant::now();
    let session = Session::open(context).await?;
    let meter = PutMeter::new(context.json);
    let kept = context.usual_ttl()?;
    let push = async {
        let options = PutOptions { class, safety: Safety::Required, ttl: kept, privacy: Privacy::Public, chunking };
        let report = session.client.put_folder(&mut tree, options, &meter).await;
        let report = report.map_err(|error| failures::put(&error, context.quota()))?;
        let seen = seen(context, &args.label, replica.version(name, &print), replica.newest(name));
        let (published, is_same) = publish(&session.client, &key, report.cid, &seen, (ttl, args.force)).await?;
        let version = NameVersion { sequence: published.body.sequence, root: report.cid };
        write_down(context, &args.label, version, (ttl, kept))?;
        let given_up = give_up(context, &session.client, args).await?;
        let old = Pushed::load(&context.folder).old(&args.label, 1).len();
        Ok(Done { report, published, is_same, given_up, old })
    };
    let done = interrupts.or(push, "run the same command again: what is stored is not sent twice").await;
    meter.clear();
    session.close(context).await;
    let done = done?;
    // What was changed while it was read may be in it or not, and is not taken for what was pushed.
    if switch::print(&replica.path).await? == print {
        let version = NameVersion { sequence: done.published.body.sequence, root: done.report.cid };
        replica.note_left(name, Version { version, print })?;
    }
    tell(context, &args.label, &done, started.elapsed().as_secs_f64());
    Ok(())
}

/// What this folder has seen of a name.
struct Seen {
    newest: u64,
    /// The version of that number, when it is known what it says.
    version: Option<NameVersion>,
}

fn seen(context: &Context, label: &str, there: Option<NameVersion>, followed: u64) -> Seen {
    let published = OwnNames::all(&context.folder).remove(label).flatten().map(|published| published.version);
    let newest = published.map_or(0, |version| version.sequence).max(followed);
    let version = [published, there].into_iter().flatten().find(|version| version.sequence == newest);
    Seen { newest, version }
}

/// Lets the name stand for a root; one that it stands for already gets no new number. Says whether it did.
async fn publish(
    client: &Client,
    key: &Identity,
    root: Cid,
    seen: &Seen,
    (ttl, force): (Duration, bool),
) -> Result<(PublishedName, bool), Failure> {
    if let Some(same) = seen.version.filter(|version| version.root == root) {
        match client.renew_name(key, same, ttl).await {
            Err(NameError::OtherWriter { .. }) if force => {}
            renewed => return renewed.map(|renewed| (renewed, true)).map_err(|error| failures::name(&error)),
        }
    }
    let others = if force { OtherWriters::Overrule } else { OtherWriters::Respect };
    let publish = PublishName { root, ttl, last_seen: seen.newest, others };
    let published = client.publish_name(key, publish).await;
    published.map(|published| (published, false)).map_err(|error| failures::name(&error))
}

/// Writes down what was pushed, so that it is renewed, and given up one day.
fn write_down(
    context: &Context,
    label: &str,
    version: NameVersion,
    (ttl, kept): (Duration, Option<Duration>),
) -> Result<(), Failure> {
    OwnNames::note(&context.folder, label, version, ttl)?;
    Pushed::note(&context.folder, label, version)?;
    if let Err(failure) = Owned::note(&context.folder, version.root, kept) {
        tracing::warn!(error = failure.error, "a farmer in this folder will not renew the folder's lease");
    }
    Ok(())
}

/// Gives up the versions that are older than those to be kept; how many. A farmer that was not reached is told the next time.
async fn give_up(context: &Context, client: &Client, args: &PushSync) -> Result<usize, Failure> {
    let Some(keep) = args.keep else { return Ok(0) };
    let keep = usize::try_from(keep).unwrap_or(usize::MAX);
    let mut given_up = 0;
    for NameVersion { sequence, root } in Pushed::load(&context.folder).to_give_up(&context.folder, &args.label, keep) {
        // First of all: a farmer in this folder must not renew what is being given up.
        Owned::forget(&context.folder, root)?;
        let is_gone = match client.keep_file(root, Keep::NoLonger).await {
            Ok(LeaseReport { farmers, confirmed, unlocated, .. }) => confirmed == farmers && unlocated == 0,
            Err(GetError::NotFound { .. }) => true,
            Err(error) => {
                tracing::warn!(sequence, %root, %error, "a version could not be given up");
                false
            }
        };
        if is_gone {
            Pushed::forget(&context.folder, root)?;
            given_up += 1;
        }
    }
    Ok(given_up)
}

/// A name's record says the CID to everybody, and a key belongs into no record.
fn refuse_private(context: &Context) -> Result<(), Failure> {
    if !context.yes_or_no(Key::PutPrivate)? {
        return Ok(());
    }
    Err(Failure::new(Exit::Usage, "what is pushed is public, and the configuration says put.private")
        .hint("push with DSN_PRIVATE=false, or put it with `dsn put --private` and publish the CID of that"))
}

fn tell(context: &Context, label: &str, done: &Done, seconds: f64) {
    let Done { report, published, is_same, given_up, old } = done;
    let (sequence, name) = (published.body.sequence, published.body.name.to_string());
    if context.json {
        print_json(&json!({"label": label, "name": name, "sequence": sequence, "cid": report.cid.to_string(),
            "changed": !is_same, "entries": report.entries, "bytes": report.bytes,
            "resumed_bytes": report.resumed_bytes, "stored_bytes": report.stored_bytes,
            "wire_bytes": report.wire_bytes, "may_vanish": report.may_vanish, "confirmed": published.confirmed,
            "custodians": published.custodians, "given_up": given_up, "old_versions": old, "seconds": seconds}));
        return;
    }
    print_line(&name);
    let (there, all) = (human_bytes(report.resumed_bytes), human_bytes(report.bytes));
    let entries = put::entries_of(report.entries.unwrap_or(0));
    let (same, farmers) = (if *is_same { "nothing has changed: " } else { "" }, report.may_vanish);
    note(&format!(
        "{same}number {sequence} stands for {}: {entries}, {there} of {all} were there already; any {} may vanish; {seconds:.1} s",
        report.cid,
        counted(farmers, "farmer", "farmers"),
    ));
    if *given_up > 0 {
        note(&format!("{} given up, {old} kept", counted(*given_up, "old version", "old versions")));
    } else if *old >= OLD_TOLD {
        note(&format!(
            "{old} old versions are kept: push with --keep N gives up all but the newest N, `dsn rm CID` one"
        ));
    }
}
