//! A read capability as text: the CID of something sealed and the key that opens it. Whoever has it can read it, so it is a
//! secret: never logged, gone from memory when it is dropped.
//!
//! `dsn:r1:CID:KEY:CHECK`: the CID as ever, the key's 32 bytes in base32 (lower case, no padding), and the first four
//! base32 letters of the BLAKE3 hash of all that is before the last colon, so that a slip of the pen is noticed.

use std::str::FromStr;

use data_encoding::BASE32_NOPAD;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::{
    cid::{Cid, CidError},
    seal::Key,
};

/// With what every read capability begins.
pub const READ_PREFIX: &str = "dsn:r1:";

/// Letters of the checksum.
const CHECK_CHARS: usize = 4;

/// What reads something sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capability {
    /// What it reads: with this alone others can tell how it fares, repair it and keep it.
    pub cid: Cid,
    /// What opens it.
    pub key: Key,
}

/// Why a text is no capability. It says nothing of the text, which may be nearly one.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CapabilityError {
    /// Not of the form `dsn:r1:CID:KEY:CHECK`.
    #[error("not a read capability: it has not the form dsn:r1:CID:KEY:CHECK")]
    Form,
    /// Its CID is none.
    #[error("the capability's CID is none")]
    Cid(#[source] CidError),
    /// Its key is none.
    #[error("the capability's key is not 52 letters of base32")]
    Key,
    /// A letter of it is another than it was.
    #[error("the capability's checksum is wrong: a letter of it is missing or another than it was")]
    Checksum,
}

impl Capability {
    /// The capability as text.
    pub fn to_text(&self) -> Zeroizing<String> {
        let key = Zeroizing::new(BASE32_NOPAD.encode(self.key.as_bytes()).to_ascii_lowercase());
        let mut text = Zeroizing::new(format!("{READ_PREFIX}{}:{}", self.cid, *key));
        let check = checksum(&text);
        text.push(':');
        text.push_str(&check);
        text
    }
}

fn checksum(text: &str) -> String {
    let hash = BASE32_NOPAD.encode(blake3::hash(text.as_bytes()).as_bytes()).to_ascii_lowercase();
    hash[..CHECK_CHARS].to_owned()
}

impl FromStr for Capability {
    type Err = CapabilityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (before, check) = text.rsplit_once(':').ok_or(CapabilityError::Form)?;
        let (cid, key) =
            before.strip_prefix(READ_PREFIX).and_then(|rest| rest.split_once(':')).ok_or(CapabilityError::Form)?;
        if checksum(before) != check {
            return Err(CapabilityError::Checksum);
        }
        let cid = cid.parse().map_err(CapabilityError::Cid)?;
        let upper = Zeroizing::new(key.to_ascii_uppercase());
        let bytes = Zeroizing::new(BASE32_NOPAD.decode(upper.as_bytes()).map_err(|_| CapabilityError::Key)?);
        let key = Key::from_slice(&bytes).ok_or(CapabilityError::Key)?;
        Ok(Self { cid, key })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::hash::{ChunkId, Hash};

    fn capability() -> Capability {
        Capability { cid: Cid(ChunkId(Hash([7; 32]))), key: Key::new([8; 32]) }
    }

    #[test]
    fn a_capability_is_its_text_and_is_never_shown() {
        let text = capability().to_text();
        assert!(text.starts_with("dsn:r1:bafib4i"), "{}", *text);
        assert_eq!(text.parse(), Ok(capability()));
        assert!(!format!("{:?}", capability()).contains("ieeaq"), "not even for developers");
        for (bad, why) in [("", CapabilityError::Form), ("bafib4iabc", CapabilityError::Form)] {
            assert_eq!(bad.parse::<Capability>(), Err(why));
        }
        let other = format!("dsn:r2:{}", &text[7..]);
        assert_eq!(other.parse::<Capability>(), Err(CapabilityError::Form));
    }

    proptest! {
        #[test]
        fn another_letter_is_noticed(at in 7usize..120, letter in prop::char::range('a', 'z')) {
            let text = capability().to_text();
            let at = at.min(text.len() - 1);
            let mut other: Vec<char> = text.chars().collect();
            prop_assume!(other[at] != letter && other[at] != ':');
            other[at] = letter;
            prop_assert!(other.into_iter().collect::<String>().parse::<Capability>().is_err());
        }
    }
}
