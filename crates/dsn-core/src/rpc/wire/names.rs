//! Requests for records of names and their answers.

use dsn_proto as proto;

use super::field;
use crate::{
    limits::NAMES_MAX_PER_REQUEST,
    name::{Name, NameRecord, NameRecords},
    wire::{WireError, check},
};

pub(super) fn names_to_proto(names: &[Name]) -> proto::Names {
    proto::Names { names: names.iter().flat_map(|name| *name.as_bytes()).collect() }
}

pub(super) fn names_from_proto(message: &proto::Names) -> Result<Vec<Name>, WireError> {
    let (names, rest) = message.names.as_chunks::<32>();
    check(rest.is_empty() && (1..=NAMES_MAX_PER_REQUEST).contains(&names.len()), "names")?;
    names.iter().map(|name| Name::from_slice(name).ok_or(field("names"))).collect()
}

pub(super) fn records_to_proto(records: &[NameRecord]) -> proto::PublishNamesRequest {
    proto::PublishNamesRequest { records: records.iter().map(NameRecord::to_proto).collect() }
}

pub(super) fn records_from_proto(message: proto::PublishNamesRequest) -> Result<Vec<NameRecord>, WireError> {
    check((1..=NAMES_MAX_PER_REQUEST).contains(&message.records.len()), "records")?;
    message.records.into_iter().map(NameRecord::from_proto).collect()
}

pub(super) fn found_to_proto(found: &[Option<NameRecords>]) -> proto::NamesResponse {
    let entry = |found: &Option<NameRecords>| found.as_ref().map(NameRecords::to_proto).unwrap_or_default();
    proto::NamesResponse { names: found.iter().map(entry).collect() }
}

pub(super) fn found_from_proto(message: proto::NamesResponse) -> Result<Vec<Option<NameRecords>>, WireError> {
    check(message.names.len() <= NAMES_MAX_PER_REQUEST, "names")?;
    let entry = |found: proto::NameRecords| {
        if found.records.is_empty() { Ok(None) } else { NameRecords::from_proto(found).map(Some) }
    };
    message.names.into_iter().map(entry).collect()
}
