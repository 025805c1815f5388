//! The pre-shared key of a network that is TCP only, from the file that a setting names.

use std::{fs::File, io::Read};

use dsn_cli::{Exit, Failure, Key};
use dsn_core::{limits::PSK_FILE_MAX_BYTES, psk::PreSharedKey};

use crate::context::Context;

/// The key, if the network has one.
pub(crate) fn load(context: &Context) -> Result<Option<PreSharedKey>, Failure> {
    let Some((path, _)) = context.settings.get(Key::NetworkPskFile) else { return Ok(None) };
    let bad = |failure: Failure| failure.named(format!("{}: {path} is no pre-shared key", Key::NetworkPskFile.name()));
    let mut content = Vec::new();
    // One byte more than any has, so that a longer one is seen to be longer.
    File::open(path)
        .and_then(|file| file.take(PSK_FILE_MAX_BYTES as u64 + 1).read_to_end(&mut content))
        .map_err(|error| bad(Failure::of(Exit::Configuration, &error)))?;
    let key = PreSharedKey::parse(&content).map_err(|error| {
        bad(Failure::of(Exit::Configuration, &error))
            .hint("three lines: /key/swarm/psk/1.0.0/, then /base16/, then 64 hexadecimal digits")
    })?;
    Ok(Some(key))
}
