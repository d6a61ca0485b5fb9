//! What the contract says of claims: who is granted what, who is denied why, and who may wait.

use qorb_core::pool::{ClaimId, Denial, Pace, SlotId, Ticket};

use super::model::{ClaimModel, Granted, Place};
use super::{Shadow, ensure};
use crate::contract::{Plea, Supply};

impl Shadow {
    pub(super) fn grant(&mut self, claim: ClaimId, slot: SlotId, ticket: Ticket) -> Result<(), String> {
        ensure(!self.ended, || "C10: a grant after the end".to_owned())?;
        let (ClaimModel::Waiting(own) | ClaimModel::Asking(own)) = self.claim(claim) else {
            return Err(format!("C5: {claim:?} is granted but {:?}", self.claim(claim)));
        };
        let arrival = own.arrival;
        ensure(ticket.arrival == arrival, || format!("C12: {claim:?} lost its place in the order"))?;
        ensure(ticket == own, || format!("C5: {claim:?} has {own:?} and is granted {ticket:?}"))?;
        let tries = Pace::USUAL.acquire_tries;
        ensure(own.failures < tries, || format!("C5: {claim:?} is granted after its last try"))?;
        let first = self.waiting.first().copied().unwrap_or(arrival);
        ensure(first >= arrival, || format!("C12: {claim:?}, number {arrival}, overtakes number {first}"))?;
        let model = *self.model(slot)?;
        let wanted = self.backends[model.backend.0 as usize].wanted;
        ensure(model.running.is_none() && model.place == Place::Shelf && wanted, || {
            format!("C5: {slot:?} is granted but not at rest on a wanted backend: {model:?}")
        })?;
        let is_unbounded = ticket.failures == 0 && ticket.deadline <= self.now;
        self.model(slot)?.granted = Some(Granted { ticket, is_unbounded });
        if matches!(self.claim(claim), ClaimModel::Asking(_)) {
            self.becomes(claim, ClaimModel::Free);
            self.place(slot, Place::Claimer);
        } else {
            self.becomes(claim, ClaimModel::Granted(ticket, slot));
            self.place(slot, Place::Seat(claim));
        }
        Ok(())
    }

    pub(super) fn revoke(&mut self, claim: ClaimId, slot: SlotId) -> Result<(), String> {
        let place = self.model(slot)?.place;
        if place == (Place::Acquiring { claim, told: false, denied: false }) {
            self.place(slot, Place::Acquiring { claim, told: true, denied: false });
            return Ok(());
        }
        ensure(place == Place::Seat(claim), || format!("C5: {claim:?} loses {slot:?}, which is {place:?}"))?;
        self.place(slot, Place::Shelf);
        if let ClaimModel::Granted(ticket, _) = self.claim(claim) {
            self.becomes(claim, ClaimModel::Revoked(ticket));
        }
        Ok(())
    }

    pub(super) fn deny(&mut self, claim: ClaimId, denial: Denial) -> Result<(), String> {
        self.check_owed(claim)?;
        let right = match self.claim(claim) {
            ClaimModel::Asking(ticket) => {
                self.turned_away = !self.ended;
                self.answer(ticket, Some(self.without()), self.supply())
            }
            ClaimModel::Waiting(ticket) => {
                self.answer(ticket, None, self.supply_before.unwrap_or_else(|| self.supply()))
            }
            ClaimModel::Revoked(_) | ClaimModel::Acquiring if self.ended => Some(Denial::Terminated),
            other @ (ClaimModel::Free
            | ClaimModel::Granted(..)
            | ClaimModel::Revoked(_)
            | ClaimModel::Acquiring) => return Err(format!("C5: {claim:?} is denied but {other:?}")),
        };
        ensure(right == Some(denial), || format!("C5: {claim:?} is denied: {denial}; right is {right:?}"))?;
        if self.claim(claim) == ClaimModel::Acquiring {
            for model in self.slots.iter_mut().flatten() {
                if let Place::Acquiring { claim: of, denied, .. } = &mut model.place
                    && *of == claim
                {
                    *denied = true;
                }
            }
        }
        self.becomes(claim, ClaimModel::Free);
        Ok(())
    }

    /// Nobody waits who is to be told something else.
    pub(super) fn conclude_claims(&mut self) -> Result<(), String> {
        if let Some(claim) = self.asking.take()
            && let ClaimModel::Asking(ticket) = self.claim(claim)
        {
            // Those whose time was up had left by then; who was granted something besides is not told apart.
            let without = if self.is_due { self.without() } else { self.without_before };
            ensure(without < self.policy.max_waiting, || format!("C7: {claim:?} queues behind {without}"))?;
            self.becomes(claim, ClaimModel::Waiting(ticket));
        }
        let late = self.deadlines.first().filter(|(deadline, _)| *deadline <= self.now && !self.ended);
        ensure(late.is_none(), || format!("C5: {late:?} is over, and the claim of this number still waits"))?;
        let Some(claim) = self.failing.take() else { return Ok(()) };
        let tries = Pace::USUAL.acquire_tries;
        let last = matches!(self.claim(claim), ClaimModel::Waiting(ticket) if ticket.failures >= tries);
        ensure(!last, || format!("C5: {claim:?} waits after its last try"))
    }

    /// What a claim without a connection is to be told where there is this for it; `None` where it waits. One
    /// that queues first does so behind as many.
    fn answer(&self, ticket: Ticket, behind: Option<usize>, supply: Supply) -> Option<Denial> {
        // Whose time was up before the end came is told that.
        let before = self.is_ending && ticket.deadline <= self.now;
        if self.ended && !before {
            return Some(Denial::Terminated);
        }
        let is_crowded = behind.is_some_and(|without| without >= self.policy.max_waiting);
        let (now, tries) = (self.now, Pace::USUAL.acquire_tries);
        Plea { ticket, now, tries, is_crowded, supply }.answer()
    }

    pub(super) fn supply(&self) -> Supply {
        let wanted = |model: &&super::SlotModel| self.backends[model.backend.0 as usize].wanted;
        let slots = self.slots.iter().flatten().filter(wanted);
        let backends = self.backends.iter().filter(|of| of.wanted).count();
        Supply::of(backends, slots.map(|model| (model.running, model.place != Place::Away)))
    }

    /// The claim to which this slot's connection is being acquired, if it still has its id.
    pub(super) fn acquiring_for(&self, slot: SlotId) -> Option<ClaimId> {
        match self.known(slot)?.place {
            Place::Acquiring { claim, denied: false, .. } => Some(claim),
            Place::Acquiring { .. } | Place::Away | Place::Shelf | Place::Seat(_) | Place::Claimer => None,
        }
    }

    /// What this claim was granted, if anything, goes elsewhere.
    pub(super) fn leaves_seat(&mut self, claim: ClaimId, to: Place) {
        if let ClaimModel::Granted(_, slot) = self.claim(claim) {
            self.place(slot, to);
        }
    }

    pub(super) fn claim(&self, claim: ClaimId) -> ClaimModel {
        self.claims.get(claim.0 as usize).copied().unwrap_or_default()
    }

    pub(super) fn becomes(&mut self, claim: ClaimId, next: ClaimModel) {
        let index = claim.0 as usize;
        if index >= self.claims.len() {
            self.claims.resize(index + 1, ClaimModel::Free);
        }
        match std::mem::replace(&mut self.claims[index], next) {
            ClaimModel::Waiting(ticket) => {
                self.waiting.remove(&ticket.arrival);
                self.deadlines.remove(&(ticket.deadline, ticket.arrival));
            }
            ClaimModel::Revoked(_) => self.revoked -= 1,
            ClaimModel::Acquiring => self.acquiring -= 1,
            ClaimModel::Granted(..) => self.granted -= 1,
            ClaimModel::Free | ClaimModel::Asking(_) => {}
        }
        match next {
            ClaimModel::Waiting(ticket) => {
                self.waiting.insert(ticket.arrival);
                self.deadlines.insert((ticket.deadline, ticket.arrival));
            }
            ClaimModel::Revoked(_) => self.revoked += 1,
            ClaimModel::Acquiring => self.acquiring += 1,
            ClaimModel::Granted(..) => self.granted += 1,
            ClaimModel::Free | ClaimModel::Asking(_) => {}
        }
    }
}
