//! The client and the farmers on virtual time: what `put` promises holds for every seed, whatever fails within the
//! promise. `DSN_SIM_SEEDS=1000..2000 cargo test --test sim` plays other seeds.

use std::{
    ops::Range,
    sync::{LazyLock, Mutex},
};

use dsn_client::{ClientOptions, Keep, NoProgress, PutOptions, input::MemoryInput};
use dsn_sim::{EndureOptions, FaultCounts, Link, Outcome, ScenarioOptions, World, endure, run, run_scenario};

fn seeds() -> Range<u64> {
    let Ok(text) = std::env::var("DSN_SIM_SEEDS") else { return 0..200 };
    let (from, to) = text.split_once("..").expect("DSN_SIM_SEEDS is FROM..TO");
    from.parse().expect("a number")..to.parse().expect("a number")
}

fn play(seed: u64) -> Outcome {
    run(run_scenario(seed, ScenarioOptions::usual(seed)))
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
        for fault in FaultCounts::WITHIN_MINUTES {
            assert!(faults.of(fault) > 0, "{fault:?} never happened");
        }
        assert!(puts > 9 * failed_puts, "{failed_puts} of {} puts failed", puts + failed_puts);
    }
}

/// `DSN_SIM_MONTHS=FROM..TO` plays these in place of the usual ones.
fn months(usual: Range<u64>) -> Range<u64> {
    let Ok(text) = std::env::var("DSN_SIM_MONTHS") else { return usual };
    let (from, to) = text.split_once("..").expect("DSN_SIM_MONTHS is FROM..TO");
    let (from, to): (u64, u64) = (from.parse().expect("a number"), to.parse().expect("a number"));
    // The two tests play a half each.
    let half = from + (to - from) / 2;
    if usual.start == 0 { from..half } else { half..to }
}

#[test]
fn what_was_put_outlives_its_farmers() {
    play_months(months(0..50));
}

/// The same for other seeds, beside it on another processor.
#[test]
fn what_was_put_outlives_its_farmers_too() {
    play_months(months(50..100));
}

/// Months played by both tests, and the faults in them: together they must have seen every kind.
static PLAYED: LazyLock<Mutex<(usize, FaultCounts)>> = LazyLock::new(Mutex::default);

#[expect(clippy::print_stdout, reason = "what was played, for those who look")]
fn play_months(seeds: Range<u64>) {
    let seeds_played = seeds.clone().count();
    let (mut faults, mut puts, mut gets, mut repairs) = (FaultCounts::default(), 0, 0, 0);
    let mut hash = blake3::Hasher::new();
    for seed in seeds {
        let outcome = run(endure(seed, EndureOptions::usual(seed)));
        assert!(
            outcome.violations.is_empty(),
            "seed {seed}: {:?}\nreplay: DSN_SIM_MONTHS={seed}..{} cargo test --test sim what_was_put",
            outcome.violations,
            seed + 1
        );
        hash.update(outcome.trace.as_bytes());
        faults.add(&outcome.faults);
        puts += outcome.puts;
        gets += outcome.gets;
        repairs += outcome.repairs;
    }
    println!("{puts} puts, {gets} gets, {repairs} chunks repaired; {faults:?}; traces {}", hash.finalize().to_hex());
    assert!(seeds_played < 40 || repairs > 40, "{repairs} chunks were repaired");
    let mut played = PLAYED.lock().expect("no panic while locked");
    played.0 += seeds_played;
    played.1.add(&faults);
    if played.0 >= 100 {
        let faults = &played.1;
        for fault in FaultCounts::WITHIN_MINUTES.into_iter().chain(FaultCounts::WITHIN_A_MONTH) {
            assert!(faults.of(fault) > 0, "{fault:?} never happened");
        }
    }
}

#[test]
fn the_same_month_gives_the_same_trace() {
    let (first, second) = (run(endure(7, EndureOptions::usual(7))), run(endure(7, EndureOptions::usual(7))));
    assert_eq!((first.trace, first.events), (second.trace, second.events));
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

/// A farmer that was away when a file was given up must not bring it back.
#[test]
fn a_newer_word_of_the_owner_counts_whoever_is_asked_first() {
    run(async {
        let mut world = World::new(1, 12, 1 << 30, Link::default());
        let client = world.client(ClientOptions::default());
        let mut input = MemoryInput::new(vec![7; 1000].into());
        let cid = client.put(&mut input, PutOptions::default(), &NoProgress).await.expect("nothing fails here").cid;
        let holders: Vec<_> =
            world.farmers().into_iter().filter(|node| world.on_disk(*node).iter().any(|(c, _)| *c == cid.0)).collect();
        let (last, others) = holders.split_last().expect("every farmer has a copy");
        world.crash(*last);
        // Of two words of one second the one that keeps the file counts.
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        client.keep_file(cid, Keep::NoLonger).await.expect("the others answer");
        world.restart(*last);
        assert_eq!(client.leases_of(cid.0, [*last]).await.len(), 1, "it has not heard of it");
        let asked = others[..3].iter().chain([last]).copied();
        assert!(client.leases_of(cid.0, asked).await.is_empty(), "given up is given up");
    });
}

/// Who holds a chunk that nobody knows the locator of cannot be told, and that is not passed over in silence.
#[test]
fn giving_up_a_file_counts_the_chunks_whose_holders_nobody_knows() {
    run(async {
        let world = World::new(1, 12, 1 << 30, Link::default());
        let client = world.client(ClientOptions::default());
        let mut input = MemoryInput::new((0..40_u32 << 18).flat_map(u32::to_be_bytes).collect::<Vec<_>>().into());
        let cid = client.put(&mut input, PutOptions::default(), &NoProgress).await.expect("nothing fails here").cid;
        let held = world.on_disk(world.farmers()[0]);
        let (data, _) = held.iter().find(|(chunk, _)| *chunk != cid.0).expect("every farmer has pieces of all");
        world.lose_locator(*data).await;
        let said = world.client(ClientOptions::default()).keep_file(cid, Keep::NoLonger).await.expect("all answer");
        assert_eq!((said.farmers, said.confirmed, said.chunks, said.unlocated), (12, 12, 4, 1));
    });
}
