//! Names: what one stands for, by the word of its custodians, and saying so anew. All custodians are asked and the newest
//! true record counts, so that one which lies with an old record, or with none, changes nothing as long as another one
//! answers; those that are behind are told. Writers of one name who do not know of each other are noticed here and never
//! reconciled.

use std::{collections::BTreeMap, time::Duration};

use dsn_core::{
    cid::Cid,
    identity::Identity,
    name::{KnownName, Name, NameBody, NameRecord, Standing, VerifiedName},
    node_id::NodeId,
    ports::NetworkError,
    rpc::{Request, Response},
};
use futures::{StreamExt, future::join_all, stream::FuturesUnordered};
use thiserror::Error;

use crate::{client::Client, custodians::Effort};

/// Once most custodians have answered, the others get this long to answer too.
const LAST_ANSWERS_WAIT: Duration = Duration::from_secs(2);

/// The longest wait for a custodian.
const ANSWER_WAIT: Duration = Duration::from_secs(20);

/// Custodians that have to keep a new record: any two of them may vanish before its owner renews it.
const KEPT_MIN: usize = 3;

/// The same in a network of fewer than [`SMALL_NETWORK`] farmers.
const KEPT_MIN_SMALL: usize = 2;

/// Farmers below which a network is small.
const SMALL_NETWORK: usize = 5;

/// What the custodians of a name say.
#[derive(Clone, Debug)]
pub struct ResolvedName {
    /// The newest records; what they come to depends on the time.
    pub known: KnownName,
    /// When that was, in Unix seconds.
    pub now: u64,
    /// Custodians that there are.
    pub custodians: usize,
    /// Those of them that answered.
    pub answered: usize,
    /// Those that were behind and know it now.
    pub repaired: usize,
}

/// A version of a name that one writer knows of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameVersion {
    /// Its number; 0 for none.
    pub sequence: u64,
    /// What it stands for.
    pub root: Cid,
}

/// What to do about another writer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OtherWriters {
    /// Fail, and show what they wrote.
    #[default]
    Respect,
    /// Put a higher number on top of theirs.
    Overrule,
}

/// How a name is published.
#[derive(Clone, Copy, Debug)]
pub struct PublishName {
    /// What it is to stand for.
    pub root: Cid,
    /// For how long, from now on; at most [`dsn_core::limits::NAME_TTL_MAX_SECS`].
    pub ttl: Duration,
    /// The newest number that this writer has seen; 0 for none. A higher one is another writer's.
    pub last_seen: u64,
    /// What to do about those.
    pub others: OtherWriters,
}

/// What was published.
#[derive(Clone, Debug)]
pub struct PublishedName {
    /// What it says.
    pub body: NameBody,
    /// Custodians that keep it durably.
    pub confirmed: usize,
    /// Custodians that there are.
    pub custodians: usize,
}

/// Why a name could not be resolved, published or renewed.
#[derive(Debug, Error)]
pub enum NameError {
    /// Nobody has heard of it.
    #[error("none of the {answered} custodians that answered, of {custodians}, knows the name {name}")]
    Unknown {
        /// The name.
        name: Name,
        /// Those that answered.
        answered: usize,
        /// All of them.
        custodians: usize,
    },
    /// Its last record has ended.
    #[error("the name {name} has ended {ago_secs} s ago; it stood for {root} (number {sequence})")]
    Ended {
        /// The name.
        name: Name,
        /// What it stood for.
        root: Cid,
        /// The number of that.
        sequence: u64,
        /// Seconds since.
        ago_secs: u64,
    },
    /// Two writers.
    #[error("two writers gave the name {name} the number {sequence}: one says {one}, one says {other}")]
    Conflict {
        /// The name.
        name: Name,
        /// The number.
        sequence: u64,
        /// What one says.
        one: Cid,
        /// What the other one says.
        other: Cid,
    },
    /// Somebody else has published since this writer last saw the name.
    #[error(
        "another writer has published the name {name}: its number {} says {}, and this folder has seen number {last_seen} and would say {wanted}",
        theirs.sequence, theirs.root
    )]
    OtherWriter {
        /// The name.
        name: Name,
        /// The newest version.
        theirs: NameVersion,
        /// The newest number that this writer has seen.
        last_seen: u64,
        /// What this writer wanted to say.
        wanted: Cid,
    },
    /// There is no higher number.
    #[error("the name {name} has the highest number that there is")]
    NoNumbersLeft {
        /// The name.
        name: Name,
    },
    /// Too few custodians keep it.
    #[error("{confirmed} of {custodians} custodians keep the record, at least {needed} are needed")]
    NotKept {
        /// Those that do.
        confirmed: usize,
        /// All of them.
        custodians: usize,
        /// How many have to.
        needed: usize,
    },
    /// No custodian answered.
    #[error("none of the {custodians} custodians of the name answered")]
    NoAnswer {
        /// All of them.
        custodians: usize,
        /// What one of them met.
        #[source]
        error: Option<NetworkError>,
    },
    /// The network failed as a whole.
    #[error("the network failed")]
    Network(#[from] NetworkError),
}

impl ResolvedName {
    /// What the name stands for.
    ///
    /// # Errors
    /// When it stands for nothing, or for two things.
    pub fn current(&self, name: Name) -> Result<&NameBody, NameError> {
        match self.known.at(self.now) {
            Standing::Current(body) => Ok(body),
            Standing::Unknown => Err(NameError::Unknown { name, answered: self.answered, custodians: self.custodians }),
            Standing::Ended(body) => {
                let (root, sequence, ago_secs) = (body.root, body.sequence, self.now.saturating_sub(body.until));
                Err(NameError::Ended { name, root, sequence, ago_secs })
            }
            Standing::Conflict(one, other) => {
                let (sequence, one, other) = (one.sequence, one.root, other.root);
                Err(NameError::Conflict { name, sequence, one, other })
            }
        }
    }
}

impl Client {
    /// Asks all custodians of a name for its records, and tells the newest to those that are behind. Dropping the future
    /// may leave some of them told.
    ///
    /// # Errors
    /// When nobody answers. That nobody knows the name is none: see [`ResolvedName::current`].
    pub async fn resolve_name(&self, name: Name) -> Result<ResolvedName, NameError> {
        let custodians = self.custodians(name.place(), Effort::All).await?;
        let asked = custodians.iter().map(|node| async move { (*node, self.name_at(*node, name).await) });
        let (mut known, mut said, mut last_error) = (KnownName::default(), BTreeMap::new(), None);
        for (node, answer) in Self::most(asked.collect(), custodians.len().div_ceil(2)).await {
            match answer {
                Ok(theirs) => {
                    known.merge_all(&theirs);
                    said.insert(node, theirs);
                }
                Err(error) => last_error = Some(error),
            }
        }
        if said.is_empty() {
            return Err(NameError::NoAnswer { custodians: custodians.len(), error: last_error });
        }
        let repaired = self.tell_those_behind(&known, &said).await;
        Ok(ResolvedName { known, now: self.now(), custodians: custodians.len(), answered: said.len(), repaired })
    }

    /// Signs and publishes a new version of a name, with the next number. Dropping the future may leave it published.
    ///
    /// # Errors
    /// When somebody else has published, unless that is to be overruled; when too few custodians keep it.
    pub async fn publish_name(&self, key: &Identity, publish: PublishName) -> Result<PublishedName, NameError> {
        let name = Name::of(key);
        let before = self.resolve_name(name).await?;
        if publish.others == OtherWriters::Respect {
            before.check_other_writers(name, &publish)?;
        }
        let sequence = before.known.sequence().max(publish.last_seen).checked_add(1);
        let sequence = sequence.ok_or(NameError::NoNumbersLeft { name })?;
        let published = self.give_name(key, sequence, publish.root, publish.ttl, &before.known).await?;
        // Somebody who published at the same instant took the same number.
        if let Err(conflict @ NameError::Conflict { .. }) = self.resolve_name(name).await?.current(name) {
            return Err(conflict);
        }
        Ok(published)
    }

    /// Puts off the end of a version that this writer has published; makes it known again where nobody knows it any more.
    ///
    /// # Errors
    /// When somebody else has published, or too few custodians keep it.
    pub async fn renew_name(
        &self,
        key: &Identity,
        version: NameVersion,
        ttl: Duration,
    ) -> Result<PublishedName, NameError> {
        let name = Name::of(key);
        let before = self.resolve_name(name).await?;
        let NameVersion { sequence, root } = version;
        let theirs = before.known.records().iter().map(VerifiedName::body).find(|theirs| theirs.root != root);
        if let Some(theirs) = theirs.filter(|theirs| theirs.sequence >= sequence)
            && (theirs.sequence > sequence || before.known.records().len() > 1)
        {
            let theirs = NameVersion { sequence: theirs.sequence, root: theirs.root };
            return Err(NameError::OtherWriter { name, theirs, last_seen: sequence, wanted: root });
        }
        self.give_name(key, sequence.max(before.known.sequence()), root, ttl, &before.known).await
    }

    async fn give_name(
        &self,
        key: &Identity,
        sequence: u64,
        root: Cid,
        ttl: Duration,
        before: &KnownName,
    ) -> Result<PublishedName, NameError> {
        // Never dated before the last version, as the rule for how long ended records are kept needs it.
        let issued = before.records().iter().map(|record| record.body().issued).fold(self.now(), u64::max);
        let (network, name) = (self.parts.network_name.clone(), Name::of(key));
        let until = issued.saturating_add(ttl.as_secs());
        let record = NameBody { network, name, sequence, root, issued, until }.sign(key);
        let custodians = self.custodians(name.place(), Effort::All).await?;
        let needed = if custodians.len() < SMALL_NETWORK { KEPT_MIN_SMALL } else { KEPT_MIN };
        let signed = record.as_signed();
        let told = custodians.iter().map(|node| self.name_kept_at(*node, vec![signed.clone()]));
        let kept = Self::most(told.collect(), needed.max(custodians.len().div_ceil(2))).await;
        let confirmed = kept.into_iter().filter(|kept| *kept).count();
        if confirmed < needed {
            return Err(NameError::NotKept { confirmed, custodians: custodians.len(), needed });
        }
        Ok(PublishedName { body: record.into_body(), confirmed, custodians: custodians.len() })
    }

    /// What a custodian knows of a name, as far as it is true.
    async fn name_at(&self, node: NodeId, name: Name) -> Result<KnownName, NetworkError> {
        match self.request(node, Request::Names(vec![name])).await? {
            Response::Names(found) if found.len() == 1 => {
                let records = found.into_iter().flatten().find(|records| records.name() == name);
                Ok(records.map(|records| records.verify(&self.parts.network_name, self.now())).unwrap_or_default())
            }
            _ => Err(Self::bad_answer(node)),
        }
    }

    async fn name_kept_at(&self, node: NodeId, records: Vec<NameRecord>) -> bool {
        let answer = self.request(node, Request::PublishNames(records)).await;
        matches!(answer, Ok(Response::NamesPublished(kept)) if !kept.is_empty() && kept.iter().all(|kept| *kept))
    }

    /// Tells the newest records to those that said less; gives how many took them.
    async fn tell_those_behind(&self, known: &KnownName, said: &BTreeMap<NodeId, KnownName>) -> usize {
        let Some(records) = known.to_records() else { return 0 };
        let behind = said.iter().filter(|(_, theirs)| *theirs != known);
        let told = behind.map(|(node, _)| self.name_kept_at(*node, records.records().to_vec()));
        let told = tokio::time::timeout(LAST_ANSWERS_WAIT, join_all(told)).await;
        told.unwrap_or_default().into_iter().filter(|kept| *kept).count()
    }

    /// The answers of all who answer in time: once there are `enough`, the others do not have long.
    async fn most<T>(mut answers: FuturesUnordered<impl Future<Output = T>>, enough: usize) -> Vec<T> {
        let mut come = Vec::new();
        loop {
            let wait = if come.len() >= enough { LAST_ANSWERS_WAIT } else { ANSWER_WAIT };
            match tokio::time::timeout(wait, answers.next()).await {
                Ok(Some(answer)) => come.push(answer),
                Ok(None) | Err(_) => return come,
            }
        }
    }
}

impl ResolvedName {
    /// Fails when the newest version is not one that this writer has seen, and says something else: what says the same may
    /// be what an earlier attempt of this writer has left at some custodians, and takes nothing from anybody.
    fn check_other_writers(&self, name: Name, publish: &PublishName) -> Result<(), NameError> {
        if let Err(conflict @ NameError::Conflict { .. }) = self.current(name) {
            return Err(conflict);
        }
        let newest = self.known.records().first().map(VerifiedName::body);
        let is_others = |body: &&NameBody| body.sequence > publish.last_seen && body.root != publish.root;
        match newest.filter(is_others) {
            Some(theirs) => Err(NameError::OtherWriter {
                name,
                theirs: NameVersion { sequence: theirs.sequence, root: theirs.root },
                last_seen: publish.last_seen,
                wanted: publish.root,
            }),
            None => Ok(()),
        }
    }
}
