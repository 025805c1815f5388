//! Announcements: made, heard, checked before they are handed on. Everybody may be told at this rate and no faster, whoever
//! forwards it: a node that forwards more than honest ones do is no longer listened to. Not here: how they
//! spread (`behaviour/gossip`), and what a departure means (the handler).

use std::{collections::BTreeMap, num::NonZeroU32};

use bytes::Bytes;
use dsn_core::{
    announcement::{Announcement, News},
    departure::{Departure, DepartureError},
    name::{KnownName, Name, NameRecord, NameRecordError, VerifiedName},
    node_id::NodeId,
};
use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota};
use libp2p::gossipsub::{Event, MessageAcceptance, PublishError};

use super::Driver;
use crate::{behaviour::topic, clock, identity::node_id};

/// Announcements looked at in a second, on average: each costs the check of a signature.
const PER_SEC: NonZeroU32 = NonZeroU32::new(16).expect("not 0");
/// And at once.
const BURST: NonZeroU32 = NonZeroU32::new(128).expect("not 0");
/// Of one node: twice of what an honest one lets through itself.
const PER_SEC_OF_NODE: NonZeroU32 = NonZeroU32::new(32).expect("not 0");
const BURST_OF_NODE: NonZeroU32 = NonZeroU32::new(256).expect("not 0");
/// Of records of names, which anybody can make any number of, in a second on average: they leave room for the other kinds.
const NAMES_PER_SEC: NonZeroU32 = NonZeroU32::new(4).expect("not 0");
const NAMES_BURST: NonZeroU32 = NonZeroU32::new(64).expect("not 0");
const _: () = assert!(NAMES_PER_SEC.get() < PER_SEC.get() && NAMES_BURST.get() < BURST.get(), "others are heard too");
/// Names of which the newest record heard is known; beyond, those whose records end first are forgotten, and handed on
/// once more at most.
const NAMES_MAX: usize = 1024;
/// Nodes whose rate is known; when there are more, those that were quiet are forgotten.
const NODES_MAX: usize = 1024;

/// How many announcements are listened to.
pub(super) struct Ears {
    all: DefaultDirectRateLimiter,
    of_node: DefaultKeyedRateLimiter<NodeId>,
    of_names: DefaultDirectRateLimiter,
    /// What was heard of names.
    names: BTreeMap<Name, KnownName>,
}

impl Default for Ears {
    fn default() -> Self {
        Self {
            all: DefaultDirectRateLimiter::direct(Quota::per_second(PER_SEC).allow_burst(BURST)),
            of_node: DefaultKeyedRateLimiter::keyed(Quota::per_second(PER_SEC_OF_NODE).allow_burst(BURST_OF_NODE)),
            of_names: DefaultDirectRateLimiter::direct(Quota::per_second(NAMES_PER_SEC).allow_burst(NAMES_BURST)),
            names: BTreeMap::new(),
        }
    }
}

impl Ears {
    /// Notes a record; says whether it is newer than what was heard of its name.
    fn is_newer(&mut self, record: &VerifiedName) -> bool {
        let name = record.body().name;
        if !self.names.contains_key(&name) && self.names.len() >= NAMES_MAX {
            let first = self.names.iter().min_by_key(|(_, known)| known.until()).map(|(name, _)| *name);
            first.map(|name| self.names.remove(&name));
        }
        self.names.entry(name).or_default().merge(record.clone())
    }
}

impl Driver {
    /// Tells everybody who listens. Nothing is done about it when nobody does, nor when others have told it already.
    pub(super) fn announce(&mut self, announcement: &Announcement) {
        if let Announcement::Name(record) = announcement
            && let Ok(record) = record.clone().verify(&self.network, clock::unix_secs())
            && !self.ears.is_newer(&record)
        {
            return;
        }
        let Some(gossip) = self.swarm.behaviour_mut().protocols.gossip.as_mut() else { return };
        match gossip.0.publish(topic(), announcement.encode()) {
            Ok(_) | Err(PublishError::NoPeersSubscribedToTopic | PublishError::Duplicate) => {}
            Err(error) => tracing::debug!(%error, "an announcement did not go out to everybody"),
        }
    }

    pub(super) fn on_gossip_event(&mut self, event: Event) {
        let Event::Message { propagation_source, message_id, message } = event else { return };
        let Some(from) = node_id(&propagation_source) else { return };
        let acceptance = self.hear(from, &message.data.into());
        if let Some(gossip) = self.swarm.behaviour_mut().protocols.gossip.as_mut() {
            gossip.0.report_message_validation_result(&message_id, &propagation_source, acceptance);
        }
    }

    /// Acts on what a node hands on; whether it is to be handed on further, or held against that node.
    fn hear(&mut self, from: NodeId, bytes: &Bytes) -> MessageAcceptance {
        if self.ears.of_node.len() > NODES_MAX {
            self.ears.of_node.retain_recent();
        }
        if self.ears.of_node.check_key(&from).is_err() {
            return MessageAcceptance::Reject;
        }
        if self.ears.all.check().is_err() {
            return MessageAcceptance::Ignore;
        }
        let is_news = match Announcement::decode(bytes) {
            Ok(Some(Announcement::Revocations(list))) => match &self.shared.club {
                Some(club) => club.learn(list).map_err(|error| error.to_string()),
                None => Err("an open network has no founder".into()),
            },
            Ok(Some(Announcement::Departure(departure))) => self.hear_departure(departure),
            Ok(Some(Announcement::Name(record))) => self.hear_name(record),
            Ok(None) => Ok(false), // of a later version
            Err(error) => Err(error.to_string()),
        };
        match is_news {
            Ok(true) => MessageAcceptance::Accept,
            Ok(false) => MessageAcceptance::Ignore,
            Err(error) => {
                tracing::debug!(%from, error, "a node handed on what is no announcement");
                MessageAcceptance::Reject
            }
        }
    }

    fn hear_departure(&self, departure: Departure) -> Result<bool, String> {
        match departure.verify(&self.network, clock::unix_secs()) {
            Ok(departure) => Ok(self.serving.handler().hear(&News::Departure(departure))),
            Err(DepartureError::NoNews { .. }) => Ok(false),
            Err(error) => Err(error.to_string()),
        }
    }

    fn hear_name(&mut self, record: NameRecord) -> Result<bool, String> {
        if self.ears.of_names.check().is_err() {
            return Ok(false);
        }
        let now = clock::unix_secs();
        match record.verify(&self.network, now) {
            Ok(record) if !record.body().is_news_at(now) || !self.ears.is_newer(&record) => Ok(false),
            Ok(record) => Ok(self.serving.handler().hear(&News::Name(record))),
            Err(NameRecordError::Future { .. }) => Ok(false), // by this clock, which may be the one that is wrong
            Err(error) => Err(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use dsn_core::{
        cid::Cid,
        departure::DepartureBody,
        hash::{ChunkId, Hash},
        identity::Identity,
        membership::{Membership, certificate::CertificateBody, closed_network, revocations::RevocationsBody},
        name::NameBody,
        ports::NoService,
    };
    use tokio::sync::mpsc;

    use super::*;
    use crate::NetOptions;

    const STRANGER: NodeId = NodeId([9; 32]);

    fn driver(options: &NetOptions) -> Driver {
        Driver::new(options, Arc::new(NoService), mpsc::channel(1).1).unwrap()
    }

    fn open() -> NetOptions {
        NetOptions::new(Identity::from_seed([1; 32]), "main".parse().unwrap())
    }

    fn closed(founder: &Identity) -> NetOptions {
        let network = closed_network(founder.node_id(), "club").unwrap();
        let (founder_id, member) = (founder.node_id(), Identity::from_seed([3; 32]));
        let body = CertificateBody {
            network: network.clone(),
            founder: founder_id,
            member: member.node_id(),
            label: "member".into(),
            issued: clock::unix_secs(),
            until: None,
            quota: None,
        };
        let membership = Membership::new(member.clone(), body.sign(founder)).unwrap();
        NetOptions { membership: Some(membership), ..NetOptions::new(member, network) }
    }

    fn departure(said: u64) -> Departure {
        let alice = Identity::from_seed([2; 32]);
        let body = DepartureBody { network: "main".parse().unwrap(), node: alice.node_id(), leaving: true, said };
        body.sign(&alice).into_signed()
    }

    fn heard(driver: &mut Driver, announcement: &Announcement) -> char {
        heard_bytes(driver, announcement.encode())
    }

    fn heard_bytes(driver: &mut Driver, bytes: Vec<u8>) -> char {
        match driver.hear(STRANGER, &bytes.into()) {
            MessageAcceptance::Accept => 'a',
            MessageAcceptance::Ignore => 'i',
            MessageAcceptance::Reject => 'r',
        }
    }

    #[tokio::test]
    async fn departures_are_handed_on_while_they_are_news() {
        let (mut driver, now) = (driver(&open()), clock::unix_secs());
        assert_eq!(heard(&mut driver, &Announcement::Departure(departure(now))), 'a');
        assert_eq!(heard(&mut driver, &Announcement::Departure(departure(now - 2 * 3600))), 'i', "an old one");
        assert_eq!(heard_bytes(&mut driver, vec![0x7a, 1, 1]), 'i', "of a later version");
        let mut forged = Announcement::Departure(departure(now)).encode();
        *forged.last_mut().unwrap() ^= 1;
        assert_eq!(heard_bytes(&mut driver, forged), 'r');
        assert_eq!(heard_bytes(&mut driver, b"nonsense".to_vec()), 'r');
    }

    /// A record of a throw-away name.
    fn name(seed: u64, sequence: u64, issued: u64) -> NameRecord {
        let key = Identity::from_seed(Hash::of(&seed.to_le_bytes()).0);
        let (network, root) = ("main".parse().unwrap(), Cid(ChunkId(Hash([7; 32]))));
        let body = NameBody { network, name: Name::of(&key), sequence, root, issued, until: issued + 60 };
        body.sign(&key).into_signed()
    }

    #[tokio::test]
    async fn a_record_of_a_name_is_handed_on_while_it_is_the_newest() {
        let (mut driver, now) = (driver(&open()), clock::unix_secs());
        let mut told = |sequence, issued| heard(&mut driver, &Announcement::Name(name(1, sequence, issued)));
        assert_eq!(told(2, now), 'a');
        assert_eq!(told(2, now), 'i', "known");
        assert_eq!(told(1, now), 'i', "older");
        assert_eq!(told(3, now - 61), 'i', "it has ended");
        let old = NameBody { until: now + 60, ..name(1, 3, now - 2 * 3600).body().clone() };
        let old = old.sign(&Identity::from_seed(Hash::of(&1u64.to_le_bytes()).0)).into_signed();
        assert_eq!(heard(&mut driver, &Announcement::Name(old)), 'i', "no news");
        let mut told = |sequence, issued| heard(&mut driver, &Announcement::Name(name(1, sequence, issued)));
        assert_eq!(told(3, now + 2 * 3600), 'i', "of tomorrow, by this clock");
        assert_eq!(told(3, now), 'a');
        let mut forged = Announcement::Name(name(1, 4, now)).encode();
        *forged.last_mut().unwrap() ^= 1;
        assert_eq!(heard_bytes(&mut driver, forged), 'r');
        let other = NetOptions::new(Identity::from_seed([1; 32]), "other".parse().unwrap());
        let elsewhere = Announcement::Name(name(1, 4, now));
        assert_eq!(heard(&mut self::driver(&other), &elsewhere), 'r', "of another network");
    }

    #[tokio::test]
    async fn a_flood_of_names_leaves_room_for_who_leaves() {
        let (mut driver, now) = (driver(&open()), clock::unix_secs());
        let burst = NAMES_BURST.get() as usize;
        let flood: Vec<char> =
            (0..100).map(|seed| heard(&mut driver, &Announcement::Name(name(seed, 1, now)))).collect();
        let handed_on = flood.iter().filter(|one| **one == 'a').count();
        assert!((burst..burst + 16).contains(&handed_on), "{handed_on} were handed on");
        assert_eq!(heard(&mut driver, &Announcement::Departure(departure(now))), 'a');
        let mut ears = Ears::default();
        for seed in 0..=NAMES_MAX as u64 {
            assert!(ears.is_newer(&name(seed, 1, now + seed).verify(&"main".parse().unwrap(), now + seed).unwrap()));
        }
        assert_eq!(ears.names.len(), NAMES_MAX);
    }

    #[tokio::test]
    async fn the_founders_list_is_acted_on_and_handed_on_once() {
        let founder = Identity::from_seed([1; 32]);
        let options = closed(&founder);
        let mut driver = driver(&options);
        let list = |signer: &Identity, seq| {
            let (network, founder) = (options.network.clone(), founder.node_id());
            let body = RevocationsBody { network, founder, seq, members: [STRANGER].into() };
            Announcement::Revocations(body.sign(signer).into_signed())
        };
        assert_eq!(heard(&mut driver, &list(&Identity::from_seed([4; 32]), 9)), 'r', "somebody else's");
        assert_eq!(heard(&mut driver, &list(&founder, 2)), 'a');
        assert!(driver.shared.club.as_ref().unwrap().list_after(1).is_some());
        assert_eq!(heard(&mut driver, &list(&founder, 2)), 'i', "known");
        assert_eq!(heard(&mut driver, &list(&founder, 1)), 'i', "older");
        let mut stranger = self::driver(&open());
        assert_eq!(heard(&mut stranger, &list(&founder, 2)), 'r', "open networks have no founder");
    }

    #[tokio::test]
    async fn who_hands_on_too_much_is_not_listened_to() {
        let (mut driver, now) = (driver(&open()), clock::unix_secs());
        let heard: Vec<char> =
            (0..600).map(|age| heard(&mut driver, &Announcement::Departure(departure(now - age)))).collect();
        let count = |wanted| heard.iter().filter(|one| **one == wanted).count();
        let (burst, of_node) = (BURST.get() as usize, BURST_OF_NODE.get() as usize);
        assert!((burst..burst + 64).contains(&count('a')), "{} were handed on", count('a'));
        assert!((of_node - burst - 64..=of_node).contains(&count('i')), "{} were let go", count('i'));
        assert!(count('r') > 200, "and {} are held against the node", count('r'));
    }
}
