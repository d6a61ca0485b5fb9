//! Which backend serves the next claim: buckets of backends by load.

use alloc::vec::Vec;

use super::event::BackendId;
use super::list::Link;
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
    /// Each bucket is a ring: its head is the link of its number, and the links of the backends follow. So an
    /// entry has neighbours always, and nobody asks whether it is the first or the last.
    links: Vec<Link>,
    /// Bit n is set while bucket n has entries. Last, because the machine goes on with what turns write too.
    filled: u64,
}

overwritable!(Pick { filled, links });

impl Pick {
    pub(crate) fn new() -> Self {
        Self { links: (0..BUCKETS as u32).map(Link::alone).collect(), filled: 0 }
    }

    /// The backend that should serve the next claim, and the bucket it is in.
    #[inline]
    pub(crate) fn first(&self) -> Option<(BackendId, u8)> {
        let bucket = self.filled.trailing_zeros() as u8;
        let head = self.links.get(usize::from(bucket)).filter(|_| !self.is_empty())?;
        Some((backend(head.after), bucket))
    }

    /// Whether no backend has a connection to give.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// Puts a backend into the bucket it belongs to, or takes it out.
    #[inline]
    pub(crate) fn place(&mut self, backend: BackendId, set: &mut SlotSet, bucket: Option<u8>) {
        if set.bucket == bucket {
            return;
        }
        let entry = entry(backend);
        if set.bucket.is_some() {
            self.unlink(entry);
        } else if entry as usize >= self.links.len() {
            self.links.resize(entry as usize + 1, Link::NONE);
        }
        set.bucket = bucket;
        if let Some(bucket) = bucket {
            self.link(bucket, entry, set.run > 0);
        }
    }

    /// Sends a backend that was just picked to the end of its bucket, unless its turn goes on.
    #[inline]
    pub(crate) fn rotate(&mut self, backend: BackendId, set: &SlotSet) {
        if let Some(bucket) = set.bucket.filter(|_| set.run == 0) {
            let entry = entry(backend);
            self.unlink(entry);
            self.link(bucket, entry, false);
        }
    }

    /// How many backends in its bucket are picked before this one.
    pub(crate) fn turn(&self, backend: BackendId, set: &SlotSet) -> u64 {
        let Some(bucket) = set.bucket else { return 0 };
        self.ring(u32::from(bucket)).position(|id| id == backend).unwrap_or(0) as u64
    }

    /// The backends in the order in which they would be picked.
    pub(crate) fn iter(&self) -> impl Iterator<Item = BackendId> {
        (0..BUCKETS as u32).filter(|bucket| self.filled & 1 << bucket != 0).flat_map(|head| self.ring(head))
    }

    /// Compares the rings with the buckets that the backends know.
    pub(crate) fn audit(&self, sets: &Sets) -> Result<(), &'static str> {
        let mut placed = 0;
        let mut filled = self.filled;
        while filled != 0 {
            let head = filled.trailing_zeros();
            filled &= filled - 1;
            let (mut at, mut count) = (head, 0);
            loop {
                let next = self.links[at as usize].after;
                if self.links.get(next as usize).is_none_or(|link| link.before != at) {
                    return Err("C13: the ring of a bucket is broken");
                }
                if next == head {
                    break;
                }
                let known = sets.get(next.wrapping_sub(BUCKETS as u32)).and_then(|set| set.bucket);
                if known.map(u32::from) != Some(head) {
                    return Err("C13: a backend is in a bucket unawares");
                }
                (at, count) = (next, count + 1);
            }
            if count == 0 {
                return Err("C13: a bucket is taken to have entries, and has none");
            }
            placed += count;
        }
        let linked = self.links[BUCKETS..].iter().filter(|link| **link != Link::NONE).count();
        let known = sets.iter().filter(|(_, set)| set.bucket.is_some()).count();
        if placed != linked || placed != known {
            return Err("C13: a backend is in no bucket, and is taken to be in one");
        }
        Ok(())
    }

    fn ring(&self, head: u32) -> impl Iterator<Item = BackendId> {
        let follow = move |entry: u32| (entry != head).then_some(entry);
        let next = move |entry: u32| follow(self.links[entry as usize].after);
        core::iter::successors(next(head), move |&entry| next(entry)).map(backend)
    }

    /// Puts an entry in the ring of a bucket, next after its head or last before it.
    #[inline]
    fn link(&mut self, bucket: u8, entry: u32, first: bool) {
        let head = u32::from(bucket) % BUCKETS as u32;
        let Link { before, after } = self.links[head as usize];
        let (before, after) = if first { (head, after) } else { (before, head) };
        self.links[entry as usize] = Link { before, after };
        self.links[before as usize].after = entry;
        self.links[after as usize].before = entry;
        self.filled |= 1 << head;
    }

    #[inline]
    fn unlink(&mut self, entry: u32) {
        let Link { before, after } = core::mem::replace(&mut self.links[entry as usize], Link::NONE);
        self.links[before as usize].after = after;
        self.links[after as usize].before = before;
        if before == after {
            // Its neighbour on both sides is the head: it was the last one there.
            self.filled &= !(1 << (before % BUCKETS as u32));
        }
    }
}

/// Where a backend's link is.
#[inline]
fn entry(backend: BackendId) -> u32 {
    backend.0 + BUCKETS as u32
}

/// Whose link is there.
#[inline]
fn backend(entry: u32) -> BackendId {
    BackendId(entry - BUCKETS as u32)
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
    use super::*;

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
