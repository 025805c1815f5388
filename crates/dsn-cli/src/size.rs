//! Sizes as people write them: `10GiB`, `500MB`, `4096`.

use std::fmt;

use bytesize::ByteSize;

/// Not a size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ByteSizeError {
    /// What was given.
    pub text: String,
}

impl fmt::Display for ByteSizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not a size such as 10GiB, 500MB or 4096", self.text)
    }
}

impl std::error::Error for ByteSizeError {}

/// Reads a size in bytes. A plain number counts bytes; there are no negative sizes.
///
/// # Errors
/// When it is none, or more than fits 64 bits.
pub fn parse_size(text: &str) -> Result<u64, ByteSizeError> {
    let error = || ByteSizeError { text: text.into() };
    let starts_well = text.trim().starts_with(|c: char| c.is_ascii_digit());
    let size: ByteSize = text.trim().parse().map_err(|_| error())?;
    if starts_well && size.as_u64() < u64::MAX { Ok(size.as_u64()) } else { Err(error()) }
}

/// A number of bytes for people: `1.1 GB`.
pub fn human_bytes(bytes: u64) -> String {
    ByteSize::b(bytes).display().si().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_nonsense_is_not() {
        assert_eq!(parse_size("10GiB"), Ok(10 << 30));
        assert_eq!(parse_size("500MB"), Ok(500_000_000));
        assert_eq!(parse_size("4096"), Ok(4096));
        assert_eq!(parse_size(" 64 MiB "), Ok(64 << 20));
        for text in ["", "10 GBB", "-5", "-5GiB", "NaN", "inf", "1e400", "GiB", "99999999999999999999999"] {
            assert!(parse_size(text).is_err(), "{text}: {:?}", parse_size(text));
        }
    }
}
