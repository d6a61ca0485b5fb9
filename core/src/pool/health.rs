//! What failures and successes say about a backend.
//!
//! *Suspicion* is what a failure of any kind leaves behind; *back-off* is the pause that failed connects
//! earn on top. Both are the backend's, not a slot's, and end together: when it proves itself, or
//! when nothing has failed for twice the longest pause.

use alloc::vec::Vec;

use super::backoff;
use super::event::{Action, BackendId, Failure, Note, SlotId};
use super::set::Standing;
use super::{PoolMachine, SlotState};
use crate::time::Timestamp;

impl PoolMachine {
    /// A connect ended badly, or was given up because it took too long.
    pub(super) fn connect_failed(&mut self, slot: SlotId, failure: Failure, out: &mut Vec<Action>) {
        let backend = self.slots.at(slot).backend;
        let was_probe = self.sets.at(backend).standing() != Standing::Up;
        self.planned.probing = self.planned.probing.saturating_sub(u32::from(was_probe));
        self.blame(slot, failure, out);
        self.count_failed_connect(slot);
        self.grow_patience();
    }

    /// A check, a recycle or a claimer found this connection broken.
    pub(super) fn found_broken(&mut self, slot: SlotId, failure: Failure, out: &mut Vec<Action>) {
        let backend = self.slots.at(slot).backend;
        self.acquire_failed(slot, failure, out);
        if core::mem::replace(&mut self.sets.at_mut(backend).health.swept, true) {
            return;
        }
        // One error is enough: the others are looked at before anybody is given one of them.
        let idle = self.sets.at(backend).idle.collect(|id| self.slots.at(SlotId(id)).idle);
        for other in idle {
            self.enter_checking(SlotId(other), out);
        }
    }

    /// `on_acquire` did not accept this connection, which says less about the others than a broken one.
    pub(super) fn acquire_failed(&mut self, slot: SlotId, failure: Failure, out: &mut Vec<Action>) {
        let entry = self.slots.at(slot);
        let early = !entry.proven && self.now.since(entry.connected_at) < self.pace.early;
        self.blame(slot, failure, out);
        if early {
            self.count_failed_connect(slot);
        }
    }

    /// A connection was found good: its backend is forgiven what happened before that began.
    pub(super) fn proved(&mut self, slot: SlotId, out: &mut Vec<Action>) {
        let entry = self.slots.at_mut(slot);
        entry.proven = true;
        let (backend, suspicion) = (entry.backend, entry.suspicion);
        let health = &self.sets.at(backend).health;
        if health.suspect && health.suspicion == suspicion {
            self.forgive(backend, out);
        }
    }

    /// This backend may be dialled again, or nothing has failed for long enough.
    pub(super) fn set_due(&mut self, backend: BackendId, out: &mut Vec<Action>) {
        let health = &self.sets.at(backend).health;
        let (suspect, next_attempt) = (health.suspect, health.next_attempt);
        let forgiven_at = self.forgiven_at(backend);
        if suspect && forgiven_at <= self.now {
            self.forgive(backend, out);
        } else if suspect {
            self.set_timers.by(backend.0, forgiven_at);
        }
        if next_attempt > self.now {
            self.set_timers.by(backend.0, next_attempt);
        } else if next_attempt != Timestamp::EPOCH {
            // The pause is over, which is news once.
            self.sets.at_mut(backend).health.next_attempt = Timestamp::EPOCH;
            self.pause_over(backend);
        }
    }

    fn blame(&mut self, slot: SlotId, failure: Failure, out: &mut Vec<Action>) {
        let entry = self.slots.at(slot);
        let (backend, kind) = (entry.backend, entry.state.kind());
        let health = &mut self.sets.at_mut(backend).health;
        health.last_failure = self.now;
        if !health.suspect {
            health.suspect = true;
            health.suspicion += 1;
            health.suspect_out = 0;
            self.soundness_changed(backend);
            self.refresh(backend);
        }
        self.set_timers.by(backend.0, self.forgiven_at(backend));
        out.push(Action::Note(Note::Failed(backend, kind, failure)));
    }

    fn forgive(&mut self, backend: BackendId, out: &mut Vec<Action>) {
        let health = &mut self.sets.at_mut(backend).health;
        health.suspect = false;
        health.swept = false;
        health.suspect_out = 0;
        health.failures = 0;
        health.next_attempt = Timestamp::EPOCH;
        self.planned.stale = true;
        self.soundness_changed(backend);
        self.refresh(backend);
        out.push(Action::Note(Note::Recovered(backend)));
    }

    /// Counts a failed connect against its backend, once for all that were under way together.
    fn count_failed_connect(&mut self, slot: SlotId) {
        let entry = self.slots.at(slot);
        let (backend, dial) = (entry.backend, entry.dial);
        let set = self.sets.at_mut(backend);
        self.planned.stale |= set.standing() != Standing::Down;
        let health = &mut set.health;
        health.last_connect = Some(false);
        if dial > health.counted_dial {
            health.counted_dial = self.dials;
            health.failures = health.failures.saturating_add(1);
            let pause = backoff::pause(health.failures, &self.policy.set_config, &mut self.backoff_dice);
            health.next_attempt = self.now.after(pause);
            self.set_timers.by(backend.0, health.next_attempt);
        }
    }

    pub(super) fn forgiven_at(&self, backend: BackendId) -> Timestamp {
        let longest = self.policy.set_config.max_connection_backoff;
        self.sets.at(backend).health.last_failure.after(longest).after(longest)
    }

    /// Once every backend had its turn, the next one may take twice as long.
    fn grow_patience(&mut self) {
        let since = self.patience.since_dial;
        if self.order.iter().all(|&backend| self.sets.at(backend).health.last_dial > since) {
            let doubled = self.patience.span.saturating_mul(2);
            self.patience.span = doubled.min(self.policy.set_config.connect_timeout).max(self.pace.patience);
            self.patience.since_dial = self.dials;
        }
    }

    /// The bound on a connect at present.
    pub(super) fn connect_timeout(&self) -> core::time::Duration {
        let longest = self.policy.set_config.connect_timeout;
        if self.patience.pressing { self.patience.span.min(longest) } else { longest }
    }

    /// Claims that wait in front of a pool without a connection make it try backends faster, as long as
    /// there are some that it has not dialled.
    pub(super) fn press(&mut self) {
        let pressing = self.queue.waiting() > 0 && self.wanted.connected() == 0 && self.planned.undialled;
        if core::mem::replace(&mut self.patience.pressing, pressing) || !pressing {
            return;
        }
        let slots = self.slots.iter();
        let connecting = slots.filter(|(_, slot)| matches!(slot.state, SlotState::Connecting { .. }));
        for slot in connecting.map(|(slot, _)| SlotId(slot)).collect::<Vec<_>>() {
            self.arm(slot);
        }
    }
}
