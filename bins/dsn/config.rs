//! `dsn config`: every setting, its value, and where that came from.

use dsn_cli::{Failure, Key, print_json, print_line};
use serde::Serialize;

use crate::context::Context;

#[derive(Serialize)]
struct SettingJson<'a> {
    key: &'a str,
    value: Option<&'a str>,
    origin: Option<String>,
    variable: &'a str,
}

pub(crate) fn run(context: &Context) -> Result<(), Failure> {
    let rows: Vec<SettingJson<'_>> = Key::ALL
        .into_iter()
        .map(|key| {
            let set = context.settings.get(key);
            SettingJson {
                key: key.name(),
                value: set.map(|(value, _)| value),
                origin: set.map(|(_, origin)| origin.to_string()),
                variable: key.variable(),
            }
        })
        .collect();
    if context.json {
        print_json(&rows);
        return Ok(());
    }
    print_line(&format!("# folder {}", context.folder.root().display()));
    for row in rows {
        let value = row.value.map_or_else(|| "not set".into(), |value| format!("{value:?}"));
        let origin = row.origin.unwrap_or_else(|| format!("set it with {}", row.variable));
        print_line(&format!("{:<22} = {value:<24} # {origin}", row.key));
    }
    Ok(())
}
