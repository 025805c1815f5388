//! What every test with the real binary needs: `dsn` without this machine's settings, what it printed, and files to put.

use std::{
    path::Path,
    process::{Command, Output, Stdio},
};

/// The binary under test.
pub(crate) const DSN: &str = env!("CARGO_BIN_EXE_dsn");

/// Takes from a command what this machine is set to, what is found on its LAN, and what somebody types.
pub(crate) fn isolate(command: &mut Command) -> &mut Command {
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("DSN_")) {
        command.env_remove(name);
    }
    command.env("DSN_MDNS", "false").stdin(Stdio::null())
}

/// Runs a command to its end.
pub(crate) fn output(command: &mut Command) -> Output {
    command.output().expect("dsn starts")
}

/// What a command printed, its exit code first: for messages of failed tests.
pub(crate) fn shown(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("exit {:?}\nstdout: {}\nstderr: {}", output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// Writes a file of bytes that follow from its name.
pub(crate) fn make_up(path: &Path, len: usize) {
    let mut bytes = vec![0; len];
    let name = path.file_name().expect("it has one").as_encoded_bytes();
    blake3::Hasher::new().update(name).finalize_xof().fill(&mut bytes);
    std::fs::write(path, bytes).expect("writable");
}

/// Whether two files hold the same bytes.
pub(crate) fn same(a: &Path, b: &Path) -> bool {
    let hash = |path: &Path| {
        let mut hasher = blake3::Hasher::new();
        std::fs::File::open(path).and_then(|file| hasher.update_reader(file).map(|_| ())).expect("readable");
        hasher.finalize()
    };
    hash(a) == hash(b)
}
