//! What can happen next: anything, or, when the world behaves, what ends well.

use qorb_core::Timestamp;
use qorb_core::pool::{ClaimId, Event, Failure, Return, SlotId};

use super::{ClaimModel, Place, PoolWorld, SlotModel, Step, TURNED};
use crate::operation::Operation;

impl PoolWorld {
    /// Everything that can happen.
    pub(super) fn possible(&self, steps: &mut Vec<Step>) {
        if !self.ended {
            let changes = self.freedom.membership || self.freedom.moves || self.published == 0;
            let others = self.sets().filter(|set| changes && *set != self.published);
            steps.extend(others.map(Step::Publish));
            if self.freedom.tiers && self.published != 0 {
                steps.push(Step::Publish(self.published ^ TURNED));
            }
            if self.freedom.shutdown {
                steps.push(Step::Event(Event::ShutDown));
            }
        }
        if self.outstanding() < self.size.claims
            && let Some(claim) = self.free_claim()
        {
            let timeout = self.machine.policy().claim_timeout;
            // Whoever comes when nobody else is on the way is patient, so that C9 and C11 mean something.
            if self.claims.iter().all(|claim| *claim == ClaimModel::Free) || !self.freedom.deadlines {
                steps.push(Step::Event(Event::Claim { claim, deadline: Timestamp::NEVER }));
            } else {
                steps.push(Step::Event(Event::Claim { claim, deadline: self.now.after(timeout) }));
            }
            if self.freedom.hasty {
                steps.push(Step::Event(Event::Claim { claim, deadline: self.now }));
            }
        }
        for (index, claim) in (0..).map(ClaimId).zip(&self.claims) {
            match claim {
                ClaimModel::Waiting(_) | ClaimModel::Again(_) => {
                    steps.push(Step::Event(Event::Cancelled(index)))
                }
                ClaimModel::Granted(_) => {
                    steps.extend([Event::Fetched(index), Event::Cancelled(index)].map(Step::Event))
                }
                ClaimModel::Revoked(_) => {
                    steps.extend([Event::Resume(index), Event::Cancelled(index)].map(Step::Event))
                }
                ClaimModel::Free | ClaimModel::Asking(_) | ClaimModel::Acquiring => {}
            }
        }
        for (slot, model) in self.slots() {
            self.possible_of_slot(slot, model, steps);
        }
        steps.push(Step::Event(Event::Tick));
    }

    /// What the resolver may find: all backends or, where membership changes, any of them; where the first one
    /// moves, it is in each at its one address or the other.
    fn sets(&self) -> impl Iterator<Item = u16> + use<> {
        let moved = 1 << self.size.backends;
        let least = if self.freedom.membership { 0 } else { moved - 1 };
        let moves = self.freedom.moves;
        let elsewhere =
            (least..moved).filter(move |set| moves && set & 1 != 0).map(move |set| set ^ 1 | moved);
        (least..moved).chain(elsewhere)
    }

    fn possible_of_slot(&self, slot: SlotId, model: &SlotModel, steps: &mut Vec<Step>) {
        match model.running {
            Some((Operation::Close, _)) => steps.push(Step::Event(Event::Closed(slot))),
            Some((operation, aborted)) => {
                let completed = |result| match operation {
                    Operation::Connect => Event::Connected(slot, result),
                    Operation::Check => Event::Checked(slot, result),
                    Operation::Recycle | Operation::Close => Event::Recycled(slot, result),
                };
                let failure = if aborted { Failure::Aborted } else { Failure::Error };
                steps.extend([completed(Ok(())), completed(Err(failure))].map(Step::Event));
            }
            None => {}
        }
        match model.place {
            // The return of a grant says that it was fetched.
            Place::Claimer | Place::Seat(..) => {
                let hows = [Return::Intact, Return::Recycling, Return::Broken, Return::Detached];
                steps.extend(hows.map(|how| Step::Event(Event::Returned(slot, how))));
            }
            Place::Fresh(ticket) => {
                let hows = [Return::Intact, Return::Recycling, Return::Broken, Return::Detached];
                steps.extend(hows.map(|how| Step::Event(Event::Returned(slot, how))));
                if let Some(claim) = self.free_claim().filter(|_| self.freedom.acquire) {
                    let failure = Failure::Error;
                    steps.push(Step::Event(Event::AcquirePending { slot, claim, ticket }));
                    steps.push(Step::Event(Event::AcquireFailed { slot, claim, ticket, failure }));
                }
            }
            Place::Acquiring { denied: true, .. } => {
                steps.push(Step::Event(Event::Returned(slot, Return::Abandoned)))
            }
            Place::Acquiring { claim, ticket, told, .. } => {
                steps.push(Step::Event(Event::Returned(slot, Return::Abandoned)));
                let failure = if told { Failure::TimedOut } else { Failure::Error };
                steps.push(Step::Event(Event::AcquireFailed { slot, claim, ticket, failure }));
                if !told {
                    steps.push(Step::Event(Event::Acquired(slot)));
                }
            }
            Place::Away | Place::Shelf => {}
        }
    }

    /// The next thing that happens when the world behaves: whatever can end well does, and only when
    /// nothing is left to end does time pass.
    pub(super) fn behaving(&self, only: Option<u16>) -> Event {
        for (claim, model) in (0..).map(ClaimId).zip(&self.claims) {
            match model {
                ClaimModel::Granted(_) => return Event::Fetched(claim),
                ClaimModel::Revoked(_) => return Event::Resume(claim),
                ClaimModel::Free
                | ClaimModel::Asking(_)
                | ClaimModel::Waiting(_)
                | ClaimModel::Again(_)
                | ClaimModel::Acquiring => {}
            }
        }
        for (slot, model) in self.slots() {
            let answers = only.is_none_or(|only| self.bit(model.backend) == only);
            match (model.running, model.place) {
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
