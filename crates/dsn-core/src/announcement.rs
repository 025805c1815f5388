//! What nodes tell everybody: each kind is signed by whom it is about, so that whoever hands it on need not be trusted.
//! Nothing depends on announcements being heard; they only make sooner what everybody finds out anyway.

use bytes::Bytes;
use dsn_proto::{self as proto, announcement::Kind};
use prost::Message;

use crate::{
    departure::{Departure, VerifiedDeparture},
    limits::ANNOUNCEMENT_MAX_BYTES,
    membership::revocations::Revocations,
    name::{NameRecord, VerifiedName},
    signed::Signed,
    wire::{WireError, decode_bounded},
};

/// An announcement as it travels: well-formed, and nobody has checked who signed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Announcement {
    /// Who is no member of a closed network any more.
    Revocations(Revocations),
    /// A farmer leaves, or stays after all.
    Departure(Departure),
    /// What a name stands for from now on.
    Name(NameRecord),
}

/// An announcement for the one who serves requests: signed by whom it is about, and recent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// A farmer leaves, or stays after all.
    Departure(VerifiedDeparture),
    /// What a name stands for from now on.
    Name(VerifiedName),
}

impl Announcement {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let kind = match self {
            Self::Revocations(list) => Kind::Revocations(list.to_proto()),
            Self::Departure(departure) => Kind::Departure(departure.to_proto()),
            Self::Name(record) => Kind::Name(record.to_proto()),
        };
        proto::Announcement { kind: Some(kind) }.encode_to_vec()
    }

    /// Reads an announcement; none when it is of a kind that this version does not know.
    ///
    /// # Errors
    /// When it is too long or not well-formed.
    pub fn decode(bytes: &Bytes) -> Result<Option<Self>, WireError> {
        let message: proto::Announcement = decode_bounded(bytes, ANNOUNCEMENT_MAX_BYTES)?;
        let Some(kind) = message.kind else { return Ok(None) };
        let announcement = match kind {
            Kind::Revocations(signed) => Self::Revocations(Signed::from_proto(signed)?),
            Kind::Departure(signed) => Self::Departure(Signed::from_proto(signed)?),
            Kind::Name(signed) => Self::Name(Signed::from_proto(signed)?),
        };
        if announcement.encode() == *bytes { Ok(Some(announcement)) } else { Err(WireError::NotCanonical) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        cid::Cid,
        departure::DepartureBody,
        hash::{ChunkId, Hash},
        identity::Identity,
        name::{Name, NameBody},
        testing,
    };

    fn departure() -> Announcement {
        let alice = Identity::from_seed([1; 32]);
        let body =
            DepartureBody { network: testing::network(), node: alice.node_id(), leaving: true, said: testing::NOW };
        Announcement::Departure(body.sign(&alice).into_signed())
    }

    fn name(sequence: u64, root: [u8; 32]) -> Announcement {
        let (key, network, issued) = (Identity::from_seed([2; 32]), testing::network(), testing::NOW);
        let (name, root) = (Name::of(&key), Cid(ChunkId(Hash(root))));
        let body = NameBody { network, name, sequence, root, issued, until: issued + 1 };
        Announcement::Name(body.sign(&key).into_signed())
    }

    #[test]
    fn an_announcement_is_read_as_it_was_written() {
        for announcement in [departure(), name(1, [7; 32])] {
            let bytes = Bytes::from(announcement.encode());
            assert_eq!(Announcement::decode(&bytes), Ok(Some(announcement)));
        }
    }

    #[test]
    fn what_a_later_version_announces_is_nothing_and_no_error() {
        let later = Bytes::from_static(&[0x7a, 2, 1, 2]); // field 15, two bytes
        assert_eq!(Announcement::decode(&later), Ok(None));
        assert_eq!(Announcement::decode(&Bytes::new()), Ok(None));
        let both = [departure().encode(), later.to_vec()].concat();
        assert_eq!(Announcement::decode(&both.into()), Err(WireError::NotCanonical));
    }

    #[test]
    fn more_than_the_largest_list_is_too_long() {
        let long = Bytes::from(vec![0; ANNOUNCEMENT_MAX_BYTES + 1]);
        assert!(Announcement::decode(&long).is_err());
    }

    proptest! {
        #[test]
        fn any_record_of_a_name_is_read_as_it_was_written_and_no_other_bytes_are_it(
            sequence in 1..=u64::MAX,
            root in any::<[u8; 32]>(),
            (at, flip) in (any::<prop::sample::Index>(), 1..=u8::MAX),
        ) {
            let announcement = name(sequence, root);
            let bytes = announcement.encode();
            prop_assert_eq!(Announcement::decode(&bytes.clone().into()), Ok(Some(announcement.clone())));
            let mut other = bytes.clone();
            other[at.index(bytes.len())] ^= flip;
            let is_counted = match Announcement::decode(&other.into()) {
                Ok(Some(Announcement::Name(record))) => record.verify(&testing::network(), testing::NOW).is_ok(),
                _ => false,
            };
            prop_assert!(!is_counted, "a byte is another, and it still counts");
        }

        #[test]
        fn any_bytes_are_an_announcement_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(Some(announcement)) = Announcement::decode(&bytes.clone().into()) {
                prop_assert_eq!(announcement.encode(), bytes);
            }
        }
    }
}
