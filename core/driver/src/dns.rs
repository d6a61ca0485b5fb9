//! The DNS resolver: the machine of `qorb_core::dns`, with sockets.
//!
//! Everything of it lives in one stream, which the pool's listening task polls: the machine, a future
//! for each question under way, and one timer. So it needs no lock, parsing holds up no claim, what is
//! forgotten is dropped, and bytes of a forgotten question have no way to the machine.
//!
//! `line` is a question's socket or stream; `system` finds whom the system asks; `log` and `stats` are for those
//! who look on.

mod line;
mod log;
mod stats;
mod system;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;
use qorb_core::dns::{self, Action, Event, QueryId};
use qorb_core::{Backend, Machine, Timestamp};

use self::line::{Heard, Line, Outbox, ask, lock, open};
use self::log::Log;
pub use self::stats::{NamedBackend, ResolverStats, ServerStats};
use crate::resolver::{Need, Resolver};
use crate::runtime::Runtime;

/// How many events are handled before other tasks get a turn.
const EVENTS_A_TURN: usize = 64;
/// The least room for a datagram.
const DATAGRAM: usize = 4096;

/// Finds a service's backends by DNS: SRV records, and the addresses of their targets.
///
/// It starts with the pool that it is given to. Whatever happens to DNS, the last good set stays.
#[derive(Clone, Debug)]
pub struct DnsResolver {
    service: String,
    bootstrap: Vec<SocketAddr>,
    config: dns::Config,
}

impl DnsResolver {
    /// A resolver for `service`, a name such as `_http._tcp.example.com`, taken as fully qualified, which
    /// asks the servers at `bootstrap`.
    ///
    /// # Errors
    ///
    /// The name cannot be one, no server is given, or a field of `config` would stall the resolver.
    pub fn new(
        service: &str,
        bootstrap: impl IntoIterator<Item = SocketAddr>,
        config: dns::Config,
    ) -> Result<Self, dns::ConfigError> {
        let bootstrap: Vec<_> = bootstrap.into_iter().collect();
        dns::Resolver::new(service, &bootstrap, config.clone(), [0; 32], Timestamp::EPOCH)?;
        Ok(Self { service: service.to_owned(), bootstrap, config })
    }
}

impl<R: Runtime> Resolver<R> for DnsResolver {
    type Sets = DnsSets<R>;

    fn start(self, runtime: &R, need: Need) -> DnsSets<R> {
        let room = self.config.edns_payload.map_or(0, usize::from).max(DATAGRAM);
        let (seed, now) = (runtime.entropy(), runtime.now());
        let machine = dns::Resolver::new(&self.service, &self.bootstrap, self.config, seed, now);
        let mut sets = DnsSets {
            runtime: runtime.clone(),
            machine: machine.expect("all of it was checked when the resolver was made"),
            out: Vec::new(),
            lines: BTreeMap::new(),
            alarm: None,
            latest: None,
            published: None,
            need,
            room,
            log: Log::default(),
        };
        sets.handle(Event::Tick);
        sets
    }

    fn look(sets: &DnsSets<R>) -> Option<ResolverStats> {
        Some(sets.stats())
    }
}

/// The sets that a [`DnsResolver`] finds.
pub struct DnsSets<R: Runtime> {
    runtime: R,
    machine: dns::Resolver,
    out: Vec<Action>,
    /// The questions under way.
    lines: BTreeMap<QueryId, Line>,
    /// What it is set to, and the sleep.
    alarm: Option<(Timestamp, Sleep)>,
    /// Found, but not published yet.
    latest: Option<Vec<Backend>>,
    /// When the latest set was found.
    published: Option<Timestamp>,
    /// Tells when nothing works that it has found.
    need: Need,
    /// For a datagram.
    room: usize,
    log: Log,
}

type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

impl<R: Runtime> DnsSets<R> {
    /// A snapshot of what it is doing. A pool shows the same in [`Stats::resolver`](crate::Stats::resolver).
    #[must_use]
    pub fn stats(&self) -> ResolverStats {
        ResolverStats::new(&self.machine, self.published, self.runtime.now())
    }

    /// Every backend as each server last named it, those of one server next to each other.
    #[must_use]
    pub fn named(&self) -> Vec<NamedBackend> {
        let now = self.runtime.now();
        let named = self.machine.named().map(|named| NamedBackend {
            server: named.server,
            backend: named.backend,
            fresh_for: named.until.since(now),
        });
        named.collect()
    }

    /// Tells the machine, and does what it asks for.
    fn handle(&mut self, event: Event) {
        let now = self.runtime.now();
        let mut out = std::mem::take(&mut self.out);
        self.machine.handle(now, event, &mut out);
        for action in out.drain(..) {
            self.obey(action);
        }
        self.out = out;
        if self.machine.deadline().is_none() {
            self.alarm = None;
        }
    }

    fn obey(&mut self, action: Action) {
        match action {
            Action::Ask { query, server, message } => {
                let listening = Box::pin(ask(self.runtime.clone(), server, message, self.room));
                self.lines.insert(query, Line { listening, outbox: Outbox::default() });
            }
            Action::OpenStream { query, server } => {
                let outbox = Outbox::default();
                let listening = Box::pin(open(self.runtime.clone(), server, Arc::clone(&outbox)));
                self.lines.insert(query, Line { listening, outbox });
            }
            Action::Send(query, bytes) => {
                if let Some(line) = self.lines.get(&query) {
                    lock(&line.outbox).push_back(bytes);
                }
            }
            Action::Forget(query) => {
                self.lines.remove(&query);
            }
            Action::Resolved(set) => {
                self.log.set(self.machine.service(), &set);
                self.published = Some(self.runtime.now());
                self.latest = Some(set);
            }
            Action::Note(note) => self.log.note(self.machine.service(), &note),
        }
    }

    /// Lets the machine know that a deadline has passed.
    fn poll_alarm(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(deadline) = self.machine.deadline() else { return false };
        if self.alarm.as_ref().is_none_or(|(aimed, _)| *aimed != deadline) {
            self.alarm = Some((deadline, Box::pin(self.runtime.sleep_until(deadline))));
        }
        let due = self.alarm.as_mut().is_some_and(|(_, sleep)| sleep.as_mut().poll(cx).is_ready());
        if due {
            self.alarm = None;
            self.handle(Event::Tick);
        }
        due
    }

    /// Listens on one line. A line is gone before the machine hears that it failed.
    fn poll_line(&mut self, query: QueryId, cx: &mut Context<'_>) -> bool {
        let Some(line) = self.lines.get_mut(&query) else { return false };
        let Poll::Ready(heard) = line.listening.as_mut().poll(cx) else { return false };
        let (event, next) = match heard {
            Heard::Datagram(bytes, next) => (Event::Datagram(query, bytes), Some(next)),
            Heard::Opened(next) => (Event::StreamOpened(query), Some(next)),
            Heard::Bytes(bytes, next) => (Event::StreamBytes(query, bytes), Some(next)),
            Heard::Closed => (Event::StreamClosed(query), None),
            Heard::Failed(failure) => (Event::Failed(query, failure), None),
        };
        match next {
            Some(next) => line.listening = next,
            None => drop(self.lines.remove(&query)),
        }
        self.handle(event);
        true
    }
}

impl<R: Runtime> Stream for DnsSets<R> {
    type Item = Vec<Backend>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Vec<Backend>>> {
        let this = self.get_mut();
        let mut events = 0;
        if this.need.poll(cx).is_ready() {
            this.handle(Event::ResolveNow);
            // Once more, so that the next time finds its way here.
            cx.waker().wake_by_ref();
        }
        loop {
            let mut progress = this.poll_alarm(cx);
            let queries: Vec<_> = this.lines.keys().copied().collect();
            for query in queries {
                progress |= this.poll_line(query, cx);
                events += 1;
            }
            if let Some(set) = this.latest.take() {
                return Poll::Ready(Some(set));
            }
            if !progress {
                return Poll::Pending;
            }
            if events > EVENTS_A_TURN {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }
}

impl<R: Runtime> Unpin for DnsSets<R> {}

impl<R: Runtime> fmt::Debug for DnsSets<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DnsSets").field("service", &self.machine.service()).finish_non_exhaustive()
    }
}
