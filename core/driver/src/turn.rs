//! The turns that every request takes: a connection goes out, and comes back.
//!
//! Both ask the machine for its short way first, so that in the steady state no event is made, no action
//! written, and little is touched under the lock.

use qorb_core::pool::{ClaimId, SlotId, SlotKind, Turn};
use qorb_core::{Machine, Timestamp};

use crate::connector::Connector;
use crate::effects::{Effects, Place};
use crate::link::Link;
use crate::probes::{self, Asked};
use crate::seats::Sitting;
use crate::state::{Away, State, is_sampled};

impl<K: Connector> State<K> {
    /// A claim begins, for people: its number is that of its arrival, which has to follow.
    pub(crate) fn number_arrival(&self) -> u64 {
        let claim = self.machine.arrivals() + 1;
        probes::claim_start(&self.name, claim);
        claim
    }

    /// The connection whose turn it is, for a claim that finds one at rest, and the claim's number.
    #[inline]
    pub(crate) fn hand_out(&mut self, clock: impl FnOnce() -> Timestamp) -> Option<(Link<K>, u64)> {
        let latest = self.machine.latest();
        let (slot, claim) = self.machine.claim_at_once(latest)?;
        let since = if is_sampled(claim) || !self.alarm.keeps_time() { clock() } else { latest };
        let berth = self.berth(slot);
        let link = berth.lift();
        berth.goes(Away::at_once(claim, since));
        self.show_grant(slot, claim, Asked::Just);
        Some((link, claim))
    }

    /// Takes a connection back in good order; otherwise returns it, and the machine has to be told.
    #[inline]
    pub(crate) fn take_back(
        &mut self,
        now: Timestamp,
        mut link: Link<K>,
        effects: &mut Effects<K>,
    ) -> Result<(), Link<K>> {
        let slot = link.held.slot;
        let Some(turn) = self.machine.take_back(now, slot) else { return Err(link) };
        if let Place::Seated(claim) = self.berth(slot).place {
            self.roll.release(claim);
        }
        self.came_back(now, slot);
        match turn {
            Turn::Rested => {
                self.show_change(slot, Some(SlotKind::Unclaimed));
                self.berth(slot).place.rest(link);
            }
            Turn::Granted(claim, ticket) => {
                link.held.set_ticket(ticket);
                self.seat_grant(claim, link, effects);
            }
        }
        self.alarm.aim(self.machine.deadline(), effects);
        Ok(())
    }

    /// Puts a grant on its claim's seat, and wakes the claimer.
    #[inline]
    pub(crate) fn seat_grant(&mut self, claim: ClaimId, link: Link<K>, effects: &mut Effects<K>) {
        let (slot, now) = (link.held.slot, self.machine.latest());
        let seat = self.seat(claim);
        let (number, asked) = (seat.number, seat.since);
        seat.sitting = Sitting::Granted;
        let waker = seat.waker.take();
        self.cells.lay(claim, link);
        self.roll.grant(claim);
        self.show_grant(slot, number, Asked::InVain);
        let berth = self.berth(slot);
        berth.place = Place::Seated(claim);
        berth.goes(Away::after_waiting(number, now, asked));
        if let Some(waker) = waker {
            effects.wake(waker);
        }
    }

    /// A claimer is done with a connection, as far as people are told.
    #[inline]
    pub(crate) fn came_back(&mut self, now: Timestamp, slot: SlotId) {
        let berth = &mut self.shelf[slot.0 as usize];
        berth.count(&mut self.tally);
        let (away, serial) = (berth.away.take(), berth.serial);
        if let Some(away) = away {
            if let Some(held) = away.held(now) {
                self.tally.hold.add(held);
            }
            probes::handle_returned(&self.name, serial);
        }
    }
}
