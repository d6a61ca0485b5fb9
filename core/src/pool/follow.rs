//! Following the plan: opening what it wants, in order of urgency.
//!
//! A full plan is made when something about the backends or their slots has changed, when demand
//! outgrows the plan in force, and on the rebalance tick; not when a claim comes or goes.

use alloc::vec::Vec;

use super::balance::Want;
use super::event::{Action, BackendId, Note, SlotId, SlotKind};
use super::plan::{Candidate, Wish, heft, plan};
use super::set::Standing;
use super::{PoolMachine, SlotState};
use crate::digest::Digest;
use crate::time::Timestamp;

/// Connects under way at a time, over all backends.
pub(super) const POOL_DIALS: u32 = 16;
/// Connects under way at a time, per backend.
pub(super) const SET_DIALS: u32 = 8;

/// The plan in force and what is left to do about it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub(super) struct Planned {
    /// Something has changed that the plan rests on.
    pub(super) stale: bool,
    /// The rebalance tick asks for the next plan.
    pub(super) tick: bool,
    /// How many slots the plan divides.
    pub(super) target: u32,
    /// Room was kept back from a spare at this demand: the next claim may have it.
    pub(super) kept_back: Option<u32>,
    /// Connects under way to backends that are not up.
    pub(super) probing: u32,
    /// Claims waited for room that probes take when the plan was made.
    pressed: bool,
    /// A backend without a slot of use may be dialled, and is not.
    pub(super) undialled: bool,
    /// Everything that the plan wants was opened, as far as backends may be dialled, and nothing ended.
    pub(super) content: bool,
    /// The pause of this backend is over, and the plan wants it probed.
    pub(super) probe_due: Option<BackendId>,
    /// What a slot should be moved for.
    pub(super) wants: Option<Want>,
    /// No idle connection was found that could be moved, and none has come to rest since.
    pub(super) searched: bool,
    /// A slot was closed for a probe that has not begun.
    pub(super) room_for_probe: bool,
    /// No returned connection is closed for a probe before this time.
    pub(super) probe_room_after: Timestamp,
    /// When a probe that stands in the way has had its time.
    pub(super) again_at: Timestamp,
    /// When connections of tiers that are closed are given up; never while there are none.
    pub(super) closes_at: Timestamp,
    /// That time has come.
    pub(super) closing: bool,
}

impl Planned {
    pub(super) const NOTHING: Self = Self {
        stale: false,
        tick: false,
        target: 0,
        kept_back: None,
        probing: 0,
        pressed: false,
        undialled: false,
        content: false,
        probe_due: None,
        wants: None,
        searched: false,
        room_for_probe: false,
        probe_room_after: Timestamp::EPOCH,
        again_at: Timestamp::NEVER,
        closes_at: Timestamp::NEVER,
        closing: false,
    };

    /// What matters of it between two events: what is `stale` or asked for by a tick is planned by then.
    pub(super) fn describe(&self, presses: bool, left: impl Fn(Timestamp) -> u64, digest: &mut Digest) {
        let flags = [
            self.pressed,
            self.content,
            presses && self.undialled,
            self.room_for_probe,
            self.wants.is_some() && self.searched,
        ];
        let flags = flags.into_iter().fold(0, |packed, flag| packed << 1 | u64::from(flag));
        digest.push(flags << 8 | self.wants.map_or(0, |want| 1 + want as u64));
        digest.push(u64::from(self.target) << 32 | u64::from(self.probing));
        digest.push(self.kept_back.map_or(0, |demand| 1 + u64::from(demand)));
        digest.push(left(self.probe_room_after));
        digest.push(left(self.again_at));
        digest.push(left(self.closes_at));
    }
}

impl PoolMachine {
    /// Makes and follows a new plan if the one in force no longer fits.
    pub(super) fn follow_plan(&mut self, out: &mut Vec<Action>) {
        let target = self.target();
        let pressed = self.presses_for_room();
        let newly_pressed = pressed && !self.planned.pressed;
        self.planned.pressed &= pressed;
        let kept_back = self.planned.kept_back.is_some_and(|demand| self.demand() > demand);
        let outgrown = target > self.planned.target || kept_back;
        let probe = self.planned.probe_due.take();
        if self.planned.stale || outgrown || newly_pressed {
            self.plan_anew(target, out);
        } else if let Some(backend) = probe {
            self.probe(backend, target, out);
        } else if self.planned.wants.is_some()
            && !self.planned.searched
            && self.may_move()
            && self.spare_idle()
        {
            self.move_idle(out);
        }
        // What was closed or aborted on the way, and what follows from that, makes the plan stale once it has ended.
        self.planned.stale = false;
        if self.wanted.live() > target.saturating_add(self.planned.probing) {
            self.arm_rebalance();
        }
    }

    fn plan_anew(&mut self, target: u32, out: &mut Vec<Action>) {
        let mut census: Vec<_> = self.order.iter().map(|&backend| self.find(backend)).collect();
        let open = plan(&mut census, target);
        let tick = core::mem::take(&mut self.planned.tick);
        out.push(Action::Note(Note::Planned { tick }));
        for found in &census {
            let set = self.sets.at_mut(found.backend);
            let before = set.wish;
            set.wish_for(found.candidate.wish);
            if before.turns != set.wish.turns {
                set.run = 0;
            }
            if (before.share, before.turns) != (set.wish.share, set.wish.turns) {
                self.refresh(found.backend);
            }
        }
        self.planned.target = target;
        self.planned.kept_back = None;
        self.planned.wants = None;
        self.planned.searched = false;
        self.planned.again_at = Timestamp::NEVER;
        self.planned.probing = census.iter().map(Found::probing).sum();
        let leaving = self.leaving();
        let unneeded = self.open_for_claims(&mut census, open, out);
        self.open_probes(&mut census, out);
        self.open_spares(&mut census, out);
        self.shed(&census, tick.then_some(unneeded), open, out);
        self.planned.undialled = census.iter().any(Found::is_undialled);
        self.planned.content = self.leaving() == leaving && !census.iter().any(Found::is_wanting);
        self.planned.pressed = self.presses_for_room();
        if self.planned.wants.is_some() && self.may_move() && self.spare_idle() {
            self.move_idle(out);
        }
    }

    /// Whether claims wait for room that probes take.
    fn presses_for_room(&self) -> bool {
        self.planned.probing > 0 && self.queue.waiting() > 0 && self.room() == 0
    }

    /// A slot of this backend ended, or is on its way out. One that was down before takes no share, so that
    /// while it stays down and pauses, the plan wishes the same; and while everything is open that the plan
    /// wants, nobody has a use for the room or the turn to connect that this may have freed.
    pub(super) fn slot_ended(&mut self, backend: BackendId, before: Standing) {
        let set = self.sets.at(backend);
        let down = before == Standing::Down && set.standing() == Standing::Down;
        let same = set.wanted && down && set.health.pauses(self.now);
        self.planned.stale |= !(same && self.planned.content);
    }

    /// The pause of a backend is over. If it is down, the plan knows already whether it wants it probed.
    pub(super) fn pause_over(&mut self, backend: BackendId) {
        let set = self.sets.at(backend);
        let same = set.wanted && set.standing() == Standing::Down && set.counts.of(SlotKind::Connecting) == 0;
        if !(same && self.planned.content) || (set.wish.probe && self.planned.probe_due.is_some()) {
            self.planned.stale = true;
        } else if set.wish.probe {
            self.planned.probe_due = Some(backend);
        } else {
            self.planned.undialled = true;
        }
    }

    /// What the plan in force rests on and wishes, found again (C13). Only where it is content: otherwise
    /// whatever changes makes a new one. And whatever it is, no claim waits for nothing (C11).
    pub(super) fn audit_plan(&self) -> Result<(), &'static str> {
        // One place and one turn to connect may be kept for a probe.
        let may_dial = self.leaving() == 0 && self.room() > 1 && self.dialling() + 1 < POOL_DIALS;
        let waits = self.queue.waiting() > 0 && may_dial;
        if !(self.planned.content || waits) {
            return Ok(());
        }
        let mut census: Vec<_> = self.order.iter().map(|&backend| self.find(backend)).collect();
        let open = plan(&mut census, self.planned.target);
        let works = |found: &Found| found.candidate.standing == Standing::Up && !found.withholds;
        let mut working = census.iter().filter(|found| found.candidate.tier <= open && works(found));
        let dialled = working.clone().any(|found| found.connecting > 0);
        if waits && !dialled && working.any(|found| !found.candidate.pausing && found.places > 0) {
            return Err("C11: a claim waits, and no backend that works is dialled for it");
        }
        if !self.planned.content {
            return Ok(());
        }
        if census.iter().any(|found| found.candidate.wish != self.sets.at(found.backend).wish) {
            return Err("C13: a new plan would wish something else");
        }
        if census.iter().any(Found::is_wanting) {
            return Err("C13: the plan wants what it did not open");
        }
        if self.planned.probing != census.iter().map(Found::probing).sum::<u32>() {
            return Err("C13: the count of probes is off");
        }
        if self.planned.undialled != census.iter().any(Found::is_undialled) {
            return Err("C13: the plan is wrong about what is not being dialled");
        }
        Ok(())
    }

    /// Probes the one backend for which the plan is not followed yet.
    fn probe(&mut self, backend: BackendId, target: u32, out: &mut Vec<Action>) {
        let mut found = self.find(backend);
        found.candidate.wish.probe = true;
        if !found.wants_probe() || self.dialling() >= POOL_DIALS || self.room() == 0 {
            return self.plan_anew(target, out);
        }
        self.planned.room_for_probe = false;
        self.planned.probing += 1;
        self.dial(&mut found, out);
        self.planned.pressed = self.presses_for_room();
    }

    /// How many slots the pool wants: what is in use, one for each claim that waits, and the spares.
    fn target(&self) -> u32 {
        let demand = self.demand().saturating_add(self.spares());
        demand.min(self.max_slots().saturating_sub(self.draining.total()))
    }

    /// Slots that are busy, and claims that wait for one. What is checked while they wait is busy to them, and so
    /// is what rests: they may not have it, for it is a suspect's (C6).
    fn demand(&self) -> u32 {
        let waiting = self.queue.waiting();
        let useless = self.wanted.of(SlotKind::Checking) + self.wanted.of(SlotKind::Unclaimed);
        let busy = self.wanted.load() + if waiting > 0 { useless } else { 0 };
        busy.saturating_add(waiting)
    }

    pub(super) fn room(&self) -> u32 {
        self.max_slots().saturating_sub(self.total())
    }

    pub(super) fn dialling(&self) -> u32 {
        self.wanted.of(SlotKind::Connecting) + self.draining.of(SlotKind::Connecting)
    }

    /// Slots on their way out.
    pub(super) fn leaving(&self) -> u32 {
        self.total() - self.wanted.live() - self.draining.live()
    }

    pub(super) fn find(&self, backend: BackendId) -> Found {
        let max_count = self.max_count();
        let set = self.sets.at(backend);
        let (live, connecting) = (set.counts.live(), set.counts.of(SlotKind::Connecting));
        // A suspect that may give nothing is not dialled either, and what is on its way to it is of no use.
        let pausing = set.health.pauses(self.now) || set.withholding;
        let useful = if set.withholding { live - connecting } else { live };
        Found {
            backend,
            candidate: Candidate {
                tier: set.backend.priority,
                heft: heft(set.backend.weight),
                standing: set.standing(),
                pausing,
                limit: if pausing { useful.min(max_count) } else { max_count },
                wish: Wish::default(),
            },
            live,
            connecting,
            withholds: set.withholding,
            places: max_count.saturating_sub(set.counts.total()),
            last_dial: set.health.last_dial,
        }
    }

    fn dial(&mut self, found: &mut Found, out: &mut Vec<Action>) {
        found.live += 1;
        found.connecting += 1;
        found.places -= 1;
        self.enter_connecting(found.backend, out);
    }

    /// First comes what is busy and waiting, as far as backends that are up can take it; their connects
    /// leave one place for a probe, lest backends that are up but answer nothing take them all for ever.
    /// Connects of tiers that are closed do not count: they are given up before long. Nor do those whose
    /// connections may not be given. Probes that stand in the way of a backend that nothing speaks against give
    /// up their slots.
    ///
    /// Says how many there are more than that takes.
    fn open_for_claims(&mut self, census: &mut [Found], open: u16, out: &mut Vec<Action>) -> u32 {
        let up = census.iter().filter(|found| found.candidate.standing == Standing::Up);
        let is_useless = |found: &Found| found.candidate.tier > open || found.withholds;
        let have: u32 = up.map(|of| if is_useless(of) { of.live - of.connecting } else { of.live }).sum();
        let demand = self.demand();
        let mut missing = demand.saturating_sub(have);
        let probe = census.iter().any(Found::wants_probe);
        let kept = u32::from(self.planned.room_for_probe && probe);
        let dials = POOL_DIALS - u32::from(self.planned.probing == 0 && probe);
        while missing > 0 {
            let Some(found) = neediest(census) else { break };
            if self.room() <= kept || self.dialling() >= dials {
                if !self.sets.at(found.backend).health.suspect {
                    self.abort_probes(missing, out);
                }
                break;
            }
            self.dial(found, out);
            missing -= 1;
        }
        have.saturating_sub(demand)
    }

    /// Aborts up to `most` probes that have had their time, and looks again when the next one has.
    fn abort_probes(&mut self, most: u32, out: &mut Vec<Action>) {
        let mut left = most.saturating_sub(self.leaving());
        if self.planned.probing == 0 || left == 0 {
            return;
        }
        let mut probes = Vec::new();
        for (id, slot) in self.slots.iter() {
            let set = self.sets.at(slot.backend);
            if let SlotState::Connecting { since } = slot.state
                && set.wanted
                && set.standing() != Standing::Up
            {
                probes.push((since.after(self.pace.patience), SlotId(id)));
            }
        }
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
    fn open_probes(&mut self, census: &mut [Found], out: &mut Vec<Action>) {
        let mut due: Vec<_> = census.iter_mut().filter(|found| found.wants_probe()).collect();
        due.sort_by_key(|found| (found.candidate.standing == Standing::Down, found.last_dial));
        for found in due {
            if self.dialling() >= POOL_DIALS {
                return;
            }
            if self.room() == 0 {
                self.planned.wants = (self.planned.probing == 0).then_some(Want::Probe);
                return;
            }
            self.planned.room_for_probe = false;
            self.planned.probing += 1;
            self.dial(found, out);
        }
        self.planned.room_for_probe = false;
    }

    /// Spares come last, and leave room for a probe while a backend is down.
    fn open_spares(&mut self, census: &mut [Found], out: &mut Vec<Action>) {
        let down = |found: &Found| found.candidate.wish.probe && found.candidate.standing == Standing::Down;
        let alone = self.planned.probing == 0 && self.wanted.connected() > 0 && self.max_slots() > 1;
        let kept = u32::from(alone && census.iter().any(down));
        while let Some(found) = neediest(census) {
            if self.room() == 0 {
                self.planned.wants = self.planned.wants.or(Some(Want::Share));
                return;
            }
            if self.room() <= kept {
                self.planned.kept_back = Some(self.demand());
                return;
            }
            if self.dialling() >= POOL_DIALS {
                return;
            }
            self.dial(found, out);
        }
    }
}

/// What a plan found of a backend, and wishes for it; kept true while the plan is followed.
pub(super) struct Found {
    pub(super) backend: BackendId,
    pub(super) candidate: Candidate,
    /// Slots that are not on their way out.
    pub(super) live: u32,
    pub(super) connecting: u32,
    /// Its connections may not be given to those who wait.
    withholds: bool,
    /// How many more slots it may have.
    pub(super) places: u32,
    last_dial: u64,
}

impl Found {
    /// Connects to it that are probes.
    fn probing(&self) -> u32 {
        if self.candidate.standing == Standing::Up { 0 } else { self.connecting }
    }

    /// A probe of it is due and not running.
    fn wants_probe(&self) -> bool {
        self.candidate.wish.probe && self.connecting == 0 && !self.candidate.pausing && self.places > 0
    }

    /// It has no slot of use, and is not being dialled though it may be.
    fn is_undialled(&self) -> bool {
        !self.candidate.pausing && self.live == 0
    }

    /// It ought to be dialled, and may be.
    fn is_wanting(&self) -> bool {
        self.wants_probe() || self.lacks() > 0
    }

    /// How many slots it lacks that it may open now.
    fn lacks(&self) -> u32 {
        let free = !self.candidate.pausing && self.places > 0 && self.connecting < SET_DIALS;
        if free { self.candidate.wish.share.saturating_sub(self.live) } else { 0 }
    }
}

impl AsMut<Candidate> for Found {
    fn as_mut(&mut self) -> &mut Candidate {
        &mut self.candidate
    }
}

/// The backend that is up and furthest below its share; the first in order among equals.
fn neediest(census: &mut [Found]) -> Option<&mut Found> {
    let lacking = census.iter_mut().filter(|found| found.lacks() > 0);
    lacking.reduce(|best, next| if next.lacks() > best.lacks() { next } else { best })
}
