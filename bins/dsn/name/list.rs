//! `dsn name list`: the names of this folder, and what they were last published as from here.

use dsn_cli::{Failure, print_json, print_line};
use dsn_core::name::Name;
use serde_json::json;

use crate::{context::Context, own_names::OwnNames};

pub(super) fn run(context: &Context) -> Result<(), Failure> {
    let mut rows = Vec::new();
    for (label, published) in OwnNames::all(&context.folder) {
        let name = Name::of(&OwnNames::key(&context.folder, &label)?).to_string();
        rows.push((label, name, published.map(|published| published.version)));
    }
    if context.json {
        let row = |(label, name, version): &(String, String, Option<dsn_client::NameVersion>)| {
            let (sequence, cid) = (version.map(|v| v.sequence), version.map(|v| v.root.to_string()));
            json!({"label": label, "name": name, "sequence": sequence, "cid": cid})
        };
        print_json(&json!({"names": rows.iter().map(row).collect::<Vec<_>>()}));
        return Ok(());
    }
    for (label, name, version) in rows {
        let says = version.map_or("never published".to_owned(), |v| format!("number {} {}", v.sequence, v.root));
        print_line(&format!("{label:<16} {name}  {says}"));
    }
    Ok(())
}
