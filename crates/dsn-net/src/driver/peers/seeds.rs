//! Where the network is found: bootstrap addresses and servers remembered from an earlier run, dialled at the start, again
//! with back-off while nobody is there, and now and then afterwards. A client that every one of them has refused need not
//! wait for any. Not here: what Kademlia finds from there.

use std::{
    sync::PoisonError,
    time::{Duration, Instant},
};

use dsn_core::{node_id::NodeId, ports::NetworkError};
use libp2p::{
    Multiaddr,
    swarm::{ConnectionId, DialError, dial_opts::DialOpts},
};

use super::{is_refusal, reason};
use crate::{
    address,
    book::{Entry, FoundBy},
    driver::{Driver, Stray},
    error::NetError,
    identity::peer_id,
    options::NetOptions,
};

/// Back-off while nobody is there starts here.
const RETRY_MIN: Duration = Duration::from_secs(1);
/// And ends here, so that a network that comes back is found within half a minute.
const RETRY_MAX: Duration = Duration::from_secs(30);
/// With somebody there: look-ups that keep the routing table true, and missing bootstrap nodes dialled.
const REFRESH: Duration = Duration::from_secs(900);
/// Bootstrap nodes are waited for no longer than this once one is there.
const SETTLING_MAX: Duration = Duration::from_secs(1);
/// Remembered servers dialled in one round.
const REMEMBERED_PER_ROUND: usize = 8;

/// The ways into the network.
pub(crate) struct Seeds {
    bootstrap: Vec<Seed>,
    remembered: Vec<Remembered>,
    next_remembered: usize,
    mdns: bool,
    /// Whether anybody was ever there: who has met a network waits for it to come back.
    met: bool,
    started: Instant,
    next: Instant,
    wait: Duration,
}

struct Seed {
    address: Multiaddr,
    /// The id that the address names; dialling insists on it.
    named: Option<NodeId>,
    /// Who was found there.
    node: Option<NodeId>,
    dialling: Option<ConnectionId>,
    /// Whether the last dial was refused, as opposed to not answered.
    refused: bool,
    /// Why the node found there is none of this network.
    stray: Option<String>,
}

struct Remembered {
    node: NodeId,
    addresses: Vec<Multiaddr>,
    refused: bool,
}

impl Seeds {
    pub(crate) fn new(options: &NetOptions) -> Result<Self, NetError> {
        let seed = |text: &String| {
            let (address, named) = address::split(&address::parse(text)?);
            Ok(Seed { address, named, node: named, dialling: None, refused: false, stray: None })
        };
        let usable = |(node, texts): &(NodeId, Vec<String>)| {
            let addresses: Vec<_> = texts.iter().filter_map(|text| address::parse(text).ok()).collect();
            let usable = *node != options.identity.node_id() && !addresses.is_empty();
            usable.then_some(Remembered { node: *node, addresses, refused: false })
        };
        let now = Instant::now();
        Ok(Self {
            bootstrap: options.bootstrap.iter().map(seed).collect::<Result<_, _>>()?,
            remembered: options.remembered.iter().filter_map(usable).collect(),
            next_remembered: 0,
            mdns: options.mdns,
            met: false,
            started: now,
            next: now,
            wait: RETRY_MIN,
        })
    }

    /// Whether anybody could still turn up: waiting makes no sense for a node that was told of nobody.
    pub(crate) fn hopes(&self) -> bool {
        self.mdns || !self.bootstrap.is_empty() || !self.remembered.is_empty()
    }

    /// Whether every way in was refused, and nobody has been met by another.
    fn is_refused(&self) -> bool {
        let bootstrap = self.bootstrap.iter().all(|seed| seed.refused);
        !self.mdns && !self.met && bootstrap && self.remembered.iter().all(|remembered| remembered.refused)
    }

    /// Whether this node was told to be the first of its network.
    pub(crate) fn is_alone(&self) -> bool {
        self.bootstrap.is_empty()
    }

    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// A connection stands; tells whether it leads to a bootstrap node.
    pub(crate) fn on_connected(&mut self, id: ConnectionId, remote: &Multiaddr, node: NodeId) -> bool {
        self.met = true;
        let mut is_seed = false;
        for seed in &mut self.bootstrap {
            if seed.dialling == Some(id) || seed.address == *remote || seed.named == Some(node) {
                seed.dialling = seed.dialling.filter(|dialling| *dialling != id);
                seed.node = Some(node);
                is_seed = true;
            }
        }
        is_seed
    }

    /// A node that was met is none of this network after all.
    fn on_foreign(&mut self, node: NodeId, alone: bool) {
        self.met &= !alone;
        let bootstrap = self.bootstrap.iter_mut().filter(|seed| seed.node == Some(node)).map(|seed| &mut seed.refused);
        let remembered = self.remembered.iter_mut().filter(|remembered| remembered.node == node);
        bootstrap.chain(remembered.map(|remembered| &mut remembered.refused)).for_each(|refused| *refused = true);
    }

    /// A node is, or is not, of this network; tells whether that is news of a bootstrap address. What is not is said to the
    /// operator, once an address and cause: it is dialled again and again, since another node may be there one day.
    fn judge(&mut self, node: NodeId, stray: Option<&str>) -> bool {
        let mut is_news = false;
        for seed in self.bootstrap.iter_mut().filter(|seed| seed.node == Some(node)) {
            if seed.stray.as_deref() == stray {
                continue;
            }
            seed.stray = stray.map(str::to_owned);
            is_news = true;
            if let Some(reason) = stray {
                tracing::warn!(address = %seed.address, reason, "the node at a bootstrap address cannot be talked to");
            }
        }
        is_news
    }

    fn strays(&self) -> Vec<Stray> {
        let stray = |seed: &Seed| Some(Stray { address: seed.address.to_string(), reason: seed.stray.clone()? });
        self.bootstrap.iter().filter_map(stray).collect()
    }

    /// Dialling a bootstrap address failed.
    fn on_failed(&mut self, id: ConnectionId, reason: &str, refused: bool) {
        if let Some(seed) = self.bootstrap.iter_mut().find(|seed| seed.dialling == Some(id)) {
            tracing::warn!(address = %seed.address, reason, "bootstrap address cannot be reached");
            (seed.dialling, seed.refused) = (None, refused);
        }
    }

    /// A node refuses at every address known of it. The next remembered ones are dialled soon, not after the back-off.
    fn on_refused(&mut self, node: NodeId, now: Instant) {
        let Some(remembered) = self.remembered.iter_mut().find(|remembered| remembered.node == node) else { return };
        let first = !std::mem::replace(&mut remembered.refused, true);
        if first && !self.met && self.next_remembered < self.remembered.len() {
            self.next = now;
        }
    }
}

impl Driver {
    /// Whether the first servers may still turn up: a client waits for them at every question unless all refuse, a server
    /// only when it has just started, for it may be the first.
    pub(in crate::driver) fn is_seeding(&self, now: Instant) -> bool {
        let seeds = &self.dials.seeds;
        let patient = if self.serve { now < seeds.started() + self.waits.seed } else { !seeds.is_refused() };
        seeds.hopes() && patient
    }

    /// Whether bootstrap nodes are still being met: a picture of the network taken now might show only the first of two
    /// that have not met each other yet.
    pub(in crate::driver) fn is_settling(&self, now: Instant) -> bool {
        // Without a DHT, who has not said hello yet is not known to be a farmer.
        let has_spoken = |entry: &Entry| if self.dht { entry.is_identified() } else { entry.has_greeted() };
        let is_new = |node: &NodeId| self.book.get(node).is_some_and(|e| e.is_connected() && !has_spoken(e));
        let comes = |seed: &Seed| seed.dialling.is_some() || seed.node.as_ref().is_some_and(is_new);
        now < self.dials.seeds.started() + SETTLING_MAX && self.dials.seeds.bootstrap.iter().any(comes)
    }

    /// A dial has failed, whoever ordered it. Refused by all, a client's questions end here: nobody will turn up in time.
    pub(in crate::driver) fn on_seed_failed(&mut self, id: ConnectionId, node: Option<NodeId>, error: &DialError) {
        let refused = is_refusal(error);
        self.dials.seeds.on_failed(id, &reason(error), refused);
        let exhausted = |node: &NodeId| self.book.get(node).is_none_or(|entry| !entry.has_fresh_address());
        if let Some(node) = node.filter(|node| refused && exhausted(node)) {
            self.dials.seeds.on_refused(node, Instant::now());
        }
        self.give_up_if_refused();
    }

    /// A node that was met leaves this one outside. When it was the last way in, the questions of a client end here.
    pub(in crate::driver) fn turned_away(&mut self, node: NodeId, why: NetworkError) {
        self.judge_seed(node, Some(&why));
        let alone = !self.knows_servers();
        if alone {
            self.dials.outside = Some(why);
        }
        self.dials.seeds.on_foreign(node, alone);
        self.give_up_if_refused();
    }

    /// Keeps what a node is that was met at a bootstrap address, for the operator.
    pub(in crate::driver) fn judge_seed(&mut self, node: NodeId, why: Option<&NetworkError>) {
        let stray = why.map(|why| match why {
            NetworkError::Incompatible { reason, .. } => reason.to_string(),
            why => why.to_string(),
        });
        if self.dials.seeds.judge(node, stray.as_deref()) {
            let strays = self.dials.seeds.strays();
            *self.shared.strays.write().unwrap_or_else(PoisonError::into_inner) = strays;
        }
    }

    fn give_up_if_refused(&mut self) {
        if !self.serve && self.dials.seeds.is_refused() {
            self.give_up_questions();
        }
    }

    /// Dials the ways into the network when it is time to.
    pub(in crate::driver) fn seed(&mut self, now: Instant) {
        if now < self.dials.seeds.next {
            return;
        }
        let alone = !self.knows_servers();
        let seeds = &mut self.dials.seeds;
        let wait = if alone { seeds.wait } else { REFRESH };
        seeds.wait = if alone { (seeds.wait * 2).min(RETRY_MAX) } else { RETRY_MIN };
        seeds.next = now + wait;
        self.dial_bootstrap();
        if alone || !self.dht {
            self.dial_remembered(now);
        }
        if !alone {
            self.refresh_table();
        }
    }

    /// Servers have gone: look for the way back at once, not at the next refresh.
    pub(in crate::driver) fn seed_soon(&mut self, now: Instant) {
        let seeds = &mut self.dials.seeds;
        seeds.next = seeds.next.min(now + seeds.wait);
    }

    fn dial_bootstrap(&mut self) {
        for index in 0..self.dials.seeds.bootstrap.len() {
            let seed = &self.dials.seeds.bootstrap[index];
            let met = seed.node.is_some_and(|node| node == self.local || self.is_connected(&node));
            if met || seed.dialling.is_some() {
                continue;
            }
            let address = seed.address.clone();
            let opts = match seed.named {
                Some(node) => DialOpts::peer_id(peer_id(&node)).addresses(vec![address.clone()]).build(),
                None => DialOpts::unknown_peer_id().address(address.clone()).build(),
            };
            let (named, id) = (seed.named, opts.connection_id());
            if let Some(node) = named {
                self.book.entry(node, FoundBy::Bootstrap, Instant::now()).learn(&address);
            }
            if self.swarm.dial(opts).is_ok() {
                self.dials.seeds.bootstrap[index].dialling = Some(id);
            }
        }
    }

    fn dial_remembered(&mut self, now: Instant) {
        let count = self.dials.seeds.remembered.len();
        for _ in 0..count.min(REMEMBERED_PER_ROUND) {
            let seeds = &mut self.dials.seeds;
            let Remembered { node, addresses, .. } = &seeds.remembered[seeds.next_remembered % count];
            seeds.next_remembered += 1;
            let node = *node;
            let entry = self.book.entry(node, FoundBy::Remembered, now);
            for address in addresses {
                entry.learn(address);
            }
            if !entry.is_connected() {
                self.dial(node);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use dsn_core::identity::Identity;

    use super::*;

    #[test]
    fn a_bootstrap_address_of_another_network_is_news_once_for_each_cause() {
        let bootstrap = vec!["/ip4/192.0.2.1/tcp/1".to_owned(), "/ip4/192.0.2.2/tcp/1".to_owned()];
        let options = NetOptions::new(Identity::from_seed([1; 32]), "main".parse().unwrap());
        let mut seeds = Seeds::new(&NetOptions { bootstrap, ..options }).unwrap();
        let (stranger, other) = (NodeId([2; 32]), NodeId([3; 32]));
        seeds.bootstrap[0].node = Some(stranger);
        assert!(seeds.judge(stranger, Some("it belongs to network den")));
        assert!(!seeds.judge(stranger, Some("it belongs to network den")), "said already");
        assert!(!seeds.judge(other, Some("it belongs to network den")), "met elsewhere");
        let stray = Stray { address: "/ip4/192.0.2.1/tcp/1".into(), reason: "it belongs to network den".into() };
        assert_eq!(seeds.strays(), [stray]);
        assert!(seeds.judge(stranger, Some("it speaks another protocol than this node")));
        assert!(seeds.judge(stranger, None) && seeds.strays().is_empty(), "it has changed its network");
        assert!(!seeds.judge(stranger, None));
    }
}
