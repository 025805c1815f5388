//! Settings in layers: built-in < file < environment < flag. Every value knows where it came from; an unknown key is an
//! error that names its line and the nearest key there is. Values are texts here; who needs one parses it.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

use crate::nearest;

/// A setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// The network's name.
    NetworkName,
    /// Addresses of nodes of the network, separated by commas.
    NetworkBootstrap,
    /// Whether nodes are found by the DHT.
    NetworkDht,
    /// Whether nodes are looked for on the LAN.
    NetworkMdns,
    /// Whether the gateway is asked to open a port.
    NetworkUpnp,
    /// Whether rendezvous points are used.
    NetworkRendezvous,
    /// Whether nodes met are remembered for the next run.
    NetworkRemember,
    /// Whether a farmer, and who follows a name, hears announcements and hands them on.
    NetworkAnnouncements,
    /// How much is logged.
    LogLevel,
    /// The redundancy of puts.
    PutRedundancy,
    /// Whether what is put is sealed.
    PutPrivate,
    /// Where files that are put are cut.
    PutChunking,
    /// Bytes a farmer lends.
    FarmStorage,
    /// Where a farmer listens, separated by commas.
    FarmListen,
    /// Addresses under which a farmer is reached besides, separated by commas.
    FarmExternal,
    /// Whether a farmer that others can dial puts calls through to those that nobody can.
    FarmRelay,
    /// Bytes of pieces a second that go out.
    FarmUploadCap,
    /// Bytes of pieces a second that come in.
    FarmDownloadCap,
    /// Bytes of memory beyond which nobody new is let in.
    FarmMemory,
    /// Whether a farmer is a rendezvous point.
    FarmRendezvousServer,
    /// Bytes a farmer keeps of one owner.
    FarmOwnerQuota,
    /// Bytes a farmer leaves free on its disk.
    FarmDiskReserve,
    /// A farmer's failure-domain tag.
    FarmDomain,
    /// Whether only members take part, so that files are kept without end.
    NetworkClosed,
    /// A file with a key that all nodes of a TCP-only network share.
    NetworkPskFile,
    /// A file with certificates of authorities that are trusted besides those of the web.
    NetworkAuthorities,
    /// How long a silent farmer still counts.
    FarmAbsentGrace,
    /// Bytes a second that repair may move.
    FarmRepairRate,
    /// The time within which every piece is read again.
    FarmScrub,
    /// How long what nobody wants lies in the trash.
    FarmTrash,
    /// What becomes of what others do here and no rule is about.
    FirewallDefault,
    /// The same for what this node does to others.
    FirewallDefaultOut,
    /// Rules, separated by commas; the first that matches decides.
    FirewallRules,
    /// How long a question waits for the operator.
    FirewallAskTimeout,
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    BuiltIn,
    /// A configuration file.
    File(PathBuf),
    /// An environment variable.
    Environment(&'static str),
    /// A flag of this command.
    Flag,
}

/// Values of one layer.
pub type Layer = BTreeMap<Key, String>;

/// All values in effect.
#[derive(Clone, Debug)]
pub struct Settings {
    values: BTreeMap<Key, (String, Origin)>,
}

/// Why a configuration file is not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsError {
    /// What is wrong, and where.
    pub error: String,
    /// What was probably meant.
    pub hint: Option<String>,
}

impl Key {
    /// Every setting, in the order in which they are shown.
    pub const ALL: [Self; 34] = [
        Self::NetworkName,
        Self::NetworkBootstrap,
        Self::NetworkDht,
        Self::NetworkMdns,
        Self::NetworkUpnp,
        Self::NetworkRendezvous,
        Self::NetworkRemember,
        Self::NetworkAnnouncements,
        Self::LogLevel,
        Self::PutRedundancy,
        Self::PutPrivate,
        Self::PutChunking,
        Self::FarmStorage,
        Self::FarmListen,
        Self::FarmExternal,
        Self::FarmRelay,
        Self::FarmRendezvousServer,
        Self::FarmUploadCap,
        Self::FarmDownloadCap,
        Self::FarmMemory,
        Self::FarmOwnerQuota,
        Self::FarmDiskReserve,
        Self::FarmDomain,
        Self::NetworkClosed,
        Self::NetworkPskFile,
        Self::NetworkAuthorities,
        Self::FarmAbsentGrace,
        Self::FarmRepairRate,
        Self::FarmScrub,
        Self::FarmTrash,
        Self::FirewallDefault,
        Self::FirewallDefaultOut,
        Self::FirewallRules,
        Self::FirewallAskTimeout,
    ];

    /// Its name in the file: `table.key`.
    pub fn name(self) -> &'static str {
        match self {
            Self::NetworkName => "network.name",
            Self::NetworkBootstrap => "network.bootstrap",
            Self::NetworkDht => "network.dht",
            Self::NetworkMdns => "network.mdns",
            Self::NetworkUpnp => "network.upnp",
            Self::NetworkRendezvous => "network.rendezvous",
            Self::NetworkRemember => "network.remember",
            Self::NetworkAnnouncements => "network.announcements",
            Self::LogLevel => "log.level",
            Self::PutRedundancy => "put.redundancy",
            Self::PutPrivate => "put.private",
            Self::PutChunking => "put.chunking",
            Self::FarmStorage => "farm.storage",
            Self::FarmListen => "farm.listen",
            Self::FarmExternal => "farm.external",
            Self::FarmRelay => "farm.relay",
            Self::FarmRendezvousServer => "farm.rendezvous_server",
            Self::FarmUploadCap => "farm.upload_cap",
            Self::FarmDownloadCap => "farm.download_cap",
            Self::FarmMemory => "farm.memory",
            Self::FarmOwnerQuota => "farm.owner_quota",
            Self::FarmDiskReserve => "farm.disk_reserve",
            Self::FarmDomain => "farm.domain",
            Self::NetworkClosed => "network.closed",
            Self::NetworkPskFile => "network.psk_file",
            Self::NetworkAuthorities => "network.authorities",
            Self::FarmAbsentGrace => "farm.absent_grace",
            Self::FarmRepairRate => "farm.repair_rate",
            Self::FarmScrub => "farm.scrub",
            Self::FarmTrash => "farm.trash",
            Self::FirewallDefault => "firewall.default",
            Self::FirewallDefaultOut => "firewall.default_out",
            Self::FirewallRules => "firewall.rules",
            Self::FirewallAskTimeout => "firewall.ask_timeout",
        }
    }

    /// Its environment variable.
    pub fn variable(self) -> &'static str {
        match self {
            Self::NetworkName => "DSN_NETWORK",
            Self::NetworkBootstrap => "DSN_BOOTSTRAP",
            Self::NetworkDht => "DSN_DHT",
            Self::NetworkMdns => "DSN_MDNS",
            Self::NetworkUpnp => "DSN_UPNP",
            Self::NetworkRendezvous => "DSN_RENDEZVOUS",
            Self::NetworkRemember => "DSN_REMEMBER",
            Self::NetworkAnnouncements => "DSN_ANNOUNCEMENTS",
            Self::LogLevel => "DSN_LOG",
            Self::PutRedundancy => "DSN_REDUNDANCY",
            Self::PutPrivate => "DSN_PRIVATE",
            Self::PutChunking => "DSN_CHUNKING",
            Self::FarmStorage => "DSN_STORAGE",
            Self::FarmListen => "DSN_LISTEN",
            Self::FarmExternal => "DSN_EXTERNAL",
            Self::FarmRelay => "DSN_RELAY",
            Self::FarmRendezvousServer => "DSN_RENDEZVOUS_SERVER",
            Self::FarmUploadCap => "DSN_UPLOAD_CAP",
            Self::FarmDownloadCap => "DSN_DOWNLOAD_CAP",
            Self::FarmMemory => "DSN_MEMORY",
            Self::FarmOwnerQuota => "DSN_OWNER_QUOTA",
            Self::FarmDiskReserve => "DSN_DISK_RESERVE",
            Self::FarmDomain => "DSN_DOMAIN",
            Self::NetworkClosed => "DSN_CLOSED",
            Self::NetworkPskFile => "DSN_PSK_FILE",
            Self::NetworkAuthorities => "DSN_AUTHORITIES",
            Self::FarmAbsentGrace => "DSN_ABSENT_GRACE",
            Self::FarmRepairRate => "DSN_REPAIR_RATE",
            Self::FarmScrub => "DSN_SCRUB",
            Self::FarmTrash => "DSN_TRASH",
            Self::FirewallDefault => "DSN_FIREWALL_DEFAULT",
            Self::FirewallDefaultOut => "DSN_FIREWALL_DEFAULT_OUT",
            Self::FirewallRules => "DSN_FIREWALL_RULES",
            Self::FirewallAskTimeout => "DSN_FIREWALL_ASK_TIMEOUT",
        }
    }

    fn built_in(self) -> Option<&'static str> {
        match self {
            Self::NetworkName => Some("main"),
            Self::NetworkDht
            | Self::NetworkMdns
            | Self::NetworkUpnp
            | Self::NetworkRendezvous
            | Self::NetworkRemember
            | Self::NetworkAnnouncements
            | Self::FarmRelay => Some("true"),
            Self::FarmRendezvousServer | Self::PutPrivate => Some("false"),
            Self::LogLevel => Some("default"),
            Self::PutRedundancy => Some("normal"),
            Self::PutChunking => Some("fixed"),
            Self::FarmListen => {
                Some("/ip4/0.0.0.0/tcp/0,/ip4/0.0.0.0/udp/0/quic-v1,/ip6/::/tcp/0,/ip6/::/udp/0/quic-v1")
            }
            Self::NetworkClosed => Some("false"),
            Self::FarmAbsentGrace => Some("24h"),
            Self::FarmRepairRate => Some("4MiB"),
            Self::FarmUploadCap | Self::FarmDownloadCap => Some("none"),
            Self::FarmMemory => Some("2GiB"),
            Self::FarmScrub => Some("30d"),
            Self::FarmTrash => Some("7d"),
            Self::FirewallDefault | Self::FirewallDefaultOut => Some("allow"),
            Self::FirewallAskTimeout => Some("60s"),
            Self::NetworkBootstrap
            | Self::NetworkPskFile
            | Self::NetworkAuthorities
            | Self::FarmStorage
            | Self::FarmExternal
            | Self::FarmOwnerQuota
            | Self::FarmDiskReserve
            | Self::FarmDomain
            | Self::FirewallRules => None,
        }
    }

    fn takes_list(self) -> bool {
        matches!(self, Self::NetworkBootstrap | Self::FarmListen | Self::FarmExternal | Self::FirewallRules)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn => f.write_str("built-in"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Environment(variable) => f.write_str(variable),
            Self::Flag => f.write_str("flag"),
        }
    }
}

impl Settings {
    /// Lays the layers over each other: built-in, then the file (if there is one), then the environment, then the flags.
    ///
    /// # Errors
    /// When the file cannot be read or understood; a file that was named and is missing is one too.
    pub fn load(
        file: &ConfigFile,
        variable: impl Fn(&str) -> Option<String>,
        flags: Layer,
    ) -> Result<Self, SettingsError> {
        let mut values = BTreeMap::new();
        for key in Key::ALL {
            if let Some(value) = key.built_in() {
                values.insert(key, (value.to_owned(), Origin::BuiltIn));
            }
        }
        if let Some((path, layer)) = file.read()? {
            values.extend(layer.into_iter().map(|(key, value)| (key, (value, Origin::File(path.clone())))));
        }
        for key in Key::ALL {
            if let Some(value) = variable(key.variable()).filter(|value| !value.is_empty()) {
                values.insert(key, (value, Origin::Environment(key.variable())));
            }
        }
        values.extend(flags.into_iter().map(|(key, value)| (key, (value, Origin::Flag))));
        Ok(Self { values })
    }

    /// A value and where it came from.
    pub fn get(&self, key: Key) -> Option<(&str, &Origin)> {
        self.values.get(&key).map(|(value, origin)| (value.as_str(), origin))
    }

    /// Sets what follows from a file of the folder and is no choice.
    pub fn impose(&mut self, key: Key, value: &str, file: &Path) {
        self.values.insert(key, (value.to_owned(), Origin::File(file.to_path_buf())));
    }

    /// A value that has a built-in one, or the empty text.
    pub fn text(&self, key: Key) -> &str {
        self.get(key).map_or("", |(value, _)| value)
    }

    /// A list: texts separated by commas.
    pub fn list(&self, key: Key) -> Vec<String> {
        self.text(key).split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
    }
}

/// Which file holds the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigFile {
    /// This one, which must exist.
    Named(PathBuf),
    /// This one, if it exists.
    Usual(PathBuf),
}

impl ConfigFile {
    fn read(&self) -> Result<Option<(PathBuf, Layer)>, SettingsError> {
        let (Self::Named(path) | Self::Usual(path)) = self;
        match std::fs::read_to_string(path) {
            Ok(text) => parse(path, &text).map(|layer| Some((path.clone(), layer))),
            Err(error) if is_absent(&error) && matches!(self, Self::Usual(_)) => Ok(None),
            Err(error) => Err(SettingsError { error: format!("cannot read {}: {error}", path.display()), hint: None }),
        }
    }
}

/// Also when there is not even a folder where it would be: whoever needs that says what is wrong with it.
fn is_absent(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory)
}

/// Reads a file: tables of keys, each a text, a number, a truth value or a list of texts.
fn parse(path: &Path, text: &str) -> Result<Layer, SettingsError> {
    let document: toml::Table = toml::from_str(text).map_err(|error| {
        let place = error.span().map_or_else(String::new, |span| place(text, span.start));
        SettingsError { error: format!("{}{place}: {}", path.display(), error.message()), hint: None }
    })?;
    let mut layer = Layer::new();
    for (table, content) in &document {
        let toml::Value::Table(content) = content else {
            return Err(unknown(path, text, table, table));
        };
        for (name, value) in content {
            let full = format!("{table}.{name}");
            let Some(key) = Key::ALL.into_iter().find(|key| key.name() == full) else {
                return Err(unknown(path, text, &full, name));
            };
            let value = as_text(key, value).ok_or_else(|| SettingsError {
                error: format!("{}{}: {full} is not a {}", path.display(), find(text, name), kind(key)),
                hint: None,
            })?;
            layer.insert(key, value);
        }
    }
    Ok(layer)
}

fn kind(key: Key) -> &'static str {
    match key {
        _ if key.takes_list() => "list of texts",
        _ if takes_truth(key) => "truth value (true or false)",
        _ => "text",
    }
}

fn takes_truth(key: Key) -> bool {
    matches!(
        key,
        Key::NetworkDht
            | Key::NetworkMdns
            | Key::NetworkUpnp
            | Key::NetworkRendezvous
            | Key::NetworkRemember
            | Key::NetworkAnnouncements
            | Key::NetworkClosed
            | Key::FarmRelay
            | Key::FarmRendezvousServer
            | Key::PutPrivate
    )
}

fn as_text(key: Key, value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) if !takes_truth(key) => Some(text.clone()),
        toml::Value::Boolean(flag) if takes_truth(key) => Some(flag.to_string()),
        toml::Value::Integer(number)
            if matches!(key, Key::FarmStorage | Key::FarmOwnerQuota | Key::FarmDiskReserve | Key::FarmMemory) =>
        {
            Some(number.to_string())
        }
        toml::Value::Array(items) if key.takes_list() => {
            let texts: Option<Vec<&str>> = items.iter().map(toml::Value::as_str).collect();
            texts.map(|texts| texts.join(","))
        }
        _ => None,
    }
}

fn unknown(path: &Path, text: &str, full: &str, name: &str) -> SettingsError {
    let meant =
        nearest(full, &Key::ALL.map(Key::name)).map(|near| format!("did you mean {near}? ")).unwrap_or_default();
    SettingsError {
        error: format!("{}{}: unknown key {full}", path.display(), find(text, name)),
        hint: Some(format!("{meant}`dsn config` lists all keys")),
    }
}

/// Where a key stands in the text: `:LINE:COLUMN`.
fn find(text: &str, name: &str) -> String {
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let key = line.trim_start().trim_start_matches(['[', '"']);
        if key.starts_with(name) {
            return place(text, start + (line.len() - key.len()));
        }
        start += line.len();
    }
    String::new()
}

fn place(text: &str, offset: usize) -> String {
    let before = &text[..offset.min(text.len())];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |rest| rest.chars().count()) + 1;
    format!(":{line}:{column}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_of(text: &str) -> SettingsError {
        parse(Path::new("c.toml"), text).expect_err(text)
    }

    #[test]
    fn a_later_layer_wins_and_says_so() {
        let folder = std::env::temp_dir().join(format!("dsn-settings-{}", std::process::id()));
        std::fs::write(&folder, "[network]\nname = \"club\"\nbootstrap = [\"/a\", \"/b\"]\n[farm]\nstorage = 4096\n")
            .expect("a writable temporary folder");
        let variable = |name: &str| (name == "DSN_NETWORK").then(|| "lab".to_owned());
        let flags = Layer::from([(Key::FarmStorage, "1GiB".to_owned())]);
        let settings = Settings::load(&ConfigFile::Named(folder.clone()), variable, flags).expect("valid");
        assert_eq!(settings.get(Key::NetworkName), Some(("lab", &Origin::Environment("DSN_NETWORK"))));
        assert_eq!(settings.get(Key::FarmStorage), Some(("1GiB", &Origin::Flag)));
        assert_eq!(settings.list(Key::NetworkBootstrap), ["/a", "/b"]);
        assert_eq!(settings.get(Key::PutRedundancy), Some(("normal", &Origin::BuiltIn)));
        std::fs::remove_file(folder).expect("it was just written");
    }

    #[test]
    fn mistakes_name_their_line_and_the_nearest_key() {
        let unknown = error_of("[network]\nname = \"a\"\nbotstrap = []\n");
        assert_eq!(unknown.error, "c.toml:3:1: unknown key network.botstrap");
        assert!(unknown.hint.expect("a hint").contains("network.bootstrap"));
        assert_eq!(error_of("[farm]\nstorage = true\n").error, "c.toml:2:1: farm.storage is not a text");
        assert!(error_of("[network\n").error.starts_with("c.toml:1:"), "{:?}", error_of("[network\n"));
        assert!(error_of("storage = 1\n").error.contains("unknown key storage"));
    }

    #[test]
    fn a_file_that_was_named_must_exist() {
        let missing = PathBuf::from("/nonexistent/c.toml");
        let load = |file| Settings::load(&file, |_| None, Layer::new());
        assert!(load(ConfigFile::Named(missing.clone())).is_err());
        assert!(load(ConfigFile::Usual(missing)).is_ok());
    }
}
