//! The estimated yearly loss of a chunk: a birth-death chain. Farmers die for good and independently at the rate
//! 1/MTTF each; once `r` pieces or fewer are left, one repair brings all `t` back after an exponential time with mean T.
//!
//! With λ = 1/MTTF and μ = 1/T, from j live pieces the chain goes to j−1 at the rate jλ and, for j ≤ r, to t at the rate
//! μ; below k the chunk is lost. Writing the expected time to loss from j as a(j) + c(j)·m with m that from t:
//!
//! - j ≤ r: a(j) = (1 + jλ·a(j−1)) / (jλ + μ), c(j) = (jλ·c(j−1) + μ) / (jλ + μ), a(k−1) = c(k−1) = 0
//! - j > r: a(j) = a(j−1) + 1/(jλ), c(j) = c(j−1)
//!
//! m = a(t) / (1 − c(t)), and the loss within a year is 1 − exp(−year/m). 1 − c is kept instead of c, so that nothing
//! cancels. Source: the reliability models of Blake and Rodrigues, "High availability, scalable storage, dynamic peer
//! networks: pick two" (HotOS 2003), and of Chun et al., "Efficient replica maintenance for distributed storage systems"
//! (NSDI 2006), for a code that is repaired at a threshold. The model knows no correlated failures: a bad update, a fire.

use crate::{descriptor::Code, redundancy::Target};

/// Days of a year.
pub const YEAR_DAYS: f64 = 365.25;

/// What the estimate goes by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Churn {
    /// Mean time to a farmer's end, in days.
    pub mttf_days: f64,
    /// Mean time from the loss that calls for repair to its end, in days.
    pub repair_days: f64,
}

impl Default for Churn {
    /// A year, and a day: the absent are waited for a day.
    fn default() -> Self {
        Self { mttf_days: YEAR_DAYS, repair_days: 1.0 }
    }
}

/// The probability that a chunk with `live` pieces now, repaired to `place` at `repair_at`, is lost within a year.
/// Nothing is lost of what is never lost: 0 when no repair is possible and none is needed cannot happen, so a chunk that
/// has fewer pieces than needed gives 1.
pub fn yearly_loss(code: Code, live: usize, place: usize, repair_at: usize, churn: Churn) -> f64 {
    if live < code.needed() { 1.0 } else { chain_loss(code.needed(), place, repair_at, churn) }
}

/// The same for a chunk that is all there, where a farmer may hold several of its pieces, which then end together: the
/// chain counts farmers, each with the most that one may hold. That is on the safe side where some hold fewer.
pub fn yearly_loss_with(code: Code, target: Target, churn: Churn) -> f64 {
    let each = target.per_farmer.max(1);
    chain_loss(code.needed().div_ceil(each), target.place / each, target.repair_at / each, churn)
}

/// The chain itself, of whatever ends one by one.
fn chain_loss(needed: usize, place: usize, repair_at: usize, churn: Churn) -> f64 {
    let (lambda, mu) = (1.0 / churn.mttf_days, 1.0 / churn.repair_days);
    let place = place.max(needed);
    // a(j), and 1 - c(j).
    let (mut a, mut lost) = (0.0_f64, 1.0_f64);
    for j in needed..=place {
        let rate = float(j) * lambda;
        if j <= repair_at && j < place {
            (a, lost) = ((1.0 + rate * a) / (rate + mu), rate * lost / (rate + mu));
        } else {
            a += 1.0 / rate;
        }
    }
    let mean_days = a / lost;
    -(-YEAR_DAYS / mean_days).exp_m1()
}

/// Bytes moved by repair for each byte stored and year, `(k/(t-r) + 1)` times the churn: `k` pieces are fetched to place
/// `t - r`, and each farmer's end costs what it held.
pub fn repair_traffic(code: Code, place: usize, repair_at: usize, churn: Churn) -> f64 {
    let placed_at_once = place.saturating_sub(repair_at).max(1);
    (float(code.needed()) / float(placed_at_once) + 1.0) * YEAR_DAYS / churn.mttf_days
}

#[expect(clippy::cast_precision_loss, reason = "at most 48 pieces")]
fn float(n: usize) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redundancy::{Class, target};

    /// The order of magnitude, since the design's table gives one digit.
    fn digits(loss: f64) -> String {
        format!("{loss:.0e}")
    }

    #[test]
    fn the_losses_of_the_designs_table() {
        let year = Churn::default();
        let loss = |place, repair_at| digits(yearly_loss(Code::Rs16Of48, place, place, repair_at, year));
        assert_eq!(loss(24, 20), "1e-6");
        assert_eq!(loss(32, 24), "9e-12");
        assert_eq!(loss(40, 28), "1e-16");
        let short = Churn { mttf_days: 90.0, ..year };
        assert_eq!(digits(yearly_loss(Code::Rs16Of48, 40, 40, 28, short)), "6e-9");
    }

    /// The numbers of the research behind the design: 8 of 20 farmers with two pieces each, 6 of 12 with three.
    #[test]
    fn pieces_on_one_farmer_end_together() {
        let loss = |farmers| {
            let target = target(Code::Rs16Of48, Class::Normal, farmers);
            yearly_loss_with(Code::Rs16Of48, target, Churn::default())
        };
        assert_eq!(digits(loss(20)), "5e-11");
        assert_eq!(loss(30), loss(20));
        assert!(loss(12) > loss(20) && loss(12) < 1e-4, "{}", loss(12));
        assert!(loss(2) > 1e-4, "{}", loss(2));
        let alone = yearly_loss(Code::Rs16Of48, 40, 40, 28, Churn::default());
        assert_eq!(loss(100), alone);
    }

    #[test]
    fn what_cannot_be_read_is_lost_and_more_pieces_are_never_worse() {
        let year = Churn::default();
        assert_eq!(digits(yearly_loss(Code::Rs16Of48, 15, 40, 28, year)), "1e0");
        let mut last = 1.0;
        for place in 17..=48 {
            let loss = yearly_loss(Code::Rs16Of48, place, place, 16 + (place - 16) / 2, year);
            assert!(loss <= last && loss > 0.0, "{place}: {loss}");
            last = loss;
        }
    }

    #[test]
    fn lazy_repair_moves_a_fraction_of_what_eager_repair_does() {
        let year = Churn::default();
        assert_eq!(format!("{:.2}", repair_traffic(Code::Rs16Of48, 40, 28, year)), "2.33");
        assert_eq!(format!("{:.2}", repair_traffic(Code::Rs16Of48, 40, 39, year)), "17.00");
    }
}
