//! What a running farmer remembers and its tasks share: each is small, bounded and knows nothing of the farmer.

mod counters;
mod damaged;
mod drain;
mod grants;
mod greetings;
mod intents;
mod name_index;
mod newcomers;
mod owners;
mod presences;
mod queue;
mod registry;

pub use drain::Drain;
pub(crate) use {
    counters::Counters,
    damaged::{DAMAGED_MAX, Damaged},
    grants::{Carried, GRANTS_MAX, Grant, Grants},
    greetings::{GREETERS_MAX, Greetings},
    intents::{INTENTS_MAX, Intents},
    name_index::{NAMES_MAX, NameIndex},
    newcomers::{BRINGERS_MAX, Newcomers},
    owners::{OWNERS_MAX, Owners},
    presences::Presences,
    queue::{Pending, QUEUE_MAX, Queue},
    registry::{REGISTERED_MAX, Registry},
};
