//! What can happen next: anything, or, when the world behaves, what ends well.

use qorb_core::pool::{ClaimId, Event, Failure, Return, SlotId};
use qorb_core::{Machine, Timestamp};

use super::{ClaimModel, Operation, Place, PoolWorld, SOMETIMES, SlotModel};
use crate::explore::Sometimes;

impl PoolWorld {
    /// Everything that can happen, so that a random walk can draw from it too.
    #[must_use]
    pub fn possible(&self) -> Vec<Event> {
        let mut events = Vec::new();
        if !self.ended {
            let every = (1 << self.size.backends) - 1;
            for published in 0..=every {
                let allowed = self.freedom.membership || (published == every && self.published == 0);
                if allowed && published != self.published {
                    events.push(Event::Backends(self.set(published)));
                }
            }
            if self.freedom.shutdown {
                events.push(Event::ShutDown);
            }
        }
        if self.outstanding() < self.size.claims
            && let Some(claim) = self.free_claim()
        {
            let timeout = self.machine.policy().claim_timeout;
            // The first claim is patient, so that C9 and C11 mean something; another may give up.
            let gives_up = claim.0 > 0 && self.freedom.deadlines;
            let deadline = if gives_up { self.now.after(timeout) } else { Timestamp::NEVER };
            events.push(Event::Claim { claim, deadline });
            events.push(Event::Claim { claim, deadline: self.now });
        }
        for (index, claim) in (0..).map(ClaimId).zip(&self.claims) {
            match claim {
                ClaimModel::Waiting(_) => events.push(Event::Cancelled(index)),
                ClaimModel::Granted(_) => events.extend([Event::Fetched(index), Event::Cancelled(index)]),
                ClaimModel::Revoked(_) => events.extend([Event::Resume(index), Event::Cancelled(index)]),
                ClaimModel::Free | ClaimModel::Asking(_) | ClaimModel::Acquiring => {}
            }
        }
        for (slot, model) in &self.slots {
            self.possible_of_slot(*slot, model, &mut events);
        }
        if self.machine.deadline().is_some() {
            events.push(Event::Tick);
        }
        events
    }

    fn possible_of_slot(&self, slot: SlotId, model: &SlotModel, events: &mut Vec<Event>) {
        match model.operation {
            Some((Operation::Close, _)) => events.push(Event::Closed(slot)),
            Some((operation, aborted)) => {
                let completed = |result| match operation {
                    Operation::Connect => Event::Connected(slot, result),
                    Operation::Check => Event::Checked(slot, result),
                    Operation::Recycle | Operation::Close => Event::Recycled(slot, result),
                };
                let failure = if aborted { Failure::Aborted } else { Failure::Error };
                events.extend([completed(Ok(())), completed(Err(failure))]);
            }
            None => {}
        }
        match model.place {
            Place::Claimer => {
                let hows = [Return::Intact, Return::Recycling, Return::Broken, Return::Detached];
                events.extend(hows.map(|how| Event::Returned(slot, how)));
            }
            Place::Fresh(ticket) => {
                let hows = [Return::Intact, Return::Recycling, Return::Broken, Return::Detached];
                events.extend(hows.map(|how| Event::Returned(slot, how)));
                if let Some(claim) = self.free_claim().filter(|_| self.freedom.acquire) {
                    let failure = Failure::Error;
                    events.push(Event::AcquirePending { slot, claim, ticket });
                    events.push(Event::AcquireFailed { slot, claim, ticket, failure });
                }
            }
            Place::Acquiring { denied: true, .. } => events.push(Event::Returned(slot, Return::Abandoned)),
            Place::Acquiring { claim, ticket, told, .. } => {
                events.push(Event::Returned(slot, Return::Abandoned));
                let failure = if told { Failure::TimedOut } else { Failure::Error };
                events.push(Event::AcquireFailed { slot, claim, ticket, failure });
                if !told {
                    events.push(Event::Acquired(slot));
                }
            }
            Place::Away | Place::Shelf | Place::Seat(..) => {}
        }
    }

    /// From here on the world behaves (`only`: that backend does, and the others answer nothing), and
    /// whoever waits without a deadline has to be served.
    pub(super) fn serves_everybody(mut self, only: Option<u16>) -> Result<(), String> {
        self.trusting = true;
        let rule = if only.is_some() { "C11" } else { "C9" };
        let mut ignored = Sometimes::new(SOMETIMES);
        if self.published == 0 {
            self.step(Event::Backends(self.set(1)), &mut ignored)?;
        }
        for _ in 0..200 {
            if self.waiting() == 0 {
                return Ok(());
            }
            let event = self.behaving(only);
            self.step(event, &mut ignored).map_err(|broken| format!("{broken} (while behaving)"))?;
        }
        Err(format!("{rule}: somebody waits for ever: {:?} {:?} behaving: {only:?}", self.claims, self.slots))
    }

    /// The next thing that happens when the world behaves: whatever can end well does, and only when
    /// nothing is left to end does time pass.
    fn behaving(&self, only: Option<u16>) -> Event {
        for (claim, model) in (0..).map(ClaimId).zip(&self.claims) {
            if matches!(model, ClaimModel::Granted(_)) {
                return Event::Fetched(claim);
            }
        }
        for (slot, model) in &self.slots {
            let slot = *slot;
            let answers = only.is_none_or(|only| self.bit(model.backend) == 1 << only);
            match (model.operation, model.place) {
                (Some((Operation::Close, _)), _) => return Event::Closed(slot),
                (Some((Operation::Connect, true)), _) => {
                    return Event::Connected(slot, Err(Failure::Aborted));
                }
                (Some((Operation::Check, true)), _) => return Event::Checked(slot, Err(Failure::Aborted)),
                (Some((Operation::Recycle, true)), _) => {
                    return Event::Recycled(slot, Err(Failure::Aborted));
                }
                (Some((Operation::Connect, _)), _) if answers => return Event::Connected(slot, Ok(())),
                (Some((Operation::Check, _)), _) if answers => return Event::Checked(slot, Ok(())),
                (Some((Operation::Recycle, _)), _) if answers => return Event::Recycled(slot, Ok(())),
                (_, Place::Fresh(_) | Place::Claimer) => return Event::Returned(slot, Return::Intact),
                (_, Place::Acquiring { denied: true, .. }) => {
                    return Event::Returned(slot, Return::Abandoned);
                }
                (_, Place::Acquiring { claim, ticket, told: true, .. }) => {
                    return Event::AcquireFailed { slot, claim, ticket, failure: Failure::TimedOut };
                }
                (_, Place::Acquiring { .. }) => return Event::Acquired(slot),
                (_, Place::Away | Place::Shelf | Place::Seat(..)) => {}
            }
        }
        Event::Tick
    }
}
