//! Which versions two nodes find, what a hello keeps and what it refuses.

use proptest::prelude::*;
use prost::Message;

use super::*;
use crate::testing;

fn versions() -> impl Strategy<Value = Versions> {
    (1u32..6, 0u32..6).prop_map(|(min, more)| Versions::new(min, min + more).expect("a range"))
}

fn of(versions: Versions) -> Hello {
    let profile = Some(Profile::client()); // whoever speaks a version knows its words
    Hello { versions, network: testing::network(), profile }
}

#[test]
fn the_newest_version_that_both_speak_is_chosen() {
    for (ours, theirs, wanted) in [
        ((1, 1), (1, 1), Some(1)),
        ((1, 3), (2, 5), Some(3)),
        ((2, 5), (1, 3), Some(3)),
        ((1, 9), (4, 4), Some(4)),
        ((1, 1), (7, 9), None),
        ((7, 9), (1, 6), None),
        ((u32::MAX, u32::MAX), (1, u32::MAX), Some(u32::MAX)),
    ] {
        let range = |(min, max)| Versions::new(min, max).unwrap();
        assert_eq!(range(ours).newest_common(range(theirs)), wanted, "{ours:?} {theirs:?}");
    }
    assert_eq!((Versions::new(0, 1), Versions::new(2, 1)), (None, None));
}

#[test]
fn a_refusal_says_which_versions_each_side_speaks() {
    let (ours, theirs) = (of(Versions::KNOWN), of(Versions::new(7, 9).unwrap()));
    let met = ours.meet(&theirs);
    let text = met.as_ref().unwrap_err().to_string();
    assert_eq!(text, "it speaks versions 7 to 9 of the protocol, this node version 1");
    let ack = ours.answer(&met);
    assert_eq!(ack.outcome, Err(HelloRefusal::NoCommonVersion));
    let text = theirs.conclude(&ack).unwrap_err().to_string();
    assert_eq!(text, "it speaks version 1 of the protocol, this node versions 7 to 9");
}

#[test]
fn a_node_of_another_network_is_told_so() {
    let ours = of(Versions::KNOWN);
    let theirs = Hello { network: "other".parse().unwrap(), ..ours.clone() };
    let met = ours.meet(&theirs);
    assert_eq!(met.as_ref().unwrap_err().to_string(), "it belongs to network other");
    assert_eq!(ours.answer(&met).outcome, Err(HelloRefusal::OtherNetwork));
}

#[test]
fn an_answer_counts_only_if_it_follows_from_the_hellos() {
    let ours = of(Versions::KNOWN);
    let ack = |outcome| HelloAck { outcome, hello: of(Versions::KNOWN) };
    assert_eq!(ours.conclude(&ack(Ok(1))).map(|known| known.version), Ok(1));
    assert_eq!(ours.conclude(&ack(Ok(2))), Err(HelloError::Broken));
    let later = ours.conclude(&ack(Err(HelloRefusal::Later(77))));
    assert_eq!(later, Err(HelloError::Refused { number: 77 }));
    assert_eq!(later.unwrap_err().to_string(), "it does not talk to this node (reason 77)");
}

#[test]
fn space_is_told_to_a_power_of_two() {
    for (bytes, least) in [(0, 0), (1, 1), (2, 2), (3, 2), (4, 4), (1 << 40, 1 << 40), (u64::MAX, 1 << 63)] {
        assert_eq!(SpaceClass::of(bytes).at_least_bytes(), least, "{bytes}");
    }
}

#[test]
fn what_a_later_version_adds_is_ignored_and_what_this_one_forbids_is_refused() {
    let known = of(Versions::KNOWN);
    let valid = known.to_proto();
    let added = [&valid.encode_to_vec()[..], &[0x78, 0x01]].concat(); // field 15
    let read = |bytes: &[u8]| Hello::from_proto(proto::Hello::decode(bytes).expect("protobuf"));
    assert_eq!(read(&added), Ok(known.clone()));
    let capable = proto::Hello { capabilities: u32::MAX, ..valid.clone() };
    let all = Hello::from_proto(capable).unwrap().profile.unwrap().capabilities;
    assert_eq!(all.0, Capabilities::KNOWN);
    let domain = "x".repeat(33);
    let spoiled = [
        proto::Hello { version_min: 0, ..valid.clone() },
        proto::Hello { version_max: 0, ..valid.clone() },
        proto::Hello { network: String::new(), ..valid.clone() },
        proto::Hello { role: 3, ..valid.clone() },
        proto::Hello { lent_class: 65, ..valid.clone() },
        proto::Hello { free_class: 65, ..valid.clone() },
        proto::Hello { domain: domain.clone(), ..valid.clone() },
        proto::Hello { domain: "a b".into(), ..valid.clone() },
    ];
    for hello in spoiled {
        assert!(Hello::from_proto(hello.clone()).is_err(), "{hello:?}");
    }
    // Of other versions only what all keep is read.
    let other = proto::Hello { version_min: 7, version_max: 9, role: 3, free_class: 400, domain, ..valid };
    let other = Hello::from_proto(other).unwrap();
    assert_eq!((other.versions, other.profile), (Versions { min: 7, max: 9 }, None));
}

#[test]
fn an_answer_has_a_version_or_a_reason_and_a_hello() {
    let hello = Some(of(Versions::KNOWN).to_proto());
    let read = |version, refusal, hello| HelloAck::from_proto(proto::HelloResponse { version, refusal, hello });
    assert!(read(1, 0, hello.clone()).is_ok() && read(0, 9, hello.clone()).is_ok());
    assert!(read(0, 0, hello.clone()).is_err() && read(1, 1, hello).is_err() && read(1, 0, None).is_err());
}

proptest! {
    #[test]
    fn both_sides_find_the_same(ours in versions(), theirs in versions()) {
        let (ours, theirs) = (of(ours), of(theirs));
        let met = ours.meet(&theirs);
        let version = |found: Result<Acquaintance, HelloError>| found.map(|known| known.version).ok();
        prop_assert_eq!(version(theirs.conclude(&ours.answer(&met))), version(met));
    }

    #[test]
    fn a_space_class_is_within_a_factor_of_two(bytes in 1u64..) {
        let least = SpaceClass::of(bytes).at_least_bytes();
        prop_assert!(least <= bytes && bytes / 2 < least);
    }
}
