//! Addresses: which texts are one, and which of those that a stranger names are worth keeping or dialling. Pure. Not here:
//! who has which address (`book`).

use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};

use bytes::Bytes;
use dsn_core::node_id::NodeId;
use libp2p::{Multiaddr, multiaddr::Protocol};

use crate::{
    error::NetError,
    identity::{node_id, peer_id},
};

/// Addresses kept of one node. Two transports on four interfaces; more is somebody filling our memory.
pub(crate) const ADDRESSES_MAX_PER_NODE: usize = 8;

/// How an address leads to a node, the best way first: bulk over QUIC costs twice the CPU of TCP, WebSocket is for where
/// nothing else comes through, and a circuit is somebody else's line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Way {
    Tcp,
    Quic,
    WebSocket,
    Circuit,
}

/// From how far away an address can be dialled, the farthest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// From everywhere, as far as the address tells; a DNS name is taken for such.
    World,
    /// From the LAN: private, link-local or unique-local.
    Lan,
    /// From the machine itself: loopback, and what names no host, which a machine takes for itself.
    Machine,
}

impl Scope {
    /// The scope of a text, of a relayed address that of the relay; none for what is no address.
    pub fn of(text: &str) -> Option<Self> {
        parse(text).ok().map(|address| scope(&address))
    }
}

/// Whether a text is an address that is TCP and nothing around it; of a relayed one, whether the relay's is.
pub fn is_plain_tcp(text: &str) -> bool {
    parse(text).is_ok_and(|address| {
        let to_host: Multiaddr = address.iter().take_while(|part| !matches!(part, Protocol::P2p(_))).collect();
        way(&to_host) == Some(Way::Tcp)
    })
}

/// An address to listen on that says port 0, with the port that one of its kind has among these; none when it says another
/// port, when there is none, or when somebody else has it.
pub fn with_port_of(before: &[String], text: &str) -> Option<String> {
    let address = parse(text).ok()?;
    let kind = |address: &Multiaddr| split(address).0.iter().map(|part| part.tag()).collect::<Vec<_>>();
    let known = before.iter().filter_map(|known| parse(known).ok()).find(|known| kind(known) == kind(&address))?;
    let port = port(&known).filter(|port| *port != 0 && self::port(&address) == Some(0))?;
    let again: Multiaddr = address
        .iter()
        .map(|part| match part {
            Protocol::Tcp(0) => Protocol::Tcp(port),
            Protocol::Udp(0) => Protocol::Udp(port),
            other => other,
        })
        .collect();
    let is_free = match tcp_socket(&again) {
        Some(socket) => TcpListener::bind(socket).is_ok(),
        None => UdpSocket::bind(SocketAddr::new(ip(&again)?, port)).is_ok(),
    };
    is_free.then(|| again.to_string())
}

/// Whether a text is an address that a node can listen on or dial.
///
/// # Errors
/// [`NetError::BadAddress`].
pub fn check_address(text: &str) -> Result<(), NetError> {
    parse(text).map(|_| ())
}

/// The address in the binary form that a farmer record carries, without the node's id at its end.
///
/// # Errors
/// [`NetError::BadAddress`].
pub fn address_to_bytes(text: &str) -> Result<Bytes, NetError> {
    let (address, _) = split(&parse(text)?);
    Ok(Bytes::from(address.to_vec()))
}

/// A binary address as a text, for people.
pub fn address_to_text(bytes: &Bytes) -> Option<String> {
    Multiaddr::try_from(bytes.to_vec()).ok().map(|address| address.to_string())
}

/// The addresses of a farmer record that can be dialled, local ones not among them: who nobody can dial is on another LAN.
pub(crate) fn of_record(addresses: &[Bytes]) -> Vec<Multiaddr> {
    let parsed = addresses.iter().filter_map(|bytes| Multiaddr::try_from(bytes.to_vec()).ok());
    parsed.filter(|address| is_routable(address) && is_public(address)).take(ADDRESSES_MAX_PER_NODE).collect()
}

/// Parses an address of a kind that is any use.
pub(crate) fn parse(text: &str) -> Result<Multiaddr, NetError> {
    let bad = |reason| NetError::BadAddress { address: text.chars().take(200).collect(), reason };
    let address: Multiaddr = text.parse().map_err(|_| bad("it is not a multiaddr such as /ip4/192.0.2.7/tcp/4100"))?;
    let bare = split(&address).0;
    if way(&bare).is_none() && !is_dnsaddr(&bare) {
        return Err(bad(
            "only /tcp/PORT, /tcp/PORT/ws, /udp/PORT/quic-v1 on an IP address or a DNS name, /dnsaddr/NAME \
                        and circuits through a relay are supported",
        ));
    }
    if matches!(address.iter().last(), Some(Protocol::P2p(peer)) if node_id(&peer).is_none()) {
        return Err(bad("the node's id is not that of an Ed25519 key"));
    }
    Ok(address)
}

/// The address without the node's id at its end, and that id.
pub(crate) fn split(address: &Multiaddr) -> (Multiaddr, Option<NodeId>) {
    let mut bare = address.clone();
    match bare.pop() {
        Some(Protocol::P2p(peer)) => (bare, node_id(&peer)),
        _ => (address.clone(), None),
    }
}

/// The address with the node's id at its end.
pub(crate) fn with_id(address: &Multiaddr, node: &NodeId) -> String {
    split(address).0.with(Protocol::P2p(peer_id(node))).to_string()
}

/// How the address leads to a node; none for one that is not exactly host and transport, or those of a relay and the
/// circuit.
pub(crate) fn way(address: &Multiaddr) -> Option<Way> {
    use Protocol::{Dns, Dns4, Dns6, Ip4, Ip6, P2p, P2pCircuit, QuicV1, Tcp, Tls, Udp, Ws, Wss};
    let parts: Vec<_> = address.iter().collect();
    let direct = |parts: &[Protocol<'_>]| {
        let way = match parts {
            [_, Tcp(_)] => Way::Tcp,
            [_, Udp(_), QuicV1] => Way::Quic,
            [_, Tcp(_), Ws(_) | Wss(_)] | [_, Tcp(_), Tls, Ws(_)] => Way::WebSocket,
            _ => return None,
        };
        matches!(parts[0], Ip4(_) | Ip6(_) | Dns(_) | Dns4(_) | Dns6(_)).then_some(way)
    };
    match &parts[..] {
        [relay @ .., P2p(_), P2pCircuit] => direct(relay).map(|_| Way::Circuit),
        parts => direct(parts),
    }
}

/// Whether it leads through somebody else.
pub(crate) fn is_circuit(address: &Multiaddr) -> bool {
    address.iter().any(|part| matches!(part, Protocol::P2pCircuit))
}

/// Whether it is a name whose addresses are looked up; only for addresses that a person has given.
fn is_dnsaddr(address: &Multiaddr) -> bool {
    matches!(address.iter().collect::<Vec<_>>()[..], [Protocol::Dnsaddr(_)])
}

fn ip(address: &Multiaddr) -> Option<IpAddr> {
    match address.iter().next()? {
        Protocol::Ip4(ip) => Some(IpAddr::V4(ip)),
        Protocol::Ip6(ip) => Some(ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4)),
        _ => None,
    }
}

/// Where the other end of a connection is, if that is to be seen: what stands in a relayed address is the relay's.
pub(crate) fn origin(address: &Multiaddr) -> Option<IpAddr> {
    ip(address).filter(|_| !is_circuit(address))
}

fn scope(address: &Multiaddr) -> Scope {
    match ip(address) {
        Some(ip) if ip.is_loopback() || ip.is_unspecified() => Scope::Machine,
        Some(IpAddr::V4(ip)) if ip.is_private() || ip.is_link_local() => Scope::Lan,
        Some(IpAddr::V6(ip)) if ip.is_unique_local() || ip.is_unicast_link_local() => Scope::Lan,
        _ => Scope::World,
    }
}

/// Of this machine or its LAN.
pub(crate) fn is_local(address: &Multiaddr) -> bool {
    scope(address) != Scope::World
}

/// Whether it is an address, or a name, outside this LAN.
pub(crate) fn is_public(address: &Multiaddr) -> bool {
    way(address).is_some() && scope(address) == Scope::World
}

/// Whether a text is an address outside this machine and its LAN.
pub fn is_public_address(text: &str) -> bool {
    Scope::of(text) == Some(Scope::World)
}

/// A part of the internet that one operator is likely to have: a /24 of IPv4, a /48 of IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Subnet {
    V4([u8; 3]),
    V6([u8; 6]),
}

/// The subnet of an address that begins with an IP address.
pub(crate) fn subnet(address: &Multiaddr) -> Option<Subnet> {
    Some(match ip(address)? {
        IpAddr::V4(ip) => Subnet::V4(*ip.octets().first_chunk().expect("4 bytes")),
        IpAddr::V6(ip) => Subnet::V6(*ip.octets().first_chunk().expect("16 bytes")),
    })
}

/// The socket of a TCP address with a fixed port.
pub(crate) fn tcp_socket(address: &Multiaddr) -> Option<SocketAddr> {
    let port = address.iter().find_map(|part| match part {
        Protocol::Tcp(port) => Some(port),
        _ => None,
    })?;
    Some(SocketAddr::new(ip(address)?, port)).filter(|_| port != 0)
}

/// The first port in it, of TCP or UDP.
fn port(address: &Multiaddr) -> Option<u16> {
    address.iter().find_map(|part| match part {
        Protocol::Tcp(port) | Protocol::Udp(port) => Some(port),
        _ => None,
    })
}

/// Whether packets could be sent there at all.
pub(crate) fn is_routable(address: &Multiaddr) -> bool {
    let port = address.iter().any(|part| matches!(part, Protocol::Tcp(1..) | Protocol::Udp(1..)));
    let broadcast = |ip: IpAddr| matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    let nowhere = ip(address).is_some_and(|ip| ip.is_unspecified() || ip.is_multicast() || broadcast(ip));
    port && way(address).is_some() && !nowhere
}

/// Of the addresses a node says it has, those worth keeping: routable, not ours, local ones only from a neighbour. At most
/// [`ADDRESSES_MAX_PER_NODE`], the best way first.
pub(crate) fn accept<'a>(
    named: impl IntoIterator<Item = &'a Multiaddr>,
    owner: &NodeId,
    heard_from: &Multiaddr,
    ours: &[Multiaddr],
) -> Vec<Multiaddr> {
    let mut kept: Vec<Multiaddr> = Vec::new();
    for address in named {
        let (bare, id) = split(address);
        let foreign = id.is_some_and(|id| id != *owner) || ours.contains(&bare);
        let stray = is_local(&bare) && (is_circuit(heard_from) || !is_local(heard_from));
        if !foreign && !stray && is_routable(&bare) && !kept.contains(&bare) {
            kept.push(bare);
        }
    }
    kept.sort_by_key(way);
    kept.truncate(ADDRESSES_MAX_PER_NODE);
    kept
}

/// What to dial of a node's addresses: those of the best way alone, since dialling two ways at once gives two connections.
pub(crate) fn best_way(mut addresses: Vec<Multiaddr>) -> Vec<Multiaddr> {
    let best = addresses.iter().filter_map(way).min();
    addresses.retain(|address| way(address) == best);
    addresses.truncate(ADDRESSES_MAX_PER_NODE);
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<Multiaddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn the_port_of_before_is_taken_again_if_it_is_free() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let before = |over: &str| {
            let node = "12D3KooWCCrkEW8URVrAejyzB6orGmf3iFhYLkL7cJDY92b5MSHm";
            vec!["/ip6/::1/tcp/9".to_owned(), format!("/ip4/127.0.0.1/tcp/{port}{over}/p2p/{node}")]
        };
        assert_eq!(with_port_of(&before(""), "/ip4/127.0.0.1/tcp/0"), None, "somebody has it");
        drop(taken);
        for over in ["", "/ws"] {
            let again = with_port_of(&before(over), &format!("/ip4/127.0.0.1/tcp/0{over}"));
            assert_eq!(again, Some(format!("/ip4/127.0.0.1/tcp/{port}{over}")));
        }
        for other in [
            "/ip4/127.0.0.1/tcp/0/ws",
            "/ip4/127.0.0.1/udp/0/quic-v1",
            "/ip4/127.0.0.1/tcp/7",
            "/ip6/::1/udp/0/quic-v1",
            "?",
        ] {
            assert_eq!(with_port_of(&before(""), other), None, "{other}");
        }
        let datagrams = vec![format!("/ip4/127.0.0.1/udp/{port}/quic-v1")];
        assert_eq!(with_port_of(&datagrams, "/ip4/127.0.0.1/udp/0/quic-v1"), Some(datagrams[0].clone()));
    }

    #[test]
    fn texts_that_are_no_usable_address_are_refused() {
        for text in ["", "127.0.0.1:80", "/ip4/1.2.3.4", "/ip4/1.2.3.4/tcp/70000", "/ip4/1.2.3.4/udp/5", "/unix/a/b"] {
            assert!(matches!(check_address(text), Err(NetError::BadAddress { .. })), "{text}");
        }
        let id = NodeId([3; 32]);
        for text in [
            "/ip4/1.2.3.4/tcp/5",
            "/ip6/::1/udp/5/quic-v1",
            "/dns4/example.net/tcp/4100",
            "/ip4/0.0.0.0/tcp/0",
            "/ip4/1.2.3.4/tcp/5/ws",
            "/dns/example.net/tcp/443/wss",
            "/dnsaddr/example.net",
            &format!("/dnsaddr/example.net/p2p/{id}"),
            &format!("/ip4/1.2.3.4/udp/5/quic-v1/p2p/{id}/p2p-circuit"),
        ] {
            assert!(check_address(text).is_ok(), "{text}");
        }
        for text in ["/ip4/1.2.3.4/tcp/5/p2p-circuit", "/p2p-circuit", &format!("/dnsaddr/a/p2p/{id}/p2p-circuit")] {
            assert!(check_address(text).is_err(), "{text}");
        }
        assert!(check_address(&format!("/ip4/1.2.3.4/tcp/5/p2p/{id}")).is_ok());
        let foreign = "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N";
        assert!(check_address(&format!("/ip4/1.2.3.4/tcp/5/p2p/{foreign}")).is_err());
    }

    #[test]
    fn addresses_tell_from_how_far_away_they_can_be_dialled() {
        let id = NodeId([3; 32]);
        let circuit = |relay: &str| format!("{relay}/tcp/1/p2p/{id}/p2p-circuit");
        for (text, scope) in [
            ("/ip4/8.8.8.8/tcp/1", Some(Scope::World)),
            ("/ip6/2001:db8::1/udp/1/quic-v1", Some(Scope::World)),
            ("/dns4/example.net/tcp/1", Some(Scope::World)),
            (&format!("/dnsaddr/example.net/p2p/{id}"), Some(Scope::World)),
            (&circuit("/ip4/8.8.8.8"), Some(Scope::World)),
            (&format!("/ip4/192.168.1.2/tcp/1/p2p/{id}"), Some(Scope::Lan)),
            ("/ip4/169.254.1.1/tcp/1/ws", Some(Scope::Lan)),
            ("/ip6/fd00::1/tcp/1", Some(Scope::Lan)),
            ("/ip6/fe80::1/tcp/1", Some(Scope::Lan)),
            ("/ip6/::ffff:10.0.0.1/tcp/1", Some(Scope::Lan)),
            (&circuit("/ip4/10.0.0.1"), Some(Scope::Lan)),
            ("/ip4/127.0.0.2/tcp/1", Some(Scope::Machine)),
            ("/ip6/::1/tcp/1", Some(Scope::Machine)),
            ("/ip4/0.0.0.0/tcp/1", Some(Scope::Machine)),
            ("/ip6/::/tcp/1", Some(Scope::Machine)),
            ("8.8.8.8:1", None),
            ("/ip4/8.8.8.8/udp/1", None),
        ] {
            assert_eq!(Scope::of(text), scope, "{text}");
            assert_eq!(is_public_address(text), scope == Some(Scope::World), "{text}");
        }
        assert!(Scope::World < Scope::Lan && Scope::Lan < Scope::Machine, "the farthest first");
    }

    #[test]
    fn plain_tcp_has_nothing_around_it() {
        let id = NodeId([3; 32]);
        let relayed = |transport: &str| format!("/ip4/8.8.8.8/{transport}/p2p/{id}/p2p-circuit");
        for text in ["/ip4/0.0.0.0/tcp/0", "/dns/ws.example.net/tcp/1", &format!("/ip6/::1/tcp/1/p2p/{id}")] {
            assert!(is_plain_tcp(text), "{text}");
        }
        assert!(is_plain_tcp(&relayed("tcp/1")) && !is_plain_tcp(&relayed("udp/1/quic-v1")));
        for text in ["/ip4/1.2.3.4/tcp/1/ws", "/dns/a/tcp/1/wss", "/dns/a/tcp/1/tls/ws", "/ip4/1.2.3.4/udp/1/quic-v1"] {
            assert!(!is_plain_tcp(text), "{text}");
        }
        assert!(!is_plain_tcp("/dnsaddr/example.net") && !is_plain_tcp("/tcp/1") && !is_plain_tcp("no address"));
    }

    #[test]
    fn an_origin_is_an_address_of_the_node_itself() {
        let origin = |text: &str| origin(&text.parse().unwrap()).map(|ip| ip.to_string());
        assert_eq!(origin("/ip4/8.8.8.8/tcp/5").as_deref(), Some("8.8.8.8"));
        assert_eq!(origin("/ip6/::ffff:8.8.8.8/udp/5/quic-v1").as_deref(), Some("8.8.8.8"));
        assert_eq!(origin("/dns4/example.net/tcp/5"), None);
        assert_eq!(origin(&format!("/ip4/8.8.8.8/tcp/5/p2p/{}/p2p-circuit", NodeId([3; 32]))), None);
    }

    #[test]
    fn a_record_carries_the_address_without_the_id() {
        let with = address_to_bytes(&format!("/ip4/1.2.3.4/tcp/5/p2p/{}", NodeId([3; 32]))).unwrap();
        assert_eq!(with, address_to_bytes("/ip4/1.2.3.4/tcp/5").unwrap());
        assert_eq!(address_to_text(&with).as_deref(), Some("/ip4/1.2.3.4/tcp/5"));
        assert_eq!(address_to_text(&Bytes::from_static(&[4, 1])), None);
        assert_eq!(Multiaddr::try_from(with.to_vec()).unwrap().to_string(), "/ip4/1.2.3.4/tcp/5");
    }

    #[test]
    fn poisoned_addresses_are_not_kept() {
        let owner = NodeId([1; 32]);
        let named = addresses(&[
            "/ip4/0.0.0.0/tcp/1",
            "/ip4/224.0.0.1/tcp/1",
            "/ip4/127.0.0.1/tcp/1",
            "/ip4/9.9.9.9/tcp/0",
            "/ip4/10.0.0.1/tcp/7",
            "/ip4/8.8.8.8/udp/1/quic-v1",
            "/ip4/8.8.8.8/tcp/1",
            "/ip4/8.8.8.8/tcp/1",
            &format!("/ip4/8.8.4.4/tcp/1/p2p/{}", NodeId([2; 32])),
        ]);
        let ours = addresses(&["/ip4/10.0.0.1/tcp/7"]);
        let far = accept(&named, &owner, &"/ip4/8.8.8.8/tcp/1".parse().unwrap(), &ours);
        assert_eq!(far, addresses(&["/ip4/8.8.8.8/tcp/1", "/ip4/8.8.8.8/udp/1/quic-v1"]));
        let near = accept(&named, &owner, &"/ip4/127.0.0.1/tcp/9".parse().unwrap(), &ours);
        assert!(near.contains(&"/ip4/127.0.0.1/tcp/1".parse().unwrap()));
        let lan = addresses(&["/ip4/192.168.1.2/tcp/1", "/ip6/fd00::1/tcp/1"]);
        assert_eq!(accept(&lan, &owner, &"/ip4/8.8.8.8/tcp/1".parse().unwrap(), &[]), [], "another's LAN");
        assert_eq!(accept(&lan, &owner, &"/ip4/192.168.1.3/tcp/9".parse().unwrap(), &[]), lan);
        let many: Vec<Multiaddr> = (1..100).map(|i| format!("/ip4/8.8.8.8/tcp/{i}").parse().unwrap()).collect();
        assert_eq!(accept(&many, &owner, &many[0], &[]).len(), ADDRESSES_MAX_PER_NODE);
    }

    #[test]
    fn only_the_best_way_to_a_node_is_dialled() {
        let circuit = format!("/ip4/8.8.8.8/tcp/1/p2p/{}/p2p-circuit", NodeId([3; 32]));
        let best_last =
            addresses(&[&circuit, "/ip4/8.8.8.8/tcp/2/ws", "/ip4/8.8.8.8/udp/1/quic-v1", "/ip4/8.8.8.8/tcp/1"]);
        for count in 1..=best_last.len() {
            assert_eq!(best_way(best_last[..count].to_vec()), best_last[count - 1..count]);
        }
    }
}
