//! A line a second about a pool.

use std::fmt::Write;
use std::io;
use std::time::Duration;

use qorb_driver::{Backend, BackendStats, Connector, Pool, Runtime, Timestamp};

use crate::load::Load;

/// How often it looks whether a backend was lost.
const GLANCE: Duration = Duration::from_millis(50);

/// Looks at a pool and its load, and tells about them once a second.
#[derive(Debug)]
pub struct Watch<R> {
    runtime: R,
    begin: Timestamp,
    next: Timestamp,
    lines: u32,
    claims: u64,
    rate: u64,
    online: Vec<Backend>,
}

impl<R: Runtime> Watch<R> {
    /// Begins now.
    pub fn new(runtime: &R) -> Self {
        let begin = runtime.now();
        let next = begin.after(Duration::from_secs(1));
        Self { runtime: runtime.clone(), begin, next, lines: 0, claims: 0, rate: 0, online: Vec::new() }
    }

    /// How long it has been looking.
    pub fn elapsed(&self) -> Duration {
        self.runtime.now().since(self.begin)
    }

    /// Looks on until so long after the beginning, and hands every line to `tell`.
    ///
    /// # Errors
    ///
    /// What `tell` fails with ends the look.
    pub async fn until<K: Connector>(
        &mut self,
        end: Duration,
        pool: &Pool<K, R>,
        load: &Load,
        mut tell: impl FnMut(&str) -> io::Result<()>,
    ) -> io::Result<()> {
        let end = self.begin.after(end);
        loop {
            self.look(pool, load);
            let now = self.runtime.now();
            if now >= self.next {
                tell(&self.line(pool, load))?;
                self.next = self.next.after(Duration::from_secs(1));
            }
            if now >= end {
                return Ok(());
            }
            let glance = now.after(GLANCE).min(self.next).min(end);
            self.runtime.sleep_until(glance).await;
        }
    }

    /// What a screen shows of the pool and its load: a title, and each backend with its slots. Looks too.
    pub(crate) fn news<K: Connector>(&mut self, pool: &Pool<K, R>, load: &Load) -> (String, Vec<String>) {
        self.look(pool, load);
        let now = self.runtime.now();
        let (ok, failed) = {
            let tally = load.tally();
            (tally.claims_ok, tally.claims_failed)
        };
        if now >= self.next {
            self.next = now.after(Duration::from_secs(1));
            (self.rate, self.claims) = (ok - self.claims, ok);
        }
        let stats = pool.stats();
        let title = format!(
            "{}   {} s   {} claims/s   {ok} claims granted, {failed} denied",
            stats.name,
            self.elapsed().as_secs(),
            self.rate
        );
        (title, stats.backends.iter().map(slots).collect())
    }

    /// Notes which backends were lost, even where no request was cut off by that.
    fn look<K: Connector>(&mut self, pool: &Pool<K, R>, load: &Load) {
        let stats = pool.stats();
        let online = stats.backends.into_iter().filter(|backend| backend.online);
        let online: Vec<_> = online.map(|stats| stats.backend).collect();
        for lost in self.online.iter().filter(|backend| !online.contains(backend)) {
            let mut tally = load.tally();
            if !tally.is_missing(lost) {
                tally.await_answer(lost.clone(), self.runtime.now());
            }
        }
        self.online = online;
    }

    fn line<K: Connector>(&mut self, pool: &Pool<K, R>, load: &Load) -> String {
        let claims = load.tally().claims_ok;
        self.lines += 1;
        let mut line = format!("{:3} s {:6} claims/s", self.lines, claims - self.claims);
        self.claims = claims;
        for backend in pool.stats().backends {
            let _ = write!(line, "   {}", slots(&backend));
        }
        line
    }
}

/// A backend and its slots.
fn slots(stats: &BackendStats) -> String {
    let connected = stats.unclaimed_slots + stats.checking_slots + stats.claimed_slots;
    let short = stats.backend.name.split('.').next().unwrap_or_default();
    if !stats.online {
        return format!("{short} down");
    }
    format!("{short} {connected} slots ({} claimed)", stats.claimed_slots)
}
