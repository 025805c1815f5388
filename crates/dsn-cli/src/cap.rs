//! Caps on a line as people write them: `20MiB`, `08:00-18:00 1MiB, 20MiB`, `22:00-06:00 none, 500kB`. Times are UTC.

use std::fmt;

use crate::parse_size;

/// A part of the day with a cap of its own: the minutes of the day in which it begins and ends, and bytes a second.
pub type CapSpanText = (u16, u16, Option<u64>);

/// Not a cap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CapError {
    /// What was given.
    pub text: String,
}

impl fmt::Display for CapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is not a cap such as 20MiB, or 08:00-18:00 1MiB, 20MiB (bytes a second, times in UTC)",
            self.text
        )
    }
}

impl std::error::Error for CapError {}

/// Reads a cap: parts of the day with theirs, and what holds otherwise; `none` is no cap.
///
/// # Errors
/// When it is none, or what holds otherwise is said twice.
pub fn parse_cap(text: &str) -> Result<(Vec<CapSpanText>, Option<u64>), CapError> {
    let error = || CapError { text: text.into() };
    let rate = |text: &str| match text.trim() {
        "none" => Ok(None),
        size => parse_size(size).ok().filter(|rate| *rate > 0).map(Some).ok_or_else(error),
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
        for bad in ["", "0", "-1MiB", "1MiB, 2MiB", "8:00-18:00 1MiB", "08:00-24:00 1MiB", "08:00 1MiB", "08:00-09:00"]
        {
            assert!(parse_cap(bad).is_err(), "{bad}");
        }
    }
}
