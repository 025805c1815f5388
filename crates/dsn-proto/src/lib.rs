//! The protobuf types of DSN's stored objects and messages, generated from `proto/` and checked in, so that nobody needs
//! protoc. Nothing is validated here: `dsn-core` turns these into domain types, in one place for each.

#![expect(missing_docs, reason = "generated; the .proto files carry the documentation")]
#![expect(clippy::derive_partial_eq_without_eq, reason = "generated")]

include!("dsn.v1.rs");
