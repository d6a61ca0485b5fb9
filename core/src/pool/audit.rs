//! Recounts everything that is derived (C13).

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::event::{BackendId, SlotId};
use super::pick::Scale;
use super::queue::Standing;
use super::set::SlotSet;
use super::slot::{Counts, Slot};
use super::{Life, PoolMachine, SlotState};

/// Fails an audit with a message.
macro_rules! ensure {
    ($holds:expr, $($message:tt)+) => {
        if !$holds {
            return Err(format!($($message)+));
        }
    };
}

/// What the slots of one backend add up to.
#[derive(Clone, Copy, Default)]
struct Recount {
    counts: Counts,
    idle: usize,
    suspect_out: u32,
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
        let recounts = self.recount();
        for (id, set) in self.sets.iter() {
            self.audit_set(BackendId(id), set, recounts[id as usize])?;
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
        // By address, whose comparison is cheap: most differ in it.
        let mut known: Vec<_> =
            self.sets.iter().map(|(_, set)| (set.backend.address, &set.backend.name)).collect();
        known.sort_unstable();
        let twice = known.windows(2).find(|pair| pair[0] == pair[1]);
        ensure!(twice.is_none(), "C13: {twice:?} is known twice");
        self.pick.audit(&self.sets)?;
        ensure!(
            self.order.is_sorted_by(|&one, &other| self.precedes(one, other)),
            "C13: the backends are out of order"
        );
        for (id, slot) in self.slots.iter() {
            self.audit_slot(SlotId(id), slot)?;
        }
        for (claim, _, standing) in self.queue.iter() {
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
        if self.life == Life::Running {
            self.audit_plan()?;
        }
        let idle_beside_waiting = self.queue.waiting() > 0 && !self.pick.is_empty();
        ensure!(
            self.life != Life::Running || !idle_beside_waiting,
            "C6: a claim waits beside an idle connection"
        );
        Ok(())
    }

    /// One look at each slot, for all backends together, by their numbers.
    fn recount(&self) -> Vec<Recount> {
        let numbers = self.sets.iter().map(|(id, _)| id as usize + 1).max().unwrap_or(0);
        let mut recounts = alloc::vec![Recount::default(); numbers];
        for (_, slot) in self.slots.iter() {
            let of = &mut recounts[slot.backend.0 as usize];
            of.counts.enter(slot.state.kind());
            of.idle += usize::from(matches!(slot.state, SlotState::Unclaimed { .. }));
            let health = &self.sets.at(slot.backend).health;
            let suspect = health.suspect && slot.suspicion == health.suspicion;
            of.suspect_out += u32::from(suspect && slot.state.kind().carries_load());
        }
        recounts
    }

    fn audit_set(&self, backend: BackendId, set: &SlotSet, recount: Recount) -> Result<(), String> {
        let Recount { counts, idle, suspect_out } = recount;
        ensure!(counts == set.counts, "C13: {backend:?} has {counts:?}, remembers {:?}", set.counts);
        ensure!(counts.total() <= self.max_count(), "C7: {backend:?} has {} slots", counts.total());
        ensure!(
            suspect_out == set.health.suspect_out,
            "C13: {backend:?} has {suspect_out} connections out under suspicion, remembers {}",
            set.health.suspect_out
        );
        let listed =
            || set.idle.iter(|id| self.slots.at(SlotId(id)).idle).map(|id| self.slots.at(SlotId(id)));
        let since = |slot: &Slot| {
            let SlotState::Unclaimed { since } = slot.state else { return None };
            (slot.backend == backend).then_some(since)
        };
        ensure!(
            listed().count() == idle && listed().all(|slot| since(slot).is_some()),
            "C13: {backend:?} does not list its {idle} idle connections"
        );
        ensure!(
            listed().is_sorted_by(|first, next| since(first) >= since(next)),
            "C13: the idle connections of {backend:?} are not by recency"
        );
        ensure!(
            set.sound == (set.wanted && set.online() && !set.health.suspect),
            "C13: the soundness of {backend:?} is off"
        );
        ensure!(self.order.contains(&backend) == set.wanted, "C13: {backend:?} is in the wrong order");
        ensure!(
            set.withholding == (set.wanted && set.withholds(self.sound_online)),
            "C13: {backend:?} withholds, or does not, unawares"
        );
        let offered = set.wanted && idle > 0 && !set.withholding;
        let bucket = offered.then(|| set.bucket_by_load());
        ensure!(
            set.scale == Scale::of(set.wish.share),
            "C13: the scale of {backend:?} is not that of its share"
        );
        ensure!(set.run <= set.wish.turns.saturating_sub(1), "C13: the turn of {backend:?} is too long");
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
}
