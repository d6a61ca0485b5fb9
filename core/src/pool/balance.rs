//! Balance: making room at the cap by moving one slot at a time, and shedding what is too much.

use alloc::vec::Vec;

use super::event::{Action, BackendId, SlotId, SlotKind};
use super::follow::Found;
use super::set::Standing;
use super::{PoolMachine, SlotState};
use crate::time::Timestamp;

/// What a slot is moved for at the cap.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub(super) enum Want {
    /// A probe that is due.
    Probe,
    /// A backend that is up and has less than its share.
    Share,
}

impl PoolMachine {
    /// Whether this returned connection's slot is the one to move; it is then closed.
    pub(super) fn takes_for_move(&mut self, slot: SlotId) -> bool {
        let Some(want) = self.planned.wants.filter(|_| self.may_move()) else { return false };
        match want {
            Want::Probe => {
                if self.now < self.planned.probe_room_after {
                    return false;
                }
                self.planned.probe_room_after = self.now.after(self.pace.probe_room_pause);
                self.planned.room_for_probe = true;
            }
            Want::Share => {
                let set = self.sets.at(self.slots.at(slot).backend);
                if set.counts.live() <= set.wish.share {
                    return false;
                }
            }
        }
        self.planned.wants = None;
        true
    }

    /// Whether a slot may be moved now: one at a time, never for the last connection, and only at the
    /// cap.
    pub(super) fn may_move(&self) -> bool {
        let opening = self.dialling() - self.planned.probing.min(self.dialling());
        let connected = self.wanted.connected();
        self.leaving() == 0 && opening == 0 && connected > 1 && self.room() == 0
    }

    /// Whether an idle connection can be spared: nobody waits and another one stays.
    pub(super) fn spare_idle(&self) -> bool {
        self.queue.waiting() == 0 && self.wanted.of(SlotKind::Unclaimed) > 1
    }

    /// Closes an idle connection of the backend that is fullest relative to its share.
    pub(super) fn move_idle(&mut self, out: &mut Vec<Action>) {
        let Some(want) = self.planned.wants else { return };
        let candidates = self.order.iter().filter_map(|&backend| {
            let set = self.sets.at(backend);
            let victim = set.idle.last().map(SlotId)?;
            let (live, share) = (set.counts.live(), set.wish.share);
            (want == Want::Probe || live > share).then_some((victim, live, share))
        });
        // live / share, the larger first, compared without dividing.
        let fullest = candidates.reduce(|best, next| {
            let (of_best, of_next) =
                (u64::from(best.1) * u64::from(next.2), u64::from(next.1) * u64::from(best.2));
            if of_next > of_best { next } else { best }
        });
        self.planned.searched = fullest.is_none();
        if let Some((victim, ..)) = fullest {
            self.planned.room_for_probe = want == Want::Probe;
            self.planned.wants = None;
            self.enter_closing(victim, out);
        }
    }

    /// Sheds what is too much, on the tick: running connects first, then what is idle longest, but a
    /// working connection only once its replacement works, and of the connects that claims wait for only
    /// as many as are `unneeded`. Before the tick, where that is none, it only sees to it that there will be
    /// one. What tiers beyond the `open` ones have left is no concern of the tick's.
    pub(super) fn shed(&mut self, census: &[Found], unneeded: Option<u32>, open: u16, out: &mut Vec<Action>) {
        let (mut surplus, mut closed) = (Vec::new(), Vec::new());
        let (mut shared, mut replaced) = (0, self.planned.target);
        for found in census.iter().filter(|found| !found.candidate.wish.probe) {
            let share = found.candidate.wish.share;
            shared += share;
            if found.candidate.tier > open {
                replaced += found.live - found.connecting;
                closed.extend((found.live > 0).then_some((found.backend, found.live)));
            } else if found.live > share {
                surplus.push((found.backend, found.live - share));
            }
        }
        if let Some(unneeded) = unneeded {
            self.shed_connects(&mut surplus, unneeded, out);
            self.shed_idle(&mut surplus, replaced, out);
        }
        if surplus.iter().any(|&(_, excess)| excess > 0) {
            self.arm_rebalance();
        }
        self.close_tiers(&mut closed, shared, out);
    }

    /// Gives up what tiers have left that are closed, once they have been for long enough; what is in use
    /// then gets as long again. The delay is half fixed and half drawn, so that backends that come and go
    /// cost no connections, and pools that share them do not move together.
    fn close_tiers(&mut self, closed: &mut [(BackendId, u32)], shared: u32, out: &mut Vec<Action>) {
        if core::mem::take(&mut self.planned.closing) {
            self.shed_connects(closed, u32::MAX, out);
            self.shed_idle(closed, shared, out);
        }
        if closed.iter().all(|&(_, left)| left == 0) {
            self.planned.closes_at = Timestamp::NEVER;
        } else if self.planned.closes_at.is_never() {
            let half = self.policy.rebalance_interval / 2;
            let drawn = self.tier_dice.up_to(half);
            // The fixed half is the larger one, lest nothing be left of a nanosecond.
            self.planned.closes_at = self.now.after(self.policy.rebalance_interval - half).after(drawn);
        }
    }

    /// Gives up connects, but only so many to backends that are up as are `unneeded`.
    fn shed_connects(&mut self, surplus: &mut [(BackendId, u32)], mut unneeded: u32, out: &mut Vec<Action>) {
        let slots = self.slots.iter().filter(|(_, slot)| slot.state.kind() == SlotKind::Connecting);
        let connecting: Vec<_> = slots.map(|(slot, entry)| (SlotId(slot), entry.backend)).collect();
        for (slot, of) in connecting.into_iter().rev() {
            if let Some((_, excess)) =
                surplus.iter_mut().find(|(backend, excess)| *backend == of && *excess > 0)
            {
                if self.sets.at(of).standing() == Standing::Up {
                    if unneeded == 0 {
                        continue;
                    }
                    unneeded -= 1;
                }
                *excess -= 1;
                self.enter_aborting(slot, out);
            }
        }
    }

    /// Closes idle connections while there are more than `kept`.
    fn shed_idle(&mut self, surplus: &mut [(BackendId, u32)], kept: u32, out: &mut Vec<Action>) {
        while self.wanted.connected() > kept {
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

    pub(super) fn arm_rebalance(&mut self) {
        let next = self.now.after(self.policy.rebalance_interval);
        self.rebalance_at = self.rebalance_at.min(next);
    }
}
