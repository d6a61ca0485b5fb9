//! What a pool is doing, as numbers: a snapshot for people, monitors and metrics.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use qorb_core::pool::{BackendId, Counts, Denial, SlotId, SlotKind, Standing};
use qorb_core::{Backend, Timestamp};

use crate::connector::Connector;
use crate::dns::ResolverStats;
use crate::error::{SharedError, reason};
use crate::histogram::Histogram;
use crate::state::{Away, State};

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
    /// How long connects took that went well.
    pub connect: Histogram,
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
    /// Connects to it that ever failed or took too long.
    pub connect_failures: u64,
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
    /// What its claim was labelled, if it was.
    pub label: Option<Arc<str>>,
}

/// The counters, as they are kept under the lock.
#[derive(Clone, Debug, Default)]
#[repr(C)]
pub(crate) struct Tally {
    /// Claims that slots served which are gone.
    pub(crate) served: u64,
    denied: [u64; 6],
    pub(crate) cancelled: u64,
    pub(crate) wait: Histogram,
    pub(crate) hold: Histogram,
    pub(crate) connect: Histogram,
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

/// What there is to know of a pool, as it was copied under its lock: it is made readable outside.
pub(crate) struct Copied {
    now: Timestamp,
    name: Arc<str>,
    tally: Tally,
    claims: u64,
    waiting: u32,
    stopped: bool,
    backends: Vec<CopiedBackend>,
    slots: Vec<CopiedSlot>,
}

struct CopiedBackend {
    id: BackendId,
    backend: Backend,
    counts: Counts,
    in_set: bool,
    standing: Standing,
    failures: u32,
    next_attempt: Option<Timestamp>,
    claims: u64,
    connect_failures: u64,
    last_error: Option<SharedError>,
}

/// A slot that has served claims, or does.
struct CopiedSlot {
    backend: BackendId,
    serial: u64,
    claims: u64,
    away: Option<Away>,
    label: Option<Arc<str>>,
}

impl<K: Connector> State<K> {
    /// Copies what there is to know, and nothing more: claimers wait for the lock meanwhile.
    pub(crate) fn copy(&mut self, now: Timestamp) -> Copied {
        self.learn_who_fetched();
        for (slot, berth) in (0..).map(SlotId).zip(&mut self.shelf) {
            let is_held = || self.machine.slot_kind(slot) == Some(SlotKind::Claimed);
            if berth.away.is_some() && berth.seat().is_none() && is_held() {
                berth.count(&mut self.tally);
            }
        }
        let mut backends = Vec::with_capacity(self.backends.len());
        backends.extend(self.machine.census().map(|view| {
            let entry = self.backends.get(view.id.0 as usize).and_then(Option::as_ref);
            CopiedBackend {
                id: view.id,
                backend: view.backend.clone(),
                counts: *view.counts,
                in_set: view.in_set,
                standing: view.standing,
                failures: view.failures,
                next_attempt: view.next_attempt,
                claims: entry.map_or(0, |entry| entry.claims),
                connect_failures: entry.map_or(0, |entry| entry.connect_failures),
                last_error: entry.and_then(|entry| entry.last_error.clone()),
            }
        }));
        let mut slots = Vec::with_capacity(self.shelf.len());
        let berths = (0..).map(SlotId).zip(&self.shelf);
        let served = berths.filter(|(_, berth)| berth.claims > 0 || berth.away.is_some());
        slots.extend(served.map(|(slot, berth)| {
            let away = berth.away.filter(|_| berth.seat().is_none());
            CopiedSlot {
                backend: berth.backend,
                serial: berth.serial,
                claims: berth.claims,
                away,
                label: away.and_then(|away| self.labels.of(slot, away.claim.get())),
            }
        }));
        Copied {
            now,
            name: Arc::clone(&self.name),
            tally: self.tally.clone(),
            claims: self.machine.arrivals(),
            waiting: self.machine.waiting(),
            stopped: self.stopped,
            backends,
            slots,
        }
    }
}

impl Copied {
    /// The same, for people and programs.
    pub(crate) fn into_stats(self, resolver: Option<ResolverStats>) -> Stats {
        let served = self.tally.served + self.slots.iter().map(|slot| slot.claims).sum::<u64>();
        let waited = self.tally.wait.count();
        let (handles, backends) = (self.handles(), self.backends());
        let denials = DENIALS.iter().zip(self.tally.denied);
        Stats {
            name: self.name.to_string(),
            backends,
            claims: self.claims,
            granted_at_once: served - waited,
            granted_after_waiting: waited,
            denied: denials.map(|(denial, count)| (reason(*denial), count)).collect(),
            cancelled: self.tally.cancelled,
            waiting: self.waiting as usize,
            wait: self.tally.wait,
            hold: self.tally.hold,
            connect: self.tally.connect,
            connects: self.tally.connects,
            closes: self.tally.closes,
            failures: self.tally.failures,
            handles,
            resolver,
            ended: self.stopped,
        }
    }

    fn handles(&self) -> Vec<HandleStats> {
        let backends: BTreeMap<_, _> = self.backends.iter().map(|of| (of.id, &of.backend)).collect();
        let out = self.slots.iter().filter_map(|slot| {
            let away = slot.away?;
            let backend = Backend::clone(backends.get(&slot.backend)?);
            let (claim_id, held) = (away.claim.get(), self.now.since(away.since));
            let label = slot.label.clone();
            Some(HandleStats { slot_id: slot.serial, claim_id, backend, held, label })
        });
        out.collect()
    }

    fn backends(&self) -> Vec<BackendStats> {
        let mut served: BTreeMap<BackendId, u64> = BTreeMap::new();
        for slot in &self.slots {
            *served.entry(slot.backend).or_default() += slot.claims;
        }
        let backends = self.backends.iter().map(|copied| {
            let of = |kind| copied.counts.of(kind) as usize;
            let leaving = of(SlotKind::Aborting) + of(SlotKind::Closing);
            BackendStats {
                backend: copied.backend.clone(),
                connecting_slots: of(SlotKind::Connecting),
                unclaimed_slots: of(SlotKind::Unclaimed),
                checking_slots: of(SlotKind::Checking) + of(SlotKind::Recycling),
                claimed_slots: copied.counts.held() as usize,
                draining_slots: if copied.in_set { leaving } else { copied.counts.total() as usize },
                total_claims: copied.claims + served.get(&copied.id).copied().unwrap_or_default(),
                online: copied.counts.connected() > 0,
                in_set: copied.in_set,
                standing: copied.standing,
                failures: copied.failures,
                connect_failures: copied.connect_failures,
                last_error: copied.last_error.clone(),
                next_attempt_in: copied.next_attempt.map(|time| time.since(self.now)),
            }
        });
        backends.collect()
    }
}
