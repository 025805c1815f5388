//! Farmer records that count, and every kind that does not.

use proptest::prelude::*;

use super::*;
use crate::testing;

fn body(node: &Identity) -> RecordBody {
    RecordBody {
        network: testing::network(),
        node: node.node_id(),
        addresses: vec![Bytes::from_static(&[0x04, 127, 0, 0, 1, 0x06, 0x10, 0x00])],
        space_class: 33,
        domain: "cellar".into(),
        role: Role::Farmer,
        seq: 1,
    }
}

#[test]
fn a_record_counts_for_its_network_and_its_node() {
    let (alice, bob) = (Identity::from_seed([1; 32]), Identity::from_seed([2; 32]));
    let (network, other) = (testing::network(), "other".parse().expect("valid"));
    let record = body(&alice).sign(&alice);
    assert_eq!(record.clone().verify(&network, alice.node_id()), Ok(body(&alice)));
    assert_eq!(record.clone().verify(&other, alice.node_id()), Err(RecordError::Network { found: network.clone() }));
    assert_eq!(record.verify(&network, bob.node_id()), Err(RecordError::Node { found: alice.node_id() }));
    let forged = body(&alice).sign(&bob);
    let error = RecordError::Signature(SignatureError { signer: alice.node_id() });
    assert_eq!(forged.verify(&network, alice.node_id()), Err(error));
}

#[test]
fn the_address_is_the_first_that_starts_with_an_ip() {
    let mut body = body(&Identity::from_seed([1; 32]));
    assert_eq!(body.ip(), Some(IpAddr::from([127, 0, 0, 1])));
    body.addresses.insert(0, Bytes::from([&[0x29][..], &[0; 15], &[1]].concat()));
    assert_eq!(body.ip(), Some("::1".parse().expect("an address")));
    body.addresses = vec![Bytes::from_static(&[0x04, 1, 2]), Bytes::from_static(&[0x35, 3])];
    assert_eq!(body.ip(), None);
}

fn refused(change: impl FnOnce(&mut proto::RecordBody)) -> WireError {
    let identity = Identity::from_seed([1; 32]);
    let record = body(&identity).sign(&identity);
    let mut message = proto::RecordBody::decode(record.signed_body().body.clone()).expect("ours");
    change(&mut message);
    let signed = identity.sign(Domain::Record, message.encode_to_vec().into());
    FarmerRecord::decode(&signed.to_proto().encode_to_vec().into()).expect_err("a malformed record")
}

#[test]
fn malformed_records_are_no_records() {
    let field = |field| WireError::Field { field };
    assert_eq!(refused(|m| m.version = 0), WireError::Unknown { what: "version", found: 0 });
    assert_eq!(refused(|m| m.role = 0), WireError::Unknown { what: "role", found: 0 });
    assert_eq!(refused(|m| m.role = 3), WireError::Unknown { what: "role", found: 3 });
    assert_eq!(refused(|m| m.space_class = 64), field("space_class"));
    assert_eq!(refused(|m| m.node = m.node.slice(1..)), field("node"));
    assert_eq!(refused(|m| m.network = "no spaces".into()), field("network"));
    assert_eq!(refused(|m| m.domain = "a".repeat(33)), field("domain"));
    assert_eq!(refused(|m| m.domain = "a b".into()), field("domain"));
    assert_eq!(refused(|m| m.addresses = vec![Bytes::from_static(b"a"); 9]), field("addresses"));
    assert_eq!(refused(|m| m.addresses = vec![Bytes::new()]), field("addresses"));
    assert_eq!(refused(|m| m.addresses = vec![vec![1; 257].into()]), field("addresses"));
    assert_eq!(refused(|m| m.addresses = vec![vec![1; 5000].into()]), field("body"));
    assert!(matches!(FarmerRecord::decode(&vec![0; 8193].into()), Err(WireError::TooLong { .. })));
}

proptest! {
    #[test]
    fn a_record_survives_its_encoding(record in testing::record()) {
        let decoded = FarmerRecord::decode(&record.encode()).expect("ours");
        prop_assert_eq!(&decoded, &record);
        prop_assert!(decoded.verify(&testing::network(), record.body().node).is_ok());
    }

    #[test]
    fn bytes_that_come_close_decode_to_themselves_or_not_at_all(
        bytes in testing::spoiled(testing::record().prop_map(|record| record.encode())),
    ) {
        if let Ok(record) = FarmerRecord::decode(&bytes) {
            prop_assert_eq!(record.encode(), bytes);
        }
    }

    #[test]
    fn a_flipped_bit_never_counts(record in testing::record(), bit: prop::sample::Index) {
        let flipped = testing::flipped(&record.encode(), bit);
        if let Ok(other) = FarmerRecord::decode(&flipped) {
            prop_assert!(other.clone().verify(&testing::network(), record.body().node).is_err());
            prop_assert_eq!(other.encode(), flipped);
        }
    }
}
