//! Bugs planted on purpose, so that the tests are tested: with the feature `canary` a test plants one and the simulation
//! has to find it. Without the feature [`planted`] is `false` for the compiler too, and nothing of this is in the program.
//! Not here: which test finds what (`dsn-sim/tests/canaries.rs`).

use crate::{
    descriptor::Descriptor,
    piece::{Piece, VerifiedPiece},
};

/// A bug that can be planted. Each stands for a mistake somebody could make at the line that asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// A farmer signs for pieces that its store failed to write.
    ReceiptBeforeWrite,
    /// A store answers before what it was told to keep is durable.
    NoSync,
    /// A reader takes pieces as they come.
    GetUnchecked,
    /// A reader takes pieces as they come when they come late.
    LateUnchecked,
    /// What is computed from parity is not compared with the descriptor.
    ParityUnchecked,
    /// A reader takes the locator of another chunk for the one it asked for.
    OtherLocator,
    /// A reader gives up a chunk at the first wrong piece.
    StopsAtWrong,
    /// Any number of a chunk's pieces goes to one failure domain.
    DomainsIgnored,
    /// A put does not mind how many custodians keep a locator, as long as one does.
    OneCustodian,
    /// A custodian that did not answer counts as one that keeps the locator.
    LostIsConfirmed,
    /// A custodian says that it keeps a locator, and does not.
    PublishNotKept,
    /// A custodian keeps the newest publication instead of the union.
    MergeForgets,
    /// The end of an upload is confirmed and not written.
    CommitNotBound,
    /// A newer lease is confirmed and not written.
    RenewIgnored,
    /// Chunks are deleted whether or not a lease holds them.
    LeasesIgnored,
    /// What nobody wants is deleted at once.
    TrashForgotten,
    /// What is wanted again stays in the trash.
    TrashForEver,
    /// A silent farmer never counts as gone.
    SilentForEver,
    /// A silent farmer counts as gone at once.
    GraceZero,
    /// A mass failure does not slow repair.
    BrakeOff,
    /// A farmer that is back stays silent.
    ReturnIgnored,
    /// Root chunks are not repaired.
    RootsUnrepaired,
    /// Repair waits until it is urgent.
    RepairLate,
    /// An intent to repair is believed for ever.
    IntentForEver,
    /// Intents are remembered without end.
    IntentsUnbounded,
    /// A repair is not told to the custodians.
    RepairUnpublished,
    /// Nodes that become custodians are told nothing.
    HandoverOff,
    /// An audit takes any bytes for proof.
    AuditAnyBytes,
    /// An audit takes a missing piece for present.
    AuditAbsence,
    /// What a farmer holds is not asked anew when its store has changed.
    InventorySkipped,
    /// A damaged piece is given up and not brought back.
    HealNever,
}

/// Whether a test has planted this bug: never, without the feature.
#[cfg(not(feature = "canary"))]
pub const fn planted(_bug: Bug) -> bool {
    false
}

#[cfg(feature = "canary")]
pub use self::garden::{plant, planted};

/// Where the planted bug is: one a thread, so that tests do not disturb each other.
#[cfg(feature = "canary")]
mod garden {
    use std::cell::Cell;

    use super::Bug;

    thread_local! {
        static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// Plants a bug in what runs on this thread from now on, or none.
    pub fn plant(bug: Option<Bug>) {
        PLANTED.set(bug);
    }

    /// Whether a test has planted this bug on this thread.
    pub fn planted(bug: Bug) -> bool {
        PLANTED.get() == Some(bug)
    }
}

/// Takes a piece as it comes; without the feature, only a true one.
pub fn unchecked(piece: Piece, descriptor: &Descriptor) -> Option<VerifiedPiece> {
    if cfg!(feature = "canary") {
        return Some(VerifiedPiece::from_coder(descriptor.id(), piece.index, piece.bytes));
    }
    piece.verify(descriptor).ok()
}
