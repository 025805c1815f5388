//! Who is let in and who is not; texts and bytes that are no invitations, certificates or steps.

use std::collections::BTreeSet;

use bytes::Bytes;
use proptest::prelude::*;

use super::{
    admission::{Admission, Word},
    certificate::{CertificateBody, is_label},
    invitation::{Invitation, InvitationError},
    revocations::RevocationsBody,
    *,
};
use crate::{
    limits::{ADDRESS_MAX_BYTES, ADMISSION_MAX_BYTES, RECORD_MAX_ADDRESSES, REVOCATIONS_MAX, REVOCATIONS_MAX_BYTES},
    testing::{NOW, spoiled},
};

const DAY: u64 = 86_400;

fn identity(seed: u8) -> Identity {
    Identity::from_seed([seed; 32])
}

fn founder() -> Identity {
    identity(1)
}

fn network() -> NetworkName {
    closed_network(founder().node_id(), "club").expect("a label")
}

fn certificate(member: &Identity, until: Option<u64>) -> VerifiedCertificate {
    let (founder, label) = (founder().node_id(), "bob's cellar".to_owned());
    CertificateBody { network: network(), founder, member: member.node_id(), label, issued: NOW, until, quota: None }
        .sign(&super::tests::founder())
}

fn member(seed: u8, until: Option<u64>) -> Membership {
    Membership::new(identity(seed), certificate(&identity(seed), until)).expect("for this key")
}

fn revoked(seq: u64, members: &[u8]) -> VerifiedRevocations {
    let members: BTreeSet<_> = members.iter().map(|seed| identity(*seed).node_id()).collect();
    RevocationsBody { network: network(), founder: founder().node_id(), seq, members }.sign(&founder())
}

#[test]
fn a_node_of_a_member_is_let_in_and_nobody_else_with_its_papers() {
    let (alice, bob) = (member(2, None), member(3, Some(NOW + DAY)));
    let (node, thief) = (identity(10).node_id(), identity(11).node_id());
    let shown = bob.credentials(node, NOW);
    let admitted = alice.admit(node, shown.clone(), NOW).expect("a member");
    assert_eq!((admitted.member, admitted.until), (identity(3).node_id(), Some(NOW + DAY)));
    assert_eq!(alice.admit(thief, shown.clone(), NOW), Err(Refused::Forged), "overheard");
    let mixed = Credentials { certificate: alice.certificate().as_signed().clone(), ..shown };
    assert_eq!(alice.admit(node, mixed, NOW), Err(Refused::Forged), "another member's word");
}

#[test]
fn a_quota_is_what_the_founder_has_signed() {
    let (alice, node) = (member(2, None), identity(10).node_id());
    let allowed = |quota| {
        let body = CertificateBody { quota, ..certificate(&identity(3), None).into_body() };
        let text = Invitation::new(identity(3), body.sign(&founder()), []).expect("for this key").to_text();
        let invited: Membership = text.parse::<Invitation>().expect("valid").membership();
        assert_eq!(
            invited.allowance(),
            alice.admit(node, invited.credentials(node, NOW), NOW).expect("ours").allowance()
        );
        invited.allowance()
    };
    let of_bob = |bytes| Some(Allowance { member: identity(3).node_id(), bytes });
    assert_eq!((allowed(None), allowed(Some(7 << 30))), (None, of_bob(7 << 30)));
    assert_eq!(allowed(Some(0)), of_bob(1), "none at all would read as no bound");
    let body = CertificateBody { quota: Some(1 << 40), ..certificate(&identity(3), None).into_body() };
    let raised = Membership::new(identity(3), body.sign(&identity(3))).expect("for this key");
    assert_eq!(alice.admit(node, raised.credentials(node, NOW), NOW), Err(Refused::Forged));
}

#[test]
fn papers_of_others_are_refused() {
    let (alice, node) = (member(2, None), identity(10).node_id());
    let signed_by = |signer: &Identity, founder: NodeId, network: NetworkName| {
        let (member, label) = (identity(3), "bob".to_owned());
        let body = CertificateBody {
            network,
            founder,
            member: member.node_id(),
            label,
            issued: NOW,
            until: None,
            quota: None,
        };
        Membership::new(member, body.sign(signer)).expect("for this key").credentials(node, NOW)
    };
    let (us, them) = (founder(), identity(9));
    let forged = signed_by(&them, us.node_id(), network());
    assert_eq!(alice.admit(node, forged, NOW), Err(Refused::Forged));
    let theirs = signed_by(&them, them.node_id(), closed_network(them.node_id(), "club").expect("a label"));
    assert_eq!(alice.admit(node, theirs, NOW), Err(Refused::OtherNetwork), "the same label, another founder");
    let usurped = signed_by(&them, them.node_id(), network());
    assert_eq!(alice.admit(node, usurped, NOW), Err(Refused::OtherNetwork));
    let ours = signed_by(&us, us.node_id(), closed_network(us.node_id(), "den").expect("a label"));
    assert_eq!(alice.admit(node, ours, NOW), Err(Refused::OtherNetwork), "the same founder, another network");
}

#[test]
fn every_date_is_looked_at_with_some_patience() {
    let (alice, node) = (member(2, None), identity(10).node_id());
    let admit = |until: Option<u64>, signed_at: u64, now: u64| {
        alice.admit(node, member(3, until).credentials(node, signed_at), now).map(|_| ())
    };
    let end = NOW + DAY;
    assert_eq!(admit(Some(end), end, end + MEMBER_SKEW_SECS - 1), Ok(()));
    assert_eq!(admit(Some(end), end, end + MEMBER_SKEW_SECS), Err(Refused::Expired));
    assert_eq!(admit(None, NOW, NOW + DELEGATION_SECS + MEMBER_SKEW_SECS - 1), Ok(()));
    assert_eq!(admit(None, NOW, NOW + DELEGATION_SECS + MEMBER_SKEW_SECS), Err(Refused::Expired));
    assert_eq!(admit(None, NOW + MEMBER_SKEW_SECS, NOW), Ok(()));
    assert_eq!(admit(None, NOW + MEMBER_SKEW_SECS + 1, NOW), Err(Refused::Future));
    assert_eq!(admit(None, NOW, NOW - MEMBER_SKEW_SECS - 1), Err(Refused::Future), "the certificate");
    let long =
        DelegationBody { network: network(), member: identity(3).node_id(), node, issued: NOW, until: NOW + 10 * DAY };
    let shown =
        Credentials { delegation: long.sign(&identity(3)).into_signed(), ..member(3, None).credentials(node, NOW) };
    assert_eq!(alice.admit(node, shown, NOW), Err(Refused::Future), "nobody is named for ten days");
}

#[test]
fn the_newest_list_of_the_founder_counts() {
    let (mut alice, bob, node) = (member(2, None), member(3, None), identity(10).node_id());
    let admit = |alice: &Membership| alice.admit(node, bob.credentials(node, NOW), NOW).map(|_| ());
    assert_eq!(alice.learn(revoked(5, &[3]).into_signed()), Ok(true));
    assert_eq!(admit(&alice), Err(Refused::Revoked));
    assert_eq!(alice.learn(revoked(5, &[]).into_signed()), Ok(false), "not newer");
    assert_eq!(alice.learn(revoked(4, &[]).into_signed()), Ok(false), "older");
    let usurper =
        RevocationsBody { members: BTreeSet::new(), seq: 9, ..revoked(9, &[]).into_body() }.sign(&identity(9));
    assert!(matches!(alice.learn(usurper.into_signed()), Err(RevocationsError::Signature(_))));
    let theirs = RevocationsBody { founder: identity(9).node_id(), ..revoked(9, &[]).into_body() }.sign(&identity(9));
    assert!(matches!(alice.learn(theirs.into_signed()), Err(RevocationsError::Founder { .. })));
    let other = RevocationsBody { network: "den".parse().expect("valid"), ..revoked(9, &[]).into_body() };
    assert!(matches!(alice.learn(other.sign(&founder()).into_signed()), Err(RevocationsError::Network { .. })));
    assert_eq!(admit(&alice), Err(Refused::Revoked), "none of these changed anything");
    assert_eq!((alice.standing(NOW), alice.seq()), (Ok(()), 5));
    assert_eq!(alice.learn(revoked(6, &[2]).into_signed()), Ok(true));
    assert_eq!((alice.standing(NOW), admit(&alice)), (Err(Refused::Revoked), Ok(())));
}

#[test]
fn a_networks_name_says_whose_it_is() {
    let name = network();
    assert_eq!((label_of(&name), name.as_str().len()), (Some("club"), "club.".len() + CLOSED_ID_CHARS));
    assert_ne!(closed_network(identity(2).node_id(), "club"), Ok(name));
    let longest = "x".repeat(CLOSED_LABEL_MAX_BYTES);
    assert!(closed_network(founder().node_id(), &longest).is_ok());
    for label in ["", "Club", "a b", &format!("{longest}x")] {
        assert!(closed_network(founder().node_id(), label).is_err(), "{label}");
    }
    assert_eq!(label_of(&"main".parse().expect("valid")), None);
}

#[test]
fn labels_can_be_shown() {
    for label in ["bob", "Bob's cellar", "Åse", &"x".repeat(64)] {
        assert!(is_label(label), "{label}");
    }
    for label in ["", " ", " bob", "bob ", "bo\nb", "bo\u{1b}[2Jb", &"x".repeat(65)] {
        assert!(!is_label(label), "{label:?}");
    }
}

fn invitation() -> Invitation {
    let addresses = vec![Bytes::from_static(&[4, 192, 0, 2, 7, 6, 0x0f, 0xa1])];
    Invitation::new(identity(3), certificate(&identity(3), None), addresses).expect("for this key")
}

#[test]
fn an_invitation_survives_its_text_and_shows_its_secret_nowhere_else() {
    let text = invitation().to_text();
    let read: Invitation = text.parse().expect("ours");
    assert_eq!((read.to_text(), read.addresses()), (text.clone(), invitation().addresses()));
    assert_eq!(read.membership().key().node_id(), identity(3).node_id());
    let shown = format!("{invitation} {invitation:?}", invitation = invitation());
    assert!(!shown.contains(&data_encoding::HEXLOWER.encode(&[3; 32])) && !shown.contains(&text), "{shown}");
    let many = (0..20).map(|_| Bytes::from(vec![1; ADDRESS_MAX_BYTES])).chain([Bytes::new()]);
    let full = Invitation::new(identity(3), certificate(&identity(3), None), many).expect("for this key");
    assert_eq!(full.to_text().parse::<Invitation>().expect("ours").addresses().len(), RECORD_MAX_ADDRESSES);
    assert!(Invitation::new(identity(4), certificate(&identity(3), None), []).is_err(), "for another key");
}

#[test]
fn every_way_to_spoil_an_invitation_has_its_own_text() {
    let text = invitation().to_text();
    let error = |text: &str| text.parse::<Invitation>().expect_err(text);
    for garbage in ["", "hello", "dsn:r1:abc"] {
        assert_eq!(error(garbage), InvitationError::Garbage);
    }
    assert_eq!(error("dsn-invite:2:abc"), InvitationError::Version);
    assert_eq!(error(&text.replace("dsn-invite:1:a", "dsn-invite:1:!")), InvitationError::Characters);
    assert_eq!(error(&format!("dsn-invite:1:{}", text[13..].to_uppercase())), InvitationError::Characters);
    assert_eq!(error(&format!("{text}{}", "a".repeat(10_000))), InvitationError::Characters, "longer than any");
    for cut in 14..text.len() {
        assert!(matches!(error(&text[..cut]), InvitationError::Length { .. }), "cut at {cut}");
    }
    assert!(matches!(error(&format!("{text}aa")), InvitationError::Length { .. }));
    let at = text.len() / 2;
    let other = if &text[at..=at] == "a" { "b" } else { "a" };
    assert_eq!(error(&format!("{}{other}{}", &text[..at], &text[at + 1..])), InvitationError::Checksum);
}

/// What only a program that is not dsn would write.
#[test]
fn invitations_that_do_not_fit_together_are_refused() {
    let written =
        |seed: u8, certificate: VerifiedCertificate| Invitation { key: identity(seed), certificate, ..invitation() };
    let error = |written: Invitation| written.to_text().parse::<Invitation>().expect_err("not true");
    let other_key = written(4, certificate(&identity(3), None));
    assert!(matches!(error(other_key), InvitationError::Certificate(CertificateError::Member { .. })));
    let body = certificate(&identity(3), None).into_body();
    let forged = written(3, body.clone().sign(&identity(9)));
    assert!(matches!(error(forged), InvitationError::Certificate(CertificateError::Signature(_))));
    let usurped = CertificateBody { founder: identity(9).node_id(), ..body }.sign(&identity(9));
    assert!(matches!(error(written(3, usurped)), InvitationError::Certificate(CertificateError::Founder { .. })));
}

#[test]
fn steps_of_an_admission_survive_their_bytes_and_the_longest_fits() {
    let everybody = RevocationsBody {
        members: (0..REVOCATIONS_MAX)
            .map(|i| {
                NodeId(*Bytes::from(blake3::hash(&i.to_be_bytes()).as_bytes().to_vec()).first_chunk().expect("32"))
            })
            .collect(),
        ..revoked(u64::MAX, &[]).into_body()
    };
    let longest = everybody.sign(&founder()).into_signed();
    assert!(longest.encode().len() <= REVOCATIONS_MAX_BYTES + 100);
    let shown = Word::Shown(Box::new(member(3, Some(u64::MAX)).credentials(identity(10).node_id(), NOW)));
    let full = Admission { word: shown, seq: u64::MAX, revocations: Some(longest) };
    assert!(full.encode().len() <= ADMISSION_MAX_BYTES);
    let reasons = [
        Refused::NoCredentials,
        Refused::OtherNetwork,
        Refused::Forged,
        Refused::Expired,
        Refused::Future,
        Refused::Revoked,
    ];
    let words = reasons.into_iter().map(Word::Refused).chain([Word::Welcome]);
    for step in words.map(|word| Admission { word, seq: 7, revocations: None }).chain([full]) {
        assert_eq!(Admission::decode(&step.encode()), Ok(step));
    }
}

fn valid_steps() -> impl Strategy<Value = Bytes> {
    (0u8..3, any::<u64>(), any::<bool>()).prop_map(|(kind, seq, with)| {
        let word = match kind {
            0 => Word::Shown(Box::new(member(3, None).credentials(identity(10).node_id(), NOW))),
            1 => Word::Welcome,
            _ => Word::Refused(Refused::Expired),
        };
        let seq = seq.max(1);
        Admission { word, seq, revocations: with.then(|| revoked(seq, &[3, 4]).into_signed()) }.encode()
    })
}

proptest! {
    #[test]
    fn any_bytes_are_their_own_step_or_none(bytes in spoiled(valid_steps())) {
        if let Ok(step) = Admission::decode(&bytes) {
            prop_assert_eq!(step.encode(), bytes);
        }
    }

    #[test]
    fn any_signed_bytes_are_their_own_object_or_none(
        bytes in spoiled(Just(certificate(&identity(3), None).as_signed().encode())),
        list in spoiled(Just(revoked(7, &[3, 4]).as_signed().encode())),
        word in spoiled(Just(member(3, None).credentials(identity(10).node_id(), NOW).delegation.encode())),
    ) {
        if let Ok(certificate) = certificate::Certificate::decode(&bytes) {
            prop_assert_eq!(certificate.encode(), bytes);
        }
        if let Ok(read) = Revocations::decode(&list) {
            prop_assert_eq!(read.encode(), list);
        }
        if let Ok(read) = Delegation::decode(&word) {
            prop_assert_eq!(read.encode(), word);
        }
    }

    #[test]
    fn any_text_is_its_own_invitation_or_none(
        text in prop_oneof![".{0,80}", "dsn-invite:[0-9]:[a-z2-7]{0,200}"],
        at in any::<proptest::sample::Index>(),
        letter in "[ -~]",
    ) {
        let mut near = invitation().to_text();
        let at = at.index(near.len());
        near.replace_range(at..=at, &letter);
        for text in [text, near] {
            if let Ok(read) = text.parse::<Invitation>() {
                prop_assert_eq!(read.to_text(), text);
            }
        }
    }
}
