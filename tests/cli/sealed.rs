//! Sealed files on real farmers, as a user sees them: what is printed, what opens them, and what farmers and files in the
//! folder never show.

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use crate::{
    MIB,
    network::{TestNetwork, output, same, shown},
    refused,
};

/// Puts something and gives what was printed, which must be one line.
fn put(network: &TestNetwork, args: &[&str], path: &Path) -> String {
    let done = output(network.dsn().arg("put").args(args).arg(path));
    assert!(done.status.success(), "{}", shown(&done));
    let text = String::from_utf8(done.stdout).expect("UTF-8");
    assert_eq!(text.lines().count(), 1);
    text.trim().to_owned()
}

fn verified(network: &TestNetwork, capability: &str) -> String {
    let done = output(network.dsn().args(["cap", "verify", capability]));
    assert!(done.status.success(), "{}", shown(&done));
    String::from_utf8(done.stdout).expect("UTF-8").trim().to_owned()
}

#[test]
fn a_sealed_file_is_read_with_its_capability_and_looked_after_with_its_cid() {
    let network = TestNetwork::start(3);
    let file = network.file("file", 2 * MIB + 7);
    let done = output(network.dsn().args(["put", "--private"]).arg(&file));
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(said.contains("sealed: whoever has the capability can read it"), "{said}");
    let capability = put(&network, &["--private"], &file);
    assert!(capability.starts_with("dsn:r1:bafib4i"), "{capability}");
    assert_eq!(capability, String::from_utf8(done.stdout).unwrap().trim(), "the same file again");
    let cid = verified(&network, &capability);
    assert_ne!(put(&network, &[], &file), cid, "public it is another one");
    assert_ne!(put(&network, &["--random-key"], &file), put(&network, &["--random-key"], &file));
    let copy = network.path("copy");
    let get = |what: &str| output(network.dsn().args(["get", "--force", what, "-o"]).arg(&copy));
    assert!(get(&capability).status.success() && same(&copy, &file));
    let part = output(network.dsn().args(["cat", &capability, "--offset", "2000000", "--length", "100"]));
    assert_eq!(part.stdout, fs::read(&file).unwrap()[2_000_000..2_000_100]);
    fs::remove_file(&copy).unwrap();
    refused(&get(&cid), 6, "hint: a read capability, dsn:r1:");
    let other = put(&network, &["--random-key"], &file);
    let (ours, theirs): (Vec<&str>, Vec<&str>) = (capability.split(':').collect(), other.split(':').collect());
    let slip = capability.replace(ours[3], theirs[3]);
    refused(&get(&slip), 2, "error: the capability's checksum is wrong");
    refused(&get(&capability[..40]), 2, "error: not a read capability");
    assert!(!copy.exists());
    let stat = output(network.dsn().args(["stat", &cid]));
    assert!(String::from_utf8_lossy(&stat.stdout).contains("healthy"), "{}", shown(&stat));
    assert!(output(network.dsn().args(["repair", &cid])).status.success());
    assert!(output(network.dsn().args(["rm", &cid])).status.success());
}

#[test]
fn another_key_is_refused_before_any_chunk_is_fetched() {
    let network = TestNetwork::start(2);
    let one = put(&network, &["--private"], &network.file("one", MIB));
    let other = put(&network, &["--private"], &network.file("other", MIB + 1));
    let cid_of_one: dsn_core::cid::Cid = verified(&network, &one).parse().unwrap();
    let key_of_other = other.parse::<dsn_core::capability::Capability>().unwrap().key;
    let wrong = dsn_core::capability::Capability { cid: cid_of_one, key: key_of_other }.to_text();
    let copy = network.path("copy");
    let done = output(network.dsn().args(["get", &wrong, "-o"]).arg(&copy));
    refused(&done, 6, "error: the key is not the one that this was sealed with");
    assert!(!copy.exists() && !network.path("copy.dsn-part").exists());
    let public = put(&network, &[], &network.file("public", MIB));
    let wrong =
        dsn_core::capability::Capability { cid: public.parse().unwrap(), key: dsn_core::seal::Key::new([1; 32]) };
    refused(&output(network.dsn().args(["cat", &wrong.to_text()])), 6, "error: the key is not the one");
}

#[test]
fn a_capability_comes_by_file_environment_or_standard_input_too() {
    let network = TestNetwork::start(2);
    let top = network.path("tree");
    fs::create_dir(&top).unwrap();
    fs::write(top.join("secret name"), "secret words\n").unwrap();
    let capability = put(&network, &["--private"], &top);
    let file = network.path("cap");
    fs::write(&file, format!("{capability}\n")).unwrap();
    let cat = |command: &mut Command| output(command).stdout;
    assert_eq!(cat(network.dsn().arg("cat").arg("--cap").arg(&file).arg("secret name")), b"secret words\n");
    assert_eq!(cat(network.dsn().args(["cat", "secret name"]).env("DSN_CAP", &capability)), b"secret words\n");
    let mut piped = network.dsn();
    piped.args(["cat", "--cap", "-", "secret name"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    child.stdin.take().unwrap().write_all(capability.as_bytes()).unwrap();
    assert_eq!(child.wait_with_output().unwrap().stdout, b"secret words\n");
    let listed = String::from_utf8(cat(network.dsn().arg("ls").arg("--cap").arg(&file))).unwrap();
    assert!(listed.ends_with("secret name\n"), "{listed}");
    let cid = verified(&network, &capability);
    refused(&output(network.dsn().args(["ls", &cid])), 6, "error: it is sealed");
}

#[test]
fn nothing_that_is_sealed_is_readable_on_disk_or_in_a_log() {
    let network = TestNetwork::start(2);
    let top = network.path("tree");
    fs::create_dir(&top).unwrap();
    let (name, words) = ("a-name-nobody-else-knows", "words nobody else has read ".repeat(4000));
    fs::write(top.join(name), &words).unwrap();
    fs::write(top.join("short"), "short words nobody else has read").unwrap();
    let done = output(network.dsn().args(["--log", "trace", "put", "--private"]).arg(&top));
    assert!(done.status.success(), "{}", shown(&done));
    let capability = String::from_utf8(done.stdout.clone()).unwrap().trim().to_owned();
    let key = capability.split(':').nth(3).unwrap().to_owned();
    let log = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(!log.contains(&key), "the key is in no log");
    let get = output(network.dsn().args(["--log", "trace", "get", &capability, "-o"]).arg(network.path("copy")));
    assert!(get.status.success() && !String::from_utf8_lossy(&get.stderr).contains(&key), "{}", shown(&get));
    for secret in [name, "words nobody else has read", &key] {
        for farmer in &network.farmers {
            let found = Command::new("grep").args(["-r", "-l", "-a", "-F", secret]).arg(&farmer.dir).output().unwrap();
            assert!(found.stdout.is_empty(), "{secret:?} is in {}", String::from_utf8_lossy(&found.stdout));
        }
    }
    let public = put(&network, &[], &top);
    assert!(!public.is_empty());
    let found = |farmer: &crate::network::TestFarmer| {
        let grep = Command::new("grep").args(["-r", "-l", "-a", "-F", name]).arg(&farmer.dir).output().unwrap();
        !grep.stdout.is_empty()
    };
    assert!(network.farmers.iter().any(found), "what is public is found, so the search can find something");
}

#[test]
fn a_capability_is_sealed_for_one_reader() {
    let network = TestNetwork::start(2);
    let capability = put(&network, &["--private"], &network.file("file", 1000));
    let identity = age::x25519::Identity::generate();
    let to = identity.to_public().to_string();
    let sealed = output(network.dsn().args(["cap", "seal", &capability, "--to", &to]));
    assert!(sealed.stdout.starts_with(b"-----BEGIN AGE ENCRYPTED FILE-----"), "{}", shown(&sealed));
    assert_eq!(age::decrypt(&identity, &sealed.stdout).unwrap(), capability.as_bytes());
    refused(&output(network.dsn().args(["cap", "seal", &capability, "--to", "age1nobody"])), 2, "error: not an age");
    let cid = verified(&network, &capability);
    refused(&output(network.dsn().args(["cap", "seal", &cid, "--to", &to])), 2, "error: this is a CID");
}

#[test]
fn a_line_of_the_configuration_makes_puts_private() {
    let network = TestNetwork::start(2);
    let file = network.file("file", 5000);
    let done = output(network.dsn().env("DSN_PRIVATE", "true").arg("put").arg(&file));
    assert!(String::from_utf8_lossy(&done.stdout).starts_with("dsn:r1:"), "{}", shown(&done));
    let public = output(network.dsn().env("DSN_PRIVATE", "true").args(["put", "--public"]).arg(&file));
    assert!(String::from_utf8_lossy(&public.stdout).starts_with("bafib4i"), "{}", shown(&public));
    let json: serde_json::Value =
        serde_json::from_slice(&output(network.dsn().args(["--json", "put", "--private"]).arg(&file)).stdout).unwrap();
    assert_eq!(verified(&network, json["capability"].as_str().unwrap()), json["cid"].as_str().unwrap());
    refused(&output(network.dsn().args(["put", "--private", "--public"]).arg(&file)), 2, "--public");
}
