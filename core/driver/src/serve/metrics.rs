//! Snapshots as Prometheus reads them: the text format, version 0.0.4.

use std::fmt::Display;
use std::fmt::Write;
use std::sync::Arc;

use qorb_core::pool::Standing;

use super::frame::label;
use super::pools::Served;
use crate::histogram::Histogram;
use crate::stats::{BackendStats, Stats};

/// What all of these pools are doing now.
pub(super) fn text(pools: &[Arc<Served>]) -> String {
    let stats: Vec<_> = pools.iter().filter_map(|pool| pool.stats()).collect();
    of(&stats)
}

fn of(pools: &[Stats]) -> String {
    let mut page = Page::default();
    page.family("qorb_claims_total", "counter", "Claims that have ended, and how.");
    for pool in pools {
        let granted = [
            ("granted_at_once", pool.granted_at_once),
            ("granted_after_waiting", pool.granted_after_waiting),
            ("cancelled", pool.cancelled),
        ];
        let denied = pool.denied.iter().map(|(reason, count)| (*reason, *count));
        for (result, count) in granted.into_iter().chain(denied) {
            page.sample("", &[("pool", &pool.name), ("result", result)], count);
        }
    }
    page.family("qorb_claims_waiting", "gauge", "Claims that wait now.");
    for pool in pools {
        page.sample("", &[("pool", &pool.name)], pool.waiting);
    }
    page.family("qorb_slots", "gauge", "Slots, by what they are doing.");
    for pool in pools {
        for backend in &pool.backends {
            let label = label(&backend.backend);
            for (state, count) in slots(backend) {
                page.sample("", &[("pool", &pool.name), ("backend", &label), ("state", state)], count);
            }
        }
    }
    page.family(
        "qorb_backends",
        "gauge",
        "Backends, by what the pool makes of them; gone ones have slots left.",
    );
    for pool in pools {
        for state in ["up", "down", "untried", "gone"] {
            let count = pool.backends.iter().filter(|backend| state_of(backend) == state).count();
            page.sample("", &[("pool", &pool.name), ("state", state)], count);
        }
    }
    let help = "Connects that failed or took too long, of backends that are known now.";
    page.family("qorb_connect_failures_total", "counter", help);
    for pool in pools {
        for backend in &pool.backends {
            let labels = [("pool", &*pool.name), ("backend", &label(&backend.backend))];
            page.sample("", &labels, backend.connect_failures);
        }
    }
    page.family(
        "qorb_claim_wait_seconds",
        "histogram",
        "How long claims waited that had to, and were granted.",
    );
    pools.iter().for_each(|pool| page.histogram(&pool.name, &pool.wait));
    let help = "How long connections were held: one claim in sixteen is measured.";
    page.family("qorb_claim_hold_seconds", "histogram", help);
    pools.iter().for_each(|pool| page.histogram(&pool.name, &pool.hold));
    page.family("qorb_connect_seconds", "histogram", "How long connects took that went well.");
    pools.iter().for_each(|pool| page.histogram(&pool.name, &pool.connect));
    page.text
}

/// Every slot of a backend, in one state each.
fn slots(backend: &BackendStats) -> [(&'static str, usize); 5] {
    let used = [
        ("connecting", backend.connecting_slots),
        ("unclaimed", backend.unclaimed_slots),
        ("checking", backend.checking_slots),
        ("claimed", backend.claimed_slots),
    ];
    // Of a backend that has left the set, all slots drain, also those that are still of use.
    let counted: usize = if backend.in_set { 0 } else { used.iter().map(|(_, count)| count).sum() };
    let [connecting, unclaimed, checking, claimed] = used;
    [connecting, unclaimed, checking, claimed, ("closing", backend.draining_slots - counted)]
}

fn state_of(backend: &BackendStats) -> &'static str {
    match backend.standing {
        _ if !backend.in_set => "gone",
        Standing::Up => "up",
        Standing::Down => "down",
        Standing::Untried => "untried",
    }
}

/// The text, and the family of which samples are being written.
#[derive(Default)]
struct Page {
    text: String,
    name: &'static str,
}

impl Page {
    fn family(&mut self, name: &'static str, kind: &str, help: &str) {
        self.name = name;
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    fn sample(&mut self, suffix: &str, labels: &[(&str, &str)], value: impl Display) {
        let labels: Vec<_> =
            labels.iter().map(|(key, value)| format!("{key}=\"{}\"", escaped(value))).collect();
        let (name, labels) = (self.name, labels.join(","));
        self.line(format_args!("{name}{suffix}{{{labels}}} {value}"));
    }

    /// The classes, each with those below it; the last one holds everything longer, and has no bound.
    fn histogram(&mut self, pool: &str, histogram: &Histogram) {
        let mut below = 0;
        for class in 0..Histogram::CLASSES - 1 {
            below += histogram.class(class);
            let bound = Histogram::bound(class).as_secs_f64().to_string();
            self.sample("_bucket", &[("pool", pool), ("le", &bound)], below);
        }
        let count = histogram.count();
        self.sample("_bucket", &[("pool", pool), ("le", "+Inf")], count);
        self.sample("_sum", &[("pool", pool)], histogram.sum().as_secs_f64());
        self.sample("_count", &[("pool", pool)], count);
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        writeln!(self.text, "{line}").expect("a string takes everything");
    }
}

/// The value of a label.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
