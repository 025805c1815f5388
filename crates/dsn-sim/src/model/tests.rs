//! The model against the formulas, the design's table, and itself.

use super::*;

fn play(options: ModelOptions) -> ModelReport {
    play_model(options).unwrap()
}

/// Few spare pieces, lives of days, no outages, more uplink than needed: what the formulas are about, only worse.
fn hard_times(mttf_days: f64) -> ModelOptions {
    ModelOptions {
        nodes: 5000,
        mttf_days,
        years: mttf_days / 200.0,
        class: Class::Low,
        chunks: 800,
        uplink_mbits: 10_000,
        outages: false,
        ..ModelOptions::default()
    }
}

/// Losses for each chunk and year while it lives.
fn hazard(lost_part: f64, years: f64) -> f64 {
    -(1.0 - lost_part).ln() / years
}

fn hazard_of(report: &ModelReport) -> f64 {
    let ModelOptions { chunks, years, .. } = report.options;
    assert!(report.tally.lost_chunks >= 30, "too few to count: {}", report.tally.lost_chunks);
    hazard(float(report.tally.lost_chunks) / f64::from(chunks), years)
}

/// Where a repair takes an exponential time from the moment of the loss on, the model is the formula's chain.
#[test]
fn at_the_formulas_pace_the_losses_are_the_formulas() {
    for mttf_days in [10.0, 20.0] {
        let report = play_at(hard_times(mttf_days), Pace::Formula { mean_days: 1.0 }).unwrap();
        let churn = Churn { mttf_days, repair_days: 1.0 };
        let ratio = hazard_of(&report) / hazard(yearly_loss_with(CODE, report.target, churn), 1.0);
        assert!((0.8..1.25).contains(&ratio), "MTTF {mttf_days} days: {ratio} times the formula");
    }
}

/// A grace is no exponential time but always a day, in which five of twenty farmers rarely end. So less is lost than the
/// formula says, the more so the less churn there is; what a fixed delay gives can be worked out too.
#[test]
fn at_the_real_pace_the_formula_is_on_the_safe_side() {
    for mttf_days in [8.0, 16.0] {
        let report = play(hard_times(mttf_days));
        let lost = hazard_of(&report);
        let formula = hazard(report.estimated_loss, 1.0);
        let delay = fixed_delay(&report);
        assert!(lost < formula, "MTTF {mttf_days} days: {lost} a year, the formula says {formula}");
        assert!(
            (0.5..2.0).contains(&(lost / delay)),
            "MTTF {mttf_days} days: {lost} a year, a fixed delay gives {delay}"
        );
    }
}

fn pieces(n: usize) -> f64 {
    float(n.try_into().unwrap())
}

/// Losses a year when each repair takes exactly the measured time: the chance that more than r - k of the r holders end
/// in it, once a cycle.
fn fixed_delay(report: &ModelReport) -> f64 {
    let (target, mttf, delay) = (report.target, report.options.mttf_days, report.repair_days);
    let ends = 1.0 - (-delay / mttf).exp();
    let (r, spare) = (target.repair_at, target.repair_at - CODE.needed());
    let mut exactly = (1.0 - ends).powi(i32::try_from(r).unwrap());
    let mut survives = exactly;
    for n in 1..=spare {
        exactly *= ends / (1.0 - ends) * pieces(r + 1 - n) / pieces(n);
        survives += exactly;
    }
    let to_threshold: f64 = (r + 1..=target.place).map(|j| mttf / pieces(j)).sum();
    (1.0 - survives) * YEAR_DAYS / (to_threshold + delay)
}

#[test]
fn repair_moves_what_lazy_repair_should() {
    for (class, mttf_days, outages) in [
        (Class::Low, 100.0, true),
        (Class::Normal, 100.0, true),
        (Class::Normal, 100.0, false),
        (Class::Normal, 365.25, true),
        (Class::High, 200.0, true),
    ] {
        let options = ModelOptions { class, mttf_days, outages, years: 3.0, chunks: 200, ..ModelOptions::default() };
        let report = play(options);
        let ratio = report.traffic() / report.expected_traffic();
        let foreseen = float(report.tally.repairs) / options.expected_repairs();
        assert!((0.6..1.5).contains(&foreseen), "{options:?}: {foreseen} times the repairs expected");
        assert!((0.6..1.5).contains(&ratio), "{options:?}: {ratio} times (k/(t-r)+1) x churn");
    }
}

#[test]
fn the_same_seed_gives_the_same_story() {
    let options = ModelOptions { nodes: 200, mttf_days: 30.0, chunks: 300, class: Class::Low, ..Default::default() };
    let first = play(options);
    assert_eq!(play(options), first);
    assert_ne!(play(ModelOptions { seed: 2, ..options }).tally, first.tally);
}

/// Farmers, pieces placed, repaired at, how many may vanish.
#[test]
fn the_designs_table() {
    for (nodes, place, repair_at, may_vanish) in
        [(3, 48, 32, 2), (6, 36, 26, 3), (12, 36, 26, 6), (30, 40, 28, 14), (100, 40, 28, 24)]
    {
        let report = play(ModelOptions { nodes, chunks: 500, years: 2.0, ..ModelOptions::default() });
        let found = (report.target.place, report.target.repair_at, report.may_vanish);
        assert_eq!(report.file_may_vanish(), may_vanish.min(11));
        assert_eq!(found, (place, repair_at, may_vanish), "{nodes} farmers");
    }
}

#[test]
fn every_end_is_noticed_and_every_farmer_replaced() {
    let report = play(ModelOptions { nodes: 2000, chunks: 500, mttf_days: 100.0, ..ModelOptions::default() });
    let expected = 2000.0 * YEAR_DAYS / 100.0;
    assert!((float(report.tally.ends) / expected - 1.0).abs() < 0.05, "{:?}", report.tally);
    // 0.8 absences of more than a day a year.
    assert!((1_200..1_700).contains(&report.tally.absences), "{:?}", report.tally);
    assert!((0.9..1.2).contains(&report.repair_days), "{}", report.repair_days);
}

/// All chunks of a small network want repair at once, and the uplinks decide how long that takes.
#[test]
fn a_small_uplink_makes_repair_slow() {
    let options = ModelOptions { nodes: 12, chunks: 2000, years: 2.0, mttf_days: 200.0, ..ModelOptions::default() };
    let (slow, fast) =
        (play(ModelOptions { uplink_mbits: 1, ..options }), play(ModelOptions { uplink_mbits: 1000, ..options }));
    assert!(slow.repair_days > 1.3 * fast.repair_days, "{} and {} days", slow.repair_days, fast.repair_days);
    assert!(fast.repair_days < 1.5);
}

#[test]
fn when_nothing_is_lost_the_estimate_is_told_and_else_the_count() {
    let calm = play(ModelOptions { chunks: 100, ..ModelOptions::default() });
    assert_eq!(calm.tally.lost_chunks, 0);
    assert_eq!(format!("{:.0e}", calm.loss_per_chunk_year()), "1e-16");
    let hard = play(hard_times(15.0));
    assert_eq!(hard.loss_per_chunk_year(), float(hard.tally.lost_chunks) / 800.0 / hard.options.years);
    let still = play(ModelOptions { chunks: 1, mttf_days: 3e6, ..ModelOptions::default() });
    assert!(!still.repair_was_seen && (1.0..1.1).contains(&still.repair_days), "{still:?}");
}

#[test]
fn nonsense_is_refused() {
    let usual = ModelOptions::default();
    for nodes in [0, 1] {
        assert_eq!(play_model(ModelOptions { nodes, ..usual }), Err(ModelError::TooFewNodes { nodes }));
    }
    for options in [
        ModelOptions { nodes: NODES_MAX + 1, ..usual },
        ModelOptions { chunks: 0, ..usual },
        ModelOptions { chunks: MODEL_CHUNKS_MAX + 1, ..usual },
        ModelOptions { mttf_days: 0.0, ..usual },
        ModelOptions { mttf_days: -5.0, ..usual },
        ModelOptions { mttf_days: f64::NAN, ..usual },
        ModelOptions { mttf_days: f64::INFINITY, ..usual },
        ModelOptions { years: 0.0, ..usual },
        ModelOptions { years: 1e9, ..usual },
        ModelOptions { uplink_mbits: 0, ..usual },
    ] {
        assert!(matches!(play_model(options), Err(ModelError::OutOfRange { .. })), "{options:?}");
    }
    let endless = ModelOptions { nodes: NODES_MAX, mttf_days: 1.0, years: 1000.0, ..usual };
    assert!(matches!(play_model(endless), Err(ModelError::TooLong { .. })));
}
