//! Vectors of names: a record, two that disagree, what asks for them and what answers, and the text of a name.

use std::fmt::Write;

use dsn_core::{
    cid::Cid,
    hash::{ChunkId, Hash},
    name::{KnownName, Name, NameBody, NameRecord, NameRecords},
    rpc::{Request, Response, frame::Frame},
};

use crate::{NOW, VALID, Vector, check_bytes, identity, network, request_again, response_again, written};

fn records(sequence: u64, roots: &[u8]) -> NameRecords {
    let key = identity(9);
    let mut known = KnownName::default();
    for root in roots {
        let (network, name, root) = (network(), Name::of(&key), Cid(ChunkId(Hash([*root; 32]))));
        let body = NameBody { network, name, sequence, root, issued: NOW, until: NOW + 30 * 86_400 };
        known.merge(body.sign(&key));
    }
    known.to_records().expect("at least one root")
}

pub(crate) fn vectors() -> Vec<Vector> {
    let (one, two) = (records(3, &[7]), records(4, &[8, 9]));
    let record = one.records()[0].clone();
    let names = vec![Name::of(&identity(9)), Name::of(&identity(10))];
    let record_again = |bytes| NameRecord::decode(&bytes).expect(VALID).encode();
    let records_again = |bytes| NameRecords::decode(&bytes).expect(VALID).encode();
    let request = |request: &Request| written(&Frame::from(request));
    let response = |response: &Response| written(&Frame::from(response));
    vec![
        Vector { name: "name", bytes: record.encode(), again: record_again },
        Vector { name: "name-records", bytes: two.encode(), again: records_again },
        Vector { name: "request-names", bytes: request(&Request::Names(names)), again: request_again },
        Vector {
            name: "request-publish-names",
            bytes: request(&Request::PublishNames(vec![record])),
            again: request_again,
        },
        Vector {
            name: "response-names",
            bytes: response(&Response::Names(vec![Some(one), None, Some(two)])),
            again: response_again,
        },
        Vector {
            name: "response-publish-names",
            bytes: response(&Response::NamesPublished(vec![true, false])),
            again: response_again,
        },
    ]
}

/// Keys, their names, and the key whose custodians keep them.
pub(crate) fn texts() -> String {
    let mut text = String::new();
    for seed in 1..=8 {
        let name = Name::of(&identity(seed));
        let key = data_encoding::HEXLOWER.encode(name.as_bytes());
        writeln!(text, "key {key}\nname {name}\nplace {}", name.place()).expect("a text grows");
    }
    text
}

#[test]
fn names_are_the_bytes_they_were() {
    vectors().iter().for_each(check_bytes);
}

#[test]
fn a_name_in_text_is_read_back() {
    for text in texts().lines().filter_map(|line| line.strip_prefix("name ")) {
        assert_eq!(text.parse::<Name>().unwrap().to_string(), text);
    }
}
