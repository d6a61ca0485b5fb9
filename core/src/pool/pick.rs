//! Which backend serves the next claim: buckets of backends by load.

use super::event::BackendId;
use super::list::List;
use super::plan::Wish;
use super::set::{BucketLinks, Sets};

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
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
#[repr(C)]
pub(crate) struct Pick {
    /// Bit n is set while bucket n has entries.
    filled: u64,
    #[cfg_attr(feature = "record", serde(with = "crate::record::array"))]
    buckets: [List; BUCKETS],
}

impl Pick {
    pub(crate) const fn new() -> Self {
        Self { buckets: [const { List::EMPTY }; BUCKETS], filled: 0 }
    }

    /// The backend that should serve the next claim, and the bucket it is in.
    pub(crate) fn first(&self) -> Option<(BackendId, u8)> {
        let bucket = self.filled.trailing_zeros() as u8;
        let list = self.buckets.get(usize::from(bucket))?;
        Some((BackendId(list.first()?), bucket))
    }

    /// Whether no backend has a connection to give.
    pub(crate) fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// Puts a backend into the bucket it belongs to, or takes it out.
    pub(crate) fn place(&mut self, backend: BackendId, bucket: Option<u8>, sets: &mut Sets) {
        let set = sets.at_mut(backend);
        if set.bucket == bucket {
            return;
        }
        let before = core::mem::replace(&mut set.bucket, bucket);
        if let Some(before) = before {
            let list = &mut self.buckets[usize::from(before) % BUCKETS];
            list.remove(backend.0, &mut BucketLinks(sets));
            if list.len() == 0 {
                self.filled &= !(1 << before);
            }
        }
        if let Some(bucket) = bucket {
            let goes_on = sets.at(backend).run > 0;
            let list = &mut self.buckets[usize::from(bucket) % BUCKETS];
            if goes_on {
                list.push_front(backend.0, &mut BucketLinks(sets));
            } else {
                list.push_back(backend.0, &mut BucketLinks(sets));
            }
            self.filled |= 1 << bucket;
        }
    }

    /// Sends a backend that was just picked to the end of its bucket, unless its turn goes on.
    pub(crate) fn rotate(&mut self, backend: BackendId, sets: &mut Sets) {
        let set = sets.at(backend);
        if let Some(bucket) = set.bucket {
            let list = &mut self.buckets[usize::from(bucket)];
            if set.run > 0 || list.len() == 1 {
                return;
            }
            list.remove(backend.0, &mut BucketLinks(sets));
            list.push_back(backend.0, &mut BucketLinks(sets));
        }
    }

    /// How many backends in its bucket are picked before this one.
    pub(crate) fn turn(&self, backend: BackendId, sets: &Sets) -> u64 {
        let Some(bucket) = sets.at(backend).bucket else { return 0 };
        let mut list = self.buckets[usize::from(bucket)].iter(|id| sets.at(BackendId(id)).place);
        list.position(|id| id == backend.0).unwrap_or(0) as u64
    }

    /// The backends in the order in which they would be picked.
    pub(crate) fn iter(&self, sets: &Sets) -> impl Iterator<Item = BackendId> {
        let lowest = |filled: u64| (filled != 0).then_some(filled);
        let filled = core::iter::successors(lowest(self.filled), move |filled| lowest(filled & (filled - 1)));
        let lists = filled.map(|filled| &self.buckets[filled.trailing_zeros() as usize]);
        lists.flat_map(|list| list.iter(|id| sets.at(BackendId(id)).place)).map(BackendId)
    }
}

/// The bucket for this load, given this share. Load counts by whole turns, so that a turn goes on however
/// many of its claims are out at a time.
#[inline]
pub(crate) fn bucket(load: u32, wish: Wish) -> u8 {
    let Wish { share, turns, .. } = wish;
    if share == 0 {
        return BUCKETS as u8 - 1;
    }
    let load = if turns > 1 { load - load % turns } else { load };
    // Twice the share is the last step that matters, and keeps the product small.
    let scaled = load.min(share.saturating_mul(2)).saturating_mul(STEPS) / share;
    scaled.min(BUCKETS as u32 - 2) as u8
}
