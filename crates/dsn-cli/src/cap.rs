//! Caps on a line as people write them: `20MiB`, `08:00-18:00 1MiB, 20MiB`, `22:00-06:00 none, 500kB`. Times are UTC.

use std::fmt;

use crate::parse_size;

/// No cap is lower. Nodes cut off whoever sends less than 16 KiB a second: with less than four times that, two or three
/// transfers at once would already end in nothing but repetitions.
pub const CAP_MIN_BYTES_PER_SEC: u64 = 64 * 1024;

/// A part of the day with a cap of its own: the minutes of the day in which it begins and ends, and bytes a second.
pub type CapSpanText = (u16, u16, Option<u64>);

/// Why a text is no cap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CapError {
    /// It is not understood.
    Malformed {
        /// What was given.
        text: String,
    },
    /// Less than [`CAP_MIN_BYTES_PER_SEC`].
    TooLow {
        /// What was given: the part of the text that is too low.
        text: String,
    },
}

impl fmt::Display for CapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed { text } => write!(
                f,
                "{text:?} is not a cap such as 20MiB, or 08:00-18:00 1MiB, 20MiB (bytes a second, times in UTC)"
            ),
            Self::TooLow { text } => {
                let min = CAP_MIN_BYTES_PER_SEC / 1024;
                write!(f, "{text:?} is too low: a cap is at least {min}KiB (bytes a second), or none")
            }
        }
    }
}

impl std::error::Error for CapError {}

/// Reads a cap: parts of the day with theirs, and what holds otherwise; `none` is no cap.
///
/// # Errors
/// When it is none or too low, or what holds otherwise is said twice.
pub fn parse_cap(text: &str) -> Result<(Vec<CapSpanText>, Option<u64>), CapError> {
    let error = || CapError::Malformed { text: text.into() };
    let rate = |text: &str| match text.trim() {
        "none" => Ok(None),
        size => match parse_size(size).map_err(|_| error())? {
            rate @ CAP_MIN_BYTES_PER_SEC.. => Ok(Some(rate)),
            _ => Err(CapError::TooLow { text: size.into() }),
        },
    };
    let (mut spans, mut otherwise) = (Vec::new(), None);
    for item in text.split(',').map(str::trim) {
        match item.split_once(' ').and_then(|(time, size)| Some((time.split_once('-')?, size))) {
            Some(((from, to), size)) => {
                let (from, to) = (minute(from).ok_or_else(error)?, minute(to).ok_or_else(error)?);
                spans.push((from, to, rate(size)?));
            }
            None if otherwise.is_none() => otherwise = Some(rate(item)?),
            None => return Err(error()),
        }
    }
    Ok((spans, otherwise.flatten()))
}

/// `HH:MM` as the minute of the day.
fn minute(text: &str) -> Option<u16> {
    let (hours, minutes) = text.trim().split_once(':')?;
    let digits = |text: &str, below: u16| {
        let number: u16 = text.parse().ok()?;
        (text.len() == 2 && number < below).then_some(number)
    };
    Some(digits(hours, 24)? * 60 + digits(minutes, 60)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caps_are_read_with_the_times_they_hold() {
        assert_eq!(parse_cap("none"), Ok((vec![], None)));
        assert_eq!(parse_cap("20MiB"), Ok((vec![], Some(20 << 20))));
        assert_eq!(
            parse_cap("08:00-18:30 1MiB, 22:00-06:00 none, 2MiB"),
            Ok((vec![(480, 1110, Some(1 << 20)), (1320, 360, None)], Some(2 << 20)))
        );
        for bad in ["", "-1MiB", "1MiB, 2MiB", "8:00-18:00 1MiB", "08:00-24:00 1MiB", "08:00 1MiB", "08:00-09:00"] {
            assert_eq!(parse_cap(bad), Err(CapError::Malformed { text: bad.into() }));
        }
    }

    #[test]
    fn a_cap_that_leaves_no_transfer_its_least_rate_is_refused() {
        assert_eq!(parse_cap("64KiB"), Ok((vec![], Some(CAP_MIN_BYTES_PER_SEC))));
        for (text, low) in [("0", "0"), ("65535", "65535"), ("08:00-18:00 20kB, 1MiB", "20kB"), ("1KiB", "1KiB")] {
            let error = parse_cap(text).expect_err(text);
            assert_eq!(error, CapError::TooLow { text: low.into() });
            let says = format!("{low:?} is too low: a cap is at least 64KiB (bytes a second), or none");
            assert_eq!(error.to_string(), says);
        }
    }
}
