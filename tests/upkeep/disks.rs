//! Disks that are not what they were: an empty one, an old copy, one that rots. The others notice or the farmer does, and
//! what is missing is made good.

use std::{fs, path::Path};

use crate::{
    MIB, folder, json,
    network::{TestNetwork, dsn, output, shown},
    stat, status, until,
};

/// Kills a farmer, does something to its store, starts it again, and waits until it is back among the others.
fn struck(network: &mut TestNetwork, index: usize, strike: impl FnOnce(&Path)) {
    network.kill(index);
    strike(&network.farmers[index].dir.join("store"));
    network.restart(index);
    let others = network.farmers.len() - 1;
    until("it has met the others", || {
        let peers = status(&network.farmers[index].dir)["peers"].clone();
        (peers == others, format!("{peers} peers"))
    });
}

/// Waits until a file bears as many losses as when it was put.
fn until_whole(network: &TestNetwork, cid: &str, vanish: u64) {
    until("its pieces are placed anew", || {
        let stat = stat(network, cid);
        (stat["may_vanish"] == vanish && stat["health"] == "healthy", stat.to_string())
    });
}

#[test]
fn an_emptied_disk_under_an_old_identity_is_noticed_and_made_good() {
    let mut network = TestNetwork::with(6, "10GiB", &[("DSN_ABSENT_GRACE", "24s")]);
    let file = network.file("file", 5 * MIB);
    let put = network.put(&file);
    let cid = put["cid"].as_str().unwrap().to_owned();
    assert_eq!(stat(&network, &cid)["may_vanish"], 3);
    // Two of six: 24 of 36 pieces are left, below what repair waits for; they are back at once, with nothing.
    for index in 0..2 {
        struck(&mut network, index, |store| fs::remove_dir_all(store).unwrap());
    }
    until_whole(&network, &cid, 3);
    network.get_same(&cid, &file);
}

#[test]
fn an_old_backup_put_back_is_noticed_and_made_good() {
    let settings = [("DSN_ABSENT_GRACE", "24s"), ("DSN_TRASH", "1s")];
    let mut network = TestNetwork::with(6, "10GiB", &settings);
    let [early, late, unwanted] = ["early", "late", "unwanted"].map(|name| network.file(name, 5 * MIB));
    let put = |network: &TestNetwork, file: &Path| network.put(file)["cid"].as_str().unwrap().to_owned();
    let (of_early, of_unwanted) = (put(&network, &early), put(&network, &unwanted));
    let backup = |network: &TestNetwork, index: usize| network.path(&format!("backup-{index}"));
    for index in 0..2 {
        let to = backup(&network, index);
        struck(&mut network, index, |store| folder::copy(store, &to));
    }
    let of_late = put(&network, &late);
    assert_eq!(stat(&network, &of_late)["may_vanish"], 3);
    assert!(output(network.dsn().args(["rm", &of_unwanted])).status.success());
    until("what nobody wants is deleted", || {
        let done = output(network.dsn().args(["stat", &of_unwanted]));
        (!done.status.success(), shown(&done))
    });
    // Two of six have what they had before: 24 of 36 pieces of the late file are left.
    for index in 0..2 {
        let from = backup(&network, index);
        struck(&mut network, index, |store| {
            fs::remove_dir_all(store).unwrap();
            folder::copy(&from, store);
        });
    }
    until_whole(&network, &of_late, 3);
    (2..5).for_each(|index| network.kill(index));
    network.get_same(&of_late, &late);
    network.get_same(&of_early, &early);
    // The copies brought back a third of what had been given up; that is too little to bring it back to life.
    let gone = output(network.dsn().args(["get", &of_unwanted, "-o"]).arg(network.path("gone")));
    assert!([Some(3), Some(4)].contains(&gone.status.code()), "{}", shown(&gone));
}

/// Flips a byte in each of a few places of the largest of a store's files of pieces.
fn rot(store: &Path) {
    let files = fs::read_dir(store.join("db")).expect("readable").map(|entry| entry.expect("readable").path());
    let files = files.filter(|path| path.extension().is_some_and(|extension| extension == "blob"));
    let largest = files.max_by_key(|path| fs::metadata(path).expect("readable").len()).expect("a file of pieces");
    let mut bytes = fs::read(&largest).expect("readable");
    let len = bytes.len();
    [1, 3, 5].into_iter().for_each(|sixth| bytes[len / 6 * sixth] ^= 0x10);
    fs::write(largest, bytes).expect("writable");
}

#[test]
fn rotten_pieces_are_found_by_the_scrub_healed_and_counted() {
    let settings = [("DSN_ABSENT_GRACE", "60s"), ("DSN_SCRUB", "4s")];
    let mut network = TestNetwork::with(5, "10GiB", &settings);
    let file = network.file("file", 40 * MIB);
    let put = network.put(&file);
    let cid = put["cid"].as_str().unwrap().to_owned();
    // Once more, so that what was in its log is in files.
    struck(&mut network, 0, |_| {});
    let pieces = status(&network.farmers[0].dir)["pieces"].clone();
    struck(&mut network, 0, rot);
    let dir = network.farmers[0].dir.clone();
    until("three pieces are found and healed", || {
        let status = status(&dir);
        (status["damaged_pieces"] == 3 && status["healed_pieces"] == 3, status.to_string())
    });
    assert_eq!(status(&dir)["pieces"], pieces, "as many as before");
    let table = output(dsn(&dir).arg("status"));
    let says = "damaged       3 pieces since the start, 3 healed";
    assert!(String::from_utf8_lossy(&table.stdout).contains(says), "{}", shown(&table));
    let exact = json(&output(dsn(&dir).args(["status", "--json", "--verify-space"])));
    assert_eq!(exact["space_exact"], true, "{exact}");
    assert_eq!(stat(&network, &cid)["may_vanish"], put["may_vanish"]);
    network.get_same(&cid, &file);
    // What was healed is on the disk: a new start finds nothing wrong.
    struck(&mut network, 0, |_| {});
    until("all of it was read again", || {
        let status = status(&dir);
        (status["scrubbed_pieces"].as_u64() >= pieces.as_u64(), status.to_string())
    });
    assert_eq!(status(&dir)["damaged_pieces"], 0);
}
