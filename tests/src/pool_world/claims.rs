//! What the contract says of claims: who is granted what, who is denied why, and who may wait.

use qorb_core::pool::{ClaimId, Denial, Event, SlotId, Ticket};

use super::{ClaimModel, Place, PoolWorld, Seen, TURNED, ensure};
use crate::contract::{Plea, Supply};

impl PoolWorld {
    pub(super) fn waiting(&self) -> usize {
        self.claims.iter().filter(|claim| claim.waits().is_some()).count()
    }

    /// Claims without a connection.
    pub(super) fn without(&self) -> usize {
        self.waiting() + self.claims.iter().filter(|claim| matches!(claim, ClaimModel::Revoked(_))).count()
    }

    pub(super) fn perform_grant(
        &mut self,
        claim: ClaimId,
        slot: SlotId,
        ticket: Ticket,
        event: &Event,
        seen: &mut Seen,
    ) -> Result<(), String> {
        ensure(!self.ended, || "C10: a grant after the end".to_owned())?;
        let at_once = *event == Event::Claim { claim, deadline: ticket.deadline };
        let (ClaimModel::Waiting(own) | ClaimModel::Again(own) | ClaimModel::Asking(own)) =
            self.claims[claim.0 as usize]
        else {
            return Err(format!("C5: {claim:?} is granted but {:?}", self.claims[claim.0 as usize]));
        };
        let newcomer = matches!(self.claims[claim.0 as usize], ClaimModel::Waiting(_));
        let arrival = own.arrival;
        ensure(ticket.arrival == arrival, || format!("C12: {claim:?} lost its place in the order"))?;
        ensure(ticket == own, || format!("C5: {claim:?} has {own:?} and is granted {ticket:?}"))?;
        ensure(own.failures < self.size.tries, || format!("C5: {claim:?} is granted after its last try"))?;
        let overtakes = |other: &ClaimModel| other.waits().is_some_and(|before| before.arrival < arrival);
        ensure(!self.claims.iter().any(overtakes), || {
            format!("C12: {claim:?} overtakes somebody who waits")
        })?;
        let backend = self.slots[slot.0 as usize].ok_or("C5: a slot is granted that does not exist")?.backend;
        let wanted = self.wanted(backend);
        if self.machine.census().any(|of| of.backend.priority < self.machine.backend(backend).priority) {
            seen.see("a claim is granted by a tier behind the first");
        }
        let model = self.model(slot);
        ensure(model.running.is_none() && model.place == Place::Shelf && wanted, || {
            format!("C5: {slot:?} is granted but not at rest on a wanted backend: {model:?}")
        })?;
        if at_once {
            model.place = Place::Fresh(ticket);
            self.claims[claim.0 as usize] = ClaimModel::Free;
            seen.see("a claim is granted at once");
        } else {
            model.place = Place::Seat(claim, ticket);
            self.claims[claim.0 as usize] = ClaimModel::Granted(ticket);
            seen.see("a claim is granted after waiting");
            if matches!(event, Event::Resume(_)) {
                seen.see("a revoked claim resumes and is granted");
            }
            if self.probed == Some(slot) {
                seen.see("a claim is granted after a connect failed");
            }
            let is_new = |claim: &&ClaimModel| matches!(claim, ClaimModel::Waiting(_));
            if newcomer && self.claims.iter().any(|claim| is_new(&claim)) {
                seen.see("two newcomers wait, and the first is granted");
            }
        }
        Ok(())
    }

    pub(super) fn perform_revoke(
        &mut self,
        claim: ClaimId,
        slot: SlotId,
        seen: &mut Seen,
    ) -> Result<(), String> {
        let place = self.model(slot).place;
        if let Place::Acquiring { claim: of, ticket, told: false, denied: false } = place
            && of == claim
        {
            seen.see("on_acquire is told to give up");
            self.model(slot).place = Place::Acquiring { claim, ticket, told: true, denied: false };
            return Ok(());
        }
        ensure(matches!(place, Place::Seat(of, _) if of == claim), || {
            format!("C5: {claim:?} loses {slot:?}, which is {place:?}")
        })?;
        seen.see("a grant is revoked");
        self.model(slot).place = Place::Shelf;
        if let ClaimModel::Granted(ticket) = self.claims[claim.0 as usize] {
            self.claims[claim.0 as usize] = ClaimModel::Revoked(ticket);
        }
        Ok(())
    }

    pub(super) fn perform_deny(
        &mut self,
        claim: ClaimId,
        denial: Denial,
        event: &Event,
        seen: &mut Seen,
    ) -> Result<(), String> {
        let due = match self.claims[claim.0 as usize] {
            ClaimModel::Asking(ticket) => self.answer(ticket, Some(self.without())),
            ClaimModel::Waiting(ticket) | ClaimModel::Again(ticket) => self.answer(ticket, None),
            // Only the end, or its own return after its deadline, denies a claim that does not queue.
            ClaimModel::Revoked(_) | ClaimModel::Acquiring if self.ended => Some(Denial::Terminated),
            other @ (ClaimModel::Free
            | ClaimModel::Granted(_)
            | ClaimModel::Revoked(_)
            | ClaimModel::Acquiring) => return Err(format!("C5: {claim:?} is denied but {other:?}")),
        };
        ensure(due == Some(denial), || format!("C5: {claim:?} is denied: {denial}; right is {due:?}"))?;
        for slot in self.slots.iter_mut().flatten() {
            if let Place::Acquiring { claim: of, ticket, told, denied: false } = slot.place
                && of == claim
            {
                slot.place = Place::Acquiring { claim, ticket, told, denied: true };
            }
        }
        self.turned_away |= matches!(self.claims[claim.0 as usize], ClaimModel::Asking(_)) && !self.ended;
        self.claims[claim.0 as usize] = ClaimModel::Free;
        let reason = match denial {
            Denial::NoBackends => "a claim is denied for want of backends",
            Denial::NoBackendsOnline => "a claim is denied for want of a connection",
            Denial::AllClaimsUsed { checking: 0 } => "a claim is denied for others that use all",
            Denial::AllClaimsUsed { .. } => "a claim is denied while a connection is checked",
            Denial::TooManyWaiting => "a claim is denied for too many waiting",
            Denial::AcquireFailed => "a claim is denied for on_acquire",
            Denial::Terminated if *event == Event::ShutDown => "shutdown denies a waiting claim",
            Denial::Terminated => "a claim comes after the end",
        };
        seen.see(reason);
        Ok(())
    }

    /// Nobody waits who is to be told something else.
    pub(super) fn conclude_claims(&mut self, without_before: usize) -> Result<(), String> {
        for index in 0..self.claims.len() {
            let (ticket, behind, then) = match self.claims[index] {
                ClaimModel::Asking(ticket) => (ticket, Some(without_before), ClaimModel::Waiting(ticket)),
                waiting @ (ClaimModel::Waiting(ticket) | ClaimModel::Again(ticket)) => {
                    (ticket, None, waiting)
                }
                ClaimModel::Free
                | ClaimModel::Granted(_)
                | ClaimModel::Revoked(_)
                | ClaimModel::Acquiring => continue,
            };
            match self.answer(ticket, behind) {
                None => self.claims[index] = then,
                Some(Denial::Terminated) => return Err(format!("C10: c{index} waits after the end")),
                Some(Denial::TooManyWaiting) => {
                    return Err(format!("C7: c{index} queues behind {without_before}"));
                }
                Some(denial) => return Err(format!("C5: c{index} waits; right is {denial}")),
            }
        }
        Ok(())
    }

    /// What a claim without a connection is to be told; `None` where it waits. One that queues first does so
    /// behind as many.
    fn answer(&self, ticket: Ticket, behind: Option<usize>) -> Option<Denial> {
        if self.ended {
            return Some(Denial::Terminated);
        }
        let is_crowded = behind.is_some_and(|without| without >= self.machine.policy().max_waiting);
        let (now, tries, supply) = (self.now, self.size.tries, self.supply());
        Plea { ticket, now, tries, is_crowded, supply }.answer()
    }

    fn supply(&self) -> Supply {
        let wanted = self.slots.iter().flatten().filter(|slot| self.wanted(slot.backend));
        let backends = (self.published & !TURNED).count_ones() as usize;
        Supply::of(backends, wanted.map(|slot| (slot.running, slot.place.is_there())))
    }
}
