//! Receipts that count, and every kind that does not.

use proptest::prelude::*;

use super::*;
use crate::testing::{self, NOW};

fn descriptor() -> crate::descriptor::Descriptor {
    let hashes = [crate::hash::Hash::of(b"piece"); 48];
    crate::descriptor::Descriptor::new(crate::descriptor::Code::Rs16Of48, 1 << 24, &hashes)
}

fn body(farmer: &Identity) -> ReceiptBody {
    ReceiptBody {
        network: testing::network(),
        chunk: descriptor().id(),
        farmer: farmer.node_id(),
        indices: [0, 47].into_iter().collect(),
        class: Class::Normal,
        seq: 7,
        issued: NOW,
        until: NonZeroU64::new(NOW),
    }
}

fn verify(receipt: Receipt) -> Result<VerifiedReceipt, ReceiptError> {
    let (network, chunk) = (testing::network(), descriptor().id());
    receipt.verify(&ReceiptContext { network: &network, chunk, indices: IndexSet::below(48), now: NOW })
}

fn verify_changed(change: impl FnOnce(&mut ReceiptBody)) -> Result<VerifiedReceipt, ReceiptError> {
    let farmer = Identity::from_seed([1; 32]);
    let mut body = body(&farmer);
    change(&mut body);
    verify(body.sign(&farmer).into_signed())
}

#[test]
fn a_true_receipt_counts_until_its_last_second_and_within_the_clock_skew() {
    assert!(verify_changed(|_| {}).is_ok());
    assert!(verify_changed(|b| b.until = None).is_ok());
    assert!(verify_changed(|b| b.issued = NOW + CLOCK_SKEW_SECS).is_ok());
}

#[test]
fn receipts_of_another_network_chunk_or_time_do_not_count() {
    let other: NetworkName = "other".parse().expect("valid");
    let network = verify_changed(|b| b.network = other.clone()).expect_err("another network");
    assert_eq!(network, ReceiptError::Network { found: other });
    let chunk = ChunkId(crate::hash::Hash::of(b"other"));
    assert_eq!(verify_changed(|b| b.chunk = chunk), Err(ReceiptError::Chunk { found: chunk }));
    for (issued, until) in [(NOW, NonZeroU64::new(NOW - 1)), (NOW + CLOCK_SKEW_SECS + 1, None), (u64::MAX, None)] {
        let error = verify_changed(|b| (b.issued, b.until) = (issued, until)).expect_err("not valid now");
        assert_eq!(error, ReceiptError::Expired { now: NOW, issued, until });
    }
}

/// The bytes have 0 for "no end", so an end at 0 would never come; the type has no such end.
#[test]
fn every_end_that_can_be_signed_is_read_back_and_comes() {
    for until in [None, NonZeroU64::new(1), NonZeroU64::new(NOW), Some(NonZeroU64::MAX)] {
        let farmer = Identity::from_seed([1; 32]);
        let receipt = ReceiptBody { until, ..body(&farmer) }.sign(&farmer).into_signed();
        let read = Receipt::decode(&receipt.encode()).expect("ours");
        assert_eq!(read.body().until, until);
        assert_eq!(verify(read).is_ok(), until.is_none_or(|until| until.get() >= NOW), "{until:?}");
    }
}

#[test]
fn pieces_that_the_code_does_not_have_do_not_count() {
    let farmer = Identity::from_seed([1; 32]);
    let (network, chunk) = (testing::network(), descriptor().id());
    let context = ReceiptContext { network: &network, chunk, indices: IndexSet::below(1), now: NOW };
    let receipt = body(&farmer).sign(&farmer).into_signed();
    assert_eq!(receipt.verify(&context), Err(ReceiptError::Indices));
}

#[test]
fn nobody_signs_for_another() {
    let (farmer, forger) = (Identity::from_seed([1; 32]), Identity::from_seed([2; 32]));
    let forged = body(&farmer).sign(&forger).into_signed();
    assert_eq!(verify(forged), Err(ReceiptError::Signature(SignatureError { signer: farmer.node_id() })));
    let bytes = body(&farmer).sign(&farmer).as_signed().signed_body().body.clone();
    let for_a_record = farmer.sign(Domain::Record, bytes.clone());
    let receipt = Receipt::from_proto(for_a_record.to_proto()).expect("well-formed");
    assert!(matches!(verify(receipt), Err(ReceiptError::Signature(_))), "signed for another purpose");
}

/// Signs whatever it is given.
fn signed(message: &proto::ReceiptBody) -> Bytes {
    let signed = Identity::from_seed([1; 32]).sign(Domain::Receipt, message.encode_to_vec().into());
    signed.to_proto().encode_to_vec().into()
}

fn refused(change: impl FnOnce(&mut proto::ReceiptBody)) -> WireError {
    let receipt = body(&Identity::from_seed([1; 32])).sign(&Identity::from_seed([1; 32]));
    let mut message = proto::ReceiptBody::decode(receipt.as_signed().signed_body().body.clone()).expect("ours");
    assert_eq!(signed(&message), receipt.as_signed().encode());
    change(&mut message);
    Receipt::decode(&signed(&message)).expect_err("a malformed receipt")
}

#[test]
fn malformed_receipts_are_no_receipts() {
    let field = |field| WireError::Field { field };
    assert_eq!(refused(|m| m.version = 2), WireError::Unknown { what: "version", found: 2 });
    assert_eq!(refused(|m| m.class = 0), WireError::Unknown { what: "class", found: 0 });
    assert_eq!(refused(|m| m.class = 4), WireError::Unknown { what: "class", found: 4 });
    assert_eq!(refused(|m| m.indices = 0), field("indices"));
    assert_eq!(refused(|m| m.indices = 1 << 48), field("indices"));
    assert_eq!(refused(|m| m.chunk_id = m.chunk_id.slice(1..)), field("chunk_id"));
    assert_eq!(refused(|m| m.farmer = Bytes::new()), field("farmer"));
    assert_eq!(refused(|m| m.network = String::new()), field("network"));
    assert_eq!(refused(|m| m.network = "a".repeat(65)), field("network"));
    assert_eq!(refused(|m| m.network = "A".into()), field("network"));
    assert_eq!(refused(|m| m.network = "a".repeat(1500)), field("body"));
    let short = proto::Signed { body: Bytes::new(), signature: Bytes::from_static(&[0; 63]) };
    assert_eq!(Receipt::decode(&short.encode_to_vec().into()), Err(field("signature")));
    assert!(matches!(Receipt::decode(&vec![0; 2049].into()), Err(WireError::TooLong { len: 2049, max: 2048 })));
}

fn receipts() -> impl Strategy<Value = VerifiedReceipt> {
    testing::receipt_for(&descriptor())
}

proptest! {
    #[test]
    fn a_receipt_survives_its_encoding(receipt in receipts()) {
        let decoded = Receipt::decode(&receipt.as_signed().encode()).expect("ours");
        prop_assert_eq!(&decoded, receipt.as_signed());
        prop_assert!(verify(decoded).is_ok());
    }

    #[test]
    fn bytes_that_come_close_decode_to_themselves_or_not_at_all(
        bytes in testing::spoiled(receipts().prop_map(|r| r.as_signed().encode())),
    ) {
        if let Ok(receipt) = Receipt::decode(&bytes) {
            prop_assert_eq!(receipt.encode(), bytes);
        }
    }

    #[test]
    fn a_flipped_bit_never_counts(receipt in receipts(), bit: prop::sample::Index) {
        let flipped = testing::flipped(&receipt.as_signed().encode(), bit);
        if let Ok(receipt) = Receipt::decode(&flipped) {
            prop_assert_eq!(receipt.encode(), flipped);
            prop_assert!(verify(receipt).is_err());
        }
    }
}
