//! `dsn join`: makes this folder a member's, with an invitation and nothing else.

use std::io::Read;

use dsn_cli::{Exit, Failure, human_bytes, note, print_json, print_line};
use dsn_core::membership::invitation::{Invitation, InvitationError};
use serde_json::json;

use crate::{
    args::Join,
    context::Context,
    keys::Existing,
    membership::{Joined, MEMBERSHIP_FILE, load_revocations},
};

/// Bytes that are read where an invitation should be: none is longer.
const READ_MAX_BYTES: u64 = 64 * 1024;

const VARIABLE: &str = "DSN_INVITATION";

pub(crate) fn run(context: &Context, args: &Join) -> Result<(), Failure> {
    let text = text(args)?;
    let invitation: Invitation = text.trim().parse().map_err(|error: InvitationError| {
        Failure::of(Exit::Usage, &error)
            .hint("ask the founder for the text that `dsn network invite` prints, all of it")
    })?;
    let mut joining = Joined::from(&invitation);
    match &context.joined {
        Some(joined) if joined.network() != joining.network() => {
            context.not_joined(&format!("and the invitation is to {}", joining.network()))?;
        }
        Some(joined) if joined.is_founders(&context.folder) => {
            context.not_joined("as its founder's")?;
        }
        Some(_) => {
            // Whoever was revoked is not let in again by the invitation that was revoked.
            if let Some(list) = load_revocations(&context.folder)? {
                let _older = joining.membership.learn(list);
            }
        }
        None => check_unused(context)?,
    }
    joining.check().map_err(|failure| failure.named("this invitation counts no more"))?;
    keep(context, &invitation)?;
    let body = invitation.membership().certificate().body().clone();
    if context.json {
        print_json(&json!({"network": body.network.to_string(), "member": body.member.to_string(),
            "label": body.label, "until": body.until, "quota": body.quota, "bootstrap": joining.bootstrap}));
        return Ok(());
    }
    print_line(body.network.as_str());
    let label = &body.label;
    match body.quota {
        None => note(&format!(
            "this folder is a member now, as {label:?}: `dsn put FILE`, `dsn get CID`, `dsn farm --storage SIZE`"
        )),
        Some(quota) => note(&format!(
            "this folder is a member now, as {label:?}: `dsn put FILE`, `dsn get CID`; each farmer keeps {} of its pieces at most",
            human_bytes(quota)
        )),
    }
    Ok(())
}

/// A folder that has held pieces of another network would go on holding them, for nobody.
pub(crate) fn check_unused(context: &Context) -> Result<(), Failure> {
    if !context.folder.path("store").exists() {
        return Ok(());
    }
    let error = format!("a farmer of another network has its store in {}", context.folder.shown());
    Err(Failure::new(Exit::Usage, error).hint("use another folder with --dir DIR"))
}

/// Writes the membership down, as private as a key.
pub(crate) fn keep(context: &Context, invitation: &Invitation) -> Result<(), Failure> {
    context.folder.open()?;
    let (folder, text) = (&context.folder, format!("{}\n", invitation.to_text()));
    folder.write_secret(MEMBERSHIP_FILE, &text, Existing::GivesWay).map_err(|error| {
        let shown = folder.path(MEMBERSHIP_FILE);
        Failure::of(Exit::Disk, &error).named(format!("cannot write {}", shown.display()))
    })
}

/// The text as an argument, in the file that the argument names, on standard input, or in the environment.
fn text(args: &Join) -> Result<String, Failure> {
    let given = args.invitation.clone().or_else(|| std::env::var(VARIABLE).ok().filter(|text| !text.is_empty()));
    let none = || Failure::new(Exit::Usage, "which invitation?").hint("dsn join INVITATION, or - for standard input");
    let given = given.ok_or_else(none)?;
    if given == "-" {
        return read(std::io::stdin()).map_err(|e| Failure::of(Exit::Usage, &e).named("cannot read standard input"));
    }
    // What starts like one is one: its text is in no error then, a file's name is.
    match std::fs::File::open(&given) {
        Ok(file) if !given.starts_with("dsn-invite:") => {
            read(file).map_err(|error| Failure::of(Exit::Usage, &error).named(format!("cannot read {given}")))
        }
        _ => Ok(given),
    }
}

fn read(from: impl Read) -> std::io::Result<String> {
    let mut text = String::new();
    from.take(READ_MAX_BYTES).read_to_string(&mut text)?;
    Ok(text)
}
