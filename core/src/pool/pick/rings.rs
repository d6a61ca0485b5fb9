//! Any number of backends in order.

use alloc::vec::Vec;

use super::super::list::Link;
use super::{BUCKETS, BackendId};
use crate::overwrite::overwritable;

/// Backends by bucket, the first to be picked first. Each bucket is a ring: its head is the link of its number, and
/// the links of the backends follow. So an entry has neighbours always, and nobody asks whether it is the first or
/// the last.
#[derive(PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub(super) struct Rings {
    links: Vec<Link>,
    /// Bit n is set while bucket n has entries.
    filled: u64,
}

overwritable!(Rings { links, filled });

impl Rings {
    pub(super) fn new() -> Self {
        Self { links: (0..BUCKETS as u32).map(Link::alone).collect(), filled: 0 }
    }

    #[inline]
    pub(super) fn first(&self) -> Option<BackendId> {
        let head = self.links.get(self.filled.trailing_zeros() as usize).filter(|_| self.filled != 0)?;
        Some(backend(head.after))
    }

    /// Moves a backend from where it is, if it is anywhere, to the beginning or the end of a bucket.
    #[inline(always)]
    pub(super) fn shift(&mut self, backend: BackendId, placed: bool, to: Option<u8>, first: bool) {
        let entry = entry(backend);
        if placed {
            self.take(entry);
        } else if entry as usize >= self.links.len() {
            self.links.resize(entry as usize + 1, Link::NONE);
        }
        if let Some(to) = to {
            self.put(entry, to, first);
        }
    }

    #[inline]
    fn put(&mut self, entry: u32, bucket: u8, first: bool) {
        let head = u32::from(bucket) % BUCKETS as u32;
        let Link { before, after } = self.links[head as usize];
        let (before, after) = if first { (head, after) } else { (before, head) };
        self.links[entry as usize] = Link { before, after };
        self.links[before as usize].after = entry;
        self.links[after as usize].before = entry;
        self.filled |= 1 << head;
    }

    #[inline]
    fn take(&mut self, entry: u32) {
        let Link { before, after } = core::mem::replace(&mut self.links[entry as usize], Link::NONE);
        self.links[before as usize].after = after;
        self.links[after as usize].before = before;
        if before == after {
            // Its neighbour on both sides is the head: it was the last one there.
            self.filled &= !(1 << (before % BUCKETS as u32));
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (BackendId, u8)> {
        let filled = (0..BUCKETS as u32).filter(|bucket| self.filled & 1 << bucket != 0);
        filled.flat_map(move |head| {
            let follow = move |entry: u32| (entry != head).then_some(entry);
            let next = move |entry: u32| follow(self.links[entry as usize].after);
            core::iter::successors(next(head), move |&entry| next(entry))
                .map(move |entry| (backend(entry), head as u8))
        })
    }

    /// Whether the rings are whole.
    pub(super) fn audit(&self) -> Result<(), &'static str> {
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
                (at, count) = (next, count + 1);
            }
            if count == 0 {
                return Err("C13: a bucket is taken to have entries, and has none");
            }
            placed += count;
        }
        let linked = self.links[BUCKETS..].iter().filter(|link| **link != Link::NONE).count();
        if placed != linked {
            return Err("C13: a backend is linked to others, and in no bucket");
        }
        Ok(())
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
