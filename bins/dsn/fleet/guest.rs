//! A client of farmers that this very command has started.

use std::path::Path;

use dsn_cli::{ConfigFile, Exit, Failure, Key, Layer, Settings};

use super::Member;
use crate::{context::Context, folder::Folder};

/// A client that knows the network of these farmers and nothing of this machine's settings; its folder is within `root`.
pub(crate) fn guest(context: &Context, root: &Path, network: &str, members: &[Member]) -> Result<Context, Failure> {
    let bootstrap: Vec<&str> = members.iter().filter_map(|m| m.listen.first()).map(String::as_str).collect();
    let flags = Layer::from([
        (Key::NetworkName, network.to_owned()),
        (Key::NetworkBootstrap, bootstrap.join(",")),
        (Key::LogLevel, context.settings.text(Key::LogLevel).to_owned()),
    ]);
    let folder = Folder::find(Some(root.join("client")))?;
    let settings = Settings::load(&ConfigFile::Usual(folder.path("config.toml")), |_| None, flags);
    let settings = settings.map_err(|error| Failure::new(Exit::Configuration, error.error))?;
    Ok(Context { folder, settings, joined: None, json: context.json })
}
