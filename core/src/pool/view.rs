//! What there is to see of a pool: for its embedder, for stats, for people.

use super::event::{BackendId, ClaimId, SlotId, SlotKind};
use super::policy::Policy;
use super::set::Standing;
use super::slot::Counts;
use super::{Life, PoolMachine, queue};
use crate::backend::Backend;
use crate::machine::Machine;
use crate::time::Timestamp;

/// Why the next deadline exists.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Reason {
    /// A waiting claim gives up.
    ClaimGivesUp,
    /// Something about a slot in this state: its operation takes too long, its grant was not fetched,
    /// it wants to be checked; or nothing any more, and the timer has to be aimed anew.
    Slot(SlotId, SlotKind),
    /// This backend may be dialled again, or is forgiven.
    Backend(BackendId),
    /// The rebalance tick.
    Rebalance,
    /// A probe has had its time, and claims wait for its slot.
    Plan,
    /// Connections of tiers that are closed are given up.
    Tiers,
}

impl PoolMachine {
    /// The policy in force.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The latest time it was told.
    #[must_use]
    pub fn latest(&self) -> Timestamp {
        self.now
    }

    /// Whether the last free slot is kept for a backend that is down, and no spare is opened in it.
    #[must_use]
    pub fn keeps_room(&self) -> bool {
        self.planned.kept_back.is_some()
    }

    /// The backend of this id, as long as it is in the set or has a slot.
    ///
    /// # Panics
    ///
    /// Panics where it is neither.
    #[must_use]
    pub fn backend(&self, backend: BackendId) -> &Backend {
        &self.sets.at(backend).backend
    }

    /// The backend that this slot belongs to.
    ///
    /// # Panics
    ///
    /// Panics on a slot that does not exist.
    #[must_use]
    pub fn backend_of(&self, slot: SlotId) -> BackendId {
        self.slots.at(slot).backend
    }

    /// The number by which people know this slot; it is never used again.
    ///
    /// # Panics
    ///
    /// Panics on a slot that does not exist.
    #[must_use]
    pub fn serial(&self, slot: SlotId) -> u64 {
        self.slots.at(slot).dial
    }

    /// Whether a connection of this backend rests, if there is such a backend.
    #[must_use]
    #[inline]
    pub fn has_unclaimed(&self, backend: BackendId) -> bool {
        self.sets.get(backend.0).is_some_and(|set| set.counts.of(SlotKind::Unclaimed) > 0)
    }

    /// What this slot is doing; `None` where it does not exist.
    #[must_use]
    pub fn slot_kind(&self, slot: SlotId) -> Option<SlotKind> {
        self.slots.get(slot.0).map(|slot| slot.state.kind())
    }

    /// The slot that this claim was granted, as long as it has to be fetched or is being acquired.
    #[must_use]
    pub fn slot_of(&self, claim: ClaimId) -> Option<SlotId> {
        match self.queue.get(claim)?.1 {
            queue::Standing::Granted(slot) | queue::Standing::Acquiring(slot) => Some(slot),
            queue::Standing::Waiting | queue::Standing::Revoked => None,
        }
    }

    /// Whether backends are known and every one of them is down: perhaps the resolver knows better by now.
    #[must_use]
    pub fn is_forsaken(&self) -> bool {
        let down = |backend: &BackendId| self.sets.at(*backend).standing() == Standing::Down;
        self.wanted.connected() == 0 && !self.order.is_empty() && self.order.iter().all(down)
    }

    /// Claims that have ever arrived: the number of the latest one, which its ticket shows.
    #[must_use]
    pub fn arrivals(&self) -> u64 {
        self.arrivals
    }

    /// Claims in the queue.
    #[must_use]
    pub fn waiting(&self) -> u32 {
        self.queue.waiting()
    }

    /// Whether `Stopped` was reported.
    #[must_use]
    pub fn stopped(&self) -> bool {
        self.life == Life::Stopped
    }

    /// Slots of backends in the resolver's set.
    #[must_use]
    pub fn wanted(&self) -> &Counts {
        &self.wanted
    }

    /// Slots of backends that left the set.
    #[must_use]
    pub fn draining(&self) -> &Counts {
        &self.draining
    }

    /// Every backend that is in the set or has a slot, by id.
    pub fn census(&self) -> impl Iterator<Item = BackendView<'_>> {
        self.sets.iter().map(|(id, set)| BackendView {
            id: BackendId(id),
            backend: &set.backend,
            counts: &set.counts,
            in_set: set.wanted,
            standing: set.standing(),
            suspect: set.health.suspect,
            share: set.wish.share,
            failures: set.health.failures,
            next_attempt: (set.health.next_attempt > self.now).then_some(set.health.next_attempt),
        })
    }

    /// Why the deadline of [`Machine::deadline`] exists.
    #[must_use]
    pub fn reason(&self) -> Option<Reason> {
        let at = self.deadline()?;
        if self.queue.deadline() == at {
            return Some(Reason::ClaimGivesUp);
        }
        if let Some(slot) = self.slot_timers.peek_due(at).map(SlotId) {
            return Some(Reason::Slot(slot, self.slots.at(slot).state.kind()));
        }
        if let Some(backend) = self.set_timers.peek_due(at) {
            return Some(Reason::Backend(BackendId(backend)));
        }
        if self.rebalance_at == at {
            return Some(Reason::Rebalance);
        }
        Some(if self.planned.closes_at == at { Reason::Tiers } else { Reason::Plan })
    }
}

/// What is known of one backend, for stats.
#[derive(Clone, Copy, Debug)]
pub struct BackendView<'machine> {
    /// Its id.
    pub id: BackendId,
    /// Its name and address.
    pub backend: &'machine Backend,
    /// Its slots by state.
    pub counts: &'machine Counts,
    /// In the resolver's latest set; otherwise it drains.
    pub in_set: bool,
    /// Untried, down or up.
    pub standing: Standing,
    /// Something failed since it last proved itself.
    pub suspect: bool,
    /// How many slots the plan gives it.
    pub share: u32,
    /// Failed connects since it last proved itself.
    pub failures: u32,
    /// When it may be dialled again, if that is in the future.
    pub next_attempt: Option<Timestamp>,
}
