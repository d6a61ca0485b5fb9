//! Where claims without a connection sit: one seat for each, under the number that the machine knows.

use std::task::Waker;

use qorb_core::pool::{ClaimId, Denial, Ticket};

use crate::connector::Connector;
use crate::error::SharedError;
use crate::link::Link;

/// One claim's place while it has no handle.
pub(crate) struct Seat<K: Connector> {
    pub(crate) sitting: Sitting<K>,
    /// Of the task that polled it last; gone while nobody needs waking.
    pub(crate) waker: Option<Waker>,
    /// The claim's number for people.
    pub(crate) number: u64,
}

/// What a claim on a seat finds when it is polled.
pub(crate) enum Sitting<K: Connector> {
    /// Nobody sits here.
    Free,
    /// Nothing yet.
    Waiting,
    /// A connection that is not fetched yet.
    Granted(Link<K>, Ticket),
    /// It came too late for its grant.
    Revoked,
    /// Its `on_acquire` is pending; the claimer has the connection.
    Acquiring,
    /// Its `on_acquire` has to be given up.
    Overdue,
    /// It gets nothing.
    Denied(Refusal),
}

/// Everything a claim is told at its denial.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) kind: Denial,
    pub(crate) waiting: usize,
    pub(crate) source: Option<SharedError>,
}

/// All the seats. The lowest free one is taken first, so that the numbers stay small and are reused
/// without an allocation.
pub(crate) struct Seats<K: Connector> {
    seats: Vec<Seat<K>>,
    /// A bit for each seat, set while it is free.
    free: Vec<u64>,
    /// No word before this one has a bit set.
    first: usize,
}

impl<K: Connector> Seats<K> {
    pub(crate) fn new() -> Self {
        Self { seats: Vec::new(), free: Vec::new(), first: 0 }
    }

    /// The number the next claim would get, without taking it.
    pub(crate) fn next(&mut self) -> ClaimId {
        while self.free.get(self.first) == Some(&0) {
            self.first += 1;
        }
        let free = self.free.get(self.first).map(|word| self.first * 64 + word.trailing_zeros() as usize);
        ClaimId(free.unwrap_or(self.seats.len()) as u32)
    }

    /// Takes the seat that [`Seats::next`] named.
    pub(crate) fn sit(&mut self, sitting: Sitting<K>, waker: Option<Waker>, number: u64) -> ClaimId {
        let claim = self.next();
        let index = claim.0 as usize;
        let seat = Seat { sitting, waker, number };
        if index == self.seats.len() {
            self.seats.push(seat);
            if self.free.len() * 64 < self.seats.len() {
                self.free.push(0);
            }
        } else {
            self.seats[index] = seat;
            self.free[index / 64] &= !(1 << (index % 64));
        }
        claim
    }

    /// Frees a seat and hands out what was on it, to be dropped outside the lock.
    pub(crate) fn leave(&mut self, claim: ClaimId) -> (Sitting<K>, Option<Waker>) {
        let seat = self.at(claim);
        let left = (std::mem::replace(&mut seat.sitting, Sitting::Free), seat.waker.take());
        let word = claim.0 as usize / 64;
        self.free[word] |= 1 << (claim.0 % 64);
        self.first = self.first.min(word);
        left
    }

    pub(crate) fn at(&mut self, claim: ClaimId) -> &mut Seat<K> {
        &mut self.seats[claim.0 as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connector::{Connector, ConnectorFn, connector_fn};

    /// Seats that nobody's connection lies on.
    fn seats<K: Connector>(_: &K) -> Seats<K> {
        Seats::new()
    }

    fn nothing() -> ConnectorFn<impl Fn(qorb_core::Backend) -> std::future::Ready<std::io::Result<()>>> {
        connector_fn(|_| std::future::ready(Ok(())))
    }

    #[test]
    fn the_lowest_free_seat_is_taken_first() {
        let mut seats = seats(&nothing());
        for number in 0..200 {
            assert_eq!(seats.next(), ClaimId(number));
            assert_eq!(seats.sit(Sitting::Waiting, None, 0), ClaimId(number));
        }
        for number in [190, 70, 3, 71] {
            seats.leave(ClaimId(number));
        }
        let taken: Vec<_> = (0..5).map(|_| seats.sit(Sitting::Waiting, None, 0).0).collect();
        assert_eq!(taken, [3, 70, 71, 190, 200]);
    }
}
