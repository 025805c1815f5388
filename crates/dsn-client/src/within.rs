//! Reads a range of one chunk: only the 16 KiB groups that hold it travel, each proved against the piece's hash. It knows
//! nothing of files, and reads what is stored, sealed or not.
//!
//! When nobody gives out a data piece, or not in time, the same groups of 17 other pieces are asked for: 16 give the lost
//! one, the 17th must agree ([`decode_slice`] says what that shows, [`Certainty`] how to ask for more). Whatever does not
//! work out, also with holders that know no slices, ends in fetching the whole chunk, which is compared with its hashes or
//! is an error.

mod plan;

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    pin::pin,
    sync::atomic::Ordering,
};

use bytes::Bytes;
use dsn_core::{
    descriptor::Descriptor,
    erasure::decode_slice,
    index_set::IndexSet,
    limits::{BODIES_MAX_BYTES, DATA_PIECES, SLICES_MAX_PER_REQUEST},
    locator::VerifiedLocator,
    node_id::NodeId,
    ports::compute,
    rpc::{Request, Response},
    slice::{self, GroupRange, SliceWant, VerifiedSlice, groups, slice_max_bytes},
};
use futures::{FutureExt, future::Either};

use self::plan::{Band, Plan};
use crate::{
    client::Client,
    custodians::Effort,
    download::{GetContext, Wanted},
    drive::{Answer, Answers, Arrivals, Arrived, Outcome, Patience},
    error::GetError,
    fetch::Fetch,
    options::Certainty,
};

/// Slices that give a lost one: those that determine it, and one that must agree.
const WITNESSED: usize = DATA_PIECES + 1;

impl Client {
    /// Reads the bytes `range` of a chunk. A range that the chunk has not is [`GetError::WrongChunk`].
    pub(crate) async fn read_within(
        &self,
        context: &GetContext<'_>,
        wanted: Wanted,
        range: Range<u64>,
    ) -> Result<Vec<Bytes>, GetError> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let locator = self.find(context, wanted, &[Effort::All, Effort::LookUp, Effort::LookUp]).await?;
        let descriptor = locator.descriptor();
        let within = |at: u64| usize::try_from(at).ok().filter(|at| *at <= descriptor.chunk_len());
        let (Some(start), Some(end)) = (within(range.start), within(range.end)) else {
            return Err(GetError::WrongChunk { chunk: wanted.chunk });
        };
        if let Some(plan) = Plan::new(descriptor, &(start..end))
            && let Some(parts) = self.read_plan(context, &locator, &plan).await
        {
            context.dog.feed();
            return Ok(parts);
        }
        Ok(cut(self.fetch_from(context, wanted, locator).await?, start..end))
    }

    /// None when it takes the whole chunk.
    async fn read_plan(&self, context: &GetContext<'_>, locator: &VerifiedLocator, plan: &Plan) -> Option<Vec<Bytes>> {
        let (mut came, mut computed) = (Vec::with_capacity(plan.bands.len()), 0);
        for band in &plan.bands {
            let (bytes, lost) = self.read_band(context, locator, band).await?;
            came.push(bytes);
            computed += lost;
        }
        context.counters.decoded_chunks.fetch_add(u64::from(computed > 0), Ordering::Relaxed);
        Some(plan.join(came))
    }

    /// What the band wants of each piece, and how much of that had to be computed; none when it takes the whole chunk.
    async fn read_band(
        &self,
        context: &GetContext<'_>,
        locator: &VerifiedLocator,
        band: &Band,
    ) -> Option<(BTreeMap<u8, Bytes>, usize)> {
        let mut direct = Fetch::some_of(band.keys().copied().collect(), band.len(), per_message(band.values()));
        direct.learn(locator);
        let mut answers = Answers::new();
        let ask = |node, indices| self.ask_slices(context, locator.descriptor(), node, indices, band).boxed();
        let outcome = self.drive(context, &mut direct, &mut answers, ask, Patience::Short).await;
        let mut computed = BTreeMap::new();
        if outcome != Outcome::Enough {
            let missing = direct.missing();
            let lost: Band = band.iter().filter(|(i, _)| missing.contains(**i)).map(|(i, g)| (*i, *g)).collect();
            let compute = pin!(self.compute_lost(context, locator, &lost));
            // Late is not lost: whichever comes first will do.
            let wait = pin!(self.drive(context, &mut direct, &mut answers, ask, Patience::Long));
            computed = match futures::future::select(wait, compute).await {
                Either::Left((Outcome::Enough, _)) => BTreeMap::new(),
                Either::Left((_, compute)) => compute.await?,
                Either::Right((computed, _)) => computed?,
            };
        }
        let lost = computed.len();
        let came = direct.into_pieces().into_iter().map(|slice| (slice.index(), slice.bytes().clone()));
        computed.extend(came);
        Some((computed, lost))
    }

    /// Computes these groups of pieces from the same groups of others; none when it takes the whole chunk.
    async fn compute_lost(
        &self,
        context: &GetContext<'_>,
        locator: &VerifiedLocator,
        lost: &Band,
    ) -> Option<BTreeMap<u8, Bytes>> {
        let places: BTreeSet<GroupRange> = lost.values().copied().collect();
        let travel = places.iter().map(|range| range.count()).sum::<u32>() as usize * WITNESSED;
        let whole = groups(locator.descriptor().piece_len()) as usize * DATA_PIECES;
        if self.options.certainty == Certainty::Hashed || travel > whole {
            return None;
        }
        let mut computed = BTreeMap::new();
        for place in places {
            let here: IndexSet = lost.iter().filter(|(_, range)| **range == place).map(|(index, _)| *index).collect();
            let slices = self.others(context, locator, here, place).await?;
            for index in here.iter() {
                let slices = slices.clone();
                let decoded = compute(&*self.parts.compute, move || decode_slice(index, &slices)).await;
                let bytes = decoded.inspect_err(|error| tracing::debug!(%error, "the whole chunk will tell")).ok()?;
                computed.insert(index, bytes);
            }
        }
        Some(computed)
    }

    /// One place in enough pieces other than the lost ones; none when there are too few.
    async fn others(
        &self,
        context: &GetContext<'_>,
        locator: &VerifiedLocator,
        lost: IndexSet,
        place: GroupRange,
    ) -> Option<Vec<VerifiedSlice>> {
        let among = locator.descriptor().all_indices().minus(lost);
        let band: Band = among.iter().map(|index| (index, place)).collect();
        let mut fetch = Fetch::some_of(among, WITNESSED, per_message([&place]));
        fetch.learn(locator);
        let ask = |node, indices| self.ask_slices(context, locator.descriptor(), node, indices, &band).boxed();
        let outcome = self.drive(context, &mut fetch, &mut Answers::new(), ask, Patience::Long).await;
        (outcome == Outcome::Enough).then(|| fetch.into_pieces())
    }

    async fn ask_slices(
        &self,
        context: &GetContext<'_>,
        descriptor: &Descriptor,
        node: NodeId,
        indices: IndexSet,
        band: &Band,
    ) -> Answer<VerifiedSlice> {
        let chunk = descriptor.id();
        let want = |index| Some(SliceWant { chunk, index, range: *band.get(&index)? });
        let wants: Vec<SliceWant> = indices.iter().filter_map(want).collect();
        let request = Request::Slices(wants.clone());
        let check = async |response| {
            let Response::Sliced(slices) = response else { return None };
            if slices.len() > wants.len() {
                return None;
            }
            let descriptor = descriptor.clone();
            Some(compute(&*self.parts.compute, move || check(&wants, slices, &descriptor)).await)
        };
        self.ask_holder(context, node, indices, request, check).await
    }
}

/// The true slices, and how many were not.
fn check(wants: &[SliceWant], slices: Vec<Option<Bytes>>, descriptor: &Descriptor) -> Arrivals<VerifiedSlice> {
    let mut arrivals = Arrivals { good: Vec::new(), bad: 0 };
    for (want, bytes) in wants.iter().zip(slices) {
        let Some(bytes) = bytes else { continue };
        match slice::verify(descriptor, want.index, want.range, &bytes) {
            Ok(what) => {
                arrivals.good.push(Arrived { index: want.index, what, wire_bytes: bytes.len() as u64 });
            }
            Err(_) => arrivals.bad += 1,
        }
    }
    arrivals
}

/// Slices of these groups that fit one message.
fn per_message<'a>(ranges: impl IntoIterator<Item = &'a GroupRange>) -> usize {
    let longest = ranges.into_iter().map(|range| slice_max_bytes(range.count())).max().unwrap_or(BODIES_MAX_BYTES);
    (BODIES_MAX_BYTES / longest).clamp(1, SLICES_MAX_PER_REQUEST)
}

/// These bytes of what the parts are together.
fn cut(parts: Vec<Bytes>, range: Range<usize>) -> Vec<Bytes> {
    let mut at = 0;
    let mut cut = |part: Bytes| {
        let (from, to) = (at, at + part.len());
        at = to;
        let within = range.start.max(from)..range.end.min(to);
        (!within.is_empty()).then(|| part.slice(within.start - from..within.end - from))
    };
    parts.into_iter().filter_map(&mut cut).collect()
}
