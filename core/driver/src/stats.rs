//! What a pool is doing, as numbers: a snapshot for people, monitors and metrics.

use std::collections::BTreeMap;
use std::time::Duration;

use qorb_core::pool::{Denial, SlotKind, Standing};
use qorb_core::{Backend, Timestamp};

use crate::connector::Connector;
use crate::dns::ResolverStats;
use crate::error::{SharedError, reason};
use crate::state::State;

/// A snapshot of a pool. Counters count from the pool's beginning.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Stats {
    /// The pool's name.
    pub name: String,
    /// Its backends: those in the resolver's set, and those that left it with connections still open.
    pub backends: Vec<BackendStats>,
    /// Claims ever made.
    pub claims: u64,
    /// Claims that found a connection ready.
    pub granted_at_once: u64,
    /// Claims that got one after waiting.
    pub granted_after_waiting: u64,
    /// Claims that were denied, by the name of the reason.
    pub denied: BTreeMap<&'static str, u64>,
    /// Claims that were dropped before they were answered.
    pub cancelled: u64,
    /// Claims that wait now.
    pub waiting: usize,
    /// How long claims waited that had to.
    pub wait: Histogram,
    /// How long connections were held: one in sixteen is measured.
    pub hold: Histogram,
    /// Connects ever started.
    pub connects: u64,
    /// Connections and failed attempts ever closed.
    pub closes: u64,
    /// Failures ever, of connects, checks, recycles and connections.
    pub failures: u64,
    /// The handles that are out.
    pub handles: Vec<HandleStats>,
    /// What its resolver is doing, if that shows it: one of DNS does.
    pub resolver: Option<ResolverStats>,
    /// Whether the pool has ended.
    pub ended: bool,
}

/// One backend of a pool.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BackendStats {
    /// Its name and address.
    pub backend: Backend,
    /// Slots whose connect is running.
    pub connecting_slots: usize,
    /// Connections ready to be claimed.
    pub unclaimed_slots: usize,
    /// Connections being checked or recycled.
    pub checking_slots: usize,
    /// Connections in claimers' hands.
    pub claimed_slots: usize,
    /// Slots on their way out, or all of them where the backend has left the set.
    pub draining_slots: usize,
    /// Claims it ever served.
    pub total_claims: u64,
    /// Whether it has a connection.
    pub online: bool,
    /// Whether it is in the resolver's latest set.
    pub in_set: bool,
    /// Untried, down or up.
    pub standing: Standing,
    /// Failed connects since it last proved itself.
    pub failures: u32,
    /// The latest error of its connections.
    pub last_error: Option<SharedError>,
    /// In how long it may be dialled again, if not at once.
    pub next_attempt_in: Option<Duration>,
}

/// One handle that is out.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HandleStats {
    /// The number of its slot.
    pub slot_id: u64,
    /// The number of the claim that it came from, as probes show it.
    pub claim_id: u64,
    /// The backend at the other end.
    pub backend: Backend,
    /// For how long it has been out, at most.
    pub held: Duration,
}

/// How often a duration was how long, in classes of powers of two.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Histogram {
    /// Nanoseconds. So many waiters may wait for so long that 64 bits would not do.
    sum: u128,
    classes: [u64; Self::CLASSES],
}

impl Histogram {
    /// How many classes there are. The last one holds everything that is longer than all others.
    pub const CLASSES: usize = 32;

    /// The class that ends at `2^class` microseconds: how many durations were shorter than that, and
    /// not shorter than half of it.
    #[must_use]
    pub fn class(&self, class: usize) -> u64 {
        self.classes.get(class).copied().unwrap_or(0)
    }

    /// Where a class ends.
    #[must_use]
    pub const fn bound(class: usize) -> Duration {
        Duration::from_micros(1 << class)
    }

    /// How many durations were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.classes.iter().sum()
    }

    /// All of them together.
    #[must_use]
    pub fn sum(&self) -> Duration {
        const SECOND: u128 = 1_000_000_000;
        Duration::new((self.sum / SECOND) as u64, (self.sum % SECOND) as u32)
    }

    /// A bound that `share` of all durations (0.5: half of them) kept; zero where there was none.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Duration {
        let wanted = (self.count() as f64 * share).ceil() as u64;
        let mut seen = 0;
        for (class, count) in self.classes.iter().enumerate() {
            seen += count;
            if *count > 0 && seen >= wanted {
                return Self::bound(class);
            }
        }
        Duration::ZERO
    }

    /// Counts a duration of so many nanoseconds.
    #[inline]
    pub(crate) fn add(&mut self, nanos: u64) {
        self.classes[class_of(nanos)] += 1;
        self.sum += u128::from(nanos);
    }

    /// Takes out a duration that was added.
    pub(crate) fn remove(&mut self, nanos: u64) {
        self.classes[class_of(nanos)] -= 1;
        self.sum -= u128::from(nanos);
    }
}

fn class_of(nanos: u64) -> usize {
    let class = (u64::BITS - (nanos / 1000).leading_zeros()) as usize;
    class.min(Histogram::CLASSES - 1)
}

/// The counters, as they are kept under the lock.
#[derive(Debug, Default)]
#[repr(C)]
pub(crate) struct Tally {
    /// Claims that slots served which are gone.
    pub(crate) served: u64,
    denied: [u64; 6],
    pub(crate) cancelled: u64,
    pub(crate) wait: Histogram,
    pub(crate) hold: Histogram,
    pub(crate) connects: u64,
    pub(crate) closes: u64,
    pub(crate) failures: u64,
}

/// The denials in the order in which they are counted.
const DENIALS: [Denial; 6] = [
    Denial::NoBackends,
    Denial::NoBackendsOnline,
    Denial::AllClaimsUsed { checking: 0 },
    Denial::TooManyWaiting,
    Denial::AcquireFailed,
    Denial::Terminated,
];

impl Tally {
    pub(crate) fn denied(&mut self, kind: Denial) {
        let index = DENIALS.iter().position(|denial| reason(*denial) == reason(kind));
        self.denied[index.expect("all of them are listed")] += 1;
    }
}

impl<K: Connector> State<K> {
    /// Copies what there is to know.
    pub(crate) fn stats(&mut self, now: Timestamp) -> Stats {
        self.learn_who_fetched();
        let denials = DENIALS.iter().zip(self.tally.denied);
        let served = self.tally.served + self.shelf.iter().map(|berth| berth.claims).sum::<u64>();
        let waited = self.tally.wait.count();
        Stats {
            name: self.name.to_string(),
            backends: self.backend_stats(now),
            claims: self.machine.arrivals(),
            granted_at_once: served - waited,
            granted_after_waiting: waited,
            denied: denials.map(|(denial, count)| (reason(*denial), count)).collect(),
            cancelled: self.tally.cancelled,
            waiting: self.machine.waiting() as usize,
            wait: self.tally.wait.clone(),
            hold: self.tally.hold.clone(),
            connects: self.tally.connects,
            closes: self.tally.closes,
            failures: self.tally.failures,
            handles: self.handle_stats(now),
            resolver: None,
            ended: self.stopped,
        }
    }

    fn backend_stats(&self, now: Timestamp) -> Vec<BackendStats> {
        let mut served = vec![0; self.backends.len()];
        for berth in self.shelf.iter().filter(|berth| berth.claims > 0) {
            served[berth.backend.0 as usize] += berth.claims;
        }
        let views = self.machine.census().map(|view| {
            let of = |kind| view.counts.of(kind) as usize;
            let entry = self.backends.get(view.id.0 as usize).and_then(Option::as_ref);
            let error = entry.and_then(|entry| entry.last_error.as_ref());
            let leaving = of(SlotKind::Aborting) + of(SlotKind::Closing);
            BackendStats {
                backend: view.backend.clone(),
                connecting_slots: of(SlotKind::Connecting),
                unclaimed_slots: of(SlotKind::Unclaimed),
                checking_slots: of(SlotKind::Checking) + of(SlotKind::Recycling),
                claimed_slots: view.counts.held() as usize,
                draining_slots: if view.in_set { leaving } else { view.counts.total() as usize },
                total_claims: served[view.id.0 as usize] + entry.map_or(0, |entry| entry.claims),
                online: view.counts.connected() > 0,
                in_set: view.in_set,
                standing: view.standing,
                failures: view.failures,
                last_error: error.cloned(),
                next_attempt_in: view.next_attempt.map(|time| time.since(now)),
            }
        });
        views.collect()
    }

    pub(crate) fn handle_stats(&mut self, now: Timestamp) -> Vec<HandleStats> {
        self.learn_who_fetched();
        let out = self.away().filter_map(|(berth, away)| {
            let entry = self.backends.get(berth.backend.0 as usize)?.as_ref()?;
            let backend = entry.record.backend.clone();
            let (slot_id, claim_id, held) = (berth.serial, away.claim.get(), now.since(away.since));
            Some(HandleStats { slot_id, claim_id, backend, held })
        });
        out.collect()
    }
}
