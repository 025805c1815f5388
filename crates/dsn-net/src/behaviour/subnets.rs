//! How many strangers of one subnet may come in, and how fast: a /24 of IPv4, a /48 of IPv6. On a LAN everybody is in one,
//! so there only the rate is bounded.

use std::{collections::HashMap, num::NonZeroU32};

use governor::{DefaultKeyedRateLimiter, Quota};
use libp2p::{Multiaddr, swarm::ConnectionId};

use crate::address::{self, Subnet};

/// Handshakes with strangers of one subnet in a second, on average: each costs some 3 ms of CPU.
const HANDSHAKES_PER_SEC: NonZeroU32 = NonZeroU32::new(50).expect("not 0");
/// And at once: a whole devnet that starts.
const HANDSHAKES_BURST: NonZeroU32 = NonZeroU32::new(512).expect("not 0");
/// Connections from one subnet that stand at once, outside the LAN.
const CONNECTIONS_MAX: usize = 64;
/// Subnets whose rate is known; when there are more, those that were quiet are forgotten.
const SUBNETS_MAX: usize = 4096;

/// Who came in from where.
pub(super) struct Subnets {
    handshakes: DefaultKeyedRateLimiter<Subnet>,
    standing: HashMap<ConnectionId, Subnet>,
}

impl Default for Subnets {
    fn default() -> Self {
        let quota = Quota::per_second(HANDSHAKES_PER_SEC).allow_burst(HANDSHAKES_BURST);
        Self { handshakes: DefaultKeyedRateLimiter::keyed(quota), standing: HashMap::new() }
    }
}

impl Subnets {
    /// Whether a stranger's handshake may begin.
    pub(super) fn may_begin(&mut self, remote: &Multiaddr) -> bool {
        if self.handshakes.len() > SUBNETS_MAX {
            self.handshakes.retain_recent();
        }
        let Some(subnet) = address::subnet(remote) else { return true };
        let room = address::is_local(remote)
            || self.standing.values().filter(|standing| **standing == subnet).count() < CONNECTIONS_MAX;
        room && self.handshakes.check_key(&subnet).is_ok()
    }

    /// A connection that came in stands.
    pub(super) fn stands(&mut self, id: ConnectionId, remote: &Multiaddr) {
        self.standing.extend(address::subnet(remote).map(|subnet| (id, subnet)));
    }

    /// A connection has ended.
    pub(super) fn ended(&mut self, id: ConnectionId) {
        self.standing.remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_subnet_takes_only_its_share_of_the_connections() {
        let mut subnets = Subnets::default();
        let at = |host: usize| -> Multiaddr { format!("/ip4/203.0.113.{}/tcp/1", host % 256).parse().unwrap() };
        for host in 0..CONNECTIONS_MAX {
            assert!(subnets.may_begin(&at(host)));
            subnets.stands(ConnectionId::new_unchecked(host), &at(host));
        }
        assert!(!subnets.may_begin(&at(200)));
        assert!(subnets.may_begin(&"/ip4/203.0.114.1/tcp/1".parse().unwrap()), "of another subnet");
        subnets.ended(ConnectionId::new_unchecked(3));
        assert!(subnets.may_begin(&at(200)));
    }

    #[test]
    fn a_flood_of_handshakes_is_slowed_down_on_a_lan_too() {
        let mut subnets = Subnets::default();
        let remote: Multiaddr = "/ip4/127.0.0.1/tcp/1".parse().unwrap();
        let begun = (0..5000).filter(|_| subnets.may_begin(&remote)).count();
        let burst = usize::try_from(HANDSHAKES_BURST.get()).unwrap();
        assert!((burst..burst + 500).contains(&begun), "{begun}");
    }
}
