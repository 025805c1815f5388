//! `dsn devnet`: farmers on this machine until Ctrl-C. A farmer that dies stays dead; started again in the same folder, the
//! same farmers go on with their data.

use dsn_cli::{Exit, Failure, Key, note, parse_size, parse_span, print_json, print_line};
use serde_json::json;

use crate::{args::Devnet, context::Context, fleet, interrupt::Interrupts};

pub(crate) async fn run(context: &Context, args: &Devnet) -> Result<(), Failure> {
    let mut interrupts = Interrupts::listen()?;
    for size in [&args.storage, &args.disk_reserve] {
        parse_size(size).map_err(|error| Failure::of(Exit::Configuration, &error))?;
    }
    if let Some(grace) = &args.absent_grace {
        parse_span(grace).map_err(|error| Failure::of(Exit::Configuration, &error))?;
    }
    context.not_joined("and a devnet is an open one")?;
    context.folder.open()?;
    let options = fleet::FleetOptions {
        root: context.folder.root().to_path_buf(),
        farmers: args.farmers,
        storage: args.storage.clone(),
        disk_reserve: args.disk_reserve.clone(),
        absent_grace: args.absent_grace.clone(),
        network: context.settings.text(Key::NetworkName).to_owned(),
        psk: context.flag(Key::NetworkPskFile),
    };
    let mut members = interrupts.or(fleet::start(&options), "no farmer is left running").await?;
    for (index, member) in members.iter().enumerate() {
        let (peer_id, listen, pid) = (&member.peer_id, &member.listen, member.pid());
        if context.json {
            print_json(&json!({"event": "farmer", "index": index, "pid": pid, "peer_id": peer_id, "listen": listen,
                "dir": member.dir}));
        } else {
            let pid = pid.map_or_else(String::new, |pid| pid.to_string());
            print_line(&format!("farmer {index} pid {pid} {peer_id} {}", listen.join(" ")));
        }
    }
    let bootstrap: Vec<&String> = members.iter().filter_map(|member| member.listen.first()).collect();
    if context.json {
        print_json(&json!({"event": "ready", "bootstrap": bootstrap}));
    } else {
        print_line("ready");
        if let Some(first) = bootstrap.first() {
            note("In another terminal:");
            note(&format!("  export DSN_BOOTSTRAP={first}"));
            options.psk.iter().for_each(|file| note(&format!("  export DSN_PSK_FILE={file}")));
            note("  dsn put FILE");
            note("Ctrl-C ends the farmers; their data stays in their folders.");
        }
    }
    interrupts.wait().await;
    fleet::stop(&mut members).await;
    Ok(())
}
