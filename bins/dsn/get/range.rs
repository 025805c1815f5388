//! Which part of a file is wanted, as a user typed it.

use std::path::{Path, PathBuf};

use dsn_cli::{Exit, Failure, parse_size};

use crate::args;

/// A part of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) offset: u64,
    /// None: to the end.
    pub(crate) length: Option<u64>,
}

impl Part {
    /// None when the whole file is wanted.
    pub(super) fn of(range: &args::Range) -> Result<Option<Self>, Failure> {
        if !range.is_some() {
            return Ok(None);
        }
        let bytes = |text: &Option<String>| text.as_deref().map(bytes_of).transpose();
        Ok(Some(Self { offset: bytes(&range.offset)?.unwrap_or(0), length: bytes(&range.length)? }))
    }

    /// The name it gets unless the user says another: never that of the whole file.
    pub(super) fn name(self, whole: &Path) -> PathBuf {
        let mut name = whole.as_os_str().to_owned();
        name.push(format!(".{}+", self.offset));
        name.push(self.length.map(|length| length.to_string()).unwrap_or_default());
        name.into()
    }
}

/// A number of bytes. A negative one is within no file, which is said with the file's size once that is known.
fn bytes_of(text: &str) -> Result<u64, Failure> {
    let is_negative = text.trim().strip_prefix('-').is_some_and(|rest| parse_size(rest).is_ok());
    if is_negative { Ok(u64::MAX) } else { parse_size(text).map_err(|error| Failure::of(Exit::Usage, &error)) }
}
