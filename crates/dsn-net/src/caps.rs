//! How many bytes of pieces go out and come in a second: a cap, which may depend on the time of day. What exceeds it waits;
//! nothing is refused for it. Small messages are not counted, so that a farmer at its cap still answers.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

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

/// A cap at work.
#[derive(Debug)]
pub(crate) struct Meter {
    cap: Cap,
    /// When all that was let through so far has gone at the cap's rate.
    gone: Mutex<Instant>,
}

impl Meter {
    pub(crate) fn new(cap: Cap) -> Self {
        Self { cap, gone: Mutex::new(Instant::now()) }
    }

    /// Waits until so many bytes may go. Dropping the future counts them all the same.
    pub(crate) async fn take(&self, bytes: usize) {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let wait = self.book(bytes, unix, Instant::now());
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }

    /// Counts the bytes, and says how long they have to wait.
    fn book(&self, bytes: usize, unix_secs: u64, now: Instant) -> Duration {
        let Some(rate) = self.cap.at(unix_secs).filter(|_| bytes > 0) else { return Duration::ZERO };
        let nanos = u128::try_from(bytes).unwrap_or(u128::MAX).saturating_mul(1_000_000_000) / u128::from(rate.max(1));
        let takes = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let mut gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
        let begin = (*gone).max(now.checked_sub(BURST).unwrap_or(now));
        *gone = begin.checked_add(takes).unwrap_or(begin);
        gone.saturating_duration_since(now)
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

    #[test]
    fn what_exceeds_the_cap_waits_its_turn() {
        let meter = Meter::new(Cap { spans: Vec::new(), otherwise: Some(1000) });
        let now = Instant::now() + Duration::from_secs(10);
        assert_eq!(meter.book(1000, 0, now), Duration::ZERO, "a second's worth at once");
        assert_eq!(meter.book(500, 0, now), Duration::from_millis(500));
        assert_eq!(meter.book(1000, 0, now), Duration::from_millis(1500), "behind the one before");
        assert_eq!(meter.book(1000, 0, now + Duration::from_secs(1)), Duration::from_millis(1500));
        let open = Meter::new(Cap::default());
        assert_eq!(open.book(usize::MAX, 0, now), Duration::ZERO);
    }
}
