//! What the records of one name come to. The highest number counts; of records of one number and root the one that ends
//! last. Records of one number that name different roots are a conflict: both stay, so that whoever asks sees it, and
//! nothing chooses between them. Merging gives the same whatever the order in which records come.

use bytes::Bytes;
use dsn_proto as proto;
use prost::Message;

use super::{Name, NameBody, NameRecord, VerifiedName};
use crate::{
    limits::{NAME_RECORDS_MAX, SIGNED_BODY_MAX_BYTES},
    network_name::NetworkName,
    signed::Signed,
    wire::{WireError, check, decode_canonical},
};

/// Bytes of the largest stored form.
const RECORDS_MAX_BYTES: usize = NAME_RECORDS_MAX * (SIGNED_BODY_MAX_BYTES + 128);

/// Well-formed records of one name, as they travel and are stored: one or two, of one number, and nobody has checked
/// their signatures yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameRecords(Vec<NameRecord>);

/// The newest true records of a name; none when there are none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownName {
    /// Of one name and number, in the order of their roots, at most [`NAME_RECORDS_MAX`].
    records: Vec<VerifiedName>,
}

/// What a name stands for at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing<'a> {
    /// Nobody has heard of it.
    Unknown,
    /// For this.
    Current(&'a NameBody),
    /// For nothing any more: the last record has ended.
    Ended(&'a NameBody),
    /// Two writers have given one number to two roots, and at least one of these records has not ended.
    Conflict(&'a NameBody, &'a NameBody),
}

impl NameRecords {
    /// The name.
    pub fn name(&self) -> Name {
        self.0[0].body().name
    }

    /// The records, whether or not they are true.
    pub fn records(&self) -> &[NameRecord] {
        &self.0
    }

    /// Those that count in `network` at `now` (Unix seconds).
    pub fn verify(self, network: &NetworkName, now: u64) -> KnownName {
        let mut known = KnownName::default();
        for record in self.0.into_iter().filter_map(|record| record.verify(network, now).ok()) {
            known.merge(record);
        }
        known
    }

    pub(crate) fn from_proto(message: proto::NameRecords) -> Result<Self, WireError> {
        check((1..=NAME_RECORDS_MAX).contains(&message.records.len()), "records")?;
        let records = message.records.into_iter().map(Signed::from_proto).collect::<Result<Vec<NameRecord>, _>>()?;
        let of = |record: &NameRecord| (record.body().name, record.body().sequence);
        let is_sorted = records.is_sorted_by(|a, b| of(a) == of(b) && a.body().root < b.body().root);
        check(is_sorted, "records")?;
        Ok(Self(records))
    }

    pub(crate) fn to_proto(&self) -> proto::NameRecords {
        proto::NameRecords { records: self.0.iter().map(Signed::to_proto).collect() }
    }

    /// The stored form.
    pub fn encode(&self) -> Bytes {
        self.to_proto().encode_to_vec().into()
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// When it is not the canonical encoding of such records.
    pub fn decode(bytes: &Bytes) -> Result<Self, WireError> {
        Self::from_proto(decode_canonical(bytes, RECORDS_MAX_BYTES)?)
    }
}

impl KnownName {
    /// The newest number; 0 when nothing is known.
    pub fn sequence(&self) -> u64 {
        self.records.first().map_or(0, |record| record.body().sequence)
    }

    /// The newest records; more than one are a conflict.
    pub fn records(&self) -> &[VerifiedName] {
        &self.records
    }

    /// Adds a record of the same name; says whether it changed anything. One of another name is ignored.
    pub fn merge(&mut self, record: VerifiedName) -> bool {
        let NameBody { name, sequence, root, .. } = *record.body();
        if self.records.first().is_some_and(|known| known.body().name != name) || sequence < self.sequence() {
            return false;
        }
        if sequence > self.sequence() {
            self.records = vec![record];
            return true;
        }
        // The end first: a record that keeps the name for longer is not undone by one that was signed in the same second.
        let rank = |record: &VerifiedName| (record.body().until, record.body().issued, record.as_signed().encode());
        match self.records.binary_search_by_key(&root, |known| known.body().root) {
            Ok(at) if rank(&self.records[at]) >= rank(&record) => false,
            Ok(at) => {
                self.records[at] = record;
                true
            }
            Err(at) => {
                self.records.insert(at, record);
                self.records.truncate(NAME_RECORDS_MAX);
                at < NAME_RECORDS_MAX
            }
        }
    }

    /// Adds what another one knows; says whether anything changed.
    pub fn merge_all(&mut self, other: &Self) -> bool {
        let changed: Vec<bool> = other.records.iter().map(|record| self.merge(record.clone())).collect();
        changed.contains(&true)
    }

    /// What the name stands for at `now` (Unix seconds).
    pub fn at(&self, now: u64) -> Standing<'_> {
        match &self.records[..] {
            [] => Standing::Unknown,
            [one] if one.body().holds_at(now) => Standing::Current(one.body()),
            [one] => Standing::Ended(one.body()),
            [one, other, ..] if one.body().holds_at(now) || other.body().holds_at(now) => {
                Standing::Conflict(one.body(), other.body())
            }
            [one, ..] => Standing::Ended(one.body()),
        }
    }

    /// Whether nothing of it need be kept any more.
    pub fn is_forgotten_at(&self, now: u64) -> bool {
        self.records.iter().all(|record| record.body().is_forgotten_at(now))
    }

    /// The last end of its records, in Unix seconds.
    pub fn until(&self) -> u64 {
        self.records.iter().map(|record| record.body().until).max().unwrap_or(0)
    }

    /// The records as they travel; none when there are none.
    pub fn to_records(&self) -> Option<NameRecords> {
        let records: Vec<NameRecord> = self.records.iter().map(|record| record.as_signed().clone()).collect();
        (!records.is_empty()).then_some(NameRecords(records))
    }
}
