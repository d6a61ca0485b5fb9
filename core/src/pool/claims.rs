//! Claims: they come, wait their turn, are granted, fetched, cancelled or denied.

use alloc::vec::Vec;

use super::event::{Action, BackendId, ClaimId, Denial, Failure, SlotId, SlotKind, Ticket};
use super::queue::Standing;
use super::{Life, PoolMachine, SlotState};
use crate::time::Timestamp;

impl PoolMachine {
    pub(super) fn on_claim(&mut self, claim: ClaimId, deadline: Timestamp, out: &mut Vec<Action>) {
        self.arrivals += 1;
        let ticket = Ticket { arrival: self.arrivals, deadline, failures: 0 };
        if self.life != Life::Running {
            out.push(Action::Deny(claim, Denial::Terminated));
            return;
        }
        // What a timer freed just now belongs to those who wait already.
        self.grant_waiting(out);
        if self.queue.waiting() == 0
            && let Some(slot) = self.take_pick(|pool, slot, out| pool.enter_claimed(slot, out), out)
        {
            out.push(Action::Grant { claim, slot, ticket });
            return;
        }
        if deadline <= self.now {
            out.push(Action::Deny(claim, self.denial(&ticket)));
        } else if self.queue.without() as usize >= self.policy.max_waiting {
            out.push(Action::Deny(claim, Denial::TooManyWaiting));
        } else {
            self.queue.join(claim, ticket);
        }
    }

    pub(super) fn on_fetched(&mut self, claim: ClaimId, out: &mut Vec<Action>) {
        let Some((_, Standing::Granted(slot))) = self.queue.get(claim) else {
            debug_assert!(false, "C5: {claim:?} fetched what it was not granted");
            return;
        };
        self.queue.remove(claim);
        self.enter_claimed(slot, out);
    }

    pub(super) fn on_resume(&mut self, claim: ClaimId, out: &mut Vec<Action>) {
        let Some((ticket, Standing::Revoked)) = self.queue.get(claim) else {
            debug_assert!(false, "C5: {claim:?} resumes without having been revoked");
            return;
        };
        if ticket.deadline <= self.now {
            self.give_up(claim, out);
        } else {
            self.queue.rejoin(claim, ticket);
        }
    }

    pub(super) fn on_cancelled(&mut self, claim: ClaimId, out: &mut Vec<Action>) {
        match self.queue.get(claim) {
            Some((_, Standing::Waiting | Standing::Revoked)) => {
                self.queue.remove(claim);
            }
            Some((_, Standing::Granted(slot))) => {
                self.queue.remove(claim);
                self.rest_or_close(slot, out);
            }
            None | Some((_, Standing::Acquiring(_))) => {
                debug_assert!(false, "C5: {claim:?} is cancelled but neither waits nor was granted");
            }
        }
    }

    pub(super) fn on_acquire_pending(
        &mut self,
        slot: SlotId,
        claim: ClaimId,
        ticket: Ticket,
        out: &mut Vec<Action>,
    ) {
        if self.slot_kind(slot) != Some(SlotKind::Claimed) {
            debug_assert!(false, "C5: {slot:?} is acquired but not claimed");
            return;
        }
        if self.life == Life::Running {
            self.queue.acquire(claim, ticket, slot);
            let bound = self.now.after(self.policy.set_config.health_check_timeout);
            let impatient = ticket.deadline < bound;
            self.enter_acquiring(slot, claim, bound.min(ticket.deadline), impatient, out);
        } else {
            self.enter_acquiring(slot, claim, Timestamp::NEVER, true, out);
            out.push(Action::Deny(claim, Denial::Terminated));
        }
    }

    pub(super) fn on_acquired(&mut self, slot: SlotId, out: &mut Vec<Action>) {
        let SlotState::Acquiring { claim, .. } = self.slots.at(slot).state else {
            debug_assert!(false, "C5: {slot:?} was acquired without on_acquire running");
            return;
        };
        self.queue.remove(claim);
        self.enter_claimed(slot, out);
    }

    pub(super) fn on_acquire_failed(
        &mut self,
        slot: SlotId,
        claim: ClaimId,
        ticket: Ticket,
        failure: Failure,
        out: &mut Vec<Action>,
    ) {
        // A claimer that has no time left says nothing about the backend.
        let impatient = matches!(self.slots.at(slot).state, SlotState::Acquiring { impatient: true, .. });
        if !(impatient && failure == Failure::TimedOut) {
            self.acquire_failed(slot, failure, out);
        }
        self.enter_closing(slot, out);
        let ticket = Ticket { failures: ticket.failures + 1, ..ticket };
        let denial = if self.life != Life::Running {
            Some(Denial::Terminated)
        } else if ticket.failures >= self.pace.acquire_tries || ticket.deadline <= self.now {
            Some(Denial::AcquireFailed)
        } else {
            None
        };
        match denial {
            Some(denial) => {
                self.queue.remove(claim);
                out.push(Action::Deny(claim, denial));
            }
            None => self.queue.rejoin(claim, ticket),
        }
    }

    /// A waiting or revoked claim's deadline has passed.
    pub(super) fn give_up(&mut self, claim: ClaimId, out: &mut Vec<Action>) {
        if let Some((ticket, _)) = self.queue.remove(claim) {
            out.push(Action::Deny(claim, self.denial(&ticket)));
        }
    }

    /// Takes a grant or an `on_acquire` back from a claimer that is too slow.
    pub(super) fn revoke(&mut self, slot: SlotId, out: &mut Vec<Action>) {
        match self.slots.at(slot).state {
            SlotState::Granted { claim, .. } => {
                self.queue.revoke(claim);
                out.push(Action::Revoke(claim, slot));
                self.rest_or_close(slot, out);
            }
            SlotState::Acquiring { claim, impatient, .. } => {
                self.enter_acquiring(slot, claim, Timestamp::NEVER, impatient, out);
                out.push(Action::Revoke(claim, slot));
            }
            SlotState::Connecting { .. }
            | SlotState::Unclaimed { .. }
            | SlotState::Checking { .. }
            | SlotState::Claimed
            | SlotState::Recycling { .. }
            | SlotState::Aborting
            | SlotState::Closing => {}
        }
    }

    /// Grants idle connections to those who wait, in order, until one of the two runs out (C6, C12).
    #[inline]
    pub(super) fn grant_waiting(&mut self, out: &mut Vec<Action>) {
        if self.queue.waiting() > 0 && !self.pick.is_empty() {
            self.grant_in_turn(out);
        }
    }

    #[inline(never)]
    fn grant_in_turn(&mut self, out: &mut Vec<Action>) {
        while let Some(claim) = self.queue.front().filter(|_| !self.pick.is_empty()) {
            self.take_pick(|pool, slot, out| pool.enter_granted(slot, claim, out), out);
        }
    }

    /// Takes the most recently used connection of the backend whose turn it is.
    fn take_pick(
        &mut self,
        enter: impl FnOnce(&mut Self, SlotId, &mut Vec<Action>),
        out: &mut Vec<Action>,
    ) -> Option<SlotId> {
        let backend = self.pick.first()?;
        let set = self.sets.at_mut(backend);
        let before = set.bucket;
        set.take_turn();
        let slot = SlotId(set.idle.first().expect("C13: a backend that is offered has an idle connection"));
        enter(self, slot, out);
        let set = self.sets.at(backend);
        if set.bucket == before {
            self.pick.rotate(backend, set);
        }
        Some(slot)
    }

    /// Why a claim gets nothing when its time is up.
    fn denial(&self, ticket: &Ticket) -> Denial {
        if ticket.failures > 0 {
            Denial::AcquireFailed
        } else if self.order.is_empty() {
            Denial::NoBackends
        } else if self.wanted.connected() == 0 {
            Denial::NoBackendsOnline
        } else {
            let checking = self.wanted.of(SlotKind::Checking) + self.wanted.of(SlotKind::Recycling);
            Denial::AllClaimsUsed { checking }
        }
    }

    /// The order in which backends would serve claims at present.
    #[must_use]
    pub fn pick_order(&self) -> Vec<BackendId> {
        self.pick.iter().collect()
    }
}
