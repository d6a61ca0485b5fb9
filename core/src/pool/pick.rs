//! Which backend serves the next claim: buckets of backends by load.

mod rings;
mod row;

use self::rings::Rings;
use self::row::Row;
use super::event::BackendId;
use super::plan::Wish;
use super::set::{Sets, SlotSet};
use crate::overwrite::overwritable;

/// Buckets of load: the last is for backends without a share, the one before for all that are loaded
/// twice their share or more.
const BUCKETS: usize = 64;
/// How many buckets a load of exactly one share spans.
const STEPS: u32 = 31;

/// The backends that have an idle connection to give, by load relative to their share.
///
/// Within a bucket the one that has been at that load longest comes first: whoever is picked goes to
/// the end of its new bucket once its turn is over, so that equally loaded backends take turns, longer ones
/// where they weigh more. Picking and moving are O(1)
/// however many backends there are.
#[derive(PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
#[repr(C)]
pub(crate) struct Pick {
    /// In use once there was a backend whose number has no place in the row: all are here then.
    rings: Option<Rings>,
    /// Last, because the machine goes on with what turns write too.
    row: Row,
}

overwritable!(Pick { rings, row });

impl Pick {
    pub(crate) const fn new() -> Self {
        Self { rings: None, row: Row::EMPTY }
    }

    /// The backend that should serve the next claim.
    #[inline]
    pub(crate) fn first(&self) -> Option<BackendId> {
        match &self.rings {
            None => self.row.first(),
            Some(rings) => rings.first(),
        }
    }

    /// Whether no backend has a connection to give.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.first().is_none()
    }

    /// Puts a backend into the bucket it belongs to, or takes it out.
    #[inline]
    pub(crate) fn place(&mut self, backend: BackendId, set: &mut SlotSet, bucket: Option<u8>) {
        let before = core::mem::replace(&mut set.bucket, bucket);
        if before == bucket {
            return;
        }
        if let Some(rings) = &mut self.rings {
            rings.shift(backend, before.is_some(), bucket, set.run > 0);
        } else if Row::has_place_for(backend) {
            self.row.take(backend);
            self.row.put(backend, bucket, set.run > 0);
        } else {
            self.make_rings().shift(backend, false, bucket, set.run > 0);
        }
    }

    /// The first one was picked: it goes to the bucket it belongs to now, or out, and comes first there only if its
    /// turn goes on.
    #[inline]
    pub(crate) fn serve(&mut self, backend: BackendId, set: &mut SlotSet, bucket: Option<u8>) {
        set.bucket = bucket;
        if let Some(rings) = &mut self.rings {
            rings.shift(backend, true, bucket, set.run > 0);
        } else {
            self.row.take_first();
            self.row.put(backend, bucket, set.run > 0);
        }
    }

    /// Sends a backend that was just picked to the end of its bucket, unless its turn goes on.
    pub(crate) fn rotate(&mut self, backend: BackendId, set: &SlotSet) {
        if set.bucket.is_none() || set.run > 0 {
            return;
        }
        if let Some(rings) = &mut self.rings {
            rings.shift(backend, true, set.bucket, false);
        } else {
            self.row.take(backend);
            self.row.put(backend, set.bucket, false);
        }
    }

    /// Moves everybody from the row to the rings.
    #[cold]
    fn make_rings(&mut self) -> &mut Rings {
        let rings = self.rings.insert(Rings::new());
        for (backend, bucket) in core::mem::replace(&mut self.row, Row::EMPTY).iter() {
            rings.shift(backend, false, Some(bucket), false);
        }
        rings
    }

    /// How many backends in its bucket are picked before this one.
    pub(crate) fn turn(&self, backend: BackendId, set: &SlotSet) -> u64 {
        let before = self.entries().take_while(|&(id, _)| id != backend);
        before.filter(|&(_, bucket)| Some(bucket) == set.bucket).count() as u64
    }

    /// The backends in the order in which they would be picked.
    pub(crate) fn iter(&self) -> impl Iterator<Item = BackendId> {
        self.entries().map(|(backend, _)| backend)
    }

    /// The same with their buckets.
    fn entries(&self) -> impl Iterator<Item = (BackendId, u8)> {
        self.row.iter().chain(self.rings.iter().flat_map(Rings::iter))
    }

    /// Compares what is here with the buckets that the backends know.
    pub(crate) fn audit(&self, sets: &Sets) -> Result<(), &'static str> {
        if let Some(rings) = &self.rings {
            rings.audit()?;
        }
        let (mut placed, mut last) = (0, 0);
        for (backend, bucket) in self.entries() {
            if sets.get(backend.0).and_then(|set| set.bucket) != Some(bucket) {
                return Err("C13: a backend is in a bucket unawares");
            }
            if bucket < last {
                return Err("C13: a backend with more load is picked before one with less");
            }
            (placed, last) = (placed + 1, bucket);
        }
        let known = sets.iter().filter(|(_, set)| set.bucket.is_some()).count();
        if placed != known {
            return Err("C13: a backend is in no bucket, and is taken to be in one");
        }
        Ok(())
    }
}

/// The bucket for this load of a backend that is wished for like this. Load counts by whole turns, so that a
/// turn goes on however many of its claims are out at a time.
#[inline]
pub(crate) fn bucket(load: u32, wish: Wish, scale: Scale) -> u8 {
    let Wish { share, turns, .. } = wish;
    if share == 0 {
        return BUCKETS as u8 - 1;
    }
    let load = if turns > 1 { load - load % turns } else { load };
    // Twice the share is the last step that matters.
    let scaled = (u64::from(load.min(share.saturating_mul(2))) * scale.0) >> Scale::POINT;
    scaled.min(BUCKETS as u64 - 2) as u8
}

/// How many buckets one more connection is, as a number with 32 binary places: every turn would divide by the
/// share otherwise. Rounded up it is exact for all shares that matter, below 2^15.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Scale(u64);

impl Scale {
    const POINT: u32 = 32;

    pub(crate) fn of(share: u32) -> Self {
        Self((u64::from(STEPS) << Self::POINT).div_ceil(u64::from(share.max(1))))
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use crate::backend::Backend;
    use crate::dice::Dice;

    #[test]
    fn a_row_and_rings_keep_the_same_order() {
        let mut dice = Dice::Seeded(7);
        let set = |n: u16| SlotSet::new(Backend::new("b", ([127, 0, 0, 1], n).into()), 0);
        let (mut row, mut rings) = (Pick::new(), Pick::new());
        rings.make_rings();
        let mut sets: Vec<_> = (0..7).map(set).collect();
        for _ in 0..20_000 {
            let backend = BackendId(dice.below(6) as u32);
            let bucket = [None, Some(0), Some(1), Some(31), Some(62), Some(63)][dice.below(6) as usize];
            let set = &mut sets[backend.0 as usize];
            set.run = dice.below(2) as u32;
            let before = set.bucket;
            for pick in [&mut row, &mut rings] {
                set.bucket = before;
                if pick.first() == Some(backend) {
                    pick.serve(backend, set, bucket);
                } else {
                    pick.place(backend, set, bucket);
                    pick.rotate(backend, set);
                }
            }
            let order: Vec<_> = rings.entries().collect();
            assert_eq!(row.entries().collect::<Vec<_>>(), order);
            assert_eq!(row.first(), rings.first());
            assert!(order.is_sorted_by_key(|&(_, bucket)| bucket));
            assert_eq!(order.iter().filter(|&&(id, _)| id == backend).count(), bucket.iter().len());
        }
        let order: Vec<_> = row.entries().collect();
        assert!(row.rings.is_none() && order.len() > 1);
        row.place(BackendId(6), &mut sets[6], Some(62));
        row.place(BackendId(6), &mut sets[6], None);
        assert!(row.rings.is_some(), "a backend without a place in the row makes everybody go to the rings");
        assert_eq!(row.entries().collect::<Vec<_>>(), order);
    }

    #[test]
    fn a_bucket_is_a_step_of_the_share() {
        for share in [1, 2, 3, 5, 7, 16, 30, 31, 32, 333, 1000, 4099, 32_767] {
            let wish = Wish { share, ..Wish::default() };
            for load in (0..share * 2 + 2).step_by(1 + share as usize / 50) {
                let steps = (load.min(share * 2) * STEPS / share).min(BUCKETS as u32 - 2);
                assert_eq!(u32::from(bucket(load, wish, Scale::of(share))), steps, "{load} of {share}");
            }
        }
        assert_eq!(bucket(0, Wish::default(), Scale::of(0)), 63, "without a share it comes last");
    }
}
