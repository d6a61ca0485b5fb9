//! A wish for a connection, as a future: it asks, waits on a seat, and prepares what it is granted.

mod acquire;

use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use qorb_core::pool::{ClaimId, Event, Return, SlotId, SlotKind, Ticket};
use qorb_core::{Machine, Timestamp};

use crate::connector::Connector;
use crate::effects::{Effects, Place};
use crate::error::{ClaimError, SharedError};
use crate::handle::Handle;
use crate::label::Labelled;
use crate::link::{Errand, Link};
use crate::probes;
use crate::runtime::Runtime;
use crate::seats::{Refusal, Seat, Sitting};
use crate::shared::{Shared, abandon};
use crate::state::{Answer, Away, State};

/// The future of a claim; see [`Pool::claim`](crate::Pool::claim).
///
/// It asks when it is polled first, and dropping it at any point gives up its place, or its connection,
/// for the next one in line. One that is polled once and then neither polled again nor dropped holds up
/// nobody.
#[must_use = "a claim does nothing before it is awaited"]
pub struct Claim<'a, K: Connector, R: Runtime> {
    shared: &'a Arc<Shared<K, R>>,
    patience: Patience,
    phase: Phase<K>,
    /// Its number for people, from its first poll on.
    number: u64,
    /// When it asked, as soon as somebody read the clock.
    since: Option<Timestamp>,
    /// Its ticket has the deadline of its `on_acquire`.
    has_deadline: bool,
    /// Why `on_acquire` failed last.
    error: Option<SharedError>,
}

/// How long a claim waits.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Patience {
    /// As long as the policy says.
    Policy,
    /// As long as its caller says.
    Within(Duration),
    /// Until then, by the system's clock.
    Until(Instant),
    /// Not at all.
    None,
}

enum Phase<K: Connector> {
    /// It has not asked.
    Fresh,
    /// It waits on this seat, or will find something there.
    Seated(ClaimId),
    /// Its `on_acquire` is pending.
    Acquiring { seat: ClaimId, slot: SlotId, ticket: Ticket, errand: Errand<K> },
    /// It has its answer.
    Over,
}

/// What a step leads to.
enum Found<K: Connector> {
    Nothing,
    Granted(Link<K>),
    Acquired(Link<K>),
    Denied(Refusal),
}

impl<'a, K: Connector, R: Runtime> Claim<'a, K, R> {
    pub(crate) fn new(shared: &'a Arc<Shared<K, R>>, patience: Patience) -> Self {
        Self {
            shared,
            patience,
            phase: Phase::Fresh,
            number: 0,
            since: None,
            has_deadline: false,
            error: None,
        }
    }

    /// Says what the connection is wanted for. The label is shown beside the handle wherever the handles
    /// that are out are listed: [`HandleStats::label`](crate::HandleStats::label), the stats server, qtop.
    /// It costs a claim one more turn of the pool's lock; one without a label costs nothing.
    pub fn labelled(self, label: impl Into<Arc<str>>) -> Labelled<'a, K, R> {
        Labelled { claim: self, label: label.into() }
    }

    pub(crate) fn shared(&self) -> &Shared<K, R> {
        self.shared
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// The slot whose connection its `on_acquire` is at work on.
    pub(crate) fn acquiring(&self) -> Option<SlotId> {
        if let Phase::Acquiring { slot, .. } = self.phase { Some(slot) } else { None }
    }

    /// Asks for a connection, under one lock if there is one, and without the clock.
    fn arrive(&mut self, cx: &Context<'_>) -> Found<K> {
        if self.shared.crowded.load(Ordering::Relaxed) {
            return self.queue(cx.waker().clone());
        }
        let mut state = self.shared.lock();
        let Some((mut link, number)) = state.hand_out(|| self.shared.now()) else {
            drop(state);
            return self.queue(cx.waker().clone());
        };
        drop(state);
        // Its deadline counts from the first look at the clock, should `on_acquire` take its time.
        link.held.set_ticket(Ticket { arrival: number, deadline: Timestamp::NEVER, failures: 0 });
        self.number = number;
        self.phase = Phase::Over;
        Found::Granted(link)
    }

    /// Asks where there seems to be none, ready to wait.
    fn queue(&mut self, waker: Waker) -> Found<K> {
        let now = self.shared.now();
        self.since = Some(now);
        let mut effects = Effects::new();
        let mut state = self.shared.lock();
        self.number = state.number_arrival();
        // Never before the machine's time: so deadlines follow each other as the claims do.
        let deadline = self.deadline(&state, now.max(state.machine.latest()));
        let claim = state.roll.next();
        let answer = if state.machine.queue_quietly(now, claim, deadline) {
            let deadline = state.machine.deadline();
            state.alarm.aim(deadline, &mut effects);
            None
        } else {
            let me = Some((claim, self.number));
            state.handle_for(me, now, Event::Claim { claim, deadline }, &mut effects)
        };
        let (found, spare) = match answer {
            Some(Answer::Granted(link)) => {
                // Where a timer that was due made room for it, the machine had put it in the queue first.
                if state.machine.slot_kind(link.held.slot) == Some(SlotKind::Granted) {
                    state.handle(now, Event::Fetched(claim), &mut effects);
                }
                state.berth(link.held.slot).goes(Away::at_once(self.number, now));
                self.phase = Phase::Over;
                (Found::Granted(link), Some(waker))
            }
            Some(Answer::Denied(refusal)) => {
                self.phase = Phase::Over;
                (Found::Denied(refusal), Some(waker))
            }
            None => {
                self.sit(&mut state, now, claim, Sitting::Waiting, Some(waker));
                probes::claim_queued(&self.shared.name, self.number, state.machine.waiting());
                self.phase = Phase::Seated(claim);
                if !self.shared.crowded.load(Ordering::Relaxed) {
                    self.shared.crowded.store(true, Ordering::Relaxed);
                }
                (Found::Nothing, None)
            }
        };
        drop(state);
        self.shared.carry_out(effects);
        drop(spare);
        found
    }

    /// Takes a seat, the one that the roll named.
    fn sit(
        &self,
        state: &mut State<K>,
        now: Timestamp,
        claim: ClaimId,
        sitting: Sitting<K>,
        waker: Option<Waker>,
    ) {
        let since = self.since.unwrap_or(now);
        state.sit(claim, Seat { sitting, waker, number: self.number, since });
    }

    /// Looks what lies on its seat. A grant is taken from there without the pool's lock, unless the machine
    /// has its eye on it. Only a claim that finds nothing needs its waker cloned, and that is not done
    /// under a lock.
    fn look(&mut self, seat: ClaimId, cx: &Context<'_>) -> Found<K> {
        if let Some(link) = self.shared.cells.take(seat) {
            self.phase = Phase::Over;
            return Found::Granted(link);
        }
        let mut waker = None;
        loop {
            let now = self.shared.now();
            let mut effects = Effects::new();
            let mut state = self.shared.lock();
            // A claimer that is here is not too late for what the machine has not taken back yet.
            if !matches!(state.seat(seat).sitting, Sitting::Kept(_)) {
                state.catch_up(now, &mut effects);
            }
            let place = state.seat(seat);
            if matches!(place.sitting, Sitting::Revoked) {
                place.sitting = Sitting::Waiting;
                debug_assert!(place.waker.is_none(), "it was woken for the grant it slept through");
                state.handle(now, Event::Resume(seat), &mut effects);
            }
            let (found, spare) = self.examine(&mut state, seat, &mut waker);
            drop(state);
            self.shared.carry_out(effects);
            drop(spare);
            match found {
                Some(found) => return found,
                None => waker = Some(cx.waker().clone()),
            }
        }
    }

    /// Takes what lies on the seat, and leaves it; or leaves the waker there, and the one that was there
    /// is to be dropped outside the lock. `None` where there is nothing, and no waker to leave.
    fn examine(
        &mut self,
        state: &mut State<K>,
        seat: ClaimId,
        waker: &mut Option<Waker>,
    ) -> (Option<Found<K>>, Option<Waker>) {
        let place = state.seat(seat);
        if matches!(place.sitting, Sitting::Waiting) {
            let Some(waker) = waker.take() else { return (None, None) };
            self.phase = Phase::Seated(seat);
            return (Some(Found::Nothing), place.waker.replace(waker));
        }
        self.phase = Phase::Over;
        let (sitting, stale) = place.leave();
        debug_assert!(stale.is_none(), "its waker was used when its seat was taken");
        let found = match state.grant_of(seat, sitting) {
            Ok(link) => {
                state.tell_fetched(seat, link.held.slot);
                Found::Granted(link)
            }
            Err(Sitting::Denied(refusal)) => {
                state.roll.release(seat);
                Found::Denied(*refusal)
            }
            Err(_) => unreachable!("no claim waits on such a seat"),
        };
        (Some(found), None)
    }

    /// When a claim that asks at `now` gives up.
    fn deadline(&self, state: &State<K>, now: Timestamp) -> Timestamp {
        match self.patience {
            Patience::Policy => now.after(state.machine.policy().claim_timeout),
            Patience::Within(span) => now.after(span),
            Patience::Until(instant) => now.after(left_until(instant)),
            Patience::None => now,
        }
    }

    /// The deadline of a claim that was granted: the ticket's, unless it was granted without a look
    /// at the clock; then it counts from now, as the bound does that a claim has which never waits.
    fn deadline_kept(&mut self, state: &State<K>, now: Timestamp, ticket: Ticket) -> Timestamp {
        let asked_by_clock = self.since.replace(self.since.unwrap_or(now)).is_some();
        let never_waits = self.never_waits(state);
        if mem::replace(&mut self.has_deadline, true) || (asked_by_clock && !never_waits) {
            ticket.deadline
        } else if never_waits {
            now.after(state.machine.policy().set_config.health_check_timeout)
        } else {
            self.deadline(state, now)
        }
    }

    /// Whether it takes what there is or nothing. Only its `on_acquire` may take its time.
    fn never_waits(&self, state: &State<K>) -> bool {
        match self.patience {
            Patience::Policy => state.machine.policy().claim_timeout.is_zero(),
            Patience::Within(span) => span.is_zero(),
            Patience::Until(_) => false,
            Patience::None => true,
        }
    }

    /// Gives up its place, or its connection, before it has had its answer.
    #[cold]
    fn walk_off(&mut self) {
        match mem::replace(&mut self.phase, Phase::Over) {
            Phase::Fresh | Phase::Over => {}
            Phase::Seated(seat) => {
                let now = self.shared.now();
                let mut effects = Effects::new();
                let mut state = self.shared.lock();
                state.catch_up(now, &mut effects);
                probes::claim_cancelled(&self.shared.name, self.number);
                let (denied, waker) = state.cancel(now, seat, &mut effects);
                state.tally.cancelled += u64::from(!denied);
                drop(state);
                self.shared.carry_out(effects);
                drop(waker);
            }
            Phase::Acquiring { seat, slot, errand, .. } => {
                abandon(&self.shared.runtime, errand);
                let now = self.shared.now();
                let mut effects = Effects::new();
                // Under one lock: a seat that is free while the machine still knows its claim would be
                // given to another.
                let mut state = self.shared.lock();
                state.catch_up(now, &mut effects);
                let (sitting, waker) = state.seat(seat).leave();
                state.tally.cancelled += u64::from(!matches!(sitting, Sitting::Denied(_)));
                probes::claim_cancelled(&self.shared.name, self.number);
                state.came_back_unused(slot);
                state.put_back(now, slot, Place::Elsewhere);
                state.handle(now, Event::Returned(slot, Return::Abandoned), &mut effects);
                state.roll.release(seat);
                drop(state);
                self.shared.carry_out(effects);
                drop((sitting, waker));
            }
        }
    }

    #[cold]
    fn denied(&mut self, refusal: Refusal) -> ClaimError {
        let now = self.shared.now();
        let waited = self.since.map_or(Duration::ZERO, |since| now.since(since));
        let Refusal { kind, waiting, source } = refusal;
        let error = ClaimError { kind, waited, waiting, source: self.error.take().or(source) };
        probes::claim_failed(&self.shared.name, self.number, error.reason());
        error
    }
}

impl<K: Connector, R: Runtime> Future for Claim<'_, K, R> {
    type Output = Result<Handle<K, R>, ClaimError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let mut found = match this.phase {
            Phase::Fresh => this.arrive(cx),
            Phase::Seated(seat) => this.look(seat, cx),
            Phase::Acquiring { .. } => this.go_on(cx),
            Phase::Over => panic!("a claim was polled after it had its answer"),
        };
        loop {
            found = match found {
                Found::Nothing => return Poll::Pending,
                Found::Granted(link) => this.acquire(link, cx),
                Found::Denied(refusal) => return Poll::Ready(Err(this.denied(refusal))),
                Found::Acquired(link) => {
                    probes::claim_done(&this.shared.name, this.number, link.held.serial);
                    return Poll::Ready(Ok(Handle::new(link)));
                }
            }
        }
    }
}

impl<K: Connector, R: Runtime> Drop for Claim<'_, K, R> {
    #[inline]
    fn drop(&mut self) {
        match self.phase {
            Phase::Fresh | Phase::Over => {}
            Phase::Seated(_) | Phase::Acquiring { .. } => self.walk_off(),
        }
    }
}

impl<K: Connector, R: Runtime> fmt::Debug for Claim<'_, K, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let phase = match self.phase {
            Phase::Fresh => "fresh",
            Phase::Seated(_) => "waiting",
            Phase::Acquiring { .. } => "acquiring",
            Phase::Over => "over",
        };
        f.debug_struct("Claim")
            .field("pool", &self.shared.name)
            .field("phase", &phase)
            .finish_non_exhaustive()
    }
}

#[allow(clippy::disallowed_methods, reason = "the caller's clock is the system's, not the runtime's")]
fn left_until(instant: Instant) -> Duration {
    instant.saturating_duration_since(Instant::now())
}
