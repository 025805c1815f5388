//! A farmer that may take any free port takes the one it had before, as long as that is free: an invitation, a bootstrap
//! address and a router's rule name it, and hold beyond a restart. Not here: farmers that are found by others on another port (the DHT).

use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};

use dsn_core::identity::Identity;

use crate::{control::RunningFarmer, folder::Folder};

/// Addresses to listen on: those that say port 0 with the port that this farmer had there in its last run.
pub(super) fn as_before(listen: Vec<String>, folder: &Folder, identity: &Identity) -> Vec<String> {
    let before = RunningFarmer::last(folder).filter(|last| last.peer_id == identity.node_id().to_string());
    let before = before.map(|last| last.listen).unwrap_or_default();
    listen.into_iter().map(|address| with_port_of(&before, &address).unwrap_or(address)).collect()
}

/// The same address with the port that one of its kind has among these; none when there is none, or it is taken.
fn with_port_of(before: &[String], address: &str) -> Option<String> {
    let wanted = Parts::of(address).filter(|parts| parts.port == 0)?;
    let port = before.iter().filter_map(|known| Parts::of(known)).find(|known| known.is_like(&wanted))?.port;
    let socket = SocketAddr::new(wanted.ip, port);
    let is_free =
        if wanted.over == "tcp" { TcpListener::bind(socket).is_ok() } else { UdpSocket::bind(socket).is_ok() };
    let family = if wanted.ip.is_ipv4() { "ip4" } else { "ip6" };
    is_free.then(|| format!("/{family}/{}/{}/{port}{}", wanted.ip, wanted.over, wanted.rest))
}

/// `/ip4/127.0.0.1/udp/4100/quic-v1`, taken apart.
struct Parts<'a> {
    ip: IpAddr,
    over: &'a str,
    port: u16,
    /// What follows the port, but for the node.
    rest: &'a str,
}

impl<'a> Parts<'a> {
    fn of(address: &'a str) -> Option<Self> {
        let address = address.split("/p2p/").next()?;
        let mut words = address.splitn(6, '/').skip(2);
        let (ip, over, port) = (words.next()?.parse().ok()?, words.next()?, words.next()?);
        let rest = words.next().map_or("", |rest| &address[address.len() - rest.len() - 1..]);
        Some(Self { ip, over, port: port.parse().ok()?, rest })
    }

    fn is_like(&self, other: &Parts<'_>) -> bool {
        self.ip.is_ipv4() == other.ip.is_ipv4() && (self.over, self.rest) == (other.over, other.rest) && self.port != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_of_before_is_taken_again_if_it_is_free() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = taken.local_addr().expect("an address").port();
        let before =
            |over: &str| vec![format!("/ip6/::1/tcp/9{over}"), format!("/ip4/127.0.0.1/tcp/{port}{over}/p2p/12D3")];
        let again = |before: &[String], address: &str| with_port_of(before, address);
        assert_eq!(again(&before(""), "/ip4/127.0.0.1/tcp/0"), None, "somebody has it");
        drop(taken);
        assert_eq!(again(&before(""), "/ip4/127.0.0.1/tcp/0"), Some(format!("/ip4/127.0.0.1/tcp/{port}")));
        assert_eq!(again(&before("/ws"), "/ip4/127.0.0.1/tcp/0/ws"), Some(format!("/ip4/127.0.0.1/tcp/{port}/ws")));
        for other in
            ["/ip4/127.0.0.1/tcp/0/ws", "/ip4/127.0.0.1/udp/0/quic-v1", "/ip4/127.0.0.1/tcp/7", "/dns4/x/tcp/0", "?"]
        {
            assert_eq!(again(&before(""), other), None, "{other}");
        }
    }
}
