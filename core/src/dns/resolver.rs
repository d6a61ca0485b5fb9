//! The machine itself: the search for the backends, and the one for the servers to ask, if that is wanted.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::net::SocketAddr;

use super::config::{Config, ConfigError};
use super::event::{Action, Event, QueryId};
use super::exchange::{Exchange, Outside, Owner, Progress, Sought};
use super::ids::Sockets;
use super::note::{Mismatch, Note};
use super::search::{Activity, Search};
use super::server::{PlainServers, ServerStatus};
use super::view::Catalogue;
use super::wire::{Name, normalize};
use crate::backend::Backend;
use crate::dice::Dice;
use crate::machine::Machine;
use crate::time::Timestamp;

/// A backend, as one server names it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Named {
    /// Which server.
    pub server: SocketAddr,
    /// The backend, with the rank that it has there.
    pub backend: Backend,
    /// When the first of the records that say so expires; that alone removes nothing.
    pub until: Timestamp,
}

/// Finds the backends of one service, and goes on finding them.
///
/// Additions are published as soon as an answer names them, removals at the end of a round in which
/// somebody answered. Whatever goes wrong, the last set stays. The first [`Event::Tick`] starts the first round.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Resolver {
    pub(super) config: Config,
    sockets: Sockets<Owner>,
    pub(super) plain: PlainServers,
    pub(super) now: Timestamp,
    pub(super) backends: Search,
    /// Asks the bootstrap servers alone. Its set are servers.
    pub(super) discovery: Option<Search>,
}

impl Resolver {
    /// A resolver for `service`, a name such as `_http._tcp.example.com`, taken as fully qualified.
    ///
    /// `bootstrap` are the servers to ask. `seed` decides the ids of its messages and must come from a
    /// cryptographic generator: who can guess them can forge answers (RFC 5452).
    ///
    /// # Errors
    ///
    /// If the name cannot be one, no server is given, or a field of `config` would stall the resolver.
    pub fn new(
        service: &str,
        bootstrap: &[SocketAddr],
        config: Config,
        seed: [u8; 32],
        now: Timestamp,
    ) -> Result<Self, ConfigError> {
        let service = searchable(service)?;
        let servers = config.resolver_service.as_deref().map(searchable).transpose()?;
        if bootstrap.is_empty() {
            return Err(ConfigError::NoServer);
        }
        config.check()?;
        let bootstrap: Vec<SocketAddr> = bootstrap.iter().copied().map(plain_form).collect();
        let (first, _) = seed.split_first_chunk().expect("32 bytes hold 8");
        let dice = Dice::Seeded(u64::from_le_bytes(*first));
        let discovery = servers.map(|name| Search::new(name, &bootstrap, dice.fork(1), now));
        Ok(Self {
            config,
            sockets: Sockets::new(seed),
            plain: PlainServers::default(),
            now,
            backends: Search::new(service, &bootstrap, dice.fork(0), now),
            discovery,
        })
    }

    /// The name asked for: lower case, fully qualified.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.backends.name
    }

    /// What is known of each server that is asked for the service, by address.
    pub fn servers(&self) -> impl Iterator<Item = ServerStatus> {
        self.backends.servers.iter().map(|(address, server)| server.status(*address, self.now))
    }

    /// Every backend as each server last named it, those of one server next to each other.
    pub fn named(&self) -> impl Iterator<Item = Named> {
        self.backends.servers.iter().flat_map(|(address, server)| {
            let named = server.view.catalogue().into_iter().flat_map(Catalogue::named);
            named.map(|(backend, until)| Named { server: *address, backend, until })
        })
    }

    /// How many rounds for the service have begun.
    #[must_use]
    pub fn rounds(&self) -> u64 {
        self.backends.rounds
    }

    /// The latest set published, sorted by identity; empty before the first.
    #[must_use]
    pub fn set(&self) -> &[Backend] {
        self.backends.published.set()
    }

    /// When the published set was last confirmed, if nobody confirms it any more.
    #[must_use]
    pub fn stale_since(&self) -> Option<Timestamp> {
        self.backends.published.stale_since()
    }

    /// When the next round starts; `None` while one is under way, and after the end.
    #[must_use]
    pub fn next_round(&self) -> Option<Timestamp> {
        match &self.backends.activity {
            Activity::Resting { next, .. } => Some(*next),
            Activity::Asking(_) | Activity::Ended => None,
        }
    }

    /// Does what is due.
    fn fire(&mut self, out: &mut Vec<Action>) {
        self.step(Sought::Servers, out, Search::fire);
        self.step(Sought::Backends, out, Search::fire);
    }

    fn settle(&mut self, out: &mut Vec<Action>) {
        self.step(Sought::Servers, out, Search::settle);
        self.step(Sought::Backends, out, Search::settle);
    }

    /// Applies the event.
    fn apply(&mut self, event: Event, out: &mut Vec<Action>) {
        match event {
            Event::Tick | Event::ShutDown => {}
            Event::ResolveNow => {
                self.step(Sought::Servers, out, |search, outside| search.hurry(outside.now));
                self.step(Sought::Backends, out, |search, outside| search.hurry(outside.now));
            }
            Event::Datagram(query, bytes) => {
                self.deliver(query, out, |exchange, outside| exchange.datagram(query, &bytes, outside));
            }
            Event::StreamOpened(query) => self.deliver(query, out, |exchange, outside| {
                exchange.opened(query, outside);
                Progress::Waiting
            }),
            Event::StreamBytes(query, bytes) => {
                self.deliver(query, out, |exchange, outside| exchange.bytes(query, &bytes, outside));
            }
            Event::StreamClosed(query) => {
                self.deliver(query, out, |exchange, outside| exchange.closed(outside))
            }
            Event::Failed(query, _) => {
                self.deliver(query, out, |exchange, outside| exchange.gone(query, outside));
            }
        }
    }

    fn deliver(
        &mut self,
        query: QueryId,
        out: &mut Vec<Action>,
        event: impl FnOnce(&mut Exchange, &mut Outside<'_>) -> Progress,
    ) {
        let Some(owner) = self.sockets.owner(query).cloned() else {
            return out.push(Action::Note(Note::Ignored { query, why: Mismatch::Closed }));
        };
        self.step(owner.sought, out, |search, outside| search.deliver(&owner, outside, event));
    }

    /// Lets one of the searches act. What the one for servers finds is for the other one, not for users.
    fn step(
        &mut self,
        sought: Sought,
        out: &mut Vec<Action>,
        act: impl FnOnce(&mut Search, &mut Outside<'_>),
    ) {
        let (config, sockets, plain, now) = (&self.config, &mut self.sockets, &mut self.plain, self.now);
        let search = match (sought, &mut self.discovery) {
            (Sought::Backends, _) => {
                return act(&mut self.backends, &mut Outside { sought, config, sockets, plain, now, out });
            }
            (Sought::Servers, None) => return,
            (Sought::Servers, Some(search)) => search,
        };
        let mut said = Vec::new();
        act(search, &mut Outside { sought, config, sockets, plain, now, out: &mut said });
        for action in said {
            match action {
                Action::Resolved(found) => self.appoint(found, out),
                Action::Note(note) => out.push(Action::Note(Note::Discovery(Box::new(note)))),
                other @ (Action::Ask { .. }
                | Action::OpenStream { .. }
                | Action::Send(..)
                | Action::Forget(_)) => out.push(other),
            }
        }
    }

    /// Has the best of the servers that were found asked for the service, beside those that were given.
    fn appoint(&mut self, mut found: Vec<Backend>, out: &mut Vec<Action>) {
        found.sort_by_key(|server| (server.priority, Reverse(server.weight)));
        let mut best = BTreeSet::new();
        let mut left_out = BTreeSet::new();
        for server in found {
            let is_given =
                self.discovery.as_ref().is_some_and(|search| search.servers.contains_key(&server.address));
            if is_given || best.contains(&server.address) {
                continue;
            }
            let place = if best.len() < self.config.max_dns_servers { &mut best } else { &mut left_out };
            place.insert(server.address);
        }
        if !left_out.is_empty() {
            out.push(Action::Note(Note::ServersLeftOut { servers: left_out.len() }));
        }
        self.step(Sought::Backends, out, |search, outside| search.appoint(&best, outside));
    }

    /// Closes everything, for good.
    fn end(&mut self, out: &mut Vec<Action>) {
        self.step(Sought::Servers, out, Search::end);
        self.step(Sought::Backends, out, Search::end);
    }
}

impl Machine for Resolver {
    type Event = Event;
    type Action = Action;

    fn handle(&mut self, now: Timestamp, event: Event, out: &mut Vec<Action>) {
        self.now = self.now.max(now);
        if self.backends.activity == Activity::Ended {
            return;
        }
        if event == Event::ShutDown {
            return self.end(out);
        }
        if matches!(event, Event::Failed(..)) {
            // The socket is gone already: a timer due now must not ask to forget it.
            self.apply(event, out);
            self.fire(out);
            return self.settle(out);
        }
        let source = event.query().map(|query| (query, self.sockets.serial(query)));
        self.fire(out);
        self.settle(out);
        match source {
            // A timer closed it just now; its number may already stand for another.
            Some((query, serial)) if self.sockets.serial(query) != serial => {
                out.push(Action::Note(Note::Ignored { query, why: Mismatch::Closed }));
            }
            Some(_) | None => self.apply(event, out),
        }
        self.settle(out);
    }

    fn deadline(&self) -> Option<Timestamp> {
        let searches = self.discovery.iter().chain([&self.backends]);
        let due = searches.filter_map(|search| search.due(&self.config)).min();
        due.filter(|due| !due.is_never())
    }
}

/// A name that can be asked for.
fn searchable(name: &str) -> Result<Name, ConfigError> {
    if name.is_empty() || name == "." {
        return Err(ConfigError::EmptyName);
    }
    normalize(name).ok_or(ConfigError::InvalidName)
}

/// One address, one server: an IPv4 address in IPv6 clothes is that address (RFC 4291 §2.5.5.2).
fn plain_form(server: SocketAddr) -> SocketAddr {
    if server.ip().to_canonical() == server.ip() {
        // Its scope stays.
        return server;
    }
    SocketAddr::new(server.ip().to_canonical(), server.port())
}
