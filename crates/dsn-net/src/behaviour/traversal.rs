//! Getting through gateways: AutoNAT finds out whether others can dial this node, UPnP asks the gateway for a port, a relay
//! puts calls through, DCUtR turns such a call into a direct connection. Not here: what follows from what they find
//! (`reach`, `driver/nat`).

mod retests;

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use dsn_core::ports::Guard;
use libp2p::{
    Multiaddr, PeerId, autonat,
    core::{Endpoint, transport::PortUse},
    dcutr, relay,
    swarm::{
        ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent, THandlerOutEvent,
        ToSwarm, behaviour::toggle::Toggle,
    },
    upnp,
};

use self::retests::Retests;
use crate::{address, club::Club, doorman::may_relay_for, options::NetOptions};

/// Between two questions whether an address can be dialled.
const PROBE_EVERY: Duration = Duration::from_secs(2);
/// Bytes that a relay passes on for one circuit. Two that cannot meet directly exchange all their pieces over it, so it is
/// a bound on what a stranger may cost, not on what a friend needs: a circuit that ends is asked for again.
const CIRCUIT_MAX_BYTES: u64 = 1 << 30;
/// How long a circuit lasts.
const CIRCUIT_MAX: Duration = Duration::from_secs(3600);
/// Circuits that a relay keeps at once.
const CIRCUITS_MAX: usize = 128;
/// Of these, for one node.
const CIRCUITS_MAX_PER_NODE: usize = 16;
/// Nodes that keep a place at a relay.
const RESERVATIONS_MAX: usize = 256;

/// The protocols.
#[derive(NetworkBehaviour)]
pub(crate) struct Traversal {
    circuits: relay::client::Behaviour,
    relay: Toggle<relay::Behaviour>,
    punch: dcutr::Behaviour,
    probe: Toggle<Retests>,
    prober: Toggle<DialBacks>,
    upnp: Toggle<upnp::tokio::Behaviour>,
}

impl Traversal {
    pub(super) fn new(
        options: &NetOptions,
        local: PeerId,
        circuits: relay::client::Behaviour,
        club: Option<Arc<Club>>,
    ) -> Self {
        let serves = options.serve;
        let probe = autonat::v2::client::Config::default().with_probe_interval(PROBE_EVERY);
        Self {
            circuits,
            relay: (serves && options.relay).then(|| relay_for_others(local, &options.guard, club)).into(),
            punch: dcutr::Behaviour::new(local),
            probe: serves.then(|| Retests::new(probe, options.waits.retest)).into(),
            prober: serves.then(DialBacks::default).into(),
            upnp: (serves && options.upnp).then(upnp::tokio::Behaviour::default).into(),
        }
    }

    /// Whether others may be called through this node.
    pub(crate) fn relay_for_others(&mut self, is_public: bool) {
        if let Some(relay) = self.relay.as_mut() {
            relay.set_status(Some(if is_public { relay::Status::Enable } else { relay::Status::Disable }));
        }
    }
}

fn relay_for_others(local: PeerId, guard: &Arc<dyn Guard>, club: Option<Arc<Club>>) -> relay::Behaviour {
    let mut config = relay::Config {
        max_reservations: RESERVATIONS_MAX,
        max_circuits: CIRCUITS_MAX,
        max_circuits_per_peer: CIRCUITS_MAX_PER_NODE,
        max_circuit_duration: CIRCUIT_MAX,
        max_circuit_bytes: CIRCUIT_MAX_BYTES,
        ..relay::Config::default()
    };
    // Asked before a place or a circuit is given, whoever is asked besides.
    config.reservation_rate_limiters.push(Box::new(may_relay_for(guard, club.clone())));
    config.circuit_src_rate_limiters.push(Box::new(may_relay_for(guard, club)));
    let mut relay = relay::Behaviour::new(local, config);
    relay.set_status(Some(relay::Status::Disable)); // until an address of this node is known to be good
    relay
}

/// Dials others back on demand, but never into this node's own LAN: a stranger could look around there.
#[derive(Default)]
pub(crate) struct DialBacks {
    inner: autonat::v2::server::Behaviour,
    /// The dial-back that was ordered last: the swarm asks about it before anything else.
    ordered: Option<ConnectionId>,
}

impl NetworkBehaviour for DialBacks {
    type ConnectionHandler = <autonat::v2::server::Behaviour as NetworkBehaviour>::ConnectionHandler;
    type ToSwarm = <autonat::v2::server::Behaviour as NetworkBehaviour>::ToSwarm;

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.inner.handle_established_inbound_connection(id, peer, local, remote)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: Option<PeerId>,
        addresses: &[Multiaddr],
        role: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        let outside = |address: &Multiaddr| address::is_public(&address::split(address).0);
        if self.ordered.take_if(|ordered| *ordered == id).is_some() && !addresses.iter().all(outside) {
            return Err(ConnectionDenied::new("a dial-back into this LAN"));
        }
        self.inner.handle_pending_outbound_connection(id, peer, addresses, role)
    }

    fn handle_established_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.inner.handle_established_outbound_connection(id, peer, address, role, port)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        self.inner.on_swarm_event(event);
    }

    fn on_connection_handler_event(&mut self, peer: PeerId, id: ConnectionId, event: THandlerOutEvent<Self>) {
        self.inner.on_connection_handler_event(peer, id, event);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        let order = self.inner.poll(cx);
        if let Poll::Ready(ToSwarm::Dial { opts }) = &order {
            self.ordered = Some(opts.connection_id());
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_has_this_node_dial_into_its_own_lan() {
        let may_dial = |ordered: bool, address: &str| {
            let id = ConnectionId::new_unchecked(1);
            let mut backs = DialBacks { ordered: ordered.then_some(id), ..DialBacks::default() };
            let addresses = [address.parse().unwrap()];
            backs.handle_pending_outbound_connection(id, None, &addresses, Endpoint::Dialer).is_ok()
        };
        assert!(may_dial(true, "/ip4/8.8.8.8/tcp/1"));
        for inside in
            ["/ip4/192.168.1.1/tcp/80", "/ip4/127.0.0.1/tcp/22", "/ip6/fe80::1/tcp/1", "/ip4/10.0.0.1/udp/1/quic-v1"]
        {
            assert!(!may_dial(true, inside), "{inside}");
            assert!(may_dial(false, inside), "this node's own dials to {inside}");
        }
    }
}
