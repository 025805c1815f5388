//! Vectors of announcements: a farmer that leaves, whom a founder has revoked, and a new version of a name.

use dsn_core::{
    announcement::Announcement,
    cid::Cid,
    departure::DepartureBody,
    hash::{ChunkId, Hash},
    name::{Name, NameBody},
};

use crate::{NOW, VALID, Vector, check_bytes, identity, network, revocations};

pub(crate) fn vectors() -> Vec<Vector> {
    let farmer = identity(1);
    let body = DepartureBody { network: network(), node: farmer.node_id(), leaving: true, said: NOW };
    let departure = Announcement::Departure(body.sign(&farmer).into_signed());
    let revocations = Announcement::Revocations(revocations().into_signed());
    let (key, root) = (identity(2), Cid(ChunkId(Hash([7; 32]))));
    let body =
        NameBody { network: network(), name: Name::of(&key), sequence: 3, root, issued: NOW, until: NOW + 86_400 };
    let name = Announcement::Name(body.sign(&key).into_signed());
    let of = |name, announcement: &Announcement| {
        let again = |bytes| Announcement::decode(&bytes).expect(VALID).expect("a known kind").encode().into();
        Vector { name, bytes: announcement.encode().into(), again }
    };
    vec![
        of("announcement-departure", &departure),
        of("announcement-name", &name),
        of("announcement-revocations", &revocations),
    ]
}

#[test]
fn announcements_are_the_bytes_they_were() {
    vectors().iter().for_each(check_bytes);
}
