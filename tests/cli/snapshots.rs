//! What needs no network, word for word: help, usage, CIDs, settings. `TRYCMD=overwrite cargo test --test cli` writes the
//! snapshots in `tests/cmd` anew.

#[test]
fn messages_are_as_in_the_snapshots() {
    let folder = tempfile::tempdir().unwrap();
    let cases = trycmd::TestCases::new();
    cases.register_bin("dsn", std::path::Path::new(env!("CARGO_BIN_EXE_dsn")));
    // Whatever this shell has set: empty is not set.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("DSN_")) {
        cases.env(name, "");
    }
    let dir = folder.path().join("data");
    cases.env("DSN_DIR", dir.to_str().unwrap()).env("DSN_MDNS", "false");
    cases.insert_var("[DIR]", dir.to_str().unwrap().to_owned()).unwrap();
    cases.case("tests/cmd/*.trycmd");
    cases.run();
}
