//! `dsn name publish`: says what a name of this folder stands for from now on.

use std::time::Duration;

use dsn_cli::{Exit, Failure, human_span, note, parse_span, print_json, print_line};
use dsn_client::{NameVersion, OtherWriters};
use dsn_core::{capability::READ_PREFIX, cid::Cid, limits::NAME_TTL_MAX_SECS, name::Name};
use serde_json::json;

use crate::{
    args::PublishName, context::Context, failures, interrupt::Interrupts, own_names::OwnNames, session::Session,
    target::parse_cid,
};

pub(super) async fn run(context: &Context, args: &PublishName) -> Result<(), Failure> {
    let mut interrupts = Interrupts::listen()?;
    let (root, ttl) = (root(&args.cid)?, ttl(&args.ttl)?);
    let key = OwnNames::key(&context.folder, &args.label)?;
    let before = OwnNames::all(&context.folder).remove(&args.label).flatten();
    let last_seen = before.map_or(0, |published| published.version.sequence);
    let others = if args.force { OtherWriters::Overrule } else { OtherWriters::Respect };
    let publish = dsn_client::PublishName { root, ttl, last_seen, others };
    let session = Session::open(context).await?;
    let published = async { session.client.publish_name(&key, publish).await.map_err(|error| failures::name(&error)) };
    let done = interrupts.or(published, "run the same command again").await;
    session.close(context).await;
    let published = done?;
    let (name, sequence) = (Name::of(&key), published.body.sequence);
    OwnNames::note(&context.folder, &args.label, NameVersion { sequence, root }, ttl)?;
    if context.json {
        print_json(&json!({"label": args.label, "name": name.to_string(), "sequence": sequence,
            "cid": root.to_string(), "issued": published.body.issued, "until": published.body.until,
            "confirmed": published.confirmed, "custodians": published.custodians}));
        return Ok(());
    }
    print_line(&name.to_string());
    note(&format!(
        "number {sequence} stands for {root} for {}; {} of {} custodians keep it",
        human_span(ttl),
        published.confirmed,
        published.custodians
    ));
    Ok(())
}

/// What the name is to stand for. A record is everybody's to read: whoever gives a capability is told what to give instead,
/// and what was given is not said again.
fn root(text: &str) -> Result<Cid, Failure> {
    if text.starts_with(READ_PREFIX) {
        return Err(Failure::new(Exit::Usage, "this is a read capability, a secret, and what a name says is public").hint(
            "publish its CID, which `dsn cap verify CAPABILITY` prints, and give the capability to the readers alone",
        ));
    }
    parse_cid(text)
}

/// For how long a version holds.
pub(crate) fn ttl(text: &str) -> Result<Duration, Failure> {
    let ttl = parse_span(text).map_err(|error| Failure::of(Exit::Usage, &error))?;
    if ttl.as_secs() <= NAME_TTL_MAX_SECS {
        return Ok(ttl);
    }
    let most = human_span(Duration::from_secs(NAME_TTL_MAX_SECS));
    Err(Failure::new(Exit::Usage, format!("no name holds for longer than {most} without being renewed"))
        .hint("a farmer that runs in this folder renews it"))
}
