//! Which states behave alike, whatever the time is and however their slots and claims are numbered.
//!
//! What is left out has to be argued. Times count from now, and those that have passed are all
//! the same. Ids, serials, arrival numbers and dials are only compared with each other, so that only
//! their order matters. Indexes, counters and timers follow from the rest (C13). A
//! word that no decision can read again before it is written anew is left out where that is said.

use super::event::{BackendId, ClaimId, SlotId};
use super::queue::Standing;
use super::set::SlotSet;
use super::slot::Slot;
use super::{Life, PoolMachine, SlotState};
use crate::digest::Digest;
use crate::time::{Timestamp, nanos};

impl PoolMachine {
    /// A number that is equal for states that behave alike. `known` adds what the embedder knows
    /// about a slot.
    ///
    /// Slots of one backend are only told apart by what they are: their fingerprints are added.
    #[must_use]
    pub fn likeness(&self, known: impl Fn(SlotId) -> u64) -> u128 {
        let mut all = Digest::EMPTY;
        all.push(self.life as u64);
        let mut sum = 0_u128;
        for (id, set) in self.sets.iter() {
            let mut digest = Digest::EMPTY;
            digest.push(set.rank);
            if self.life == Life::Running {
                self.describe_set(BackendId(id), set, &mut digest);
            }
            let slots = self.slots.iter().filter(|(_, slot)| slot.backend == BackendId(id));
            let slots = slots.map(|(id, slot)| self.describe_slot(SlotId(id), set, slot, known(SlotId(id))));
            push_wide(&mut digest, slots.fold(0, u128::wrapping_add));
            sum = sum.wrapping_add(digest.finish());
        }
        push_wide(&mut all, sum);
        let claims = self.queue.iter().map(|(claim, ticket, standing)| {
            let mut digest = Digest::EMPTY;
            let tag = match standing {
                Standing::Waiting => 0,
                Standing::Revoked => 1,
                Standing::Granted(_) => 2,
                Standing::Acquiring(_) => 3,
            };
            digest.push(self.turn(claim) << 16 | tag << 8 | u64::from(ticket.failures));
            digest.push(self.left(ticket.deadline));
            digest.finish()
        });
        push_wide(&mut all, claims.fold(0, u128::wrapping_add));
        if self.life == Life::Running {
            all.push(self.left(self.rebalance_at));
            if self.presses() {
                all.push(nanos(self.patience.span) << 1 | u64::from(self.patience.pressing));
            }
            self.planned.describe(self.presses(), |at| self.left(at), &mut all);
        }
        all.finish()
    }

    fn describe_set(&self, backend: BackendId, set: &SlotSet, digest: &mut Digest) {
        let health = &set.health;
        let dialled_before = |(id, other): &(u32, &SlotSet)| {
            other.health.last_dial < health.last_dial && self.may_be_down(BackendId(*id), other)
        };
        // One that was never dialled comes before those that will join, too.
        let dial = match health.last_dial {
            _ if !self.may_be_down(backend, set) => 0,
            0 => 1,
            _ => 2 + self.sets.iter().filter(dialled_before).count() as u64,
        };
        let flags = [
            set.wanted,
            health.suspect,
            // Only a second connection can be swept up.
            health.swept && self.max_count().min(self.max_slots()) > 1,
            self.presses() && health.last_dial > self.patience.since_dial,
            self.planned.content && set.wish.probe,
        ];
        digest.push(pack(flags) << 8 | health.last_connect.map_or(2, u64::from));
        let failures = u64::from(health.failures.min(self.failures_that_matter()));
        digest.push(dial << 32 | failures << 16 | self.pick.turn(backend, set));
        digest.push(u64::from(set.wish.share) << 32 | u64::from(set.wish.turns));
        if set.wanted {
            // One that comes back comes with its own.
            digest.push(u64::from(set.backend.priority) << 16 | u64::from(set.backend.weight));
            digest.push(u64::from(set.run));
        }
        let paused = health.next_attempt != Timestamp::EPOCH;
        digest.push(if paused { self.left(health.next_attempt) } else { u64::MAX });
        digest.push(if health.suspect { self.left(self.forgiven_at(backend)) } else { 0 });
    }

    fn describe_slot(&self, id: SlotId, set: &SlotSet, slot: &Slot, known: u64) -> u128 {
        let mut digest = Digest::EMPTY;
        let (place, claim) = match slot.state {
            SlotState::Connecting { since } => (self.left(since.after(self.pace.patience)), None),
            SlotState::Granted { claim, .. } | SlotState::Acquiring { claim, .. } => (0, Some(claim)),
            SlotState::Unclaimed { .. } => {
                let mut idle = set.idle.iter(|id| self.slots.at(SlotId(id)).idle);
                (idle.position(|other| other == id.0).unwrap_or(0) as u64, None)
            }
            SlotState::Checking { .. }
            | SlotState::Recycling { .. }
            | SlotState::Claimed
            | SlotState::Aborting
            | SlotState::Closing => (0, None),
        };
        digest.push(known);
        digest.push((slot.state.kind() as u64) << 32 | claim.map_or(99, |claim| self.turn(claim)));
        if self.life != Life::Running {
            return digest.finish();
        }
        let connecting = matches!(slot.state, SlotState::Connecting { .. });
        let connected = slot.state.kind().is_connected();
        let early = if self.is_early(slot) { self.left(slot.connected_at.after(self.pace.early)) } else { 0 };
        // Whoever takes or checks an idle connection notes the suspicion anew.
        let working = connected && !matches!(slot.state, SlotState::Unclaimed { .. });
        let flags = [
            // Only a connect or a connection that counts as one is still counted.
            (connecting || early > 0) && slot.dial > set.health.counted_dial,
            working && set.health.suspect && slot.suspicion == set.health.suspicion,
            matches!(slot.state, SlotState::Acquiring { impatient: true, .. }),
        ];
        digest.push(pack(flags) << 32 | self.overdue_turn(id));
        digest.push(place);
        let ring = self.ring(id, slot);
        digest.push(self.left(ring));
        if matches!(slot.state, SlotState::Unclaimed { .. }) {
            digest.push(self.left(self.due(id).after(self.policy.set_config.health_interval)));
        }
        digest.push(early);
        digest.finish()
    }

    /// Whether the backend is down, untried, or may become so without another dial: the order of dials
    /// is read among such alone.
    fn may_be_down(&self, backend: BackendId, set: &SlotSet) -> bool {
        let decides = |slot: &Slot| matches!(slot.state, SlotState::Connecting { .. }) || self.is_early(slot);
        set.health.last_connect != Some(true)
            || self.slots.iter().any(|(_, slot)| slot.backend == backend && decides(slot))
    }

    /// Whether this connection counts as a failed connect if it is found broken now.
    fn is_early(&self, slot: &Slot) -> bool {
        let until = slot.connected_at.after(self.pace.early);
        slot.state.kind().is_connected() && !slot.proven && until > self.now
    }

    /// When this slot's timer has something to do.
    fn ring(&self, id: SlotId, slot: &Slot) -> Timestamp {
        let due = self.due(id);
        if due > self.now {
            due
        } else if slot.check_queued {
            Timestamp::NEVER
        } else {
            self.slot_timers.of(id.0).unwrap_or(Timestamp::NEVER)
        }
    }

    /// How many claims came before this one.
    fn turn(&self, claim: ClaimId) -> u64 {
        let of = self.queue.get(claim).map(|(ticket, _)| ticket.arrival);
        self.queue.iter().filter(|(_, ticket, _)| Some(ticket.arrival) < of).count() as u64
    }

    /// A slot's place among those that wait to be checked, from 1; 0 where it does not.
    fn overdue_turn(&self, slot: SlotId) -> u64 {
        if !self.slots.at(slot).check_queued {
            return 0;
        }
        let queued = |other: &&SlotId| self.slots.get(other.0).is_some_and(|other| other.check_queued);
        let before = self.overdue.iter().take_while(|other| **other != slot).filter(queued).count();
        1 + before as u64
    }

    /// The time left until `at`, 0 once it has passed.
    fn left(&self, at: Timestamp) -> u64 {
        if at.is_never() { u64::MAX } else { nanos(at.since(self.now)) }
    }

    /// Whether claims that wait can make connects time out earlier than the policy does.
    fn presses(&self) -> bool {
        self.pace.patience < self.policy.set_config.connect_timeout
    }

    /// More failures than this make the pause no longer.
    fn failures_that_matter(&self) -> u32 {
        let config = &self.policy.set_config;
        let ratio = nanos(config.max_connection_backoff).div_ceil(nanos(config.min_connection_backoff));
        ratio.checked_next_power_of_two().map_or(u64::BITS, u64::ilog2)
    }
}

fn pack<const N: usize>(flags: [bool; N]) -> u64 {
    flags.into_iter().fold(0, |packed, flag| packed << 1 | u64::from(flag))
}

fn push_wide(digest: &mut Digest, word: u128) {
    digest.push((word >> 64) as u64);
    digest.push(word as u64);
}
