//! What callers may choose. Plain values: whoever reads a configuration builds these.

use std::time::Duration;

use dsn_core::{redundancy::Class, seal::Secret};

/// How a client works, whatever it does.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// Chunks encoded or on their way at once; each takes up to 48 MiB while it is placed.
    pub put_chunks_in_flight: usize,
    /// Chunks fetched ahead of the one being written; each takes up to 16 MiB, or 32 MiB while it is decoded.
    pub get_chunks_in_flight: usize,
    /// The longest wait without any progress.
    pub stall_after: Duration,
    /// A piece that takes longer than this, and than four times the usual, is asked for elsewhere too.
    pub hedge_after: Duration,
    /// When a range computed from other pieces is given out.
    pub certainty: Certainty,
}

/// How sure a range must be that had to be computed from other pieces, because nobody gives out the piece it is in. A range
/// that a holder has proved, and all of a whole file, is always compared with the hash in its descriptor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Certainty {
    /// Seventeen other pieces agree on it, each proved. Right for every chunk that our encoder made. Whoever put the file
    /// can make parity for another content of just the lost piece: then this gives out that content. Nobody else can.
    #[default]
    Agreed,
    /// The whole piece was computed and has the hash it should have: the whole chunk travels.
    Hashed,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            put_chunks_in_flight: 4,
            get_chunks_in_flight: 4,
            stall_after: Duration::from_secs(60),
            hedge_after: Duration::from_millis(500),
            certainty: Certainty::Agreed,
        }
    }
}

/// How one file is put.
#[derive(Clone, Debug, Default)]
pub struct PutOptions {
    /// The redundancy asked for.
    pub class: Class,
    /// What to do with too few farmers for the rule of `put`.
    pub safety: Safety,
    /// How long the file is to be kept, from now on; none: without end.
    pub ttl: Option<Duration>,
    /// Who can read it.
    pub privacy: Privacy,
}

/// Who can read what is put.
#[derive(Clone, Debug, Default)]
pub enum Privacy {
    /// Whoever has its CID.
    #[default]
    Public,
    /// Whoever has its capability. Keys follow from this secret and the bytes, so that the same bytes are the same CID again.
    Sealed(Secret),
    /// The same with keys that are drawn: nothing is the same twice.
    SealedAtRandom,
}

/// What to do with too few farmers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Safety {
    /// Fail.
    #[default]
    Required,
    /// Accept what suffices to read the file now.
    Waived,
}
