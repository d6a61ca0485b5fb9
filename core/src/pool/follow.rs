//! Following the plan: opening what is wanted, making room at the cap, shedding what is too much.
//!
//! A full plan is made when something about the backends or their slots has changed, when demand
//! outgrows the plan in force, and on the rebalance tick; not when a claim comes or goes.

use alloc::vec::Vec;
use core::time::Duration;

use super::event::{Action, BackendId, Note, SlotId, SlotKind};
use super::plan::{Candidate, Wish, plan};
use super::set::Standing;
use super::{PATIENCE, PoolMachine, SlotState};
use crate::time::Timestamp;

/// Connects under way at a time, over all backends.
const POOL_DIALS: u32 = 16;
/// Connects under way at a time, per backend.
const SET_DIALS: u32 = 8;
/// How long a returned connection may not be closed for a probe after another one was.
const PROBE_ROOM_PAUSE: Duration = Duration::from_secs(1);

/// What a slot is moved for at the cap.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Want {
    /// A probe that is due.
    Probe,
    /// A backend that is up and has less than its share.
    Share,
}

/// The plan in force and what is left to do about it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Planned {
    /// Something has changed that the plan rests on.
    pub(super) stale: bool,
    /// The rebalance tick asks for the next plan.
    pub(super) tick: bool,
    /// How many slots the plan divides.
    target: u32,
    /// Room was kept back from a spare that a claim might have.
    kept_back: bool,
    /// Connects under way to backends that are not up.
    probing: u32,
    /// Claims waited for room that probes take when the plan was made.
    pressed: bool,
    /// A backend that is untried or due is not being dialled.
    pub(super) undialled: bool,
    /// What a slot should be moved for.
    wants: Option<Want>,
    /// A slot was closed for a probe that has not begun.
    room_for_probe: bool,
    /// No returned connection is closed for a probe before this time.
    probe_room_after: Timestamp,
    /// When a probe that stands in the way has had its time.
    pub(super) again_at: Timestamp,
}

impl Planned {
    pub(super) const NOTHING: Self = Self {
        stale: false,
        tick: false,
        target: 0,
        kept_back: false,
        probing: 0,
        pressed: false,
        undialled: false,
        wants: None,
        room_for_probe: false,
        probe_room_after: Timestamp::EPOCH,
        again_at: Timestamp::NEVER,
    };
}

impl Planned {
    /// What matters of it, for the canonical form.
    pub(super) fn describe(&self, left: impl Fn(Timestamp) -> u64, words: &mut Vec<u64>) {
        let flags = [self.kept_back, self.stale, self.tick, self.pressed, self.undialled, self.room_for_probe];
        words.extend(flags.map(u64::from));
        words.extend([self.target, self.probing].map(u64::from));
        words.push(self.wants.map_or(0, |want| 1 + want as u64));
        words.extend([left(self.probe_room_after), left(self.again_at)]);
    }
}

impl PoolMachine {
    /// Makes and follows a new plan if the one in force no longer fits.
    pub(super) fn follow_plan(&mut self, out: &mut Vec<Action>) {
        let target = self.target();
        let pressed = self.planned.probing > 0 && self.queue.waiting() > 0 && self.room() == 0;
        let newly_pressed = pressed && !self.planned.pressed;
        self.planned.pressed &= pressed;
        let outgrown =
            target > self.planned.target || (self.planned.kept_back && self.queue.waiting() > 0);
        if self.planned.stale || outgrown || newly_pressed {
            self.plan_anew(target, out);
        } else if self.planned.wants.is_some() && self.may_move() && self.spare_idle() {
            self.move_idle(out);
        }
        if self.wanted.live() > target + self.planned.probing {
            self.arm_rebalance();
        }
    }

    /// Whether this returned connection's slot is the one to move; it is then closed.
    pub(super) fn takes_for_move(&mut self, slot: SlotId) -> bool {
        let Some(want) = self.planned.wants.filter(|_| self.may_move()) else { return false };
        match want {
            Want::Probe => {
                if self.now < self.planned.probe_room_after {
                    return false;
                }
                self.planned.probe_room_after = self.now.after(PROBE_ROOM_PAUSE);
                self.planned.room_for_probe = true;
            }
            Want::Share => {
                let set = self.sets.at(self.slots.at(slot).backend);
                if set.counts.live() <= set.share {
                    return false;
                }
            }
        }
        self.planned.wants = None;
        true
    }

    fn plan_anew(&mut self, target: u32, out: &mut Vec<Action>) {
        let order = core::mem::take(&mut self.order);
        let census: Vec<_> = order.iter().map(|&backend| self.candidate(backend)).collect();
        let wishes = plan(&census, target);
        let tick = core::mem::take(&mut self.planned.tick);
        out.push(Action::Note(Note::Planned { tick }));
        let planner = Planner { order: &order, wishes: &wishes, census: &census };
        for (&backend, wish) in order.iter().zip(&wishes) {
            self.sets.at_mut(backend).share = wish.share;
            self.refresh(backend);
        }
        self.planned.stale = false;
        self.planned.target = target;
        self.planned.kept_back = false;
        self.planned.wants = None;
        self.planned.again_at = Timestamp::NEVER;
        self.planned.probing = self.count_probing(&planner);
        self.open_for_claims(&planner, out);
        self.open_probes(&planner, out);
        self.open_spares(&planner, out);
        self.planned.probing = self.count_probing(&planner);
        self.shed(&planner, tick, out);
        self.planned.undialled = planner.leaves_undialled(self);
        self.planned.pressed = self.planned.probing > 0 && self.queue.waiting() > 0 && self.room() == 0;
        self.order = order;
        if self.planned.wants.is_some() && self.may_move() && self.spare_idle() {
            self.move_idle(out);
        }
        // Closing an idle connection makes the plan stale, but changes nothing that it rests on.
        self.planned.stale = false;
    }

    /// How many slots the pool wants: what is in use, one for each claim that waits, and the spares.
    fn target(&self) -> u32 {
        let spares = u32::try_from(self.policy.spares_wanted).unwrap_or(u32::MAX);
        let demand = self.demand().saturating_add(spares);
        demand.min(self.max_slots().saturating_sub(self.draining.total()))
    }

    /// Slots that are busy, and claims that wait for one.
    fn demand(&self) -> u32 {
        let waiting = self.queue.waiting();
        let checking = if waiting > 0 { self.wanted.of(SlotKind::Checking) } else { 0 };
        (self.wanted.load() + checking).saturating_add(waiting)
    }

    fn room(&self) -> u32 {
        self.max_slots().saturating_sub(self.total())
    }

    fn candidate(&mut self, backend: BackendId) -> Candidate {
        let max_count = self.max_count();
        let set = self.sets.at(backend);
        let pausing = set.health.next_attempt > self.now;
        let limit = if pausing { set.counts.live().min(max_count) } else { max_count };
        let candidate = Candidate { standing: set.standing(), limit };
        if pausing {
            self.set_timers.by(backend.0, self.sets.at(backend).health.next_attempt);
        }
        candidate
    }

    fn count_probing(&self, planner: &Planner<'_>) -> u32 {
        planner.not_up().map(|backend| self.sets.at(backend).counts.of(SlotKind::Connecting)).sum()
    }

    /// First comes what is busy and waiting, as far as backends that are up can take it. Probes that
    /// stand in the way of a backend that nothing speaks against give up their slots.
    fn open_for_claims(&mut self, planner: &Planner<'_>, out: &mut Vec<Action>) {
        let have: u32 = planner.up().map(|backend| self.sets.at(backend).counts.live()).sum();
        let mut missing = self.demand().saturating_sub(have);
        let kept = u32::from(self.planned.room_for_probe && planner.due_probe(self).is_some());
        while missing > 0 {
            let Some(backend) = planner.neediest(self) else { return };
            if self.room() <= kept || self.dialling() >= POOL_DIALS {
                if !self.sets.at(backend).health.suspect {
                    self.abort_probes(planner, missing, out);
                }
                return;
            }
            self.enter_connecting(backend, out);
            missing -= 1;
        }
    }

    /// Aborts up to `most` probes that have had their time, and looks again when the next one has.
    fn abort_probes(&mut self, planner: &Planner<'_>, most: u32, out: &mut Vec<Action>) {
        let under_way = self.total() - self.wanted.live() - self.draining.live();
        let mut left = most.saturating_sub(under_way);
        if self.planned.probing == 0 || left == 0 {
            return;
        }
        let probed: Vec<_> = planner.not_up().collect();
        let slots = self.slots.iter().filter(|(_, slot)| probed.contains(&slot.backend));
        let mut probes: Vec<_> = slots
            .filter_map(|(id, slot)| match slot.state {
                SlotState::Connecting { since } => Some((since.after(PATIENCE), SlotId(id))),
                SlotState::Unclaimed { .. }
                | SlotState::Checking { .. }
                | SlotState::Granted { .. }
                | SlotState::Acquiring { .. }
                | SlotState::Claimed
                | SlotState::Recycling { .. }
                | SlotState::Aborting
                | SlotState::Closing => None,
            })
            .collect();
        probes.sort_unstable();
        for (had_its_time, slot) in probes {
            if had_its_time > self.now {
                self.planned.again_at = had_its_time;
                return;
            }
            if left == 0 {
                return;
            }
            self.enter_aborting(slot, out);
            left -= 1;
        }
    }

    /// Then come probes: the untried first, then those dialled longest ago.
    fn open_probes(&mut self, planner: &Planner<'_>, out: &mut Vec<Action>) {
        while let Some(backend) = planner.due_probe(self) {
            if self.dialling() >= POOL_DIALS {
                return;
            }
            if self.room() == 0 {
                let free = self.planned.probing == 0;
                self.planned.wants = free.then_some(Want::Probe);
                return;
            }
            self.planned.room_for_probe = false;
            self.planned.probing += 1;
            self.enter_connecting(backend, out);
        }
        self.planned.room_for_probe = false;
    }

    /// Spares come last, and leave room for a probe while a backend is down.
    fn open_spares(&mut self, planner: &Planner<'_>, out: &mut Vec<Action>) {
        let probe_to_come =
            planner.probed().any(|backend| self.sets.at(backend).standing() == Standing::Down)
                && self.planned.probing == 0
                && self.wanted.connected() > 0;
        let kept = u32::from(probe_to_come && self.max_slots() > 1);
        while let Some(backend) = planner.neediest(self) {
            if self.room() == 0 {
                self.planned.wants = self.planned.wants.or(Some(Want::Share));
                return;
            }
            if self.room() <= kept {
                self.planned.kept_back = true;
                return;
            }
            if self.dialling() >= POOL_DIALS {
                return;
            }
            self.enter_connecting(backend, out);
        }
    }

    /// Whether a slot may be moved now: one at a time, never for the last connection, and only at the
    /// cap.
    fn may_move(&self) -> bool {
        let leaving = self.total() - self.wanted.live() - self.draining.live();
        let opening = self.dialling() - self.planned.probing.min(self.dialling());
        let connected = self.wanted.connected();
        leaving == 0 && opening == 0 && connected > 1 && self.room() == 0
    }

    /// Whether an idle connection can be spared: nobody waits and another one stays.
    fn spare_idle(&self) -> bool {
        self.queue.waiting() == 0 && self.wanted.of(SlotKind::Unclaimed) > 1
    }

    /// Closes an idle connection of the backend that is fullest relative to its share.
    fn move_idle(&mut self, out: &mut Vec<Action>) {
        let Some(want) = self.planned.wants else { return };
        let candidates = self.order.iter().filter_map(|&backend| {
            let set = self.sets.at(backend);
            let victim = set.idle.last().map(SlotId)?;
            let (live, share) = (set.counts.live(), set.share);
            (want == Want::Probe || live > share).then_some((victim, live, share))
        });
        // live / share, the larger first, compared without dividing.
        let fullest = candidates.reduce(|best, next| {
            let (of_best, of_next) =
                (u64::from(best.1) * u64::from(next.2), u64::from(next.1) * u64::from(best.2));
            if of_next > of_best { next } else { best }
        });
        if let Some((victim, ..)) = fullest {
            self.planned.room_for_probe = want == Want::Probe;
            self.planned.wants = None;
            self.enter_closing(victim, out);
        }
    }

    /// Sheds what is too much, on the tick: running connects first, then what is idle longest, but a
    /// working connection only once its replacement works. Before the tick it only sees to it that
    /// there will be one.
    fn shed(&mut self, planner: &Planner<'_>, tick: bool, out: &mut Vec<Action>) {
        let mut surplus = Vec::new();
        for (&backend, wish) in planner.order.iter().zip(planner.wishes) {
            let set = self.sets.at(backend);
            let share = if wish.probe { set.counts.live() } else { wish.share };
            if set.counts.live() > share {
                surplus.push((backend, set.counts.live() - share));
            }
        }
        if surplus.is_empty() {
            return;
        }
        if tick {
            self.shed_connects(&mut surplus, out);
            self.shed_idle(&mut surplus, out);
        }
        if surplus.iter().any(|&(_, excess)| excess > 0) {
            self.arm_rebalance();
        }
    }

    fn shed_connects(&mut self, surplus: &mut [(BackendId, u32)], out: &mut Vec<Action>) {
        let slots = self.slots.iter().filter(|(_, slot)| slot.state.kind() == SlotKind::Connecting);
        let connecting: Vec<_> = slots.map(|(slot, entry)| (SlotId(slot), entry.backend)).collect();
        for (slot, of) in connecting.into_iter().rev() {
            if let Some((_, excess)) =
                surplus.iter_mut().find(|(backend, excess)| *backend == of && *excess > 0)
            {
                *excess -= 1;
                self.enter_aborting(slot, out);
            }
        }
    }

    fn shed_idle(&mut self, surplus: &mut [(BackendId, u32)], out: &mut Vec<Action>) {
        while self.wanted.connected() > self.planned.target {
            let idle = surplus.iter_mut().filter(|(_, excess)| *excess > 0).filter_map(|entry| {
                let slot = SlotId(self.sets.at(entry.0).idle.last()?);
                let SlotState::Unclaimed { since } = self.slots.at(slot).state else { return None };
                Some((since, slot, entry))
            });
            let Some((_, slot, entry)) = idle.min_by_key(|(since, slot, _)| (*since, *slot)) else { return };
            entry.1 -= 1;
            self.enter_closing(slot, out);
        }
    }

    fn arm_rebalance(&mut self) {
        let next = self.now.after(self.policy.rebalance_interval);
        self.rebalance_at = self.rebalance_at.min(next);
    }

    fn dialling(&self) -> u32 {
        self.wanted.of(SlotKind::Connecting) + self.draining.of(SlotKind::Connecting)
    }
}

/// A plan being followed: backends in rendezvous order, what they were found to be, what is wished.
struct Planner<'plan> {
    order: &'plan [BackendId],
    census: &'plan [Candidate],
    wishes: &'plan [Wish],
}

impl Planner<'_> {
    fn up(&self) -> impl Iterator<Item = BackendId> {
        let entries = self.order.iter().zip(self.census);
        entries.filter(|(_, found)| found.standing == Standing::Up).map(|(&backend, _)| backend)
    }

    fn not_up(&self) -> impl Iterator<Item = BackendId> {
        let entries = self.order.iter().zip(self.census);
        entries.filter(|(_, found)| found.standing != Standing::Up).map(|(&backend, _)| backend)
    }

    fn probed(&self) -> impl Iterator<Item = BackendId> {
        let entries = self.order.iter().zip(self.wishes);
        entries.filter(|(_, wish)| wish.probe).map(|(&backend, _)| backend)
    }

    /// Whether there is a backend that is untried or due and is not being dialled.
    fn leaves_undialled(&self, pool: &PoolMachine) -> bool {
        self.order.iter().any(|&backend| {
            let set = pool.sets.at(backend);
            let dialled = set.counts.of(SlotKind::Connecting) > 0;
            set.standing() != Standing::Up && set.health.next_attempt <= pool.now && !dialled
        })
    }

    /// The backend that is up and furthest below its share.
    fn neediest(&self, pool: &PoolMachine) -> Option<BackendId> {
        let entries = self.order.iter().zip(self.wishes);
        let needy = entries.filter_map(|(&backend, wish)| {
            let set = pool.sets.at(backend);
            let missing = wish.share.checked_sub(set.counts.live()).filter(|&missing| missing > 0)?;
            let free = set.health.next_attempt <= pool.now
                && set.counts.of(SlotKind::Connecting) < SET_DIALS
                && set.counts.total() < pool.max_count();
            free.then_some((missing, backend))
        });
        needy.reduce(|best, next| if next.0 > best.0 { next } else { best }).map(|(_, backend)| backend)
    }

    /// The backend whose probe should begin next.
    fn due_probe(&self, pool: &PoolMachine) -> Option<BackendId> {
        let due = self.probed().filter(|&backend| {
            let set = pool.sets.at(backend);
            set.counts.of(SlotKind::Connecting) == 0
                && set.health.next_attempt <= pool.now
                && set.counts.total() < pool.max_count()
        });
        due.min_by_key(|&backend| {
            let set = pool.sets.at(backend);
            (set.standing() == Standing::Down, set.health.last_dial)
        })
    }
}
