//! What every command starts from: the folder and the settings.

use std::path::PathBuf;

use dsn_cli::{ConfigFile, Exit, Failure, Key, Layer, Settings};
use dsn_core::network_name::NetworkName;

use crate::{
    args::{Args, Command},
    folder::Folder,
};

/// The folder, the settings, and how to answer.
pub(crate) struct Context {
    pub(crate) folder: Folder,
    pub(crate) settings: Settings,
    pub(crate) json: bool,
}

impl Context {
    pub(crate) fn load(args: &Args) -> Result<Self, Failure> {
        let folder = Folder::find(args.common.dir.clone())?;
        let file = match args.common.config.clone().or_else(|| std::env::var_os("DSN_CONFIG").map(PathBuf::from)) {
            Some(named) => ConfigFile::Named(named),
            None => ConfigFile::Usual(folder.path("config.toml")),
        };
        let variable = |name: &str| std::env::var(name).ok();
        let settings = Settings::load(&file, variable, flags(args)).map_err(|error| {
            let failure = Failure::new(Exit::Configuration, error.error);
            match error.hint {
                Some(hint) => failure.hint(hint),
                None => failure,
            }
        })?;
        Ok(Self { folder, settings, json: args.common.json })
    }

    pub(crate) fn network_name(&self) -> Result<NetworkName, Failure> {
        self.settings.text(Key::NetworkName).parse().map_err(|error| Failure::of(Exit::Configuration, &error))
    }
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
    set(Key::LogLevel, args.common.log.clone());
    match &args.command {
        Command::Farm(farm) => {
            set(Key::FarmStorage, farm.storage.clone());
            set(Key::FarmListen, list(&farm.listen));
            set(Key::FarmDiskReserve, farm.disk_reserve.clone());
        }
        Command::Put(put) => set(Key::PutRedundancy, put.redundancy.clone()),
        _ => {}
    }
    layer
}
