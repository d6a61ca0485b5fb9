//! What an embedder may tell its machine: a claim asks once, fetches once what it was granted, and is done with its
//! `on_acquire` once; a connection is returned once, and an operation ends once.

use qorb_core::pool::{ClaimId, Event, Return, SlotId, Ticket};

use super::model::{ClaimModel, Granted, Place};
use super::{Shadow, ensure};
use crate::operation::Operation;

impl Shadow {
    /// Whether an honest embedder may tell this.
    pub(super) fn may_be_told(&self, event: &Event) -> Result<(), String> {
        match *event {
            Event::Claim { claim, .. } => self.has(claim, |of| of == ClaimModel::Free, "asks"),
            Event::Resume(claim) => self.has(claim, |of| matches!(of, ClaimModel::Revoked(_)), "resumes"),
            Event::Fetched(claim) => {
                self.is_in_time(event)?;
                self.has(claim, |of| matches!(of, ClaimModel::Granted(..)), "fetches")
            }
            Event::Cancelled(claim) => {
                self.is_in_time(event)?;
                let answerless = |of| {
                    matches!(of, ClaimModel::Waiting(_) | ClaimModel::Granted(..) | ClaimModel::Revoked(_))
                };
                self.has(claim, answerless, "is cancelled")
            }
            Event::AcquirePending { slot, claim, ticket } => {
                self.has(claim, |of| of == ClaimModel::Free, "acquires")?;
                self.is(slot, |place| place == Place::Claimer, "is acquired")?;
                self.was_granted_to(slot, ticket)
            }
            Event::Acquired(slot) => {
                self.is_in_time(event)?;
                let untold = |place| matches!(place, Place::Acquiring { told: false, denied: false, .. });
                self.is(slot, untold, "was acquired")
            }
            Event::AcquireFailed { slot, claim, ticket, .. } => {
                let may = |place| matches!(place, Place::Claimer | Place::Acquiring { denied: false, .. });
                self.is(slot, may, "was not acquired")?;
                self.was_granted_to(slot, ticket)?;
                match self.acquiring_for(slot) {
                    Some(of) => {
                        self.is_in_time(event)?;
                        ensure(of == claim, || format!("embedder: {slot:?} is {of:?}'s, not {claim:?}'s"))
                    }
                    // At its first poll.
                    None => self.has(claim, |of| of == ClaimModel::Free, "did not acquire"),
                }
            }
            Event::Returned(slot, how) => {
                let place = self.known(slot).map(|model| model.place);
                if matches!(place, Some(Place::Seat(_) | Place::Acquiring { denied: false, .. })) {
                    self.is_in_time(event)?;
                }
                let may = |place| match place {
                    Place::Claimer | Place::Seat(_) => true,
                    Place::Acquiring { .. } => how == Return::Abandoned,
                    Place::Away | Place::Shelf => false,
                };
                self.is(slot, may, "is returned")
            }
            Event::Connected(slot, _) => self.runs(slot, Operation::Connect),
            Event::Checked(slot, _) => self.runs(slot, Operation::Check),
            Event::Recycled(slot, _) => self.runs(slot, Operation::Recycle),
            Event::Closed(slot) => self.runs(slot, Operation::Close),
            Event::Backends(_) | Event::ShutDown | Event::Tick => Ok(()),
        }
    }

    /// What is due may take a grant back, or answer a claim.
    fn is_in_time(&self, event: &Event) -> Result<(), String> {
        ensure(!self.is_due, || format!("embedder: something is due before {event:?}"))
    }

    fn has(&self, claim: ClaimId, may: impl Fn(ClaimModel) -> bool, what: &str) -> Result<(), String> {
        let model = self.claim(claim);
        ensure(may(model), || format!("embedder: {claim:?} {what}, and is {model:?}"))
    }

    fn is(&self, slot: SlotId, may: impl Fn(Place) -> bool, what: &str) -> Result<(), String> {
        let place = self.known(slot).map(|model| model.place);
        ensure(place.is_some_and(may), || format!("embedder: {slot:?} {what}, and is {place:?}"))
    }

    fn was_granted_to(&self, slot: SlotId, ticket: Ticket) -> Result<(), String> {
        let granted = self.known(slot).and_then(|model| model.granted);
        let longest = self.now.after(self.policy.set_config.health_check_timeout);
        let same = |granted: Granted| {
            let bounds = granted.ticket.deadline..=longest;
            let is_bound = granted.is_unbounded && bounds.contains(&ticket.deadline);
            let deadline = if is_bound { ticket.deadline } else { granted.ticket.deadline };
            ticket == Ticket { deadline, ..granted.ticket }
        };
        ensure(granted.is_some_and(same), || {
            format!("embedder: {slot:?} was granted by {granted:?}, not by {ticket}")
        })
    }

    fn runs(&self, slot: SlotId, operation: Operation) -> Result<(), String> {
        let running = self.known(slot).and_then(|model| model.running);
        ensure(running.is_some_and(|(of, _)| of == operation), || {
            format!("embedder: {operation:?} of {slot:?} ends, and what runs is {running:?}")
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use qorb_core::dice::Dice;
    use qorb_core::pool::{Failure, Policy, PoolMachine, SlotKind};
    use qorb_core::{Backend, Machine, Timestamp};

    use super::*;

    /// A pool and its shadow, which agree.
    struct Told {
        machine: PoolMachine,
        shadow: Shadow,
        now: Timestamp,
    }

    impl Told {
        fn new() -> Self {
            Self::with_spares(1)
        }

        fn with_spares(spares_wanted: usize) -> Self {
            let policy = Policy { spares_wanted, max_slots: 2, ..Policy::default() };
            let machine =
                PoolMachine::new(policy.clone(), &Dice::Fixed, Timestamp::EPOCH).expect("it is valid");
            Self { machine, shadow: Shadow::new(policy, Timestamp::EPOCH), now: Timestamp::EPOCH }
        }

        fn tell(&mut self, event: Event) -> Result<(), String> {
            let (now, mut out) = (self.now, Vec::new());
            self.shadow.before(&self.machine, now, &event)?;
            self.machine.handle(now, event, &mut out);
            out.iter().try_for_each(|action| self.shadow.perform(&self.machine, action))?;
            self.shadow.after(&self.machine, &out)
        }

        /// What is due next.
        fn tick(&mut self) {
            self.now = self.machine.deadline().expect("something is due");
            self.tell(Event::Tick).expect("it may");
        }
    }

    const ONE: SlotId = SlotId(0);
    const CLAIM: ClaimId = ClaimId(0);
    const LATER: Timestamp = Timestamp::from_millis(1);

    /// Everything that can be told of one slot and one claim.
    fn events() -> Vec<Event> {
        let (slot, claim, failure) = (ONE, CLAIM, Failure::Error);
        let ticket = Ticket { arrival: 1, deadline: Timestamp::NEVER, failures: 0 };
        vec![
            Event::Claim { claim, deadline: Timestamp::NEVER },
            Event::Resume(claim),
            Event::Fetched(claim),
            Event::Cancelled(claim),
            Event::AcquirePending { slot, claim, ticket },
            Event::Acquired(slot),
            Event::AcquireFailed { slot, claim, ticket, failure },
            Event::Returned(slot, Return::Intact),
            Event::Connected(slot, Ok(())),
            Event::Checked(slot, Ok(())),
            Event::Recycled(slot, Ok(())),
            Event::Closed(slot),
            Event::Returned(slot, Return::Abandoned),
            // Another claim's, with a failure that was not, and with another deadline.
            Event::AcquireFailed { slot, claim: ClaimId(1), ticket, failure },
            Event::AcquireFailed { slot, claim, ticket: Ticket { failures: 255, ..ticket }, failure },
            Event::AcquirePending { slot, claim, ticket: Ticket { arrival: 2, ..ticket } },
            Event::AcquireFailed { slot, claim, ticket: Ticket { deadline: LATER, ..ticket }, failure },
            Event::AcquirePending { slot, claim, ticket: Ticket { deadline: LATER, ..ticket } },
        ]
    }

    /// What of that may be told after this story, by the numbers in the list.
    #[track_caller]
    fn may(story: &[Event], expected: &[usize]) {
        let mut told = Told::new();
        told.tell(Event::Backends(vec![Backend::new("a", ([127, 0, 0, 1], 1).into())])).expect("it may");
        for event in story {
            told.tell(event.clone()).unwrap_or_else(|rule| panic!("{event:?}: {rule}"));
        }
        let events = events();
        let may = |number: &usize| match told.shadow.may_be_told(&events[*number]) {
            Ok(()) => true,
            Err(rule) => {
                assert!(rule.starts_with("embedder: "), "{rule}");
                false
            }
        };
        let allowed: Vec<_> = (0..events.len()).filter(may).collect();
        assert_eq!(allowed, expected, "after {story:?}");
    }

    #[test]
    fn an_embedder_tells_what_has_happened_once() {
        let all = events();
        let [claim, fetched, pending, acquired, failed, returned, connected] =
            [0, 2, 4, 5, 6, 7, 8].map(|number: usize| all[number].clone());
        // One connects: it can end, and a claim may come.
        may(&[], &[0, 8]);
        may(std::slice::from_ref(&claim), &[3, 8]);
        may(std::slice::from_ref(&connected), &[0]);
        let waited = [claim.clone(), connected.clone()];
        // The claim that waited has it on its seat.
        may(&waited, &[2, 3, 7, 12]);
        let at_once = [connected, claim];
        // Whose its connection is, only it knows that has it.
        may(&at_once, &[0, 4, 6, 7, 12, 13]);
        may(&[&waited[..], &[fetched]].concat(), &[0, 4, 6, 7, 12, 13]);
        let acquiring = [&at_once[..], &[pending]].concat();
        may(&acquiring, &[5, 6, 12]);
        may(&[&acquiring[..], &[acquired]].concat(), &[0, 7, 12]);
        // It was denied, and can only bring its connection back.
        may(&[&acquiring[..], &[Event::ShutDown]].concat(), &[0, 12]);
        // The claim waits again, and the connection is closed.
        may(&[&acquiring[..], &[failed]].concat(), &[3, 11]);
        let recycling = Event::Returned(ONE, Return::Recycling);
        may(&[&at_once[..], &[recycling]].concat(), &[0, 10]);
        may(&[&at_once[..], &[returned]].concat(), &[0]);
    }

    #[test]
    fn a_check_ends_once_and_what_was_taken_back_is_asked_for_again_once() {
        let mut told = Told::new();
        let backend = Backend::new("a", ([127, 0, 0, 1], 1).into());
        // One that is named twice is one.
        told.tell(Event::Backends(vec![backend.clone(), backend])).expect("it may");
        told.tell(Event::Connected(ONE, Ok(()))).expect("it may");
        let may = |told: &Told, event: Event| told.shadow.may_be_told(&event).is_ok();
        told.tick();
        while told.machine.slot_kind(ONE) != Some(SlotKind::Checking) {
            told.tick();
        }
        assert!(may(&told, Event::Checked(ONE, Ok(()))) && !may(&told, Event::Recycled(ONE, Ok(()))));
        told.tell(Event::Claim { claim: CLAIM, deadline: Timestamp::NEVER }).expect("it may");
        told.tell(Event::Checked(ONE, Ok(()))).expect("it may");
        assert!(!may(&told, Event::Resume(CLAIM)), "it was granted");
        told.tick();
        assert!(may(&told, Event::Resume(CLAIM)), "it was taken back");
        told.tell(Event::Resume(CLAIM)).expect("it may");
        assert!(!may(&told, Event::Resume(CLAIM)));
    }

    #[test]
    fn whoever_has_a_seat_is_told_first_what_is_due() {
        let mut told = Told::new();
        told.tell(Event::Backends(vec![Backend::new("a", ([127, 0, 0, 1], 1).into())])).expect("it may");
        told.tell(Event::Claim { claim: CLAIM, deadline: Timestamp::NEVER }).expect("it may");
        told.tell(Event::Connected(ONE, Ok(()))).expect("it may");
        let due = told.machine.deadline().expect("a grant is taken back before long");
        for event in [Event::Fetched(CLAIM), Event::Cancelled(CLAIM), Event::Returned(ONE, Return::Intact)] {
            let late = told.shadow.before(&told.machine, due, &event).expect_err("it is late");
            assert!(late.starts_with("embedder: something is due"), "{late}");
        }
        // The same, with an `on_acquire` that pends.
        let mut told = Told::new();
        told.tell(Event::Backends(vec![Backend::new("a", ([127, 0, 0, 1], 1).into())])).expect("it may");
        told.tell(Event::Connected(ONE, Ok(()))).expect("it may");
        told.tell(Event::Claim { claim: CLAIM, deadline: Timestamp::NEVER }).expect("it may");
        let (slot, claim) = (ONE, CLAIM);
        let ticket = Ticket { arrival: 1, deadline: Timestamp::NEVER, failures: 0 };
        told.tell(Event::AcquirePending { slot, claim, ticket }).expect("it may");
        let due = told.machine.deadline().expect("it takes too long before long");
        let failed = Event::AcquireFailed { slot, claim, ticket, failure: Failure::Error };
        for event in [Event::Acquired(slot), failed.clone(), Event::Returned(slot, Return::Abandoned)] {
            let late = told.shadow.before(&told.machine, due, &event).expect_err("it is late");
            assert!(late.starts_with("embedder: something is due"), "{late}");
        }
        told.tick();
        told.shadow.may_be_told(&Event::Acquired(slot)).expect_err("it was told to give up");
        told.tell(failed).expect("it gives up");
    }

    #[test]
    fn a_claim_that_never_waits_has_a_bound_of_its_own_for_its_on_acquire() {
        let mut told = Told::with_spares(2);
        told.tell(Event::Backends(vec![Backend::new("a", ([127, 0, 0, 1], 1).into())])).expect("it may");
        told.tell(Event::Connected(ONE, Ok(()))).expect("it may");
        told.tell(Event::Claim { claim: CLAIM, deadline: Timestamp::EPOCH }).expect("it may");
        let (slot, claim, failure) = (ONE, CLAIM, Failure::Error);
        let longest = Timestamp::EPOCH.after(Policy::default().set_config.health_check_timeout);
        let ticket = Ticket { arrival: 1, deadline: longest, failures: 0 };
        let longer = Ticket { deadline: longest.after(Duration::from_nanos(1)), ..ticket };
        let pending = |ticket| Event::AcquirePending { slot, claim, ticket };
        told.shadow.may_be_told(&pending(longer)).expect_err("it is too long");
        told.tell(pending(ticket)).expect("it may");
        // From then on it is what was said.
        let failed = |ticket| Event::AcquireFailed { slot, claim, ticket, failure };
        told.shadow.may_be_told(&failed(Ticket { deadline: LATER, ..ticket })).expect_err("it is another");
        told.tell(failed(ticket)).expect("it may");
        // So it is where it is granted another connection.
        let slot = SlotId(1);
        told.tell(Event::Connected(slot, Ok(()))).expect("it may");
        told.tell(Event::Fetched(claim)).expect("it may");
        let pending = |ticket| Event::AcquirePending { slot, claim, ticket };
        let again = Ticket { failures: 1, ..ticket };
        told.shadow.may_be_told(&pending(Ticket { deadline: LATER, ..again })).expect_err("it is another");
        told.tell(pending(again)).expect("it may");
    }

    #[test]
    fn of_a_backend_that_is_named_twice_the_first_counts() {
        let named = |name: &str, weight| {
            let mut backend = Backend::new(name, ([127, 0, 0, 1], 1).into());
            backend.weight = weight;
            backend
        };
        let set = Event::Backends(vec![named("a", 1), named("b", 2), named("b", 3)]);
        let mut told = Told::new();
        told.tell(set.clone()).expect("it may");
        // A machine that knows something else: nobody, or the second one.
        for known in [vec![named("a", 1)], vec![named("a", 1), named("b", 3)]] {
            let mut wrong = Told::new();
            wrong.shadow.before(&wrong.machine, Timestamp::EPOCH, &set).expect("it may");
            wrong.machine.handle(Timestamp::EPOCH, Event::Backends(known), &mut Vec::new());
            let rule = wrong.shadow.after(&wrong.machine, &[]).expect_err("it is not the set");
            assert!(rule.starts_with("C5: "), "{rule}");
        }
    }
}
