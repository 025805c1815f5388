//! What the model draws: lifetimes, outages, who is out for an hour or two. Everything from one seeded generator, in
//! whole seconds, so that the same seed gives the same story.

use dsn_core::durability::YEAR_DAYS;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Hours for which half of the outages last longer: a reboot, an update, a lost line.
pub(super) const OUTAGE_MEDIAN_HOURS: f64 = 2.0;

/// Days between two outages of a farmer on average.
pub(super) const SESSION_DAYS: f64 = 3.0;

/// Spread of the logarithm of an outage: one in 150 is longer than a day.
const OUTAGE_SIGMA: f64 = 1.0;

/// The part of the outages that are longer than [`LONG_SECS`]: 1 - Φ(ln(24 / 2) / 1).
const LONG_SHARE: f64 = 0.006_48;

/// An outage longer than this is played; shorter ones are drawn when it matters who answers.
pub(super) const LONG_SECS: u64 = 24 * 3600;

/// Seconds for which a farmer that is out for a short while stays so: the median.
const SHORT_SECS: u64 = 2 * 3600;

/// Days as seconds.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "to the second, of times below 10^6 years")]
pub(super) fn days_to_secs(days: f64) -> u64 {
    (days * 86_400.0) as u64
}

/// Seconds as days.
pub(super) fn secs_to_days(secs: f64) -> f64 {
    secs / 86_400.0
}

/// A count, to 53 bits.
#[expect(clippy::cast_precision_loss, reason = "counts and seconds below 2^53")]
pub(super) fn float(count: u64) -> f64 {
    count as f64
}

/// Seconds of so many years.
pub(super) fn years_to_secs(years: f64) -> u64 {
    days_to_secs(years * YEAR_DAYS)
}

/// Days drawn from an exponential distribution.
pub(super) fn exponential_days(rng: &mut ChaCha8Rng, mean_days: f64) -> f64 {
    -(1.0 - rng.random::<f64>()).ln() * mean_days
}

/// Seconds until a farmer's next long outage.
pub(super) fn secs_to_long_outage(rng: &mut ChaCha8Rng) -> u64 {
    let cycle_days = SESSION_DAYS + mean_outage_days();
    days_to_secs(exponential_days(rng, cycle_days / LONG_SHARE))
}

/// Seconds that a long outage lasts.
pub(super) fn long_outage_secs(rng: &mut ChaCha8Rng) -> u64 {
    loop {
        let secs = outage_secs(rng);
        if secs > LONG_SECS {
            return secs;
        }
    }
}

/// Seconds that an outage lasts, log-normal; the normal number by Box and Muller.
fn outage_secs(rng: &mut ChaCha8Rng) -> u64 {
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    let normal = radius * (std::f64::consts::TAU * rng.random::<f64>()).cos();
    days_to_secs(OUTAGE_MEDIAN_HOURS / 24.0 * (OUTAGE_SIGMA * normal).exp())
}

/// Mean of the log-normal distribution.
fn mean_outage_days() -> f64 {
    OUTAGE_MEDIAN_HOURS / 24.0 * (OUTAGE_SIGMA * OUTAGE_SIGMA / 2.0).exp()
}

/// The part of the time for which a farmer does not answer.
pub(super) fn out_share() -> f64 {
    mean_outage_days() / (SESSION_DAYS + mean_outage_days())
}

/// Whether the farmer of this number is out at `now`, the same for everybody who asks within the same two hours.
#[expect(clippy::cast_precision_loss, reason = "53 bits of a hash")]
pub(super) fn is_out(key: u64, now: u64) -> bool {
    let mixed = mix(key ^ mix(now / SHORT_SECS));
    (mixed >> 11) as f64 / (1u64 << 53) as f64 <= out_share()
}

/// The finisher of splitmix64.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn draws_have_the_distributions_they_claim() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mean = (0..100_000).map(|_| exponential_days(&mut rng, 40.0)).sum::<f64>() / 100_000.0;
        assert!((39.0..41.0).contains(&mean), "{mean}");
        let mut outages: Vec<u64> = (0..1_000_000).map(|_| outage_secs(&mut rng)).collect();
        outages.sort_unstable();
        assert!((7_100..7_300).contains(&outages[500_000]), "{}", outages[500_000]);
        let long = outages.iter().filter(|secs| **secs > LONG_SECS).count();
        assert!((6_200..6_800).contains(&long), "{long} of a million are long");
        let out = (0..1_000_000u64).filter(|key| is_out(mix(*key), 12_345)).count();
        assert!((42_000..46_000).contains(&out), "{out} of a million are out");
    }
}
