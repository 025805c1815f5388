//! `network.remember`: whom a run met is kept for the next one, unless the user does not want that.

use std::{fs, path::Path};

use crate::{
    farmers::Farmer,
    network::{TestNetwork, dsn, output, shown},
    refused, until,
};

/// A folder whose runs remember, or do not.
fn folder(remember: bool) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let text = format!("[network]\nremember = {remember}\n");
    fs::write(folder.path().join("config.toml"), text).expect("writable");
    folder
}

fn has_peers(folder: &Path) -> bool {
    folder.join("peers.json").exists()
}

/// Found when the setting kept a run from reading the file, and not from writing it.
#[test]
fn whom_a_run_met_is_written_down_only_where_that_is_wanted() {
    let network = TestNetwork::start(1);
    let address = network.farmers[0].address.as_str();
    for remember in [true, false] {
        let of_farmer = folder(remember);
        let farmer = Farmer::start(of_farmer.path(), &["--storage", "1GiB", "--bootstrap", address]);
        until("they have met", || farmer.status()["peers"] == 1);
        farmer.end();
        assert_eq!(has_peers(of_farmer.path()), remember, "a farmer");
        let of_command = folder(remember);
        let done = output(dsn(of_command.path()).args(["doctor", "--bootstrap", address]));
        assert!(done.status.success(), "{}", shown(&done));
        assert_eq!(has_peers(of_command.path()), remember, "a command");
    }
}

#[test]
fn a_value_that_is_neither_true_nor_false_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "some text").unwrap();
    let put = ["put", file.to_str().unwrap()];
    for args in [&put[..], &["farm", "--storage", "1GiB"], &["doctor"]] {
        let done = output(dsn(folder.path()).args(args).env("DSN_REMEMBER", "perhaps"));
        refused(&done, 9, "error: network.remember: neither true nor false\nhint: it is set by DSN_REMEMBER");
    }
    let done = output(dsn(folder.path()).args(["farm", "--storage", "1GiB"]).env("DSN_CLOSED", "perhaps"));
    refused(&done, 9, "error: network.closed: neither true nor false");
}
