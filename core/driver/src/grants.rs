//! Grants on their way: laid down for a claimer who fetches them without the lock, taken back, or denied
//! after all.
//!
//! A claimer takes its grant at any time, and the machine hears of that when it matters: with the return of
//! the connection, or before it takes any grant back. What is still in a cell then is kept under the
//! lock, so that nobody takes what is about to be somebody else's.

use std::mem;
use std::task::Waker;

use qorb_core::Timestamp;
use qorb_core::pool::{ClaimId, Event, SlotId};

use crate::connector::Connector;
use crate::effects::{Effects, Litter, Place};
use crate::link::Link;
use crate::probes;
use crate::seats::{Refusal, Seat, Sitting};
use crate::state::State;

impl<K: Connector> State<K> {
    /// Tells the machine which grants were fetched, before it takes any back. What is still on a seat stays
    /// there until the machine has decided about it.
    pub(crate) fn learn_who_fetched(&mut self) {
        for claim in self.roll.granted() {
            if let Some(link) = self.cells.take(claim) {
                self.seat(claim).sitting = Sitting::Kept(link);
                self.roll.settle(claim);
            } else {
                let slot = self.machine.slot_of(claim).expect("C5: a granted claim has a slot");
                self.tell_fetched(claim, slot);
            }
        }
    }

    /// The claim on this seat has its connection: the seat is free.
    pub(crate) fn tell_fetched(&mut self, claim: ClaimId, slot: SlotId) {
        let at = self.machine.latest();
        self.machine.handle(at, Event::Fetched(claim), &mut self.out);
        debug_assert!(self.out.is_empty(), "nothing follows from a fetch, and nothing is due");
        self.machine.is_obeyed();
        self.berth(slot).place = Place::Elsewhere;
        self.roll.release(claim);
    }

    /// Before the machine hears anything of a connection in a claimer's hands it has to know that it is there.
    pub(crate) fn catch_up_with(&mut self, slot: SlotId) {
        if let Some(claim) = self.berth(slot).seat() {
            self.tell_fetched(claim, slot);
        }
    }

    /// Puts a denial on a claim's seat and wakes its claimer. What lay there goes: a connection whose grant
    /// is denied after all has nobody to use it.
    pub(crate) fn refuse(&mut self, claim: ClaimId, refusal: Refusal, effects: &mut Effects<K>) {
        let seat = self.seat(claim);
        let before = mem::replace(&mut seat.sitting, Sitting::Denied(Box::new(refusal)));
        if let Some(waker) = seat.waker.take() {
            effects.wake(waker);
        }
        if let Sitting::Kept(link) = before {
            self.unseat(claim, Place::Elsewhere, link.held.slot);
            effects.discard(Litter::Link(link));
        }
    }

    /// Takes a grant back: from the seat to the shelf, or, in `on_acquire`, by telling the claimer.
    pub(crate) fn revoke(&mut self, claim: ClaimId, slot: SlotId, effects: &mut Effects<K>) {
        let seat = self.seat(claim);
        let number = seat.number;
        match mem::replace(&mut seat.sitting, Sitting::Revoked) {
            Sitting::Kept(link) => {
                self.unseat(claim, Place::Resting(link), slot);
                probes::revoked(&self.name, number);
            }
            Sitting::Acquiring => {
                seat.sitting = Sitting::Overdue;
                if let Some(waker) = seat.waker.take() {
                    effects.wake(waker);
                }
            }
            other @ (Sitting::Free
            | Sitting::Waiting
            | Sitting::Granted
            | Sitting::Revoked
            | Sitting::Overdue
            | Sitting::Denied(_)) => {
                debug_assert!(false, "rule 5: only what the claimer cannot fetch meanwhile is taken back");
                seat.sitting = other;
            }
        }
    }

    /// Takes the seat that the roll named.
    pub(crate) fn sit(&mut self, claim: ClaimId, seat: Seat<K>) {
        self.roll.take(claim);
        let index = claim.0 as usize;
        if index == self.seats.len() {
            self.seats.push(seat);
        } else {
            self.seats[index] = seat;
        }
    }

    #[inline]
    pub(crate) fn seat(&mut self, claim: ClaimId) -> &mut Seat<K> {
        &mut self.seats[claim.0 as usize]
    }

    /// Takes the grant of a claimer that is here, or walks away, wherever it lies.
    pub(crate) fn grant_of(&mut self, claim: ClaimId, sitting: Sitting<K>) -> Result<Link<K>, Sitting<K>> {
        match sitting {
            Sitting::Granted => self.cells.take(claim).ok_or(Sitting::Granted),
            Sitting::Kept(link) => Ok(link),
            other @ (Sitting::Free
            | Sitting::Waiting
            | Sitting::Revoked
            | Sitting::Acquiring
            | Sitting::Overdue
            | Sitting::Denied(_)) => Err(other),
        }
    }

    /// The claimer leaves its seat: its grant goes back, and the machine forgets the claim. Says whether that was
    /// denied before, and hands out the waker, which is not dropped under the lock.
    pub(crate) fn cancel(
        &mut self,
        now: Timestamp,
        claim: ClaimId,
        effects: &mut Effects<K>,
    ) -> (bool, Option<Waker>) {
        let (sitting, waker) = self.seat(claim).leave();
        let denied = matches!(sitting, Sitting::Denied(_));
        if let Ok(link) = self.grant_of(claim, sitting) {
            let slot = link.held.slot;
            self.unseat(claim, Place::Resting(link), slot);
        }
        if !denied {
            self.handle(now, Event::Cancelled(claim), effects);
        }
        self.roll.release(claim);
        (denied, waker)
    }

    /// A grant that nobody fetched goes back to `place`.
    pub(crate) fn unseat(&mut self, claim: ClaimId, place: Place<K>, slot: SlotId) {
        self.roll.settle(claim);
        self.berth(slot).place = place;
        self.came_back_unused(slot);
    }
}
