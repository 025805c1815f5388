//! `dsn id`: who this folder's keys are.

use dsn_cli::{Failure, print_json, print_line};
use serde::Serialize;

use crate::context::Context;

#[derive(Serialize)]
struct IdJson {
    owner: String,
    farmer: Option<String>,
    dir: String,
}

pub(crate) fn run(context: &Context) -> Result<(), Failure> {
    let owner = context.owner()?.node_id().to_string();
    let farmer = context.folder.existing_key("farmer.key")?.map(|key| key.node_id().to_string());
    let dir = context.folder.root().display().to_string();
    if context.json {
        print_json(&IdJson { owner, farmer, dir });
        return Ok(());
    }
    print_line(&format!("owner   {owner}"));
    print_line(&format!("farmer  {}", farmer.unwrap_or_else(|| "none yet: `dsn farm` makes one".into())));
    print_line(&format!("folder  {dir}"));
    Ok(())
}
