//! The client and the farmers on virtual time: what `put` promises holds for every seed, whatever fails within the
//! promise. `DSN_SIM_SEEDS=1000..2000 cargo test --test sim` plays other seeds.

#[path = "sim/folders.rs"]
mod folders;
#[path = "sim/sealed.rs"]
mod sealed;

use std::{
    collections::BTreeSet,
    ops::Range,
    sync::{LazyLock, Mutex},
    time::Duration,
};

use dsn_client::{ClientOptions, Keep, NoProgress, PutOptions, Safety, input::MemoryInput, output::MemoryOutput};
use dsn_core::{
    descriptor::Code,
    hash::ChunkId,
    limits::CUSTODIANS,
    node_id::{Places, Position},
    redundancy::{Class, target},
};
use dsn_farmer::UpkeepOptions;
use dsn_sim::{
    EndureOptions, FaultCounts, Link, Outcome, ScenarioOptions, Trial, World, endure, run, run_scenario, try_out,
};
use tokio::time::sleep;

/// A fifth of a month goes by in allocations.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What the variable says, as FROM..TO.
fn range(variable: &str, usual: Range<u64>) -> Range<u64> {
    let Ok(text) = std::env::var(variable) else { return usual };
    let (from, to) = text.split_once("..").unwrap_or_else(|| panic!("{variable} is FROM..TO"));
    from.parse().expect("a number")..to.parse().expect("a number")
}

fn play(seed: u64) -> Outcome {
    run(run_scenario(seed, ScenarioOptions::usual(seed)))
}

#[test]
fn every_file_put_is_read_back_within_the_promise() {
    let (mut faults, mut puts, mut failed_puts, mut gets) = (FaultCounts::default(), 0, 0, 0);
    for seed in range("DSN_SIM_SEEDS", 0..200) {
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
    if range("DSN_SIM_SEEDS", 0..200).count() >= 200 {
        for fault in FaultCounts::WITHIN_MINUTES {
            assert!(faults.of(fault) > 0, "{fault:?} never happened");
        }
        assert!(puts > 9 * failed_puts, "{failed_puts} of {} puts failed", puts + failed_puts);
    }
}

/// `DSN_SIM_MONTHS=FROM..TO` plays these in place of the usual ones. The two tests play a half each.
fn months() -> (Range<u64>, Range<u64>) {
    let Range { start, end } = range("DSN_SIM_MONTHS", 0..100);
    let half = start + (end - start) / 2;
    (start..half, half..end)
}

#[test]
fn what_was_put_outlives_its_farmers() {
    play_months(months().0);
}

/// The same for other seeds, beside it on another processor.
#[test]
fn what_was_put_outlives_its_farmers_too() {
    play_months(months().1);
}

/// Months played by both tests, and the faults in them: together they must have seen every kind.
static PLAYED: LazyLock<Mutex<(usize, FaultCounts)>> = LazyLock::new(Mutex::default);

#[expect(clippy::print_stdout, reason = "what was played, for those who look")]
fn play_months(seeds: Range<u64>) {
    if let Ok(filter) = std::env::var("DSN_LOG") {
        let _ = tracing_subscriber::fmt().with_env_filter(filter).without_time().try_init();
    }
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
    assert!(seeds_played < 40 || repairs > 20, "{repairs} chunks were repaired");
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

/// One thing goes wrong at a time. `DSN_SIM_TRIALS=FROM..TO` plays other seeds.
#[test]
fn what_goes_wrong_alone_is_made_good_in_time_and_nothing_is_done_in_haste() {
    for seed in range("DSN_SIM_TRIALS", 0..8) {
        for trial in Trial::ALL {
            let violations = run(try_out(trial, seed));
            assert!(violations.is_empty(), "seed {seed}, {trial:?}: {violations:?}");
        }
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
        sleep(Duration::from_secs(2)).await;
        client.keep_file(cid, Keep::NoLonger).await.expect("the others answer");
        world.restart(*last);
        assert_eq!(client.leases_of(cid.0, Vec::new(), [*last]).await.len(), 1, "it has not heard of it");
        let asked = others[..3].iter().chain([last]).copied();
        assert!(client.leases_of(cid.0, Vec::new(), asked).await.is_empty(), "given up is given up");
    });
}

/// From ten farmers to a hundred, one every few hours. Whoever is a custodian in the end keeps the locator, and no piece
/// has moved.
#[test]
fn a_network_that_grows_tenfold_finds_every_chunk_and_moves_no_piece() {
    const HOURS: u64 = 3600;
    run(async {
        let upkeep = UpkeepOptions { probe_every_secs: 2 * HOURS, ..UpkeepOptions::default() };
        let mut world = World::with_upkeep(7, 10, 1 << 30, Link::default(), upkeep);
        let first = world.farmers();
        let client = world.client(ClientOptions::default());
        let mut files = Vec::new();
        for n in 0..8_u8 {
            let bytes: bytes::Bytes = (0..50_000 * u32::from(n)).map(|i| i.to_le_bytes()[0] ^ n).collect();
            let put = client.put(&mut MemoryInput::new(bytes.clone()), PutOptions::default(), &NoProgress).await;
            files.push((put.expect("nothing fails here").cid, bytes));
        }
        let held = |world: &World| first.iter().map(|node| world.on_disk(*node)).collect::<Vec<_>>();
        let held_first = held(&world);
        for n in 1..=90_usize {
            let joined = world.add_farmer(1 << 30);
            sleep(Duration::from_secs(3 * HOURS)).await;
            let (cid, bytes) = &files[n % files.len()];
            let mut output = MemoryOutput::default();
            let got = world.client(ClientOptions::default()).get(*cid, &mut output, &NoProgress).await;
            assert!(got.is_ok() && output.bytes == bytes[..], "{n} farmers joined, last {joined}: {got:?}");
        }
        assert!(held(&world) == held_first, "the pieces are where they were");
        let farmers = world.farmers();
        let moved = farmers.iter().filter(|node| !first.contains(node) && !world.on_disk(**node).is_empty()).count();
        assert_eq!(moved, 0, "newcomers with pieces");
        let places = Places::new(farmers.iter().copied());
        let chunks: BTreeSet<ChunkId> = held_first.iter().flatten().map(|(chunk, _)| *chunk).collect();
        assert!(chunks.len() > files.len(), "{} chunks", chunks.len());
        for chunk in chunks {
            for custodian in places.closest(Position::from(&chunk), CUSTODIANS) {
                let keeps = world.locators_of(custodian).iter().any(|locator| locator.chunk() == chunk);
                assert!(keeps, "{custodian} does not keep the locator of {chunk}");
            }
        }
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

/// A farmer that was away when a file was given up must neither keep it for ever nor bring it back with others. The owner
/// does not say it twice.
#[test]
fn a_holder_that_missed_that_a_file_was_given_up_hears_it_from_the_others() {
    run(async {
        let mut world = World::new(1, 12, 1 << 30, Link::default());
        let client = world.client(ClientOptions::default());
        let mut input = MemoryInput::new(vec![7; 1000].into());
        let cid = client.put(&mut input, PutOptions::default(), &NoProgress).await.expect("nothing fails here").cid;
        let away = world.farmers()[3];
        world.crash(away);
        sleep(Duration::from_secs(2)).await;
        client.keep_file(cid, Keep::NoLonger).await.expect("the others answer");
        sleep(Duration::from_secs(24 * 3600)).await;
        world.restart(away);
        sleep(Duration::from_secs(10 * 24 * 3600)).await;
        for node in world.farmers() {
            assert!(world.listed(node).is_empty(), "{node} still holds it");
        }
    });
}

/// The owner repeats that a file is given up; a farmer whose clock is slow must not begin its time in the trash anew with
/// each word.
#[test]
fn a_slow_clock_does_not_keep_what_is_given_up_day_after_day() {
    run(async {
        let mut world = World::new(1, 12, 1 << 30, Link::default());
        let slow = world.farmers()[3];
        world.skew(slow, -3000);
        let client = world.client(ClientOptions::default());
        let mut input = MemoryInput::new(vec![7; 1000].into());
        let cid = client.put(&mut input, PutOptions::default(), &NoProgress).await.expect("nothing fails here").cid;
        for _ in 0..10 {
            sleep(Duration::from_secs(24 * 3600)).await;
            // In the end nobody has the file any more from whom it could be read.
            let _said = client.keep_file(cid, Keep::NoLonger).await;
        }
        assert!(world.listed(slow).is_empty(), "its clock is slow, and it still holds it");
    });
}

/// Nobody else's receipt says how safe the file was to be.
#[test]
fn a_drained_farmer_that_alone_holds_a_file_hands_it_on_at_its_redundancy() {
    run(async {
        let mut world = World::new(1, 1, 1 << 30, Link::default());
        let alone = world.farmers()[0];
        let client = world.client(ClientOptions::default());
        let put = PutOptions { class: Class::High, safety: Safety::Waived, ..PutOptions::default() };
        client.put(&mut MemoryInput::new(vec![7; 1000].into()), put, &NoProgress).await.expect("nothing fails here");
        for _ in 0..50 {
            world.add_farmer(1 << 30);
        }
        world.drain(alone);
        sleep(Duration::from_secs(3600)).await;
        let others = world.farmers().into_iter().filter(|node| *node != alone);
        let copies = others.filter(|node| !world.on_disk(*node).is_empty()).count();
        assert_eq!(copies, target(Code::Rep, Class::High, 50).place);
    });
}
