//! The tests are tested: bugs planted on purpose, each of which the simulation has to find by a broken promise.
//!
//! `cargo test -p dsn-sim --features canary --test canaries -- --nocapture` begins with the seed that is known to find each
//! bug. `DSN_CANARY_SEARCH=500` begins with seed 0 instead and plays so many; `DSN_CANARY_BUG=Name` plays one bug.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use dsn_core::canary::{Bug, plant};
use dsn_sim::{EndureOptions, ScenarioOptions, Trial, Violation, endure, run, run_scenario, try_out};

/// What is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Play {
    /// Files are put while farmers fail, then read.
    Minutes,
    /// A network lives for a month.
    Month,
    /// One thing goes wrong.
    Trial(Trial),
}

/// Each bug with what finds it.
const KNOWN: [(Bug, Play, u64); 31] = [
    (Bug::ReceiptBeforeWrite, Play::Minutes, 0),
    (Bug::NoSync, Play::Minutes, 6),
    (Bug::GetUnchecked, Play::Minutes, 1),
    (Bug::LateUnchecked, Play::Minutes, 115),
    (Bug::ParityUnchecked, Play::Minutes, 15),
    (Bug::OtherLocator, Play::Minutes, 4),
    (Bug::StopsAtWrong, Play::Minutes, 1),
    (Bug::OneCustodian, Play::Minutes, 9),
    (Bug::LostIsConfirmed, Play::Minutes, 9),
    (Bug::PublishNotKept, Play::Minutes, 0),
    (Bug::MergeForgets, Play::Month, 4),
    (Bug::CommitNotBound, Play::Month, 4),
    (Bug::LeasesIgnored, Play::Month, 4),
    (Bug::TrashForgotten, Play::Month, 4),
    (Bug::TrashForEver, Play::Month, 0),
    (Bug::SilentForEver, Play::Month, 1),
    (Bug::RootsUnrepaired, Play::Month, 1),
    (Bug::RepairLate, Play::Month, 1),
    (Bug::RenewIgnored, Play::Month, 2),
    (Bug::HealNever, Play::Month, 0),
    (Bug::HandoverOff, Play::Month, 2),
    (Bug::GraceZero, Play::Trial(Trial::Absence), 5),
    (Bug::ReturnIgnored, Play::Trial(Trial::Absence), 1),
    (Bug::BrakeOff, Play::Trial(Trial::Outage), 0),
    (Bug::IntentForEver, Play::Trial(Trial::Departure), 0),
    (Bug::RepairUnpublished, Play::Trial(Trial::Departure), 0),
    (Bug::InventorySkipped, Play::Trial(Trial::Wipe), 0),
    (Bug::AuditAnyBytes, Play::Trial(Trial::Liar), 2),
    (Bug::DomainsIgnored, Play::Trial(Trial::Sites), 0),
    (Bug::AuditAbsence, Play::Trial(Trial::Liar), 0),
    (Bug::IntentsUnbounded, Play::Trial(Trial::Flood), 0),
];

/// Seeds that are played when the known one finds nothing: the code has changed, and stories with it.
const BESIDES: u64 = 20;

fn play(play: Play, seed: u64) -> Vec<Violation> {
    match play {
        Play::Minutes => run(run_scenario(seed, ScenarioOptions::usual(seed))).violations,
        Play::Month => run(endure(seed, EndureOptions::usual(seed))).violations,
        Play::Trial(trial) => run(try_out(trial, seed)),
    }
}

/// A line of the table; an error when nothing was found.
fn hunt(bug: Bug, what: Play, seeds: impl Iterator<Item = u64>) -> Result<String, String> {
    plant(Some(bug));
    let mut played = 0;
    for seed in seeds {
        played += 1;
        if let Some(violation) = play(what, seed).first() {
            let violation = format!("{violation:?}");
            let name = violation.split([' ', '{']).next().unwrap_or_default();
            return Ok(format!("| {bug:?} | {what:?} | {seed} | {name} |"));
        }
    }
    Err(format!("{bug:?}: {played} seeds of {what:?} find nothing"))
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

#[test]
fn every_planted_bug_is_found() {
    let wanted = std::env::var("DSN_CANARY_BUG").ok();
    let hunts: Vec<_> =
        KNOWN.into_iter().filter(|(bug, ..)| wanted.as_ref().is_none_or(|name| *name == format!("{bug:?}"))).collect();
    let search = number("DSN_CANARY_SEARCH");
    let next = AtomicUsize::new(0);
    let work = || {
        let mut lines = Vec::new();
        while let Some((bug, what, known)) = hunts.get(next.fetch_add(1, Ordering::Relaxed)) {
            let line = match search {
                Some(most) => hunt(*bug, *what, 0..most),
                None => hunt(*bug, *what, [*known].into_iter().chain(0..BESIDES)),
            };
            lines.push(line);
        }
        lines
    };
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let lines: Vec<Result<String, String>> = thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("no panic")).collect()
    });
    println!("| bug | scenario | seed | violation |\n|---|---|---|---|");
    lines.iter().flatten().for_each(|line| println!("{line}"));
    let missed: Vec<_> = lines.into_iter().filter_map(Result::err).collect();
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

/// What is found is found because of the bug: the same seeds find nothing without one.
#[test]
fn with_nothing_planted_the_known_seeds_find_nothing() {
    if std::env::var("DSN_CANARY_BUG").is_ok() {
        return;
    }
    plant(None);
    let mut seeds: Vec<(Play, u64)> = KNOWN.into_iter().map(|(_, what, seed)| (what, seed)).collect();
    seeds.sort_unstable_by_key(|(what, seed)| (format!("{what:?}"), *seed));
    seeds.dedup();
    for (what, seed) in seeds {
        let violations = play(what, seed);
        assert!(violations.is_empty(), "seed {seed} of {what:?}: {violations:?}");
    }
}
