//! Many timers inside, one deadline out.

use alloc::vec::Vec;

use crate::overwrite::overwritable;
use crate::time::Timestamp;

/// Not in the heap.
const NOWHERE: u32 = u32::MAX;

/// At most one timer for each id, in a binary heap that knows where each id stands.
///
/// Users are lazy: a timer may ring too early, and is then aimed again, so that what moves with every
/// claim costs nothing here. Setting, moving and stopping are O(log n); looking is O(1).
#[derive(PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Timers {
    heap: Vec<(Timestamp, u32)>,
    place: Vec<u32>,
}

overwritable!(Timers { heap, place });

impl Timers {
    pub(crate) const fn new() -> Self {
        Self { heap: Vec::new(), place: Vec::new() }
    }

    /// When the first timer rings.
    pub(crate) fn first(&self) -> Timestamp {
        self.heap.first().map_or(Timestamp::NEVER, |&(at, _)| at)
    }

    /// Whose timer is the first, if it is due.
    pub(crate) fn peek_due(&self, now: Timestamp) -> Option<u32> {
        self.heap.first().filter(|&&(at, _)| at <= now).map(|&(_, id)| id)
    }

    /// Takes out the first timer if it is due.
    pub(crate) fn pop_due(&mut self, now: Timestamp) -> Option<u32> {
        let id = self.peek_due(now)?;
        self.stop(id);
        Some(id)
    }

    /// When this id's timer rings.
    pub(crate) fn of(&self, id: u32) -> Option<Timestamp> {
        let place = *self.place.get(id as usize)?;
        (place != NOWHERE).then(|| self.heap[place as usize].0)
    }

    /// Makes sure that this id's timer rings no later than `at`. It may ring earlier.
    #[inline]
    pub(crate) fn by(&mut self, id: u32, at: Timestamp) {
        let rings = self.place.get(id as usize).and_then(|&place| self.heap.get(place as usize));
        if at.is_never() || rings.is_some_and(|&(rings, _)| rings <= at) {
            return;
        }
        self.advance(id, at);
    }

    /// Sets this id's timer to `at`, which is earlier than it would ring.
    fn advance(&mut self, id: u32, at: Timestamp) {
        let index = id as usize;
        if index >= self.place.len() {
            self.place.resize(index + 1, NOWHERE);
        }
        let place = self.place[index];
        if place == NOWHERE {
            self.heap.push((at, id));
            self.rise(self.heap.len() - 1);
        } else {
            self.heap[place as usize].0 = at;
            self.rise(place as usize);
        }
    }

    /// Takes out this id's timer, if it has one.
    pub(crate) fn stop(&mut self, id: u32) {
        let Some(&place) = self.place.get(id as usize) else { return };
        if place == NOWHERE {
            return;
        }
        self.place[id as usize] = NOWHERE;
        let hole = place as usize;
        self.heap.swap_remove(hole);
        if let Some(&(_, moved)) = self.heap.get(hole) {
            self.place[moved as usize] = place;
            self.rise(hole);
            self.sink(self.place[moved as usize] as usize);
        }
    }

    fn rise(&mut self, from: usize) {
        let mut index = from;
        while index > 0 && self.heap[index] < self.heap[(index - 1) / 2] {
            self.swap(index, (index - 1) / 2);
            index = (index - 1) / 2;
        }
        self.place[self.heap[index].1 as usize] = index as u32;
    }

    fn sink(&mut self, from: usize) {
        let mut index = from;
        loop {
            let children = 2 * index + 1..(2 * index + 3).min(self.heap.len());
            let Some(least) = children.min_by_key(|&child| self.heap[child]) else { return };
            if self.heap[least] >= self.heap[index] {
                return;
            }
            self.swap(index, least);
            index = least;
        }
    }

    fn swap(&mut self, one: usize, other: usize) {
        self.heap.swap(one, other);
        self.place[self.heap[one].1 as usize] = one as u32;
        self.place[self.heap[other].1 as usize] = other as u32;
    }
}
