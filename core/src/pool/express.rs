//! The turns that every request takes, without a detour.
//!
//! A connection goes out and comes back thousands of times between two events that change anything else.
//! While the pool is *quiet* (nothing to plan, to move, to check or to hurry) such a turn touches the
//! slot, its backend and the pick, and nothing follows from it. [`PoolMachine::handle`](crate::Machine::handle)
//! tries these ways first, so that whoever drives the machine by events alone gets the same; an embedder
//! may take them itself, and spare the event and its actions.

use alloc::vec::Vec;

use super::event::{Action, ClaimId, Event, Note, Return, SlotId, SlotKind, Ticket};
use super::slot::{IdleLinks, SlotState};
use super::{Life, PoolMachine};
use crate::time::Timestamp;

/// What became of a connection that was returned in good order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Turn {
    /// It rests until somebody claims it.
    Rested,
    /// The first in line has it.
    Granted(ClaimId, Ticket),
}

/// How much may happen before anything else has to follow.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub(super) struct Quiet {
    /// Connections that may be out at a time; 0 while the pool is not quiet.
    pub(super) load: u32,
}

impl Quiet {
    pub(super) const NOT: Self = Self { load: 0 };
    const FULL: Self = Self { load: u32::MAX };

    /// Whether claims may queue too: the plan takes all there is already.
    #[inline]
    fn is_full(self) -> bool {
        self == Self::FULL
    }
}

impl PoolMachine {
    /// How quiet the pool is, from all that it depends on.
    pub(super) fn quiet(&self) -> Quiet {
        let planned = &self.planned;
        let nothing_to_do = self.life == Life::Running
            && !planned.stale
            && planned.wants.is_none()
            && planned.probing == 0
            && !self.patience.pressing
            && self.overdue.is_empty();
        if !nothing_to_do {
            return Quiet::NOT;
        }
        let full = planned.target >= self.max_slots().saturating_sub(self.draining.total());
        let load = if full { u32::MAX } else { planned.target.saturating_sub(self.spares()) };
        Quiet { load: planned.kept_back.map_or(load, |demand| load.min(demand)) }
    }

    /// Whether this event was handled in a quiet way.
    pub(super) fn goes_by_express(&mut self, now: Timestamp, event: &Event, out: &mut Vec<Action>) -> bool {
        if let Event::Claim { claim, deadline } = *event {
            let Some((slot, arrival)) = self.claim_at_once(now) else {
                return self.queue_quietly(now, claim, deadline);
            };
            let ticket = Ticket { arrival, deadline, failures: 0 };
            out.push(Action::Grant { claim, slot, ticket });
            true
        } else if let Event::Returned(slot, Return::Intact) = *event {
            let from = self.slot_kind(slot);
            match self.take_back(now, slot) {
                None => return false,
                Some(Turn::Granted(claim, ticket)) => out.push(Action::Grant { claim, slot, ticket }),
                Some(Turn::Rested) => {
                    let (backend, to) = (self.backend_of(slot), Some(SlotKind::Unclaimed));
                    out.push(Action::Note(Note::Slot { slot, backend, from, to }));
                }
            }
            true
        } else {
            false
        }
    }

    /// Claims the connection whose turn it is at `now`, if one rests and nothing else follows from it. The
    /// one action of [`Event::Claim`] would be the grant of this slot to the claim of
    /// this arrival.
    #[inline]
    pub fn claim_at_once(&mut self, now: Timestamp) -> Option<(SlotId, u64)> {
        let now = self.now.max(now);
        if self.wanted.load() >= self.quiet.load || now >= self.next_due || self.queue.waiting() > 0 {
            return None;
        }
        let backend = self.pick.first()?;
        let set = self.sets.at_mut(backend);
        if set.health.suspect {
            return None;
        }
        let slot = SlotId(set.idle.pop_front(&mut IdleLinks(&mut self.slots))?);
        let entry = self.slots.at_mut(slot);
        entry.state = SlotState::Claimed;
        entry.suspicion = 0;
        set.counts.shift(SlotKind::Unclaimed, SlotKind::Claimed);
        self.wanted.shift(SlotKind::Unclaimed, SlotKind::Claimed);
        set.take_turn();
        let next = (set.idle.len() > 0).then(|| set.bucket_by_load());
        self.pick.serve(backend, set, next);
        self.now = now;
        self.arrivals += 1;
        Some((slot, self.arrivals))
    }

    /// Queues a claim at `now`, if it has to wait and nothing else follows from it: no action of
    /// [`Event::Claim`] would come.
    #[inline]
    pub fn queue_quietly(&mut self, now: Timestamp, claim: ClaimId, deadline: Timestamp) -> bool {
        let now = self.now.max(now);
        let quiet = self.quiet.is_full()
            && now < self.next_due
            && now < deadline
            && self.pick.is_empty()
            && self.wanted.connected() > 0
            && (self.queue.without() as usize) < self.policy.max_waiting;
        if quiet {
            self.now = now;
            self.arrivals += 1;
            self.queue.join(claim, Ticket { arrival: self.arrivals, deadline, failures: 0 });
            self.next_due = self.next_due.min(deadline);
        }
        quiet
    }

    /// Takes a connection back in good order at `now`, if nothing follows from it but that it rests or goes
    /// to the first in line.
    #[inline]
    pub fn take_back(&mut self, now: Timestamp, slot: SlotId) -> Option<Turn> {
        let now = self.now.max(now);
        let spares = self.spares();
        let entry = self.slots.at_mut(slot);
        let from = entry.state.kind();
        let set = self.sets.at_mut(entry.backend);
        let front = self.queue.front();
        let claims = self.wanted.load() + self.queue.waiting();
        let quiet = self.quiet.load > 0
            && now < self.next_due
            && matches!(from, SlotKind::Claimed | SlotKind::Granted)
            && !set.health.suspect
            && set.wanted
            && (front.is_none() || self.quiet.is_full())
            && (!self.rebalance_at.is_never() || self.wanted.live() < claims.saturating_add(spares));
        if !quiet {
            return None;
        }
        self.now = now;
        entry.proven = true;
        if let SlotState::Granted { claim, .. } = entry.state {
            // The return says that it was fetched.
            self.queue.remove(claim);
        }
        let (turn, due) = if let Some(claim) = front {
            let ticket = self.queue.grant(claim, slot);
            let until = now.after(self.pace.fetch_timeout).min(ticket.deadline);
            entry.state = SlotState::Granted { claim, until };
            if from != SlotKind::Granted {
                set.counts.shift(from, SlotKind::Granted);
                self.wanted.shift(from, SlotKind::Granted);
            }
            (Turn::Granted(claim, ticket), until)
        } else {
            let due = now.after(self.policy.set_config.health_interval).after_nanos(entry.stagger);
            entry.state = SlotState::Unclaimed { since: now };
            set.counts.shift(from, SlotKind::Unclaimed);
            self.wanted.shift(from, SlotKind::Unclaimed);
            let bucket = set.bucket_by_load();
            self.pick.place(entry.backend, set, Some(bucket));
            set.idle.push_front(slot.0, &mut IdleLinks(&mut self.slots));
            (Turn::Rested, due)
        };
        self.slot_timers.by(slot.0, due);
        self.next_due = self.next_due.min(due);
        Some(turn)
    }

    #[inline]
    pub(super) fn spares(&self) -> u32 {
        u32::try_from(self.policy.spares_wanted).unwrap_or(u32::MAX)
    }
}
