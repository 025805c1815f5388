//! From which TCP port a node dials. From the one it listens on, so that a gateway keeps one door open for both directions
//! and others see the address to dial; but not on the same machine, LAN or subnet, which no gateway is in front of, where
//! two nodes that dial each other at once would meet half-way, and a port whose last connection has just ended cannot be
//! dialled from again. QUIC tells such connections apart, and all of a node's use its one socket.

use std::{
    collections::HashSet,
    pin::Pin,
    task::{Context, Poll},
};

use libp2p::{
    Multiaddr, Transport,
    core::transport::{DialOpts, ListenerId, PortUse, TransportError, TransportEvent},
};

use crate::address::{self, Subnet};

/// Dials addresses nearby from a port of their own.
pub(super) struct OwnPortNearby<T> {
    inner: T,
    /// Those of the addresses listened on: one an interface.
    subnets: HashSet<Subnet>,
}

impl<T> OwnPortNearby<T> {
    pub(super) fn new(inner: T) -> Self {
        Self { inner, subnets: HashSet::new() }
    }
}

impl<T: Transport + Unpin> Transport for OwnPortNearby<T> {
    type Output = T::Output;
    type Error = T::Error;
    type ListenerUpgrade = T::ListenerUpgrade;
    type Dial = T::Dial;

    fn listen_on(&mut self, id: ListenerId, address: Multiaddr) -> Result<(), TransportError<Self::Error>> {
        self.inner.listen_on(id, address)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.inner.remove_listener(id)
    }

    fn dial(&mut self, address: Multiaddr, options: DialOpts) -> Result<Self::Dial, TransportError<Self::Error>> {
        let nearby =
            address::is_local(&address) || address::subnet(&address).is_some_and(|of| self.subnets.contains(&of));
        let port_use = if nearby { PortUse::New } else { options.port_use };
        self.inner.dial(address, DialOpts { port_use, ..options })
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, Self::Error>> {
        let event = Pin::new(&mut self.inner).poll(cx);
        if let Poll::Ready(TransportEvent::NewAddress { listen_addr, .. }) = &event {
            self.subnets.extend(address::subnet(listen_addr));
        }
        event
    }
}
