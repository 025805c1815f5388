//! The client and the farmers on virtual time: what `put` promises holds for every seed, whatever fails within the
//! promise. `DSN_SIM_SEEDS=1000..2000 cargo test --test sim` plays other seeds.

use std::ops::Range;

use dsn_client::{ClientOptions, NoProgress, PutOptions, input::MemoryInput};
use dsn_sim::{FaultCounts, Link, Outcome, ScenarioOptions, World, run, run_scenario};

/// Every tenth seed plays in a network of a hundred.
fn options(seed: u64) -> ScenarioOptions {
    let farmers = if seed % 10 == 9 { 100 } else { 12 };
    ScenarioOptions { farmers, files: 3, max_file_bytes: if seed % 25 == 3 { 18 << 20 } else { 2 << 20 } }
}

fn seeds() -> Range<u64> {
    let Ok(text) = std::env::var("DSN_SIM_SEEDS") else { return 0..200 };
    let (from, to) = text.split_once("..").expect("DSN_SIM_SEEDS is FROM..TO");
    from.parse().expect("a number")..to.parse().expect("a number")
}

fn play(seed: u64) -> Outcome {
    run(run_scenario(seed, options(seed)))
}

#[test]
fn every_file_put_is_read_back_within_the_promise() {
    let (mut faults, mut puts, mut failed_puts, mut gets) = (FaultCounts::default(), 0, 0, 0);
    for seed in seeds() {
        let outcome = play(seed);
        assert!(
            outcome.violations.is_empty(),
            "seed {seed}: {:?}\nreplay: DSN_SIM_SEEDS={seed}..{} cargo test --test sim",
            outcome.violations,
            seed + 1
        );
        faults.add(&outcome.faults);
        puts += outcome.puts;
        failed_puts += outcome.failed_puts;
        gets += outcome.gets;
    }
    println!("{puts} puts, {failed_puts} failed puts, {gets} gets; {faults:?}");
    if seeds().count() >= 200 {
        for fault in FaultCounts::KINDS {
            assert!(faults.of(fault) > 0, "{fault:?} never happened");
        }
        assert!(puts > 9 * failed_puts, "{failed_puts} of {} puts failed", puts + failed_puts);
    }
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in [1, 9, 42] {
        let (first, second) = (play(seed), play(seed));
        assert_eq!((first.trace, first.events), (second.trace, second.events), "seed {seed}");
    }
    assert_ne!(play(1).trace, play(2).trace);
}

/// Chunks that are the same are offered in one message; each of them gets an answer.
#[test]
fn a_file_of_equal_chunks_can_be_put_and_put_again() {
    let puts = run(async {
        let world = World::new(1, 12, 1 << 30, Link::default());
        let mut puts = Vec::new();
        for _ in 0..2 {
            let mut zeros = MemoryInput::new(vec![0; 96 << 20].into());
            let client = world.client(ClientOptions::default());
            puts.push(client.put(&mut zeros, PutOptions::default(), &NoProgress).await.expect("nothing fails here"));
        }
        puts
    });
    assert_eq!((puts[0].cid, puts[1].wire_bytes), (puts[1].cid, 0));
}
