//! `dsn name new`: makes the key of a name.

use dsn_cli::{Failure, note, print_json, print_line};
use serde_json::json;

use crate::{args::NewName, context::Context, own_names::OwnNames};

pub(super) fn run(context: &Context, args: &NewName) -> Result<(), Failure> {
    let name = OwnNames::make(&context.folder, &args.label)?.to_string();
    if context.json {
        print_json(&json!({"label": args.label, "name": name}));
        return Ok(());
    }
    print_line(&name);
    note(&format!("its key is in {}: whoever has that says what the name stands for", context.folder.shown()));
    Ok(())
}
