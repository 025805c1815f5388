//! `repair`: every chunk of one file is brought back to its target now, whatever its custodians are waiting for.

use dsn_core::{
    cid::Cid,
    descriptor::Code,
    hash::ChunkId,
    identity::Identity,
    repair::{Standing, standing},
};
use futures::{StreamExt, stream};

use crate::{
    client::Client,
    custodians::Effort,
    download::{GetContext, Wanted},
    error::{GetError, RepairError},
    progress::NoProgress,
    repair::{Ailing, Survey},
};

/// Chunks repaired at once; each takes up to 64 MiB.
const AT_ONCE: usize = 2;

/// What the repair of a file did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RepairReport {
    /// Chunks of the file, the root chunk included.
    pub chunks: u64,
    /// Chunks that lacked pieces.
    pub ailing: u64,
    /// Chunks that have all their pieces again.
    pub repaired: u64,
    /// Pieces placed.
    pub placed: u64,
    /// Bytes of pieces fetched and sent.
    pub moved_bytes: u64,
    /// Chunks that cannot be read now.
    pub lost: u64,
    /// Chunks that nobody has a lease for.
    pub unwanted: u64,
}

enum Outcome {
    Whole,
    Repaired { placed: usize, moved_bytes: u64, is_whole: bool },
    Lost,
    Unwanted,
    NoRoom,
}

impl Client {
    /// Repairs a file. `repairer` signs for the upload; no key of the owner is needed. Dropping the future keeps what is
    /// stored.
    ///
    /// # Errors
    /// When the manifest cannot be read or the network fails; chunks that cannot be repaired are counted.
    pub async fn repair_file(&self, cid: Cid, repairer: &Identity) -> Result<RepairReport, RepairError> {
        let context = self.get_context(&NoProgress);
        let (chunks, _) = self.chunks_of(&context, cid).await?;
        let survey = self.survey().await?;
        let mut report = RepairReport { chunks: chunks.len() as u64, ..RepairReport::default() };
        let outcomes =
            stream::iter(chunks).map(|(chunk, code)| self.repair_one(&context, chunk, code, &survey, repairer));
        let mut outcomes = std::pin::pin!(outcomes.buffer_unordered(AT_ONCE));
        while let Some(outcome) = outcomes.next().await {
            report.add(outcome?);
        }
        Ok(report)
    }

    async fn repair_one(
        &self,
        context: &GetContext<'_>,
        chunk: ChunkId,
        code: Code,
        survey: &Survey,
        repairer: &Identity,
    ) -> Result<Outcome, RepairError> {
        let wanted = Wanted { chunk, code, len: None, number: 1, of: 1 };
        let mut locator = match self.find(context, wanted, &[Effort::All, Effort::LookUp]).await {
            Ok(locator) => locator,
            Err(GetError::ChunkNotFound { .. } | GetError::NotFound { .. }) => return Ok(Outcome::Lost),
            Err(error) => return Err(error.into()),
        };
        let held = self.holders_now(&locator, survey).await;
        let class = locator.class();
        let is_whole = |standing: Standing| standing.live >= standing.target.place;
        if is_whole(standing(code, class, survey.with_room(), held.values().copied())) {
            return Ok(Outcome::Whole);
        }
        locator.retain(|node| held.contains_key(&node));
        match self.repair(&Ailing { locator, class, held }, survey, repairer).await {
            Ok(done) => Ok(Outcome::Repaired {
                placed: done.placed,
                moved_bytes: done.moved_bytes,
                is_whole: is_whole(done.standing),
            }),
            Err(RepairError::NoLease) => Ok(Outcome::Unwanted),
            Err(RepairError::NoRoom) => Ok(Outcome::NoRoom),
            Err(RepairError::Get(_)) => Ok(Outcome::Lost),
            Err(error) => Err(error),
        }
    }
}

impl RepairReport {
    fn add(&mut self, outcome: Outcome) {
        self.ailing += u64::from(!matches!(outcome, Outcome::Whole));
        match outcome {
            Outcome::Whole | Outcome::NoRoom => {}
            Outcome::Lost => self.lost += 1,
            Outcome::Unwanted => self.unwanted += 1,
            Outcome::Repaired { placed, moved_bytes, is_whole } => {
                self.placed += placed as u64;
                self.moved_bytes += moved_bytes;
                self.repaired += u64::from(is_whole);
            }
        }
    }
}
