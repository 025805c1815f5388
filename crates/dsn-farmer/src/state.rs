//! What a running farmer remembers and its tasks share: each is small, bounded and knows nothing of the farmer.

mod counters;
mod damaged;
mod drain;
mod grants;
mod greetings;
mod intents;
mod owners;
mod presences;
mod queue;
mod registry;

pub use drain::Drain;
pub(crate) use {
    counters::Counters,
    damaged::Damaged,
    grants::{Carried, Grant, Grants},
    greetings::Greetings,
    intents::Intents,
    owners::Owners,
    presences::Presences,
    queue::{Pending, Queue},
    registry::Registry,
};
