//! How many bytes of pieces go out and come in a second: a cap, which may depend on the time of day. What exceeds it waits,
//! as long as its asker would. Small messages are not counted, so that a farmer at its cap still answers.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::clock;

/// A second's worth may go at once after a rest.
const BURST: Duration = Duration::from_secs(1);
const MINUTES_A_DAY: u64 = 24 * 60;

/// A cap that may depend on the time of day, in UTC.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cap {
    /// The first of these that it is time for counts.
    pub spans: Vec<CapSpan>,
    /// Bytes a second at all other times; none: as many as the line takes.
    pub otherwise: Option<u64>,
}

/// A part of the day with a cap of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CapSpan {
    /// The minute of the day in which it begins.
    pub from_minute: u16,
    /// The minute of the day in which it has ended; before the first for one over midnight.
    pub to_minute: u16,
    /// Bytes a second; none: as many as the line takes.
    pub bytes_per_sec: Option<u64>,
}

impl Cap {
    /// Bytes a second at a Unix time; none: as many as the line takes.
    pub fn at(&self, unix_secs: u64) -> Option<u64> {
        let minute = unix_secs / 60 % MINUTES_A_DAY;
        let covers = |span: &&CapSpan| {
            let (from, to) = (u64::from(span.from_minute), u64::from(span.to_minute));
            if from < to { (from..to).contains(&minute) } else { minute >= from || minute < to }
        };
        self.spans.iter().find(covers).map_or(self.otherwise, |span| span.bytes_per_sec)
    }
}

/// Both directions.
#[derive(Debug)]
pub(crate) struct Meters {
    pub(crate) up: Meter,
    pub(crate) down: Meter,
}

impl Meters {
    /// Meters at which nothing waits longer than `patience`; a piece at the least cap has to fit into it.
    pub(crate) fn new(up: &Cap, down: &Cap, patience: Duration) -> Self {
        Self { up: Meter::new(up.clone(), patience), down: Meter::new(down.clone(), patience) }
    }
}

/// A cap at work.
#[derive(Debug)]
pub(crate) struct Meter {
    cap: Cap,
    patience: Duration,
    /// When all that was let through so far has gone at the cap's rate.
    gone: Mutex<Instant>,
}

impl Meter {
    fn new(cap: Cap, patience: Duration) -> Self {
        Self { cap, patience, gone: Mutex::new(Instant::now()) }
    }

    /// Waits until so many bytes may go, and tells whether they may: when that would take longer than its patience, it tells
    /// so at once and counts nothing, or who gives up would keep the line from those who wait. Dropping the future counts
    /// the bytes all the same.
    #[must_use]
    pub(crate) async fn take(&self, bytes: usize) -> bool {
        let Some(wait) = self.book(bytes, clock::unix_secs(), Instant::now()) else { return false };
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        true
    }

    /// Counts fewer bytes: so many of those taken did not come.
    pub(crate) fn give_back(&self, bytes: usize) {
        let takes = self.takes(bytes, clock::unix_secs());
        let mut gone = self.gone();
        *gone = gone.checked_sub(takes).unwrap_or(*gone);
    }

    /// Counts the bytes and says how long they have to wait, unless that is too long.
    fn book(&self, bytes: usize, unix_secs: u64, now: Instant) -> Option<Duration> {
        let takes = self.takes(bytes, unix_secs);
        if takes.is_zero() {
            return Some(Duration::ZERO);
        }
        let mut gone = self.gone();
        let begin = (*gone).max(now.checked_sub(BURST).unwrap_or(now));
        let end = begin.checked_add(takes)?;
        let wait = end.saturating_duration_since(now);
        if wait > self.patience {
            return None;
        }
        *gone = end;
        Some(wait)
    }

    /// How long so many bytes take at the cap of now.
    fn takes(&self, bytes: usize, unix_secs: u64) -> Duration {
        let Some(rate) = self.cap.at(unix_secs) else { return Duration::ZERO };
        let nanos = u128::try_from(bytes).unwrap_or(u128::MAX).saturating_mul(1_000_000_000) / u128::from(rate.max(1));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    fn gone(&self) -> MutexGuard<'_, Instant> {
        self.gone.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3600;

    #[test]
    fn a_cap_follows_the_time_of_day() {
        let day = CapSpan { from_minute: 8 * 60, to_minute: 18 * 60, bytes_per_sec: Some(1) };
        let night = CapSpan { from_minute: 22 * 60, to_minute: 6 * 60, bytes_per_sec: None };
        let cap = Cap { spans: vec![day, night], otherwise: Some(2) };
        let at = |hour: u64| cap.at(20_000 * 24 * HOUR + hour * HOUR);
        assert_eq!(
            [7, 8, 17, 18, 21, 22, 23, 0, 5, 6].map(at),
            [Some(2), Some(1), Some(1), Some(2), Some(2), None, None, None, None, Some(2)]
        );
        assert_eq!(Cap::default().at(5), None);
    }

    fn meter(bytes_per_sec: Option<u64>, patience_secs: u64) -> Meter {
        Meter::new(Cap { spans: Vec::new(), otherwise: bytes_per_sec }, Duration::from_secs(patience_secs))
    }

    #[test]
    fn what_exceeds_the_cap_waits_its_turn() {
        let meter = meter(Some(1000), 60);
        let now = Instant::now() + Duration::from_secs(10);
        let book = |bytes, now| meter.book(bytes, 0, now).map(|wait| wait.as_millis());
        assert_eq!(book(1000, now), Some(0), "a second's worth at once");
        assert_eq!(book(500, now), Some(500));
        assert_eq!(book(1000, now), Some(1500), "behind the one before");
        assert_eq!(book(1000, now + Duration::from_secs(1)), Some(1500));
        meter.give_back(1000);
        assert_eq!(book(1000, now + Duration::from_secs(1)), Some(1500), "as if the one before had not been");
    }

    #[test]
    fn without_a_cap_nothing_waits() {
        assert_eq!(meter(None, 0).book(usize::MAX, 0, Instant::now()), Some(Duration::ZERO));
    }

    #[test]
    fn what_would_wait_too_long_is_told_at_once_and_keeps_nobody_waiting() {
        let (meter, now) = (meter(Some(1000), 2), Instant::now() + Duration::from_secs(10));
        let waits: Vec<_> = (0..5).map(|_| meter.book(1000, 0, now).map(|wait| wait.as_secs())).collect();
        assert_eq!(waits, [Some(0), Some(1), Some(2), None, None]);
        assert_eq!(meter.book(500, 0, now + Duration::from_secs(1)), Some(Duration::from_millis(1500)));
    }
}
