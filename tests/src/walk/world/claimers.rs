//! What claimers do: they ask, wait, look away, walk off, hold on, and give back.

use std::cmp::Reverse;
use std::time::Duration;

use qorb_core::Timestamp;
use qorb_core::pool::{ClaimId, Event, Failure, Return, SlotId, Ticket};

use super::super::chances::{Manner, one_in};
use super::super::sights::Sight;
use super::{Due, Kind, PARKED, World};

/// How far a claimer is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::walk) enum Stage {
    Away,
    Waiting,
    Seated(SlotId),
    Revoked,
    /// Its `on_acquire` is pending; perhaps it was told to give up.
    Acquiring(SlotId, bool),
    Holding(SlotId),
}

/// Somebody who claims now and then. Its number is its claims' id.
#[derive(Clone, Copy, Debug)]
pub(in crate::walk) struct Claimer {
    pub(in crate::walk) stage: Stage,
    pub(super) ticket: Ticket,
    pub(super) number: u32,
    /// How often it got what it asked for.
    pub(in crate::walk) served: u32,
}

impl World<'_> {
    pub(super) fn wakes(&mut self, claimer: u32, after: Duration) {
        let number = &mut self.claimers[claimer as usize].number;
        *number = number.wrapping_add(1);
        let due = Due::Claimer(claimer, *number);
        self.due.push(Reverse((self.now.after(after), due)));
    }

    pub(super) fn goes_away(&mut self, claimer: u32) {
        self.claimers[claimer as usize].stage = Stage::Away;
        if self.calm.is_none() {
            let away = self.dice.up_to(self.chances.away);
            self.wakes(claimer, away);
        } else {
            let number = &mut self.claimers[claimer as usize].number;
            *number = number.wrapping_add(1);
        }
    }

    /// What this claimer does when its time has come.
    pub(super) fn act(&mut self, claimer: u32) -> Result<(), String> {
        let (claim, odds) = (ClaimId(claimer), self.chances.odds);
        match self.claimers[claimer as usize].stage {
            Stage::Away => {
                let deadline = if self.meets(Sight::Hasty, odds.hasty) {
                    self.now
                } else if self.meets(Sight::Patient, odds.patient) {
                    Timestamp::NEVER
                } else {
                    self.now.after(self.chances.policy.claim_timeout)
                };
                self.ask(claimer, deadline)?;
                if self.claimers[claimer as usize].stage == Stage::Waiting
                    && one_in(&mut self.dice, odds.abandons)
                {
                    let after = self.dice.up_to(self.chances.hold);
                    self.wakes(claimer, after);
                }
                Ok(())
            }
            Stage::Waiting => self.abandon(claimer),
            Stage::Seated(_) | Stage::Revoked
                if self.calm.is_none() && one_in(&mut self.dice, odds.abandons) =>
            {
                self.abandon(claimer)
            }
            Stage::Revoked => {
                self.claimers[claimer as usize].stage = Stage::Waiting;
                self.happen(Event::Resume(claim))
            }
            Stage::Seated(slot) => {
                self.claimers[claimer as usize].stage = Stage::Holding(slot);
                if self.meets(Sight::Unfetched, odds.skips_fetch) {
                    self.claimers[claimer as usize].served += 1;
                    return self.give_back(claimer, slot);
                }
                self.happen(Event::Fetched(claim))?;
                self.acquire(claimer)
            }
            Stage::Acquiring(slot, told) => self.acquired(claimer, slot, told),
            Stage::Holding(slot) => self.give_back(claimer, slot),
        }
    }

    /// Claims, and waits if it has to.
    pub(in crate::walk) fn ask(&mut self, claimer: u32, deadline: Timestamp) -> Result<(), String> {
        self.claimers[claimer as usize].stage = Stage::Waiting;
        self.happen(Event::Claim { claim: ClaimId(claimer), deadline })
    }

    fn abandon(&mut self, claimer: u32) -> Result<(), String> {
        self.sights.meet(Sight::Abandoned);
        self.goes_away(claimer);
        self.happen(Event::Cancelled(ClaimId(claimer)))
    }

    /// `on_acquire` is polled for the first time.
    pub(super) fn acquire(&mut self, claimer: u32) -> Result<(), String> {
        let Claimer { stage: Stage::Holding(slot), ticket, .. } = self.claimers[claimer as usize] else {
            return Ok(());
        };
        let claim = ClaimId(claimer);
        let calm = self.calm.is_some();
        if !calm && self.meets(Sight::Rejected, self.chances.odds.rejects) {
            self.claimers[claimer as usize].stage = Stage::Waiting;
            return self.happen(Event::AcquireFailed { slot, claim, ticket, failure: Failure::Error });
        }
        let manner = self.manner(self.operations[slot.0 as usize].backend);
        if !calm && self.meets(Sight::Pending, self.chances.odds.pends) {
            self.claimers[claimer as usize].stage = Stage::Acquiring(slot, false);
            let (after, _) = self.fate(Kind::Check, manner);
            self.wakes(claimer, after.unwrap_or(PARKED * 100));
            return self.happen(Event::AcquirePending { slot, claim, ticket });
        }
        self.holds(claimer);
        Ok(())
    }

    /// A pending `on_acquire` ends.
    fn acquired(&mut self, claimer: u32, slot: SlotId, told: bool) -> Result<(), String> {
        let (claim, ticket) = (ClaimId(claimer), self.claimers[claimer as usize].ticket);
        if self.machine_ended() || (!told && one_in(&mut self.dice, self.chances.odds.abandons)) {
            self.goes_away(claimer);
            return self.happen(Event::Returned(slot, Return::Abandoned));
        }
        if told || one_in(&mut self.dice, self.chances.odds.rejects) {
            let failure = if told { Failure::TimedOut } else { Failure::Error };
            self.claimers[claimer as usize].stage = Stage::Waiting;
            return self.happen(Event::AcquireFailed { slot, claim, ticket, failure });
        }
        self.claimers[claimer as usize].stage = Stage::Holding(slot);
        self.happen(Event::Acquired(slot))?;
        self.holds(claimer);
        Ok(())
    }

    fn holds(&mut self, claimer: u32) {
        self.claimers[claimer as usize].served += 1;
        let hold = self.dice.up_to(self.chances.hold);
        self.wakes(claimer, hold);
    }

    fn give_back(&mut self, claimer: u32, slot: SlotId) -> Result<(), String> {
        let odds = self.chances.odds;
        let manner = self.manner(self.operations[slot.0 as usize].backend);
        let broken = !matches!(manner, Manner::Works | Manner::Slow) && one_in(&mut self.dice, 2);
        let how = if self.calm.is_none() && (broken || one_in(&mut self.dice, odds.breaks)) {
            self.sights.meet(Sight::Broken);
            Return::Broken
        } else if self.meets(Sight::Detached, odds.detaches) {
            Return::Detached
        } else if self.meets(Sight::Recycled, odds.recycles) {
            Return::Recycling
        } else {
            Return::Intact
        };
        self.goes_away(claimer);
        self.happen(Event::Returned(slot, how))
    }
}
