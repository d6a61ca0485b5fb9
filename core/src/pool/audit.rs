//! Recounts everything that is derived (C13), and describes a state so that equal ones compare equal.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::event::{BackendId, ClaimId, SlotId};
use super::queue::Standing;
use super::set::SlotSet;
use super::slot::{Counts, Slot};
use super::{EARLY, Life, PATIENCE, PoolMachine, SlotState, pick};
use crate::time::{Timestamp, nanos};

/// A state of the pool with its times taken relative to now and its slots and claims numbered by what
/// they are, so that states that behave alike are equal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Canonical {
    /// The state. Only good for comparing and hashing.
    pub words: Vec<u64>,
    /// The slots in canonical order.
    pub slots: Vec<SlotId>,
    /// The claims in canonical order.
    pub claims: Vec<ClaimId>,
}

/// Fails an audit with a message.
macro_rules! ensure {
    ($holds:expr, $($message:tt)+) => {
        if !$holds {
            return Err(format!($($message)+));
        }
    };
}

impl PoolMachine {
    /// Compares every counter and index with a recount of the state (C13), and the limits (C7) and the
    /// queue (C6) with what they promise.
    ///
    /// # Errors
    ///
    /// Says what is wrong, beginning with the rule's number. This is a fault of the machine.
    pub fn audit(&self) -> Result<(), String> {
        self.queue.audit()?;
        let (mut wanted, mut draining) = (Counts::default(), Counts::default());
        let mut sound = 0;
        for (id, set) in self.sets.iter() {
            self.audit_set(BackendId(id), set)?;
            if set.wanted {
                wanted.absorb(&set.counts)
            } else {
                draining.absorb(&set.counts)
            }
            sound += u32::from(set.sound);
        }
        ensure!(wanted == self.wanted, "C13: counted {wanted:?}, remembered {:?}", self.wanted);
        ensure!(draining == self.draining, "C13: counted {draining:?}, remembered {:?}", self.draining);
        ensure!(sound == self.sound_online, "C13: {sound} sound backends, not {}", self.sound_online);
        ensure!(self.index.len() == self.sets.iter().count(), "C13: the index misses a backend");
        let mut offered = self.pick_order();
        offered.sort_unstable();
        let placed = self.sets.iter().filter(|(_, set)| set.bucket.is_some());
        ensure!(
            placed.map(|(id, _)| BackendId(id)).eq(offered.iter().copied()),
            "C13: the buckets hold {offered:?}"
        );
        let mut order = self.order.clone();
        order.sort_by_key(|&backend| self.sets.at(backend).rank);
        ensure!(order == self.order, "C13: the rendezvous order is out of order");
        for (id, slot) in self.slots.iter() {
            self.audit_slot(SlotId(id), slot)?;
        }
        for (claim, _, standing) in self.queue.all() {
            let (Standing::Granted(slot) | Standing::Acquiring(slot)) = standing else { continue };
            let state = self.slots.at(slot).state;
            let of = if let SlotState::Granted { claim, .. } | SlotState::Acquiring { claim, .. } = state {
                Some(claim)
            } else {
                None
            };
            ensure!(of == Some(claim), "C13: {claim:?} has {slot:?}, which has {of:?}");
        }
        ensure!(self.total() <= self.max_slots(), "C7: {} slots of {}", self.total(), self.max_slots());
        ensure!(self.quiet() == self.quiet, "C13: {:?}, remembered {:?}", self.quiet(), self.quiet);
        let idle_beside_waiting = self.queue.waiting() > 0 && !self.pick.is_empty();
        ensure!(
            self.life != Life::Running || !idle_beside_waiting,
            "C6: a claim waits beside an idle connection"
        );
        Ok(())
    }

    fn audit_set(&self, backend: BackendId, set: &SlotSet) -> Result<(), String> {
        let mut counts = Counts::default();
        let mut idle = Vec::new();
        let mut suspect_out = 0;
        for (id, slot) in self.slots.iter().filter(|(_, slot)| slot.backend == backend) {
            counts.enter(slot.state.kind());
            if let SlotState::Unclaimed { since } = slot.state {
                idle.push((since, id));
            }
            let suspect = set.health.suspect && slot.suspicion == set.health.suspicion;
            suspect_out += u32::from(suspect && slot.state.kind().carries_load());
        }
        ensure!(counts == set.counts, "C13: {backend:?} has {counts:?}, remembers {:?}", set.counts);
        ensure!(counts.total() <= self.max_count(), "C7: {backend:?} has {} slots", counts.total());
        ensure!(
            suspect_out == set.health.suspect_out,
            "C13: {backend:?} has {suspect_out} connections out under suspicion, remembers {}",
            set.health.suspect_out
        );
        let listed = set.idle.collect(|id| self.slots.at(SlotId(id)).idle);
        let since = |id: &u32| idle.iter().find(|(_, idle)| idle == id).map(|(since, _)| *since);
        ensure!(
            listed.len() == idle.len() && listed.iter().all(|id| since(id).is_some()),
            "C13: {backend:?} lists {listed:?} as idle, not {idle:?}"
        );
        ensure!(
            listed.windows(2).all(|pair| since(&pair[0]) >= since(&pair[1])),
            "C13: the idle connections of {backend:?} are not by recency"
        );
        ensure!(
            set.sound == (set.wanted && set.online() && !set.health.suspect),
            "C13: the soundness of {backend:?} is off"
        );
        ensure!(self.order.contains(&backend) == set.wanted, "C13: {backend:?} is in the wrong order");
        let withheld = set.health.suspect && set.health.suspect_out > 0 && self.sound_online > 0;
        let offered = set.wanted && !listed.is_empty() && !withheld;
        let bucket = offered.then(|| pick::bucket(set.counts.load(), set.share));
        ensure!(
            bucket == set.bucket,
            "C13: {backend:?} belongs in bucket {bucket:?}, is in {:?}",
            set.bucket
        );
        Ok(())
    }

    fn audit_slot(&self, id: SlotId, slot: &Slot) -> Result<(), String> {
        if self.life != Life::Running {
            return Ok(());
        }
        let due = self.due(id);
        let armed = self.slot_timers.of(id.0).is_some_and(|at| at <= due);
        let last_idle = matches!(slot.state, SlotState::Unclaimed { .. })
            && due <= self.now
            && (slot.check_queued || self.slot_timers.of(id.0).is_some());
        ensure!(due.is_never() || armed || last_idle, "C13: {id:?} is due at {due}, and no timer rings");
        ensure!(!slot.check_queued || self.overdue.contains(&id), "C13: {id:?} is not among the overdue");
        Ok(())
    }

    /// This state in canonical form.
    #[must_use]
    pub fn canonical(&self) -> Canonical {
        let mut backends = self.order.clone();
        let drains = self.sets.iter().filter(|(_, set)| !set.wanted);
        let mut drains: Vec<_> = drains.map(|(id, set)| (set.rank, BackendId(id))).collect();
        drains.sort_unstable();
        backends.extend(drains.into_iter().map(|(_, backend)| backend));
        let claims = self.queue.all();
        let mut words = Vec::with_capacity(64);
        let mut slots = Vec::new();
        for &backend in &backends {
            self.describe_set(backend, &backends, &mut words);
            self.describe_slots(backend, &claims, &mut words, &mut slots);
        }
        let place =
            |slot: SlotId| slots.iter().position(|&other| other == slot).map_or(u64::MAX, |at| at as u64);
        words.push(claims.len() as u64);
        for (_, ticket, standing) in &claims {
            let (tag, slot) = match *standing {
                Standing::Waiting => (0, 0),
                Standing::Revoked => (1, 0),
                Standing::Granted(slot) => (2, place(slot)),
                Standing::Acquiring(slot) => (3, place(slot)),
            };
            words.extend([tag, slot, self.left(ticket.deadline), u64::from(ticket.failures)]);
        }
        words.extend(self.overdue.iter().map(|&slot| place(slot)));
        words.extend(self.pick_order().into_iter().map(|backend| u64::from(backend.0)));
        words.push(self.life as u64);
        words.push(self.left(self.rebalance_at));
        words.push(nanos(self.patience.span));
        words.push(u64::from(self.patience.pressing));
        self.planned.describe(|at| self.left(at), &mut words);
        Canonical { words, slots, claims: claims.iter().map(|(claim, ..)| *claim).collect() }
    }

    fn describe_set(&self, backend: BackendId, all: &[BackendId], words: &mut Vec<u64>) {
        let set = self.sets.at(backend);
        let health = &set.health;
        let dialled_before = |other: &&BackendId| self.sets.at(**other).health.last_dial < health.last_dial;
        words.extend([
            set.rank,
            u64::from(set.wanted),
            u64::from(set.share),
            health.last_connect.map_or(2, u64::from),
            u64::from(health.failures.min(self.failures_that_matter())),
            self.left(health.next_attempt),
            all.iter().filter(dialled_before).count() as u64,
            u64::from(health.last_dial > self.patience.since_dial),
            u64::from(health.suspect),
            u64::from(health.swept),
            if health.suspect { self.left(self.forgiven_at(backend)) } else { 0 },
        ]);
    }

    fn describe_slots(
        &self,
        backend: BackendId,
        claims: &[(ClaimId, super::Ticket, Standing)],
        words: &mut Vec<u64>,
        order: &mut Vec<SlotId>,
    ) {
        let set = self.sets.at(backend);
        let idle = set.idle.collect(|id| self.slots.at(SlotId(id)).idle);
        let mut described: Vec<([u64; 9], SlotId)> = self
            .slots
            .iter()
            .filter(|(_, slot)| slot.backend == backend)
            .map(|(id, slot)| {
                let (since, claim) = match slot.state {
                    SlotState::Connecting { since } => (self.left(since.after(PATIENCE)), 0),
                    SlotState::Granted { claim, .. } | SlotState::Acquiring { claim, .. } => {
                        let place = claims.iter().position(|(other, ..)| *other == claim);
                        (0, place.map_or(u64::MAX, |at| at as u64))
                    }
                    SlotState::Unclaimed { .. } => {
                        (idle.iter().position(|&other| other == id).unwrap_or(0) as u64, 0)
                    }
                    SlotState::Checking { .. }
                    | SlotState::Recycling { .. }
                    | SlotState::Claimed
                    | SlotState::Aborting
                    | SlotState::Closing => (0, 0),
                };
                let early = !slot.proven && slot.connected_at != Timestamp::EPOCH;
                let description = [
                    slot.state.kind() as u64,
                    since,
                    claim,
                    self.left(self.due(SlotId(id))),
                    if early { self.left(slot.connected_at.after(EARLY)) } else { 0 },
                    u64::from(slot.dial > set.health.counted_dial),
                    u64::from(set.health.suspect && slot.suspicion == set.health.suspicion),
                    u64::from(slot.check_queued),
                    u64::from(matches!(slot.state, SlotState::Acquiring { impatient: true, .. })),
                ];
                (description, SlotId(id))
            })
            .collect();
        described.sort_unstable();
        words.push(described.len() as u64);
        for (description, slot) in described {
            words.extend(description);
            order.push(slot);
        }
    }

    /// The time left until `at`, 0 once it has passed.
    fn left(&self, at: Timestamp) -> u64 {
        if at.is_never() { u64::MAX } else { nanos(at.since(self.now)) }
    }

    /// More failures than this make the pause no longer.
    fn failures_that_matter(&self) -> u32 {
        let config = &self.policy.set_config;
        let ratio = nanos(config.max_connection_backoff).div_ceil(nanos(config.min_connection_backoff));
        ratio.checked_next_power_of_two().map_or(u64::BITS, u64::ilog2) + 1
    }
}
