//! `dsn network members`: who was invited, until when, and who was revoked.

use std::time::Duration;

use dsn_cli::{Failure, human_bytes, human_span, note, print_json, print_line};
use serde_json::json;

use super::{Invited, founded, invited::Guest};
use crate::{context::Context, runtime::unix_secs};

pub(super) fn run(context: &Context) -> Result<(), Failure> {
    let (joined, _) = founded(context)?;
    let invited = Invited::load(&context.folder)?;
    let revoked = joined.membership.revocations();
    let state = |guest: &Guest| {
        let is_revoked = guest.node_id().is_some_and(|id| revoked.is_some_and(|list| list.body().contains(id)));
        match (is_revoked, guest.has_ended()) {
            (true, _) => "revoked",
            (_, true) => "ended",
            _ => "member",
        }
    };
    if context.json {
        for guest in invited.iter() {
            print_json(&json!({"member": guest.member, "label": guest.label, "issued": guest.issued,
                "until": guest.until, "quota": guest.quota, "state": state(guest)}));
        }
        return Ok(());
    }
    if invited.is_empty() {
        note("nobody has been invited yet: `dsn network invite --name LABEL`");
        return Ok(());
    }
    print_line(&format!("{:<52} {:<8} {:<12} {:<10} LABEL", "MEMBER", "STATE", "ENDS", "QUOTA"));
    let now = unix_secs();
    for guest in invited.iter() {
        let ends = match guest.until {
            None => "never".into(),
            Some(until) if until <= now => "ended".into(),
            Some(until) => format!("in {}", human_span(Duration::from_secs(until - now))),
        };
        let quota = guest.quota.map_or_else(|| "none".into(), human_bytes);
        print_line(&format!("{:<52} {:<8} {ends:<12} {quota:<10} {}", guest.member, state(guest), guest.label));
    }
    Ok(())
}
