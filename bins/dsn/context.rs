//! What every command starts from: the folder and the settings.

use std::{fmt::Display, path::PathBuf, time::Duration};

use dsn_cli::{ConfigFile, Exit, Failure, Key, Layer, Origin, Settings, human_bytes, parse_span};
use dsn_core::{
    identity::Identity,
    network_name::{NetworkName, NetworkNameError},
};

use crate::{
    args::{Args, Command},
    folder::Folder,
    membership::{Joined, MEMBERSHIP_FILE},
};

const OWNER_KEY: &str = "owner.key";

/// How long a file is kept in an open network, unless it is renewed.
const OPEN_TTL: Duration = Duration::from_secs(90 * 24 * 3600);

/// The folder, the settings, and how to answer.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) folder: Folder,
    pub(crate) settings: Settings,
    /// The closed network that the folder belongs to.
    pub(crate) joined: Option<Joined>,
    pub(crate) json: bool,
}

impl Context {
    pub(crate) fn load(args: &Args) -> Result<Self, Failure> {
        let folder = Folder::find(args.common.dir.clone())?;
        let variable = || std::env::var_os("DSN_CONFIG").filter(|file| !file.is_empty()).map(PathBuf::from);
        let file = match args.common.config.clone().or_else(variable) {
            Some(named) => ConfigFile::Named(named),
            None => ConfigFile::Usual(folder.path("config.toml")),
        };
        let variable = |name: &str| std::env::var(name).ok();
        let mut settings = Settings::load(&file, variable, flags(args)).map_err(|error| {
            let failure = Failure::new(Exit::Configuration, error.error);
            match error.hint {
                Some(hint) => failure.hint(hint),
                None => failure,
            }
        })?;
        let joined = Joined::load(&folder)?;
        if let Some(joined) = &joined {
            obey(joined, &folder, &mut settings)?;
        }
        Ok(Self { folder, settings, joined, json: args.common.json })
    }

    /// Whose files are put here: the folder's own key. A member with a quota is known by its member's key instead, in whatever
    /// folder it has joined: by another its farmers would not know what they keep of it.
    pub(crate) fn owner(&self) -> Result<Identity, Failure> {
        match &self.joined {
            Some(joined) if joined.membership.allowance().is_some() => Ok(joined.membership.key().clone()),
            _ => self.folder.key(OWNER_KEY),
        }
    }

    /// What each farmer keeps of this folder's member, if that is bounded.
    pub(crate) fn quota(&self) -> Option<u64> {
        Some(self.joined.as_ref()?.membership.allowance()?.bytes)
    }

    /// Fails for a member with a quota, who does nothing for others.
    pub(crate) fn without_quota(&self, what: &str) -> Result<(), Failure> {
        let Some(quota) = self.quota() else { return Ok(()) };
        let error = format!("this membership has a quota ({}): it is for storing files, {what}", human_bytes(quota));
        Err(Failure::new(Exit::Key, error)
            .hint("ask the founder for an invitation without --quota, for another folder"))
    }

    /// Fails in a folder that belongs to a closed network.
    pub(crate) fn not_joined(&self, what: &str) -> Result<(), Failure> {
        let Some(joined) = &self.joined else { return Ok(()) };
        let error = format!("{} belongs to the closed network {}, {what}", self.folder.shown(), joined.network());
        Err(Failure::new(Exit::Usage, error).hint("use another folder with --dir DIR"))
    }

    pub(crate) fn network_name(&self) -> Result<NetworkName, Failure> {
        let name = self.settings.text(Key::NetworkName).parse();
        name.map_err(|error: NetworkNameError| self.misunderstood(Key::NetworkName, error))
    }

    /// A setting that is a length of time.
    pub(crate) fn span(&self, key: Key) -> Result<Duration, Failure> {
        parse_span(self.settings.text(key)).map_err(|error| self.misunderstood(key, error))
    }

    /// A setting, if a flag of this command has set it.
    pub(crate) fn flag(&self, key: Key) -> Option<String> {
        let (value, origin) = self.settings.get(key)?;
        (*origin == Origin::Flag).then(|| value.to_owned())
    }

    /// How long files are kept when nobody says otherwise; none: without end.
    pub(crate) fn usual_ttl(&self) -> Result<Option<Duration>, Failure> {
        let closed = self.yes_or_no(Key::NetworkClosed)?;
        let closed = closed || self.joined.is_some() || self.settings.get(Key::NetworkPskFile).is_some();
        Ok((!closed).then_some(OPEN_TTL))
    }

    /// A setting that is true or false.
    pub(crate) fn yes_or_no(&self, key: Key) -> Result<bool, Failure> {
        self.settings.text(key).parse().map_err(|_| self.misunderstood(key, "neither true nor false"))
    }

    /// A setting that makes no sense: what is wrong with it, and where it was set.
    pub(crate) fn misunderstood(&self, key: Key, error: impl Display) -> Failure {
        let failure = Failure::new(Exit::Configuration, format!("{}: {error}", key.name()));
        match self.settings.get(key) {
            Some((_, origin)) if *origin != Origin::Flag => failure.hint(format!("it is set by {origin}")),
            _ => failure,
        }
    }
}

/// In a folder of a closed network the network is that one. The short name means the same.
fn obey(joined: &Joined, folder: &Folder, settings: &mut Settings) -> Result<(), Failure> {
    let named = settings.get(Key::NetworkName).filter(|(_, origin)| **origin != Origin::BuiltIn);
    if let Some((other, origin)) = named
        && ![joined.label(), joined.network().as_str()].contains(&other)
    {
        let error = format!("{} belongs to the closed network {}, not to {other}", folder.shown(), joined.network());
        let hint = format!("use another folder with --dir DIR, or take the setting back: it is set by {origin}");
        return Err(Failure::new(Exit::Configuration, error).hint(hint));
    }
    let path = folder.path(MEMBERSHIP_FILE);
    settings.impose(Key::NetworkName, joined.network().as_str(), &path);
    settings.impose(Key::NetworkClosed, "true", &path);
    Ok(())
}

/// The settings that flags of this command set.
fn flags(args: &Args) -> Layer {
    let mut layer = Layer::new();
    let mut set = |key, value: Option<String>| {
        if let Some(value) = value {
            layer.insert(key, value);
        }
    };
    let list = |items: &[String]| (!items.is_empty()).then(|| items.join(","));
    set(Key::NetworkName, args.common.network.clone());
    set(Key::NetworkBootstrap, list(&args.common.bootstrap));
    set(Key::NetworkPskFile, args.common.psk.clone());
    set(Key::NetworkAuthorities, args.common.authorities.clone());
    set(Key::LogLevel, args.common.log.clone());
    match &args.command {
        Command::Farm(farm) => {
            set(Key::FarmStorage, farm.storage.clone());
            set(Key::FarmListen, list(&farm.listen));
            set(Key::FarmExternal, list(&farm.external));
            set(Key::FarmRendezvousServer, farm.rendezvous_server.then(|| "true".to_owned()));
            set(Key::FarmDiskReserve, farm.disk_reserve.clone());
            set(Key::FarmAbsentGrace, farm.absent_grace.clone());
        }
        Command::Put(put) => {
            set(Key::PutRedundancy, put.redundancy.clone());
            set(Key::PutChunking, put.chunking.clone());
            set(Key::PutPrivate, put.private().map(|private| private.to_string()));
        }
        Command::Bench(bench) => set(Key::PutRedundancy, bench.redundancy.clone()),
        _ => {}
    }
    layer
}
