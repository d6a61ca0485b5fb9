//! A few backends in order, in one word.

use super::{BUCKETS, BackendId};

/// Up to six backends by bucket, the first to be picked first.
///
/// Each is a lane of 10 bits: one that is 0, the bucket, the backend's number. Lanes are compared all at once (Knuth,
/// The Art of Computer Programming, 7.1.3); those that are free come last, and are greater than any other.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub(super) struct Row(u64);

const PLACES: u32 = 6;
const LANE: u32 = 10;
const NUMBER: u32 = 3;
/// A number that no backend of a row has.
const NOBODY: u32 = (1 << NUMBER) - 1;
const ALL: u64 = (1 << (LANE * PLACES)) - 1;
/// A one in each lane.
const ONES: u64 = ALL / ((1 << LANE) - 1);
/// The highest bit of each lane.
const HIGHEST: u64 = ONES << (LANE - 1);
/// A lane that is free.
const FREE: u64 = HIGHEST / ONES - 1;
/// The last lane, free.
const LAST: u64 = FREE << (LANE * (PLACES - 1));

const _: () = assert!(FREE == (BUCKETS as u64 - 1) << NUMBER | NOBODY as u64 && PLACES <= NOBODY);

impl Row {
    pub(super) const EMPTY: Self = Self(ONES * FREE);

    #[inline]
    pub(super) const fn has_place_for(backend: BackendId) -> bool {
        backend.0 < PLACES
    }

    #[inline]
    pub(super) fn first(self) -> Option<BackendId> {
        let number = (self.0 % (1 << NUMBER)) as u32;
        (number != NOBODY).then_some(BackendId(number))
    }

    /// Takes out the backend that comes first.
    #[inline]
    pub(super) fn take_first(&mut self) {
        self.0 = (self.0 >> LANE) | LAST;
    }

    /// Takes out a backend, if it is here.
    #[inline]
    pub(super) fn take(&mut self, backend: BackendId) {
        let others = (self.0 ^ (ONES * u64::from(backend.0))) & (ONES * u64::from(NOBODY));
        // The highest bit of a lane is set by all but a zero.
        let before = lowest(!(others + ONES * FREE)).wrapping_sub(1);
        self.0 = (self.0 & before) | ((self.0 >> LANE) & !before) | LAST;
    }

    /// Puts in a backend, which is not here, at the beginning or the end of a bucket.
    #[inline]
    pub(super) fn put(&mut self, backend: BackendId, bucket: Option<u8>, first: bool) {
        let Some(bucket) = bucket else { return };
        let bound = lane(if first { 0 } else { NOBODY }, bucket);
        // The highest bit of a lane is left by what is no less than the bound.
        let at = lowest((self.0 | HIGHEST) - ONES * bound);
        let before = at.wrapping_sub(1);
        let behind = (self.0 & !before) << LANE;
        self.0 = ((self.0 & before) | (lane(backend.0, bucket) * at) | behind) & ALL;
    }

    pub(super) fn iter(self) -> impl Iterator<Item = (BackendId, u8)> {
        (0..PLACES).map_while(move |place| read((self.0 >> (LANE * place)) % (1 << LANE)))
    }
}

#[inline]
fn lane(number: u32, bucket: u8) -> u64 {
    u64::from(bucket) << NUMBER | u64::from(number)
}

#[inline]
fn read(lane: u64) -> Option<(BackendId, u8)> {
    let (backend, bucket) = ((lane % (1 << NUMBER)) as u32, (lane >> NUMBER) as u8);
    (lane != FREE).then_some((BackendId(backend), bucket))
}

/// A one in the first lane whose highest bit is set.
#[inline]
fn lowest(lanes: u64) -> u64 {
    let marks = lanes & HIGHEST;
    (marks & marks.wrapping_neg()) >> (LANE - 1)
}
