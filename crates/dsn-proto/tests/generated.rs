//! The checked-in types are exactly what the `.proto` files give. `DSN_REGENERATE=1 cargo test -p dsn-proto` rewrites
//! them; no protoc is needed, since protox compiles the files.

use std::path::{Path, PathBuf};

fn generate() -> String {
    let proto: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto");
    let kinds = ["announcement", "farmer", "members", "objects", "rpc"];
    let files = kinds.map(|kind| format!("dsn/v1/{kind}.proto"));
    let set = protox::compile(files, [&proto]).expect("the .proto files compile");
    let out = tempfile::tempdir().expect("a temporary folder");
    prost_build::Config::new().bytes(["."]).out_dir(out.path()).compile_fds(set).expect("prost generates the types");
    std::fs::read_to_string(out.path().join("dsn.v1.rs")).expect("one file for the package")
}

#[test]
fn the_checked_in_types_match_the_proto_files() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/dsn.v1.rs");
    let fresh = generate();
    if std::env::var_os("DSN_REGENERATE").is_some() {
        std::fs::write(&path, &fresh).expect("the crate's folder is writable");
    }
    let kept = std::fs::read_to_string(&path).expect("src/dsn.v1.rs exists");
    assert!(kept == fresh, "src/dsn.v1.rs is stale: DSN_REGENERATE=1 cargo test -p dsn-proto");
}
