//! A snapshot of a pool as JSON: what the original qorb's monitor reads, and more beside it.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use qorb_core::pool::Standing;
use qorb_core::{Backend, Timestamp};
use serde::Serialize;

use crate::dns::{ResolverStats, ServerStats};
use crate::histogram::Histogram;
use crate::stats::{BackendStats, HandleStats, Stats};

/// The handles that are shown, of those that are out: the ones that have been for longest.
const HANDLES: usize = 32;

/// A snapshot, the same for all clients but for the claims since they looked last.
pub(super) struct Frame {
    /// When it was taken.
    pub(super) at: Timestamp,
    /// The number of the set of backends that it shows, or a later one's; none once the pool has ended.
    pub(super) set: Option<u64>,
    /// Claims ever made.
    pub(super) claims: u64,
    /// The object without its first field and the brace before that.
    rest: String,
}

impl Frame {
    /// The version of the format, which grows when a field goes or means something else.
    pub(super) const VERSION: u32 = 1;

    pub(super) fn new(stats: Stats, set: Option<u64>, at: Timestamp, date: SystemTime) -> Self {
        let claims = stats.claims;
        let body = serde_json::to_string(&Body::new(stats, date)).expect("every key is a string");
        Self { at, set, claims, rest: body[1..].to_owned() }
    }

    /// The object, for a client that has seen so many claims.
    pub(super) fn text_since(&self, claims: u64) -> String {
        format!("{{\"claims\":{},{}", self.claims.saturating_sub(claims), self.rest)
    }
}

/// What tells a backend from all others: `name@address`, or the address alone where that is its name.
pub(super) fn label(backend: &Backend) -> String {
    let address = backend.address.to_string();
    if *backend.name == *address { address } else { format!("{}@{address}", backend.name) }
}

#[derive(Serialize)]
struct Body {
    version: u32,
    name: String,
    at_ms: u64,
    ended: bool,
    total_claims: u64,
    granted_at_once: u64,
    granted_after_waiting: u64,
    denied: BTreeMap<&'static str, u64>,
    cancelled: u64,
    waiting: usize,
    wait: Times,
    hold: Times,
    connect: Times,
    connects: u64,
    closes: u64,
    failures: u64,
    handles: Vec<Held>,
    resolver: Option<Resolving>,
    sets: BTreeMap<String, Set>,
}

impl Body {
    fn new(stats: Stats, date: SystemTime) -> Self {
        let mut handles = stats.handles;
        handles.sort_by_key(|handle| (std::cmp::Reverse(handle.held), handle.claim_id));
        handles.truncate(HANDLES);
        Self {
            version: Frame::VERSION,
            name: stats.name,
            at_ms: millis(date.duration_since(UNIX_EPOCH).unwrap_or_default()),
            ended: stats.ended,
            total_claims: stats.claims,
            granted_at_once: stats.granted_at_once,
            granted_after_waiting: stats.granted_after_waiting,
            denied: stats.denied,
            cancelled: stats.cancelled,
            waiting: stats.waiting,
            wait: Times::new(&stats.wait),
            hold: Times::new(&stats.hold),
            connect: Times::new(&stats.connect),
            connects: stats.connects,
            closes: stats.closes,
            failures: stats.failures,
            handles: handles.into_iter().map(Held::new).collect(),
            resolver: stats.resolver.map(Resolving::new),
            sets: stats.backends.into_iter().map(|of| (label(&of.backend), Set::new(of))).collect(),
        }
    }
}

#[derive(Serialize)]
struct Times {
    count: u64,
    sum_us: u64,
    p50_us: u64,
    p99_us: u64,
}

impl Times {
    fn new(histogram: &Histogram) -> Self {
        Self {
            count: histogram.count(),
            sum_us: micros(histogram.sum()),
            p50_us: micros(histogram.quantile(0.5)),
            p99_us: micros(histogram.quantile(0.99)),
        }
    }
}

#[derive(Serialize)]
struct Held {
    slot_id: u64,
    claim_id: u64,
    backend: String,
    held_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<String>,
}

impl Held {
    fn new(of: HandleStats) -> Self {
        let backend = label(&of.backend);
        let HandleStats { slot_id, claim_id, held, label, .. } = of;
        Self { slot_id, claim_id, backend, held_ms: millis(held), label: label.map(|of| of.to_string()) }
    }
}

#[derive(Serialize)]
struct Set {
    checking_slots: usize,
    claimed_slots: usize,
    connecting_slots: usize,
    total_claims: u64,
    unclaimed_slots: usize,
    name: String,
    address: String,
    priority: u16,
    weight: u16,
    online: bool,
    in_set: bool,
    standing: &'static str,
    failures: u32,
    connect_failures: u64,
    draining_slots: usize,
    last_error: Option<String>,
    next_attempt_in_ms: Option<u64>,
}

impl Set {
    fn new(of: BackendStats) -> Self {
        Self {
            checking_slots: of.checking_slots,
            claimed_slots: of.claimed_slots,
            connecting_slots: of.connecting_slots,
            total_claims: of.total_claims,
            unclaimed_slots: of.unclaimed_slots,
            name: of.backend.name.to_string(),
            address: of.backend.address.to_string(),
            priority: of.backend.priority,
            weight: of.backend.weight,
            online: of.online,
            in_set: of.in_set,
            standing: standing(of.standing),
            failures: of.failures,
            connect_failures: of.connect_failures,
            draining_slots: of.draining_slots,
            last_error: of.last_error.map(|error| error.to_string()),
            next_attempt_in_ms: of.next_attempt_in.map(millis),
        }
    }
}

#[derive(Serialize)]
struct Resolving {
    service: String,
    servers: Vec<Server>,
    backends: usize,
    set_age_ms: Option<u64>,
    stale_for_ms: Option<u64>,
    rounds: u64,
    next_round_in_ms: Option<u64>,
}

impl Resolving {
    fn new(of: ResolverStats) -> Self {
        Self {
            service: of.service,
            servers: of.servers.into_iter().map(Server::new).collect(),
            backends: of.backends,
            set_age_ms: of.set_age.map(millis),
            stale_for_ms: of.stale_for.map(millis),
            rounds: of.rounds,
            next_round_in_ms: of.next_round_in.map(millis),
        }
    }
}

#[derive(Serialize)]
struct Server {
    address: String,
    is_discovered: bool,
    failures: u32,
    last_outcome: Option<String>,
    last_outcome_age_ms: Option<u64>,
    fresh_for_ms: Option<u64>,
}

impl Server {
    fn new(of: ServerStats) -> Self {
        Self {
            address: of.address.to_string(),
            is_discovered: of.is_discovered,
            failures: of.failures,
            last_outcome: of.last_outcome,
            last_outcome_age_ms: of.last_outcome_age.map(millis),
            fresh_for_ms: of.fresh_for.map(millis),
        }
    }
}

fn standing(of: Standing) -> &'static str {
    match of {
        Standing::Untried => "untried",
        Standing::Down => "down",
        Standing::Up => "up",
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}
