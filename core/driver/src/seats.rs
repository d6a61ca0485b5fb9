//! Where claims without a connection sit: one seat for each, under the number that the machine knows.
//!
//! A seat is under the pool's lock, but for the cell in which a grant is laid: the claimer takes it from there
//! without.

use std::mem;
use std::sync::OnceLock;
use std::task::Waker;

use crossbeam_utils::CachePadded;
use crossbeam_utils::atomic::AtomicCell;

use qorb_core::Timestamp;
use qorb_core::pool::{ClaimId, Denial};

use crate::connector::Connector;
use crate::error::SharedError;
use crate::link::Link;

/// One claim's place while it has no handle. Aligned, so that a turn touches one line of the cache for it.
#[repr(align(64))]
pub(crate) struct Seat<K: Connector> {
    pub(crate) sitting: Sitting<K>,
    /// Of the task that polled it last; gone while nobody needs waking.
    pub(crate) waker: Option<Waker>,
    /// The claim's number for people.
    pub(crate) number: u64,
    /// When the claim asked.
    pub(crate) since: Timestamp,
}

/// What a claim on a seat finds when it is polled.
pub(crate) enum Sitting<K: Connector> {
    /// Nobody sits here.
    Free,
    /// Nothing yet.
    Waiting,
    /// A connection, in the cell of this seat until the claimer takes it.
    Granted,
    /// The same, but the machine may be about to take it back: it is fetched under the pool's lock.
    Kept(Link<K>),
    /// It came too late for its grant.
    Revoked,
    /// Its `on_acquire` is pending; the claimer has the connection.
    Acquiring,
    /// Its `on_acquire` has to be given up.
    Overdue,
    /// It gets nothing.
    Denied(Box<Refusal>),
}

impl<K: Connector> Seat<K> {
    /// Frees the seat and hands out what was on it, to be dropped outside the lock.
    pub(crate) fn leave(&mut self) -> (Sitting<K>, Option<Waker>) {
        (mem::replace(&mut self.sitting, Sitting::Free), self.waker.take())
    }
}

/// Everything a claim is told at its denial.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) kind: Denial,
    pub(crate) waiting: usize,
    pub(crate) source: Option<SharedError>,
}

/// Where grants are laid for their claimers: a cell for each seat, in rows that never move, each twice as
/// long as the one before.
pub(crate) struct Cells<K: Connector> {
    rows: [OnceLock<Row<K>>; ROWS],
}

type Row<K> = Box<[CachePadded<AtomicCell<Option<Link<K>>>>]>;

/// Enough for every number there is.
const ROWS: usize = (u32::BITS - FIRST.ilog2()) as usize;
/// Cells in the first row.
const FIRST: u64 = 16;

impl<K: Connector> Cells<K> {
    pub(crate) fn new() -> Self {
        Self { rows: [const { OnceLock::new() }; ROWS] }
    }

    /// Takes the grant that lies there for this claim.
    #[inline]
    pub(crate) fn take(&self, claim: ClaimId) -> Option<Link<K>> {
        self.at(claim).take()
    }

    /// Lays down a grant for this claim, whose cell is empty.
    #[inline]
    pub(crate) fn lay(&self, claim: ClaimId, link: Link<K>) {
        let before = self.at(claim).swap(Some(link));
        debug_assert!(before.is_none(), "C5: a claim has one grant at a time");
    }

    #[inline]
    fn at(&self, claim: ClaimId) -> &AtomicCell<Option<Link<K>>> {
        let place = u64::from(claim.0) + FIRST;
        let length = 1 << place.ilog2();
        let row = &self.rows[(length / FIRST).ilog2() as usize];
        let row = row.get_or_init(|| (0..length).map(|_| CachePadded::new(AtomicCell::new(None))).collect());
        &row[(place - length) as usize]
    }
}

/// Which seats are taken, and which grants may have been fetched without the machine's knowing. It lives
/// under the pool's lock.
///
/// The lowest free seat is taken first, so that the numbers stay small and are reused without an
/// allocation.
#[derive(Default)]
#[repr(C)]
pub(crate) struct Roll {
    /// The first 64 seats, which are in use most.
    near: Word,
    /// The others, out of the way.
    far: Box<Far>,
}

#[derive(Default)]
struct Far {
    words: Vec<Word>,
    /// Every seat in the words before this one is taken.
    first: usize,
}

/// 64 seats, a bit for each.
#[derive(Clone, Copy, Default)]
struct Word {
    taken: u64,
    /// Set from a grant until the machine knows that it was fetched.
    granted: u64,
}

impl Roll {
    /// The number the next claim would get, without taking it.
    #[inline]
    pub(crate) fn next(&mut self) -> ClaimId {
        if self.near.taken != u64::MAX {
            return ClaimId(self.near.taken.trailing_ones());
        }
        let far = &mut *self.far;
        while far.words.get(far.first).is_some_and(|word| word.taken == u64::MAX) {
            far.first += 1;
        }
        let free = far.words.get(far.first).map_or(0, |word| word.taken.trailing_ones());
        ClaimId((far.first as u32 + 1) * u64::BITS + free)
    }

    /// Takes the seat that [`Roll::next`] named.
    pub(crate) fn take(&mut self, seat: ClaimId) {
        let index = (seat.0 / u64::BITS) as usize;
        if index > self.far.words.len() {
            self.far.words.push(Word::default());
        }
        let (word, bit) = self.place(seat);
        word.taken |= bit;
    }

    /// The seat is free; so is the number.
    pub(crate) fn release(&mut self, seat: ClaimId) {
        let (word, bit) = self.place(seat);
        word.taken &= !bit;
        word.granted &= !bit;
        if let Some(index) = ((seat.0 / u64::BITS) as usize).checked_sub(1) {
            self.far.first = self.far.first.min(index);
        }
    }

    /// A grant lies on the seat, to be fetched at any time.
    pub(crate) fn grant(&mut self, seat: ClaimId) {
        let (word, bit) = self.place(seat);
        word.granted |= bit;
    }

    /// The machine knows what became of the grant.
    pub(crate) fn settle(&mut self, seat: ClaimId) {
        let (word, bit) = self.place(seat);
        word.granted &= !bit;
    }

    /// The seats with a grant that may have been fetched.
    pub(crate) fn granted(&self) -> Vec<ClaimId> {
        let words = (0..).zip([&self.near].into_iter().chain(&self.far.words));
        let seats = words.filter(|(_, word)| word.granted != 0).flat_map(|(index, word): (u32, &Word)| {
            let set = (0..u64::BITS).filter(|bit| word.granted & (1 << bit) != 0);
            set.map(move |bit| ClaimId(index * u64::BITS + bit))
        });
        seats.collect()
    }

    #[inline]
    fn place(&mut self, seat: ClaimId) -> (&mut Word, u64) {
        let bit = 1 << (seat.0 % u64::BITS);
        match (seat.0 / u64::BITS) as usize {
            0 => (&mut self.near, bit),
            index => (&mut self.far.words[index - 1], bit),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_free_seat_is_taken_first() {
        let mut roll = Roll::default();
        let take = |roll: &mut Roll| {
            let seat = roll.next();
            roll.take(seat);
            seat.0
        };
        for number in 0..200 {
            assert_eq!(take(&mut roll), number);
        }
        for number in [190, 70, 3, 71] {
            roll.release(ClaimId(number));
        }
        let taken: Vec<_> = (0..5).map(|_| take(&mut roll)).collect();
        assert_eq!(taken, [3, 70, 71, 190, 200]);
    }

    #[test]
    fn a_grant_is_on_the_roll_until_its_end() {
        let mut roll = Roll::default();
        for number in 0..100 {
            roll.take(ClaimId(number));
        }
        for number in [2, 63, 64, 99] {
            roll.grant(ClaimId(number));
        }
        roll.settle(ClaimId(63));
        roll.release(ClaimId(64));
        assert_eq!(roll.granted(), [ClaimId(2), ClaimId(99)]);
    }
}
