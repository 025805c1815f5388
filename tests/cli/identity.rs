//! Keys, folders and what else `dsn` finds on the machine before it does anything.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
};

use crate::{
    network::{DSN, dsn, output, shown},
    refused,
};

fn id(dir: &Path) -> std::process::Output {
    output(dsn(dir).arg("id"))
}

#[test]
fn keys_are_made_once_and_kept_private() {
    let folder = tempfile::tempdir().unwrap();
    let first = id(folder.path());
    assert!(first.status.success(), "{}", shown(&first));
    assert!(String::from_utf8_lossy(&first.stdout).contains("farmer  none yet"), "{}", shown(&first));
    assert_eq!(id(folder.path()).stdout, first.stdout);
    let mode = fs::metadata(folder.path().join("owner.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let json = output(dsn(folder.path()).args(["id", "--json"]));
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["farmer"], serde_json::Value::Null);
}

/// Found by two puts at once in a new folder: one read the key while the other had only half written it.
#[test]
fn first_commands_at_once_agree_on_the_key() {
    for _ in 0..5 {
        let folder = tempfile::tempdir().unwrap();
        let start = || dsn(folder.path()).arg("id").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let running: Vec<_> = (0..12).map(|_| start()).collect();
        let done: Vec<_> = running.into_iter().map(|child| child.wait_with_output().unwrap()).collect();
        for one in &done {
            assert!(one.status.success() && one.stdout == done[0].stdout, "{}", shown(one));
        }
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left.len(), 2, "FORMAT and the key: {left:?}");
    }
}

#[test]
fn a_key_that_others_may_read_is_refused_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    id(folder.path());
    let key = folder.path().join("owner.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let done = id(folder.path());
    refused(&done, 6, &format!("error: the key {} is readable by others (mode 644)", key.display()));
    refused(&done, 6, &format!("hint: chmod 600 {}", key.display()));
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(id(folder.path()).status.success());
}

#[test]
fn a_damaged_key_is_refused_and_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("farmer.key");
    for text in [&b""[..], b"xyz\n", &[b'a'; 63], &[0xff; 64]] {
        fs::write(&key, text).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        refused(&id(folder.path()), 6, "is damaged: it is not 64 hexadecimal digits");
        refused(&output(dsn(folder.path()).args(["farm", "--storage", "1MiB"])), 6, "hint: restore it from a backup");
        assert_eq!(fs::read(&key).unwrap(), text);
    }
}

#[test]
fn a_folder_of_a_newer_version_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("FORMAT"), "3\n").unwrap();
    let before = fs::metadata(folder.path()).unwrap().modified().unwrap();
    for args in [&["id"][..], &["farm", "--storage", "1MiB"], &["devnet", "--farmers", "1"]] {
        let done = output(dsn(folder.path()).args(args));
        refused(&done, 9, "has format 3, this binary knows <= 1");
        refused(&done, 9, "hint: ");
    }
    assert_eq!(fs::metadata(folder.path()).unwrap().modified().unwrap(), before, "nothing was made in it");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_folder_that_cannot_be_one_is_a_clear_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let done = id(&file.join("data"));
    refused(&done, 8, &format!("cannot use the data folder {}/data", file.display()));
    refused(&done, 8, "hint: choose another data folder with --dir DIR or DSN_DIR");
}

#[test]
fn without_a_home_the_users_own_folder_is_found_or_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let config = output(Command::new(DSN).env_clear().arg("config"));
    // A user without a home is told to choose; every other has one in the system's list.
    assert!(matches!(config.status.code(), Some(0 | 9)), "{}", shown(&config));
    let id = output(Command::new(DSN).env_clear().arg("id").arg("--dir").arg(folder.path()));
    assert!(id.status.success(), "{}", shown(&id));
}

#[test]
fn completions_and_the_manual_are_made_of_the_arguments() {
    let folder = tempfile::tempdir().unwrap();
    for (args, says) in [
        (&["completions", "bash"][..], "complete -F _dsn"),
        (&["completions", "zsh"], "#compdef dsn"),
        (&["completions", "fish"], "complete -c dsn"),
        (&["man"], ".TH dsn 1"),
    ] {
        let done = output(dsn(folder.path()).args(args));
        assert!(done.status.success() && done.stderr.is_empty(), "{}", shown(&done));
        let text = String::from_utf8(done.stdout).unwrap();
        assert!(text.contains(says) && text.contains("redundancy") | text.contains("put"), "{args:?}: {text}");
    }
}
