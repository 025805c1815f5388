//! `dsn name resolve`: prints the CID that a name stands for now.

use std::time::Duration;

use dsn_cli::{Failure, human_span, note, print_json, print_line};
use serde_json::json;

use crate::{
    args::ResolveName, context::Context, failures, interrupt::Interrupts, own_names::OwnNames, session::Session,
};

pub(super) async fn run(context: &Context, args: &ResolveName) -> Result<(), Failure> {
    let mut interrupts = Interrupts::listen()?;
    let name = OwnNames::named(&context.folder, &args.name)?;
    let session = Session::open(context).await?;
    let resolve = async { session.client.resolve_name(name).await.map_err(|error| failures::name(&error)) };
    let done = interrupts.or(resolve, "nothing was changed").await;
    session.close(context).await;
    let resolved = done?;
    let body = resolved.current(name).map_err(|error| failures::name(&error))?;
    let (answered, custodians) = (resolved.answered, resolved.custodians);
    if context.json {
        print_json(&json!({"name": name.to_string(), "sequence": body.sequence, "cid": body.root.to_string(),
            "issued": body.issued, "until": body.until, "answered": answered, "custodians": custodians,
            "repaired": resolved.repaired}));
        return Ok(());
    }
    print_line(&body.root.to_string());
    let left = human_span(Duration::from_secs(body.until.saturating_sub(resolved.now)));
    note(&format!("number {}, for another {left}; {answered} of {custodians} custodians answered", body.sequence));
    Ok(())
}
