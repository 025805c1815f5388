//! Carrying files where there is no network, as a user does it: exported to sticks, the farmers gone, and imported from those
//! sticks alone; with too few pieces, with damaged ones, and with sticks that hold something else.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use crate::{
    MIB,
    folders::same as same_tree,
    network::{TestNetwork, dsn, output, same, shown},
    refused,
};

/// A computer that knows no network at all.
fn lonely(folder: &Path) -> Command {
    let mut command = dsn(&folder.join("elsewhere"));
    command.env("DSN_BOOTSTRAP", "/ip4/127.0.0.1/tcp/9");
    command
}

fn export(network: &TestNetwork, cid: &str, pieces: &str, stick: &str) -> PathBuf {
    let dir = network.path(stick);
    fs::create_dir_all(&dir).expect("writable");
    let done = output(network.dsn().args(["export", cid, "--pieces", pieces]).arg(&dir));
    assert!(done.status.success(), "{}", shown(&done));
    assert_eq!(String::from_utf8_lossy(&done.stdout).trim(), dir.join(cid).to_str().expect("UTF-8"));
    dir
}

/// The folders of the chunks that have more than one piece, in order.
fn chunk_folders(stick: &Path, cid: &str) -> Vec<PathBuf> {
    let folders = fs::read_dir(stick.join(cid)).expect("readable").map(|entry| entry.expect("readable").path());
    let mut folders: Vec<_> = folders.filter(|folder| fs::read_dir(folder).expect("readable").count() > 2).collect();
    folders.sort();
    folders
}

#[test]
fn any_sixteen_pieces_on_any_sticks_restore_a_file_without_a_network() {
    let mut network = TestNetwork::start(3);
    let file = network.file("film", 40 * MIB + 12_345);
    let cid = network.put(&file)["cid"].as_str().unwrap().to_owned();
    let sticks = ["0-15", "16-31", "0-7", "40-47", "32-46"].map(|pieces| export(&network, &cid, pieces, pieces));
    let [low, high, some, others, fifteen] = sticks.each_ref().map(PathBuf::as_path);
    let again = output(network.dsn().args(["--json", "export", &cid, "--pieces", "0-16"]).arg(low));
    let told: Value = serde_json::from_slice(&again.stdout).unwrap_or_else(|_| panic!("{}", shown(&again)));
    assert_eq!((&told["pieces"], &told["kept_pieces"], &told["indices"]), (&52.into(), &49.into(), &"0-16".into()));
    chunk_folders(low, &cid).iter().for_each(|folder| fs::remove_file(folder.join("16.piece")).unwrap());
    (0..3).for_each(|index| network.kill(index));

    let copy = network.path("copy");
    let import = |sticks: &[&Path]| {
        let _fresh = fs::remove_file(&copy);
        output(lonely(network.folder.path()).arg("import").args(sticks).arg("-o").arg(&copy))
    };
    for sticks in [&[low][..], &[high], &[some, others], &[low, high, some, fifteen], &[network.folder.path()]] {
        let done = import(sticks);
        assert!(done.status.success() && same(&file, &copy), "{sticks:?}: {}", shown(&done));
    }
    let kept = output(lonely(network.folder.path()).arg("import").arg(low).arg("-o").arg(&copy));
    refused(&kept, 2, "hint: choose another name with -o OUT");
    let piped = output(lonely(network.folder.path()).arg("import").arg(low).args(["-o", "-"]));
    assert!(piped.stdout == fs::read(&file).unwrap(), "{}", String::from_utf8_lossy(&piped.stderr));

    let done = import(&[fifteen]);
    refused(&done, 4, "chunk 2 of 3: 15 of 16 pieces are there (32-46), 1 more of 0-31,47 needed");
    assert!(String::from_utf8_lossy(&done.stderr).contains("--pieces 0-31,47 DIR"), "{}", shown(&done));
    assert!(!copy.exists() && !network.path("copy.dsn-part").exists(), "nothing was begun");
    refused(&import(&[some]), 4, "chunk 3 of 3: 8 of 16 pieces are there (0-7), 8 more");
    let empty = network.path("empty");
    fs::create_dir(&empty).unwrap();
    refused(&import(&[&empty]), 3, "error: there is no exported file or folder");
    refused(&import(&[&network.path("no such stick")]), 8, "error: cannot read");
}

#[test]
fn damaged_pieces_are_named_left_out_and_made_up_for_by_others() {
    let network = TestNetwork::start(3);
    let file = network.file("film", 20 * MIB);
    let cid = network.put(&file)["cid"].as_str().unwrap().to_owned();
    let stick = export(&network, &cid, "0-16", "stick");
    let copy = network.path("copy");
    let import = || {
        let _fresh = fs::remove_file(&copy);
        output(lonely(network.folder.path()).arg("import").arg(&stick).arg("-o").arg(&copy))
    };
    let folder = chunk_folders(&stick, &cid).remove(0);
    let flipped = folder.join("02.piece");
    let mut bytes = fs::read(&flipped).unwrap();
    bytes[5_000] ^= 0x10;
    fs::write(&flipped, bytes).unwrap();
    let done = import();
    assert!(done.status.success() && same(&file, &copy), "{}", shown(&done));
    let said = format!("damaged, and left out: {}\n", flipped.display());
    assert!(String::from_utf8_lossy(&done.stderr).contains(&said), "{}", shown(&done));

    fs::rename(folder.join("05.piece"), folder.join("30.piece")).unwrap();
    let done = import();
    refused(&done, 5, "15 of 16 pieces are there (0-1,3-4,6-16)");
    refused(&done, 5, "; damaged: 2,30");
    refused(&done, 5, &format!("left out: {}\n", folder.join("30.piece").display()));
    assert!(!copy.exists(), "nothing that looks complete");

    let healed = export(&network, &cid, "0-16", "stick");
    assert!(import().status.success() && same(&file, &copy), "an export mends {}", healed.display());
    let renamed = folder.with_file_name("f".repeat(64));
    fs::rename(&folder, &renamed).unwrap();
    refused(&import(), 4, "0 of 16 pieces are there (none), 16 more of 0-47 needed");
    fs::rename(&renamed, &folder).unwrap();
    fs::write(folder.join("descriptor"), "something else").unwrap();
    refused(&import(), 5, &format!("left out: {}\n", folder.join("descriptor").display()));
}

#[test]
fn folders_come_back_whole_and_file_by_file_and_several_are_told_apart() {
    let mut network = TestNetwork::start(3);
    let top = network.path("tree");
    fs::create_dir_all(top.join("deep/er")).unwrap();
    (0..40).for_each(|nth| fs::write(top.join(format!("deep/{nth}")), format!("file {nth}")).unwrap());
    fs::rename(network.file("large", 17 * MIB), top.join("deep/er/large")).unwrap();
    let folder = network.put(&top)["cid"].as_str().unwrap().to_owned();
    let small = network.path("small");
    fs::write(&small, "inline\n").unwrap();
    let small = network.put(&small)["cid"].as_str().unwrap().to_owned();
    let (a, b) = (export(&network, &folder, "3-12", "a"), export(&network, &folder, "20-25", "b"));
    export(&network, &small, "47", "b");
    (0..3).for_each(|index| network.kill(index));

    let copy = network.path("copy");
    let import = |args: &[&str]| output(lonely(network.folder.path()).arg("import").args([&a, &b]).args(args));
    let done = import(&[]);
    refused(&done, 2, "hint: say which one with --cid CID");
    refused(&done, 2, &format!("caused by: {folder}\n"));
    let done = import(&["--cid", &folder, "-o", copy.to_str().unwrap()]);
    assert!(done.status.success() && same_tree(&top, &copy), "{}", shown(&done));
    let one = network.path("one");
    let done = import(&["--cid", &format!("{folder}/deep/er/large"), "-o", one.to_str().unwrap()]);
    assert!(done.status.success() && same(&top.join("deep/er/large"), &one), "{}", shown(&done));
    assert_eq!(import(&["--cid", &small, "-o", "-"]).stdout, b"inline\n");
    let alone = output(lonely(network.folder.path()).arg("import").arg(&a).arg("-o").arg(network.path("no")));
    refused(&alone, 4, "10 of 16 pieces are there (3-12), 6 more");
    refused(&import(&["--cid", &format!("{folder}/none")]), 3, "error: the folder has no none");
}

#[test]
fn what_is_sealed_comes_off_a_stick_with_its_capability_and_not_without() {
    let mut network = TestNetwork::start(2);
    let top = network.path("diary");
    fs::create_dir(&top).unwrap();
    fs::write(top.join("short"), "nobody else's business").unwrap();
    fs::copy(network.file("made", 300_000), top.join("long")).unwrap();
    let put = output(network.dsn().args(["put", "--private"]).arg(&top));
    assert!(put.status.success(), "{}", shown(&put));
    let capability = String::from_utf8(put.stdout).unwrap().trim().to_owned();
    let cid = String::from_utf8(output(network.dsn().args(["cap", "verify", &capability])).stdout).unwrap();
    let stick = export(&network, cid.trim(), "0-15", "stick");
    (0..2).for_each(|index| network.kill(index));

    let copy = network.path("copy");
    let import =
        |more: &[&str]| output(lonely(network.folder.path()).arg("import").arg(&stick).args(more).arg("-o").arg(&copy));
    refused(&import(&[]), 6, "error: it is sealed");
    assert!(!copy.exists());
    let done = import(&["--cid", &capability]);
    assert!(done.status.success() && same_tree(&top, &copy), "{}", shown(&done));
    fs::remove_dir_all(&copy).unwrap();
    let done = import(&["--cid", &format!("{capability}/short")]);
    assert!(done.status.success() && fs::read(&copy).unwrap() == b"nobody else's business", "{}", shown(&done));
}

#[test]
fn a_chunk_that_comes_twice_is_exported_once_and_a_lost_one_is_named_by_its_place() {
    let mut network = TestNetwork::start(2);
    let file = network.path("zeros and a tail");
    fs::write(&file, [vec![0; 32 * MIB], b"tail".to_vec()].concat()).unwrap();
    let cid = network.put(&file)["cid"].as_str().unwrap().to_owned();
    let stick = export(&network, &cid, "0-15", "stick");
    assert_eq!(fs::read_dir(stick.join(&cid)).unwrap().count(), 3, "the root chunk, the zeros, the tail");
    let copy = network.path("copy");
    (0..2).for_each(|index| network.kill(index));
    let import = || output(lonely(network.folder.path()).arg("import").arg(&stick).arg("-o").arg(&copy));
    let done = import();
    assert!(done.status.success() && same(&file, &copy), "{}", shown(&done));
    fs::remove_file(&copy).unwrap();
    let tail = |folder: &PathBuf| fs::metadata(folder.join("00.piece")).unwrap().len() == 64;
    let tail = chunk_folders(&stick, &cid).into_iter().find(tail).expect("a chunk of few bytes");
    fs::remove_file(tail.join("09.piece")).unwrap();
    refused(&import(), 4, "chunk 3 of 3: 15 of 16 pieces are there (0-8,10-15), 1 more of 9,16-47 needed");
}

#[test]
fn what_cannot_be_exported_is_said() {
    let network = TestNetwork::start(2);
    let cid = network.put(&network.file("x", 70_000))["cid"].as_str().unwrap().to_owned();
    let stick = network.path("stick");
    refused(&output(network.dsn().args(["export", &cid]).arg(&stick)), 8, "such as where a stick is mounted");
    assert!(!stick.exists(), "a stick that is not there is not made");
    fs::create_dir(&stick).unwrap();
    let with = |pieces: &str| output(network.dsn().args(["export", &cid, "--pieces", pieces]).arg(&stick));
    refused(&with("0-48"), 2, "error: \"0-48\" is no set of pieces: numbers from 0 to 47");
    let few = with("9");
    assert!(String::from_utf8_lossy(&few.stderr).contains("it takes 15 other pieces"), "{}", shown(&few));
}
