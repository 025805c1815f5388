//! Many farmers that go and come back: what looks like a catastrophe for a moment is none, and nothing is moved for it.

use std::time::{Duration, Instant};

use crate::{MIB, network::TestNetwork, stat, status, until};

/// A day in earnest, for which everything else here takes minutes.
const GRACE: Duration = Duration::from_secs(24);

#[test]
fn more_than_half_of_the_farmers_start_again_and_nothing_is_repaired() {
    let mut network = TestNetwork::with(12, "10GiB", &[("DSN_ABSENT_GRACE", "24s")]);
    let files = ["one", "two", "three"].map(|name| network.file(name, 20 * MIB));
    let puts = files.each_ref().map(|file| network.put(file));
    let cids = puts.each_ref().map(|put| put["cid"].as_str().unwrap().to_owned());
    // Seven of twelve leave 15 pieces of 36: for a moment nothing can be read.
    let gone = Instant::now();
    (0..7).for_each(|index| network.kill(index));
    assert_eq!(stat(&network, &cids[0])["health"], "unavailable");
    for index in 0..7 {
        network.restart(index);
        std::thread::sleep(Duration::from_millis(500));
    }
    assert!(gone.elapsed() < GRACE, "too slow a machine for this test: {:?}", gone.elapsed());
    for (cid, put) in cids.iter().zip(&puts) {
        until("as safe as it was", || {
            let stat = stat(&network, cid);
            (stat["health"] == "healthy" && stat["may_vanish"] == put["may_vanish"], stat.to_string())
        });
    }
    // Past the grace of the first that went, nobody still counts them as gone.
    until("the grace is over", || (gone.elapsed() > GRACE + Duration::from_secs(4), String::new()));
    for farmer in &network.farmers {
        let status = status(&farmer.dir);
        assert_eq!((&status["repairs"], &status["repair_queue"]), (&0.into(), &0.into()), "{status}");
    }
    cids.iter().zip(&files).for_each(|(cid, file)| drop(network.get_same(cid, file)));
}
