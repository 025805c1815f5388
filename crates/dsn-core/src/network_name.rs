//! The name of a network: part of every protocol name and of every signature, so that nodes and receipts of two networks
//! never mix.

use std::{fmt, str::FromStr, sync::Arc};

use thiserror::Error;

use crate::limits::NETWORK_NAME_MAX_BYTES;

/// 1 to 64 of `a-z`, `0-9`, `-`, `_` and `.`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NetworkName(Arc<str>);

/// Not the name of a network.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("network name {text:?} is not 1 to 64 of a-z, 0-9, '-', '_', '.'")]
pub struct NetworkNameError {
    /// What was given, cut short.
    pub text: String,
}

impl NetworkName {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for NetworkName {
    type Err = NetworkNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let valid = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b);
        if (1..=NETWORK_NAME_MAX_BYTES).contains(&text.len()) && text.bytes().all(valid) {
            Ok(Self(text.into()))
        } else {
            Err(NetworkNameError { text: text.chars().take(NETWORK_NAME_MAX_BYTES).collect() })
        }
    }
}

impl fmt::Display for NetworkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
