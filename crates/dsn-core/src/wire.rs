//! The one rule of every hashed or signed message: decode, re-encode, compare. Exactly one encoding is accepted, and an
//! unknown field is an error, so a hash names one content and one content has one hash.

use bytes::Bytes;
use prost::Message;
use thiserror::Error;

/// Why bytes are not the canonical form of a message.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WireError {
    /// Longer than the format allows.
    #[error("{len} bytes, more than the {max} allowed")]
    TooLong {
        /// Bytes given.
        len: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// Not protobuf.
    #[error("not a protobuf message")]
    Protobuf,
    /// Another encoding of the content, an unknown field or trailing bytes.
    #[error("not the canonical encoding (an unknown field or another order)")]
    NotCanonical,
    /// A field has a value the format does not allow.
    #[error("field {field} has an invalid value")]
    Field {
        /// The field's name in the `.proto` file.
        field: &'static str,
    },
    /// A version or kind this program does not know.
    #[error("{what} {found} is not known to this version of dsn")]
    Unknown {
        /// What is unknown.
        what: &'static str,
        /// The number found.
        found: u32,
    },
}

/// Decodes a message of at most `max` bytes and insists on its canonical encoding.
///
/// # Errors
/// See [`WireError`].
pub fn decode_canonical<M: Message + Default>(bytes: &Bytes, max: usize) -> Result<M, WireError> {
    let message: M = decode_bounded(bytes, max)?;
    if message.encode_to_vec() == bytes[..] { Ok(message) } else { Err(WireError::NotCanonical) }
}

/// Decodes a message of at most `max` bytes; for messages that are neither hashed nor signed.
///
/// # Errors
/// [`WireError::TooLong`] and [`WireError::Protobuf`].
pub fn decode_bounded<M: Message + Default>(bytes: &Bytes, max: usize) -> Result<M, WireError> {
    if bytes.len() > max {
        return Err(WireError::TooLong { len: bytes.len(), max });
    }
    M::decode(bytes.clone()).map_err(|_| WireError::Protobuf)
}

/// Fails with [`WireError::Field`] unless `valid`.
///
/// # Errors
/// As said.
pub fn check(valid: bool, field: &'static str) -> Result<(), WireError> {
    if valid { Ok(()) } else { Err(WireError::Field { field }) }
}

/// Fails with [`WireError::Unknown`] unless `found` is version 1.
///
/// # Errors
/// As said.
pub fn check_version(found: u32) -> Result<(), WireError> {
    if found == 1 { Ok(()) } else { Err(WireError::Unknown { what: "version", found }) }
}
