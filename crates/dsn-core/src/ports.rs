//! What the client and the farmer need of the world, as traits: a network, a place for pieces, processors, a clock and
//! randomness. Each has a real adapter and a simulated one; nothing above a port knows which it got.

mod compute;
mod environment;
mod guard;
mod name_store;
mod network;
mod piece_store;
mod upkeep;

pub use compute::{Compute, ComputeJob, InlineCompute, compute};
pub use environment::Environment;
pub use guard::{Guard, Open};
pub use name_store::NameStore;
pub use network::{
    Handler, KnownNode, Network, NetworkError, NoService, PeerEvidence, REGISTERED_MAX, Snapshot, newest_words,
    registered_with,
};
pub use piece_store::{BoundChunks, ChunkHoldings, NewPiece, PieceStore, PutBatch, Space, StoreError, StoredChunk};
pub use upkeep::{CollectStep, Collected, StoreMark, Upkeep};
