//! What a locator keeps: true receipts only, the newest of each farmer, whatever the order in which they come.

use std::num::NonZeroU64;

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::{
    descriptor::Code,
    hash::Hash,
    identity::Identity,
    limits::CLOCK_SKEW_SECS,
    receipt::ReceiptBody,
    testing::{self, NOW, located},
};

fn descriptor() -> Descriptor {
    Descriptor::new(Code::Rs16Of48, 1 << 24, &[Hash::of(b"piece"); 48])
}

fn body(farmer: &Identity) -> ReceiptBody {
    ReceiptBody {
        network: testing::network(),
        chunk: descriptor().id(),
        farmer: farmer.node_id(),
        indices: IndexSet::one(5),
        class: Class::Low,
        seq: 1,
        issued: NOW,
        until: None,
    }
}

/// A farmer for each number.
fn farmer(n: u64) -> Identity {
    Identity::from_seed(Hash::of(&n.to_be_bytes()).0)
}

#[test]
fn receipts_that_do_not_count_are_dropped() {
    let (alice, bob) = (farmer(1), farmer(2));
    let other = Descriptor::new(Code::Rep, 5, &[Hash::of(b"other")]).id();
    let changed = |change: fn(&mut ReceiptBody)| {
        let mut body = body(&alice);
        change(&mut body);
        body.sign(&alice).into_signed()
    };
    let bad = [
        ("forged", body(&alice).sign(&bob).into_signed()),
        ("other network", changed(|b| b.network = "other".parse().expect("valid"))),
        ("other chunk", ReceiptBody { chunk: other, ..body(&alice) }.sign(&alice).into_signed()),
        ("expired", changed(|b| b.until = NonZeroU64::new(NOW - 1))),
        ("of the future", changed(|b| b.issued = NOW + CLOCK_SKEW_SECS + 1)),
    ];
    let good = body(&bob).sign(&bob);
    for (why, receipt) in bad {
        let locator = Locator { descriptor: descriptor(), receipts: vec![receipt, good.as_signed().clone()] };
        let locator = Locator::decode(&locator.encode()).expect("well-formed");
        let verified = locator.verify(&testing::network(), NOW);
        assert_eq!(verified.holders().into_keys().collect::<Vec<_>>(), [bob.node_id()], "{why}");
    }
}

#[test]
fn pieces_beyond_the_code_are_dropped() {
    let rep = Descriptor::new(Code::Rep, 5, &[Hash::of(b"copy")]);
    let receipt = ReceiptBody { chunk: rep.id(), ..body(&farmer(1)) }.sign(&farmer(1)).into_signed();
    let verified = Locator { descriptor: rep, receipts: vec![receipt] }.verify(&testing::network(), NOW);
    assert_eq!(verified.receipts().count(), 0, "a copy is piece 0");
}

#[test]
fn the_newest_receipt_of_a_farmer_wins() {
    let alice = farmer(1);
    let of = |seq, issued| ReceiptBody { seq, issued, ..body(&alice) }.sign(&alice);
    let mut locator = located(&descriptor(), &[of(3, NOW)]);
    assert!(!locator.insert(of(2, NOW + 9)), "an older number, whatever its date");
    assert!(!locator.insert(of(3, NOW)), "the same");
    assert!(locator.insert(of(4, NOW - 9)));
    assert_eq!(locator.receipts().map(|r| r.body().seq).collect::<Vec<_>>(), [4]);
    let stranger = ReceiptBody { chunk: ChunkId(Hash::of(b"")), ..body(&farmer(2)) }.sign(&farmer(2));
    assert!(!locator.insert(stranger), "a receipt for another chunk");
}

/// A farmer may sign two receipts with one number; everybody still keeps the same one.
#[test]
fn two_receipts_of_one_number_merge_the_same_way_in_any_order() {
    let alice = farmer(1);
    let of = |index| ReceiptBody { indices: IndexSet::one(index), ..body(&alice) }.sign(&alice);
    let [one, two] = [located(&descriptor(), &[of(1), of(2)]), located(&descriptor(), &[of(2), of(1)])];
    assert_eq!(one, two);
}

#[test]
fn more_receipts_than_the_bound_drop_the_oldest() {
    let receipts: Vec<_> = (0..LOCATOR_MAX_RECEIPTS as u64 + 10)
        .map(|n| ReceiptBody { issued: NOW - n, ..body(&farmer(n)) }.sign(&farmer(n)))
        .collect();
    for order in [receipts.clone(), receipts.iter().rev().cloned().collect()] {
        let locator = located(&descriptor(), &order);
        assert_eq!(locator.receipts().count(), LOCATOR_MAX_RECEIPTS);
        assert!(locator.receipts().all(|r| r.body().issued > NOW - LOCATOR_MAX_RECEIPTS as u64));
        assert_eq!(Locator::decode(&locator.to_locator().encode()), Ok(locator.to_locator()));
    }
    let receipts = receipts.iter().map(|r| r.as_signed().clone()).collect();
    let over = Locator { descriptor: descriptor(), receipts };
    assert_eq!(Locator::decode(&over.encode()), Err(WireError::Field { field: "receipts" }));
}

/// A stranger with a hundred keys and fresh dates must not push out those who were seen to hold what they signed for.
#[test]
fn a_flood_of_receipts_does_not_push_out_farmers_that_have_proved_a_piece() {
    let honest = located(&descriptor(), &[ReceiptBody { issued: NOW - 999, ..body(&farmer(1)) }.sign(&farmer(1))]);
    let flood: Vec<_> = (2..LOCATOR_MAX_RECEIPTS as u64 + 50).map(|n| body(&farmer(n)).sign(&farmer(n))).collect();
    let flood = located(&descriptor(), &flood);
    let me = farmer(1).node_id();
    for (proved, stays) in [(true, true), (false, false)] {
        let mut kept = honest.clone();
        kept.merge_beside(&flood, &|node| proved && node == me);
        assert_eq!(kept.receipts().count(), LOCATOR_MAX_RECEIPTS);
        assert_eq!(kept.holders().contains_key(&me), stays);
    }
}

#[test]
fn malformed_locators_are_no_locators() {
    let valid = located(&descriptor(), &[body(&farmer(1)).sign(&farmer(1))]).to_locator();
    let refused = |change: fn(&mut proto::Locator)| {
        let mut message = valid.to_proto();
        change(&mut message);
        Locator::decode(&message.encode_to_vec().into()).expect_err("malformed")
    };
    assert_eq!(refused(|m| m.version = 2), WireError::Unknown { what: "version", found: 2 });
    assert_eq!(refused(|m| m.descriptor = Bytes::new()), WireError::Unknown { what: "version", found: 0 });
    assert_eq!(refused(|m| m.receipts[0].signature = Bytes::new()), WireError::Field { field: "signature" });
    let huge = Bytes::from(vec![0; LOCATOR_MAX_BYTES + 1]);
    assert!(matches!(Locator::decode(&huge), Err(WireError::TooLong { .. })));
    assert!(valid.encode().len() < 32 * 1024);
}

proptest! {
    #[test]
    fn a_locator_survives_its_encoding(locator in testing::locator()) {
        let decoded = Locator::decode(&locator.to_locator().encode()).expect("ours");
        prop_assert_eq!(&decoded, &locator.to_locator());
        prop_assert_eq!(decoded.verify(&testing::network(), NOW), locator);
    }

    #[test]
    fn bytes_that_come_close_decode_to_themselves_or_not_at_all(
        bytes in testing::spoiled(testing::locator().prop_map(|locator| locator.to_locator().encode())),
    ) {
        if let Ok(locator) = Locator::decode(&bytes) {
            prop_assert_eq!(locator.encode(), bytes);
        }
    }

    #[test]
    fn a_flipped_bit_loses_a_receipt_or_the_chunk(locator in testing::locator(), bit: prop::sample::Index) {
        let flipped = testing::flipped(&locator.to_locator().encode(), bit);
        if let Ok(decoded) = Locator::decode(&flipped) {
            prop_assert_eq!(decoded.encode(), flipped);
            let verified = decoded.verify(&testing::network(), NOW);
            let lost = locator.receipts().count() - verified.receipts().count();
            let expected = if verified.chunk() == locator.chunk() { 1 } else { locator.receipts().count() };
            prop_assert_eq!(lost, expected);
        }
    }

    #[test]
    fn merging_is_a_union_in_any_order(
        (a, b, c) in {
            let some = || vec(testing::receipt_for(&descriptor()), 0..20);
            (some(), some(), some())
        },
    ) {
        let [a, b, c] = [a, b, c].map(|receipts| located(&descriptor(), &receipts));
        let merged = |parts: &[&VerifiedLocator]| {
            let mut all = VerifiedLocator::new(descriptor());
            parts.iter().for_each(|part| {
                all.merge(part);
            });
            all
        };
        let all = merged(&[&a, &b, &c]);
        prop_assert_eq!(&all, &merged(&[&c, &b, &a]));
        prop_assert_eq!(&all, &merged(&[&a, &merged(&[&b, &c])]));
        prop_assert!(!merged(&[&all]).merge(&all));
        for part in [&a, &b, &c] {
            prop_assert!(part.holders().keys().all(|farmer| all.holders().contains_key(farmer)));
        }
    }

    #[test]
    fn however_many_receipts_come_the_bound_holds(count in 90u64..140, dates in vec(0u64..9, 140)) {
        let sign = |n: u64| {
            let issued = NOW - dates[usize::try_from(n).expect("small")];
            ReceiptBody { issued, ..body(&farmer(n)) }.sign(&farmer(n))
        };
        let receipts: Vec<_> = (0..count).map(sign).collect();
        let [one, two] = [located(&descriptor(), &receipts), {
            let backwards: Vec<_> = receipts.iter().rev().cloned().collect();
            located(&descriptor(), &backwards)
        }];
        prop_assert!(one.receipts().count() <= LOCATOR_MAX_RECEIPTS);
        prop_assert_eq!(one, two);
    }
}
