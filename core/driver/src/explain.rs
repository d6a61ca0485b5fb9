//! Why a pool has the connections it has, and why claims wait, in sentences.
//!
//! Under the lock the machine is copied; whatever follows from that is found outside.

mod sentences;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use qorb_core::pool::{BackendView, Gap, PoolMachine, Position, SlotKind, Standing};
use qorb_core::{Backend, Timestamp};

use crate::connector::Connector;
use crate::error::SharedError;
use crate::seats::Sitting;
use crate::state::State;

/// Why a pool has the slots it has, backend by backend, and why claims wait. Printed, it is several lines.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Explanation {
    /// The pool's name.
    pub name: String,
    /// The claims that wait.
    pub queue: QueueExplanation,
    /// The backends: those in the resolver's set in the pool's own order, then those that have left it.
    pub backends: Vec<BackendExplanation>,
}

/// Why claims wait.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct QueueExplanation {
    /// How many there are.
    pub waiting: usize,
    /// How long the one has waited that came first.
    pub oldest: Option<Duration>,
    /// All of it in a sentence.
    pub sentence: String,
}

/// Why a backend has the slots it has.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BackendExplanation {
    /// Its name and address.
    pub backend: Backend,
    /// Whether it is in the resolver's latest set.
    pub in_set: bool,
    /// Whether its priority is in use, or would be if one of its backends worked.
    pub priority_in_use: bool,
    /// Its place in the pool's own order of those of its priority, from 1; 0 where it is not in the set.
    pub rank: usize,
    /// Whether the plan wants slots of it, to serve claims or to see whether it works.
    pub in_subset: bool,
    /// How many slots the plan gives it.
    pub share: usize,
    /// How many it has, but for those on their way out.
    pub slots: usize,
    /// Whether it has a connection.
    pub online: bool,
    /// For how long it has been online, or has not.
    pub since: Duration,
    /// Untried, down or up.
    pub standing: Standing,
    /// Connects that failed in a row.
    pub failures: u32,
    /// The latest error of its connections.
    pub last_error: Option<SharedError>,
    /// In how long it may be dialled again, if not at once.
    pub next_attempt_in: Option<Duration>,
    /// All of it in a sentence.
    pub sentence: String,
}

/// What there is to explain, as it was copied under the lock.
pub(crate) struct Case {
    name: Arc<str>,
    machine: PoolMachine,
    now: Timestamp,
    oldest: Option<Timestamp>,
    ending: bool,
    /// By backend id: since when it has been online or has not, failed connects, and the latest error.
    known: Vec<Option<(Timestamp, u64, Option<SharedError>)>>,
}

impl<K: Connector> State<K> {
    /// Copies what there is to explain, and nothing more: claimers wait for the lock meanwhile.
    pub(crate) fn case(&mut self, now: Timestamp) -> Case {
        self.learn_who_fetched();
        let waiting = self.seats.iter().filter(|seat| matches!(seat.sitting, Sitting::Waiting));
        let known = self.backends.iter().map(|entry| {
            let entry = entry.as_ref()?;
            Some((entry.since, entry.connect_failures, entry.last_error.clone()))
        });
        Case {
            name: Arc::clone(&self.name),
            machine: PoolMachine::clone(&self.machine),
            now,
            oldest: waiting.map(|seat| seat.since).min(),
            ending: self.ending,
            known: known.collect(),
        }
    }
}

/// One backend of it.
struct Subject<'case> {
    case: &'case Case,
    view: BackendView<'case>,
    position: Option<Position>,
    since: Duration,
    connect_failures: u64,
    last_error: Option<SharedError>,
}

impl Case {
    pub(crate) fn explain(&self) -> Explanation {
        let positions = self.machine.positions();
        let places: BTreeMap<_, _> =
            positions.iter().zip(0..).map(|(of, place)| (of.backend, place)).collect();
        let mut views: Vec<_> =
            self.machine.census().map(|view| (places.get(&view.id).copied(), view)).collect();
        views.sort_by_key(|(place, _)| place.unwrap_or(usize::MAX));
        let backends = views.into_iter().map(|(place, view)| {
            let known = self.known.get(view.id.0 as usize).and_then(Clone::clone);
            let (since, connect_failures, last_error) = known.unwrap_or((self.now, 0, None));
            let position = place.map(|place| positions[place]);
            let since = self.now.since(since);
            Subject { case: self, view, position, since, connect_failures, last_error }.explain()
        });
        let backends = backends.collect();
        Explanation { name: self.name.to_string(), queue: self.queue(), backends }
    }

    fn queue(&self) -> QueueExplanation {
        let waiting = self.machine.waiting() as usize;
        let oldest = self.oldest.filter(|_| waiting > 0).map(|since| self.now.since(since));
        QueueExplanation { waiting, oldest, sentence: sentences::queue(self, waiting, oldest) }
    }

    /// In how long.
    fn until(&self, time: Option<Timestamp>) -> Option<Duration> {
        time.map(|time| time.since(self.now))
    }
}

impl Subject<'_> {
    fn explain(self) -> BackendExplanation {
        let sentence = sentences::backend(&self);
        let Self { case, view, position, since, last_error, .. } = self;
        BackendExplanation {
            backend: view.backend.clone(),
            in_set: view.in_set,
            priority_in_use: position.is_some_and(|of| of.is_open),
            rank: position.map_or(0, |of| of.rank as usize),
            in_subset: position.is_some_and(|of| of.share > 0 || of.is_probed),
            share: position.map_or(0, |of| of.share as usize),
            slots: view.counts.live() as usize,
            online: view.counts.connected() > 0,
            since,
            standing: view.standing,
            failures: view.failures,
            last_error,
            next_attempt_in: case.until(view.next_attempt),
            sentence,
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.name, self.queue.sentence)?;
        self.backends.iter().try_for_each(|of| writeln!(f, "{}: {}", of.backend, of.sentence))
    }
}
