//! A pre-shared key in the file that the IPFS world calls `swarm.key`: a line that names the format, a line that names the
//! encoding of the rest, and 32 bytes. All nodes of such a network have the same key, and who has not gets no further than
//! noise. Not here: the cipher, and which transports it covers (TCP alone).

use std::fmt;

use data_encoding::{BASE64, DecodeError, DecodeKind, HEXLOWER_PERMISSIVE};
use thiserror::Error;

use crate::limits::PSK_FILE_MAX_BYTES;

const FORMAT: &[u8] = b"/key/swarm/psk/1.0.0/";

/// The key. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct PreSharedKey([u8; 32]);

/// Why a file holds no such key. None of them shows what is in it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PskError {
    /// Longer than any.
    #[error("it has more than {PSK_FILE_MAX_BYTES} bytes")]
    TooLong,
    /// Another first line.
    #[error("its first line is not /key/swarm/psk/1.0.0/")]
    Format,
    /// Another second line.
    #[error("its second line is none of /base16/, /base64/, /bin/")]
    Encoding,
    /// The third line is not in that encoding.
    #[error("its key is not in {encoding}")]
    Characters {
        /// What the second line says.
        encoding: &'static str,
    },
    /// Too short or too long.
    #[error("its key has {found} bytes instead of 32")]
    Length {
        /// Bytes found.
        found: usize,
    },
}

impl PreSharedKey {
    /// Reads the file's content.
    ///
    /// # Errors
    /// See [`PskError`].
    pub fn parse(content: &[u8]) -> Result<Self, PskError> {
        if content.len() > PSK_FILE_MAX_BYTES {
            return Err(PskError::TooLong);
        }
        let (format, rest) = line(content);
        if format != FORMAT {
            return Err(PskError::Format);
        }
        let (encoding, rest) = line(rest);
        let text = rest.trim_ascii();
        let key = match encoding {
            b"/bin/" => rest.to_vec(),
            b"/base16/" => decode(HEXLOWER_PERMISSIVE.decode(text), "base16", text.len() / 2)?,
            b"/base64/" => decode(BASE64.decode(text), "base64", text.len() / 4 * 3)?,
            _ => return Err(PskError::Encoding),
        };
        let found = key.len();
        Ok(Self(key.try_into().map_err(|_| PskError::Length { found })?))
    }

    /// The key itself, for the cipher and nothing else.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// `found` is what the text would be, whole bytes of it, if it were of the right length.
fn decode(decoded: Result<Vec<u8>, DecodeError>, encoding: &'static str, found: usize) -> Result<Vec<u8>, PskError> {
    decoded.map_err(|error| match error.kind {
        DecodeKind::Length => PskError::Length { found },
        _ => PskError::Characters { encoding },
    })
}

/// A line, without what ends it, and what follows.
fn line(content: &[u8]) -> (&[u8], &[u8]) {
    let end = content.iter().position(|byte| *byte == b'\n').unwrap_or(content.len());
    let rest = content.get(end + 1..).unwrap_or_default();
    (content[..end].trim_ascii(), rest)
}

impl fmt::Debug for PreSharedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PreSharedKey")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file(encoding: &str, key: &[u8]) -> Vec<u8> {
        [b"/key/swarm/psk/1.0.0/\n", encoding.as_bytes(), b"\n", key].concat()
    }

    #[test]
    fn a_key_is_read_in_all_three_encodings() {
        let key: [u8; 32] = std::array::from_fn(|index| u8::try_from(index * 7).expect("below 256"));
        let hex = HEXLOWER_PERMISSIVE.encode(&key);
        let files = [
            file("/bin/", &key),
            file("/base16/", hex.as_bytes()),
            file("/base16/", format!("{}\n", hex.to_uppercase()).as_bytes()),
            file("/base64/", format!("{}\r\n", BASE64.encode(&key)).as_bytes()),
        ];
        for content in files {
            assert_eq!(PreSharedKey::parse(&content).expect("a key").bytes(), &key);
        }
    }

    #[test]
    fn what_is_wrong_is_said_without_the_key() {
        let refused = |content: &[u8]| PreSharedKey::parse(content).expect_err("no key");
        assert_eq!(refused(b""), PskError::Format);
        assert_eq!(refused(b"/key/swarm/psk/2.0.0/\n/bin/\n"), PskError::Format);
        assert_eq!(refused(&file("/base58/", b"abc")), PskError::Encoding);
        assert_eq!(refused(&file("/bin/", &[7; 31])), PskError::Length { found: 31 });
        assert_eq!(refused(&file("/bin/", &[7; 33])), PskError::Length { found: 33 });
        assert_eq!(refused(&file("/base16/", b"abab")), PskError::Length { found: 2 });
        assert!(matches!(refused(&file("/base16/", b"aba")), PskError::Length { .. }));
        assert_eq!(refused(&file("/base16/", b"xyzw")), PskError::Characters { encoding: "base16" });
        assert_eq!(refused(&file("/base64/", b"****")), PskError::Characters { encoding: "base64" });
        assert_eq!(refused(&[b'x'; 2000]), PskError::TooLong);
        assert_eq!(format!("{:?}", PreSharedKey([0xab; 32])), "PreSharedKey");
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_key_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..80), start in 0..3usize) {
            let encoding = ["/bin/", "/base16/", "/base64/"][start];
            drop(PreSharedKey::parse(&bytes));
            if let Ok(key) = PreSharedKey::parse(&file(encoding, &bytes)) {
                prop_assert!(encoding != "/bin/" || key.bytes()[..] == bytes[..]);
            }
        }
    }
}
