//! What packages hold is about the program as it is: the sample configuration names every setting with its built-in value, the
//! unit is one that systemd understands and that keeps the farmer locked up, every command has its page and its completions.

#[path = "support/command.rs"]
#[expect(dead_code, reason = "other tests make files up")]
mod command;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use command::{DSN, isolate, output, shown};
use dsn_cli::{ConfigFile, Key, Layer, Origin, Settings};

fn packaged(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging").join(name)
}

fn dsn(args: &[&str]) -> std::process::Output {
    let folder = tempfile::tempdir().expect("a temporary folder");
    output(isolate(&mut Command::new(DSN)).env("DSN_DIR", folder.path()).args(args))
}

/// A line that is a setting once its `#` is gone.
fn setting(line: &str) -> Option<&str> {
    line.strip_prefix('#').filter(|rest| rest.starts_with(|first: char| first.is_ascii_lowercase()))
}

/// The sample with every setting in it set, and the settings that are examples only.
fn everything_set() -> (String, BTreeSet<String>) {
    let sample = fs::read_to_string(packaged("config.toml")).expect("readable");
    let (mut all, mut examples, mut table) = (String::new(), BTreeSet::new(), "");
    let mut said = String::new();
    for line in sample.lines() {
        if let Some(name) = line.strip_prefix('[') {
            table = name.trim_end_matches(']');
        }
        let Some(set) = setting(line) else {
            all.push_str(&format!("{line}\n"));
            said = if line.starts_with("# ") { format!("{said} {line}") } else { String::new() };
            continue;
        };
        let name = format!("{table}.{}", set.split(' ').next().expect("a first word"));
        assert!(!said.is_empty(), "{name} has no words of explanation");
        if said.ends_with("(an example)") {
            examples.insert(name);
        }
        all.push_str(&format!("{set}\n"));
    }
    (all, examples)
}

fn load(text: &str) -> Settings {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("config.toml");
    fs::write(&file, text).expect("writable");
    Settings::load(&ConfigFile::Named(file), |_| None, Layer::new()).unwrap_or_else(|error| panic!("{}", error.error))
}

#[test]
fn the_sample_configuration_names_every_setting_and_its_built_in_value() {
    let (text, examples) = everything_set();
    let (set, built_in) = (load(&text), load(""));
    let words = |value: &str| value.replace(", ", ",");
    for key in Key::ALL {
        let (value, origin) = set.get(key).unwrap_or_else(|| panic!("{} is missing", key.name()));
        assert!(matches!(origin, Origin::File(_)), "{} is missing in packaging/config.toml", key.name());
        match built_in.get(key) {
            Some((usual, _)) => assert_eq!(words(value), words(usual), "{}", key.name()),
            None => assert!(examples.contains(key.name()), "{} has no built-in value: say `(an example)`", key.name()),
        }
        assert!(!examples.contains(key.name()) || built_in.get(key).is_none(), "{} is no example", key.name());
    }
}

#[test]
fn the_sample_configuration_does_as_it_is_and_with_every_line_set() {
    let as_it_is = dsn(&["--config", packaged("config.toml").to_str().unwrap(), "config", "--json"]);
    assert!(as_it_is.status.success(), "{}", shown(&as_it_is));
    assert!(!String::from_utf8_lossy(&as_it_is.stdout).contains("packaging"), "it sets nothing: {}", shown(&as_it_is));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("everything.toml");
    let key = "/key/swarm/psk/1.0.0/\n/base16/\n".to_owned() + &"5a".repeat(32) + "\n";
    fs::write(folder.path().join("swarm.key"), key).unwrap();
    let (text, _) = everything_set();
    // What a farmer that is started here can have: the key is elsewhere, and no port may be one that is taken.
    let text = text.replace("/etc/dsn/swarm.key", folder.path().join("swarm.key").to_str().unwrap());
    fs::write(&file, &text).unwrap();
    let shown_all = dsn(&["--config", file.to_str().unwrap(), "config"]);
    assert!(shown_all.status.success(), "{}", shown(&shown_all));
    let rules = dsn(&["--config", file.to_str().unwrap(), "firewall", "list"]);
    assert!(
        rules.status.success() && String::from_utf8_lossy(&rules.stdout).contains(" config.2  ask 192.0.2.0/24"),
        "{}",
        shown(&rules)
    );
}

/// The keys of a section of the unit, with the last value of each.
fn unit(section: &str) -> BTreeMap<String, String> {
    let text = fs::read_to_string(packaged("dsn-farmer.service")).expect("readable");
    let of_section =
        text.split("\n[").find_map(|part| part.strip_prefix(&format!("{section}]\n"))).expect("a part of that name");
    let lines = of_section.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once('=')).map(|(key, value)| (key.into(), value.into())).collect()
}

#[test]
fn the_unit_locks_the_farmer_up_and_starts_it_again() {
    let service = unit("Service");
    for (key, value) in [
        ("ExecStart", "/usr/bin/dsn farm --dir /var/lib/dsn --config /etc/dsn/config.toml"),
        ("User", "dsn"),
        ("StateDirectory", "dsn"),
        ("Restart", "on-failure"),
        ("RestartPreventExitStatus", "2 6 9 10"),
        ("NoNewPrivileges", "yes"),
        ("CapabilityBoundingSet", ""),
        ("ProtectSystem", "strict"),
        ("ProtectHome", "yes"),
        ("PrivateTmp", "yes"),
        ("RestrictAddressFamilies", "AF_INET AF_INET6 AF_NETLINK AF_UNIX"),
    ] {
        assert_eq!(service.get(key).map(String::as_str), Some(value), "{key}");
    }
    ["MemoryMax", "LimitNOFILE", "TasksMax", "SystemCallFilter"]
        .iter()
        .for_each(|key| assert!(service.contains_key(*key)));
    let arguments: Vec<&str> = service["ExecStart"].split(' ').skip(1).collect();
    let parsed = dsn(&[&arguments[..], &["--help"]].concat());
    assert!(parsed.status.success(), "{}", shown(&parsed));
}

#[test]
fn systemd_understands_the_unit_and_finds_it_safe() {
    let analyze = |args: &[&str]| Command::new("systemd-analyze").args(args).output().ok();
    if analyze(&["--version"]).is_none() {
        eprintln!("skipped: no systemd-analyze here");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("dsn-farmer.service");
    let text = fs::read_to_string(packaged("dsn-farmer.service")).unwrap();
    fs::write(&file, text.replace("ExecStart=/usr/bin/dsn ", &format!("ExecStart={DSN} "))).unwrap();
    let name = file.to_str().unwrap();
    let verified = analyze(&["verify", "--man=no", name]).unwrap();
    let said = String::from_utf8_lossy(&verified.stderr).into_owned();
    assert!(!said.contains("dsn-farmer.service"), "{said}");
    // From 0, safe, to 100; below 20 is what systemd itself calls OK.
    let rated = analyze(&["security", "--offline=true", "--threshold=20", "--no-pager", name]).unwrap();
    assert!(rated.status.success(), "{}", shown(&rated));
}

#[test]
fn hadolint_has_nothing_to_say_of_the_dockerfile() {
    let Ok(linted) = Command::new("hadolint").arg(packaged("Dockerfile")).output() else {
        eprintln!("skipped: no hadolint here");
        return;
    };
    assert!(linted.status.success(), "{}", shown(&linted));
}

/// The names that `dsn --help` lists.
fn commands() -> Vec<String> {
    let help = String::from_utf8(dsn(&["--help"]).stdout).expect("UTF-8");
    let list = help
        .split("Commands:\n")
        .nth(1)
        .expect("a part of that name")
        .split("\n\n")
        .next()
        .expect("a part of that name");
    let names = list.lines().filter(|line| !line.starts_with("   ")).filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

#[test]
fn every_command_has_a_page_and_completions() {
    let folder = tempfile::tempdir().unwrap();
    let written = dsn(&["man", "--out", folder.path().join("man").to_str().unwrap()]);
    assert!(written.status.success(), "{}", shown(&written));
    let page = |name: &str| {
        let path = folder.path().join("man").join(format!("dsn{name}.1"));
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    assert!(commands().len() > 20 && page("").contains(".TH dsn 1") && page("-network-new").contains("NAME"));
    for command in commands() {
        assert!(page(&format!("-{command}")).contains(&format!("dsn\\-{command}")), "{command}");
        for shell in ["bash", "zsh", "fish"] {
            let completions = dsn(&["completions", shell]);
            assert!(String::from_utf8_lossy(&completions.stdout).contains(&command), "{command} in {shell}");
        }
    }
}

#[test]
fn the_package_names_only_what_is_there() {
    let manifest = fs::read_to_string(packaged("../Cargo.toml")).unwrap();
    let assets = manifest.split("\nassets = [\n").nth(1).unwrap().split("\n]").next().unwrap();
    let sources: Vec<&str> = assets.lines().filter_map(|line| line.split('"').nth(1)).collect();
    assert!(sources.len() > 5);
    for source in sources.iter().filter(|source| !source.starts_with("target/") && !source.contains("/made/")) {
        assert!(packaged("..").join(source).is_file(), "{source}");
    }
    for script in ["debian/postrm", "build-deb"] {
        let shell = if script == "build-deb" { "bash" } else { "sh" };
        let checked = Command::new(shell).arg("-n").arg(packaged(script)).output().unwrap();
        assert!(checked.status.success(), "{}", shown(&checked));
    }
}
