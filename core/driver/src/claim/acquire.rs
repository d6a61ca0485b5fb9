//! `on_acquire`: run in the claimer's task, in place, and given up when the machine says so.

use std::mem;
use std::sync::Arc;
use std::task::{Context, Waker};

use qorb_core::Timestamp;
use qorb_core::pool::{ClaimId, Denial, Event, Failure, Return, SlotId, Ticket};

use super::{Claim, Found, Phase};
use crate::connector::Connector;
use crate::effects::{Effects, Place};
use crate::error::TimedOut;
use crate::link::{Chore, Errand, Link, Progress};
use crate::probes;
use crate::runtime::Runtime;
use crate::seats::Sitting;
use crate::shared::abandon;
use crate::state::State;

/// How an `on_acquire` ended.
struct End<K: Connector> {
    slot: SlotId,
    ticket: Ticket,
    link: Option<Link<K>>,
    failure: Option<Failure>,
}
impl<K: Connector, R: Runtime> Claim<'_, K, R> {
    /// Lets the connector prepare the connection, in place.
    pub(super) fn acquire(&mut self, mut link: Link<K>, cx: &mut Context<'_>) -> Found<K> {
        let (slot, ticket) = (link.held.slot, link.held.ticket());
        let progress = match link.at_once(&self.shared.connector, Chore::Acquire, cx) {
            Some(outcome) => Progress::Done(link, outcome),
            None => link.start(Chore::Acquire).poll(cx),
        };
        match progress {
            Progress::Done(link, Ok(())) => Found::Acquired(link),
            Progress::Done(link, Err(trouble)) => {
                let failure = trouble.failure();
                self.error = Some(trouble.share());
                self.reject(End { slot, ticket, link: Some(link), failure: Some(failure) }, cx)
            }
            Progress::Lost(panic) => {
                self.error = Some(Arc::new(panic));
                self.reject(End { slot, ticket, link: None, failure: Some(Failure::Panicked) }, cx)
            }
            Progress::Pending(errand) => {
                self.suspend(slot, ticket, errand, cx);
                Found::Nothing
            }
        }
    }

    /// `on_acquire` is pending: the claim takes a seat, where it learns when to give that up.
    fn suspend(&mut self, slot: SlotId, mut ticket: Ticket, errand: Errand<K>, cx: &Context<'_>) {
        let waker = cx.waker().clone();
        let now = self.shared.now();
        let mut effects = Effects::new();
        let mut state = self.shared.lock();
        ticket.deadline = self.deadline_kept(&state, now, ticket);
        state.catch_up_with(slot);
        let seat = state.roll.next();
        self.sit(&mut state, now, seat, Sitting::Acquiring, Some(waker));
        self.phase = Phase::Acquiring { seat, slot, ticket, errand };
        state.handle(now, Event::AcquirePending { slot, claim: seat, ticket }, &mut effects);
        drop(state);
        self.shared.carry_out(effects);
    }

    /// Goes on with a pending `on_acquire`, or gives it up where that is asked.
    pub(super) fn go_on(&mut self, cx: &mut Context<'_>) -> Found<K> {
        let Phase::Acquiring { seat, slot, ticket, errand } = mem::replace(&mut self.phase, Phase::Over)
        else {
            unreachable!("only called while acquiring")
        };
        let waker = cx.waker().clone();
        let mut state = self.shared.lock();
        let place = state.seat(seat);
        let wanted = matches!(place.sitting, Sitting::Acquiring);
        let overdue = matches!(place.sitting, Sitting::Overdue);
        let spare = if wanted { place.waker.replace(waker) } else { Some(waker) };
        drop(state);
        drop(spare);
        if !wanted {
            abandon(&self.shared.runtime, errand);
            if overdue {
                self.error = Some(Arc::new(TimedOut));
            }
            return self.conclude(
                seat,
                End { slot, ticket, link: None, failure: Some(Failure::TimedOut) },
                cx,
            );
        }
        match errand.poll(cx) {
            Progress::Pending(errand) => {
                self.phase = Phase::Acquiring { seat, slot, ticket, errand };
                Found::Nothing
            }
            Progress::Done(link, Ok(())) => {
                self.conclude(seat, End { slot, ticket, link: Some(link), failure: None }, cx)
            }
            Progress::Done(link, Err(trouble)) => {
                let failure = trouble.failure();
                self.error = Some(trouble.share());
                self.conclude(seat, End { slot, ticket, link: Some(link), failure: Some(failure) }, cx)
            }
            Progress::Lost(panic) => {
                self.error = Some(Arc::new(panic));
                self.conclude(seat, End { slot, ticket, link: None, failure: Some(Failure::Panicked) }, cx)
            }
        }
    }

    /// A pending `on_acquire` ended. What was decided about the claim meanwhile comes first.
    fn conclude(&mut self, seat: ClaimId, end: End<K>, cx: &Context<'_>) -> Found<K> {
        let waker = cx.waker().clone();
        let now = self.shared.now();
        let mut effects = Effects::new();
        let mut state = self.shared.lock();
        state.catch_up(now, &mut effects);
        let place = state.seat(seat);
        let failure = match (&place.sitting, end.failure) {
            (Sitting::Denied(_), _) => None,
            (Sitting::Acquiring, failure) => failure,
            (_, _) => Some(Failure::TimedOut),
        };
        let stale = place.waker.take();
        let (found, spare) = if let Some(failure) = failure {
            place.sitting = Sitting::Waiting;
            let end = End { failure: Some(failure), ..end };
            self.requeue(&mut state, seat, end, now, waker, &mut effects)
        } else {
            let (sitting, _) = place.leave();
            let slot = end.slot;
            let (found, event) = match (sitting, end.link) {
                (Sitting::Denied(refusal), link) => {
                    state.came_back_unused(slot);
                    state.put_back(now, slot, link.map_or(Place::Elsewhere, Place::Resting));
                    (Found::Denied(*refusal), Event::Returned(slot, Return::Abandoned))
                }
                (_, Some(link)) => (Found::Acquired(link), Event::Acquired(slot)),
                (_, None) => unreachable!("an on_acquire that passed brings its connection"),
            };
            state.handle(now, event, &mut effects);
            state.roll.release(seat);
            (found, Some(waker))
        };
        drop(state);
        self.shared.carry_out(effects);
        drop((stale, spare));
        found
    }

    /// `on_acquire` failed when it was polled first.
    fn reject(&mut self, end: End<K>, cx: &Context<'_>) -> Found<K> {
        let waker = cx.waker().clone();
        let now = self.shared.now();
        let mut effects = Effects::new();
        let mut state = self.shared.lock();
        state.catch_up_with(end.slot);
        let seat = state.roll.next();
        self.sit(&mut state, now, seat, Sitting::Waiting, None);
        let (found, spare) = self.requeue(&mut state, seat, end, now, waker, &mut effects);
        drop(state);
        self.shared.carry_out(effects);
        drop(spare);
        found
    }

    /// After a failed `on_acquire` the connection goes back, and the claim queues again in its old place.
    fn requeue(
        &mut self,
        state: &mut State<K>,
        seat: ClaimId,
        end: End<K>,
        now: Timestamp,
        waker: Waker,
        effects: &mut Effects<K>,
    ) -> (Found<K>, Option<Waker>) {
        let End { slot, link, mut ticket, failure } = end;
        let failure = failure.unwrap_or(Failure::Error);
        ticket.deadline = self.deadline_kept(state, now, ticket);
        state.came_back_unused(slot);
        state.berth(slot).place = link.map_or(Place::Elsewhere, Place::Resting);
        if let Some(error) = &self.error {
            state.blame(slot, error, effects);
        }
        probes::claim_acquire_failed(&self.shared.name, self.number, failure);
        let event = Event::AcquireFailed { slot, claim: seat, ticket, failure };
        state.handle(now, event, effects);
        let place = state.seat(seat);
        if matches!(place.sitting, Sitting::Waiting) && self.never_waits(state) {
            let (_, stale) = state.cancel(now, seat, effects);
            return (Found::Denied(state.refusal(Denial::AcquireFailed)), stale.or(Some(waker)));
        }
        let mut waker = Some(waker);
        let (found, stale) = self.examine(state, seat, &mut waker);
        (found.expect("it came with a waker"), stale.or(waker))
    }
}
