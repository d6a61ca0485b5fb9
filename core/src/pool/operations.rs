//! Operations end, in time or not, and connections come back.

use alloc::vec::Vec;

use super::event::{Action, Failure, Return, SlotId, SlotKind};
use super::{Life, PoolMachine, SlotState};

impl PoolMachine {
    pub(super) fn on_connected(&mut self, slot: SlotId, result: Result<(), Failure>, out: &mut Vec<Action>) {
        match (self.slots.at(slot).state, result) {
            (SlotState::Connecting { .. }, Ok(())) => {
                let entry = self.slots.at_mut(slot);
                entry.connected_at = self.now;
                let backend = entry.backend;
                self.sets.at_mut(backend).health.last_connect = Some(true);
                self.patience.span = self.pace.patience;
                self.patience.since_dial = self.dials;
                self.planned.stale = true;
                self.enter_unclaimed(slot, out);
            }
            (SlotState::Connecting { .. }, Err(failure)) => {
                self.connect_failed(slot, failure, out);
                self.leave(slot, out);
            }
            (SlotState::Aborting, Ok(())) => self.enter_closing(slot, out),
            (SlotState::Aborting, Err(_)) => self.leave(slot, out),
            (state, _) => debug_assert!(false, "C3: {slot:?} connected in state {state:?}"),
        }
    }

    pub(super) fn on_checked(&mut self, slot: SlotId, result: Result<(), Failure>, out: &mut Vec<Action>) {
        match (self.slots.at(slot).state, result) {
            (SlotState::Checking { .. }, Ok(())) => {
                self.proved(slot, out);
                self.rest_or_close(slot, out);
            }
            (SlotState::Checking { .. }, Err(failure)) => {
                self.found_broken(slot, failure, out);
                self.enter_closing(slot, out);
            }
            (SlotState::Aborting, _) => self.enter_closing(slot, out),
            (state, _) => debug_assert!(false, "C3: {slot:?} checked in state {state:?}"),
        }
    }

    pub(super) fn on_recycled(&mut self, slot: SlotId, result: Result<(), Failure>, out: &mut Vec<Action>) {
        match (self.slots.at(slot).state, result) {
            (SlotState::Recycling { .. }, Ok(())) => self.intact(slot, out),
            (SlotState::Recycling { .. }, Err(failure)) => {
                self.found_broken(slot, failure, out);
                self.enter_closing(slot, out);
            }
            (SlotState::Aborting, _) => self.enter_closing(slot, out),
            (state, _) => debug_assert!(false, "C3: {slot:?} recycled in state {state:?}"),
        }
    }

    pub(super) fn on_closed(&mut self, slot: SlotId, out: &mut Vec<Action>) {
        debug_assert_eq!(self.slot_kind(slot), Some(SlotKind::Closing), "C3: {slot:?} closed unasked");
        self.leave(slot, out);
    }

    pub(super) fn on_returned(&mut self, slot: SlotId, how: Return, out: &mut Vec<Action>) {
        match self.slots.at(slot).state {
            SlotState::Claimed => {}
            // The return of a grant says that it was fetched.
            SlotState::Granted { claim, .. } | SlotState::Acquiring { claim, .. } => {
                self.queue.remove(claim);
            }
            state @ (SlotState::Connecting { .. }
            | SlotState::Unclaimed { .. }
            | SlotState::Checking { .. }
            | SlotState::Recycling { .. }
            | SlotState::Aborting
            | SlotState::Closing) => {
                debug_assert!(false, "C4: {slot:?} returned in state {state:?}");
                return;
            }
        }
        match how {
            Return::Intact => self.intact(slot, out),
            Return::Recycling if self.keeps(slot) => self.enter_recycling(slot, out),
            Return::Recycling | Return::Abandoned => self.enter_closing(slot, out),
            Return::Broken => {
                self.found_broken(slot, Failure::Error, out);
                self.enter_closing(slot, out);
            }
            Return::Detached => self.leave(slot, out),
        }
    }

    /// Something about this slot is due, or its timer rang for what no longer is.
    pub(super) fn slot_due(&mut self, slot: SlotId, out: &mut Vec<Action>) {
        let due = self.due(slot);
        if due > self.now {
            self.slot_timers.by(slot.0, due);
            return;
        }
        match self.slots.at(slot).state {
            SlotState::Connecting { .. } => {
                self.connect_failed(slot, Failure::TimedOut, out);
                self.enter_aborting(slot, out);
            }
            SlotState::Checking { .. } | SlotState::Recycling { .. } => {
                self.found_broken(slot, Failure::TimedOut, out);
                self.enter_aborting(slot, out);
            }
            SlotState::Granted { .. } | SlotState::Acquiring { .. } => self.revoke(slot, out),
            SlotState::Unclaimed { .. } => self.consider_check(slot, out),
            SlotState::Claimed | SlotState::Aborting | SlotState::Closing => {}
        }
    }

    /// Starts the checks that had to wait for others.
    #[cold]
    pub(super) fn check_overdue(&mut self, out: &mut Vec<Action>) {
        while !self.overdue.is_empty() && self.may_check() {
            let slot = self.overdue.pop_front().expect("it is not empty");
            let Some(entry) = self.slots.get_mut(slot.0) else { continue };
            let queued = core::mem::take(&mut entry.check_queued);
            let idle = entry.state.kind() == SlotKind::Unclaimed;
            if queued && idle && self.due(slot) <= self.now {
                self.consider_check(slot, out);
            }
        }
    }

    /// An idle connection has rested for its health interval.
    fn consider_check(&mut self, slot: SlotId, out: &mut Vec<Action>) {
        let patient = self.due(slot).after(self.policy.set_config.health_interval);
        if self.wanted.of(SlotKind::Unclaimed) == 1 && self.now < patient {
            self.slot_timers.by(slot.0, patient);
        } else if self.may_check() {
            self.enter_checking(slot, out);
        } else if !self.slots.at(slot).check_queued {
            self.slots.at_mut(slot).check_queued = true;
            self.overdue.push_back(slot);
        }
    }

    /// Whether one more routine check may run: at most a quarter of what is idle, but at least one.
    fn may_check(&self) -> bool {
        let checking = self.wanted.of(SlotKind::Checking);
        checking < ((self.wanted.of(SlotKind::Unclaimed) + checking) / 4).max(1)
    }

    /// A connection came back in good order.
    fn intact(&mut self, slot: SlotId, out: &mut Vec<Action>) {
        self.proved(slot, out);
        if !self.keeps(slot) || self.takes_for_move(slot) {
            self.enter_closing(slot, out);
        } else if let Some(claim) = self.queue.front().filter(|_| self.suspicion_of(slot) == 0) {
            // Whoever waits has no idle connection to choose from (C6), so that this is the one to grant.
            self.enter_granted(slot, claim, out);
        } else {
            self.enter_unclaimed(slot, out);
        }
    }

    /// Whether a connection of this slot has a future once nobody uses it.
    pub(super) fn keeps(&self, slot: SlotId) -> bool {
        self.life == Life::Running && self.sets.at(self.slots.at(slot).backend).wanted
    }
}
