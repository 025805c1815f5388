//! `dsn cap`: hands a capability on: what of it others may have who are not to read, or all of it for one reader.

use std::str::FromStr;

use age::x25519::Recipient;
use dsn_cli::{Exit, Failure, print_json, print_line, print_raw};
use serde_json::json;

use crate::{
    args::{CapCommand, Wanted},
    context::Context,
    target::{Asked, Target},
};

pub(crate) fn run(context: &Context, command: &CapCommand) -> Result<(), Failure> {
    match command {
        CapCommand::Verify { wanted } => {
            let cid = capability(wanted)?.cid.to_string();
            if context.json {
                print_json(&json!({ "cid": cid }))
            } else {
                print_line(&cid)
            }
            Ok(())
        }
        CapCommand::Seal { wanted, to } => {
            let recipient = Recipient::from_str(to).map_err(|error| {
                Failure::new(Exit::Usage, format!("not an age recipient: {error}"))
                    .hint("the reader makes one with `age-keygen`; it begins with age1")
            })?;
            let text = capability(wanted)?.to_text();
            let sealed = age::encrypt_and_armor(&recipient, text.as_bytes())
                .map_err(|error| Failure::of(Exit::Internal, &error))?;
            if context.json {
                print_json(&json!({ "sealed": sealed }))
            } else {
                print_raw(sealed.as_bytes())
            }
            Ok(())
        }
    }
}

fn capability(wanted: &Wanted) -> Result<dsn_core::capability::Capability, Failure> {
    let target = Asked::of(wanted)?.offline()?;
    let Target { cid, key: Some(key), .. } = target else {
        return Err(Failure::new(Exit::Usage, "this is a CID, not a capability")
            .hint("`dsn put --private` prints a capability; a CID can be given to anybody as it is"));
    };
    Ok(dsn_core::capability::Capability { cid, key })
}
