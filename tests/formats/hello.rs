//! Vectors of hellos: of a farmer, of a client, of a node of a later version, and both answers.

use dsn_core::{
    hello::{Capabilities, Hello, HelloAck, HelloRefusal, Profile, SpaceClass, Versions},
    record::Role,
    rpc::{Request, Response, frame::Frame},
};

use crate::{Vector, check_bytes, network, request_again, response_again, written};

fn farmer() -> Hello {
    let profile = Profile {
        role: Role::Farmer,
        capabilities: Capabilities::PIECES.with(Capabilities::DHT).with(Capabilities::RELAY),
        lent: SpaceClass::of(1 << 40),
        free: SpaceClass::of((1 << 40) - 12_345),
        domain: "cellar".into(),
        leaving: true,
    };
    Hello { versions: Versions::KNOWN, network: network(), profile: Some(profile) }
}

pub(crate) fn vectors() -> Vec<Vector> {
    let client = Hello { profile: Some(Profile::client()), ..farmer() };
    let later = Hello { versions: Versions::new(7, 9).expect("a range"), profile: None, ..farmer() };
    let request = |name, hello| {
        let bytes = written(&Frame::from(&Request::Hello(hello)));
        Vector { name, bytes, again: request_again }
    };
    let response = |name, outcome| {
        let bytes = written(&Frame::from(&Response::Hello(HelloAck { outcome, hello: farmer() })));
        Vector { name, bytes, again: response_again }
    };
    vec![
        request("request-hello", farmer()),
        request("request-hello-client", client),
        request("request-hello-later", later),
        response("response-hello", Ok(1)),
        response("response-hello-refused", Err(HelloRefusal::NoCommonVersion)),
    ]
}

#[test]
fn hellos_are_the_bytes_they_were() {
    vectors().iter().for_each(check_bytes);
}
