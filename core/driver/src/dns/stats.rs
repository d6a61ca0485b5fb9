//! What a resolver is doing, as numbers.

use std::net::SocketAddr;
use std::time::Duration;

use qorb_core::dns::{Origin, Resolver};
use qorb_core::{Backend, Timestamp};

/// A snapshot of a resolver.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ResolverStats {
    /// The name that it looks for.
    pub service: String,
    /// The servers that it asks, by address.
    pub servers: Vec<ServerStats>,
    /// How many backends are in its latest set.
    pub backends: usize,
    /// How long ago that set was published; `None` before the first.
    pub set_age: Option<Duration>,
    /// How long ago it was last confirmed, if it is kept though nobody confirms it any more.
    pub stale_for: Option<Duration>,
    /// How many rounds, passes over the servers, have begun.
    pub rounds: u64,
    /// In how long the next one begins; `None` while one is under way.
    pub next_round_in: Option<Duration>,
}

/// One DNS server of a resolver.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ServerStats {
    /// Where it is.
    pub address: SocketAddr,
    /// Whether another server led to it; if not, it was given.
    pub is_discovered: bool,
    /// How often in a row it has failed.
    pub failures: u32,
    /// How it answered last, or why it did not, in a few words; `None` before that.
    pub last_outcome: Option<String>,
    /// How long ago that was.
    pub last_outcome_age: Option<Duration>,
    /// For how long the list of targets that it named is good, zero once that has expired; `None` while it
    /// names none.
    pub fresh_for: Option<Duration>,
}

/// A backend, as one DNS server names it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct NamedBackend {
    /// Which server.
    pub server: SocketAddr,
    /// The backend, with the priority and weight that it has there.
    pub backend: Backend,
    /// How long it takes until the first of the records that say so expires; that alone removes nothing.
    pub fresh_for: Duration,
}

impl ResolverStats {
    /// Of this machine, whose latest set was published then.
    pub(super) fn new(machine: &Resolver, published: Option<Timestamp>, now: Timestamp) -> Self {
        let servers = machine.servers().map(|server| ServerStats {
            address: server.address,
            is_discovered: server.origin == Origin::Discovered,
            failures: server.failures,
            last_outcome: server.last.map(|(verdict, _)| verdict.to_string()),
            last_outcome_age: server.last.map(|(_, at)| now.since(at)),
            fresh_for: server.until.map(|until| until.since(now)),
        });
        Self {
            service: machine.service().to_owned(),
            servers: servers.collect(),
            backends: machine.set().len(),
            set_age: published.map(|at| now.since(at)),
            stale_for: machine.stale_since().map(|since| now.since(since)),
            rounds: machine.rounds(),
            next_round_in: machine.next_round().map(|next| next.since(now)),
        }
    }

    /// The same, some time later: nothing has happened since.
    pub(crate) fn later(mut self, span: Duration) -> Self {
        let grow = |age: &mut Option<Duration>| *age = age.map(|age| age.saturating_add(span));
        let shrink = |rest: &mut Option<Duration>| *rest = rest.map(|rest| rest.saturating_sub(span));
        grow(&mut self.set_age);
        grow(&mut self.stale_for);
        shrink(&mut self.next_round_in);
        for server in &mut self.servers {
            grow(&mut server.last_outcome_age);
            shrink(&mut server.fresh_for);
        }
        self
    }
}
