//! The one lock of a pool, and the ways in and out of it.
//!
//! Nothing of the user's runs while it is held: no waker is woken or cloned, no task spawned, no
//! connection dropped. [`Effects`] carries all of that to the other side of the lock.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Waker};

use crossbeam_utils::CachePadded;
use parking_lot::{Mutex, MutexGuard};

use qorb_core::pool::{Event, Failure, PoolMachine, Return, SlotId};
use qorb_core::{Backend, Timestamp};

use crate::connector::Connector;
use crate::effects::{Cancel, Effects, Place};
use crate::error::SharedError;
use crate::explain::Explanation;
use crate::link::{Chore, Errand, Home, Link, Outcome, Progress, SharedHome, contain};
use crate::operation::{self, End, Kind};
use crate::probes;
use crate::resolver::Sight;
use crate::runtime::Runtime;
use crate::seats::Cells;
use crate::state::{HOMES, State, is_sampled};
use crate::stats::Stats;

/// A pool, as its clones, handles, operations and background tasks share it.
///
/// What is only read lies apart from what every turn writes, which is the lock and all behind it, and from
/// the count of those who share it.
#[repr(C, align(128))]
pub(crate) struct Shared<K: Connector, R: Runtime> {
    pub(crate) runtime: R,
    pub(crate) connector: Arc<K>,
    pub(crate) name: Arc<str>,
    /// Ends the task that listens to the resolver.
    pub(crate) listening: Arc<Cancel>,
    /// Tells the resolver that nothing works.
    pub(crate) needing: Arc<Cancel>,
    /// What the resolver is doing.
    pub(crate) resolving: Arc<Sight>,
    /// Where claims find their grants, without the lock.
    pub(crate) cells: Arc<Cells<K>>,
    /// A hint that claims wait, so that the next one comes prepared to.
    pub(crate) crowded: AtomicBool,
    state: Apart<Mutex<State<K>>>,
}

/// How many pauses a waiter makes before it goes to sleep: 13 µs on an AMD EPYC of 2024, and 9 on an Intel Xeon of
/// 2023. This and the next are chosen by the bench `pools` with 4 to 1000 tasks on two cores of that EPYC, which a
/// line of the cache goes between in 25 ns in some minutes and in 200 ns in others.
const PATIENCE: u32 = 512;
/// How many it makes before its first look at the lock, and then between any two, where no claims wait: a holder that
/// comes again at once finds all it needs close by for some turns; then the lock goes over as soon as it is free.
/// So nobody loses it often, which decides about the longest waits.
const PAUSES: [u32; 2] = [4, 1];
/// The same where claims wait. Turns are longer, and claims wait for each other more than for the lock: it is best
/// looked at seldom, because a look takes it away from its holder.
const PAUSES_IN_A_CROWD: [u32; 2] = [24, 24];

/// Alone on its lines of the cache, and on those that are fetched along with them.
#[repr(align(128))]
struct Apart<T>(T);

impl<K: Connector, R: Runtime> Shared<K, R> {
    pub(crate) fn new(name: Arc<str>, machine: PoolMachine, connector: K, runtime: R) -> Self {
        let cells = Arc::new(Cells::new());
        let state = State::new(Arc::clone(&name), machine, Arc::clone(&cells));
        Self {
            runtime,
            connector: Arc::new(connector),
            name,
            listening: Arc::default(),
            needing: Arc::default(),
            resolving: Arc::default(),
            cells,
            crowded: AtomicBool::new(false),
            state: Apart(Mutex::new(state)),
        }
    }

    /// Takes the lock. A panic under it would be a bug of ours, and no reason to refuse everybody after it:
    /// it knows no poison.
    ///
    /// It is held for a fraction of a microsecond: whoever finds it taken does best to stay and look, a
    /// little longer than the lock's own patience, before the system is asked to let others run.
    #[inline]
    pub(crate) fn lock(&self) -> MutexGuard<'_, State<K>> {
        let lock = &self.state.0;
        if let Some(state) = lock.try_lock() { state } else { self.lock_patiently() }
    }

    #[cold]
    fn lock_patiently(&self) -> MutexGuard<'_, State<K>> {
        let lock = &self.state.0;
        let crowded = self.crowded.load(Ordering::Relaxed);
        let [mut pauses, next] = if crowded { PAUSES_IN_A_CROWD } else { PAUSES };
        let mut left = PATIENCE;
        while let Some(rest) = left.checked_sub(pauses) {
            for _ in 0..pauses {
                std::hint::spin_loop();
            }
            if !lock.is_locked()
                && let Some(state) = lock.try_lock()
            {
                return state;
            }
            (left, pauses) = (rest, next);
        }
        lock.lock()
    }

    /// What time it is. Whoever looks at the clock looks for tracers too.
    #[inline]
    pub(crate) fn now(&self) -> Timestamp {
        probes::look();
        self.runtime.now()
    }

    pub(crate) fn is_locked(&self) -> bool {
        self.state.0.is_locked()
    }

    /// What the pool is doing: a copy under the lock, made readable outside it.
    pub(crate) fn stats(&self) -> Stats {
        let now = self.now();
        let copied = self.lock().copy(now);
        copied.into_stats(self.resolving.stats(now))
    }

    /// Why it is doing that: likewise.
    pub(crate) fn explain(&self) -> Explanation {
        let now = self.now();
        let case = self.lock().case(now);
        case.explain()
    }

    /// Tells the machine of one event that nobody waits for the answer of.
    pub(crate) fn tell(self: &Arc<Self>, event: Event) {
        let now = self.now();
        let mut effects = Effects::new();
        self.lock().handle(now, event, &mut effects);
        self.carry_out(effects);
    }

    /// Publishes the resolver's latest set.
    pub(crate) fn publish(self: &Arc<Self>, set: Vec<Backend>) {
        self.tell(Event::Backends(set));
    }

    /// Ends the pool; a second time is nothing.
    pub(crate) fn shut_down(self: &Arc<Self>) {
        let now = self.now();
        let mut effects = Effects::new();
        let mut state = self.lock();
        if !mem::replace(&mut state.ending, true) {
            effects.rare().aborts.push(Arc::clone(&self.listening));
            for entry in state.backends.iter().flatten() {
                entry.record.set_wanted(false);
            }
            state.handle(now, Event::ShutDown, &mut effects);
        }
        drop(state);
        self.carry_out(effects);
    }

    /// An operation ended: its connection, if it left one, is back on the shelf before the machine
    /// hears of it.
    pub(crate) fn finish(self: &Arc<Self>, slot: SlotId, kind: Kind, end: End<K>) {
        let now = self.now();
        let mut effects = Effects::new();
        let mut state = self.lock();
        state.end_operation(slot, end.link);
        if let Some(began) = end.began {
            state.tally.connect.add(now.nanos_since(began));
        }
        if let Some(error) = end.error {
            state.blame(slot, &error, &mut effects);
        }
        state.observe_end(slot, kind, end.result);
        state.handle(now, kind.ended(slot, end.result), &mut effects);
        let waiting = state.machine.waiting();
        drop(state);
        self.relax(waiting);
        self.carry_out(effects);
    }

    /// Claims need not come prepared to wait any more, if nobody does.
    #[inline]
    fn relax(&self, waiting: u32) {
        if waiting == 0 && self.crowded.load(Ordering::Relaxed) {
            self.crowded.store(false, Ordering::Relaxed);
        }
    }

    /// What a connection of this slot knows of the pool.
    pub(crate) fn home(self: &Arc<Self>, slot: SlotId) -> Arc<SharedHome<K>> {
        let mut state = self.lock();
        let place = &mut state.homes[slot.0 as usize % HOMES];
        place.upgrade().unwrap_or_else(|| {
            let home: Arc<SharedHome<K>> = Arc::new(CachePadded::new(Box::new(Gate(Arc::clone(self)))));
            *place = Arc::downgrade(&home);
            home
        })
    }

    /// A claimer gives a connection back in good order.
    pub(crate) fn take_back(self: &Arc<Self>, link: Link<K>) {
        // Where somebody waits, or how long it was held is measured, the time has to be right.
        let exact = self.crowded.load(Ordering::Relaxed) || is_sampled(link.held.ticket().arrival);
        let now = exact.then(|| self.now());
        let mut effects = Effects::new();
        let mut state = self.lock();
        let now = if let Some(now) = now {
            now
        } else if state.machine.waiting() == 0 && state.alarm.keeps_time() {
            state.machine.latest()
        } else {
            let now = self.now();
            state.alarm.keep_time(now, &mut effects);
            now
        };
        if let Err(link) = state.take_back(now, link, &mut effects) {
            let slot = link.held.slot;
            state.put_back(now, slot, Place::Resting(link));
            state.handle(now, Event::Returned(slot, Return::Intact), &mut effects);
        }
        let waiting = state.machine.waiting();
        drop(state);
        self.relax(waiting);
        self.carry_out(effects);
    }

    /// A claimer gives a connection back, in `place`.
    pub(crate) fn give_back(self: &Arc<Self>, slot: SlotId, place: Place<K>, what: Return) {
        let now = self.now();
        let mut effects = Effects::new();
        let mut state = self.lock();
        state.put_back(now, slot, place);
        state.handle(now, Event::Returned(slot, what), &mut effects);
        drop(state);
        self.carry_out(effects);
    }

    /// A claimer's connection was found broken by its `on_recycle`.
    pub(crate) fn give_back_broken(
        self: &Arc<Self>,
        slot: SlotId,
        link: Option<Link<K>>,
        error: SharedError,
    ) {
        let now = self.now();
        let mut effects = Effects::new();
        let mut state = self.lock();
        state.blame(slot, &error, &mut effects);
        state.put_back(now, slot, link.map_or(Place::Elsewhere, Place::Resting));
        state.handle(now, Event::Returned(slot, Return::Broken), &mut effects);
        drop(state);
        self.carry_out(effects);
    }

    /// Carries out what was decided, with the lock free.
    #[inline]
    pub(crate) fn carry_out(self: &Arc<Self>, effects: Effects<K>) {
        if let Some(waker) = effects.waker {
            contain(|| waker.wake());
        }
        if effects.rare.is_some() {
            self.carry_out_rare(Effects { waker: None, rare: effects.rare });
        }
    }

    /// Wakes, starts, drops; then tells the machine which connections are closed, and so on until it
    /// wants no more.
    #[cold]
    fn carry_out_rare(self: &Arc<Self>, mut effects: Effects<K>) {
        loop {
            if let Some(waker) = effects.waker.take() {
                contain(|| waker.wake());
            }
            let Some(rare) = effects.rare.take() else { return };
            for waker in rare.wakers {
                contain(|| waker.wake());
            }
            for cancel in rare.aborts {
                contain(|| cancel.ask());
            }
            if rare.forsaken {
                contain(|| self.needing.ask());
            }
            for report in rare.reports {
                contain(|| report.tell(&self.name));
            }
            for start in rare.starts {
                contain(|| operation::start(self, start));
            }
            for litter in rare.litter {
                contain(|| self.runtime.enter(|| drop(litter)));
            }
            if rare.closings.is_empty() {
                return;
            }
            let closed: Vec<SlotId> = rare.closings.iter().map(|(slot, _)| *slot).collect();
            for (_, place) in rare.closings {
                contain(|| self.runtime.enter(|| drop(place)));
            }
            let now = self.now();
            let mut state = self.lock();
            for slot in closed {
                state.handle(now, Event::Closed(slot), &mut effects);
            }
        }
    }
}

/// The way back into a pool. Connections hold it, and the pool holds them while they rest: its end, which closes what
/// rests, breaks the circle.
struct Gate<K: Connector, R: Runtime>(Arc<Shared<K, R>>);

impl<K: Connector, R: Runtime> Home<K> for Gate<K, R> {
    /// Begins to recycle the connection, before anybody takes a lock, and gives it back with what came
    /// of that.
    fn recycle(&self, mut link: Link<K>) {
        let shared = &self.0;
        if !link.held.record.is_wanted() {
            shared.give_back(link.held.slot, Place::Resting(link), Return::Abandoned);
            return;
        }
        probes::recycle_start(&shared.name, link.held.serial, &link.held.record.address);
        let cx = &mut Context::from_waker(Waker::noop());
        let outcome = shared.runtime.enter(|| link.at_once(&shared.connector, Chore::Recycle, cx));
        let intact =
            if let Some(Ok(())) = outcome { Some(link) } else { self.recycle_further(link, outcome) };
        if let Some(link) = intact {
            probes::recycle_ended(&shared.name, link.held.serial, Ok(()));
            shared.take_back(link);
        }
    }

    fn give_back(&self, slot: SlotId, place: Place<K>, what: Return) {
        self.0.give_back(slot, place, what);
    }

    fn connector(&self) -> &K {
        &self.0.connector
    }

    fn name(&self) -> &str {
        &self.0.name
    }
}

impl<K: Connector, R: Runtime> Gate<K, R> {
    /// Polls an `on_recycle` that may take its time, or deals with what came of one `at_once`. A connection
    /// that is in good order already comes back.
    #[inline(never)]
    fn recycle_further(&self, link: Link<K>, at_once: Option<Outcome<(), K>>) -> Option<Link<K>> {
        let (shared, slot, serial) = (&self.0, link.held.slot, link.held.serial);
        let progress = match at_once {
            Some(outcome) => Progress::Done(link, outcome),
            None => shared
                .runtime
                .enter(|| link.start(Chore::Recycle).poll(&mut Context::from_waker(Waker::noop()))),
        };
        match progress {
            Progress::Done(link, Ok(())) => return Some(link),
            Progress::Pending(errand) => {
                shared.give_back(slot, Place::Suspended(errand), Return::Recycling);
            }
            Progress::Done(link, Err(trouble)) => {
                probes::recycle_ended(&shared.name, serial, Err(trouble.failure()));
                shared.give_back_broken(slot, Some(link), trouble.share());
            }
            Progress::Lost(panic) => {
                probes::recycle_ended(&shared.name, serial, Err(Failure::Panicked));
                shared.give_back_broken(slot, None, Arc::new(panic));
            }
        }
        None
    }
}

/// An errand that its owner gave up, dropped where its runtime is.
pub(crate) fn abandon<K: Connector, R: Runtime>(runtime: &R, errand: Errand<K>) {
    contain(|| runtime.enter(|| drop(errand)));
}
