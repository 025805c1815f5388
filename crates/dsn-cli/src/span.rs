//! Lengths of time as people write them: `90s`, `24h`, `7d`.

use std::{fmt, time::Duration};

/// Longer than anything is kept or waited for; beyond it, sums of dates could overflow.
const MOST: Duration = Duration::from_secs(1000 * 366 * 24 * 3600);

/// Not a length of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpanError {
    /// What was given.
    pub text: String,
}

impl fmt::Display for SpanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not a length of time such as 90s, 24h or 7d", self.text)
    }
}

impl std::error::Error for SpanError {}

/// Reads a length of time of at least a second and at most a thousand years.
///
/// # Errors
/// When it is none.
pub fn parse_span(text: &str) -> Result<Duration, SpanError> {
    let error = || SpanError { text: text.into() };
    let span = humantime::parse_duration(text.trim()).map_err(|_| error())?;
    if (Duration::from_secs(1)..=MOST).contains(&span) { Ok(span) } else { Err(error()) }
}

/// A length of time for people, to its two largest units: `2h 5m`.
pub fn human_span(span: Duration) -> String {
    let text = humantime::format_duration(Duration::from_secs(span.as_secs())).to_string();
    text.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_read_as_people_write_them() {
        for (text, secs) in [("90s", 90), ("24h", 86_400), ("7d", 604_800), (" 1h 30m ", 5_400)] {
            assert_eq!(parse_span(text), Ok(Duration::from_secs(secs)), "{text}");
        }
        for text in ["", "90", "-5s", "0s", "1ms", "1003y", "x", "9999999999999999999999d"] {
            assert!(parse_span(text).is_err(), "{text}");
        }
        assert_eq!(human_span(Duration::from_millis(7_512_345)), "2h 5m");
    }
}
