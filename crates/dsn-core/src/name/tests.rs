//! What a record has to be, what several come to, and what texts are names.

use std::collections::BTreeMap;

use proptest::{collection::vec, prelude::*, sample::Index};

use super::*;
use crate::{limits::NAME_RECORDS_MAX, testing, testing::NOW};

fn key() -> Identity {
    Identity::from_seed([1; 32])
}

fn root(number: u8) -> Cid {
    Cid(ChunkId(Hash([number; 32])))
}

fn body(sequence: u64, number: u8) -> NameBody {
    let (network, name) = (testing::network(), Name::of(&key()));
    NameBody { network, name, sequence, root: root(number), issued: NOW, until: NOW + 1000 }
}

fn record(sequence: u64, number: u8) -> VerifiedName {
    body(sequence, number).sign(&key())
}

fn known(records: impl IntoIterator<Item = VerifiedName>) -> KnownName {
    let mut known = KnownName::default();
    for record in records {
        known.merge(record);
    }
    known
}

#[test]
fn a_record_counts_for_its_key_and_network_and_not_before_its_date() {
    let signed = record(1, 7).into_signed();
    let (network, other) = (testing::network(), "other".parse().expect("a name"));
    assert!(signed.clone().verify(&network, NOW).is_ok());
    assert!(signed.clone().verify(&network, NOW + 5000).is_ok(), "ended, and true all the same");
    let early = signed.clone().verify(&network, NOW - CLOCK_SKEW_SECS - 1);
    assert!(matches!(early, Err(NameRecordError::Future { .. })));
    assert!(matches!(signed.verify(&other, NOW), Err(NameRecordError::Network { .. })));
    let forged = body(1, 7).sign(&Identity::from_seed([2; 32])).into_signed();
    assert!(matches!(forged.verify(&network, NOW), Err(NameRecordError::Signature(_))));
}

#[test]
fn malformed_records_are_no_records() {
    let refused = |change: fn(&mut proto::NameBody)| {
        let mut message = proto::NameBody::decode(Bytes::from(body(1, 7).to_bytes())).expect("ours");
        change(&mut message);
        NameBody::from_bytes(&message.encode_to_vec().into()).expect_err("malformed")
    };
    let field = |field| WireError::Field { field };
    assert_eq!(refused(|m| m.version = 2), WireError::Unknown { what: "version", found: 2 });
    assert_eq!(refused(|m| m.network = "no spaces".into()), field("network"));
    assert_eq!(refused(|m| m.name = m.name.slice(1..)), field("name"));
    assert_eq!(refused(|m| m.root = m.root.slice(1..)), field("root"));
    assert_eq!(refused(|m| m.sequence = 0), field("sequence"));
    assert_eq!(refused(|m| m.until = m.issued), field("until"));
    assert_eq!(refused(|m| m.until = m.issued + NAME_TTL_MAX_SECS + 1), field("until"));
}

#[test]
fn the_newest_number_counts_and_an_ended_record_stands_for_nothing() {
    let newest = known([record(2, 7), record(3, 8), record(1, 9)]);
    assert_eq!(newest.at(NOW), Standing::Current(&body(3, 8)));
    assert_eq!(newest.at(NOW + 1000), Standing::Ended(&body(3, 8)), "and number 2 does not come back");
    assert!(!newest.is_forgotten_at(NOW + 1000 + NAME_KEPT_SECS - 1));
    assert!(newest.is_forgotten_at(NOW + 1000 + NAME_KEPT_SECS));
    assert_eq!(KnownName::default().at(NOW), Standing::Unknown);
}

#[test]
fn two_roots_of_one_number_are_a_conflict_until_a_higher_number_comes() {
    let mut both = known([record(2, 9), record(1, 1), record(2, 7)]);
    assert_eq!(both.at(NOW), Standing::Conflict(&body(2, 7), &body(2, 9)));
    assert_eq!(both.at(NOW + 1000), Standing::Ended(&body(2, 7)));
    assert!(!both.merge(record(2, 10)), "two show it; the third is not needed");
    assert!(both.merge(record(3, 10)));
    assert_eq!(both.at(NOW), Standing::Current(&body(3, 10)));
}

#[test]
fn a_renewed_record_ends_later_and_takes_no_number() {
    let renewed = NameBody { issued: NOW + 10, until: NOW + 2000, ..body(2, 7) };
    let mut name = known([record(2, 7)]);
    assert!(name.merge(renewed.clone().sign(&key())));
    assert!(!name.merge(record(2, 7)), "the older one changes nothing");
    assert_eq!(name.at(NOW + 1500), Standing::Current(&renewed));
}

#[test]
fn a_record_of_another_name_is_no_record_of_this_one() {
    let other = Identity::from_seed([2; 32]);
    let mut name = known([record(1, 7)]);
    assert!(!name.merge(NameBody { name: Name::of(&other), ..body(5, 8) }.sign(&other)));
    assert_eq!(name.sequence(), 1);
}

#[test]
fn what_cannot_be_signed_is_moved_to_what_can() {
    let long = NameBody { until: u64::MAX, sequence: 0, ..body(1, 7) }.sign(&key());
    assert_eq!((long.body().until, long.body().sequence), (NOW + NAME_TTL_MAX_SECS, 1));
    let signed = long.into_signed();
    assert_eq!(NameRecord::decode(&signed.encode()), Ok(signed));
}

#[test]
fn every_wrong_name_has_its_own_error() {
    let text = Name::of(&key()).to_string();
    let check =
        |text: &str, expected: &ParseNameError| assert_eq!(text.parse::<Name>().as_ref(), Err(expected), "{text}");
    check("", &ParseNameError::Prefix);
    check("bafib4i", &ParseNameError::Prefix);
    check(&text.replace("n1", "n2"), &ParseNameError::Version);
    check(&text[..text.len() - 1], &ParseNameError::Length { found: TEXT_CHARS - 1 });
    check(&format!("{text}a"), &ParseNameError::Length { found: TEXT_CHARS + 1 });
    check(&format!("{PREFIX}{}", "1".repeat(TEXT_CHARS)), &ParseNameError::Alphabet);
    check(&format!("{PREFIX}{}", text[PREFIX.len()..].to_ascii_uppercase()), &ParseNameError::Alphabet);
    let first = if &text[7..8] == "a" { "b" } else { "a" };
    check(&format!("{PREFIX}{first}{}", &text[8..]), &ParseNameError::Checksum);
}

fn records() -> impl Strategy<Value = Vec<VerifiedName>> {
    let one = (1u64..4, 0u8..4, 0u64..3).prop_map(|(sequence, number, later)| {
        NameBody { issued: NOW + later, until: NOW + 1000 + later, ..body(sequence, number) }.sign(&key())
    });
    vec(one, 0..12)
}

proptest! {
    #[test]
    fn a_name_survives_its_text_form(bytes: [u8; 32]) {
        let name = Name(NodeId(bytes));
        prop_assert_eq!(name.to_string().parse(), Ok(name));
    }

    #[test]
    fn any_text_is_its_own_name_or_none(text in prop_oneof![".{0,90}", "dsn:n1:[a-z2-7]{58}", "dsn:n[0-9]:.{50,60}"]) {
        if let Ok(name) = text.parse::<Name>() {
            prop_assert_eq!(name.to_string(), text);
        }
    }

    /// Any other character at any place is noticed.
    #[test]
    fn one_wrong_character_is_no_name(bytes: [u8; 32], at: Index, other in "[a-z2-7]") {
        let text = Name(NodeId(bytes)).to_string();
        let at = PREFIX.len() + at.index(TEXT_CHARS);
        let wrong = format!("{}{other}{}", &text[..at], &text[at + 1..]);
        prop_assume!(wrong != text);
        prop_assert!(wrong.parse::<Name>().is_err());
    }

    #[test]
    fn any_order_of_arrival_comes_to_the_same(records in records(), swaps in vec((any::<Index>(), any::<Index>()), 0..12)) {
        let first = known(records.clone());
        let mut shuffled = records.clone();
        for (a, b) in swaps.iter().filter(|_| !records.is_empty()) {
            shuffled.swap(a.index(records.len()), b.index(records.len()));
        }
        let second = known(shuffled);
        prop_assert_eq!(&first, &second);
        let newest = records.iter().map(|record| record.body().sequence).max().unwrap_or(0);
        prop_assert_eq!(first.sequence(), newest);
        let of_newest = records.iter().filter(|record| record.body().sequence == newest);
        let mut ends: BTreeMap<Cid, u64> = BTreeMap::new();
        for record in of_newest {
            let end = ends.entry(record.body().root).or_default();
            *end = record.body().until.max(*end);
        }
        let kept: Vec<(Cid, u64)> = first.records().iter().map(|kept| (kept.body().root, kept.body().until)).collect();
        prop_assert_eq!(kept, ends.into_iter().take(NAME_RECORDS_MAX).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_known_survives_its_stored_form(records in records()) {
        let known = known(records);
        match known.to_records() {
            Some(stored) => {
                prop_assert_eq!(NameRecords::decode(&stored.encode()), Ok(stored.clone()));
                prop_assert_eq!(stored.verify(&testing::network(), NOW), known);
            }
            None => prop_assert_eq!(known.sequence(), 0),
        }
    }

    #[test]
    fn a_flipped_bit_is_no_true_record(bit: Index) {
        let bytes = testing::flipped(&record(3, 7).as_signed().encode(), bit);
        if let Ok(read) = NameRecord::decode(&bytes) {
            prop_assert!(read.verify(&testing::network(), NOW).is_err());
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..2_600)) {
        let bytes = Bytes::from(bytes);
        let _no_record = NameRecord::decode(&bytes);
        let _no_records = NameRecords::decode(&bytes);
    }
}
