//! The farmers of the model: who is there, what lies on each, who is closest to a chunk. A slot is a farmer's number
//! for as long as anybody believes in its pieces; then the next new farmer may have it, with another `life`.

use dsn_core::{
    node_id::NodeId,
    placement::{Candidate, FailureDomain},
    repair::Budget,
};
use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;

use super::queue::Queue;

/// A farmer's number.
pub(super) type Slot = u32;

/// Farmers in a bucket, about: a walk for the 20 closest sees one or two buckets, one for 256 about sixteen.
const BUCKET_FARMERS: usize = 16;

/// All farmers lend equally much: floor(log2(1 TiB)).
const SPACE_CLASS: u8 = 40;

/// Where a farmer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// On the network, but for short outages.
    Present,
    /// Out for long; nobody is sure of it yet.
    Away,
    /// Out for longer than the grace.
    Gone,
    /// Its pieces are lost; perhaps nobody is sure of it yet.
    Dead,
}

/// A farmer.
pub(super) struct Farmer {
    pub(super) id: NodeId,
    pub(super) state: State,
    /// Which farmer it is of those that had this slot.
    pub(super) life: u32,
    /// Pieces it was given; some may count for another holder since.
    pub(super) pieces: Vec<super::chunks::PieceRef>,
    pub(super) queue: Queue,
    place: u64,
}

/// All of them.
pub(super) struct Farmers {
    all: Vec<Farmer>,
    free: Vec<Slot>,
    /// Present farmers by the leading bits of their place.
    buckets: Vec<Vec<Slot>>,
    present: usize,
    budget: Budget,
}

/// Where an id lies. Ids are random here, so their own bits are as good as those of their SHA-256.
pub(super) fn place_of(id: &[u8; 32]) -> u64 {
    u64::from_be_bytes(id[..8].try_into().expect("8 of 32 bytes"))
}

impl Farmers {
    /// None yet; `expected` will be there. Each repairs within a budget like this one.
    pub(super) fn new(expected: usize, budget: Budget) -> Self {
        let buckets = (expected / BUCKET_FARMERS).max(1).next_power_of_two();
        Self { all: Vec::new(), free: Vec::new(), buckets: vec![Vec::new(); buckets], present: 0, budget }
    }

    pub(super) fn get(&self, slot: Slot) -> &Farmer {
        &self.all[slot as usize]
    }

    pub(super) fn get_mut(&mut self, slot: Slot) -> &mut Farmer {
        &mut self.all[slot as usize]
    }

    /// A fresh, empty farmer.
    pub(super) fn join(&mut self, rng: &mut ChaCha8Rng) -> Slot {
        let slot = self.free.pop().unwrap_or_else(|| Slot::try_from(self.all.len()).expect("at most a few millions"));
        let mut id = [0; 32];
        rng.fill_bytes(&mut id[..28]);
        id[28..].copy_from_slice(&slot.to_be_bytes());
        let life = self.all.get(slot as usize).map_or(0, |former| former.life + 1);
        let farmer = Farmer {
            id: NodeId(id),
            state: State::Present,
            life,
            pieces: Vec::new(),
            queue: Queue::new(self.budget.clone()),
            place: place_of(&id),
        };
        match self.all.get_mut(slot as usize) {
            Some(former) => *former = farmer,
            None => self.all.push(farmer),
        }
        self.enter(slot);
        slot
    }

    /// The slot of an id that this gave.
    pub(super) fn slot_of(id: &NodeId) -> Slot {
        Slot::from_be_bytes(id.0[28..].try_into().expect("4 of 32 bytes"))
    }

    /// It can be found again.
    pub(super) fn enter(&mut self, slot: Slot) {
        self.get_mut(slot).state = State::Present;
        let bucket = self.bucket(self.get(slot).place);
        self.buckets[bucket].push(slot);
        self.present += 1;
    }

    /// It cannot be found any more.
    pub(super) fn leave(&mut self, slot: Slot, state: State) {
        if self.get(slot).state == State::Present {
            let bucket = self.bucket(self.get(slot).place);
            let bucket = &mut self.buckets[bucket];
            let at = bucket.iter().position(|one| *one == slot).expect("who is present is in its bucket");
            bucket.swap_remove(at);
            self.present -= 1;
        }
        self.get_mut(slot).state = state;
    }

    /// Nobody believes in it any more.
    pub(super) fn forget(&mut self, slot: Slot) {
        // Events that still name this life find another.
        self.get_mut(slot).life += 1;
        self.free.push(slot);
    }

    /// The `count` present farmers closest to a place, closest first; all of them when there are no more.
    pub(super) fn closest(&self, place: u64, count: usize) -> Vec<Slot> {
        let count = count.min(self.present);
        let (home, mut found) = (self.bucket(place), Vec::with_capacity(count + 2 * BUCKET_FARMERS));
        // Bucket numbers differ from home's by `step`, so whole buckets come in the order of their distance.
        for step in 0..self.buckets.len() {
            if found.len() >= count {
                break;
            }
            found.extend(self.buckets[home ^ step].iter().map(|slot| (self.get(*slot).place ^ place, *slot)));
        }
        found.sort_unstable();
        found.truncate(count);
        found.into_iter().map(|(_, slot)| slot).collect()
    }

    /// A farmer as placement sees it: alone in its failure domain, as large as the others.
    pub(super) fn candidate(&self, slot: Slot) -> Candidate {
        let [_, network @ ..] = slot.to_be_bytes();
        Candidate { node: self.get(slot).id, space_class: SPACE_CLASS, domain: Some(FailureDomain::V4(network)) }
    }

    /// A number that is this farmer's own for its life.
    pub(super) fn key(&self, slot: Slot) -> u64 {
        self.get(slot).place
    }

    fn bucket(&self, place: u64) -> usize {
        let bits = self.buckets.len().trailing_zeros();
        usize::try_from(place.checked_shr(64 - bits).unwrap_or(0)).expect("fewer bits than a word")
    }
}

/// A number between 0 and 1.
pub(super) fn jitter(rng: &mut ChaCha8Rng) -> u64 {
    rng.random_range(0..=1000)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn the_closest_are_those_of_a_full_sort_while_farmers_come_and_go() {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let mut farmers = Farmers::new(1000, Budget::new(1, 1, 0));
        let mut slots: Vec<Slot> = (0..1000).map(|_| farmers.join(&mut rng)).collect();
        for round in 0..200 {
            let victim = slots.swap_remove(rng.random_range(0..slots.len()));
            farmers.leave(victim, State::Dead);
            if round % 2 == 0 {
                farmers.forget(victim);
                slots.push(farmers.join(&mut rng));
            }
            let place: u64 = rng.random();
            let mut sorted = slots.clone();
            sorted.sort_by_key(|slot| farmers.get(*slot).place ^ place);
            for count in [1, 20, 256, 2000] {
                assert_eq!(farmers.closest(place, count), sorted[..count.min(sorted.len())]);
            }
        }
    }

    #[test]
    fn a_slot_has_another_life_when_it_is_used_again() {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let mut farmers = Farmers::new(2, Budget::new(1, 1, 0));
        let first = farmers.join(&mut rng);
        let (id, life) = (farmers.get(first).id, farmers.get(first).life);
        farmers.leave(first, State::Dead);
        farmers.forget(first);
        let second = farmers.join(&mut rng);
        assert_eq!((first, Farmers::slot_of(&id)), (second, first));
        assert!(farmers.get(second).id != id && farmers.get(second).life != life);
    }
}
