//! What needs no network, word for word: help, usage, CIDs, settings. `TRYCMD=overwrite cargo test --test cli` writes the
//! snapshots in `tests/cmd` anew.

/// Everything that this shell may be set to.
const VARIABLES: [&str; 21] = [
    "DSN_CONFIG",
    "DSN_NETWORK",
    "DSN_BOOTSTRAP",
    "DSN_LOG",
    "DSN_REDUNDANCY",
    "DSN_STORAGE",
    "DSN_LISTEN",
    "DSN_DISK_RESERVE",
    "DSN_DOMAIN",
    "DSN_UPNP",
    "DSN_EXTERNAL",
    "DSN_RELAY",
    "DSN_RENDEZVOUS",
    "DSN_REMEMBER",
    "DSN_RENDEZVOUS_SERVER",
    "DSN_UPLOAD_CAP",
    "DSN_DOWNLOAD_CAP",
    "DSN_MEMORY",
    "DSN_CLOSED",
    "DSN_PSK_FILE",
    "DSN_INVITATION",
];

#[test]
fn messages_are_as_in_the_snapshots() {
    let folder = tempfile::tempdir().unwrap();
    let cases = trycmd::TestCases::new();
    cases.register_bin("dsn", std::path::Path::new(env!("CARGO_BIN_EXE_dsn")));
    VARIABLES.iter().for_each(|name| {
        cases.env(*name, "");
    });
    let dir = folder.path().join("data");
    cases.env("DSN_DIR", dir.to_str().unwrap()).env("DSN_MDNS", "false");
    cases.insert_var("[DIR]", dir.to_str().unwrap().to_owned()).unwrap();
    cases.case("tests/cmd/*.trycmd");
    cases.run();
}
