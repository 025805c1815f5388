//! Closed networks over real sockets, TCP and QUIC: who is let in, who is not and is told why, and who has to go.

use std::{
    collections::BTreeSet,
    sync::atomic::Ordering,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use dsn_core::{
    hello::Profile,
    identity::Identity,
    limits::{ADMISSION_MAX_BYTES, MEMBER_SKEW_SECS},
    membership::{
        Allowance, Membership, Refused,
        admission::{Admission, Word},
        certificate::CertificateBody,
        closed_network,
        revocations::{RevocationsBody, VerifiedRevocations},
    },
    network_name::NetworkName,
    node_id::NodeId,
    ports::{Network, NetworkError},
    psk::PreSharedKey,
    record::Role,
};
use dsn_net::{NetError, NetOptions, Node, Waits};

use crate::{
    intruder::{Answer, framed, intrude, shown},
    support::{QUIC, Shelf, TCP, client, farmer, holds, identity, start, start_with, towards},
};

/// Nothing that is waited for takes this long.
const DEADLINE: Duration = Duration::from_secs(20);

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn founder() -> Identity {
    identity(1)
}

fn network() -> NetworkName {
    closed_network(founder().node_id(), "club").unwrap()
}

/// The member of this number, as `signer` would have it.
fn membership_by(signer: &Identity, number: u8, until: Option<u64>) -> Membership {
    let body = CertificateBody {
        network: network(),
        founder: founder().node_id(),
        member: identity(number).node_id(),
        label: format!("member {number}"),
        issued: now() - 3600,
        until,
        quota: None,
    };
    Membership::new(identity(number), body.sign(signer)).unwrap()
}

fn membership(number: u8) -> Membership {
    membership_by(&founder(), number, None)
}

/// One of whom each farmer keeps so many bytes.
fn with_quota(number: u8, quota: u64) -> Membership {
    let body = CertificateBody { quota: Some(quota), ..membership(number).certificate().body().clone() };
    Membership::new(identity(number), body.sign(&founder())).unwrap()
}

fn revoking(seq: u64, numbers: &[u8]) -> VerifiedRevocations {
    let members: BTreeSet<NodeId> = numbers.iter().map(|number| identity(*number).node_id()).collect();
    RevocationsBody { network: network(), founder: founder().node_id(), seq, members }.sign(&founder())
}

/// A node acts for the member whose number is a hundred below its own.
fn of(membership: Membership, options: NetOptions) -> NetOptions {
    NetOptions { network: network(), membership: Some(membership), ..options }
}

async fn refused(node: &Node) -> Refused {
    match node.snapshot(false).await {
        Err(NetworkError::NotAdmitted { reason }) => reason,
        other => panic!("not refused: {other:?}"),
    }
}

/// Waits until a node has as many connections as this.
async fn connected(node: &Node, count: usize) {
    let started = Instant::now();
    loop {
        let local = node.local_id();
        let found = node.known_nodes().await.unwrap();
        let found = found.iter().filter(|known| known.connected && known.node != local).count();
        if found == count {
            return;
        }
        assert!(started.elapsed() < DEADLINE, "{found} connections instead of {count}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn members_talk_over_every_transport() {
    for transport in [TCP, QUIC, "/ip4/127.0.0.1/tcp/0/ws"] {
        let host = start(of(membership(2), farmer(102, &[transport]))).await;
        let guest = start(towards(&host, of(membership(3), client(103)))).await;
        assert!(guest.snapshot(false).await.unwrap().nodes.contains(&host.local_id()), "{transport}");
        assert!(guest.request(host.local_id(), holds()).await.is_ok(), "{transport}");
        connected(&host, 1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_is_let_in_and_each_learns_why() {
    let other = closed_network(identity(9).node_id(), "club").unwrap();
    let theirs = CertificateBody {
        network: other,
        founder: identity(9).node_id(),
        ..membership(3).certificate().body().clone()
    };
    let theirs = Membership::new(identity(3), theirs.sign(&identity(9))).unwrap();
    let ended = membership_by(&founder(), 3, Some(now() - MEMBER_SKEW_SECS - 1));
    let cases = [
        (None, Refused::NoCredentials),
        (Some(membership_by(&identity(9), 3, None)), Refused::Forged),
        (Some(theirs), Refused::OtherNetwork),
        (Some(ended), Refused::Expired),
        (Some(membership(4)), Refused::Revoked),
    ];
    for transport in [TCP, QUIC] {
        let mut own = membership(2);
        own.learn(revoking(1, &[4]).into_signed()).unwrap();
        let (host, shelf) = start_with(of(own, farmer(102, &[transport])), Shelf::default()).await;
        for (membership, why) in cases.clone() {
            let outsider = NetOptions { network: network(), membership, ..client(103) };
            let outsider = start(towards(&host, outsider)).await;
            assert_eq!(refused(&outsider).await, why, "{transport}");
            assert!(outsider.request(host.local_id(), holds()).await.is_err());
        }
        assert_eq!(shelf.handled.load(Ordering::SeqCst), 0, "nothing was asked that reached the farmer");
        let known = host.known_nodes().await.unwrap();
        assert!(known.iter().all(|known| known.node == host.local_id()), "nobody of them was ever there: {known:?}");
    }
}

/// A member that dials a node of an open network, or of another closed one, says nothing there either.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_speaks_to_members_only() {
    for transport in [TCP, QUIC] {
        let (open, shelf) =
            start_with(NetOptions { network: network(), ..farmer(102, &[transport]) }, Shelf::default()).await;
        let member = start(towards(&open, of(membership(3), client(103)))).await;
        assert!(member.snapshot(false).await.is_err());
        assert!(member.request(open.local_id(), holds()).await.is_err());
        assert_eq!(shelf.handled.load(Ordering::SeqCst), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn papers_of_another_node_open_nothing() {
    for transport in [TCP, QUIC] {
        let host = start(of(membership(2), farmer(102, &[transport]))).await;
        let address = &host.listen_addrs()[0];
        let (owner, thief) = (identity(103), identity(104));
        let papers = shown(&membership(3), owner.node_id());
        match intrude(address, &owner, &papers).await {
            Answer::Step(step) => assert!(matches!(step.word, Word::Shown(_)), "the owner is answered: {step:?}"),
            other => panic!("{transport}: {other:?}"),
        }
        let Answer::Step(step) = intrude(address, &thief, &papers).await else { panic!("{transport}: no answer") };
        assert_eq!(step.word, Word::Refused(Refused::Forged), "{transport}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_no_step_ends_the_connection() {
    let too_long = u32::try_from(ADMISSION_MAX_BYTES + 1).unwrap().to_be_bytes().to_vec();
    let welcome = framed(&Admission { word: Word::Welcome, seq: 0, revocations: None }.encode());
    for transport in [TCP, QUIC] {
        let host = start(of(membership(2), farmer(102, &[transport]))).await;
        let address = &host.listen_addrs()[0];
        for bytes in [&u32::MAX.to_be_bytes()[..], &too_long, &[0; 4], &framed(b"hello"), &welcome] {
            let Answer::Step(step) = intrude(address, &identity(103), bytes).await else { panic!("no answer") };
            assert_eq!(step.word, Word::Refused(Refused::NoCredentials), "{transport} {bytes:?}");
        }
        let guest = start(towards(&host, of(membership(3), client(105)))).await;
        assert!(guest.snapshot(false).await.is_ok(), "members are served meanwhile");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_takes_too_long_is_cut_off() {
    for transport in [TCP, QUIC] {
        let waits = Waits { dial: Duration::from_secs(1), ..Waits::default() };
        let host = start(of(membership(2), NetOptions { waits, ..farmer(102, &[transport]) })).await;
        let address = &host.listen_addrs()[0];
        let half = &shown(&membership(3), identity(103).node_id())[..40];
        for bytes in [&b""[..], &[0, 0], half] {
            let started = Instant::now();
            let answer = intrude(address, &identity(103), bytes).await;
            assert!(matches!(answer, Answer::Ended), "{transport} {answer:?}");
            assert!(started.elapsed() < DEADLINE, "{transport}: {:?}", started.elapsed());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_list_goes_round_and_sends_away_whom_it_names() {
    let first = start(of(membership(2), farmer(102, &[TCP]))).await;
    let second = start(towards(&first, of(membership(3), farmer(103, &[QUIC])))).await;
    let guest = start(towards(&second, of(membership(4), client(104)))).await;
    assert!(guest.request(second.local_id(), holds()).await.is_ok());
    assert!(guest.request(first.local_id(), holds()).await.is_ok());
    connected(&first, 2).await;
    let usurped = RevocationsBody { seq: 9, ..revoking(9, &[3]).into_body() }.sign(&identity(9));
    assert!(first.learn_revocations(usurped.into_signed()).is_err(), "not the founder's");
    assert_eq!(first.learn_revocations(revoking(5, &[4]).into_signed()), Ok(true));
    let heard = tokio::time::timeout(DEADLINE, second.revocations_after(0)).await.expect("it is handed on");
    assert_eq!(heard.body().seq, 5);
    connected(&first, 1).await;
    connected(&second, 1).await;
    let again = start(towards(&second, of(membership(4), client(114)))).await;
    assert_eq!(refused(&again).await, Refused::Revoked);
    assert_eq!(second.learn_revocations(revoking(4, &[]).into_signed()), Ok(false), "never back by an older list");
    assert!(start(towards(&second, of(membership(5), client(105)))).await.snapshot(false).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_the_newer_list_brings_it() {
    for dialler_has_it in [false, true] {
        let mut informed = membership(2);
        informed.learn(revoking(7, &[4]).into_signed()).unwrap();
        let (host, guest) = if dialler_has_it { (membership(3), informed) } else { (informed, membership(3)) };
        let host = start(of(host, farmer(102, &[TCP]))).await;
        let guest = start(towards(&host, of(guest, client(103)))).await;
        for node in [&host, &guest] {
            let list = tokio::time::timeout(DEADLINE, node.revocations_after(0)).await.expect("they have met");
            assert_eq!(list.body().seq, 7);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_whose_time_is_over_is_sent_away() {
    let host = start(of(membership(2), farmer(102, &[TCP]))).await;
    let soon = membership_by(&founder(), 3, Some(now() - MEMBER_SKEW_SECS + 3));
    let guest = start(towards(&host, of(soon, client(103)))).await;
    assert!(guest.request(host.local_id(), holds()).await.is_ok());
    connected(&host, 0).await;
}

/// Whoever lends nothing could make up what it says of pieces and leases: it is no server, whatever it says of itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_with_a_quota_is_served_and_asked_nothing() {
    for dht in [true, false] {
        let lends =
            || Shelf { profile: Some(Profile { role: Role::Farmer, ..Profile::client() }).into(), ..Shelf::default() };
        let options = |options| NetOptions { dht, ..options };
        let (host, shelf) = start_with(options(of(membership(2), farmer(102, &[TCP]))), lends()).await;
        let guest = async |membership, number| {
            let options = options(of(membership, farmer(number, &[TCP])));
            let (guest, shelf) = start_with(towards(&host, options), lends()).await;
            assert!(guest.request(host.local_id(), holds()).await.is_ok(), "DHT {dht}");
            (guest, shelf)
        };
        let (lender, _lent) = guest(membership(3), 103).await;
        let (limited, asked) = guest(with_quota(4, 1 << 20), 104).await;
        assert_eq!(*shelf.allowances.lock().unwrap(), [Allowance { member: identity(4).node_id(), bytes: 1 << 20 }]);
        let refused = host.request(limited.local_id(), holds()).await;
        let is_denied = matches!(refused, Err(NetworkError::Denied { node }) if node == limited.local_id());
        assert!(is_denied, "DHT {dht}: {refused:?}");
        assert!(host.request(lender.local_id(), holds()).await.is_ok(), "DHT {dht}");
        assert_eq!(asked.handled.load(Ordering::SeqCst), 0);
        let servers = [host.local_id(), lender.local_id()].into();
        let started = Instant::now();
        while host.snapshot(true).await.unwrap().nodes != servers {
            assert!(started.elapsed() < DEADLINE, "DHT {dht}: {:?}", host.snapshot(true).await);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        connected(&host, 2).await; // it is there, and no server
        assert_eq!(host.snapshot(true).await.unwrap().nodes, servers, "DHT {dht}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_key_covers_tcp_and_leaves_nothing_else() {
    let key = |byte: u8| {
        let file = [b"/key/swarm/psk/1.0.0/\n/bin/\n", &[byte; 32][..]].concat();
        Some(PreSharedKey::parse(&file).unwrap())
    };
    let host = start(NetOptions { psk: key(7), ..farmer(102, &[TCP]) }).await;
    let same = start(towards(&host, NetOptions { psk: key(7), ..client(103) })).await;
    assert!(same.request(host.local_id(), holds()).await.is_ok());
    for psk in [key(8), None] {
        let other = start(towards(&host, NetOptions { psk, ..client(104) })).await;
        assert!(other.request(host.local_id(), holds()).await.is_err());
    }
    for bare in [QUIC, "/ip4/127.0.0.1/tcp/0/ws"] {
        let options = NetOptions { psk: key(7), ..farmer(105, &[bare]) };
        let started = Node::start(options, std::sync::Arc::new(Shelf::default())).await;
        assert!(matches!(started, Err(NetError::BadAddress { .. })), "{bare}");
    }
}
