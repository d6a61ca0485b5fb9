//! Where claims without a connection sit: one seat for each, under the number that the machine knows.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
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
    free: BinaryHeap<Reverse<u32>>,
}

impl<K: Connector> Seats<K> {
    pub(crate) fn new() -> Self {
        Self { seats: Vec::new(), free: BinaryHeap::new() }
    }

    /// The number the next claim would get, without taking it.
    pub(crate) fn next(&self) -> ClaimId {
        let free = self.free.peek().map(|Reverse(number)| *number);
        ClaimId(free.unwrap_or(self.seats.len() as u32))
    }

    /// Takes the seat that [`Seats::next`] named.
    pub(crate) fn sit(&mut self, sitting: Sitting<K>, waker: Option<Waker>, number: u64) -> ClaimId {
        let seat = Seat { sitting, waker, number };
        let Some(Reverse(free)) = self.free.pop() else {
            self.seats.push(seat);
            return ClaimId(self.seats.len() as u32 - 1);
        };
        self.seats[free as usize] = seat;
        ClaimId(free)
    }

    /// Frees a seat and hands out what was on it, to be dropped outside the lock.
    pub(crate) fn leave(&mut self, claim: ClaimId) -> (Sitting<K>, Option<Waker>) {
        let seat = self.at(claim);
        let left = (std::mem::replace(&mut seat.sitting, Sitting::Free), seat.waker.take());
        self.free.push(Reverse(claim.0));
        left
    }

    pub(crate) fn at(&mut self, claim: ClaimId) -> &mut Seat<K> {
        &mut self.seats[claim.0 as usize]
    }
}
